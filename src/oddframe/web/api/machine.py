"""How busy process and machine are, read from /proc; where there is none, it is not known.

machine = Machine()
machine.now().cpu               # since it was asked before
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oddframe.process import cores

PROC = Path("/proc")
SHORTEST_S = 1.0
"""Shares are taken over so long at least; who asks sooner is told the same again."""


@dataclass(frozen=True, slots=True)
class Load:
    """Of now; None: not known."""

    process_cpu: float
    """Cores that the process kept busy: 1.5 is one and a half."""
    process_bytes: int | None
    """Memory of the process."""
    threads: int | None
    open_files: int | None
    cores: int
    """That the process may use."""
    cpu: float | None
    """Share of all cores that was busy, 0 to 1."""
    waiting: float | None
    """Processes that ran or wanted to, over the last minute."""
    memory_bytes: int | None
    """Of the machine."""
    free_bytes: int | None
    """Of it, what could be had without swapping."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    own_s: float
    busy: int
    total: int


class Machine:
    """Looks at the machine; any thread may ask."""

    def __init__(self, proc: Path = PROC, clock: Callable[[], float] = time.monotonic) -> None:
        self._proc, self._clock = proc, clock
        self._lock = threading.Lock()
        self._before = self._sample()
        self._load: Load | None = None

    def now(self) -> Load:
        """How busy all of it is."""
        with self._lock:
            passed_s = self._clock() - self._before.at_s
            if self._load is None or passed_s >= SHORTEST_S:
                before, self._before = self._before, self._sample()
                self._load = self._between(before, self._before)
            return self._load

    def _between(self, before: _Sample, now: _Sample) -> Load:
        memory, passed_s = self._memory(), max(now.at_s - before.at_s, 1e-3)
        total = now.total - before.total
        return Load(
            process_cpu=max(0.0, (now.own_s - before.own_s) / passed_s),
            process_bytes=self._own_bytes(), threads=self._count("task"),
            open_files=self._count("fd"), cores=cores(),
            cpu=min(1.0, max(0.0, (now.busy - before.busy) / total)) if total > 0 else None,
            waiting=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            memory_bytes=memory.get("MemTotal"), free_bytes=memory.get("MemAvailable"),
        )  # fmt: skip

    def _sample(self) -> _Sample:
        busy = total = 0
        with contextlib.suppress(OSError, ValueError):
            line = (self._proc / "stat").read_text("ascii").partition("\n")[0]
            # user nice system idle iowait irq softirq steal; guests are in the first two.
            ticks = [int(word) for word in line.split()[1:9]]
            total = sum(ticks)
            busy = total - sum(ticks[3:5])
        return _Sample(self._clock(), time.process_time(), busy, total)

    def _memory(self) -> dict[str, int]:
        """Bytes by name."""
        found = dict[str, int]()
        with contextlib.suppress(OSError, ValueError):
            for line in (self._proc / "meminfo").read_text("ascii").splitlines():
                name, _, rest = line.partition(":")
                words = rest.split()
                if words:
                    found[name] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
        return found

    def _own_bytes(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = int((self._proc / "self" / "statm").read_text("ascii").split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
        return None

    def _count(self, name: str) -> int | None:
        with contextlib.suppress(OSError):
            return len(os.listdir(self._proc / "self" / name))
        return None
