"""What `fit` takes of its footage, what stops it, and who else may write."""

import csv
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from fitting import fit_with
from rich.console import Console
from test_fit import QUIET, TINY, curve, tiny_fit

import oddframe
from encoded import encode, numbered
from oddframe.data import open_dataset
from oddframe.errors import ConfigError, OddframeWarning, RunError
from oddframe.runs import locked
from oddframe.scoring.selftest import clip_frames
from oddframe.train import take
from oddframe.train.budget import Budget
from oddframe.train.finish import _Look, one_of_each
from oddframe.train.split import Span
from oddframe.train.take import Footage, Speed, Taken, plan

MANY = 1400


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Two videos of 56 s at 25 frames/s."""
    root = tmp_path_factory.mktemp("long")
    for name in "ab":
        encode(root / f"{name}.mp4", MANY, 25)
    return root


def told(**options):
    lines = []
    console = Console(quiet=False, file=_Lines(lines), width=300)
    return lines, {"console": console, **options}


class _Lines:
    def __init__(self, lines):
        self.lines = lines

    def write(self, text):
        self.lines.append(text)

    def flush(self):
        pass


SMALL = 1000.5 * 64 * 64 * 3 / 0.98e9
"""A cache for 1000 frames of TINY's size."""


@pytest.mark.slow
def test_more_than_the_cache_holds_is_taken_in_stretches(long, tmp_path, monkeypatch):
    monkeypatch.setattr(take, "STRETCH", 40)
    lines, options = told(cache_gb=SMALL)
    run = tiny_fit(long, tmp_path / "run", **options)
    said = "".join(lines)
    assert "25 stretches of 40 frames" in said
    assert "one from every" in said
    rows = list(csv.DictReader((tmp_path / "run" / "footage.csv").open()))
    assert len(rows) == 25
    assert sum(int(r["frames"]) for r in rows) <= 1000
    assert {r["video"] for r in rows} == {"a", "b"}
    starts = [float(r["start_s"]) + 56 * (r["video"] == "b") for r in rows]
    assert starts == sorted(starts)
    assert starts[-1] - starts[0] > 95
    held = [r for r in rows if r["kept_aside"] == "1"]
    facts = run.card["training"]
    assert facts["held_out"] == sum(int(r["frames"]) for r in held)
    assert len(held) >= 3  # short ones, in many places
    assert {r["video"] for r in held} == {"a", "b"}
    assert max(int(r["frames"]) for r in held) < 40
    assert min(int(r["frames"]) for r in held) >= clip_frames(run.model().history)  # one self-test
    assert facts["frames"] == sum(int(r["frames"]) for r in rows) - facts["held_out"]
    assert run.card["fps"] == pytest.approx(25)
    assert "25 stretches" in run.card["data"]["taken"]
    assert run.threshold is not None


@pytest.mark.slow
def test_a_resumed_run_has_the_plan_that_it_began_with(long, tmp_path, monkeypatch):
    monkeypatch.setattr(take, "STRETCH", 40)
    options = {"cache_gb": SMALL, "epochs": 2, "settings": [*TINY, "train.batch=8"]}
    whole = tiny_fit(long, tmp_path / "whole", **options)
    out = tmp_path / "cut"
    seen = []

    def stop(self, *args):
        seen.append(1)
        if len(seen) == 4:
            self.interrupted = True

    with monkeypatch.context() as patch:
        patch.setattr("oddframe.train.progress.Watch._show", stop)
        with pytest.raises(KeyboardInterrupt):
            tiny_fit(long, out, **options)
    (out / "resume" / "frames" / "frames.u8").unlink()  # what is lost of it is decoded again
    monkeypatch.setattr(take, "plan", None)  # and not planned again
    cut = tiny_fit(long, out, resume=True, **options)
    assert curve(cut.path) == curve(whole.path)
    with pytest.raises(RunError, match="--cache"):
        tiny_fit(long, out, resume=True, **options | {"cache_gb": 1.0})


@pytest.mark.slow
def test_what_fits_is_taken_whole(long, tmp_path):
    lines, options = told(settings=[*TINY, "train.batch=16"])
    run = tiny_fit(long, tmp_path / "run", **options)
    assert f"all {2 * MANY} frames" in "".join(lines)
    assert run.card["training"]["frames"] + run.card["training"]["held_out"] == 2 * MANY
    assert not (tmp_path / "run" / "footage.csv").exists()


def speed(frame_s=0.01):
    return Speed(64, 8, 0.12, frame_s, 16)


def test_time_limits_what_is_decoded_and_what_is_kept_aside(long, monkeypatch):
    videos = open_dataset(long).train
    monkeypatch.setattr(take, "EASY", 0)
    monkeypatch.setattr(take, "STRETCH", 40)
    monkeypatch.setattr(take, "DECODING", 0.01)
    whole = plan(videos, Footage(long), Budget(), speed(None), 0, QUIET)
    assert whole.take.stretches is None
    assert whole.most_held == take.MOST_HELD
    short = plan(videos, Footage(long), Budget(minutes=0.05), speed(), 0, QUIET)
    frames = sum(s.frames for s in short.take.stretches)
    assert frames < 2 * MANY  # 30 ms of decoding
    # 15 % of 3 s at 20 ms for two looks at a frame.
    assert short.most_held == pytest.approx(0.15 * 3 / 0.02, abs=15)
    assert sum(s.frames for s in short.take.stretches if s.held) <= short.most_held + 80


def test_the_plan_survives_the_disk(long, tmp_path, monkeypatch):
    monkeypatch.setattr(take, "STRETCH", 40)
    videos = open_dataset(long).train
    made = plan(videos, Footage(long, cache_gb=SMALL), Budget(), speed(), 3, QUIET)
    made.write(tmp_path)
    assert Taken.read(tmp_path) == made
    (tmp_path / "footage.json").write_text("{")
    with pytest.raises(RunError, match="cannot be resumed"):
        Taken.read(tmp_path)


