"""From nothing to a watching camera: cameras, recordings, fits, calibrations, RUNs.

POST /api/cameras, DELETE /api/cameras/{camera}      watch one more, or one less
PUT /api/cameras/{camera}/model                      score it with another RUN
GET, DELETE /api/cameras/{camera}/footage            what is recorded of it
POST /api/cameras/{camera}/record, …/fit, …/calibrate    jobs: each answers at once, 202
GET /api/jobs, /api/jobs/{job}; POST …/pause, …/resume, …/cancel
GET /api/runs, /api/runs/{run}, …/selftest.png       the RUNs that cameras may have

Sources are opened once before they are taken, for some seconds and in threads that can be left;
what they hold of passwords goes into files that only this user can read, and comes back nowhere.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse

from oddframe.errors import ConfigError, RunError, SourceError
from oddframe.models import MODELS
from oddframe.runs import SELFTEST
from oddframe.runtime.watch.site import CameraConfig
from oddframe.setup import probe
from oddframe.setup.footage import Lengths, footage_folder, forget
from oddframe.setup.job import CalibrateSettings, Job, Kind, RecordSettings
from oddframe.setup.jobs import Jobs
from oddframe.setup.known import Runs
from oddframe.sources.urls import safe
from oddframe.web.api.answers import Problem
from oddframe.web.api.cameras import FRESH, known
from oddframe.web.api.setup_answers import (
    AddedCamera,
    FitWanted,
    FootageAnswer,
    JobAnswer,
    ModelAnswer,
    ModelWanted,
    NewCamera,
    RemovedCamera,
    RunAnswer,
    RunDetails,
    details,
    fit_answer,
    footage_answer,
    job_answer,
    run_answer,
)

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

AT_ONCE = 4
"""Sources that are looked at at a time."""


def router(work: AtWork) -> APIRouter:
    """Its part of the API of a site."""
    found, setup, jobs = APIRouter(prefix="/api"), Setup(work), JobRoutes(work)
    one, own = "/cameras/{camera}", _problems(404, 409)
    add = found.add_api_route
    add("/cameras", setup.add, methods=["POST"], status_code=201, responses=_problems(409))
    add(one, setup.remove, methods=["DELETE"], responses=own)
    add(f"{one}/model", setup.assign, methods=["PUT"], responses=own)
    add(f"{one}/footage", setup.footage, responses=_problems(404))
    add(f"{one}/footage", setup.forget, methods=["DELETE"], responses=own)
    add("/runs", setup.all_runs)
    add("/runs/{run}", setup.one_run, responses=_problems(404))
    picture: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
    add("/runs/{run}/selftest.png", setup.picture, responses={**_problems(404), **picture},
        response_class=FileResponse)  # fmt: skip
    for path, start in (("record", jobs.record), ("fit", jobs.fit), ("calibrate", jobs.calibrate)):
        add(f"{one}/{path}", start, methods=["POST"], status_code=202, responses=own)
    add("/jobs", jobs.all)
    add("/jobs/{job}", jobs.one, responses=_problems(404))
    for path, change in (("pause", jobs.pause), ("resume", jobs.resume), ("cancel", jobs.cancel)):
        add(f"/jobs/{{job}}/{path}", change, methods=["POST"], responses=own)
    return found


class Setup:
    """Cameras and RUNs, by their routes."""

    def __init__(self, work: AtWork) -> None:
        self._work, self._runs, self._lengths = work, Runs(work), Lengths()
        self._looking = threading.BoundedSemaphore(AT_ONCE)

    def add(self, new: NewCamera) -> AddedCamera:
        """Watch one more camera: it is shown at once, and scored when it has a RUN. Its alarms are
        off until somebody arms it.

        Its source is opened first, for some seconds. One that cannot be is refused, in the words of
        whoever tried; an address or webcam is taken nevertheless where `anyway` says so.
        """
        if new.name in self._work.config.cameras:
            raise HTTPException(409, f"There is a camera {new.name} already: give another name.")
        try:
            source = probe.checked(new.source)
        except SourceError as error:
            raise HTTPException(422, f"source: {error}") from None
        width, height, words = self._seen(source, new.anyway)
        try:
            self._work.add(new.name, CameraConfig(source=source, realtime=new.realtime))
            self._work.arm(new.name, False)  # its first threshold is a guess
        except ConfigError as error:
            raise HTTPException(409, str(error)) from None
        except SourceError as error:
            raise HTTPException(422, f"source: {error}") from None
        return AddedCamera(
            camera=new.name, source=safe(source), stage="unfitted", width=width, height=height,
            words=words,
        )  # fmt: skip

    def remove(
        self,
        camera: str,
        footage: Annotated[bool, Query(description="Delete its recordings as well.")] = False,
    ) -> RemovedCamera:
        """Watch a camera that was added here no more. Its jobs are cancelled; events, RUNs and (by
        default) recordings stay."""
        known(self._work, camera)
        try:
            self._work.remove(camera)
        except ConfigError as error:
            raise HTTPException(409, str(error)) from None
        jobs: Jobs | None = self._work.jobs
        if jobs is not None:
            jobs.forget(camera)
        if footage:
            forget(self._folder(camera))
        return RemovedCamera(camera=camera, removed=True)

    def assign(self, camera: str, wanted: ModelWanted) -> ModelAnswer:
        """Score a camera with another RUN from now on; kept over restarts."""
        known(self._work, camera)
        path = self._path(wanted.run)
        try:
            self._work.reassign(camera, str(path))
        except (ConfigError, RunError) as error:
            raise HTTPException(409, str(error)) from None
        return ModelAnswer(camera=camera, run=wanted.run)

    def footage(self, camera: str) -> FootageAnswer:
        """What is recorded of a camera."""
        known(self._work, camera)
        return footage_answer(camera, self._lengths.of(self._folder(camera)))

    def forget(self, camera: str) -> FootageAnswer:
        """Delete what is recorded of a camera. RUNs that learned from it stay."""
        known(self._work, camera)
        at_work = [job.kind for job in self._jobs() if job.camera == camera and job.open]
        if at_work:
            raise HTTPException(
                409, f"A {at_work[0]} of {camera} works with its recordings: cancel it first."
            )
        jobs: Jobs | None = self._work.jobs
        if jobs is not None and jobs.busy(camera):
            raise HTTPException(
                409, f"A job of {camera} that was ended still writes: try again in some seconds."
            )
        forget(self._folder(camera))
        return self.footage(camera)

    def all_runs(self) -> list[RunAnswer]:
        """All RUNs: those that were made here, those that are still learned, those of cameras."""
        found = []
        for name, path in self._runs.all().items():
            run = self._runs.read(path)
            if run is not None:
                found.append(run_answer(self._runs, name, run))
        known = {answer.run for answer in found}
        return found + [
            fit_answer(job) for job in self._fits() if job.run is not None and job.run not in known
        ]

    def one_run(self, run: str) -> RunDetails:
        """One RUN, with its loss curve, self-test, threshold and tables."""
        for job in self._fits():
            if job.run == run and run not in self._runs.all():
                return details(fit_answer(job), self._runs.folder / job.run, None)
        path = self._path(run)
        known = self._runs.read(path)
        if known is None:
            raise HTTPException(404, f"RUN {run} cannot be read: it is damaged.")
        return details(run_answer(self._runs, run, known), path, known)

    def picture(self, run: str) -> FileResponse:
        """Made anomalies in a RUN's own footage, and how often they are seen."""
        path = self._path(run) / SELFTEST
        if not path.is_file():
            raise HTTPException(404, "There is no picture of its self-test.")
        return FileResponse(path, media_type="image/png", headers=FRESH)

    def _path(self, run: str) -> Path:
        try:
            return self._runs.path(run)
        except RunError as error:
            raise HTTPException(404, str(error)) from None

    def _folder(self, camera: str) -> Path:
        return footage_folder(self._work.store.folder, camera)

    def _jobs(self) -> list[Job]:
        jobs: Jobs | None = self._work.jobs
        return [] if jobs is None else jobs.list()

    def _fits(self) -> list[Job]:
        return [job for job in self._jobs() if job.kind == "fit" and job.open]

    def _seen(self, source: str | int, anyway: bool) -> tuple[int, int, str]:
        """Width and height of its first picture; or why there is none, where it is taken anyway."""
        if not self._looking.acquire(timeout=probe.LOOK_S):
            raise HTTPException(409, "Other sources are looked at: try again in some seconds.")
        try:
            status = probe.look(source)
        except SourceError as error:
            if not anyway or probe.is_file(source):
                more = "" if probe.is_file(source) else (
                    " To add it though it is down, give anyway: true."
                )  # fmt: skip
                raise HTTPException(422, f"source: {error}{more}") from None
            return 0, 0, str(error)
        finally:
            self._looking.release()
        return status.width, status.height, ""


