"""All jobs of a plan, some at a time, each in a process of its own; any of them can be killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from oddframe.atomic import write_json
from oddframe.process import sigterm_as_ctrl_c
from oddframe.reproduce.plan import Job
from oddframe.reproduce.results import (
    failed_file,
    read_result,
    record_failure,
    result_file,
    undone,
)

EVALUATION = 1.25
"""How much longer than its training a job is expected to take."""
POLL_S = 0.2
SAY_EVERY_S = 300.0
"""Between two lines where a bar cannot be drawn: a table takes hours."""
SAVE_S = 120.0
"""How long a job that was asked to stop may take to save its state."""
STOPPED = 130


@dataclass
class _Child:
    """A job at work."""

    job: Job
    process: subprocess.Popen[bytes]
    spec: Path
    started: float = field(default_factory=time.monotonic)


def perform(
    jobs: Sequence[Job], out: Path, work: Path, *, at_once: int, keep: bool, console: Console
) -> list[str]:
    """Do all jobs that are not done; a result that is there is not made again.

    Args:
        jobs: of one plan.
        out: results go to out/TABLE/NAME.json.
        work: RUN folders go to work/TABLE/NAME, deleted after their evaluation unless `keep`.
        at_once: jobs at a time.
        keep: leave the RUN folders.
        console: where the progress goes.

    Returns:
        Names of the jobs that failed; why lies in out/TABLE/NAME.failed.json.

    Raises:
        ConfigError: a result that is there was made otherwise (`results.undone`).
        KeyboardInterrupt: stopped on request, after every job saved its state.
    """
    todo = undone(out, jobs)
    console.print(f"{len(jobs)} runs, {len(jobs) - len(todo)} of them done before")
    waiting, failures = list(todo), []
    children: list[_Child] = []
    with _board(todo, at_once, console) as board, sigterm_as_ctrl_c():
        try:
            while waiting or children:
                while waiting and len(children) < at_once:
                    children.append(_start(waiting.pop(0), out, work))
                time.sleep(POLL_S)
                board.show(children)
                for child in [c for c in children if c.process.poll() is not None]:
                    children.remove(child)
                    if not _ended(child, out, work, keep, console):
                        failures.append(child.job.name)
                    board.finish(child)
        except BaseException:
            console.print("stopping: each run saves its state and goes on where the command is "
                          "given again")  # fmt: skip
            _stop(children)
            raise
    return failures


def _start(job: Job, out: Path, work: Path) -> _Child:
    folder = work / job.table / job.name
    spec = folder.parent / f"{job.name}.job.json"
    write_json(
        spec,
        {"job": job.plain(), "work": str(folder), "result": str(result_file(out, job))},
    )
    spec.with_suffix(".error").unlink(missing_ok=True)
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if job.device == "cpu":
        environment |= {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
    with (folder.parent / f"{job.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "oddframe.reproduce.job", str(spec)],
            stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment,
            start_new_session=True,  # Ctrl-C is ours to hand on, once
        )  # fmt: skip
    return _Child(job, process, spec)


def _ended(child: _Child, out: Path, work: Path, keep: bool, console: Console) -> bool:
    """Tidy up after a job; False where it failed."""
    job, code = child.job, child.process.returncode
    folder = work / job.table / job.name
    if child.process.stdin is not None:
        child.process.stdin.close()
    minutes = (time.monotonic() - child.started) / 60
    if code == 0:
        failed_file(out, job).unlink(missing_ok=True)
        child.spec.unlink(missing_ok=True)
        for ending in (".log", ".lock"):
            if not keep:
                (folder.parent / f"{job.name}{ending}").unlink(missing_ok=True)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        rows = read_result(result_file(out, job))["rows"]
        said = ", ".join(
            f"{r['protocol']} {100 * r['auc']:.2f}" for r in rows if r["method"] == job.model
        )
        console.print(f"{job.name}: AUC {said} ({minutes:.1f} min)")
        return True
    error = child.spec.with_suffix(".error")
    why = error.read_text("utf8") if error.exists() else _unsaid(code)
    record_failure(out, job, why)
    console.print(f"{job.name} failed: {why}", style="red")
    return False


def _unsaid(code: int) -> str:
    if code == STOPPED:
        return "it was stopped from outside; its state is saved."
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"its process ended by {how} without a word; was there memory enough?"


def _stop(children: Sequence[_Child]) -> None:
    """Ask every job to save its state and end; end at last those that do not."""
    for child in children:
        child.process.send_signal(signal.SIGINT)
    until = time.monotonic() + SAVE_S
    for child in children:
        try:
            child.process.wait(max(0.0, until - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            child.process.kill()


class _Board:
    """The progress: a bar on a terminal, elsewhere a line now and then beside those of the ends."""

    def __init__(self, jobs: Sequence[Job], at_once: int, bar: Progress) -> None:
        self.at_once, self.bar = at_once, bar
        self.total = sum(map(_expected_s, jobs))
        self.over, self.said = 0.0, time.monotonic()
        self.task = bar.add_task("", total=max(self.total, 1.0), left="", now="")

    def show(self, children: Sequence[_Child]) -> None:
        """Move the bar by what the running jobs have used of what they are expected to take."""
        spent = [min(time.monotonic() - c.started, 0.98 * _expected_s(c.job)) for c in children]
        at = self.over + sum(spent)
        left = f"about {(self.total - at) / max(1, self.at_once) / 60:.0f} min left"
        now = ", ".join(c.job.name for c in children)
        self.bar.update(self.task, completed=at, left=left, now=now)
        if self.bar.disable and time.monotonic() - self.said > SAY_EVERY_S:
            self.said = time.monotonic()
            self.bar.console.print(f"{100 * at / self.total:.0f} %, {left}: {now}")

    def finish(self, child: _Child) -> None:
        """One job less."""
        self.over += _expected_s(child.job)


def _expected_s(job: Job) -> float:
    return 60 * job.minutes * EVALUATION


@contextlib.contextmanager
def _board(jobs: Sequence[Job], at_once: int, console: Console) -> Iterator[_Board]:
    bar = Progress(
        TextColumn("{task.percentage:3.0f}%"), BarColumn(), TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[now]}"), console=console, disable=not console.is_terminal,
        transient=True,
    )  # fmt: skip
    with bar:
        yield _Board(jobs, at_once, bar)