@pytest.mark.slow
def test_minutes_are_the_whole_time(long, tmp_path):
    began = time.monotonic()
    tiny_fit(long, tmp_path / "run", epochs=None, minutes=0.4)
    assert 15 < time.monotonic() - began < 30


@pytest.mark.parametrize(("option", "value"), [("fps", 0), ("fps", -1), ("cache_gb", 0)])
def test_nonsense_is_refused(long, tmp_path, option, value):
    with pytest.raises(ConfigError, match="must be above 0"):
        tiny_fit(long, tmp_path / "run", **{option: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "rate", "frames"), [(None, 30.0, 90), (10.0, 10.0, 30)])
def test_the_rate_of_the_run(tmp_path, asked, rate, frames):
    """Footage of 60 frames/s is learned at 30, or at what was asked for."""
    path = encode(tmp_path / "fast.mp4", 180, 60)
    settings = [*TINY, "train.targets=1"]
    run = fit_with("m2s2l-edge", path, tmp_path / "run", fps=asked, epochs=1, settings=settings,
                   console=QUIET)  # fmt: skip
    facts = run.card["training"]
    assert run.fps == rate
    assert facts["frames"] + facts["held_out"] == frames
    with pytest.warns(OddframeWarning, match="60 frames/s"):
        result = oddframe.load(run).score(path)
    assert len(result) == 180


@pytest.mark.slow
def test_folders_of_frames_have_the_rate_that_is_given_or_none(make_frames, tmp_path):
    make_frames(tmp_path / "f", frames=60)
    run = tiny_fit(tmp_path / "f", tmp_path / "a", settings=[*TINY, "train.targets=1"])
    assert run.fps is None
    run = tiny_fit(tmp_path / "f", tmp_path / "b", settings=[*TINY, "train.targets=1"], fps=5.0)
    assert run.fps == 5.0
    assert run.card["training"]["frames"] + run.card["training"]["held_out"] == 60


@pytest.mark.slow
def test_pauses_are_not_learned_across(tmp_path):
    stamps = [i / 25 + 600 * (i // 40) for i in range(120)]
    path = encode(tmp_path / "motion.mp4", stamps=stamps, rate=25, pictures=lambda i: numbered(i))
    _, options = told(settings=[*TINY, "train.targets=1"])
    run = tiny_fit(path, tmp_path / "run", **options)
    assert run.card["training"]["frames"] + run.card["training"]["held_out"] == 120
    calibration = run.calibration
    assert calibration["hours"] * 3600 < 5


# ---- what stops it


def test_a_loss_that_is_no_number_stops_at_the_last_good_state(long, tmp_path):
    out = tmp_path / "run"
    settings = [*TINY, "train.lr=1e6", "train.clip_gradient=1e30", "train.batch=16"]
    with pytest.raises(
        RunError, match=r"broke off at step \d+: the loss, or a weight, is not finite"
    ) as error:
        tiny_fit(long, out, settings=settings, epochs=40)
    assert "train.lr=1e+06" in str(error.value)
    assert not (out / "model.json").exists()
    state = torch.load(out / "resume" / "state.ckpt", weights_only=False)
    values = [v for v in state["state_dict"].values() if v.is_floating_point()]
    assert all(bool(torch.isfinite(v).all()) for v in values)


def test_weights_that_the_last_step_spoils_are_not_saved(long, tmp_path, monkeypatch):
    from oddframe.models.m2s2l import M2S2L

    real = M2S2L.losses

    def steep(self, prediction, clip):
        found = real(self, prediction, clip)
        return {**found, "steep": (0 * sum(found.values())).sqrt()}  # 0, and its gradient is none

    monkeypatch.setattr(M2S2L, "losses", steep)
    with pytest.raises(RunError, match=r"broke off at step 0: .*a weight, is not finite"):
        tiny_fit(long, tmp_path / "run", settings=TINY, epochs=None, steps=1)
    state = torch.load(tmp_path / "run" / "resume" / "state.ckpt", weights_only=False)
    assert state["global_step"] == 0


HOLDS = """
import sys, time
from pathlib import Path
from oddframe.runs import locked
from oddframe.scoring.selftest import clip_frames
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_writes_to_a_run(long, tmp_path):
    out = tmp_path / "run"
    child = subprocess.Popen([sys.executable, "-c", HOLDS, str(out)], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        with pytest.raises(RunError, match=r"Another process is writing to .*this training"):
            tiny_fit(long, out)
    finally:
        child.kill()
        child.wait()
    with locked(out, "it"):
        pass
    assert not list(out.iterdir())


def test_pieces_of_a_plan_that_alternates_are_of_both_kinds():
    kinds = ["anywhere", "lively"] * 100
    for group in (2, 4):
        some = one_of_each(kinds, group)
        assert len(some) == 200 / group
        assert 0.25 < some.count("lively") / len(some) < 0.75
    assert one_of_each(kinds, 0) == one_of_each(kinds, 1) == kinds
    assert len(one_of_each(kinds[:5], 4)) == 2


def test_the_rate_of_what_is_usual_is_not_that_of_the_first_name():
    clips = {"a": (5.0, 50), "b": (25.0, 350)}
    for order in ("ab", "ba"):
        spans, fps = [], {}
        for name in order:
            start = spans[-1].stop if spans else 0
            fps[start] = clips[name][0]
            spans.append(Span(start, start + clips[name][1]))
        footage = SimpleNamespace(store=SimpleNamespace(fps_at=fps.__getitem__))
        assert _Look._rate(SimpleNamespace(all=spans, footage=footage)) == 25.0
