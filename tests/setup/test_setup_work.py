"""What children do with the library: fit on most of what is recorded, calibrate on the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from site_of_jobs import until

from encoded import encode
from oddframe.errors import ConfigError, DatasetError, RunError
from oddframe.pictures import Plain
from oddframe.runs import CARD, load_run
from oddframe.runtime.record import RecordConfig, record, recordings
from oddframe.runtime.tape import UNFINISHED
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.setup import footage
from oddframe.setup.footage import Lengths, footage_folder, linked, to_calibrate, to_train
from oddframe.setup.progress import Lines, Progress, Reached, last_row
from oddframe.setup.tap import Piped, Tap
from oddframe.setup.work import COPIES, Task, perform

TINY = ("model.size=32", "model.width=4", "model.items=3", "score.flow=false")
FIT = {"model": "mnad-128", "settings": TINY}


def task(site, kind, settings, run="gate-1", **more):
    folder = site.store.folder / "setup" / "a"
    folder.mkdir(parents=True, exist_ok=True)
    return Task(
        kind, "gate", settings, str(folder), str(footage_folder(site.store.folder, "gate")),
        str(site.store.folder / "runs" / run), **more,
    )  # fmt: skip


def did(job):
    return perform(job, Progress(site_of(job)), threading.Event())


def site_of(job):
    return Path(job.folder)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A site of which `gate` was fitted: (site, outcome)."""
    from site_of_jobs import JobSite

    from oddframe.train import fit
    from oddframe.train.finish import Spent

    class Untried(Spent):
        clips = 0

    site = JobSite(tmp_path_factory.mktemp("fitted") / "store")
    site.recorded(files=4, frames=40)
    job = task(site, "fit", {"minutes": 0.02, **FIT})
    # No self-test, as in tests/train/conftest.py; threads that wait for each other on a machine
    # that is busy cost ten times what they save.
    before, fit.Spent, threads = fit.Spent, Untried, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return site, did(job), job
    finally:
        fit.Spent = before
        torch.set_num_threads(threads)


def test_a_fit_learns_from_most_of_what_is_recorded(fitted):
    site, outcome, job = fitted
    run = load_run(job.run)
    names = [p.name for p in recordings(footage_folder(site.store.folder, "gate"))]
    assert outcome.text.startswith(f"{run.card['training']['steps']} steps on 3 recordings; thr")
    assert run.card["data"]["name"] == "gate"
    assert run.card["data"]["videos"] == 3
    assert footage.trained_on(run.path, "gate") == set(names[:3])
    assert to_calibrate(footage_folder(site.store.folder, "gate"), run.path) == names[3:]
    assert not (run.path / "resume").exists()
    facts = run.card["training"]
    copies = facts["psnr_db"] <= facts["copied_psnr_db"]
    assert outcome.problem == (COPIES if copies else None)
    told = Reached.read(site_of(job))
    assert told.done > 0
    assert last_row(run.path)[0] == run.card["training"]["steps"] - 1


def test_a_fit_that_was_finished_is_not_made_again(fitted):
    _, outcome, job = fitted
    before = (site_of(job), (load_run(job.run).path / CARD).stat().st_mtime_ns)
    assert did(job) == outcome
    assert before[1] == (load_run(job.run).path / CARD).stat().st_mtime_ns


def test_a_calibration_takes_what_was_not_learned_from(fitted, monkeypatch):
    monkeypatch.setattr("oddframe.setup.progress.EVERY_S", 0.0)
    site, _, job = fitted
    shutil.rmtree(site_of(job))
    again = task(site, "calibrate", {"alarms_per_day": 3.0, "minutes": 1.0})
    outcome = did(again)
    run = load_run(again.run)
    assert outcome.text == run.calibration["text"]
    assert outcome.problem is None
    assert run.calibration["alarms_per_day"] == 3
    assert run.calibration["footage"]["videos"] == 1
    assert Reached.read(site_of(again)).text.startswith("scoring")


