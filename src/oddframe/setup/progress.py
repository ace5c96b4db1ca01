"""How far a child is: a small file that it replaces, and that the server reads."""

from __future__ import annotations

import contextlib
import csv
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from oddframe.runs import CURVE
from oddframe.setup.job import PROGRESS, read_json, write_private

EVERY_S = 0.5
"""Between two times that it is written."""
TAIL = 4096
"""Bytes at the end of a loss curve that its last row is in."""
STILL_S = 75.0
"""A training that goes on writes its curve more often: what comes after it takes its time too."""


class Progress:
    """Written by the child; any of its threads may."""

    def __init__(self, folder: Path) -> None:
        self._path, self._lock, self._told = folder / PROGRESS, threading.Lock(), 0.0
        self.done = 0.0
        """Of the job so far, 0..1; it never goes back."""

    def say(self, text: str, done: float | None = None, left_s: float | None = None) -> None:
        """What is done now; how much of all it is (None: as before), how long it will take."""
        with self._lock:
            self.done = max(self.done, min(done or 0.0, 1.0))
            now = time.monotonic()
            if now - self._told < EVERY_S:
                return
            self._told = now
            with contextlib.suppress(OSError):  # a full disk is said by what has to be written
                write_private(
                    self._path, {"done": round(self.done, 4), "text": text, "left_s": left_s}
                )


@dataclass(frozen=True, slots=True)
class Reached:
    """What a child says of itself."""

    done: float = 0.0
    text: str = ""
    left_s: float | None = None

    @classmethod
    def read(cls, folder: Path) -> Reached:
        """As it was said last; nothing where it was not."""
        known: dict[str, Any] = read_json(folder / PROGRESS)
        try:
            left = known.get("left_s")
            return cls(
                min(max(float(known["done"]), 0.0), 1.0), str(known["text"]),
                None if left is None else max(float(left), 0.0),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            return cls()


class Lines(io.StringIO):
    """Where a console writes: into the child's log, the last line kept."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def write(self, text: str) -> int:
        """Take some text."""
        print(text, end="", flush=True)
        self.last = next((t for t in reversed(text.splitlines()) if t.strip()), self.last)
        return len(text)


@contextmanager
def fitting(out: Path, minutes: float, progress: Progress) -> Iterator[Console]:
    """Tells how far a `fit` is, by the time that it has; gives the console that it writes to."""
    lines, over = Lines(), threading.Event()
    began_s, before_s = time.monotonic(), last_row(out)[1]

    def tell() -> None:
        while not over.wait(EVERY_S):
            spent_s = before_s + time.monotonic() - began_s
            left_s = max(60 * minutes - spent_s, 0.0)
            progress.say(_doing(out, lines.last), min(spent_s / (60 * minutes), 0.99), left_s)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield Console(file=lines, width=200, highlight=False, force_terminal=False)
    finally:
        over.set()
        thread.join()


def _doing(out: Path, said: str) -> str:
    step, _, loss = last_row(out)
    if step is None:
        return said or "looking at the recordings"
    with contextlib.suppress(OSError):
        if time.time() - (out / CURVE).stat().st_mtime > STILL_S:
            return "learning what is usual, and trying made anomalies"
    return f"learning: step {step}, loss {loss:.4g}"


def last_row(out: Path) -> tuple[int | None, float, float]:
    """Step, seconds and loss at the end of a loss curve; None, 0 and 0 before the first."""
    try:
        with (out / CURVE).open("rb") as file:
            head = file.readline().decode().strip().split(",")
            first = file.tell()
            file.seek(max(file.seek(0, 2) - TAIL, first))
            whole = file.read().decode().rpartition("\n")[0]
        row = dict(zip(head, next(csv.reader([whole.rsplit("\n", 1)[-1]])), strict=True))
        return int(row["step"]), float(row["elapsed_s"]), float(row["loss"])
    except (OSError, ValueError, KeyError, StopIteration):
        return None, 0.0, 0.0
