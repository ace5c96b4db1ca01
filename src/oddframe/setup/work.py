"""What a child does: the library calls behind `oddframe record`, `fit` and `calibrate`.

Each can be stopped at any moment by KeyboardInterrupt and called again: it goes on.
"""

from __future__ import annotations

import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oddframe.errors import OddframeWarning, RunError
from oddframe.runs import CARD, RESUME, load_run
from oddframe.runtime.record import RecordConfig, record, recordings, seconds_of
from oddframe.runtime.watch.footage import Connection, connect
from oddframe.setup.footage import linked, note_trained, to_calibrate, to_train
from oddframe.setup.job import Kind, read_json, write_private
from oddframe.setup.progress import Progress, fitting
from oddframe.sources import Reading
from oddframe.sources.stamps import duration

PLAN = "plan.json"
"""What a job began with, and goes on with."""
PIECES = 8
"""Files that a recording has at least: whole ones are kept aside by `fit`."""
SHORTEST_S, LONGEST_S = 10.0, 60.0
"""Of these files."""

COPIES = (
    "It does not yet know more of the next frame than that it repeats the one before: fit again, "
    "with more minutes or more recordings."
)


@dataclass(frozen=True, slots=True)
class Task:
    """What a child is told; plain values, since they cross a file that only this user can read."""

    kind: Kind
    camera: str
    settings: Mapping[str, Any]
    folder: str
    """Of the job."""
    footage: str
    """Where the recordings of the camera are."""
    run: str | None = None
    """Folder of the RUN that is made, or worked on."""
    copy: str | None = None
    """Folder of the RUN that this one begins as, where it isn't there yet."""
    source: str | int | None = None
    """Of the camera; None: its frames come through the pipe (`tap`)."""
    reading: Mapping[str, Any] | None = None
    """How it is read, as a site has it."""

    @classmethod
    def read(cls, path: Path) -> Task:
        """As it was written."""
        return cls(**read_json(path))

    def write(self, path: Path) -> None:
        """For this user alone: the source may hold a password."""
        write_private(path, asdict(self))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a child says at its end."""

    text: str
    """What was done, for people."""
    problem: str | None = None
    """What is odd about it."""


def perform(
    task: Task,
    progress: Progress,
    stop: threading.Event,
    connecting: Callable[[str | Path | int, Reading], Connection] = connect,
) -> Outcome:
    """Do a task, or go on with it.

    stop: ends a recording, whose thread takes no interrupts.

    Raises:
        OddframeError: why it cannot be done.
        KeyboardInterrupt: stopped; the state is saved.
    """
    if task.kind == "record":
        return _record(task, progress, stop, connecting)
    return {"fit": _fit, "calibrate": _calibrate}[task.kind](task, progress)


def _record(
    task: Task, progress: Progress, stop: threading.Event,
    connecting: Callable[[str | Path | int, Reading], Connection],
) -> Outcome:  # fmt: skip
    folder, wanted_s = Path(task.footage), 60.0 * task.settings["minutes"]
    before_s = _planned(
        task, lambda: {"before_s": sum(map(seconds_of, recordings(folder)))}
    )["before_s"]  # fmt: skip
    began, first_s = time.monotonic(), sum(map(seconds_of, recordings(folder)))

    def tick(done_s: float, all_s: float, words: str) -> None:
        del all_s
        own_s = max(done_s - before_s, 0.0)
        rate = (done_s - first_s) / max(time.monotonic() - began, 0.1)
        left_s = (wanted_s - own_s) / rate if rate > 0 else None
        text = f"{duration(own_s)} of {duration(wanted_s)} recorded"
        progress.say(words or text, own_s / wanted_s, left_s)

    config = RecordConfig.read({
        "segment_s": min(max(wanted_s / PIECES, SHORTEST_S), LONGEST_S),
        "reading": task.reading or {},
    })  # fmt: skip
    source = "camera" if task.source is None else task.source
    found = record(
        source, folder, (before_s + wanted_s) / 60, config, stop=stop, tick=tick,
        connecting=connecting,
    )  # fmt: skip
    if stop.is_set():
        raise KeyboardInterrupt
    problem = None
    if found.over:
        problem = "The source is over: there is less of it than was asked for."
    return Outcome(f"{task.camera} has {found.words}", problem)


def _fit(task: Task, progress: Progress) -> Outcome:
    from oddframe.train.fit import Budget, Footage, Wanted, fit
    from oddframe.train.progress import STATE

    footage, out = Path(task.footage), Path(str(task.run))
    names = _planned(task, lambda: {"train": to_train(footage)})["train"]
    minutes = float(task.settings["minutes"])
    if not (out / CARD).exists():
        resume = (out / RESUME / STATE).exists()
        wanted = Wanted(task.settings["model"], list(task.settings["settings"]))
        data = linked(footage, names, Path(task.folder) / task.camera)
        with fitting(out, minutes, progress) as console:
            fit(wanted, Footage(data), out, Budget(minutes=minutes), resume=resume, console=console)
    note_trained(out, task.camera, names)
    shutil.rmtree(out / RESUME, ignore_errors=True)
    run = load_run(out)
    facts = run.card.get("training", {})
    said = f"{facts.get('steps')} steps on {len(names)} recordings"
    text = f"{said}; {(run.calibration or {}).get('text', 'no threshold yet')}"
    drawn, copied = facts.get("psnr_db", 0.0), facts.get("copied_psnr_db", 0.0)
    return Outcome(text, None if drawn > copied else COPIES)


def _calibrate(task: Task, progress: Progress) -> Outcome:
    from oddframe.runtime.calibrate import Bars, Effort, calibrate_run, held_out

    footage, out = Path(task.footage), Path(str(task.run))
    progress.say("looking at the recordings")
    if not out.exists() and task.copy is not None:
        copied(Path(task.copy), out)
    names = _planned(task, lambda: {"names": to_calibrate(footage, out)})["names"]
    data = linked(footage, names, Path(task.folder) / task.camera)
    minutes = float(task.settings["minutes"])
    began = time.monotonic()

    @contextmanager
    def bar(title: str) -> Iterator[Callable[[float, float], None]]:
        def tick(done_s: float, all_s: float) -> None:
            spent_s = time.monotonic() - began
            share = done_s / all_s if all_s else 0.0
            left_s = min(max(60 * minutes - spent_s, 0.0), spent_s / share if share else 1e9)
            text = f"{title} {duration(done_s)} of {duration(all_s)}"
            progress.say(text, max(share, min(spent_s / (60 * minutes), 0.99)), left_s)

        yield tick

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", OddframeWarning)
        opened = held_out(out, data)
        found = calibrate_run(
            opened, float(task.settings["alarms_per_day"]), Effort(minutes), Bars(bar)
        )
    told = [str(w.message) for w in said if issubclass(w.category, OddframeWarning)]
    if found.days is not None and not found.days.whole:
        told.append(
            f"{duration(found.days.scored_s)} of {duration(found.days.total_s)} were scored in the "
            "time that there was, spread over all of them."
        )
    return Outcome(str(found.calibration["text"]), " ".join(told) or None)


def copied(run: Path, out: Path) -> None:
    """A RUN of its own, for a threshold of its own: without what only a resumed training needs.

    Raises:
        RunError: it cannot be copied; nothing is left of it.
    """
    temporary = out.with_name(f".{out.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(run, temporary, ignore=shutil.ignore_patterns(RESUME))
        temporary.rename(out)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(f"{run.name} cannot be copied: {error}.") from None


def _planned(task: Task, plan: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a job began with: made once, and the same after a restart."""
    path = Path(task.folder) / PLAN
    known = read_json(path)
    if not known:
        known = plan()
        write_private(path, known)
    return known
