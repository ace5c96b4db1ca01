"""The ways in which numbers of this field go wrong: one test each, which fails if it comes back.

The numbers are those of the catalogue of pitfalls in docs/protocol.md.
"""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

from oddframe.data.labels import check_lengths as check_frames
from oddframe.data.labels import label_source
from oddframe.errors import ConfigError, DatasetError, ProtocolError
from oddframe.judging.judge import evaluate_arrays, judge
from oddframe.judging.named import PROTOCOLS, for_missing, parse_protocols
from oddframe.judging.protocol import Protocol
from oddframe.metrics import frame_auc, macro_auc, psnr
from oddframe.metrics.check import min_max
from oddframe.metrics.smooth import smooth_video
from oddframe.models import default_config
from oddframe.models.memory import Memory, MemoryConfig
from oddframe.sources.base import sort_frames
from oddframe.train.module import Batches
from oddframe.train.split import Span


def made(seed=0, videos=3, n=60):
    rng = np.random.default_rng(seed)
    labels = {f"{v}": (np.arange(n) // 20 % 2).astype(np.uint8) for v in range(videos)}
    scores = {k: rng.normal(size=n) + 2 * y + 3 * int(k) for k, y in labels.items()}
    return scores, labels


def test_01_deploy_does_not_depend_on_what_comes_later_and_per_video_says_that_it_does():
    scores, labels = made()
    scores["1"][55] = 99
    cut = {k: s[:50] for k, s in scores.items()}
    truth = {k: y[:50] for k, y in labels.items()}
    for name, causal in (("deploy", True), ("paper", False)):
        protocol = PROTOCOLS[name]
        whole, part = judge(scores, labels, protocol), judge(cut, truth, protocol)
        same = all(
            np.array_equal(a[: b.size], b) for a, b in zip(whole.scores, part.scores, strict=True)
        )
        assert same == causal
        assert ("looks ahead" in whole.text) == (not causal)


def test_01_a_video_without_anomaly_gets_a_one_only_under_the_rescaling():
    scores = {"quiet": np.linspace(0, 1e-3, 30), "busy": np.linspace(0, 9, 30)}
    labels = {"quiet": np.zeros(30), "busy": np.arange(30) >= 15}
    assert judge(scores, labels, replace(PROTOCOLS["paper"], drop=0)).scores[1].max() == 1
    assert judge(scores, labels, PROTOCOLS["raw"]).scores[1].max() == 1e-3


@pytest.mark.parametrize("name", ["paper", "deploy", "mnad", "vadmamba", "jigsaw"])
def test_02_constant_scores_of_a_video_are_no_nan(name):
    scores, labels = made()
    scores["1"] = np.full(60, 7.0)
    row = evaluate_arrays("m", scores, labels, PROTOCOLS[name])
    assert all(np.isfinite(row[k]) for k in ("auc", "ap", "eer", "tpr"))
    assert not min_max(np.full(4, 3.0)).any()


def test_02_a_perfect_prediction_is_a_hundred_decibel():
    a = np.zeros((4, 4))
    assert psnr(a, a, max_value=2) == 100


def test_03_larger_is_more_anomalous_and_a_flip_shows():
    scores, labels = made(videos=1)
    auc = evaluate_arrays("m", scores, labels, PROTOCOLS["raw"])["auc"]
    flipped = evaluate_arrays("m", {k: -s for k, s in scores.items()}, labels, PROTOCOLS["raw"])
    assert auc > 0.8
    assert flipped["auc"] == pytest.approx(1 - auc)


def test_04_every_method_is_judged_on_the_same_frames_and_the_text_counts_them():
    scores, labels = made()
    short = {k: np.concatenate([np.full(4, np.nan), s[4:]]) for k, s in scores.items()}
    long = {k: np.concatenate([np.full(16, np.nan), s[16:]]) for k, s in scores.items()}
    rows = [evaluate_arrays("m", s, labels, PROTOCOLS["deploy"]) for s in (short, long)]
    assert rows[0]["auc"] == rows[1]["auc"]
    assert {r["frames"] for r in rows} == {3 * 44}
    for row in rows:
        assert "first 16 frames of every video dropped" in row["protocol_text"]


def test_04_all_frames_can_be_judged_with_the_missing_ones_filled():
    scores, labels = made()
    filled = judge(scores, labels, Protocol("x", drop=5, drop_end=2, fill=True))
    for name, values in zip(filled.names, filled.scores, strict=True):
        np.testing.assert_array_equal(values[:5], scores[name][5])
        np.testing.assert_array_equal(values[5:58], scores[name][5:58])
        np.testing.assert_array_equal(values[58:], scores[name][57])
    assert "first 5 frames and last 2 frames of every video filled" in filled.text
    assert "looks ahead (not causal)" in filled.text  # frame 0 has the score of frame 5


def test_04_frames_without_a_score_inside_a_video_are_filled_with_the_nearest_too():
    values = np.arange(12.0)
    values[[0, 4, 5, 6, 7]] = np.nan
    labels = {"1": np.arange(12) % 2}
    filled = judge({"1": values}, labels, Protocol("x", drop=1, fill=True, holes=True))
    np.testing.assert_array_equal(filled.scores[0], [1, 1, 2, 3, 3, 3, 8, 8, 8, 9, 10, 11])
    assert "left out" not in filled.text
    assert "4 frames without a score filled with the nearest score (behind gaps" in filled.text
    jigsaw = replace(PROTOCOLS["jigsaw"], drop=1, drop_end=0, holes=True)
    assert np.isfinite(judge({"1": values}, labels, jigsaw).scores[0]).all()


def test_05_one_class_videos_have_no_auc_and_are_not_padded_to_have_one():
    scores, labels = made()
    labels["2"][:] = 1
    found = macro_auc([scores[k] for k in "012"], [labels[k] for k in "012"])
    own = [frame_auc([scores[k]], [labels[k]]) for k in "01"]
    padded = frame_auc([[*scores["2"], -99, 99]], [[*labels["2"], 0, 1]])
    assert found.auc == pytest.approx(np.mean(own))
    assert found.left_out == [2]
    assert np.mean([*own, padded]) != pytest.approx(found.auc)
    row = evaluate_arrays("m", scores, labels, replace(PROTOCOLS["raw"], average="macro"))
    assert row["one_class_videos"] == 1
    assert "2 of 3 videos" in row["protocol_text"]


def test_06_a_memory_writes_nothing_at_test_time():
    torch.manual_seed(0)
    memory = Memory(8, MemoryConfig(memory_items=4)).eval()
    before, first = memory.items.clone(), torch.randn(2, 5, 8)
    alone = memory(first)
    memory(torch.randn(2, 5, 8))
    assert torch.equal(memory.items, before)
    assert torch.equal(memory(first), alone)
    memory.train()(first)
    assert not torch.equal(memory.items, before)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_07_every_text_says_how_checkpoint_and_weights_were_chosen(name):
    assert "checkpoint and alpha: " in PROTOCOLS[name].text
    tuned = {"ffp", "mnad", "vadmamba", "lgn", "hf2vad", "aed-mae", "clnet", "jigsaw"}
    assert ("TEST" in PROTOCOLS[name].text) >= (name in tuned)


@pytest.mark.parametrize("form", ["gaussian:3", "gaussian:3:5:zeros", "median:5", "ema:0.2"])
def test_08_smoothing_begins_afresh_in_each_video(form):
    scores, labels = made()
    protocol = Protocol("x", drop=0, smooth=form)
    apart = judge(scores, labels, protocol).scores
    together = judge(scores, labels, replace(protocol, across=True)).scores
    for name, values in zip("012", apart, strict=True):
        np.testing.assert_array_equal(values, smooth_video(scores[name], form))
    assert not np.array_equal(np.concatenate(apart), np.concatenate(together))
    assert "across the borders" in judge(scores, labels, replace(protocol, across=True)).text
    assert protocol.looks_ahead == (form != "ema:0.2")


def test_08_zero_padding_pulls_the_ends_down_and_is_said():
    flat = np.ones(40)
    np.testing.assert_allclose(smooth_video(flat, "gaussian:5"), 1)
    assert smooth_video(flat, "gaussian:5:15:zeros")[0] < 0.6
    assert "zero-padded" in PROTOCOLS["aed-mae"].text


def test_09_the_label_set_stands_beside_the_number(tmp_path, make_video):
    from oddframe.data import open_dataset

    sources = []
    for i in range(2):
        root = tmp_path / str(i)
        make_video(root / "training" / "01.avi")
        make_video(root / "testing" / "01.avi")
        np.savez(root / "labels.npz", **{"01": np.arange(12) >= 5 + i})
        sources.append(label_source(open_dataset(root)))
    assert sources[0] != sources[1]
    scores, labels = made()
    row = evaluate_arrays("m", scores, labels, PROTOCOLS["deploy"], sources[0])
    assert sources[0] in row["protocol_text"]


def test_10_labels_of_another_number_of_frames_are_refused():
    with pytest.raises(DatasetError, match="264 frames and 265 labels"):
        check_frames("01_0014", 265, 264)
    scores, labels = made()
    labels["1"] = labels["1"][:-1]
    with pytest.raises(ProtocolError, match="'1': 60 scores, but 59 labels"):
        evaluate_arrays("m", scores, labels, PROTOCOLS["deploy"])


def test_11_frames_are_sorted_by_number_not_as_text(tmp_path):
    paths = [tmp_path / f"{i}.jpg" for i in (10, 2, 1, 100)]
    assert [p.stem for p in sort_frames(paths)] == ["1", "2", "10", "100"]


def test_12_the_span_of_the_values_is_stated_because_it_moves_a_psnr_by_six_decibel():
    a, b = np.zeros((2, 2)), np.full((2, 2), 0.5)
    shift = psnr(a, b, max_value=2) - psnr(a, b, max_value=1)
    assert shift == pytest.approx(20 * np.log10(2))
    assert inspect.signature(psnr).parameters["max_value"].default is inspect.Parameter.empty


def test_13_a_knob_that_nobody_reads_is_refused():
    with pytest.raises(ConfigError, match="learning_rate"):
        type(default_config("m2s2l-edge")).read({"learning_rate": 1})


def test_14_timings_wait_for_the_gpu(monkeypatch):
    from oddframe.bench.timing import on_cuda

    calls = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("wait"))
    on_cuda(lambda: calls.append("job"))()
    assert calls == ["job", "wait"]


def test_15_an_auc_does_not_stand_for_a_false_alarm_rate():
    scores, labels = made()
    row = evaluate_arrays("m", scores, labels, PROTOCOLS["deploy"])
    y = np.concatenate([labels[k][16:] for k in "012"])
    s = np.concatenate([scores[k][16:] for k in "012"])
    normal = np.sort(s[y == 0])
    best = max((s[y == 1] >= t).mean() for t in s if (normal >= t).mean() <= 0.01)
    assert row["tpr"] == pytest.approx(best)


def test_16_a_batch_never_runs_across_two_videos():
    class Store:
        def read(self, start, stop):
            frames = np.arange(start, stop, dtype=np.uint8)
            return np.broadcast_to(frames[:, None, None, None], (stop - start, 2, 2, 3))

    spans = [Span(0, 9), Span(9, 21), Span(21, 26)]
    batches = Batches(Store(), spans, length=6, batch=4, seed=0)
    assert batches.runs == 4 + 7
    seen = set()
    for step in range(60):
        frames = ((batches.at(step)[:, :, 0, 0, 0] + 1) * 127.5).round().int()
        for first, last in frames[:, [0, -1]].tolist():
            assert last - first == 5
            assert any(s.start <= first and last < s.stop for s in spans)
            seen.add(first)
    assert len(seen) == 11


def test_17_a_term_that_has_collapsed_orders_nothing_and_breaks_nothing():
    _, labels = made()
    flat = {k: np.full(60, 0.25) for k in labels}
    for protocol in parse_protocols("paper,deploy,mnad"):
        assert evaluate_arrays("m", flat, labels, protocol)["auc"] == 0.5


def test_frames_without_a_score_move_no_labels():
    scores, labels = made()
    cut = for_missing(PROTOCOLS["deploy"], 20, 3)
    kept = judge(scores, labels, cut)
    for name, frames, y in zip(kept.names, kept.frames, kept.labels, strict=True):
        np.testing.assert_array_equal(frames, np.arange(20, 57))
        np.testing.assert_array_equal(y, labels[name][frames] == 1)
