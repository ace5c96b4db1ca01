"""The score of each model's paper: rescaled once, by the extremes that are named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from stub_run import ADDED

import oddframe
from oddframe.cli import main
from oddframe.data import open_dataset
from oddframe.errors import OddframeWarning, ProtocolError
from oddframe.evaluation.compare import compare
from oddframe.evaluation.evaluate import evaluate
from oddframe.evaluation.methods import collect
from oddframe.evaluation.scored import leave_out
from oddframe.judging.named import parse_protocols
from oddframe.metrics import frame_auc
from oddframe.runs import load_run


def unit(values, span=None):
    low, high = span or (np.nanmin(values), np.nanmax(values))
    return (values - low) / (high - low)


def by_hand(name, model, terms, spans):
    """The papers' sums, larger = more anomalous; spans: (low, high) by column, None: the own."""
    c = model.config

    def odd(column, sign=1):
        values = sign * (
            terms["commit"] + terms["transfer"] if column == "commit" else terms[column]
        )
        if spans is None:
            return unit(values)
        low, high = sorted(sign * np.array(spans[column]))
        return unit(values, (low, high))

    if name == "stnmamba":
        far = np.mean([odd(f"distance_{i}") for i in (1, 2, 3, 4)], 0)
        return c.lambda_score * odd("psnr", -1) + (1 - c.lambda_score) * far
    if name == "msti-net":
        return c.tau * odd("psnr", -1) + (1 - c.tau) * odd("distance") - 1
    if name == "mnad":
        return c.score_alpha * odd("psnr", -1) + (1 - c.score_alpha) * odd("distance")
    if name == "vadmamba":
        moved = odd("psnr_motion", -1)
        return c.score_alpha * odd("psnr_frame", -1) + (1 - c.score_alpha) * moved
    weights = np.array([1, c.score_motion, c.score_commit])
    parts = [odd("psnr_frame", -1), odd("psnr_motion", -1), odd("commit")]
    return np.tensordot(weights, parts, 1) / weights.sum()


def spans_of(videos):
    """Extremes of every column over all videos."""
    columns = {name: [v.terms[name] for v in videos] for name in videos[0].terms}
    if "transfer" in columns:
        columns["commit"] = [v.terms["commit"] + v.terms["transfer"] for v in videos]
    whole = {name: np.concatenate(values) for name, values in columns.items()}
    return {name: (np.nanmin(v), np.nanmax(v)) for name, v in whole.items()}


def auc(videos, scores, normalise="none", first=4):
    return frame_auc(
        [s[first:] for s in scores], [v.labels[first:] for v in videos], normalise=normalise
    )


@pytest.mark.parametrize("name", ADDED)
def test_terms_are_rescaled_and_their_sum_is_not(name, added_runs, labelled):
    detector = oddframe.load(added_runs[name])
    protocols = parse_protocols("paper,paper+normalise=global,deploy,deploy+score=paper"
                                "+normalise=per_video")  # fmt: skip
    found = evaluate(detector, open_dataset(labelled), protocols, floors=["persistence"])
    rows = {(r["method"], r["protocol"]): r for r in found.rows}
    model, videos = load_run(added_runs[name]).model(), found.videos
    own = [by_hand(name, model, v.terms, None) for v in videos]
    paper = rows[name, "paper"]
    assert paper["auc"] == pytest.approx(auc(videos, own), abs=1e-9)
    assert paper["auc"] != pytest.approx(auc(videos, own, "per_video"), abs=1e-9)
    text = paper["protocol_text"]
    assert "score of the model's paper; terms min-maxed per video as the paper adds them" in text
    assert "sum not rescaled" in text
    assert "per-video min-max" not in text
    # `global` is about the terms, not about their sum.
    whole = [by_hand(name, model, v.terms, spans_of(videos)) for v in videos]
    row = rows[name, "paper+normalise=global"]
    assert row["auc"] == pytest.approx(auc(videos, whole), abs=1e-9)
    assert row["auc"] != pytest.approx(auc(videos, [v.score for v in videos], "global"), abs=1e-9)
    assert "terms min-maxed over all test videos" in row["protocol_text"]
    # A floor has one score, and it is rescaled.
    floor = rows["persistence", "paper"]["protocol_text"]
    assert floor.startswith("per-video min-max")
    assert "score of" not in floor
    assert "causal score; no normalisation" in rows[name, "deploy"]["protocol_text"]
    mixed = rows[name, protocols[3].name]
    assert mixed["auc"] == pytest.approx(auc(videos, own, first=16), abs=1e-9)


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("normalise", ["none", "train"])
def test_a_sum_of_rescaled_terms_cannot_be_had_unscaled(name, normalise, added_runs, labelled):
    detector, dataset = oddframe.load(added_runs[name]), open_dataset(labelled)
    asked = parse_protocols(f"paper+normalise={normalise}")
    seen = []
    with pytest.raises(ProtocolError, match=rf"{name}'s paper.*paper\+normalise=global"):
        evaluate(detector, dataset, asked, lambda *at: seen.append(at))
    assert not seen


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("stnmamba", marks=pytest.mark.slow), "msti-net"])
def test_a_comparison_rescales_no_sum_either(name, added_runs, shared_run, labelled, tmp_path):
    dataset, protocols = open_dataset(labelled), parse_protocols("paper,paper+normalise=global")
    methods = collect(
        [added_runs[name], shared_run], {}, dataset, protocols, tmp_path / "kept",
        lambda _: lambda *_: None,
    )  # fmt: skip
    truth = dict(np.load(labelled / "labels.npz"))
    found = compare(methods, truth, protocols)
    rows = {(r["method"], r["protocol"]): r for r in found.rows}
    videos = evaluate(
        oddframe.load(added_runs[name]), dataset, protocols, floors=["persistence"]
    ).videos
    model = load_run(added_runs[name]).model()
    for protocol, spans in (("paper", None), ("paper+normalise=global", spans_of(videos))):
        want = [by_hand(name, model, v.terms, spans) for v in videos]
        row = rows[name, protocol]
        assert row["auc"] == pytest.approx(auc(videos, want), abs=1e-9)
        assert "sum not rescaled" in row["protocol_text"]
        assert "last weights, not averaged" in row["protocol_text"]
        other = rows["RUN", protocol]
        assert "sum not rescaled" not in other["protocol_text"]
        assert "averaged over training; alpha 0.5 fixed" in other["protocol_text"]
        base, one = (row["auc"], other["auc"])
        apart = next(
            r for r in found.differences if (r["method"], r["protocol"]) == ("RUN", protocol)
        )
        assert apart["difference"] == pytest.approx(one - base, abs=1e-9)
    with pytest.raises(ProtocolError, match=f"{name}'s paper"):
        collect(
            [added_runs[name]], {}, dataset, parse_protocols("paper+normalise=none"),
            tmp_path / "kept", lambda _: lambda *_: None,
        )  # fmt: skip