def test_a_copy_has_a_threshold_of_its_own(fitted):
    site, _, job = fitted
    shutil.rmtree(site.store.folder / "setup" / "a", ignore_errors=True)
    before = (load_run(job.run).path / CARD).read_bytes()
    copy = task(site, "calibrate", {"alarms_per_day": 7.0, "minutes": 1.0}, "other", copy=job.run)
    did(copy)
    assert load_run(copy.run).calibration["alarms_per_day"] == 7
    assert (load_run(job.run).path / CARD).read_bytes() == before


@pytest.mark.slow
def test_a_fit_that_was_stopped_goes_on(site):
    """In processes of its own: asked to end in the middle, killed, and started again."""
    site.recorded(files=3, frames=90)
    job = task(site, "fit", {"minutes": 0.5, **FIT})
    spec = site_of(job) / "task.json"
    steps = []
    for how in ("ask", "kill", "let"):
        job.write(spec)
        child = subprocess.Popen(
            [sys.executable, "-m", "oddframe.setup.child", str(spec)], stdin=subprocess.PIPE
        )
        if how != "let":
            begun = steps[-1] if steps else 0
            path = site.store.folder / "runs" / "gate-1"
            until(lambda p=path, n=begun: (p / "resume" / "state.ckpt").exists()
                  and (last_row(p)[0] or 0) > n, 60)  # fmt: skip
            if how == "kill":
                child.kill()
            else:
                child.stdin.close()
        code = child.wait(90)
        assert code == {"ask": 130, "kill": -9, "let": 0}[how]
        steps.append(last_row(site.store.folder / "runs" / "gate-1")[0])
    run = load_run(job.run)
    assert run.card["training"]["minutes"] < 0.6
    assert run.card["training"]["steps"] > steps[0]


# ---- which recordings


def test_the_last_quarter_is_kept_and_one_alone_trains(site):
    folder = site.recorded(files=8)
    assert len(to_train(folder)) == 6
    for path in recordings(folder)[1:]:
        path.unlink()
    assert to_train(folder) == ["2026-01-31T18-00-00Z.mp4"]


def test_nothing_to_work_with_is_said(site, tmp_path):
    with pytest.raises(DatasetError, match="Nothing is recorded of gate"):
        to_train(footage_folder(site.store.folder, "gate"))
    folder = site.recorded(files=1)
    footage.note_trained(tmp_path, "gate", to_train(folder))
    with pytest.raises(DatasetError, match="record some more"):
        to_calibrate(folder, tmp_path)
    footage.note_trained(tmp_path, "yard", to_train(folder))
    assert to_calibrate(folder, tmp_path) == to_train(folder)
    with pytest.raises(DatasetError, match=r"1 of 1 recordings.*gone\.mp4"):
        linked(folder, ["gone.mp4"], tmp_path / "links")


def test_lengths_are_measured_once(site, monkeypatch):
    folder, lengths = site.recorded(files=2, frames=50), Lengths()
    kept = lengths.of(folder)
    assert (kept.seconds, kept.files) == (pytest.approx(4, abs=0.2), 2)
    monkeypatch.setattr(footage, "seconds_of", lambda path: 100.0)
    assert lengths.of(folder) == kept
    footage.forget(folder)
    assert lengths.of(folder).files == 0
    assert not folder.exists()


def test_recordings_are_deleted_and_nothing_else(site):
    folder = site.recorded(files=2, frames=2)
    (folder / "mine.mp4").write_bytes(b"x")
    (folder / f"{UNFINISHED}2026-01-31T18-02-00Z.mp4").write_bytes(b"half")
    footage.forget(folder)
    assert [p.name for p in folder.iterdir()] == ["mine.mp4"]


def test_a_run_that_cannot_be_copied_leaves_nothing(site, tmp_path):
    job = task(site, "calibrate", {"alarms_per_day": 1.0, "minutes": 1.0},
               copy=str(tmp_path / "none"))  # fmt: skip
    with pytest.raises(RunError, match="cannot be copied"):
        did(job)
    assert not (site.store.folder / "runs").exists()


# ---- how far


def test_progress_never_goes_back_and_damage_is_no_progress(tmp_path, monkeypatch):
    monkeypatch.setattr("oddframe.setup.progress.EVERY_S", 0.0)
    progress = Progress(tmp_path)
    progress.say("a", 0.5, 3.0)
    progress.say("b", 0.2)
    assert Reached.read(tmp_path) == Reached(0.5, "b", None)
    for damaged in ("", "[]", '{"done": "x"}', '{"done": 7, "text": 1}', "\x00"):
        (tmp_path / "progress.json").write_text(damaged)
        assert Reached.read(tmp_path).done in (0.0, 1.0)


