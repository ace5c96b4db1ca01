"""A child at work, as the server sees it: started, asked to stop, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from oddframe.runtime.watch.feed import LiveFrame
from oddframe.setup.job import ERROR, PROGRESS, RESULT
from oddframe.setup.tap import Tap
from oddframe.setup.work import Task

PROGRAM = (sys.executable, "-m", "oddframe.setup.child")
SPEC, LOG = "task.json", "log.txt"
SAVE_S, LEAVE_S = 120.0, 10.0
"""How long a child that was asked to stop may take: to save its state, or where nobody wants it."""
End = Literal["done", "failed", "busy", "stopped", "lost"]
"""As asked; with a reason; the process of before is still there; on request; without a word."""
ENDS: dict[int, End] = {
    0: "done",
    1: "failed",
    75: "busy",
    130: "stopped",
    -signal.SIGINT: "stopped",
}


class Child:
    """One process. Its standard input is how it is asked to stop: it is closed."""

    def __init__(
        self, folder: Path, task: Task, program: Sequence[str] = PROGRAM,
        view: Callable[[], LiveFrame | None] | None = None,
    ) -> None:  # fmt: skip
        """view: the camera's newest frame, where the child is to be sent them (`tap`).

        Raises:
            OSError: it cannot be started.
        """
        self.folder = folder
        for name in (RESULT, ERROR, PROGRESS):
            (folder / name).unlink(missing_ok=True)
        task.write(folder / SPEC)
        handle = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(
                [*program, str(folder / SPEC)], stdin=subprocess.PIPE, stdout=handle, stderr=handle,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is ours to hand on
            )  # fmt: skip
        finally:
            os.close(handle)
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        self._tap = None if view is None else Tap(view, self._pipe)
        self._kill_s: float | None = None

    def stop(self, within_s: float) -> None:
        """Ask it to save its state and end; at last it is ended."""
        until = time.monotonic() + within_s
        self._kill_s = until if self._kill_s is None else min(self._kill_s, until)
        if self._tap is not None:
            self._tap.close()
        else:
            with contextlib.suppress(OSError):
                self._pipe.close()

    def end(self) -> End | None:
        """How it ended; None while it is at work."""
        code = self._process.poll()
        if code is None:
            if self._kill_s is not None and time.monotonic() > self._kill_s:
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            return None
        self.stop(0.0)
        (self.folder / SPEC).unlink(missing_ok=True)
        return ENDS.get(code, "lost")

    def wait(self, seconds: float) -> None:
        """For its end, so long at most."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0.0))

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def words(self) -> str:
        """Why it failed."""
        try:
            return (self.folder / ERROR).read_text("utf8")
        except (OSError, UnicodeDecodeError):
            code = self._process.returncode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            return f"Its process ended by {how} without a word: was there memory enough?"


def _environment() -> dict[str, str]:
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
