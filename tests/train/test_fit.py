"""`fit` from video to RUN: resume, hold-out, determinism, refusals."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fitting import fit_with
from rich.console import Console
from safetensors.torch import load_file

from oddframe.data.frames import to_model
from oddframe.errors import ConfigError, DatasetError, RunError, SourceError
from oddframe.runs import load_run, locked, write_calibration
from oddframe.sources import open_source
from oddframe.train import fit as fit_file
from oddframe.train import progress
from oddframe.train.fit import configs
from oddframe.train.wanted import outlined

TINY = [
    "model.size=64", "model.width=16", "model.depths=[1,1,1]", "model.history=4",
    "model.windows=[2,4]", "model.memory_items=4", "model.detail_frames=1",
]  # fmt: skip
QUIET = Console(quiet=True)


def tiny_fit(data, out, **options):
    options = {"epochs": 1, "settings": TINY, "console": QUIET} | options
    return fit_with("m2s2l-edge", data, out, **options)


WINDOWED = {
    "mnad-128": ["model.size=32", "model.width=4", "model.items=3"],
    "memae-128": ["model.size=32", "model.widths=[4,4,4,4]", "model.history=8", "model.items=9"],
    "vadmamba-128": ["model.size=32", "model.width=8", "model.history=4", "model.codes=8"],
}


@pytest.fixture
def normal(make_video, tmp_path):
    return make_video(tmp_path / "normal.avi", frames=90)


def curve(out: Path) -> list[list[str]]:
    rows = list(csv.reader((out / "train.csv").open()))
    return [[row[0], *row[3:]] for row in rows]  # without the clock


@pytest.mark.slow
def test_a_prepared_set_gives_the_same_run_and_names_its_source(normal, tmp_path):
    from oddframe.data import footage_hashes, open_dataset, prepare

    data = open_dataset(normal)
    prepare(data, tmp_path / "small", 64)  # model.size of TINY
    one, other = (tiny_fit(p, tmp_path / f"run{i}") for i, p in
                  enumerate((normal, tmp_path / "small")))  # fmt: skip
    assert curve(one.path) == curve(other.path)
    assert one.calibration == other.calibration
    assert other.card["data"]["source"] == footage_hashes(data)["manifest"]
    assert "source" not in one.card["data"]


@pytest.mark.parametrize(
    ("model", "term"),
    [
        ("mnad-128", "distance"),
        ("memae-128", "clip_error"),
        pytest.param("vadmamba-128", "commit", marks=pytest.mark.slow),
    ],
)
def test_a_baseline_is_fitted_and_scores(normal, tmp_path, model, term):
    from oddframe import load

    run = fit_with(
        model, normal, tmp_path / "run", epochs=1, settings=WINDOWED[model], console=QUIET
    )
    result = load(run.path).score(normal)
    history = run.model().history
    scored = np.isfinite(result.score)
    assert scored.tolist() == [i >= history for i in range(len(scored))]
    assert np.isfinite(result.terms[term][scored]).all()
    assert ("psnr_motion" in result.terms) == (model == "vadmamba-128")
    assert run.card["training"]["steps"] > 5


PRINTED = {
    "m2s2l-edge": [s for s in TINY if "detail_frames" not in s],
    "stnmamba-128": ["model.size=32", "model.width=8", "model.depth=1"],
    "msti-net-128": ["model.size=32", "model.width=8"],
}


@pytest.mark.parametrize(
    "model",
    [pytest.param(m, marks=pytest.mark.slow) if m != "msti-net-128" else m for m in PRINTED],
)
def test_a_literal_model_is_fitted_and_streams_as_literal_from_its_file(
    model, normal, tmp_path, monkeypatch
):
    from oddframe import load

    settings = [*PRINTED[model], "model.literal=true", "train.batch=8"]
    run = fit_with(model, normal, tmp_path / "run", epochs=1, settings=settings, console=QUIET)
    net = load_run(run.path).model()
    again = net.config
    assert again == configs(model, settings).model
    assert {name: getattr(again, name) for name in again.LITERAL} == dict(again.LITERAL)
    score = load(run.path).score(normal).score
    assert np.isfinite(score).tolist() == [i >= net.history for i in range(len(score))]
    # What is called literal later is not what was trained.
    monkeypatch.setattr(type(again), "LITERAL", {**again.LITERAL, "width": 2 * again.width})
    assert load_run(run.path).model_config == again.model_copy(update={"literal": False})


def test_fit_leaves_a_run_that_loads(normal, tmp_path):
    run = tiny_fit(normal, tmp_path / "run")
    assert run.name == "m2s2l-edge"
    assert set(run.scene) == {"frame", "motion", "flow", "way", "stay"}
    assert run.threshold is not None
    assert run.threshold > 0
    weights = load_file(tmp_path / "run" / "model.safetensors")
    for name, value in run.model().state_dict().items():
        assert torch.equal(value, weights[name]), name
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["training"]["steps"] == len(curve(tmp_path / "run")) - 1
    assert card["training"]["held_out"] > 0
    left = {p.name for p in (tmp_path / "run").iterdir()}
    assert left == {"model.safetensors", "model.json", "train.csv", "resume", "usual.safetensors"}


@pytest.mark.parametrize("model", ["mnad-128", "memae-128"])
def test_the_card_says_how_well_the_footage_kept_aside_is_drawn(model, normal, tmp_path):
    run = fit_with(
        model, normal, tmp_path / "run", epochs=1, settings=WINDOWED[model], console=QUIET
    )
    facts, net = run.card["training"], run.model().eval()
    with open_source(normal) as source:
        clip = torch.from_numpy(np.stack([to_model(f.at(32), 32) for f in source]))
    held = clip[len(clip) - facts["held_out"] :]  # of one video, its tail
    with torch.inference_mode():
        drawn = net(held[None, :-1]).frame[0]
    shown = held[net.history - 1 : -1] if net.reconstructs else held[net.history :]
    before = held[net.history - 1 : -1]
    for name, error in (
        ("psnr_db", drawn - shown),
        ("copied_psnr_db", held[net.history :] - before),
    ):
        want = 10 * np.log10(4 / float(error.square().mean()))
        assert facts[name] == pytest.approx(want, abs=0.006), name


def test_the_same_seed_gives_the_same_bits_and_another_does_not(normal, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tiny_fit(normal, tmp_path / name, seed=seed)
    assert curve(tmp_path / "a") == curve(tmp_path / "b") != curve(tmp_path / "c")
    a, b = (load_file(tmp_path / n / "model.safetensors") for n in "ab")
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.slow
def test_the_loss_falls(normal, tmp_path):
    tiny_fit(normal, tmp_path / "run", epochs=12)
    losses = [float(row[2]) for row in curve(tmp_path / "run")[1:]]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


KILLED = """
import sys
import oddframe.train.progress as progress
from oddframe.train.fit import Budget, Wanted, fit
from rich.console import Console
progress.SAVE_EVERY_S = 0.2
fit(Wanted("m2s2l-edge", sys.argv[3:]), sys.argv[1], sys.argv[2], Budget(epochs=5),
    console=Console(quiet=True))