class JobRoutes:
    """Jobs, by their routes."""

    def __init__(self, work: AtWork) -> None:
        self._work = work

    def record(self, camera: str, wanted: RecordSettings) -> JobAnswer:
        """Record what is normal in front of a camera."""
        return self._start("record", camera, wanted.model_dump(mode="json"))

    def fit(self, camera: str, wanted: FitWanted) -> JobAnswer:
        """Learn what is normal from what is recorded; waits for a recording that goes on. The
        camera gets the RUN, with a first threshold."""
        if wanted.model not in MODELS:
            raise HTTPException(422, f"model: there is no such; there are {', '.join(MODELS)}.")
        return self._start("fit", camera, wanted.settings())

    def calibrate(self, camera: str, wanted: CalibrateSettings) -> JobAnswer:
        """Find the threshold for a rate of false alarms, from what is recorded and was not learned
        from."""
        return self._start("calibrate", camera, wanted.model_dump(mode="json"))

    def all(self) -> list[JobAnswer]:
        """All jobs, the newest first."""
        return [job_answer(job) for job in self._jobs.list()]

    def one(self, job: str) -> JobAnswer:
        """One job as it is now."""
        return job_answer(self._job(job))

    def pause(self, job: str) -> JobAnswer:
        """Save its state and let the machine go, until it is resumed."""
        return self._changed(job, "pause")

    def resume(self, job: str) -> JobAnswer:
        """Go on with a job that is paused, or failed."""
        return self._changed(job, "resume")

    def cancel(self, job: str) -> JobAnswer:
        """End a job for good. Of a fit nothing is left; what was recorded stays."""
        return self._changed(job, "cancel")

    @property
    def _jobs(self) -> Jobs:
        found: Jobs | None = self._work.jobs
        if found is None:
            raise HTTPException(503, "Jobs are not done here now.")
        return found

    def _start(self, kind: Kind, camera: str, settings: Mapping[str, Any]) -> JobAnswer:
        known(self._work, camera)
        try:
            return job_answer(self._jobs.start(kind, camera, settings))
        except ConfigError as error:
            raise HTTPException(409, str(error)) from None

    def _job(self, job: str) -> Job:
        found = self._jobs.get(job)
        if found is None:
            raise HTTPException(404, f"There is no job {job[:64]!r}.")
        return found

    def _changed(self, job: str, to: str) -> JobAnswer:
        known = self._job(job)
        try:
            return job_answer(getattr(self._jobs, to)(known.id))
        except ConfigError as error:
            raise HTTPException(409, str(error)) from None


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in statuses}