@pytest.mark.parametrize("normalise", ["none", "global", "per_video"])
def test_any_normalisation_of_paper_judges_the_psnr_of_m2s2l(shared_run, labelled, normalise):
    detector, dataset = oddframe.load(shared_run), open_dataset(labelled)
    asked = parse_protocols(
        f"paper+normalise={normalise},deploy+normalise={normalise},paper+score=deploy"
    )
    found = evaluate(detector, dataset, asked, floors=["persistence"])
    rows = {(r["method"], r["protocol"]): r for r in found.rows}
    name, videos = detector.info.model, found.videos
    psnr = [-(0.5 * v.terms["psnr_frame"] + 0.5 * v.terms["psnr_motion"]) for v in videos]
    assert rows[name, asked[0].name]["auc"] == auc(videos, psnr, normalise)
    score = [v.score for v in videos]
    assert rows[name, asked[1].name]["auc"] == auc(videos, score, normalise, first=16)
    assert rows[name, "paper+score=deploy"]["auc"] == auc(videos, score, "per_video")
    assert "causal score; per-video" in rows[name, "paper+score=deploy"]["protocol_text"]


@pytest.mark.parametrize(
    ("folder", "alpha", "said"),
    [
        ("ped2-part", 0.6, "alpha 0.6 (the paper's for UCSD Ped2)"),
        pytest.param("Avenue", 0.4, "alpha 0.4 (the paper's for Avenue)", marks=pytest.mark.slow),
        pytest.param(
            "street", 0.5, "alpha 0.5 (the paper prints none for this data)", marks=pytest.mark.slow
        ),
    ],
)
def test_alpha_paper_is_that_of_the_data_set(run_copy, labelled, tmp_path, folder, alpha, said):
    card = json.loads((run_copy / "model.json").read_text())
    card["config"]["score"]["alpha"] = "paper"
    (run_copy / "model.json").write_text(json.dumps(card))
    root = shutil.copytree(labelled, tmp_path / folder)
    detector, dataset = oddframe.load(run_copy), open_dataset(root)
    found = evaluate(detector, dataset, parse_protocols("paper"), floors=["persistence"])
    videos = found.videos
    psnr = [-(alpha * v.terms["psnr_frame"] + (1 - alpha) * v.terms["psnr_motion"]) for v in videos]
    assert found.rows[0]["auc"] == auc(videos, psnr, "per_video")
    assert said in found.rows[0]["protocol_text"]
    assert detector.paper_of("ped2").alpha == 0.6
    methods = collect(
        [run_copy], {}, dataset, parse_protocols("paper"), tmp_path / "kept",
        lambda _: lambda *_: None,
    )  # fmt: skip
    truth = dict(np.load(labelled / "labels.npz"))
    row = compare(methods, truth, parse_protocols("paper")).rows[0]
    assert row["auc"] == found.rows[0]["auc"]
    assert said in row["protocol_text"]


