"""Two processes train what one does; some of it is killed, stopped, broken, and goes on.

Every test starts processes that import torch, so all but one have the mark `ranks`.
"""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import breaking
import four_models
import numpy as np
import pytest
import torch
from fitting import fit_with
from four_models import BATCH, MODELS, trained
from rich.console import Console
from safetensors.torch import load_file

from oddframe.data import open_dataset
from oddframe.data.frames import FrameStore
from oddframe.errors import ConfigError, DatasetError, RunError
from oddframe.runs import load_run
from oddframe.train import fit as fit_file
from oddframe.train.devices import Place
from oddframe.train.ranks import Ranks

SLOWLY = (sys.executable, str(Path(__file__).with_name("slowly.py")))
TINY = ["model.size=32", "model.width=4", "model.items=3", "train.batch=4", "train.lr=2e-4"]
QUIET = Console(quiet=True)


@pytest.fixture
def normal(make_video, tmp_path):
    return make_video(tmp_path / "normal.avi", frames=70)


def tiny_fit(data, out, **options):
    options = {"epochs": 1, "settings": TINY, "console": QUIET} | options
    return fit_with("mnad-128", data, out, **options)


def curve(out: Path) -> np.ndarray:
    """Step, rate and losses; without the clock."""
    rows = list(csv.reader((out / "train.csv").open()))[1:]
    return np.array([[float(row[0]), *map(float, row[3:])] for row in rows])


