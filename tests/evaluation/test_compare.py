"""Methods side by side: the same frames for all, paired differences, the page, resuming."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import oddframe
from oddframe.cli import main
from oddframe.data import open_dataset
from oddframe.errors import ConfigError, OddframeWarning
from oddframe.evaluation import methods as module
from oddframe.evaluation.compare import compare
from oddframe.evaluation.kept import Kept, Store
from oddframe.evaluation.methods import Method, collect
from oddframe.evaluation.scored import VideoScores
from oddframe.judging.floors import FLOORS
from oddframe.judging.judge import judge
from oddframe.judging.named import for_missing, parse_protocols
from oddframe.metrics.pairs import bootstrap_difference
from oddframe.sources import Reading

PROTOCOLS = parse_protocols("paper,deploy")


def methods(seed=0, videos=6, n=70):
    rng = np.random.default_rng(seed)
    labels = {f"{v}": (np.arange(n) // 25 % 2).astype(np.uint8) for v in range(videos)}
    good = {k: rng.normal(size=n) + 3 * y for k, y in labels.items()}
    bad = {k: rng.normal(size=n) + 0.3 * y for k, y in labels.items()}
    late = {k: np.concatenate([np.full(20, np.nan), s[20:]]) for k, s in good.items()}
    made = [Method("good", late), Method("bad", bad, missing_end=2)]
    return made, labels


def test_all_methods_are_judged_on_the_frames_that_all_have():
    made, labels = methods()
    found = compare(made, labels, PROTOCOLS, "made")
    assert {(r["frames"], r["dropped_frames"]) for r in found.rows} == {(6 * 48, 6 * 22)}
    for row in found.rows:
        assert "first 20 frames and last 2 frames" in row["protocol_text"]
    shared = for_missing(parse_protocols("deploy")[0], 20, 2)
    a, b = (judge(m.scores, labels, shared).wins for m in made)
    want = bootstrap_difference(b, a)
    row = next(r for r in found.differences if r["protocol"] == "deploy")
    assert (row["method"], row["against"]) == ("bad", "good")
    assert row["difference"] == pytest.approx(b.auc - a.auc)
    assert (row["low"], row["high"]) == (want.low, want.high)
    assert row["high"] < 0
    json.dumps(found.plain(), allow_nan=False)


def test_a_video_that_a_method_has_no_score_for_is_left_out_of_all():
    (good, bad), labels = methods()
    bad = replace(bad, scores={**bad.scores, "3": np.full(70, np.nan)})
    with pytest.warns(OddframeWarning, match=r"left out, 1 of 6 test videos.*: 3$"):
        found = compare([good, bad], labels, PROTOCOLS)
    assert {r["videos"] for r in found.rows} == {5}
    assert list(found.labels) == ["0", "1", "2", "4", "5"]
    assert all("3" not in m.scores for m in found.methods)


def test_curves_are_of_every_row_and_of_the_protocol_that_was_asked_for():
    made, labels = methods()
    found = compare(made, labels, PROTOCOLS)
    assert [(c.method, c.protocol, c.auc) for c in found.rocs] == [
        (r["method"], r["protocol"], r["auc"]) for r in found.rows
    ]
    assert found.shown.name == "deploy"
    only = compare(made, labels, parse_protocols("paper")).shown
    assert (only.name, only.normalise, only.drop, only.drop_end) == ("paper", "per_video", 20, 2)


def test_the_page_draws_the_scores_that_the_protocol_judges():
    made, labels = methods()
    found = compare(made, labels, parse_protocols("paper"))
    scores = found.judged["good"].over({name: len(y) for name, y in labels.items()})
    for name, values in scores.items():
        kept = made[0].scores[name][20:68]
        assert np.isnan(values[:20]).all()
        assert np.isnan(values[68:]).all()
        want = (kept - kept.min()) / np.ptp(kept)
        np.testing.assert_allclose(values[20:68], want)


def test_the_frames_shown_are_those_with_the_most_different_ranks():
    made, labels = methods()
    found = compare(made, labels, PROTOCOLS)
    assert found.disagreements
    shared = for_missing(parse_protocols("deploy")[0], 20, 2)
    a, b = (judge(m.scores, labels, shared) for m in made)

    def rank(judged, video, frame):
        i = judged.names.index(video)
        whole = np.concatenate(judged.scores)
        mine = judged.scores[i][list(judged.frames[i]).index(frame)]
        return ((whole < mine).sum() + 0.5 * (whole == mine).sum()) / whole.size

    gaps = []
    for d in found.disagreements:
        assert d.first == ("good", pytest.approx(rank(a, d.video, d.frame)))
        assert d.second == ("bad", pytest.approx(rank(b, d.video, d.frame)))
        assert d.abnormal == bool(labels[d.video][d.frame])
        gaps.append(abs(d.first[1] - d.second[1]))
    largest = max(abs(rank(a, v, t) - rank(b, v, t)) for v in labels for t in range(20, 68))
    assert gaps[0] == pytest.approx(largest)
    assert gaps == sorted(gaps, reverse=True)


def test_methods_need_names_of_their_own():
    made, labels = methods()
    with pytest.raises(ConfigError, match="good, good"):
        compare([made[0], made[0]], labels, PROTOCOLS)


def test_the_command_from_runs_to_the_page_and_again_from_what_is_kept(
    shared_run, run_copy, labelled, tmp_path, capsys, monkeypatch
):
    truth = dict(np.load(labelled / "labels.npz"))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "other.npz", **{k: rng.normal(size=y.size) for k, y in truth.items()})
    twin = run_copy.rename(tmp_path / "TWIN")
    args = [
        "compare", str(shared_run), str(twin), "--data", str(labelled), "--scores",
        f"noise={tmp_path / 'other.npz'}", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert main(args) == 0
    capsys.readouterr()
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    names = ["RUN", "TWIN", "noise", *FLOORS]
    assert [r["method"] for r in found["rows"] if r["protocol"] == "deploy"] == names
    assert [r["floor"] for r in found["rows"][:6]] == [False] * 3 + [True] * 3
    twin_rows = [r for r in found["differences"] if r["method"] == "TWIN"]
    assert all(r["difference"] == 0 for r in twin_rows)
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "checkpoint and alpha of RUN (paper), TWIN (paper)</b>: last weights, averaged" in page
    assert "alpha 0.5 fixed beforehand" in page
    assert "checkpoint and alpha of RUN (deploy), TWIN (deploy)</b>: last weights" in page
    for text in ("Comparison on", "Do they differ?", "flowspeed", "ROC curves under deploy",
                 "Scores as deploy judges them", "data:image/jpeg", "<svg"):  # fmt: skip
        assert text in page

    detector = oddframe.load(shared_run)
    video = open_dataset(labelled).test[0]
    kept = np.load(tmp_path / "out" / "scores" / "RUN.npz")[video.name]
    np.testing.assert_array_equal(kept, detector.score(video.path).score)

    def never(*_, **__):
        raise AssertionError("scored again")

    monkeypatch.setattr(module, "score_all", never)
    assert main(args) == 0
    capsys.readouterr()
    again = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert again == found


def test_scores_that_do_not_fit_are_told_before_anything_is_scored(
    shared_run, labelled, tmp_path, capsys, monkeypatch
):
    def never(*_, **__):
        raise AssertionError("scored first")

    monkeypatch.setattr(module, "score_all", never)
    np.save(tmp_path / "short.npy", np.zeros(80))
    args = ["compare", str(shared_run), "--data", str(labelled), "--out", str(tmp_path / "out")]
    assert main([*args, "--scores", str(tmp_path / "short.npy")]) == 1
    assert "80 scores; the labels of 2 videos need 88" in capsys.readouterr().err


def silent(_):
    return lambda *_: None


@pytest.fixture
def read(monkeypatch):
    """How videos were read in each pass over them, which are made up instead of scored."""
    passes = []

    def made(detector, dataset, progress, floors):
        passes.append(dataset.test[0].reading)
        values, y = np.arange(44.0), np.zeros(44, np.uint8)
        return [
            VideoScores(v.name, values, y, values, values, y > 0, {"psnr": values},
                        dict.fromkeys(floors, values))
            for v in dataset.test
        ]  # fmt: skip

    monkeypatch.setattr(module, "score_all", made)
    return passes


def test_what_is_kept_is_taken_only_where_run_footage_and_reading_are_the_same(
    run_copy, labelled, tmp_path, read, monkeypatch
):
    dataset, card = open_dataset(labelled), json.loads((run_copy / "model.json").read_text())

    def passes(data=dataset, **changed):
        (run_copy / "model.json").write_text(json.dumps({**card, **changed}))
        before = len(read)
        collect([run_copy], {}, data, PROTOCOLS, tmp_path / "scores", silent)
        return len(read) - before

    assert passes() == 1
    assert passes() == 0
    assert passes(calibration={"threshold": 7.0, "alarms_per_day": 2.0}) == 0
    assert passes(dataset.read_as(Reading(fps=10))) == 1  # thinned out otherwise
    assert passes() == 1
    assert passes(fps=5.0) == 1
    kept = tmp_path / "scores" / "RUN.terms.npz"
    kept.write_bytes(kept.read_bytes()[:-100])  # cut by a power loss
    assert passes(fps=5.0) == 1
    monkeypatch.setattr(module, "__version__", "99")
    assert passes(fps=5.0) == 1


def test_16_bit_footage_is_read_by_the_range_of_each_run(run_copy, labelled, tmp_path, read):
    other = Path(shutil.copytree(run_copy, tmp_path / "B"))
    for run, used in ((run_copy, [6000, 14000]), (other, [7000, 9000])):
        card = json.loads((run / "model.json").read_text())
        (run / "model.json").write_text(json.dumps({**card, "used": used}))
    collect([run_copy, other], {}, open_dataset(labelled), PROTOCOLS, tmp_path / "k", silent)
    assert [reading.used for reading in read] == [(6000, 14000), (7000, 9000)]


def test_any_video_can_be_kept_whatever_its_name(tmp_path):
    store = Store(tmp_path)
    given = Kept({"file": np.arange(3.0), "a b": np.zeros(2)}, {"file": {"psnr": np.ones(3)}})
    store.put("RUN", "key", given)
    found = store.given("RUN", "key")
    assert list(found.scores) == ["file", "a b"]
    np.testing.assert_array_equal(found.scores["file"], np.arange(3.0))
    np.testing.assert_array_equal(found.terms["file"]["psnr"], np.ones(3))
    np.testing.assert_array_equal(np.load(tmp_path / "RUN.npz")["a b"], np.zeros(2))
    assert {p.name for p in tmp_path.iterdir()} == {"RUN.npz", "RUN.terms.npz", "index.json"}


@pytest.mark.slow
def test_scores_of_a_run_that_changed_are_made_anew(run_copy, labelled, tmp_path):
    dataset = open_dataset(labelled)

    def scored():
        return collect(
            [run_copy], {}, dataset, PROTOCOLS, tmp_path / "scores", lambda _: lambda *_: None
        )

    before = scored()[0].scores
    card = json.loads((run_copy / "model.json").read_text())
    card["config"]["score"]["block_px"] = 16
    (run_copy / "model.json").write_text(json.dumps(card))
    after = scored()[0].scores
    assert any(not np.array_equal(before[k], after[k], equal_nan=True) for k in before)
