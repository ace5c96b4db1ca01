"""The benches: the harness, the arithmetic of ratios and bounds, that all sides do the same."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from oddframe import bench
from oddframe.bench import bounds, scan, stream, table, timing, train, unet, video
from oddframe.bench.autograd import scan_by_autograd
from oddframe.bench.timing import Timing
from oddframe.bench.tiny import tiny
from oddframe.errors import ConfigError
from oddframe.models import MODELS, build
from oddframe.ops.backends import BACKENDS, unavailable
from oddframe.ops.chunked import scan_chunked

NATIVE = pytest.mark.skipif(
    unavailable("native") is not None, reason="the C extension was not built"
)
SMALL = scan.Shape(4, 8, 6, 3)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """One run per turn, a triad that fits into a test."""
    monkeypatch.setattr(timing, "_turn", timing._once)
    monkeypatch.setattr(bounds, "TRIAD", 1 << 12)


# ---- the harness


def test_the_slower_job_has_the_longer_minimum():
    best = timing.interleaved(
        {"short": lambda: time.sleep(0.001), "long": lambda: time.sleep(0.01)}, repeats=3
    )
    assert 0.001 <= best["short"].seconds < best["long"].seconds


def test_slow_jobs_get_fewer_turns_spread_among_those_of_the_fast(monkeypatch):
    monkeypatch.setattr(timing, "BUDGET_S", 0.1)
    order = []

    def slow():
        order.append("s")
        time.sleep(0.06)

    best = timing.interleaved({"fast": lambda: order.append("f"), "slow": slow})
    assert (best["fast"].turns, best["slow"].turns) == (10, timing.LEAST)
    turns = "".join(order[2:])  # after the warm-up
    assert turns.count("f") == 10
    assert turns.count("s") == timing.LEAST
    assert max(map(len, turns.split("s"))) <= 4


@pytest.mark.parametrize(
    ("once", "share", "turns"),
    [(0.1, 8.0, 10), (1.0, 8.0, 8), (3.0, 8.0, 3), (3.0, 0.5, 3), (6.0, 8.0, 1), (0.0, 8.0, 10)],
)
def test_a_job_of_seconds_has_few_turns_and_a_slower_one_a_single_turn(once, share, turns):
    assert timing.turns_of(once, 10, share) == turns


def test_many_jobs_share_the_time_of_a_group():
    assert timing.budget(1) == timing.budget(13) == timing.BUDGET_S
    assert timing.budget(64) == pytest.approx(timing.TOTAL_S / 64)


def test_progress_ends_at_its_total(monkeypatch):
    monkeypatch.setattr(timing, "BUDGET_S", 0.0)
    seen = []
    timing.interleaved({"a": int, "b": int}, title="both", tick=lambda *args: seen.append(args))
    assert seen[0] == ("both", 0, 22)
    assert seen[-1] == ("both", 8, 8)  # the warm-ups and three turns each


def test_a_job_on_other_threads_leaves_their_number_as_it_was():
    before = torch.get_num_threads()
    assert timing.on_threads(before + 1, torch.get_num_threads)() == before + 1
    assert torch.get_num_threads() == before


# ---- scan


@NATIVE
@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_every_backend_scans_the_same_and_has_the_same_gradients(backend):
    x = scan.Inputs.made(SMALL).leaves()
    there = partial(scan.scan_in_two_orders, BACKENDS[backend])
    gy = torch.randn_like(x.u)
    torch.testing.assert_close(there(x), scan.scan_in_place(x), rtol=1e-4, atol=1e-5)
    ours = torch.autograd.grad(there(x), x.tensors, gy)
    for a, b in zip(ours, torch.autograd.grad(scan.scan_in_place(x), x.tensors, gy), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("length", [1, 7, 64, 700])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_chunks_that_autograd_differentiates_are_the_scan(length, reverse):
    b, g, e, n = 2, 2, 3, 4
    torch.manual_seed(0)
    shapes = (b, length, g, e), (b, length, g, e), (g, n, e), (b, length, g, n), (b, length, g, n)
    u, delta, A, B, C = (torch.randn(*s, dtype=torch.float64) for s in shapes)
    inputs = [x.requires_grad_() for x in (u, delta, -A.exp(), B, C)]
    found, want = (run(*inputs, True, reverse) for run in (scan_by_autograd, scan_chunked))
    torch.testing.assert_close(found, want, rtol=1e-10, atol=1e-10)
    gy = torch.randn_like(u)
    for a, c in zip(*(torch.autograd.grad(y, inputs, gy) for y, _ in (found, want)), strict=True):
        torch.testing.assert_close(a, c, rtol=1e-9, atol=1e-10)


def test_bounds_are_bytes_over_bandwidth_and_what_the_library_took():
    best = {"memory": Timing(2.0, 10), "exp": Timing(0.25, 10)}
    found = bounds.bounds(1024, 10**9, best)
    bandwidth = 12 * bounds.TRIAD / 2.0
    assert found.seconds == {"memory": 1024 / bandwidth, "exp": 0.25}
    assert found.facts["exp_g_per_s"] == pytest.approx(4)
    assert found.facts["bandwidth_gb_per_s"] == pytest.approx(bandwidth / 1e9)
    assert any("arithmetic" in note and "does not measure" in note for note in found.notes)


def test_ratios_to_the_loop_to_the_bounds_and_of_the_backward():
    def case(backend, part, seconds):
        return f"{backend}, {part}", (scan.Case(backend, part, 1, int), Timing(seconds, 10))

    timed = dict([
        case("loop", scan.FORWARD, 8.0), case("native", scan.FORWARD, 2.0),
        case("native", scan.BOTH, 7.0), case("chunked", scan.FORWARD, 6.0),
    ])  # fmt: skip
    rows = scan.rows_of(timed, bounds.Bounds({"memory": 0.5, "exp": 1.0}, {}, ()))
    assert [row.name for row in rows] == [
        "loop, forward", "native, forward", "chunked, forward", "native, fwd + bwd",
    ]  # fmt: skip
    assert rows[1].ms == 2000
    assert rows[1].values == {
        "ratio_loop": 4,
        "ratio_chunked": 3,
        "ratio_memory": 4,
        "ratio_exp": 2,
    }
    assert rows[3].values == {"ratio_backward": 2.5}  # no loop to compare with


def test_the_loops_backward_is_left_out_where_it_takes_too_long(monkeypatch):
    monkeypatch.setattr(scan, "SLOWEST_S", 0.0)
    found = scan.bench(SMALL, timing.silent)
    names = [row.name for row in found.rows]
    assert "loop, forward" in names
    assert "loop, fwd + bwd" not in names
    assert any("left out" in note and "loop" in note for note in found.notes)


def test_the_better_number_of_threads_is_taken_and_said(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(timing, "on_threads", lambda n, job: job)
    monkeypatch.setattr(scan, "on_threads", lambda n, _: lambda: time.sleep(0.01 * n))
    threads, note = scan.best_threads(int, "", timing.silent)
    assert threads == 1
    assert "on 1 and" in note
    assert "ms on 2" in note


# ---- stream


def test_the_yardstick_has_the_published_size_and_cost():
    with torch.device("meta"):
        net = unet.UNet()
        with FlopCounterMode(display=False) as counter:
            out = net(torch.empty(1, 3 * unet.FRAMES, unet.SIZE, unet.SIZE))
    assert out.shape == (1, 3, unet.SIZE, unet.SIZE)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(15.65e6, rel=1e-3)
    assert counter.get_total_flops() / 2 == pytest.approx(46.48e9, rel=1e-3)


def test_a_made_video_has_the_frames_and_size_asked_for(tmp_path):
    path, what = video.make_video(tmp_path, 64, 48, 5)
    with video.open_source(path) as opened:
        assert len(list(opened)) == 5
        assert (opened.info.width, opened.info.height) == (64, 48)
        head = video.Head(opened, 3)
        assert [len(list(head)), len(list(head))] == [3, 3]
        # The reader of before gives the same pictures (colours of a size that small are coarser).
        before = list(video.ByOpenCV(path, opened.info, 3))
        assert [f.index for f in before] == [0, 1, 2]
        for ours, theirs in zip(head, before, strict=True):
            assert np.abs(ours.image.astype(int) - theirs.image).mean() < 1
            light = [cv2.cvtColor(f.at(32), cv2.COLOR_BGR2GRAY) for f in (ours, theirs)]
            assert cv2.absdiff(*light).mean() < 1
    assert "H.264" in what


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", "")


def test_without_an_encoder_for_h264_opencv_makes_the_video(tmp_path, no_ffmpeg):
    assert video.find_ffmpeg() is None
    _, what = video.make_video(tmp_path, 64, 48, 5)
    assert "made MPEG-4 part 2" in what
    assert "oddframe[bench]" in what


@pytest.mark.parametrize("script", ["exit 1", "cat > /dev/null; exit 1"], ids=["pipe", "end"])
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for ffmpeg")
def test_an_ffmpeg_that_cannot_encode_h264_is_left_alone(tmp_path, monkeypatch, script):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(video, "find_ffmpeg", lambda: str(program))
    path, what = video.make_video(tmp_path, 640, 480, 5)
    assert "made MPEG-4" in what
    with video.open_source(path) as opened:
        assert len(list(opened)) == 5


def test_with_an_encoder_the_video_is_h264(tmp_path, monkeypatch):
    if video.find_ffmpeg() is None:
        pytest.skip("no ffmpeg: pip install 'oddframe[bench]'")
    (tmp_path / "clips").mkdir()
    path, what = video.make_video(tmp_path / "clips", 64, 48, 5)
    assert "made H.264" in what
    monkeypatch.setenv("ODDFRAME_DATA", str(tmp_path))
    assert video.find_video(48) == (path, "H.264 (made.mp4)")  # OpenCV says so too


def test_a_real_clip_is_taken_where_there_is_one(tmp_path, monkeypatch, make_video, real_data):
    monkeypatch.delenv("ODDFRAME_DATA", raising=False)
    assert video.find_video(48) is None
    make_video(tmp_path / "clips" / "a.mp4")  # MPEG-4 part 2
    monkeypatch.setenv("ODDFRAME_DATA", str(tmp_path))
    assert video.find_video(48) is None
    monkeypatch.undo()
    clip = real_data("clips") / "person-bicycle-car.mp4"
    monkeypatch.setenv("ODDFRAME_DATA", str(clip.parents[1]))
    assert video.find_video(432) == (clip, f"H.264 ({clip.name})")
    assert video.find_video(10**4) is None


def test_the_score_part_takes_every_picture_as_the_scorer_does():
    net = build("m2s2l-edge", tiny("m2s2l-edge")).eval()
    still = video._Still(net)
    state, frame = still.init_state(), torch.zeros(1, 3, net.size, net.size)
    known = []
    for _ in range(net.history + 1):
        state, prediction = still.step(state, frame)
        known.append(prediction is not None)
    assert known == [False] * (net.history - 1) + [True, True]


# ---- train


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_a_training_step_moves_the_weights_by_the_backend_asked_for(backend, monkeypatch):
    calls = []

    def core(*args):
        calls.append(backend)
        return original(*args)

    original = BACKENDS[backend]
    monkeypatch.setitem(BACKENDS, backend, core)
    net = build("m2s2l-edge", tiny("m2s2l-edge"))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    settings = {"batch": 1, "targets": 2, "detach_context": True}
    train.training_step(net, settings, backend, "cpu")()
    assert calls
    still = [name for name, p in net.named_parameters() if torch.equal(before[name], p)]
    assert len(still) < len(before) / 2


# ---- what is handed out


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "stream" else n for n in bench.BENCHES],
)
def test_a_bench_gives_json_and_a_text_of_100_columns(name, monkeypatch):
    counts = {stream.NEW: 1.0, stream.CLIP: 2.0}  # counting every model is slow
    monkeypatch.setattr(stream, "model_gmac", lambda *args: counts)
    ticks = []
    found = bench.run(name, quick=True, tick=lambda *args: ticks.append(args))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {"threads", "load", "torch", "cpu_capability"} <= found["machine"].keys()
    assert ticks
    for made in found["tables"]:
        assert made["dtype"] == "float32"
        for row in made["rows"]:
            assert row["ms"] > 0
            assert row["turns"] >= timing.LEAST
            assert row["threads"] >= 1
    if name == "stream":  # with nothing asked for: all of the table, and a video
        rows = [row["name"] for row in found["tables"][0]["rows"]]
        assert {f"{model}, new frame" for model in MODELS} <= set(rows)
        assert len(found["tables"]) == 2
    text = bench.text(found)
    assert max(map(len, text.splitlines())) <= table.WIDTH
    assert all(row["name"] in text for made in found["tables"] for row in made["rows"])


def test_an_unknown_bench_names_those_there_are():
    with pytest.raises(ConfigError, match=r"bench knows scan, stream, train, found 'sacn'"):
        bench.run("sacn")


def test_the_text_wraps_notes_and_leaves_empty_what_has_no_number():
    row = table.Row("a job", 1234.5, 3, 2, {"x": 0.05}, note="why " * 40)
    made = table.Table(
        "title", (table.Column("x", "X", "means"), table.Column("y", "Y", "")), (row,)
    )
    lines = table.text(made.plain()).splitlines()
    assert lines[2].split() == ["a", "job", "1,234", "0.0500", "2", "3"]
    assert max(map(len, lines)) <= table.WIDTH
    assert table.text(replace(made, rows=()).plain()).startswith("title, float32")


def test_heads_of_several_words_are_stacked_only_where_the_table_would_be_too_wide():
    columns = tuple(table.Column(f"k{i}", f"some long head {i}", "") for i in range(6))
    made = table.Table("title", columns, (table.Row("a job", 1.0, 3, 2, {"k0": 5.0}),))
    lines = table.text(made.plain()).splitlines()
    assert max(map(len, lines)) <= table.WIDTH
    assert lines[1].split() == ["some"] * 6
    assert lines[4].split() == ["ms", *"012345", "threads", "turns"]
    assert lines[5].split() == ["a", "job", "1.00", "5.00", "2", "3"]
    few = table.text(replace(made, columns=columns[:2]).plain()).splitlines()
    assert few[1].split()[:5] == ["ms", "some", "long", "head", "0"]


def test_beside_a_gpu_the_threads_are_not_shown_and_turns_are_calls():
    made = table.Table("title", (), (table.Row("a job", 1.0, 30, 2),), device="cuda")
    lines = table.text(made.plain()).splitlines()
    assert lines[1].split() == ["ms", "calls"]
    assert lines[2].split() == ["a", "job", "1.00", "30"]