def test_two_processes_leave_the_run_that_one_does(normal, tmp_path):
    one, two = (
        tiny_fit(normal, tmp_path / f"{n}", devices=n, minutes=30 if n == 2 else None)
        for n in (1, 2)
    )
    # Later on rounding has grown: fifty steps in float64 are compared below.
    np.testing.assert_allclose(curve(two.path)[:4], curve(one.path)[:4], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(curve(two.path), curve(one.path), rtol=0.05, atol=1e-3)
    facts = two.card["training"]
    assert (facts["devices"], facts["batch"], facts["nodes"]) == (2, 4, 1)
    assert facts["steps"] == one.card["training"]["steps"]
    assert facts["targets_seen"] == one.card["training"]["targets_seen"]
    assert two.card["config"] == one.card["config"]
    assert not (two.path / "resume" / "frames").exists()


# ---- equal to one process


@pytest.fixture(scope="module")
def fifty(tmp_path_factory):
    """(store, folder): where two processes have trained all four models."""
    folder = tmp_path_factory.mktemp("fifty")
    four_models.write_video(folder / "v.avi")
    store = FrameStore.build(
        open_dataset(folder / "v.avi").train, folder / "store", four_models.SIZE
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = str(Path(four_models.__file__))
    both = [
        subprocess.Popen(
            [sys.executable, script, str(rank), str(port), str(store.folder), str(folder)]
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(1500) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    return store, folder


@pytest.mark.ranks
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", MODELS)
def test_fifty_steps_of_twice_four_are_those_of_eight(fifty, tmp_path, name, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    store, folder = fifty
    facts, state = trained(name, store, tmp_path, Ranks(Place()))
    both = [torch.load(folder / name / f"{rank}.pt") for rank in range(2)]
    losses, want = curve(folder / name), curve(tmp_path)
    assert len(want) == 50
    np.testing.assert_allclose(losses, want, rtol=1e-6, atol=1e-9)
    for key, value in state.items():
        assert torch.equal(both[0][1][key], both[1][1][key]), f"{key} differs between the two"
        torch.testing.assert_close(both[0][1][key], value, rtol=1e-6, atol=1e-6, msg=key)
    assert facts["targets_seen"] == both[0][0]["targets_seen"] == 50 * BATCH


@pytest.mark.ranks
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bf16_and_running_blocks_again_change_nothing_between_processes(fifty):
    _, folder = fifty
    first = torch.load(folder / "again False" / "0.pt")
    for again, rank in ((False, 1), (True, 0), (True, 1)):
        other = torch.load(folder / f"again {again}" / f"{rank}.pt")
        for key, value in first.items():
            assert torch.equal(other[key], value), f"{key}, again {again}, process {rank}"


# ---- stopped, killed, broken


def started(normal, out, *more, epochs=8, leading=SLOWLY):
    """`oddframe fit` of two processes, as a child in a session of its own, slowly if not said."""
    sets = [word for setting in TINY for word in ("--set", setting)]
    command = [
        *leading, "fit", "--model", "mnad-128",
        "--data", str(normal), "--out", str(out), "--epochs", str(epochs), *sets, *more,
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_steps(process, out, steps=4):
    until = time.monotonic() + 300
    while time.monotonic() < until:
        path = out / "train.csv"
        if path.exists() and path.read_bytes().count(b"\n") > steps:
            return
        if process.poll() is not None:
            pytest.fail(f"ended before step {steps}: {process.communicate()}")
        time.sleep(0.05)
    pytest.fail("no steps")


def workers_of(pid: int) -> list[int]:
    """Processes that a process has started, and that are still there."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.ranks
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_training_that_was_killed_or_stopped_goes_on_to_the_same_bits(normal, tmp_path):
    whole = tiny_fit(normal, tmp_path / "whole", epochs=8, devices=2)
    out = tmp_path / "cut"
    # The one that follows is killed: the other says so.
    process = started(normal, out, "--devices", "2")
    wait_for_steps(process, out)
    (worker,) = workers_of(process.pid)
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.count("error:") == 1
    assert "process 1 ended by SIGKILL" in said
    assert "--resume" in said
    # The one that leads is killed: the other does not stay.
    process = started(normal, out, "--devices", "2", "--resume")
    before = (out / "resume" / "state.ckpt").stat().st_mtime_ns
    until = time.monotonic() + 300
    while (out / "resume" / "state.ckpt").stat().st_mtime_ns == before:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    (worker,) = workers_of(process.pid)
    process.kill()
    process.communicate()
    until = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < until, "the worker outlives the process that leads"
        time.sleep(0.1)
    # Asked to stop: saved, said once.
    process = started(normal, out, "--devices", "2", "--resume")
    wait_for_steps(process, out)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.count("stopped at step") == 1
    assert said.count("stopping after") == 1
    tiny_fit(normal, out, epochs=8, devices=2, resume=True)
    np.testing.assert_array_equal(curve(out), curve(whole.path))
    a, b = (load_file(path / "model.safetensors") for path in (whole.path, out))
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.ranks
@pytest.mark.timeout(900)
def test_an_error_of_the_one_that_follows_is_raised_by_the_one_that_leads(
    normal, tmp_path, monkeypatch
):
    monkeypatch.setattr(fit_file, "Batches", breaking.Breaking)
    with pytest.raises(DatasetError, match="frame 7 is gone"):
        tiny_fit(normal, tmp_path / "run", devices=2)
    assert not (tmp_path / "run" / "model.json").exists()
    # What was saved goes on with one process, which says so.
    monkeypatch.undo()
    console = Console(record=True, file=(tmp_path / "said").open("w"), width=200)
    tiny_fit(normal, tmp_path / "run", resume=True, console=console)
    assert "begun by 2 processes, goes on with 1" in console.export_text()
    tiny_fit(normal, tmp_path / "one")
    np.testing.assert_allclose(
        curve(tmp_path / "run"), curve(tmp_path / "one"), rtol=1e-3, atol=1e-6
    )


@pytest.mark.ranks
@pytest.mark.timeout(900)
def test_torchrun_trains_and_one_process_speaks(normal, tmp_path):
    out = tmp_path / "run"
    torchrun = (
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m",
        "oddframe",
    )  # fmt: skip
    process = started(normal, out, epochs=1, leading=torchrun)
    printed, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert printed.count("next: oddframe score") == 1
    assert said.count("mnad-128: ") == 1
    run = load_run(out)
    assert run.card["training"]["devices"] == 2
    tiny_fit(normal, tmp_path / "own", devices=2)
    np.testing.assert_array_equal(curve(out), curve(tmp_path / "own"))


@pytest.mark.ranks
@pytest.mark.timeout(900)
def test_torch_does_not_speak_of_strides(normal, tmp_path):
    sets = [f"--set={s}" for s in ("model.size=32", "train.batch=4", "train.lr=2e-4")]
    done = subprocess.run(
        [
            sys.executable, "-m", "oddframe", "fit", "--model", "m2s2l-edge", "--data", str(normal),
            "--out", str(tmp_path / "run"), "--steps", "3", "--devices", "2", *sets,
        ],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.ranks
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("option", [{"minutes": 0.2}, {"core_minutes": 0.2}], ids=str)
def test_a_budget_of_time_ends_all_at_one_step(normal, tmp_path, option):
    run = tiny_fit(normal, tmp_path / "run", epochs=None, devices=2, **option)
    assert run.card["training"]["steps"] == len(curve(run.path)) > 1


BLOCKED = """
import sys, time
from oddframe.train import crew
from oddframe.train.devices import Place
crew.LOOK_EVERY_S = crew.GRACE_S = 0.1
sys.executable = "/bin/false"
crew.Crew.start(Place(ranks=2, here=2))
time.sleep(120)
"""


@pytest.mark.ranks
def test_a_process_that_cannot_come_to_know_of_a_loss_is_ended():
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 1
    assert "error: A process of this training was lost (process 1 ended by exit code 1)" in (
        done.stderr
    )


def test_what_cannot_be_shared_is_refused_before_anything_is_made(normal, tmp_path):
    with pytest.raises(ConfigError, match=r"train\.batch=4 cannot be shared .* train\.batch=6"):
        tiny_fit(normal, tmp_path / "run", devices=3)
    assert not (tmp_path / "run").exists()


def test_a_worker_that_cannot_start_is_named(normal, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RunError, match=r"did not start: process 1 ended by exit code 1"):
        tiny_fit(normal, tmp_path / "run", devices=2)
