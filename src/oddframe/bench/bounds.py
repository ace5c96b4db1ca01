"""What no scan can be faster than on this machine: memory, exponentials, arithmetic.

All three are measured beside the scans, in turn with them, on all threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from oddframe.bench.timing import Job, Timing
from oddframe.ops.native.library import Library, load

TRIAD = 1 << 25
"""Floats in each of the triad's three arrays: 134 MB, far above any cache."""
BANDWIDTH = "triad a = b + s c of three 134-MB arrays"
"""How the bandwidth is measured, in words."""
MEMORY = "memory"
COMPUTED = {"exp": "oddframe_exp_bound", "arithmetic": "oddframe_arithmetic_bound"}
"""Bound -> the function of scan.c that takes that time: (state updates per thread, threads)."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one scan."""

    seconds: dict[str, float]
    """Bound -> the least time of a forward."""
    facts: dict[str, float]
    """What was measured, by a name that ends in its unit."""
    notes: tuple[str, ...]
    """How each was found, or why it is missing."""


def bound_jobs(steps: int) -> dict[str, Job]:
    """The jobs to time beside a scan of `steps` state updates, by the name of their bound."""
    a, b, c = (torch.ones(TRIAD) for _ in "abc")  # written once: untouched pages cost nothing
    jobs: dict[str, Job] = {MEMORY: lambda: torch.add(b, c, alpha=3.0, out=a)}
    threads = torch.get_num_threads()
    for name, function in COMPUTED.items():
        if (code := compiled(function)) is not None:
            jobs[name] = partial(code, -(-steps // threads), threads)
    return jobs


def compiled(function: str) -> Callable[[int, int], float] | None:
    """A bound of the native library; None where the library or the function is not there."""
    library = load()
    if not isinstance(library, Library) or not hasattr(library.code, function):
        return None
    code: Callable[[int, int], float] = getattr(library.code, function)
    return code


def bounds(bytes_once: int, steps: int, best: Mapping[str, Timing]) -> Bounds:
    """The bounds of a scan that reads and writes `bytes_once` and updates `steps` states.

    best: timings that hold those of `bound_jobs(steps)`.
    """
    bandwidth = 3 * 4 * TRIAD / best[MEMORY].seconds  # two arrays read, one written
    seconds = {MEMORY: bytes_once / bandwidth}
    facts = {
        "bytes_once": float(bytes_once), "bandwidth_gb_per_s": bandwidth / 1e9,
        "memory_ms": 1000 * seconds[MEMORY],
    }  # fmt: skip
    notes = [
        f"memory bound {facts['memory_ms']:.2f} ms: {bytes_once / 1e6:.1f} MB once at "
        f"{bandwidth / 1e9:.1f} GB/s ({BANDWIDTH}); what still lies in the caches can come faster"
    ]
    for name in COMPUTED:
        if name not in best:
            notes.append(f"{name} bound: the native library here does not measure it")
            continue
        seconds[name] = best[name].seconds
        facts |= {
            f"{name}_ms": 1000 * seconds[name],
            f"{name}_g_per_s": steps / seconds[name] / 1e9,
        }
        notes.append(
            f"{name} bound {1000 * seconds[name]:.2f} ms: {steps / 1e6:.1f} M at "
            f"{steps / seconds[name] / 1e9:.1f} G/s"
        )
    return Bounds(seconds, facts, tuple(notes))
