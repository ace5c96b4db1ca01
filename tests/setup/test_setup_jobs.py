"""Jobs: their turns, pause and cancel, what a restart goes on with; nothing secret is seen."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from site_of_jobs import ADDRESS, SECRET, WORKER, until

from oddframe.errors import ConfigError
from oddframe.setup import jobs as module
from oddframe.setup.footage import footage_folder
from oddframe.setup.job import Job
from oddframe.setup.jobs import Jobs

LONG = {"seconds": 60.0}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.03)
    monkeypatch.setattr(module, "AGAIN_S", 0.05)


@pytest.fixture
def jobs(site):
    site.script()
    with Jobs(site, WORKER) as made:
        yield made


def state(jobs, job):
    return jobs.get(job.id).state


def ended(jobs, job):
    """A job when it is over."""
    return until(lambda: None if (found := jobs.get(job.id)).open else found)


def running(jobs, job):
    return until(lambda: jobs.get(job.id) if jobs.get(job.id).done > 0 else None)


def pid(site):
    return json.loads((site.store.folder / "seen.json").read_text())[2]


def is_alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# ---- turns


def test_a_job_is_done_and_says_how_far_it_is(site, jobs):
    site.script(record={"seconds": 0.4})
    job = jobs.start("record", "gate", {"minutes": 5.0})
    assert job.state == "waiting"
    found = running(jobs, job)
    assert (found.state, found.text) == ("running", "at it")
    assert 0 < found.done < 1
    assert 0 < found.left_s < 0.4
    over = ended(jobs, job)
    assert (over.state, over.done, over.text, over.left_s) == ("done", 1.0, "record done", None)
    assert over.created_utc <= over.started_utc <= over.ended_utc
    assert jobs.list() == [over]


def test_jobs_of_one_camera_wait_for_each_other_and_of_fits_one_runs_at_a_time(site, jobs):
    site.script(record={"seconds": 0.2}, fit={"seconds": 0.2}, calibrate={"seconds": 0.2})
    for camera in ("gate", "yard"):
        jobs.start("record", camera, {"minutes": 5.0})
        jobs.start("fit", camera, {"minutes": 5.0})
        jobs.start("calibrate", camera, {"alarms_per_day": 1.0})
    until(lambda: [j.text for j in jobs.list() if j.text.startswith("waits for the record")])
    # No child makes a RUN here: the calibrations find none.
    over = [ended(jobs, job) for job in jobs.list()]
    assert {(j.kind, j.state) for j in over} == {
        ("record", "done"), ("fit", "done"), ("calibrate", "failed")
    }  # fmt: skip
    assert all("has no RUN yet" in j.problem for j in over if j.kind == "calibrate")
    at = site.done.index
    for camera in ("gate", "yard"):
        assert at(f"record {camera} is done") < at(f"fit {camera} begins")
    # Whose recording was over first goes first.
    first, second = sorted(("gate", "yard"), key=lambda camera: at(f"fit {camera} begins"))
    assert at(f"fit {first} is done") < at(f"fit {second} begins")
    assert max(at("record gate begins"), at("record yard begins")) < at("record gate is done")


@pytest.mark.parametrize(
    ("kind", "camera", "settings", "words"),
    [
        ("record", "attic", {"minutes": 5.0}, "no camera 'attic'"),
        ("record", "gate", {"minutes": 0.0}, "minutes"),
        ("record", "gate", {"minutes": float("nan")}, "minutes"),
        ("record", "gate", {"minutes": 5.0, "else": 1}, "else"),
        ("fit", "gate", {"minutes": 5.0}, "Nothing is recorded of gate"),
        ("fit", "gate", {"minutes": 5.0, "model": "m2s3l"}, "m2s2l"),
        ("calibrate", "gate", {"alarms_per_day": 1.0}, "Nothing is recorded of gate"),
    ],
)
def test_what_cannot_be_done_is_refused(jobs, kind, camera, settings, words):
    with pytest.raises(ConfigError, match=words):
        jobs.start(kind, camera, settings)
    assert jobs.list() == []


def test_a_camera_has_one_job_of_a_kind_and_a_calibration_needs_a_run(site, jobs):
    site.script(record=LONG)
    job = jobs.start("record", "gate", {"minutes": 5.0})
    with pytest.raises(ConfigError, match="a recording of gate already"):
        jobs.start("record", "gate", {"minutes": 5.0})
    with pytest.raises(ConfigError, match="has no RUN yet"):
        jobs.start("calibrate", "gate", {"alarms_per_day": 1.0})
    jobs.cancel(job.id)
    jobs.start("record", "gate", {"minutes": 5.0})


# ---- pause, resume, cancel


def test_a_paused_job_has_no_process_and_goes_on_when_it_is_resumed(site, jobs):
    site.recorded(files=1, frames=2)
    site.script(fit=LONG)
    job = jobs.start("fit", "gate", {"minutes": 5.0})
    running(jobs, job)
    number = pid(site)
    assert is_alive(number)
    assert jobs.pause(job.id).state == "paused"
    until(lambda: not is_alive(number))
    assert site.done[-1] == "fit gate stopped"
    time.sleep(0.2)
    assert state(jobs, job) == "paused"
    site.script(fit={"seconds": 0.1})
    assert jobs.resume(job.id).state == "waiting"
    assert ended(jobs, job).state == "done"
    assert site.done.count("fit gate begins") == 2


def test_a_job_that_waits_can_be_paused_and_the_next_of_its_camera_waits_too(site, jobs):
    site.recorded(files=1, frames=2)
    site.script(record=LONG, fit={"seconds": 0.1})
    record = jobs.start("record", "gate", {"minutes": 5.0})
    fit = jobs.start("fit", "gate", {"minutes": 5.0})
    assert jobs.pause(fit.id).state == "paused"
    assert jobs.pause(record.id).state == "paused"
    jobs.resume(fit.id)
    until(lambda: jobs.get(fit.id).text == "waits for the recording before it")
    jobs.cancel(record.id)
    assert ended(jobs, fit).state == "done"


def test_a_cancelled_fit_leaves_no_run_and_all_recordings(site, jobs):
    folder = site.recorded(files=2, frames=2)
    site.script(fit=LONG)
    job = jobs.start("fit", "gate", {"minutes": 5.0})
    running(jobs, job)
    number, run = pid(site), site.store.folder / "runs" / job.run
    assert run.is_dir()
    assert jobs.cancel(job.id).state == "cancelled"
    until(lambda: not is_alive(number) and not run.exists())
    assert len(list(folder.iterdir())) == 2
    for change in (jobs.pause, jobs.resume, jobs.cancel):
        with pytest.raises(ConfigError, match="is cancelled"):
            change(job.id)
    with pytest.raises(ConfigError, match="no job"):
        jobs.pause("nothing")


def test_a_process_that_does_not_end_is_ended(site, jobs, monkeypatch):
    monkeypatch.setattr(module, "LEAVE_S", 0.2)
    site.script(record=LONG)
    job = jobs.start("record", "gate", {"minutes": 5.0})
    running(jobs, job)
    number = pid(site)
    os.kill(number, signal.SIGSTOP)  # hangs
    jobs.cancel(job.id)
    until(lambda: not is_alive(number))


# ---- what goes wrong


def test_a_failing_job_says_why_and_can_be_tried_again(site, jobs):
    words = "footage/gate: the disk is full, free some space."
    site.script(record={"exit": 1, "text": f"{site.store.folder}/{words}"})
    job = jobs.start("record", "gate", {"minutes": 5.0})
    found = ended(jobs, job)
    assert (found.state, found.problem) == ("failed", words)
    site.script()
    jobs.resume(job.id)
    found = ended(jobs, job)
    assert (found.state, found.problem) == ("done", None)


def test_what_failed_is_not_gone_on_with_beside_another_of_its_kind(site, jobs):
    site.script(record={"exit": 1, "text": "no disk"})
    failed = ended(jobs, jobs.start("record", "gate", {"minutes": 5.0}))
    site.script(record=LONG)
    other = jobs.start("record", "gate", {"minutes": 5.0})
    with pytest.raises(ConfigError, match="a recording of gate already"):
        jobs.resume(failed.id)
    jobs.cancel(other.id)
    assert jobs.resume(failed.id).state == "waiting"


def test_a_process_that_ends_without_a_word_is_tried_again_some_times(site, jobs):
    site.script(record={"exit": 9})
    job = jobs.start("record", "gate", {"minutes": 5.0})
    found = ended(jobs, job)
    assert found.state == "failed"
    assert "exit code 9" in found.problem
    assert site.done.count("record gate begins") == module.MOST_TRIES


def test_a_job_whose_camera_went_away_fails(site, jobs):
    site.script(record=LONG)
    first = jobs.start("record", "gate", {"minutes": 5.0})
    job = jobs.start("fit", "gate", {"minutes": 5.0})
    running(jobs, first)
    del site.engine.cameras["gate"]
    jobs.cancel(first.id)
    assert "no camera 'gate'" in ended(jobs, job).problem


def test_a_camera_that_is_removed_has_no_jobs(site, jobs):
    site.script(record={**LONG, "ends_s": 0.1})
    running(jobs, jobs.start("record", "gate", {"minutes": 5.0}))
    number = pid(site)
    other = jobs.start("record", "yard", {"minutes": 5.0})
    jobs.start("fit", "gate", {"minutes": 5.0})
    jobs.forget("gate")
    assert not is_alive(number)  # it would finish a file of what is to be deleted
    assert [j.camera for j in jobs.list() if j.open] == ["yard"]
    assert jobs.get(other.id).open


def test_a_camera_is_busy_until_the_process_of_a_cancelled_job_ended(site, jobs):
    site.script(record={**LONG, "ends_s": 0.1})
    job = running(jobs, jobs.start("record", "gate", {"minutes": 5.0}))
    number = pid(site)
    jobs.cancel(job.id)
    assert jobs.busy("gate")
    assert not jobs.busy("yard")
    until(lambda: not jobs.busy("gate"))
    assert not is_alive(number)


# ---- the camera gets its RUN


def test_a_camera_gets_the_run_that_was_fitted_and_again_when_it_is_calibrated(
    site, jobs, shared_run
):
    site.recorded(files=1, frames=2)
    site.script(fit={"run": str(shared_run)}, calibrate={"problem": "It is known footage."})
    fit = jobs.start("fit", "gate", {"minutes": 5.0})
    calibrate = jobs.start("calibrate", "gate", {"alarms_per_day": 2.0})
    over = ended(jobs, calibrate)
    assert over.state == "done"
    assert over.problem == "It is known footage."
    assert fit.run == over.run
    assert fit.run.startswith("gate-2")
    path = str(site.store.folder / "runs" / fit.run)
    assert site.given == [("gate", path)] * 2


def test_a_run_that_a_camera_cannot_have_is_said(site, jobs, shared_run):
    site.recorded(files=1, frames=2)
    site.script(fit={"run": str(shared_run)})
    site.refuses = "it reads flow from files."
    found = ended(jobs, jobs.start("fit", "gate", {"minutes": 5.0}))
    assert found.state == "done"
    assert "reads flow from files" in found.problem


@pytest.mark.parametrize("shared", [False, True])
def test_a_run_that_others_use_is_copied_before_it_is_calibrated(site, jobs, shared_run, shared):
    site.recorded(files=1, frames=2)
    for name in ("gate", "yard") if shared else ("gate",):
        site.engine.cameras[name] = site.camera(shared_run)
    site.script(calibrate={"run": str(shared_run)})
    found = ended(jobs, jobs.start("calibrate", "gate", {"alarms_per_day": 2.0}))
    task = json.loads((site.store.folder / "seen.json").read_text())[0]
    assert found.copied
    assert task["copy"] == str(shared_run)
    assert Path(task["run"]).parent == site.store.folder / "runs"
    assert site.given == [("gate", task["run"])]


# ---- over restarts


def test_what_a_server_leaves_the_next_one_goes_on_with(site):
    site.recorded(files=1, frames=2)
    site.recorded("yard", files=1, frames=2)
    site.script(fit=LONG, record=LONG)
    with Jobs(site, WORKER) as jobs:
        fit = jobs.start("fit", "gate", {"minutes": 5.0})
        paused = jobs.start("record", "yard", {"minutes": 5.0})
        running(jobs, fit)
        running(jobs, paused)
        jobs.pause(paused.id)
        number = until(lambda: pid(site))
    assert not is_alive(number) or until(lambda: not is_alive(number))
    site.script(fit={"seconds": 0.1}, record={"seconds": 0.1})
    (site.store.folder / "setup" / "20260101T000000-aaaaaa").mkdir()  # what is no job
    with Jobs(site, WORKER) as jobs:
        assert [j.id for j in jobs.list()] == [paused.id, fit.id]
        found = ended(jobs, fit)
        assert (found.state, found.run) == ("done", fit.run)
        assert state(jobs, paused) == "paused"
        jobs.resume(paused.id)
        assert ended(jobs, paused).state == "done"


def test_what_a_cancelled_fit_left_as_the_server_ended_is_cleared_up(site):
    runs = site.store.folder / "runs"
    for camera in ("gate", "yard"):
        job = Job.made("fit", camera, {"minutes": 5.0})
        job = replace(job, state="cancelled", run=f"{camera}-20260101-1200")
        job.write(site.store.folder / "setup" / job.id)
        (runs / job.run / "resume" / "frames").mkdir(parents=True)
    again = replace(Job.made("fit", "yard", {"minutes": 5.0}), state="failed", run=job.run)
    again.write(site.store.folder / "setup" / again.id)  # in the same minute: of the same name
    with Jobs(site, WORKER):
        assert [path.name for path in runs.iterdir()] == ["yard-20260101-1200"]


def test_a_server_that_is_killed_takes_its_children_with_it(site):
    """They see the end of their standard input."""
    site.script(record=LONG)
    jobs = Jobs(site, WORKER)
    with jobs:
        job = jobs.start("record", "gate", {"minutes": 5.0})
        running(jobs, job)
        number = pid(site)
        jobs._closing = True
        jobs._thread.join()
        child = jobs._children[job.id]
        os.close(os.dup(child._pipe.fileno()))
        child._pipe.close()
        until(lambda: not is_alive(number))
    assert Job.read(site.store.folder / "setup" / job.id).state == "running"


def test_the_oldest_are_forgotten(site, jobs, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    for _ in range(4):
        last = jobs.start("record", "gate", {"minutes": 5.0})
        ended(jobs, last)
    until(lambda: len(jobs.list()) == 2)
    assert jobs.list()[0].id == last.id
    assert len(list((site.store.folder / "setup").iterdir())) == 2


# ---- secrets


def test_no_password_is_in_the_process_list_or_left_in_a_file(site, jobs, caplog):
    site.script(record={"seconds": 0.5})
    job = jobs.start("record", "gate", {"minutes": 5.0})
    running(jobs, job)
    task, argv, number = json.loads((site.store.folder / "seen.json").read_text())
    (site.store.folder / "seen.json").unlink()
    assert task["source"] == ADDRESS  # the child knows it
    assert SECRET not in Path(f"/proc/{number}/cmdline").read_text()
    assert SECRET not in " ".join(argv)
    folder = site.store.folder / "setup"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / job.id / "task.json").stat().st_mode & 0o777 == 0o600
    ended(jobs, job)
    for path in site.store.folder.rglob("*"):
        if path.is_file():
            assert SECRET not in path.read_text(errors="replace"), path
    assert SECRET not in repr(jobs.list()) + caplog.text


# ---- the real program


def test_the_real_child_records_and_goes_on_after_a_kill(site, tmp_path):
    from encoded import encode
    from oddframe.runtime.record import recordings

    film = encode(tmp_path / "film.mp4", 600, 25)
    site.config.cameras["gate"] = site.config.cameras["gate"].model_copy(
        update={"source": str(film)}
    )
    folder = footage_folder(site.store.folder, "gate")
    with Jobs(site) as jobs:
        job = jobs.start("record", "gate", {"minutes": 0.25})
        until(lambda: jobs._children)
        child = next(iter(jobs._children.values()))
        until(lambda: list(folder.glob("*")))
        os.kill(child.pid, signal.SIGKILL)
        found = ended(jobs, job)
        assert found.state == "done", found.problem
        assert "15 s in" in found.text
        before = len(recordings(folder))
        more = ended(jobs, jobs.start("record", "gate", {"minutes": 0.5}))
        assert more.state == "done"
        assert "less of it than was asked for" in more.problem
    assert len(recordings(folder)) > before
    assert not list((site.store.folder / "setup").glob("*/task.json"))


def test_the_real_child_says_what_is_wrong_without_a_password(site):
    with Jobs(site) as jobs:
        found = site.config.cameras["gate"]
        site.config.cameras["gate"] = found.model_copy(
            update={"source": f"rtsp://viewer:{SECRET}@nowhere.invalid/gate", "reading":
                    found.reading.model_copy(update={"timeout_s": 1.0})}
        )  # fmt: skip
        job = jobs.start("record", "gate", {"minutes": 5.0})
        said = until(lambda: text if "cannot be opened" in (text := jobs.get(job.id).text) else "")
        assert SECRET not in said
        jobs.cancel(job.id)
        until(lambda: not jobs._children)