"""


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGKILL, id="kill -9"),
        pytest.param(signal.SIGINT, id="Ctrl-C", marks=pytest.mark.slow),
    ],
)
def test_a_run_stopped_in_an_epoch_resumes_on_the_uninterrupted_curve(normal, tmp_path, how):
    tiny_fit(normal, tmp_path / "whole", epochs=5)
    out = tmp_path / "cut"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(normal), str(out), *TINY], stderr=subprocess.DEVNULL
    )
    try:
        deadline, states = time.monotonic() + 90, set()
        # Stop it once a state from the middle of an epoch lies on the disk.
        while time.monotonic() < deadline and child.poll() is None:
            path, state = out / "train.csv", out / "resume" / "state.ckpt"
            if state.exists():
                states.add(state.stat().st_mtime_ns)
            if len(states) > 2 and path.read_bytes().count(b"\n") > 12:
                break
            time.sleep(0.02)
        assert child.poll() is None, "the child ended before it could be stopped"
        child.send_signal(how)
        child.wait(60)
    finally:
        child.kill()
    assert not (out / "model.json").exists()
    with pytest.raises(RunError, match="--resume"):
        load_run(out)
    tiny_fit(normal, out, epochs=5, resume=True)
    assert curve(out) == curve(tmp_path / "whole")
    whole, cut = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "cut"))
    assert all(torch.equal(whole[k], cut[k]) for k in whole)


def test_a_used_folder_is_left_alone(normal, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    with pytest.raises(RunError, match="not empty"):
        tiny_fit(normal, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_resume_refuses_what_was_not_started_or_was_started_otherwise(normal, tmp_path):
    with pytest.raises(RunError, match="cannot be resumed"):
        tiny_fit(normal, tmp_path / "none", resume=True)
    tiny_fit(normal, tmp_path / "run")
    with pytest.raises(RunError, match="otherwise: --seed 0, now 5"):
        tiny_fit(normal, tmp_path / "run", resume=True, seed=5)


def test_steps_make_the_same_run_again_and_what_is_finished_stays(normal, tmp_path):
    run = tiny_fit(normal, tmp_path / "run", epochs=None, steps=3)
    assert run.card["training"]["steps"] == 3
    write_calibration(run, {**run.calibration, "alarms_per_day": 2.0, "footage": {"name": "more"}})
    card = (run.path / "model.json").read_bytes()
    # The same again: nothing is left to train, nothing is touched.
    console = Console(record=True, file=io.StringIO(), width=300)
    same = tiny_fit(normal, run.path, epochs=None, steps=3, resume=True, console=console)
    said = console.export_text()
    assert "nothing left to train" in said
    assert "was calibrated" not in said
    assert "frames to train on" not in said  # nor decoded
    assert (run.path / "model.json").read_bytes() == card
    assert same.calibrated
    # Less than that: this shows only once it is decoded, of which nothing stays.
    tiny_fit(normal, run.path, epochs=None, steps=2, resume=True, console=console)
    assert "goes on from step 3" in console.export_text()
    assert (run.path / "model.json").read_bytes() == card
    assert not (run.path / "resume" / "frames").exists()
    # Trained on: the threshold goes, which is said before it does.
    on = tiny_fit(normal, run.path, epochs=None, steps=4, resume=True, console=console)
    assert "was calibrated, for 2 alarms a day" in console.export_text()
    assert not on.calibrated
    again = tiny_fit(normal, tmp_path / "again", epochs=None, steps=4)
    a, b = (load_file(made.path / "model.safetensors") for made in (on, again))
    assert all(torch.equal(a[key], b[key]) for key in a)
    # Its weights are not those of its card: it is written anew.
    (tmp_path / "other").write_bytes(b"of another training")
    (tmp_path / "other").replace(again.path / "model.safetensors")
    whole = tiny_fit(normal, again.path, epochs=None, steps=4, resume=True)
    a = load_file(whole.path / "model.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_that_was_killed_as_it_decoded_begins_anew(normal, tmp_path):
    out = tmp_path / "run"

    def left(*more):
        shutil.rmtree(out, ignore_errors=True)
        (out / "resume" / "frames").mkdir(parents=True)
        for name in ("footage.csv", "resume/plan.json", "resume/footage.json", *more):
            (out / name).write_text("{}")
        (out / "resume" / "frames" / "frames.u8.tmp").write_bytes(bytes(100))

    left("resume/.plan.json.x1", "resume/state.tmp", "train.csv")
    with locked(out, "another training"), pytest.raises(RunError, match="Another process"):
        tiny_fit(normal, out)
    assert (out / "resume" / "frames" / "frames.u8.tmp").exists()  # the other's
    with pytest.raises(RunError, match=r"cannot be resumed.*without --resume"):
        tiny_fit(normal, out, resume=True)
    run = tiny_fit(normal, out, epochs=None, steps=2)
    assert {p.name for p in out.glob("*") if p.name != "usual.safetensors"} == {
        "model.safetensors", "model.json", "train.csv", "resume",
    }  # fmt: skip
    assert {p.name for p in (out / "resume").iterdir()} == {
        "plan.json",
        "footage.json",
        "state.ckpt",
    }
    assert run.card["training"]["steps"] == 2
    for mine in ("mine.txt", "resume/mine.txt"):
        left(mine)
        with pytest.raises(RunError, match=r"not empty: delete it, or choose another"):
            tiny_fit(normal, out)
        assert (out / mine).exists()


@pytest.mark.parametrize("mine", ["train.csv", "footage.csv", "frames/001.png"])
def test_files_of_others_that_are_called_as_ours_are_no_run_that_never_began(
    normal, tmp_path, mine
):
    file = tmp_path / "run" / mine
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(RunError, match=r"not empty: delete it, or choose another"):
        tiny_fit(normal, tmp_path / "run")
    assert file.read_text() == "mine"


def test_an_error_behind_the_choice_of_stretches_leaves_nothing(make_video, tmp_path, monkeypatch):
    long, left = make_video(tmp_path / "long.avi", frames=600), []

    def fails(*_):
        left.extend(p.name for p in (tmp_path / "run").iterdir())
        raise DatasetError("no")

    monkeypatch.setattr(fit_file, "_still", fails)
    with pytest.raises(DatasetError):
        tiny_fit(long, tmp_path / "run", cache_gb=64 * 64 * 3 * 400 / 0.98e9)
    assert set(left) == {"footage.csv", "resume"}
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_said_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match=r"Device cuda is not there.*--device cpu"):
        tiny_fit(tmp_path / "nothing", tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("mnad-128", {"settings": ["score.streams=[motion]"]}, "motion.*mnad-128 has frame, flow"),
        ("mnad-128", {"settings": ["score.streams=[frame,motion]"]}, "asks for motion;"),
        ("m2s2l-edge", {"settings": ["score.streams=[motion]"], "ablation": "L1"}, "has frame, fl"),
        ("m2s2l-edge", {"settings": ["score.streams=[way]", "score.flow=false"]},
         "has frame, motion. "),
        ("memae-128", {"settings": ["train.checkpoint_gradients=true"]}, "no blocks that could"),
        ("memae-128", {"seed": -1}, "--seed must be 0 to .*found -1"),
    ],
)  # fmt: skip
def test_what_does_not_suit_the_model_is_said_before_any_work(tmp_path, model, options, said):
    with pytest.raises(ConfigError, match=said):
        fit_with(model, tmp_path / "nothing", tmp_path / "run", console=QUIET, **options)
    assert not (tmp_path / "run").exists()


def test_a_model_of_others_needs_numbers_only_where_its_streams_are_asked_for(monkeypatch):
    from oddframe.models.mnad import MNAD

    real = MNAD.forward

    def looks(self, clip):
        assert float(clip.amax()) < 2  # numbers, of which the meta device has none
        return real(self, clip)

    monkeypatch.setattr(MNAD, "forward", looks)
    assert outlined("mnad-128", configs("mnad-128")).carried == 0


def test_too_little_video_is_refused_by_name(make_video, tmp_path):
    short = make_video(tmp_path / "short.avi", frames=12)
    with pytest.raises(DatasetError, match="Too little footage"):
        tiny_fit(short, tmp_path / "run")


def test_an_error_before_the_first_step_leaves_nothing(make_video, tmp_path):
    whole = make_video(tmp_path / "whole.avi", frames=90)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(SourceError):
        tiny_fit(cut, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_reach_their_group_and_strangers_get_the_nearest_name():
    chosen = configs("m2s2l-edge", ["model.width=32", "train.lr=0.5", "score.alpha=0.25"])
    assert (chosen.model.width, chosen.train.lr, chosen.score.alpha) == (32, 0.5, 0.25)
    with pytest.raises(ConfigError, match=r"Did you mean model\.memory_items"):
        configs("m2s2l-edge", ["model.memory_itmes=3"])
    with pytest.raises(ConfigError, match="Did you mean m2s2l-edge"):
        configs("m2s2l-egde")


def test_minutes_stops_on_time(normal, tmp_path):
    started = time.monotonic()
    tiny_fit(normal, tmp_path / "run", epochs=None, minutes=0.1)
    assert time.monotonic() - started < 30
    assert len(curve(tmp_path / "run")) > 2


def test_a_disk_that_fills_up_while_training_is_one_error_and_the_state_stays(
    normal, tmp_path, monkeypatch
):
    saves = []
    real = progress.L.Trainer.save_checkpoint

    def full(trainer, path, *args, **options):
        saves.append(path)
        if len(saves) > 1:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(trainer, path, *args, **options)

    monkeypatch.setattr(progress.L.Trainer, "save_checkpoint", full)
    monkeypatch.setattr(progress, "SAVE_EVERY_S", 0.0)
    with pytest.raises(RunError, match=r"No space left.*--resume"):
        tiny_fit(normal, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run" / "resume").glob("state*")] == ["state.ckpt"]
    monkeypatch.undo()
    assert tiny_fit(normal, tmp_path / "run", resume=True).threshold
