"""Rows of ablations as a user sees and types them: info, models, fit."""

from __future__ import annotations

import json

import pytest

from oddframe import models
from oddframe.cli import main


@pytest.fixture
def call(capsys):
    def run(*args):
        code = main([str(a) for a in args])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_info_of_a_row_and_of_all(call):
    code, text, _ = call("info", "msti-net-128", "--ablation", "ii-1", "--json")
    assert code == 0
    found = json.loads(text)
    assert found["ablation"] == "A"
    assert found["ablations"] == ["A", "B", "C", "D", "E"]
    whole = json.loads(call("info", "msti-net-128", "--json")[1])
    assert found["parameters"] < whole["parameters"]
    assert found["gmac_per_frame"] < whole["gmac_per_frame"]
    lines = call("info", "msti-net-128", "--rows")[1].splitlines()
    assert len(lines) == 7
    row = lines[2].split()
    assert row[-6:] == [
        "A", f"{found['parameters'] / 1e6:.2f}", f"{found['gmac_per_frame']:.2f}", "-", "-", "73.1",
    ]  # fmt: skip
    code, _, err = call("info", "msti-net-128", "--rows", "--ablation", "A")
    assert code != 0
    assert "give one of the two" in err
    assert call("info", "conv-ae", "--rows")[1] == "conv-ae has no ablations.\n"


def test_models_lists_the_rows(call, monkeypatch):
    some = {n: models.MODELS[n] for n in ("msti-net", "msti-net-128", "conv-ae-128")}
    monkeypatch.setattr(models, "MODELS", some)
    assert call("models")[1].splitlines()[-1] == "--ablation, msti-net, msti-net-128: A B C D E"


@pytest.mark.parametrize("verb", ["fit", "info"])
def test_a_wrong_row_is_one_paragraph_with_the_rows(call, tmp_path, verb):
    rest = ("m2s2l-edge",)
    if verb == "fit":
        rest = ("--model", "m2s2l-edge", "--data", tmp_path, "--out", tmp_path / "R")
    code, _, err = call(verb, *rest, "--ablation", "M9")
    assert code == 1
    assert err.startswith("error: m2s2l-edge has no ablation 'M9'. There are: Table II")
    assert not (tmp_path / "R").exists()
