"""How long single calls on a GPU take: the median and the 95th percentile.

A GPU works behind the program, so every call is waited for before and after: what is timed is one
call and nothing that an earlier one left. Its clock changes with its heat and the first calls
compile kernels and choose algorithms, hence the warm-up, rounds over all jobs, and a median; the
95th percentile is what a camera waits for now and then.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from oddframe.bench.timing import Job, Tick, budget, silent, turns_of

WARM, WARM_S = 5, 2.0
"""Calls before the timed ones; fewer, at least one, where they take longer than this together."""
CALLS, ROUNDS = 100, 5
"""Timed calls of a job, and rounds over all jobs that they are spread over."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One job's result."""

    median_s: float
    p95_s: float
    """What 95 of 100 calls do not exceed: one of the calls, of fewer than 20 the slowest."""
    calls: int


def latencies(
    jobs: Mapping[str, Job], wait: Callable[[], object], calls: int = CALLS, title: str = "",
    tick: Tick = silent,
) -> dict[str, Latency]:  # fmt: skip
    """Time single calls of jobs, in rounds over all of them after a warm-up; {name: Latency}.

    Args:
        jobs: what is called, by name.
        wait: returns when the device has nothing left to do.
        calls: the most timed calls of a job; slow ones get fewer (`turns_of`).
        title: of the group, for `tick`.
        tick: told of every warm-up and every job of a round.
    """
    share = budget(len(jobs))
    done, total = 0, len(jobs) * (1 + ROUNDS)
    tick(title, done, total)
    wanted: dict[str, int] = {}
    for name, job in jobs.items():
        once = _warm(job, wait)
        wanted[name] = turns_of(once, calls, share)
        tick(title, done := done + 1, total)
    took: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(ROUNDS):
        for name, job in jobs.items():
            until = wanted[name] * (turn + 1) // ROUNDS
            while len(took[name]) < until:
                took[name].append(_call(job, wait))
            tick(title, done := done + 1, total)
    return {
        name: Latency(statistics.median(t), percentile(t, 95), len(t)) for name, t in took.items()
    }


def _warm(job: Job, wait: Callable[[], object]) -> float:
    """Call a job until it is warm; seconds of the last call."""
    spent = last = 0.0
    for _ in range(WARM):
        last = _call(job, wait)
        spent += last
        if spent > WARM_S:
            break
    return last


def _call(job: Job, wait: Callable[[], object]) -> float:
    wait()
    started = time.perf_counter()
    job()
    wait()
    return time.perf_counter() - started


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that so many per cent of them do not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(percent / 100 * len(values)), 1) - 1]
