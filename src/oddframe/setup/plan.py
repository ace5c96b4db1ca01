"""What a job needs: its camera, recordings, a RUN; and what it waits for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from oddframe.errors import ConfigError
from oddframe.runtime.record import recordings
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.runtime.watch.site import CameraConfig
from oddframe.setup.footage import footage_folder
from oddframe.setup.job import HEAVY, NOUNS, Job, Kind
from oddframe.setup.known import Runs
from oddframe.setup.work import Task

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

MOST_OPEN = 50
"""Jobs that are not over."""
MOST_RECORDING = 8
"""Recordings at a time."""


class Plan:
    """Looks at a site for its jobs.

    folder: of the jobs.
    """

    def __init__(self, work: AtWork, runs: Runs, folder: Path) -> None:
        self._work, self._runs, self._folder = work, runs, folder

    def new(self, job: Job, known: Sequence[Job]) -> Job:
        """A job that is to be done, beside those that there are: with the name of its RUN.

        Raises:
            ConfigError: no such camera; there is such a job of it; it has nothing to work with.
        """
        self._camera(job.camera)
        self.room(job, known)
        own = {j.kind for j in known if j.open and j.camera == job.camera}
        folder = footage_folder(self._work.store.folder, job.camera)
        if job.kind != "record" and "record" not in own and not recordings(folder):
            raise ConfigError(
                f"Nothing is recorded of {job.camera}: record an hour of what is normal first."
            )
        if job.kind == "calibrate" and "fit" not in own and self._runs.of(job.camera) is None:
            raise ConfigError(f"{job.camera} has no RUN yet: fit one first.")
        return replace(job, run=self._new_run(job)) if job.kind == "fit" else job

    def room(self, job: Job, known: Sequence[Job]) -> None:
        """Whether a job that is not open may be, beside those that there are.

        Raises:
            ConfigError: one of its kind is open for its camera, or too many are.
        """
        open = [j for j in known if j.open]
        for other in open:
            if (other.camera, other.kind) == (job.camera, job.kind):
                raise ConfigError(
                    f"There is a {NOUNS[job.kind]} of {job.camera} already, which is "
                    f"{other.state}: let it end, or cancel it."
                )
        if len(open) >= MOST_OPEN:
            raise ConfigError("No more jobs are taken: let some of them end, or cancel them.")

    def waits(self, job: Job, known: Sequence[Job], at_work: Sequence[Kind]) -> str | None:
        """What a job waits for; None where it may run.

        known: all jobs, the oldest first. at_work: of which kinds processes are at work.
        """
        for other in known:
            if other.id == job.id:
                break
            if other.camera == job.camera and other.open:
                return f"waits for the {NOUNS[other.kind]} before it"
        if job.kind in HEAVY and any(kind in HEAVY for kind in at_work):
            return "waits for its turn: one fit or calibration runs at a time"
        if job.kind == "record" and list(at_work).count("record") >= MOST_RECORDING:
            return "waits for other recordings"
        return None

    def task(self, job: Job) -> tuple[Job, Task]:
        """What the child of a job is told; the job with the name of its RUN.

        Raises:
            ConfigError: its camera is no more, or has no RUN.
        """
        camera = self._camera(job.camera)
        task = Task(
            job.kind, job.camera, job.settings, str(self._folder / job.id),
            str(footage_folder(self._work.store.folder, job.camera)),
        )  # fmt: skip
        if job.kind == "record":
            reading = camera.reading.model_dump(mode="json")
            source = None if is_webcam(camera.source) else camera.source
            return job, replace(task, source=source, reading=reading)
        if job.kind == "calibrate":
            job, copy = self._own_run(job)
            task = replace(task, copy=copy)
        return job, replace(task, run=str(self._runs.folder / str(job.run)))

    def view(self, task: Task) -> Callable[[], LiveFrame | None] | None:
        """A camera's newest frame, for a child that cannot open it itself."""
        if task.kind != "record" or task.source is not None:
            return None
        return lambda: self._work.view(task.camera)[0]

    def _own_run(self, job: Job) -> tuple[Job, str | None]:
        """The RUN that a calibration changes: one that is not its camera's alone is copied."""
        if job.run is not None and (self._runs.folder / job.run).exists():
            return job, None
        run = self._runs.of(job.camera)
        if run is None:
            raise ConfigError(f"{job.camera} has no RUN yet: fit one first.")
        others = [name for name in self._runs.cameras(run) if name != job.camera]
        if run.parent.resolve() == self._runs.folder.resolve() and not others:
            return replace(job, run=run.name), None
        return replace(job, run=self._new_run(job), copied=True), str(run)

    def _new_run(self, job: Job) -> str:
        moment = datetime.fromtimestamp(job.created_utc, UTC)
        return self._runs.new_name(job.camera, f"{moment:%Y%m%d-%H%M}")

    def _camera(self, name: str) -> CameraConfig:
        found = self._work.config.cameras.get(name)
        if found is None or name not in self._work.engine.cameras:
            there = ", ".join(self._work.engine.cameras) or "none yet"
            raise ConfigError(f"There is no camera {name[:64]!r}: there are {there}.")
        return found


def is_webcam(source: str | int) -> bool:
    """Whether a source is the number of a webcam, as `open_source` takes it."""
    return isinstance(source, int) or (source.isdecimal() and not os.path.exists(source))