def test_the_last_row_of_a_curve_that_is_being_written(tmp_path):
    assert last_row(tmp_path) == (None, 0.0, 0.0)
    curve = tmp_path / "train.csv"
    curve.write_text("step,epoch,elapsed_s,lr,loss\n")
    assert last_row(tmp_path)[0] is None
    curve.write_text("step,epoch,elapsed_s,lr,loss\n7,1.0,3.5,0.1,0.25\n8,1.0,4")
    assert last_row(tmp_path) == (7, 3.5, 0.25)
    curve.write_text("step,elapsed_s,loss\n7,")  # what follows the head, and no part of it
    assert last_row(tmp_path)[0] is None


def test_the_last_line_of_a_console_is_kept(capsys):
    lines = Lines()
    lines.write("one\ntwo\n")
    lines.write("\n")
    assert lines.last == "two"
    assert capsys.readouterr().out == "one\ntwo\n\n"


# ---- the frames of a webcam


def test_a_webcam_is_recorded_through_the_server(tmp_path):
    """Only one process may open it: its frames come through a pipe."""
    image = np.zeros((96, 960, 3), np.uint8)
    site, over = SimpleNamespace(frame=None), threading.Event()

    def camera():
        for index in range(10**6):
            if over.wait(0.02):
                return
            image[:, index % 900 :][:, :40] = index % 255
            site.frame = LiveFrame(index, index / 50, Plain(image.copy()), gap=index == 0)

    thread = threading.Thread(target=camera)
    thread.start()
    out, into = os.pipe()
    tap = Tap(lambda: site.frame, os.fdopen(into, "wb"))
    piped = Piped(out)
    calm = RecordConfig.read({"segment_s": 1, "reading": {"frozen_s": 0, "upheaval": False}})
    try:
        found = record("camera", tmp_path, 1.2 / 60, calm, connecting=lambda source, how: piped)
    finally:
        tap.close()
        over.set()
        thread.join()
    assert found.seconds == pytest.approx(1.2, abs=0.2)
    from oddframe.sources import open_source

    with open_source(recordings(tmp_path)[0]) as source:
        assert source.info.width == 640
        assert source.info.fps == pytest.approx(50, rel=0.15)


def test_the_pipe_of_a_camera_that_is_no_more_is_closed(caplog):
    caplog.set_level("INFO", "oddframe.setup")

    def view():
        raise ConfigError("There is no camera 'door'.")

    out, into = os.pipe()
    Tap(view, os.fdopen(into, "wb"))
    with pytest.raises(Exception, match="gives no more pictures"):
        list(Piped(out).pictures())
    assert "no camera 'door'" in caplog.text


def test_the_end_of_the_pipe_is_told(tmp_path):
    out, into = os.pipe()
    told = []
    os.close(into)
    with pytest.raises(Exception, match="gives no more pictures"):
        list(Piped(out, lambda: told.append(1)).pictures())
    assert told == [1]


def test_a_task_is_for_this_user_alone(site):
    job = task(site, "record", {"minutes": 1.0}, source="rtsp://a:b@c/d")
    path = site_of(job) / "task.json"
    job.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Task.read(path) == job
    assert json.loads(path.read_text())["source"] == "rtsp://a:b@c/d"


def test_recorded_files_are_short_where_little_is_recorded(site, tmp_path):
    film = encode(tmp_path / "film.mp4", 500, 25)
    job = task(site, "record", {"minutes": 0.3}, source=str(film))
    outcome = did(job)
    assert "18 s in 2 files" in outcome.text
    assert outcome.problem is None
    assert did(job) == outcome  # again: it is there


def test_a_stopped_recording_is_gone_on_with(site, tmp_path):
    film = encode(tmp_path / "film.mp4", 500, 25)
    job = task(site, "record", {"minutes": 0.3}, source=str(film))
    stop = threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        perform(job, Progress(site_of(job)), stop)
    assert "18 s" in did(job).text
