"""The experiment of tests/runtime/feedback.py runs, on a street of a few seconds."""

import json
import sys

import feedback


def test_what_verdicts_do_is_measured(shared_run, labelled, tmp_path, monkeypatch, write_street):
    normal = tmp_path / "normal"
    for name in ("a", "b"):  # what blinks is normal here: it comes every day
        write_street(normal / name, range(40), 24)
    out = tmp_path / "out.json"
    given = ["feedback", shared_run, normal, "--test", labelled, "--threshold", "8", "--json", out]
    monkeypatch.setattr(sys, "argv", [str(x) for x in given])
    feedback.main()
    found = json.loads(out.read_text())
    assert [(row["nobody"], row["somebody"]) for row in found["rows"]] == [(1, 1), (1, 0)]
    assert found["exemplars"]["kept"] == 1
    assert found["exemplars"]["silenced"] >= 1
    test = found["test"]
    assert (test["nobody"]["found"], test["nobody"]["of"]) == (2, 2)
    assert test["nobody"]["hit_frames"] > 30
    assert test["somebody"]["hit_frames"] < 3, "it blinks at the same place in the test clips"
    assert test["nobody"]["auc"] > 0.8
