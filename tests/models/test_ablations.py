"""Rows of the papers' tables by name, what they cost, and how each paper trains."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from oddframe.errors import ConfigError
from oddframe.models import (
    MODELS,
    ablated,
    ablation_name,
    ablations,
    build,
    default_config,
    recipe,
)
from oddframe.models.info import describe_rows
from oddframe.models.papers import PAPER_TABLES, RECIPES
from oddframe.train.fit import configs


@pytest.mark.parametrize(
    ("model", "typed", "name"),
    [
        ("m2s2l-edge", "m1", "M1"),
        ("m2s2l", "II-M2", "M2"),
        ("m2s2l-small", "ii-4", "M4"),
        ("m2s2l", "Table III, 2", "L2"),
        ("stnmamba-128", "II-1", "M1"),
        ("stnmamba", "III-1", "B4"),  # its first row has all four banks
        ("stnmamba", "iii-5", "B0"),
        ("stnmamba", "IV-2", "L2"),
        ("stnmamba", "lambda=0.8", "lambda0.8"),
        ("stnmamba", "λ1", "lambda1"),
        ("stnmamba", "K = 60%", "K60"),
        ("msti-net-128", "a", "A"),
        ("msti-net", "II-E", "E"),
        ("msti-net", "ii-5", "E"),
    ],
)
def test_a_row_by_the_ways_its_paper_names_it(model, typed, name):
    assert ablation_name(model, typed) == name
    assert ablated(model, typed) == ablated(model, name)


@pytest.mark.parametrize("row", ["M5", "II-5", "II-0", "", "II", "K60"])
def test_an_unknown_row_lists_the_rows(row):
    with pytest.raises(ConfigError) as error:
        ablation_name("m2s2l-edge", row)
    text = str(error.value)
    assert f"m2s2l-edge has no ablation {row!r}" in text
    assert "Table II, components: M1, M2, M3, M4; Table III, losses: L1, L2, L3" in text


def test_a_model_without_a_table_names_those_with_one():
    assert ablations("mnad") == ()
    with pytest.raises(ConfigError, match=r"mnad has no ablations.* stnmamba-128, msti-net,"):
        ablated("mnad", "A")


@pytest.mark.parametrize("module", PAPER_TABLES)
def test_what_papers_print_has_the_rows_that_can_be_run(module):
    printed = [row for table in PAPER_TABLES[module] for row in table.rows]
    assert sorted(printed) == sorted(import_module(module).ABLATIONS)
    assert len(set(printed)) == len(printed)


def parameters(model, row):
    with torch.device("meta"):
        return sum(p.numel() for p in build(model, ablated(model, row)).parameters())


@pytest.mark.parametrize("size", ["m2s2l", "m2s2l-small", "m2s2l-edge"])
def test_what_m2_adds_is_scales_and_not_size(size):
    assert parameters(size, "M1") == pytest.approx(parameters(size, "M2"), rel=0.03)
    assert ablated(size, "M1").patches == default_config(size).patches[:1]


def test_rows_of_one_cost_are_listed_with_it():
    rows = {r["row"]: r for r in describe_rows("msti-net-128")}
    assert list(rows) == ["A", "B", "C", "D", "E"]
    assert rows["E"]["published"] == {"shanghaitech": 73.9}
    for name in "AE":
        assert rows[name]["parameters"] == parameters("msti-net-128", name)
    assert rows["A"]["gmac_per_frame"] < rows["B"]["gmac_per_frame"]


# ---- recipes


@pytest.mark.parametrize("model", MODELS)
def test_a_recipe_fits_every_size(model):
    found = configs(model, how="paper")
    train = found.train
    assert (train.average, train.hold_out, train.calm_after) == (0, 0, 0)
    assert not train.detach_context
    own = RECIPES[MODELS[model].module.rpartition(".")[2]]
    for group in own:
        for key, value in own[group].items():
            assert getattr(getattr(found, group), key) == value, key
    size = configs(model).model  # a recipe changes weights of losses, not what is built
    shape = {k: v for k, v in found.model.model_dump().items() if k not in own.get("model", {})}
    assert shape.items() <= size.model_dump().items()


def test_what_m2s2l_prints():
    found = configs("m2s2l-edge", how="paper")
    weights = found.model
    assert (weights.lambda_motion, weights.lambda_separate, weights.lambda_gradient) == (
        0.5, 0.1, 0.2,
    )  # fmt: skip
    assert (found.train.lr, found.train.schedule, found.train.halve_every) == (2e-4, "halve", 20)
    assert configs("m2s2l-edge").train.lr == 1e-3


def test_the_last_of_size_recipe_ablation_and_setting_holds():
    row = configs("m2s2l-edge", how="paper", ablation="L1")
    assert (row.model.lambda_motion, row.model.lambda_separate) == (0, 0)  # not the recipe's
    assert row.model.lambda_gradient == 0.2  # not the size's
    assert row.model.width == 64
    settings = ["model.lambda_motion=3", "train.lr=0.5", "train.hold_out=0.1"]
    last = configs("m2s2l-edge", settings, how="paper", ablation="L1")
    assert (last.model.lambda_motion, last.train.lr, last.train.hold_out) == (3, 0.5, 0.1)


ROWS = {
    "m2s2l-edge": ("M1", "M2", "L1", "L2", "L3"),
    "stnmamba-128": ("M1", "M6", "B0", "L1", "L2", "lambda0.2", "K20"),
    "msti-net-128": tuple("ABCDE"),
}


@pytest.mark.parametrize(("model", "row"), [(m, r) for m, rows in ROWS.items() for r in rows])
def test_a_row_stays_what_it_is_where_the_rest_is_literal(model, row):
    plain = configs(model).model.model_dump()
    rowed = configs(model, ablation=row).model.model_dump()
    found = configs(model, ["model.literal=true"], ablation=row).model
    changes = {k: v for k, v in rowed.items() if v != plain[k]}
    # M1's depth brings it near to M2, which is literal too.
    assert {k: getattr(found, k) for k in changes if k != "depths"}.items() <= rowed.items()
    printed = dict(found.LITERAL)
    assert all(getattr(found, k) == v for k, v in printed.items() if k not in changes)
    others = rowed.keys() - changes.keys() - printed.keys() - {"literal"}
    assert all(getattr(found, k) == plain[k] for k in others)


@pytest.mark.parametrize("how", ["size", "paper"])
def test_literal_rows_of_one_table_differ(how):
    settings = ["model.literal=true"]
    rows = [configs("m2s2l-edge", settings, ablation=f"L{i}", how=how).model for i in (1, 2, 3)]
    assert [(r.lambda_motion, r.lambda_separate) for r in rows] == [(0, 0), (0.5, 0), (0.5, 0.1)]
    assert configs("m2s2l-edge", settings, ablation="M1").model.ms_position == "none"


def test_literal_comes_before_the_row_wherever_it_stands_and_its_contradictions_are_refused():
    first, last = (
        configs("m2s2l-edge", settings, ablation="L1").model
        for settings in (
            ["model.literal=true", "model.width=32"], ["model.width=32", "model.literal=true"],
        )
    )  # fmt: skip
    assert first == last
    assert (first.width, first.lambda_motion, first.tmb) == (32, 0, "literal")
    with pytest.raises(ConfigError, match=r"model\.tmb=standard contradicts model\.literal=true"):
        configs("m2s2l-edge", ["model.literal=true", "model.tmb=standard"], ablation="L1")
    off = ["model.literal=true", "model.literal=false"]
    assert configs("m2s2l-edge", off, ablation="L1") == configs("m2s2l-edge", ablation="L1")
    # A setting that only the row allows: one scale, one depth.
    deep = configs("m2s2l-edge", ["model.literal=true", "model.depths=[3]"], ablation="M1").model
    assert deep.depths == (3,)


def test_a_recipe_is_a_copy():
    recipe("mnad")["train"]["lr"] = 7
    assert recipe("mnad")["train"]["lr"] == 2e-4


def test_a_model_without_a_recipe_says_where_one_belongs(monkeypatch):
    monkeypatch.delitem(RECIPES, "mnad")
    with pytest.raises(ConfigError, match=r"mnad-128 has no recipe.*'mnad' in .*papers\.RECIPES"):
        configs("mnad-128", how="paper")
    assert configs("mnad-128").train.lr == 1e-3


def test_an_unknown_recipe():
    with pytest.raises(ConfigError, match="'papr'; expected size or paper"):
        configs("mnad", how="papr")
