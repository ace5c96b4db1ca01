"""Protocols: one definite rule from scores to a row, and its text beside the number."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from oddframe.errors import ConfigError, ProtocolError
from oddframe.judging.elsewhere import evaluate_scores_files
from oddframe.judging.judge import ROC_CELLS, evaluate_arrays, judge, per_video, roc_of
from oddframe.judging.named import PROTOCOLS, SETS, for_short, parse_protocols
from oddframe.judging.protocol import Protocol
from oddframe.metrics import roc_curve
from oddframe.metrics.rows import format_table, write_rows_json
from oddframe.metrics.smooth import smooth_video

PLAIN = Protocol("plain", drop=0)


def some_set(n: int = 60, videos: int = 4, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = {f"{v:02d}": (rng.random(n + v) < 0.4).astype(np.uint8) for v in range(videos)}
    labels["00"][:] = 1
    scores = {k: rng.normal(size=y.size) + y + int(k) for k, y in labels.items()}
    return scores, labels


def unscored(scores, n=16):
    return {k: np.concatenate([np.full(n, np.nan), s[n:]]) for k, s in scores.items()}


def min_max(s):
    return (s - s.min()) / (s.max() - s.min())


def test_rows_equal_the_rule_done_by_hand():
    scores, labels = some_set()
    y = np.concatenate([labels[k][16:] for k in sorted(labels)])
    paper = evaluate_arrays("m", unscored(scores), labels, PROTOCOLS["paper"], "made")
    want = roc_auc_score(y, np.concatenate([min_max(scores[k][16:]) for k in sorted(labels)]))
    assert paper["auc"] == pytest.approx(want, abs=1e-12)
    deploy = evaluate_arrays("m", unscored(scores), labels, PROTOCOLS["deploy"])
    want = roc_auc_score(y, np.concatenate([scores[k][16:] for k in sorted(labels)]))
    assert deploy["auc"] == pytest.approx(want, abs=1e-12)
    assert deploy["frames"] == y.size
    assert deploy["abnormal"] == y.sum()
    assert (deploy["videos"], deploy["one_class_videos"], deploy["dropped_frames"]) == (4, 1, 64)
    own = [roc_auc_score(labels[k][16:], scores[k][16:]) for k in ("01", "02", "03")]
    assert deploy["macro_auc"] == pytest.approx(np.mean(own), abs=1e-12)
    json.dumps([paper, deploy], allow_nan=False)
    assert "labels: made" in paper["protocol_text"]


def test_smoothing_runs_per_video_before_the_normalisation():
    scores, labels = some_set()
    protocol = Protocol("own", normalise="per_video", drop=3, smooth="gaussian:2")
    names = sorted(labels)
    by_hand = [min_max(smooth_video(scores[k][3:], "gaussian:2")) for k in names]
    want = roc_auc_score(np.concatenate([labels[k][3:] for k in names]), np.concatenate(by_hand))
    row = evaluate_arrays("m", scores, labels, protocol)
    assert row["auc"] == pytest.approx(want, abs=1e-12)


def test_the_text_names_every_choice():
    text = Protocol(
        "x", "per_video", 16, "gaussian:3", "macro", "best epoch on the TEST clips"
    ).text
    for part in (
        "per-video min-max",
        "first 16 frames",
        "sigma 3",
        "macro",
        "looks ahead",
        "best epoch on the TEST clips",
    ):
        assert part in text
    assert "no normalisation; first 16" in PROTOCOLS["deploy"].text
    assert "causal" in PROTOCOLS["deploy"].text
    assert "alpha 0.2" in Protocol("x", smooth="ema:0.2").text
    assert "log scores" in Protocol("x", smooth="log-ema:0.2").text
    assert "no frames dropped" in PLAIN.text


@pytest.mark.parametrize("frames", [3, 60, 20_000])
@pytest.mark.parametrize("levels", [2, 10**9])
def test_a_thinned_roc_curve_is_the_whole_one_to_what_a_picture_shows(frames, levels):
    scores, labels = some_set(frames)
    scores = {k: np.round(s * levels) / levels for k, s in scores.items()}
    found = roc_of("m", judge(scores, labels, PLAIN), floor=True)
    fpr, tpr = roc_curve(list(scores.values()), list(labels.values()))
    row = evaluate_arrays("m", scores, labels, PLAIN)
    assert (found.auc, found.method, found.protocol) == (row["auc"], "m", "plain")
    assert (found.floor, found.macro) == (True, False)
    assert (found.fpr[0], found.tpr[0], found.fpr[-1], found.tpr[-1]) == (0, 0, 1, 1)
    assert found.fpr.size <= 2 * ROC_CELLS + 2
    # Every point of the whole curve has a kept one in reach, and every kept one is of it.
    at = np.array([np.abs(found.fpr - a) + np.abs(found.tpr - b) for a, b in zip(fpr, tpr)])  # noqa: B905
    assert at.min(axis=1).max() <= 2 / ROC_CELLS
    assert at.min(axis=0).max() == 0


def test_a_roc_curve_is_of_scores_as_the_protocol_makes_them():
    scores, labels = some_set()
    protocol = replace(PLAIN, normalise="per_video", average="macro")
    by_video = roc_of("m", judge(scores, labels, protocol))
    want = roc_auc_score(
        np.concatenate(list(labels.values())),
        np.concatenate([min_max(s) for s in scores.values()]),
    )
    assert by_video.auc == pytest.approx(want)
    assert by_video.macro
    assert by_video.auc != pytest.approx(roc_of("m", judge(scores, labels, PLAIN)).auc)


def test_macro_says_how_many_videos_took_part():
    scores, labels = some_set()
    row = evaluate_arrays("m", scores, labels, replace(PLAIN, average="macro"))
    assert row["auc"] == row["macro_auc"]
    assert "3 of 4 videos" in row["protocol_text"]


def test_macro_is_null_where_no_video_holds_both_classes():
    scores = {"a": [1, 2], "b": [3, 4]}
    row = evaluate_arrays("m", scores, {"a": [0, 0], "b": [1, 1]}, PLAIN)
    assert (row["auc"], row["macro_auc"], row["one_class_videos"]) == (1.0, None, 2)
    assert " - " in format_table([row])


def test_nan_is_fine_in_dropped_frames_only():
    scores, labels = some_set()
    late = unscored(scores, 17)
    with pytest.raises(ProtocolError, match="video '00': frame 16 is nan"):
        evaluate_arrays("m", late, labels, PROTOCOLS["deploy"])


@pytest.mark.parametrize("protocol", [PROTOCOLS["deploy"], replace(PLAIN, drop=None), PLAIN])
def test_a_score_array_short_by_one_clip_is_never_lined_up(protocol):
    scores, labels = some_set()
    scores["02"] = scores["02"][16:]
    with pytest.raises(ProtocolError, match="video '02': 46 scores, but 62 labels"):
        evaluate_arrays("m", scores, labels, protocol)


def test_keys_that_differ_are_named():
    scores, labels = some_set()
    scores["99"] = scores.pop("03")
    with pytest.raises(ProtocolError, match=r"without labels: 99; .*without scores: 03"):
        evaluate_arrays("m", scores, labels, PLAIN)
    with pytest.raises(ProtocolError, match="no video"):
        evaluate_arrays("m", {}, {}, PLAIN)


def test_a_video_shorter_than_the_dropped_frames_is_refused_by_name():
    scores, labels = some_set()
    scores["03"], labels["03"] = scores["03"][:16], labels["03"][:16]
    with pytest.raises(ProtocolError, match=r"'03': of its 16 frames the first 16"):
        evaluate_arrays("m", scores, labels, PROTOCOLS["deploy"])


def test_parse_protocols():
    assert [p.name for p in parse_protocols("all")] == ["paper", "deploy"]
    assert [p.name for p in parse_protocols("deploy, paper,deploy")] == ["deploy", "paper"]
    assert [p.name for p in parse_protocols("all,paper")] == ["paper", "deploy"]
    assert tuple(p.name for p in parse_protocols("every")) == SETS["every"]
    for wrong in ("", "best", "paper,best", "all+drop=4"):
        with pytest.raises(ConfigError, match="expected paper, deploy"):
            parse_protocols(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"normalise": "minmax"},
        {"drop": -1},
        {"smooth": "median:4"},
        {"drop_end": -1},
        {"average": "both"},
    ],
    ids=str,
)
def test_protocols_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        Protocol("x", **wrong)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6))
def test_per_video_points_are_the_lost_pairs_and_sum_to_what_is_missing(seed, levels):
    rng = np.random.default_rng(seed)
    labels = {str(v): rng.integers(0, 2, 9) for v in range(3)}
    labels["0"][:2] = 0, 1
    scores = {k: rng.integers(0, levels, 9).astype(float) for k in labels}
    rows = per_video(judge(scores, labels, PLAIN))
    auc = evaluate_arrays("m", scores, labels, PLAIN)["auc"]
    assert sum(r["points"] for r in rows) == pytest.approx(1 - auc, abs=1e-12)
    assert sum(r["cost"] for r in rows) == pytest.approx(1 if auc < 1 else 0)
    assert [r["points"] for r in rows] == sorted((r["points"] for r in rows), reverse=True)
    normal = np.concatenate([scores[k][labels[k] == 0] for k in labels])
    pairs = normal.size * sum(int(y.sum()) for y in labels.values())
    for row in rows:
        k = row["video"]
        lost = sum(
            (normal > s).sum() + 0.5 * (normal == s).sum() for s in scores[k][labels[k] == 1]
        )
        assert row["points"] == pytest.approx(lost / pairs)
        assert (row["auc"] is None) == (len(set(labels[k])) == 1)


def test_files_one_row_per_protocol_leading_nan_dropped_and_said(tmp_path):
    scores, labels = some_set()
    scores["01"][:5] = np.nan
    np.savez(tmp_path / "mine.npz", **scores)
    np.savez(tmp_path / "truth.npz", **labels)
    rows = evaluate_scores_files(
        tmp_path / "mine.npz", tmp_path / "truth.npz", parse_protocols("all")
    )
    assert [(r["method"], r["protocol"]) for r in rows] == [("mine", "paper"), ("mine", "deploy")]
    frames = sum(y.size for y in labels.values())
    assert [r["frames"] for r in rows] == [frames - 5, frames - 4 * 16]
    assert "0 to 5 per video, 5 in all" in rows[0]["protocol_text"]
    assert "first 16 frames of every video dropped" in rows[1]["protocol_text"]
    for row in rows:
        assert "checkpoint and alpha: not stated" in row["protocol_text"]
        assert "labels: truth.npz" in row["protocol_text"]
    write_rows_json(tmp_path / "rows.json", rows)
    assert json.loads((tmp_path / "rows.json").read_text()) == {"rows": rows}


def test_files_an_explicit_drop_counts_frames(tmp_path):
    scores, labels = some_set()
    np.savez(tmp_path / "s.npz", **scores)
    np.savez(tmp_path / "y.npz", **labels)
    files, deploy = (tmp_path / "s.npz", tmp_path / "y.npz"), parse_protocols("deploy")
    want = evaluate_arrays("s", scores, labels, PROTOCOLS["deploy"])
    assert evaluate_scores_files(*files, deploy)[0]["auc"] == want["auc"]
    none = evaluate_scores_files(*files, deploy, drop=0)[0]
    assert none["dropped_frames"] == 0
    assert "no frames dropped" in none["protocol_text"]


def test_files_a_method_of_a_longer_clip_loses_more_frames_in_every_video(tmp_path):
    scores, labels = some_set()
    np.savez(tmp_path / "s.npz", **unscored(scores, 20))
    np.savez(tmp_path / "y.npz", **labels)
    row = evaluate_scores_files(
        tmp_path / "s.npz", tmp_path / "y.npz", parse_protocols("deploy,ffp")
    )
    assert [r["dropped_frames"] for r in row] == [80, 80]
    assert all("first 20 frames of every video dropped" in r["protocol_text"] for r in row)


def test_files_a_video_without_any_score_is_refused(tmp_path):
    scores, labels = some_set()
    scores["02"][:] = np.nan
    np.savez(tmp_path / "s.npz", **scores)
    np.savez(tmp_path / "y.npz", **labels)
    with pytest.raises(ProtocolError, match="'02'"):
        evaluate_scores_files(tmp_path / "s.npz", tmp_path / "y.npz", parse_protocols("paper"))


def test_a_clip_that_history_and_end_leave_nothing_of_is_judged_where_it_has_scores():
    memae = PROTOCOLS["memae"]  # drops 8 and, at the end, 7
    assert for_short(memae, 20) == memae
    short = for_short(memae, 20, first=16)
    assert (short.drop, short.drop_end) == (None, 0)
    assert "a video has only 20 frames" in short.text
    assert for_short(memae, 24, first=16) == memae
