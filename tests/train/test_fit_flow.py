"""`fit` of a model that takes its optical flow from files: what it is fed, resume, refusals."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from fitting import fit_with
from rich.console import Console
from safetensors.torch import load_file

from encoded import encode
from oddframe.cli import main
from oddframe.data import FrameStore, from_store, open_dataset
from oddframe.data.flow_files import read_flow, write_flows
from oddframe.data.flow_folder import FlowFolder, StoredFlow
from oddframe.errors import ConfigError, DatasetError, RunError
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.selftest import clip_frames
from oddframe.train import progress
from oddframe.train.module import Batches
from oddframe.train.split import Span

SIZE = 32
TINY = ["model.size=32", "model.width=8", "model.memory_items=3", "model.flow=file",
        "train.targets=2"]  # fmt: skip


@pytest.fixture
def normal(make_frames, tmp_path):
    """Two clips and their flow files."""
    for name, frames in (("a", 40), ("b", 50)):
        make_frames(tmp_path / "normal" / name, frames)
    data = open_dataset(tmp_path / "normal")
    write_flows(data, tmp_path / "flows", SIZE)
    return data, tmp_path / "flows"


def tiny_fit(normal, out, **options):
    data, flows = normal
    options = {"epochs": 1, "settings": TINY, "flow": flows, "console": Console(quiet=True)} | (
        options
    )
    return fit_with("msti-net-128", data.root, out, **options)


def curve(out):
    return [[row[0], *row[3:]] for row in csv.reader((out / "train.csv").open())]  # no clock


def test_a_batch_brings_the_flow_of_each_of_its_frames(normal, tmp_path):
    data, folder = normal
    store = FrameStore.build(data.train, tmp_path / "store", SIZE)
    flow = StoredFlow(store, FlowFolder(folder).videos(data, "train"))
    spans = [Span(0, 40), Span(45, 90)]
    plain, carried = (Batches(store, spans, 6, 8, 3, flow=f) for f in (None, flow))
    starts = np.concatenate([np.arange(35), 45 + np.arange(40)])
    for step in range(3):
        batch = carried.at(step)
        assert batch.shape == (8, 6, 5, SIZE, SIZE)
        first = carried.first(40)  # the sixth run of the second span
        np.testing.assert_array_equal(first, from_store(store.read(50, 51))[0])
        assert (batch[:, :, :3] == plain.at(step)).all()
        drawn = np.random.default_rng([3, step]).integers(0, plain.runs, 8)
        for start, run in zip(starts[drawn], batch, strict=True):
            np.testing.assert_array_equal(run[:, :3], from_store(store.read(start, start + 6)))
            name, first = ("a", 0) if start < 40 else ("b", 40)
            for i in range(6):
                if start + i == first:
                    assert not run[i, 3:].any()
                    continue
                path = folder / "training" / name / f"{start + i - first:06d}.npy"
                np.testing.assert_array_equal(run[i, 3:], read_flow(path))


def test_the_footage_kept_aside_is_seen_with_its_own_flow(normal, tmp_path, monkeypatch):
    seen, real = [], Scorer.preprocess

    def preprocess(self, image, past=None, carried=None):
        seen.append((image, carried))
        return real(self, image, past, carried)

    monkeypatch.setattr(Scorer, "preprocess", preprocess)
    run = tiny_fit(normal, tmp_path / "run")
    assert run.card["data"]["flow"] == f"opencv-dis-fast-backward at {SIZE}"
    assert str(tmp_path) not in (run.path / "model.json").read_text()
    # The scene's range, then scores; and of what trained each whole clip once.
    facts, length = run.card["training"], clip_frames(run.model().history)
    again = len(seen) - 2 * facts["held_out"]
    assert again % length == 0
    assert 0 < again <= facts["frames"]
    data, folder = normal
    store = FrameStore.build(data.train, tmp_path / "store", SIZE)
    flow = StoredFlow(store, FlowFolder(folder).videos(data, "train"))
    matched = 0
    for image, carried in seen:
        places = [
            i for i in range(90) if np.array_equal(store.read(i, i + 1)[0][..., ::-1], image)
        ]  # the made clips are alike
        assert any(np.array_equal(flow.read(i, i + 1)[0], carried) for i in places)
        matched += bool(carried.any())
    assert matched > len(seen) // 2


@pytest.fixture
def paused(tmp_path):
    """A clip of 60 frames/s with a pause behind frame 24, and its flow files."""
    stamps = [i / 60 + 20 * (i > 24) for i in range(70)]
    path = encode(tmp_path / "paused.mp4", stamps=stamps, rate=60)
    data = open_dataset(path)
    write_flows(data, tmp_path / "flows", SIZE)
    return data, tmp_path / "flows"


def test_frames_behind_a_pause_have_their_own_flow(paused, tmp_path):
    data, folder = paused
    store = FrameStore.build(data.train, tmp_path / "store", SIZE)
    assert [(v.start, v.stop, v.first) for v in FrameStore.open(store.folder).videos] == [
        (0, 25, 0), (25, 70, 25)
    ]  # fmt: skip
    flow = StoredFlow(store, FlowFolder(folder).videos(data, "train"))
    files = sorted((folder / "training" / "paused").iterdir())
    assert len(files) == 69
    for i in (10, 24, 25, 26, 69):
        np.testing.assert_array_equal(flow.read(i, i + 1)[0], read_flow(files[i - 1]))
    assert not flow.read(25, 26).any()  # not of two moments 20 s apart
    assert flow.read(24, 25).any()
    files[-1].unlink()
    with pytest.raises(DatasetError, match="holds 68 flow files; a video of 70 frames has 69"):
        StoredFlow(store, FlowFolder(folder).videos(data, "train"))


def test_footage_with_flow_is_taken_as_it_is_or_refused(paused, tmp_path):
    data, flow = paused
    options = {"flow": flow, "settings": TINY, "epochs": 1, "console": Console(quiet=True)}
    for more, said in (
        ({"fps": 30.0}, r"--fps 30 does not go with --flow: paused has 60 frames/s"),
        ({"cache_gb": 1e-4}, r"all 70 frames are taken, which need 0\.00022 GB.*Give --cache 0\.1"),
    ):
        with pytest.raises(ConfigError, match=said):
            fit_with("msti-net-128", data.root, tmp_path / "run", **options, **more)
        assert not (tmp_path / "run").exists()
    run = fit_with("msti-net-128", data.root, tmp_path / "run", **options)
    facts = run.card["training"]
    assert (run.fps, facts["frames"] + facts["held_out"]) == (pytest.approx(60), 70)


@pytest.mark.slow
def test_the_weights_follow_from_the_flow_in_the_files(normal, tmp_path):
    _, flows = normal
    still = shutil.copytree(flows, tmp_path / "still")
    for path in still.rglob("*.npy"):
        np.save(path, np.zeros((2, SIZE, SIZE), np.float16))
    runs = [tiny_fit(normal, tmp_path / name, flow=flow).path
            for name, flow in (("a", flows), ("b", flows), ("c", still))]  # fmt: skip
    a, b, c = map(curve, runs)
    assert a == b != c


@pytest.mark.slow
def test_a_stopped_run_resumes_with_its_flow_and_with_no_other(normal, tmp_path, monkeypatch):
    whole, out = tiny_fit(normal, tmp_path / "whole").path, tmp_path / "cut"
    real = Batches.at

    def stop(self, step):
        if step == 5:
            raise OSError("a pulled plug")
        return real(self, step)

    monkeypatch.setattr(progress, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(Batches, "at", stop)
    with pytest.raises(OSError, match="plug"):
        tiny_fit(normal, out)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="--flow FOLDER"):
        tiny_fit(normal, out, resume=True, flow=None)
    other = shutil.copytree(normal[1], tmp_path / "other")
    (other / "flow.json").unlink()
    with pytest.raises(RunError, match=r"otherwise: --flow .*, now files made elsewhere\."):
        tiny_fit(normal, out, resume=True, flow=other)
    tiny_fit(normal, out, resume=True)
    assert curve(out) == curve(whole)
    a, b = (load_file(p / "model.safetensors") for p in (whole, out))
    assert all((a[k] == b[k]).all() for k in a)


def test_the_flow_is_missed_before_anything_is_made(normal, tmp_path):
    _, flows = normal
    with pytest.raises(ConfigError, match="takes its optical flow from files: give their folder"):
        tiny_fit(normal, tmp_path / "run", flow=None)
    for settings in (TINY[:3], [*TINY, "model.fusion=none"]):  # no motion stream reads nothing
        with pytest.raises(ConfigError, match=r"msti-net-128 takes no flow from files"):
            tiny_fit(normal, tmp_path / "run", settings=settings)
    short = shutil.copytree(flows, tmp_path / "short")
    (short / "training" / "b" / "000049.npy").unlink()
    with pytest.raises(DatasetError, match="holds 48 flow files; a video of 50 frames has 49"):
        tiny_fit(normal, tmp_path / "run", flow=short)
    shutil.rmtree(short / "training" / "b")
    with pytest.raises(DatasetError, match=r"1 of 2 videos .*training/b"):
        tiny_fit(normal, tmp_path / "run", flow=short)
    index = json.loads((flows / "flow.json").read_text())
    (short / "flow.json").write_text(json.dumps({**index, "source": "0" * 32, "name": "ped2"}))
    with pytest.raises(DatasetError, match=r"holds flows of ped2 .*not of normal"):
        tiny_fit(normal, tmp_path / "run", flow=short)
    assert not (tmp_path / "run").exists()


def test_the_command_says_what_is_wrong(normal, tmp_path, capsys):
    data, flows = normal
    args = ["fit", "--data", str(data.root), "--out", str(tmp_path / "run"), "--flow", str(flows)]
    assert main([*args, "--model", "m2s2l-edge"]) == 1
    assert "m2s2l-edge takes no flow from files" in " ".join(capsys.readouterr().err.split())
