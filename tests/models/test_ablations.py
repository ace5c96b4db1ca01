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
from oddframe.train.run import configs


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


def test_a_recipe_is_a_copy():
    recipe("mnad")["train"]["lr"] = 7
    assert recipe("mnad")["train"]["lr"] == 2e-4


def test_an_unknown_recipe():
    with pytest.raises(ConfigError, match="'papr'; expected size or paper"):
        configs("mnad", how="papr")
