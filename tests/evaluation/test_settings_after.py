"""Score settings changed after training: what may be, what it does, what the rows say of it."""

from __future__ import annotations

import csv
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stub_run import street

import oddframe
from oddframe.cli import main
from oddframe.data import open_dataset
from oddframe.errors import ConfigError, OddframeWarning, ProtocolError
from oddframe.evaluation import methods as module
from oddframe.evaluation.compare import compare
from oddframe.evaluation.evaluate import evaluate
from oddframe.evaluation.methods import How, collect
from oddframe.evaluation.scored import paced
from oddframe.judging.named import parse_protocols
from oddframe.metrics import frame_auc
from oddframe.runs import load_run
from oddframe.scoring.fuse import fuse
from oddframe.scoring.settings import ScoreConfig, chosen, score_again
from oddframe.sources import Reading, Source
from oddframe.types import SourceInfo


def silent(_title):
    return lambda *_: None


def unit(values):
    return (values - np.nanmin(values)) / np.ptp(values[~np.isnan(values)])


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("stnmamba", "train.lr=1"),
        ("stnmamba", "model.width=16"),
        ("stnmamba", "score.block_px=16"),
        ("stnmamba", "score.flow=true"),
        ("stnmamba", "score.alpha=.3"),
        ("stnmamba", "lambda_score=.3"),
        ("msti-net", "model.lambda_score=.3"),
        ("msti-net", "tau"),
    ],
)
def test_anything_else_is_refused_with_what_can_be_set(name, setting, added_runs):
    own = {"stnmamba": "model.lambda_score", "msti-net": "model.tau"}[name]
    with pytest.raises(
        ConfigError,
        match=rf"after training: .*{own}, score.smooth, score.lag_s, score.sharpness, "
        r"score.one_voice, score.streams",
    ):
        load_run(added_runs[name]).with_settings([setting])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("score.alpha=1.5", "from 0 to 1, or paper; found 1.5"),
        ("score.alpha=best", "found 'best'"),
        ("score.smooth=1", "less than 1"),
        ("score.sharpness=0", "greater than 0"),
        ("score.streams=[frame,sound]", "'frame', 'motion', 'flow', 'way' or 'stay'"),
    ],
)
def test_values_out_of_range_are_refused(setting, said, shared_run):
    with pytest.raises(ConfigError, match=said):
        load_run(shared_run).with_settings([setting])


def test_streams_that_a_run_lacks_are_named(added_runs):
    with pytest.raises(ConfigError, match=r"names flow, but .* has the streams frame"):
        load_run(added_runs["mnad"]).with_settings(["score.streams=[frame,flow]"])


def test_every_model_names_its_own(added_runs, shared_run):
    own = {name: load_run(path).settable[:-5] for name, path in added_runs.items()}
    assert own == {
        "stnmamba": ("model.lambda_score",),
        "msti-net": ("model.tau",),
        "mnad": ("model.score_alpha",),
        "ammc": ("model.score_motion", "model.score_commit"),
        "vadmamba": ("model.score_alpha",),
    }
    assert load_run(shared_run).settable == (
        "score.alpha",
        "score.smooth",
        "score.lag_s",
        "score.sharpness",
        "score.one_voice",
        "score.streams",
    )


def test_what_is_set_is_told_and_the_folder_stays(run_copy):
    before = (run_copy / "model.json").read_bytes()
    run = load_run(run_copy)
    new = run.with_settings(["score.alpha=.6", "score.smooth=0.0"])
    assert new.changed == ("score.alpha 0.6 instead of 0.5",)  # smooth is what it was
    assert new.score_config.alpha == 0.6
    assert new.threshold == run.threshold  # the causal score is the same
    assert not new.lost_threshold
    for setting in ("score.smooth=.2", "score.streams=[frame]", "score.sharpness=1"):
        other = run.with_settings([setting])
        assert other.threshold is None
        assert other.lost_threshold
    every = run.with_settings(["score.streams=[flow,motion,frame]"])
    assert every.threshold == run.threshold
    twice = new.with_settings(["score.smooth=.2"])
    assert twice.changed[1] == "score.smooth 0.2 instead of 0"
    assert (run_copy / "model.json").read_bytes() == before


@pytest.mark.parametrize(
    "settings",
    [
        ["score.streams=[motion]"],
        ["score.streams=[frame,motion]"],
        ["score.smooth=.3"],
        ["score.sharpness=0.5"],
        ["score.one_voice=false"],
        ["score.lag_s=.12"],
        ["score.lag_s=.2", "score.smooth=.3"],
        ["score.streams=[flow,frame]", "score.smooth=.7"],
    ],
)
def test_scores_made_again_are_those_of_the_scorer(settings, shared_run, labelled):
    run, video = load_run(shared_run), labelled / "test" / "01"
    other = run.with_settings(settings)
    base, want = oddframe.load(run).score(video), oddframe.load(other).score(video)
    assert not np.array_equal(base.score, want.score, equal_nan=True)
    again = score_again(base.terms, other.score_config, 25.0)
    np.testing.assert_array_equal(again, want.score)
    np.testing.assert_array_equal(score_again(base.terms, run.score_config, 25.0), base.score)
    assert set(base.terms) == set(want.terms)  # also of streams that are not fused
    assert np.isnan(want.level).all()
    if settings == ["score.streams=[frame,motion]"]:
        np.testing.assert_array_equal(want.score, base.terms["own"])
        here = {s: float(base.terms[f"z_{s}"][20]) for s in ("frame", "motion")}
        assert want.score[20] == fuse(here)
    if settings == ["score.streams=[motion]"]:  # the heat map is of the same stream
        for seen in oddframe.load(other).stream(video):
            assert seen.heat is None or seen.heat.max() == pytest.approx(seen.score, rel=1e-5)


