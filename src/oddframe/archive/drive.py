"""An archive driven to its end: what is missing is found on disk, and an engine does it.

    with locked(out, …), Pool(job, 4) as engine:
        outcome = drive(job, files, engine, show)

Nothing is remembered but what lies in DIR, so it does not matter what ended the last attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from oddframe.archive.files import File
from oddframe.archive.ledger import Entry, broken_seams, enter_plan, find, write_tables
from oddframe.archive.plan import WHOLE, Plan
from oddframe.archive.tasks import Done, Engine, Job, Task
from oddframe.errors import RunError


@dataclass(frozen=True, slots=True)
class Status:
    """How far it is."""

    doing: str
    """looking at files, or scoring."""
    done: int
    total: int
    """Files or segments."""
    frames: int
    """Scored by this command."""
    frames_per_s: float
    left_s: float | None
    """Seconds that are left, about; None: nobody can say yet."""
    failed: int


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be scored."""

    file: File
    start: int | None
    """Of the segment; None: the whole file."""
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What there is now."""

    entries: Sequence[Entry]
    failures: Sequence[Failure]
    frames: int
    """Scored by this command."""
    seconds: float
    """That it took."""


def drive(
    job: Job, files: Sequence[File], engine: Engine, show: Callable[[Status], None],
    known: Sequence[File] = (),
) -> Outcome:  # fmt: skip
    """Look at all files, score what is missing, and say what there is.

    Args:
        job: whose results are to be in `job.out`; its folder is locked by the caller.
        files: what to score.
        engine: who works.
        show: called after each step.
        known: all files of the archive: those that are not scored now stay in its tables.

    Raises:
        RunError: nothing can go on: disk full, RUN not readable, no worker. What is done is kept.
        KeyboardInterrupt: stopped on request; the same.
    """
    out = Path(job.out)
    asked = {file.path for file in files}
    others = [file for file in known if file.path not in asked]
    driver = _Driver(
        out, job.key, engine, show, [find(out, job.key, file) for file in files], others
    )  # fmt: skip
    try:
        driver.look()
        driver.score(driver.missing())
        if left := driver.uncut():
            driver.score(left)
    except BaseException:
        with suppress(RunError):  # what went wrong first is what there is to say
            driver.write()
        raise
    driver.write()
    passed = time.monotonic() - driver.began_s
    return Outcome(driver.entries, driver.failures, driver.frames, passed)


@dataclass(slots=True)
class _Driver:
    out: Path
    key: str
    engine: Engine
    show: Callable[[Status], None]
    entries: list[Entry]
    others: Sequence[File]
    failures: list[Failure] = field(default_factory=list)
    frames: int = 0
    began_s: float = field(default_factory=time.monotonic)
    _footage_s: float = 0.0
    """Scored by this command."""
    _scoring_s: float = 0.0
    """When the first segment was begun."""

    def look(self) -> None:
        """Find out where files can be cut; those from elsewhere are not fetched for that."""
        unknown = [entry for entry in self.entries if entry.plan is None]
        for entry in unknown:
            if entry.file.remote:
                entry.plan = enter_plan(self.out, self.key, entry.file, Plan((WHOLE,)))
        here = {entry.file: entry for entry in unknown if entry.plan is None}
        done = 0
        self._show("looking", done, len(here), None)
        for found in self._run(Task(file) for file in here):
            done += 1
            if found.plan is not None:
                file = found.task.file
                here[file].plan = enter_plan(self.out, self.key, file, found.plan)
            self._show("looking", done, len(here), None)

    def missing(self) -> list[tuple[Entry, Task]]:
        """The segments that are to be done."""
        return [
            (entry, Task(entry.file, segment))
            for entry in self.entries if entry.plan is not None
            for segment in entry.plan.segments if segment.name not in entry.facts
        ]  # fmt: skip

    def uncut(self) -> list[tuple[Entry, Task]]:
        """Files whose segments are not those of one pass: done anew, in one."""
        tasks = []
        for entry in self.entries:
            why = broken_seams(entry)
            if why is not None and entry.plan is not None:
                plan = Plan((WHOLE,), entry.plan.length_s, why)
                entry.plan = enter_plan(self.out, self.key, entry.file, plan)
                entry.facts.clear()
                self.failures = [f for f in self.failures if f.file != entry.file]
                tasks.append((entry, Task(entry.file, WHOLE)))
        return tasks

    def score(self, todo: Sequence[tuple[Entry, Task]]) -> None:
        """Segments; those of a file that has proved not to be cut exactly are passed over."""
        known = {task: entry for entry, task in todo}
        total = sum(len(e.plan.segments) for e in self.entries if e.plan is not None)
        done = total - len(todo)
        left_s = sum(_length_s(entry) for entry, _ in todo)
        self._scoring_s, self._footage_s = time.monotonic(), 0.0
        self._show("scoring", done, total, None)

        def tasks() -> Iterator[Task]:
            for entry, task in todo:
                if all(facts["exact"] for facts in entry.facts.values()):
                    yield task

        for found in self._run(tasks()):
            entry = known[found.task]
            done, left_s = done + 1, left_s - _length_s(entry)
            if found.facts is not None and found.task.segment is not None:
                entry.facts[found.task.segment.name] = found.facts
                self.frames += found.facts["frames"]
                self._footage_s += _length_s(entry)
            self._show("scoring", done, total, self._left(left_s, total - done))

    def write(self) -> None:
        """The tables of files and failures."""
        failures = [(f.file, f.start, f.why) for f in self.failures]
        others = [find(self.out, self.key, file) for file in self.others]
        write_tables(self.out, self.entries, failures, others)

    def _run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        """What the engine does; failures are noted."""
        for done in self.engine.run(tasks):
            if done.fatal is not None:
                raise RunError(
                    f"{done.fatal} What was scored until then is kept: give the same command again "
                    "to go on."
                )
            if done.failed is not None:
                segment = done.task.segment
                start = None if segment is None or segment.place is None else segment.start
                self.failures.append(Failure(done.task.file, start, done.failed))
            yield done

    def _left(self, footage_s: float, segments: int) -> float | None:
        passed = time.monotonic() - self._scoring_s
        if not segments:
            return 0.0
        return passed * footage_s / self._footage_s if self._footage_s else None

    def _show(self, doing: str, done: int, total: int, left_s: float | None) -> None:
        passed = max(time.monotonic() - (self._scoring_s or self.began_s), 1e-9)
        self.show(
            Status(doing, done, total, self.frames, self.frames / passed, left_s,
                   len(self.failures))
        )  # fmt: skip


def _length_s(entry: Entry) -> float:
    """Seconds of one of its segments, about; 60 where nobody knows."""
    if entry.plan is None or entry.plan.length_s is None:
        return 60.0
    return max(entry.plan.length_s / len(entry.plan.segments), 0.1)
