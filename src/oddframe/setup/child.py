"""One job in a process of its own: `python -m oddframe.setup.child FILE`.

FILE holds a `Task`, and is all that the process list shows. It ends when its standard input does:
the server asks for that, or is gone. Exit codes: 0 done; 1 failed, why lies beside FILE; 75 the
process of before is still at work; 130 stopped, the state is saved.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from oddframe import process
from oddframe.errors import OddframeError
from oddframe.setup.job import ERROR, RESULT, write_private
from oddframe.setup.progress import Progress
from oddframe.setup.tap import Piped
from oddframe.setup.work import Task, perform

FAILED, BUSY, STOPPED = 1, 75, 130
NICE = 15
"""Scoring comes first."""
FIRST_TO_GO = 500
"""Of 1000: where memory is short this process goes, and not the one that watches."""
WAIT_S = 120.0
"""For the process of before to end."""


def main(args: Sequence[str]) -> int:
    """Perform the task of a file."""
    spec = Path(args[0])
    _low()
    stop = threading.Event()
    task = Task.read(spec)
    try:
        with _alone(spec.parent) as alone:
            if not alone:
                return BUSY
            with _stoppable(stop, records=task.kind == "record"):
                connecting = _connecting(task, lambda: os.kill(os.getpid(), signal.SIGINT))
                done = perform(task, Progress(spec.parent), stop, **connecting)
            write_private(spec.parent / RESULT, asdict(done))
    except KeyboardInterrupt:
        return STOPPED
    except OddframeError as error:
        text = str(error)
    except Exception as error:
        traceback.print_exc()
        text = f"something unexpected went wrong: {type(error).__name__}: {error}"
    else:
        return 0
    (spec.parent / ERROR).write_text(text, "utf8")
    return FAILED


def _connecting(task: Task, over: Callable[[], None]) -> dict[str, Any]:
    """How a recording is connected to; whoever does not read the pipe waits for its end."""
    if task.kind == "record" and task.source is None:
        piped = Piped(0, over)
        return {"connecting": lambda source, reading: piped}

    def wait() -> None:
        while os.read(0, 4096):  # unbuffered: a lock on sys.stdin would abort the interpreter's end
            pass
        over()

    threading.Thread(target=wait, daemon=True).start()
    return {}


@contextlib.contextmanager
def _stoppable(stop: threading.Event, records: bool) -> Iterator[None]:
    """Interrupts end a recording in order, and anything else by KeyboardInterrupt."""

    def heard(number: int, frame: FrameType | None) -> None:
        del number, frame
        if records:
            stop.set()
            return
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    old = {number: signal.signal(number, heard) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Two processes never do one job: whether the one of before ended in time."""
    with (folder / "lock").open("w") as file:
        until, alone = time.monotonic() + WAIT_S, False
        while not alone:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
            except OSError:
                if time.monotonic() > until:
                    break
                time.sleep(0.2)
        yield alone


def _low() -> None:
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError):  # Linux
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))


if __name__ == "__main__":
    process.tune()
    sys.exit(main(sys.argv[1:]))
