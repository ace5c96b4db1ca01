"""`bench stream`: every model by name, on the CPU and as on a GPU, which a stub stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oddframe import bench
from oddframe.bench import Choice, latency, stream, table, timing
from oddframe.bench.stream import CLIP, HALF, NEW, TOGETHER, YARDSTICK, Place
from oddframe.bench.tiny import TINY, tiny
from oddframe.errors import ConfigError
from oddframe.models import MODELS, build
from oddframe.ops import dis

CPU = torch.device("cpu")
KINDS = [name for name in MODELS if name.endswith(("-128", "-edge"))]
"""One size of every model."""
FLOWING = ("msti-net-128", "ammc-128", "vadmamba-128")


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(timing, "_turn", timing._once)
    monkeypatch.setattr(latency, "WARM", 1)


@pytest.fixture
def stub(monkeypatch):
    """A GPU that is none: a name, and a wait that counts."""
    waits = []
    there = Place(CPU, "GPU of a test", lambda: waits.append(1))
    monkeypatch.setattr(stream, "place", lambda device: there)
    return waits


def small(name, **changes):
    config = tiny(name)
    torch.manual_seed(0)
    return build(name, type(config).read({**config.model_dump(), **changes})).eval()


# ---- what is timed


def test_every_model_has_a_tiny_size():
    assert TINY.keys() == {entry.module.rpartition(".")[2] for entry in MODELS.values()}
    assert {MODELS[name].module for name in KINDS} == {entry.module for entry in MODELS.values()}
    for name in MODELS:
        assert sum(p.numel() for p in build(name, tiny(name)).parameters()) < 5e5


@pytest.mark.parametrize("name", KINDS)
def test_a_new_frame_four_cameras_and_the_clip_predict_the_same(name):
    jobs = stream.model_jobs(small(name), CPU, clip=True)
    assert list(jobs) == [NEW, CLIP, HALF, TOGETHER]
    _, new = jobs[NEW]()
    clip = jobs[CLIP]()
    torch.testing.assert_close(new.frame, clip.frame, rtol=1e-4, atol=1e-4)
    _, four = jobs[TOGETHER]()
    assert len(four) == stream.CAMERAS
    for each in four:
        torch.testing.assert_close(each.frame, new.frame, rtol=1e-4, atol=1e-4)
    _, half = jobs[HALF]()
    assert not torch.equal(half.frame.float(), new.frame)
    assert float((half.frame.float() - new.frame).abs().mean()) < 0.05


@pytest.mark.parametrize("name", KINDS)
def test_all_of_a_model_is_on_the_device_asked_for(name):
    jobs = stream.model_jobs(small(name), torch.device("meta"), clip=True)
    assert jobs[NEW]()[1].frame.device.type == "meta"
    assert jobs[CLIP]().frame.device.type == "meta"
    assert all(p.frame.device.type == "meta" for p in jobs[TOGETHER]()[1])


@pytest.mark.parametrize("name", FLOWING)
def test_dis_is_part_of_a_step_once_for_each_camera(name, monkeypatch):
    calls = []
    original = dis.dis_flow
    monkeypatch.setattr(dis, "dis_flow", lambda *args: calls.append(1) or original(*args))
    jobs = stream.model_jobs(small(name), CPU)
    calls.clear()
    jobs[NEW]()
    assert len(calls) == 1
    jobs[TOGETHER]()
    assert len(calls) == 1 + stream.CAMERAS


@pytest.mark.parametrize("name", FLOWING)
def test_frames_bring_the_channels_that_a_model_carries(name, monkeypatch):
    monkeypatch.setattr(dis, "dis_flow", None)  # nobody asks for it
    net = small(name, flow="file")
    assert net.carried == 2
    jobs = stream.model_jobs(net, CPU, clip=True)
    torch.testing.assert_close(jobs[NEW]()[1].frame, jobs[CLIP]().frame, rtol=1e-4, atol=1e-4)
    assert jobs[HALF]()[1] is not None


def test_the_pictures_move_as_their_flow_says():
    clip = stream.pictures(3, 64, 2)
    assert clip.shape == (1, 3, 5, 64, 64)
    assert float(clip[:, :, :3].abs().max()) <= 1
    torch.testing.assert_close(clip[:, 1, :3, :, 1:], clip[:, 0, :3, :, :-1])
    past, now = (((x[0, :3].mean(0) + 1) * 127.5).byte().numpy() for x in clip.unbind(1)[:2])
    found = np.median(dis.dis_flow(now, past)[8:-8, 8:-8].reshape(-1, 2), 0)
    carried = clip[0, 1, 3:, 32, 32].numpy()
    np.testing.assert_allclose(found, carried, atol=0.3)


@pytest.mark.parametrize("times", [1.0, 50.0])
def test_bfloat16_is_left_out_where_the_cpu_only_emulates_it(times, monkeypatch):
    monkeypatch.setattr(stream, "emulation", lambda: times)
    monkeypatch.setattr(stream, "REPEATS", 1)
    monkeypatch.setattr(stream.unet, "SIZE", 64)
    models = {"conv-ae-128": tiny("conv-ae-128")}
    made = stream.bench_models(models, Place(CPU), timing.silent, clip=False, quick=False)
    rows = [row.name for row in made.rows]
    assert (f"conv-ae-128, {HALF}" in rows) == (times < stream.EMULATED)
    assert any("only emulates" in note for note in made.notes) == (times > stream.EMULATED)


def test_emulation_is_the_ratio_of_two_times(monkeypatch):
    timed = {"False": timing.Timing(2.0, 3), "True": timing.Timing(3.0, 3)}
    monkeypatch.setattr(stream, "interleaved", lambda jobs, repeats: timed)
    assert stream.emulation() == 1.5
    monkeypatch.undo()
    assert stream.emulation() > 0


# ---- single calls on a GPU


def test_every_timed_call_is_waited_for_before_and_after():
    seen = []
    found = latency.latencies(
        {"a": lambda: seen.append("a"), "b": lambda: seen.append("b")},
        lambda: seen.append("|"), calls=10,
    )  # fmt: skip
    told = "".join(seen)
    assert told == "|a||b|" + 5 * (2 * "|a|" + 2 * "|b|")  # a warm-up, then rounds over both
    assert {name: each.calls for name, each in found.items()} == {"a": 10, "b": 10}


def test_what_runs_on_behind_the_program_counts(monkeypatch):
    clock, ahead = [0.0], []
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])

    def wait():
        clock[0] += sum(ahead)
        ahead.clear()

    times = iter([9.0, *range(1, 21)])  # the first call compiles
    found = latency.latencies({"a": lambda: ahead.append(next(times) / 100)}, wait, calls=20)["a"]
    assert found.calls == 20
    assert found.median_s == pytest.approx(0.105)
    assert found.p95_s == pytest.approx(0.19)


def test_the_warm_up_of_a_slow_job_ends_early(monkeypatch):
    monkeypatch.setattr(latency, "WARM", 5)
    clock, calls = [0.0], []
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])

    def slow():
        calls.append(1)
        clock[0] += 6

    found = latency.latencies({"slow": slow, "fast": int}, int)
    assert found["slow"] == latency.Latency(6, 6, 1)
    assert len(calls) == 2
    assert found["fast"].calls == latency.CALLS


def test_progress_of_a_gpu_ends_at_its_total():
    seen = []
    latency.latencies({"a": int, "b": int}, int, title="g", tick=lambda *a: seen.append(a))
    assert seen[0] == ("g", 0, 12)
    assert seen[-1] == ("g", 12, 12)


@pytest.mark.parametrize(
    ("n", "percent", "want"), [(100, 95, 95), (20, 95, 19), (19, 95, 19), (1, 95, 1), (3, 0, 1)]
)
def test_a_percentile_is_one_of_the_values(n, percent, want):
    assert latency.percentile([float(i) for i in range(n, 0, -1)], percent) == want


@pytest.mark.slow
def test_every_model_of_the_table_runs_as_on_a_gpu(stub, monkeypatch):
    monkeypatch.setattr(stream, "model_gmac", lambda *args: {NEW: 1.0})  # counting is slow
    found = bench.run("stream", quick=True, choice=Choice(("all",), "cuda"))
    (made,) = found["tables"]  # no video: Detector's way from a file is the CPU's here
    rows = {row["name"]: row for row in made["rows"]}
    wanted = [f"{name}, {what}" for name in MODELS for what in (NEW, HALF, TOGETHER)]
    assert list(rows) == [*wanted, YARDSTICK]
    assert "GPU of a test" in made["title"]
    assert len(stub) > 2 * sum(row["turns"] for row in rows.values())
    for row in rows.values():
        assert 0 < row["ms"] <= row["p95_ms"]
        assert row["frames_per_s"] == pytest.approx(1000 / row["ms"])
        assert "ratio_clip" not in row
        assert row["name"] == YARDSTICK or ("gmac" in row) == row["name"].endswith(NEW)
    published = {name: e.published.fps for name, e in MODELS.items() if e.published.fps}
    printed = {name: row.get("published_fps") for name, row in rows.items()}
    assert {k.partition(",")[0]: v for k, v in printed.items() if v is not None} == published
    (sources,) = [note for note in made["notes"] if note.startswith("published fps")]
    for name in published:
        assert name in sources
        assert MODELS[name].published.source in sources
    text = bench.text(found)
    assert "single calls on the GPU" in text
    assert "published" in text
    assert max(map(len, text.splitlines())) <= table.WIDTH


# ---- what is chosen


def test_the_clip_is_timed_only_where_asked_for():
    for clip in (False, True):
        found = bench.run("stream", quick=True, choice=Choice(("conv-ae-128",), clip=clip))
        (made,) = found["tables"]
        rows = {row["name"]: row for row in made["rows"]}
        assert (f"conv-ae-128, {CLIP}" in rows) == clip
        assert ("ratio_clip" in rows[f"conv-ae-128, {NEW}"]) == clip
        assert ("ratio_clip" in {c["key"] for c in made["columns"]}) == clip
        assert "p95_ms" not in {c["key"] for c in made["columns"]}
        cost = {k.partition(", ")[2]: row.get("gmac") for k, row in rows.items()}
        assert cost[NEW] > 0
        assert cost.get(CLIP) == (cost[NEW] if clip else None)  # its windows share nothing


def test_ratios_are_of_one_frame_of_one_camera():
    timed = {
        "mnad, new frame": (0.1, 10, 0.2), "mnad, clip": (0.3, 10, 0.3),
        "mnad, 4 cameras": (0.2, 10, 0.4), YARDSTICK: (0.5, 10, 0.5),
    }  # fmt: skip
    rows = {row.name: row for row in stream._rows(timed, {"mnad, new frame": 46.5})}
    assert rows["mnad, new frame"].ms == pytest.approx(100)
    assert rows["mnad, new frame"].values == pytest.approx({
        "frames_per_s": 10, "ratio_unet": 5, "p95_ms": 200, "gmac": 46.5, "ratio_clip": 3,
        "published_fps": 65,
    })  # fmt: skip
    assert rows["mnad, 4 cameras"].ms == pytest.approx(50)
    assert rows["mnad, 4 cameras"].values == pytest.approx(
        {"frames_per_s": 20, "ratio_unet": 10, "p95_ms": 100}
    )


def test_the_usual_models_have_their_clip_and_a_video(monkeypatch):
    asked = []
    monkeypatch.setattr(stream, "bench_models", lambda *args, **kw: asked.append((args[0], kw)))
    monkeypatch.setattr(stream, "bench_video", lambda name, config, tick: asked.append(name))
    stream.run(False, timing.silent)
    (models, options), video = asked
    assert models == dict.fromkeys(stream.USUAL)
    assert options["clip"]
    assert video == "m2s2l-edge"


def test_models_are_taken_once_in_the_order_asked_for():
    assert Choice(("memae", "mnad", "memae")).names() == ("memae", "mnad")
    assert Choice(("all",)).names() == tuple(MODELS)
    assert Choice(("mnad", "all")).names()[:2] == ("mnad", next(iter(MODELS)))
    assert len(Choice(("mnad", "all")).names()) == len(MODELS)
    assert Choice().names() == ()


def test_a_gpu_is_known_by_name_and_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"number {device.index}")
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    there = stream.place("cuda:1")
    assert (there.device, there.name) == (torch.device("cuda:1"), "number 1")
    there.wait()
    assert waited == [torch.device("cuda:1")]
    assert stream.place("auto").device.type == "cuda"


def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert stream.place("auto") == stream.place("cpu") == Place(CPU)
    with pytest.raises(ConfigError, match="Device cuda is not there"):
        stream.place("cuda")
    with pytest.raises(ConfigError, match="Unknown device 'meta'; expected cpu, cuda"):
        stream.place("meta")
