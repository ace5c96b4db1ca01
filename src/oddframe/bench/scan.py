"""`oddframe bench scan`: the four-way scan of a map by every backend, beside what bounds it.

What is timed is the scan of SS2D with delta, B and C given, each direction's in its own order, from
a map to a map, bias and softplus inside. Only the native scan reads the map in place; the others
lay it out in two orders first, as SS2D does for them.

Letters: l places of the map, d channels, n states, k = 4 directions; batch 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from oddframe.bench.autograd import scan_by_autograd
from oddframe.bench.bounds import Bounds, bound_jobs, bounds
from oddframe.bench.table import Column, Row, Table
from oddframe.bench.timing import LEAST, Job, Tick, Timing, interleaved, on_cuda, on_threads
from oddframe.ops import native
from oddframe.ops.backends import BACKENDS, Core, unavailable
from oddframe.ops.ss2d import (
    DIRECTIONS,
    ORDERS,
    a_log_init,
    delta_bias_init,
    merge_orders,
    two_orders,
)

SLOWEST_S = 15.0
"""The loop's backward is left out where one run would take longer: it gets four of them."""
FORWARD, BOTH = "forward", "fwd + bwd"
AUTOGRAD = "autograd"
"""The chunked scan, but differentiated by autograd instead of its own backward."""
COLUMNS = (
    Column("ratio_loop", "x loop", "how many times faster than the loop does the same"),
    Column("ratio_chunked", "x chunk", "how many times faster than the chunked scan does it"),
    Column("ratio_autograd", "x auto", "than autograd through the chunked form"),
    Column("ratio_memory", "/mem", "time over the memory bound: every tensor once"),
    Column("ratio_exp", "/exp", "time over the bound of one exponential per l, d, n, direction"),
    Column("ratio_arithmetic", "/arith", "time over the bound of that exponential and its sums"),
    Column("ratio_backward", "bwd/fwd", "what the backward adds, over the forward alone"),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One case."""

    rows: int
    columns: int
    channels: int
    state: int

    @property
    def steps(self) -> int:
        """State updates of all directions: k l d n."""
        return DIRECTIONS * self.rows * self.columns * self.channels * self.state

    @property
    def title(self) -> str:
        """As the table is headed."""
        size = f"L {self.rows * self.columns} ({self.rows}x{self.columns})"
        return f"four directions, {size}, D {self.channels}, N {self.state}"


SHAPES = (Shape(64, 64, 512, 16), Shape(64, 64, 256, 1))
QUICK = (Shape(8, 16, 16, 4), Shape(8, 16, 16, 1))


@dataclass(frozen=True, slots=True)
class Inputs:
    """The same for every backend."""

    u: Tensor
    """1 h w d"""
    delta: Tensor
    """1 l k d, before bias and softplus; of a scan by columns in their order, as are B and C"""
    A: Tensor
    """k n d"""
    B: Tensor
    """1 l k n"""
    C: Tensor
    """1 l k n"""
    bias: Tensor
    """k d"""

    @classmethod
    def made(cls, shape: Shape) -> Inputs:
        """Random ones of the size that SS2D starts with."""
        torch.manual_seed(0)
        (h, w, d, n), k = (shape.rows, shape.columns, shape.channels, shape.state), DIRECTIONS
        delta = 0.5 * torch.randn(k, 1, h * w, d)  # direction by direction, as SS2D makes it
        return cls(
            torch.randn(1, h, w, d), delta.permute(1, 2, 0, 3), -a_log_init(k, n, d).exp(),
            torch.randn(1, h * w, k, n), torch.randn(1, h * w, k, n), delta_bias_init(k, d),
        )  # fmt: skip

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, in order."""
        return [getattr(self, f.name) for f in fields(self)]

    def leaves(self) -> Inputs:
        """Copies that ask for gradients."""
        return Inputs(*(x.detach().clone().requires_grad_() for x in self.tensors))

    def to(self, device: str) -> Inputs:
        """Copies on a device."""
        return Inputs(*(x.to(device) for x in self.tensors))


Scan = Callable[[Inputs], Tensor]
"""The whole scan: inputs -> y (1, h, w, d)."""


def scan_in_place(x: Inputs) -> Tensor:
    """All four directions in one call of the native scan."""
    y, _ = native.scan(
        x.u.flatten(1, 2)[:, :, None], x.delta, x.A, x.B, x.C, bias=x.bias,
        rows=x.u.shape[1], orders=ORDERS, softplus=True,
    )  # fmt: skip
    return y.view(x.u.shape)


def scan_in_two_orders(run: Core, x: Inputs) -> Tensor:
    """The same by a backend of sequences: rows and columns as groups, then both backwards."""
    h, w = x.u.shape[1:3]
    u, delta = two_orders(x.u), x.delta + x.bias
    forth, back = slice(0, 2), slice(2, 4)
    ys = [
        run(u, delta[:, :, k], x.A[k], x.B[:, :, k], x.C[:, :, k], True, k == back)[0]
        for k in (forth, back)
    ]
    return merge_orders(ys[0] + ys[1], h, w)


def _forward(scan: Scan, x: Inputs) -> None:
    with torch.no_grad():
        scan(x)


def _both(scan: Scan, leaves: Inputs, gy: Tensor) -> None:
    torch.autograd.grad(scan(leaves), leaves.tensors, gy)


def run(quick: bool, tick: Tick) -> list[Table]:
    """Both cases."""
    return [bench(shape, tick) for shape in (QUICK if quick else SHAPES)]


@dataclass(frozen=True, slots=True)
class Case:
    """A job with what its row says."""

    backend: str
    part: str
    """FORWARD or BOTH."""
    threads: int
    job: Job
    note: str = ""


def bench(shape: Shape, tick: Tick) -> Table:
    """One case: every backend forward and forward + backward, beside the bounds."""
    cases, left_out = cases_of(shape, tick)
    jobs = {f"{case.backend}, {case.part}": case.job for case in cases}
    best = interleaved(jobs | bound_jobs(shape.steps), title=f"scan: {shape.title}", tick=tick)
    x = Inputs.made(shape)
    once = 4 * (sum(v.numel() for v in x.tensors) + x.u.numel())  # y is as large as u
    found = bounds(once, shape.steps, best)
    rows = rows_of(
        {name: (case, best[name]) for name, case in zip(jobs, cases, strict=True)}, found
    )
    return Table(shape.title, COLUMNS, tuple(rows), found.facts, (*found.notes, *left_out))


def cases_of(shape: Shape, tick: Tick) -> tuple[list[Case], list[str]]:
    """What can be timed here; and why the rest cannot."""
    x = Inputs.made(shape)
    leaves, gy = x.leaves(), torch.randn_like(x.u)
    cases: list[Case] = []
    left_out: list[str] = []
    for name, scan in scans_here(left_out).items():
        forward, both = partial(_forward, scan, x), partial(_both, scan, leaves, gy)
        threads, note = torch.get_num_threads(), ""
        if name != "native":
            threads, note = best_threads(forward, f"scan: threads for {name}, {shape.title}", tick)
        cases.append(Case(name, FORWARD, threads, on_threads(threads, forward), note))
        if name == "loop" and (slow := loop_backward_s(shape, threads)) > SLOWEST_S:
            left_out.append(f"loop, {BOTH}: left out, a run would take some {slow:.0f} s")
            continue
        cases.append(Case(name, BOTH, threads, on_threads(threads, both)))
    return cases + _cuda_cases(x, gy), left_out


def scans_here(left_out: list[str]) -> dict[str, Scan]:
    """The ways that run on this processor; what does not is added to `left_out`."""
    scans: dict[str, Scan] = {
        "loop": partial(scan_in_two_orders, BACKENDS["reference"]),
        "chunked": partial(scan_in_two_orders, BACKENDS["chunked"]),
        AUTOGRAD: partial(scan_in_two_orders, scan_by_autograd),
    }
    if (reason := unavailable("native")) is None:
        scans["native"] = scan_in_place
    else:
        left_out.append(f"native: left out, {reason}")
    return scans


def _cuda_cases(x: Inputs, gy: Tensor) -> list[Case]:
    """Triton, where there is a CUDA device."""
    if not torch.cuda.is_available() or unavailable("triton") is not None:
        return []
    scan, moved = partial(scan_in_two_orders, BACKENDS["triton"]), x.to("cuda")
    both = partial(_both, scan, moved.leaves(), gy.cuda())
    return [
        Case("triton (cuda)", FORWARD, 1, on_cuda(partial(_forward, scan, moved))),
        Case("triton (cuda)", BOTH, 1, on_cuda(both)),
    ]


def best_threads(job: Job, title: str, tick: Tick) -> tuple[int, str]:
    """The number of threads that suits a job, 1 or all, and a sentence about it."""
    everyone = torch.get_num_threads()
    if everyone == 1:
        return 1, ""
    jobs = {f"{n}": on_threads(n, job) for n in (1, everyone)}
    best = interleaved(jobs, LEAST, title, tick)
    threads = min((1, everyone), key=lambda n: best[f"{n}"].seconds)
    found = " and ".join(f"{1000 * best[n].seconds:.3g} ms on {n}" for n in jobs)
    return threads, f"on the number of threads that suits it: {found} beforehand"


def loop_backward_s(shape: Shape, threads: int) -> float:
    """What a forward and backward of the loop takes at most: a quarter of the length, times 16.

    Autograd adds up the gradient of every step's slice in a tensor of the whole length, so the
    loop's backward grows with the square of the length.
    """
    small = Shape(-(-shape.rows // 2), -(-shape.columns // 2), shape.channels, shape.state)
    x, scan = Inputs.made(small), partial(scan_in_two_orders, BACKENDS["reference"])
    job = on_threads(threads, partial(_both, scan, x.leaves(), torch.randn_like(x.u)))
    return interleaved({"quarter": job}, 1)["quarter"].seconds * (shape.steps / small.steps) ** 2


def rows_of(timed: dict[str, tuple[Case, Timing]], found: Bounds) -> list[Row]:
    """A row per job, the forwards first, with its ratios."""
    rows = []
    for name, (case, timing) in timed.items():
        values, s = {}, timing.seconds
        bases = {"loop": "loop", "chunked": "chunked", "autograd": AUTOGRAD}
        for column, base in bases.items():
            if (other := timed.get(f"{base}, {case.part}")) is not None:
                values[f"ratio_{column}"] = other[1].seconds / s
        if case.part == FORWARD:
            values |= {f"ratio_{bound}": s / least for bound, least in found.seconds.items()}
        else:
            forward = timed[f"{case.backend}, {FORWARD}"][1].seconds
            values["ratio_backward"] = (s - forward) / forward
        rows.append(Row(name, 1000 * s, timing.turns, case.threads, values, case.note))
    return sorted(rows, key=lambda row: row.name.endswith(BOTH))