class Paused(Source):
    """Two stretches of a street with an hour between."""

    def __init__(self):
        super().__init__(SourceInfo("paused", 64, 48, 25.0, 24))

    def _frames(self):
        for i in range(24):
            later = 3600 * (i >= 12)
            yield oddframe.Frame(i, i / 25 + later, street(7 * i + later), gap=i == 12)


def test_scores_made_again_begin_anew_behind_a_gap(shared_run):
    run = load_run(shared_run).with_settings(["score.smooth=.9"])
    want = oddframe.load(run).score(Paused()).score
    again = score_again(oddframe.load(shared_run).score(Paused()).terms, run.score_config, 25.0)
    np.testing.assert_array_equal(again, want)


def test_compare_sets_what_evaluate_sets_at_another_rate_too(shared_run, write_street, tmp_path):
    run = Path(shutil.copytree(shared_run, tmp_path / "RUN"))
    card = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**card, "fps": 10.0}), "utf8")
    write_street(tmp_path / "set" / "normal" / "a", range(2))
    write_street(tmp_path / "set" / "test" / "01", range(20), 14)
    np.savez(tmp_path / "set" / "labels.npz", **{"01": (np.arange(20) > 13).astype(np.uint8)})
    data = open_dataset(tmp_path / "set", reading=Reading(fps=25))
    assert [paced(fps, data) for fps in (None, 25.0, 10.0, 60.0)] == [False, False, True, True]
    how = How(settings=["score.smooth=.5"])
    detector = oddframe.load(load_run(run).with_settings(how.settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OddframeWarning)  # of the rate
        found = collect([run], {}, replace(data, train=()), [], tmp_path, silent, how)
        with data.test[0].open() as source:
            want = detector.score(source)
    np.testing.assert_array_equal(found[0].scores["01"], want.score)
    again = score_again(want.terms, detector.score_config, 25.0)  # smooths frames, not looks
    assert not np.array_equal(again, want.score, equal_nan=True)


def test_evaluate_judges_and_states_what_was_set(shared_run, labelled, tmp_path, capsys):
    args = ["evaluate", str(shared_run), "--data", str(labelled), "--json", str(tmp_path / "f")]
    args += ["--set", "score.alpha=0.9", "--set", "score.streams=[frame]"]
    assert main(args) == 0
    told = capsys.readouterr().out
    found = json.loads((tmp_path / "f").read_text())
    rows = {(r["method"], r["protocol"]): r for r in found["rows"]}
    detector, truth = oddframe.load(shared_run), dict(np.load(labelled / "labels.npz"))
    terms = {n: detector.score(labelled / "test" / n).terms for n in truth}
    labels = [truth[n] for n in truth]
    psnr = [-(0.9 * t["psnr_frame"] + 0.1 * t["psnr_motion"])[4:] for t in terms.values()]
    name = detector.info.model
    want = frame_auc(psnr, [y[4:] for y in labels], normalise="per_video")
    assert rows[name, "paper"]["auc"] == want
    want = frame_auc([t["z_frame"][16:] for t in terms.values()], [y[16:] for y in labels])
    assert rows[name, "deploy"]["auc"] == want
    said = ["score.alpha 0.9 instead of 0.5", "score.streams [frame] instead of all"]
    assert found["changed"] == said
    for protocol in ("paper", "deploy"):
        text = rows[name, protocol]["protocol_text"]
        assert f"set after training, how is not stated: {', '.join(said)}" in text
        assert "nothing chosen" not in text
        assert "fixed beforehand" not in text
        assert "set after" not in rows["persistence", protocol]["protocol_text"]
    assert "alpha 0.9 (the paper prints none for this data)" in rows[name, "paper"]["protocol_text"]
    assert "the run's threshold was found for another score" in told


@pytest.mark.parametrize(
    ("name", "setting", "changed"),
    [
        pytest.param(
            "stnmamba", "model.lambda_score=0.1", {"lambda_score": 0.1}, marks=pytest.mark.slow
        ),
        ("msti-net", "model.tau=0.1", {"tau": 0.1}),
    ],
)
def test_weights_of_the_papers_score_take_effect(name, setting, changed, added_runs, labelled):
    run, dataset = load_run(added_runs[name]), open_dataset(labelled)
    asked = parse_protocols("paper")
    base = evaluate(oddframe.load(run), dataset, asked, floors=[], regions=False)
    found = evaluate(
        oddframe.load(run.with_settings([setting])), dataset, asked, floors=[], regions=False
    )
    (share,) = changed.values()

    def score(terms):
        far = [unit(x) for column, x in terms.items() if column.startswith("distance")]
        return share * unit(-terms["psnr"]) + (1 - share) * np.mean(far, 0)

    want = frame_auc([score(v.terms)[4:] for v in base.videos], [v.labels[4:] for v in base.videos])
    assert found.rows[0]["auc"] == pytest.approx(want, abs=1e-9)
    assert found.rows[0]["auc"] != base.rows[0]["auc"]
    assert f"{setting.replace('=', ' ')} instead of" in found.rows[0]["protocol_text"]


@pytest.mark.slow
def test_compare_needs_no_second_pass_and_reuses_nothing_wrongly(
    shared_run, added_runs, labelled, tmp_path, monkeypatch
):
    dataset, asked = open_dataset(labelled), parse_protocols("paper,deploy")
    runs = [shared_run, added_runs["stnmamba"]]

    def rows(settings=()):
        methods = collect(runs, {}, dataset, asked, tmp_path / "k", silent, How(settings=settings))
        found = compare(methods, dict(np.load(labelled / "labels.npz")), asked)
        return {(r["method"], r["protocol"]): r for r in found.rows}, methods

    before, _ = rows()
    monkeypatch.setattr(module, "score_all", None)  # no second pass
    settings = ["score.streams=[frame]", "score.alpha=.9", "model.lambda_score=.1"]
    after, methods = rows(settings)
    video = labelled / "test" / "01"
    own = load_run(shared_run).with_settings(settings[:2])
    want = oddframe.load(own).score(video).score
    np.testing.assert_array_equal(methods[0].scores["01"], want)
    np.testing.assert_array_equal(np.load(tmp_path / "k" / "RUN.npz")["01"], want)
    text = after["RUN", "deploy"]["protocol_text"]
    assert "score.streams [frame] instead of all, score.alpha" not in text  # in the config's order
    assert "score.alpha 0.9 instead of 0.5, score.streams [frame] instead of all" in text
    assert "lambda_score" not in text
    text = after["stnmamba", "paper"]["protocol_text"]
    assert "model.lambda_score 0.1 instead of 0.8" in text
    assert "alpha 0.9" not in text
    for key in (("RUN", "paper"), ("RUN", "deploy"), ("stnmamba", "paper")):
        assert after[key]["auc"] != before[key]["auc"], key
    assert after["persistence", "deploy"] == before["persistence", "deploy"]
    again, _ = rows()
    assert again == before
    kept = np.load(tmp_path / "k" / "RUN.npz")["01"]
    np.testing.assert_array_equal(kept, oddframe.load(shared_run).score(video).score)
    with pytest.raises(ConfigError, match=r"'model.tau=.5' is no score setting .*stnmamba: model"):
        rows(["model.tau=.5"])


def test_score_writes_the_changed_score_and_says_so(shared_run, labelled, tmp_path, capsys):
    video, out = labelled / "test" / "01", tmp_path / "out"
    args = ["score", str(shared_run), str(video), "--out", str(out)]
    assert main([*args, "--set", "score.streams=[frame]"]) == 0
    told = capsys.readouterr().out
    assert "set after training: score.streams [frame] instead of all" in told
    assert "found for another score: levels stay empty" in told
    with (out / "01.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[20]["score"] == lines[20]["z_frame"]
    assert lines[20]["level"] == ""
    assert main([*args, "--set", "model.width=8"]) == 1
    assert (
        "score.alpha, score.smooth, score.lag_s, score.sharpness, score.one_voice, score.streams"
        in capsys.readouterr().err
    )


def test_a_verb_refuses_before_any_work(shared_run, labelled, capsys, tmp_path):
    for verb in ("evaluate", "compare"):
        args = [verb, str(shared_run), "--data", str(labelled), "--set", "train.lr=1"]
        out = ["--out", str(tmp_path / "c")] if verb == "compare" else []
        assert main([*args, *out]) == 1
        assert "score.streams" in capsys.readouterr().err


def test_streams_that_a_model_never_had_are_named_when_it_scores():
    config = ScoreConfig(streams=("motion",), flow=False)
    with pytest.raises(ConfigError, match="asks for motion, the model has frame"):
        chosen({"frame": 1.0}, config)
    assert chosen({"frame": 1.0, "flow": 2.0}, ScoreConfig(streams=("flow",))) == {"flow": 2.0}


def test_a_scale_of_training_scores_is_refused_before_anything_is_scored(
    shared_run, labelled, monkeypatch
):
    detector = oddframe.load(shared_run)

    def never(*_, **__):
        raise AssertionError("scored")

    monkeypatch.setattr(detector, "observe", never)
    with pytest.raises(ProtocolError, match="scales by scores of training video"):
        evaluate(detector, open_dataset(labelled), parse_protocols("deploy+normalise=train"))