def test_an_alpha_of_ones_own_is_told_from_the_papers(shared_run, labelled, tmp_path):
    root = shutil.copytree(labelled, tmp_path / "ped2-part")
    found = evaluate(
        oddframe.load(shared_run), open_dataset(root), parse_protocols("paper"),
        floors=["persistence"],
    )  # fmt: skip
    said = "alpha 0.5 fixed beforehand (the paper's for UCSD Ped2 is 0.6)"
    assert said in found.rows[0]["protocol_text"]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"train": {"average": 0.998}}, "last weights, averaged over training;"),
        ({"train": {"average": 0}}, "last weights, not averaged;"),
        ({"train": {}}, "weights as the RUN holds them;"),
        ({}, "weights as the RUN holds them;"),
    ],
)
def test_rows_say_which_weights_the_run_holds(run_copy, labelled, card, said):
    values = json.loads((run_copy / "model.json").read_text())
    values["config"].pop("train")
    values["config"] |= card
    (run_copy / "model.json").write_text(json.dumps(values))
    dataset = open_dataset(labelled)
    found = evaluate(oddframe.load(run_copy), dataset, parse_protocols("all"), floors=[])
    assert all(f"checkpoint and alpha: {said}" in r["protocol_text"] for r in found.rows)


def test_the_curves_are_those_that_the_papers_plot(added_runs, shared_run, labelled):
    video = labelled / "test" / "01"
    detector = oddframe.load(shared_run)
    terms = detector.score(video).terms
    assert detector.curve_name == "anomaly score"
    psnr = -(0.5 * terms["psnr_frame"] + 0.5 * terms["psnr_motion"])
    np.testing.assert_allclose(detector.paper_curve(terms), unit(psnr))
    spans = {"score": (-50.0, 10.0)}
    np.testing.assert_allclose(detector.paper_curve(terms, spans), unit(psnr, (-50.0, 10.0)))
    for name, said, sign, shift in (
        ("stnmamba", "normality score S", -1, 1),
        ("msti-net", "regularity score R", -1, 0),
        ("mnad", "anomaly score", 1, 0),
    ):
        detector = oddframe.load(added_runs[name])
        terms = detector.score(video).terms
        want = by_hand(name, load_run(added_runs[name]).model(), terms, None)
        np.testing.assert_allclose(detector.paper_curve(terms), sign * want + shift, atol=1e-12)
        assert detector.curve_name == said


def test_a_video_too_short_for_any_score_is_named(added_runs, write_street, tmp_path):
    root = tmp_path / "set"
    write_street(root / "normal" / "a", range(5))
    for name, frames in (("01", 30), ("02", 3)):
        write_street(root / "test" / name, range(frames), 20)
    labels = {"01": np.arange(30) >= 20, "02": np.arange(3) >= 2}
    np.savez(root / "labels.npz", **{k: v.astype(np.uint8) for k, v in labels.items()})
    protocols = parse_protocols("paper+normalise=global,deploy")
    detector, data = oddframe.load(added_runs["mnad"]), open_dataset(root)
    with pytest.warns(OddframeWarning, match=r"left out, 1 of 2 test videos.* 02"):
        found = evaluate(detector, data, protocols, floors=["persistence"])
    assert {(r["videos"], r["protocol"]) for r in found.rows} == {(1, p.name) for p in protocols}
    assert [v.name for v in found.videos] == ["01"]
    with pytest.raises(ProtocolError, match=r"None of the 1 test videos has any score \(02\)"):
        leave_out(["02"], 1)


def test_a_video_that_the_protocol_would_drop_whole_is_judged(added_runs, write_street, tmp_path):
    root = tmp_path / "set"
    write_street(root / "normal" / "a", range(5))
    for name, frames in (("01", 30), ("02", 12)):
        write_street(root / "test" / name, range(frames), 10)
    labels = {"01": np.arange(30) >= 10, "02": np.arange(12) >= 8}
    np.savez(root / "labels.npz", **{k: v.astype(np.uint8) for k, v in labels.items()})
    detector = oddframe.load(added_runs["mnad"])
    found = evaluate(
        detector, open_dataset(root), parse_protocols("deploy"), floors=["persistence"]
    )
    history = detector.info.history
    for row in found.rows:
        assert row["frames"] == 42 - 2 * history
        assert "not its first 16: a video has only 12 frames" in row["protocol_text"]


def test_the_command_line_says_it_in_one_paragraph(added_runs, labelled, capsys):
    args = ["evaluate", str(added_runs["mnad"]), "--data", str(labelled)]
    assert main([*args, "--protocol", "paper+normalise=none"]) == 1
    said = capsys.readouterr().err
    assert "mnad's paper" in said
    assert "Traceback" not in said


def test_a_codes_score_is_read_back():
    for text in ("paper+score=deploy", "deploy+score=paper", "paper+normalise=global", "mnad"):
        protocol = parse_protocols(text)[0]
        assert f"score={protocol.score}" in protocol.code
        again = parse_protocols(protocol.code)[0]
        for field in ("score", "normalise", "drop", "smooth", "average"):
            assert getattr(again, field) == getattr(protocol, field)
    assert replace(parse_protocols("paper")[0], score="deploy").text.startswith("causal score")
