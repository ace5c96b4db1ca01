"""The demo, from nothing to a page; minutes long, so only in the slow suite."""

from __future__ import annotations

import json

import pytest

from oddframe.cli import main
from oddframe.judging.floors import FLOORS


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_demo_goes_the_whole_way(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--minutes", "0.3"]) == 0
    rows = json.loads((out / "metrics.json").read_text())["rows"]
    assert {r["method"] for r in rows} >= {"m2s2l-edge", *FLOORS}
    assert all(0 <= r["auc"] <= 1 and r["protocol_text"] for r in rows)
    page = (out / "report.html").read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert "m2s2l-edge" in page
    assert main(["demo", "--out", str(out), "--minutes", "0.3"]) == 1
    assert "choose another --out" in capsys.readouterr().err
