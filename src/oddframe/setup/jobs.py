"""All jobs of a site: which runs next, how far each is, pause, cancel; they outlast the server.

    with AtWork(config) as work, Jobs(work) as jobs:
        jobs.start("record", "gate", {"minutes": 60})
        jobs.start("fit", "gate", {"minutes": 8})           # waits for the recording

Those of one camera run in the order in which they were given, of all fits and calibrations one at a
time. What ends with the server goes on with the next one. A camera gets its RUN as soon as that has
a threshold.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from oddframe.errors import ConfigError, OddframeError, RunError
from oddframe.models import entry
from oddframe.runs import CARD
from oddframe.setup.job import HEAVY, NOUNS, RESULT, Job, Kind, State, read_json
from oddframe.setup.known import Runs
from oddframe.setup.plan import Plan
from oddframe.setup.process import LEAVE_S, PROGRAM, SAVE_S, Child
from oddframe.setup.progress import Reached

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

log = logging.getLogger("oddframe.setup")

LOOK_S = 0.3
CLOSE_S = 8.0
"""For children to save their states as the server ends; they go on saving when it has."""
AGAIN_S = 15.0
"""Before a job whose process ended without a word is tried again."""
MOST_TRIES = 3
MOST_KEPT = 100
"""Jobs that are over and still listed."""


class Jobs:
    """The jobs of a site; any thread may ask."""

    def __init__(self, work: AtWork, program: Sequence[str] = PROGRAM) -> None:
        """program: what is started for each, with the file of its task."""
        self.runs = Runs(work)
        self._work, self._program = work, tuple(program)
        self._folder = work.store.folder / "setup"
        self._plan = Plan(work, self.runs, self._folder)
        self._news = threading.Condition(threading.RLock())
        self._jobs: dict[str, Job] = {}
        self._children: dict[str, Child] = {}
        self._not_before: dict[str, float] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="oddframe-jobs", daemon=True)

    # ---- asked for

    def list(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._news:
            return list(reversed(self._jobs.values()))

    def get(self, job: str) -> Job | None:
        """One job; None where there is none of that id."""
        with self._news:
            return self._jobs.get(job)

    def start(self, kind: Kind, camera: str, settings: Mapping[str, Any]) -> Job:
        """Have a job done; it runs when its turn comes.

        Raises:
            ConfigError: no such camera; settings out of range; there is such a job of it; it has
                nothing to work with.
            RunError: it cannot be written down.
        """
        if kind == "fit":
            entry(str(settings.get("model", "m2s2l-edge")))
        job = Job.made(kind, camera, settings)
        with self._news:
            if self._closing:
                raise ConfigError("The server ends: no more jobs are taken.")
            job = self._plan.new(job, [*self._jobs.values()])
            try:
                job.write(self._folder / job.id)
            except OSError as error:
                raise RunError(
                    f"The job cannot be written down: {error.strerror or error}. Free some space."
                ) from None
            self._jobs[job.id] = job
            self._news.notify_all()
        log.info("%s: a %s was asked for", camera, NOUNS[kind], extra={"camera": camera})
        return job

    def pause(self, job: str) -> Job:
        """Save its state and end its process, until it is resumed.

        Raises:
            ConfigError: it is over, or there is none of that id.
        """
        return self._change(job, ("waiting", "running"), "paused", SAVE_S)

    def resume(self, job: str) -> Job:
        """Go on with one that is paused, or failed.

        Raises:
            ConfigError: as `pause`; or it failed, and there is another of its kind by now.
        """
        with self._news:
            known = self._jobs.get(job)
            if known is not None and known.state == "failed":
                self._plan.room(known, [*self._jobs.values()])
            return self._change(job, ("paused", "failed"), "waiting", SAVE_S)

    def cancel(self, job: str) -> Job:
        """End it for good; of a fit nothing is left, what was recorded stays.

        Raises:
            ConfigError: as `pause`.
        """
        return self._change(job, ("waiting", "running", "paused"), "cancelled", LEAVE_S)

    def forget(self, camera: str) -> None:
        """Cancel all jobs of a camera that is no more, and wait until none works with its files."""
        with self._news:
            for job in [j for j in self._jobs.values() if j.camera == camera and j.open]:
                self.cancel(job.id)
            children = self._of(camera)
        for child in children:
            child.wait(LEAVE_S + 1)

    def busy(self, camera: str) -> bool:
        """Whether a process works with a camera's files, be it that of a job that was cancelled."""
        with self._news:
            return bool(self._of(camera))

    # ---- opened and closed

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        found = filter(None, (Job.read(path) for path in self._folder.iterdir()))
        for job in sorted(found, key=lambda job: job.created_utc):
            if job.state == "running":
                job = replace(job, state="waiting", text="goes on after a restart")
            self._jobs[job.id] = job
        for job in self._jobs.values():
            if job.state == "cancelled":  # its process ended when nobody was there to see it
                self._left(job)
        self._thread.start()
        self._work.jobs = self
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ask every child to save its state, and wait a few seconds; may be called twice."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(2.0)
        until = time.monotonic() + CLOSE_S
        children = [*self._children.values()]
        for child in children:
            child.stop(SAVE_S)
        for child in children:
            child.wait(until - time.monotonic())

    # ---- the thread that sees to them

    def _run(self) -> None:
        while not self._closing:
            try:
                self._tend()
            except Exception:  # months: whatever it was, the next job is another one
                log.exception("something unexpected went wrong with the jobs")
            with self._news:
                if not self._closing:
                    self._news.wait(LOOK_S)

    def _tend(self) -> None:
        with self._news:
            ended = [(id, end) for id, child in self._children.items() if (end := child.end())]
            for id in self._children:
                self._look(id)
        for id, end in ended:
            self._over(id, end)
        with self._news:
            for job in list(self._jobs.values()):
                if job.state == "waiting" and not self._closing:
                    self._next(job)
            self._clear()

    def _look(self, id: str) -> None:
        """How far a child is."""
        job, now = self._jobs[id], Reached.read(self._folder / id)
        if job.state == "running" and now.text:
            done = max(job.done, min(now.done, 0.999))
            self._jobs[id] = replace(job, done=done, text=self._short(now.text), left_s=now.left_s)

    def _over(self, id: str, end: str) -> None:
        """A child ended."""
        with self._news:
            child, job = self._children.pop(id), self._jobs[id]
            words = child.words if end in ("failed", "lost") else ""
        if job.state == "cancelled":
            self._left(job)
        elif end == "done":
            self._done(job)
        elif job.state != "running":
            return  # paused, and by now perhaps resumed
        elif end == "failed":
            self._ended(job, "failed", problem=words)
        elif end == "busy":
            self._later(job, 2.0)
        elif job.tries + 1 < MOST_TRIES:
            log.warning("%s: the process of its %s ended by itself; it is tried again",
                        job.camera, NOUNS[job.kind])  # fmt: skip
            self._later(replace(job, tries=job.tries + 1), AGAIN_S)
        else:
            self._ended(job, "failed", problem=words or "Its process was stopped from outside.")

    def _done(self, job: Job) -> None:
        """It did what it was to do: the camera gets what came of it."""
        told = read_json(self._folder / job.id / RESULT)
        text, problem = str(told.get("text", "")), told.get("problem")
        if job.kind in HEAVY and job.run is not None:
            run = self.runs.read(self.runs.folder / job.run)
            if run is not None and run.threshold is not None:
                try:
                    self._work.reassign(job.camera, str(run.path))
                except OddframeError as error:
                    problem = f"{job.camera} is not scored by it: {error}"
        self._ended(job, "done", text, None if problem is None else str(problem))

    def _ended(self, job: Job, state: State, text: str = "", problem: str | None = None) -> None:
        with self._news:
            job = self._jobs[job.id]
            done = 1.0 if state == "done" else job.done
            problem = None if problem is None else self._short(problem)
            self._set(replace(
                job, state=state, done=done, text=self._short(text) or job.text, left_s=None,
                problem=problem, ended_utc=time.time(), tries=0,
            ))  # fmt: skip
        if state == "done":
            self._unlinked(job)
        log.info("%s: the %s is %s%s", job.camera, NOUNS[job.kind], state,
                 f": {problem}" if problem else "", extra={"camera": job.camera})  # fmt: skip

    def _later(self, job: Job, seconds: float) -> None:
        with self._news:
            self._not_before[job.id] = time.monotonic() + seconds
            self._set(replace(job, state="waiting", left_s=None))

    def _left(self, job: Job) -> None:
        """What a cancelled job leaves: no RUN that it made."""
        if job.run is not None and (job.kind == "fit" or job.copied):
            path = self.runs.folder / job.run
            # One that was asked for in the same minute may have the name that was free again.
            with self._news:
                others = [j for j in self._jobs.values() if j.run == job.run]
            if not self.runs.cameras(path) and all(j.state == "cancelled" for j in others):
                shutil.rmtree(path, ignore_errors=True)
        self._unlinked(job)

    def _unlinked(self, job: Job) -> None:
        shutil.rmtree(self._folder / job.id / job.camera, ignore_errors=True)

    # ---- what is next

    def _next(self, job: Job) -> None:
        """Start a job whose turn it is; else say what it waits for."""
        waits = self._waits(job)
        if waits is not None:
            self._jobs[job.id] = replace(job, text=waits)
            return
        try:
            job, task = self._plan.task(job)
            self._set(replace(
                job, state="running", text="begins", problem=None,
                started_utc=job.started_utc or time.time(),
            ))  # fmt: skip
            child = Child(self._folder / job.id, task, self._program, self._plan.view(task))
        except (OddframeError, OSError) as error:
            self._ended(job, "failed", problem=str(error))
            return
        self._children[job.id] = child

    def _waits(self, job: Job) -> str | None:
        """What a job waits for; None where it may run."""
        if job.id in self._children:
            return "its process of before is ending"
        if time.monotonic() < self._not_before.get(job.id, 0.0):
            return job.text or "is tried again soon"
        at_work = [self._jobs[id].kind for id in self._children]
        return self._plan.waits(job, [*self._jobs.values()], at_work)

    # ---- under the lock

    def _of(self, camera: str) -> Sequence[Child]:
        return [child for id, child in self._children.items() if self._jobs[id].camera == camera]

    def _change(self, id: str, of: Sequence[State], to: State, within_s: float) -> Job:
        with self._news:
            job = self._jobs.get(id)
            if job is None:
                raise ConfigError(f"There is no job {id[:64]!r}.")
            if job.state not in of:
                raise ConfigError(
                    f"This {NOUNS[job.kind]} is {job.state}: expected {' or '.join(of)}."
                )
            changed = replace(
                job, state=to, text="goes on" if to == "waiting" else to, left_s=None,
                problem=None, tries=0, ended_utc=time.time() if to == "cancelled" else None,
            )  # fmt: skip
            self._set(changed)
            self._not_before.pop(id, None)
            child = self._children.get(id)
            if to != "waiting" and child is not None:
                child.stop(within_s)
            elif to == "cancelled":
                self._left(changed)
            self._news.notify_all()
        return changed

    def _short(self, text: str) -> str:
        """A text with paths below the store as they are there: where it lies is nobody's."""
        return text.replace(f"{self._work.store.folder}/", "")

    def _set(self, job: Job) -> None:
        self._jobs[job.id] = job
        try:
            job.write(self._folder / job.id)
        except OSError as error:  # it holds all the same, until the server ends
            log.error("what became of a job cannot be written: %s", error)

    def _clear(self) -> None:
        """Forget the oldest of those that are over."""
        over = [job for job in self._jobs.values() if not job.open and job.id not in self._children]
        for job in over[: max(0, len(over) - MOST_KEPT)]:
            del self._jobs[job.id]
            if job.state == "failed" and not (self.runs.folder / str(job.run) / CARD).exists():
                self._left(job)
            shutil.rmtree(self._folder / job.id, ignore_errors=True)
