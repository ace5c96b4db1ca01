"""The fastest of interleaved runs, and the machine they ran on.

Interleaved, because the load of a machine changes within seconds; minima, because everything that
disturbs a timing makes it longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

REPEATS = 10
"""Turns of a job; slow ones get fewer, never below `LEAST`."""
LEAST = 3
BUDGET_S = 8.0
"""What a job's turns may take together, going by its warm-up."""
TOTAL_S = 120.0
"""The same of all jobs of a group: where they are many, each gets less."""
SLOW_S = 5.0
"""A job that takes longer than this has one turn, whatever `LEAST` says."""
TURN_S = 0.03
"""A turn of a short job runs it until this time is up, so the caches are its own, as in use."""

Job = Callable[[], object]
Tick = Callable[[str, int, int], None]
"""Called with the title of a group of jobs, the runs done and the runs expected."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One job's result."""

    seconds: float
    """The fastest run."""
    turns: int
    """Turns it had, the warm-up not counted."""


def silent(title: str, done: int, total: int) -> None:
    """The `Tick` that shows nothing."""
    del title, done, total


def budget(jobs: int) -> float:
    """Seconds that one of so many jobs may take for its turns."""
    return min(BUDGET_S, TOTAL_S / max(jobs, 1))


def turns_of(once: float, most: int, share: float) -> int:
    """Turns of a job that takes `once` seconds: what fits into its `share` of seconds."""
    least = LEAST if once <= SLOW_S else 1
    return min(most, max(least, int(share / max(once, 1e-9))))


def interleaved(
    jobs: Mapping[str, Job], repeats: int = REPEATS, title: str = "", tick: Tick = silent
) -> dict[str, Timing]:
    """Time jobs in turn after one warm-up of each; {name: Timing}.

    A slow job's fewer turns are spread evenly over the time of the others.
    """
    share, turns = budget(len(jobs)), dict[str, int]()
    done, total = 0, len(jobs) * (1 + repeats)
    tick(title, done, total)
    for name, job in jobs.items():
        once = _once(job)
        turns[name] = turns_of(once, repeats, share)
        tick(title, done := done + 1, total)
    total = len(jobs) + sum(turns.values())
    best = dict.fromkeys(jobs, float("inf"))
    for turn in range(repeats):
        for name, job in jobs.items():
            if turn * turns[name] // repeats < (turn + 1) * turns[name] // repeats:
                best[name] = min(best[name], _turn(job))
                tick(title, done := done + 1, total)
    return {name: Timing(best[name], turns[name]) for name in jobs}


def _once(job: Job) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def _turn(job: Job) -> float:
    """The fastest of the runs that fit into one turn, at least one."""
    best, spent = float("inf"), 0.0
    while spent < TURN_S:
        took = _once(job)
        best, spent = min(best, took), spent + took
    return best


def on_threads(threads: int, job: Job) -> Job:
    """The job with torch on another number of threads."""

    def run() -> object:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return job()
        finally:
            torch.set_num_threads(before)

    return run


def on_cuda(job: Job) -> Job:
    """The job with the wait for what it started on the GPU."""

    def run() -> None:
        job()
        torch.cuda.synchronize()

    return run


def machine() -> dict[str, Any]:
    """What a timing depends on: threads, cores, instruction set, load (1 minute, or None), GPU."""
    return {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
