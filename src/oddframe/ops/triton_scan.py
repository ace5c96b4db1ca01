"""The selective scan on a CUDA device, in Triton: custom operators, with a FLOP count.

The length is cut into chunks of t steps. Phase 1 runs every chunk from a zero state, to its final
state and its sum of delta (the decay over the whole chunk is exp(A sum delta)); phase 2 carries the
states from chunk to chunk; phase 3 runs every chunk again, from its true state, and writes y. One
chunk needs no phases 1 and 2. The backward runs the two phases for the states, which it does not
keep from the forward, and for the adjoints against the time, then phase 3 both ways in each chunk.
Every factor is exp(delta A) <= 1, so nothing overflows whatever delta is. Sums over channels and
over chunks are stored as shares and added by torch: no atomics, the same bits every time.

Import this module only where the backend may be used: torch's FLOP registry imports triton where it
is installed, 0.3 s. The kernels (`triton_kernels`) are imported when they first run. Under
`TRITON_INTERPRET=1`, set before triton's import, they run on CPU tensors, slowly, for tests.

Letters: b batch, l length, g groups, e channels of a group, n state size.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import Any, NamedTuple

import torch
from torch import Tensor

from oddframe.errors import ConfigError

# Set by tests: steps of a chunk, or None to choose them by `_plan`.
STEPS: int | None = None
# Channels of a program: one warp, each lane a channel, so loads along the channels are coalesced.
LANES = 32
# Steps between the states that a backward keeps: chunk / PART + PART tiles of scratch a program.
PART = 16

# Reasoned from latencies, not measured: no GPU was at hand. PART and these three are to be tuned.
# Warps on a multiprocessor that hide the latency of the steps, which wait for one another.
_WARPS = 16
# Shorter chunks do not repay the two more kernels and the loads at their start.
_SHORTEST = 32
# The carry goes from chunk to chunk one after the other; more chunks would wait for it.
_MOST = 64


def available() -> str | None:
    """Say why this backend cannot run here; None if it can."""
    return _obstacle(_interpreted())


@functools.cache  # asked before every scan
def _obstacle(interpreted: bool) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (pip install triton)"
    if not interpreted:
        if not torch.cuda.is_available():
            return "torch sees no CUDA device"
        if torch.version.hip is None and torch.cuda.get_device_capability() < (7, 0):
            return "triton needs a CUDA device of compute capability 7.0 or later"
    try:
        _kernels()
    except Exception as error:  # a broken triton, or one without a compiler, fails in many ways
        return f"triton cannot be imported ({error})"
    return None


def scan_triton(
    u_blge: Tensor,
    delta_blge: Tensor,
    A_gne: Tensor,
    B_blgn: Tensor,
    C_blgn: Tensor,
    softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Selective scan on a CUDA device; arguments and result as those of `scan_chunked`.

    Inputs in float32, bfloat16 or float16 with any strides, computed in float32.

    Args:
        u_blge: (b, l, g, e) input.
        delta_blge: (b, l, g, e) step sizes; positive ones unless `softplus`.
        A_gne: (g, n, e), negative.
        B_blgn: (b, l, g, n).
        C_blgn: (b, l, g, n).
        softplus: apply softplus to delta.
        reverse: scan from the last step to the first.

    Returns:
        y (b, l, g, e) in the dtype of u and the last state (b, g, n, e) in float32, which
        carries no gradient.

    Raises:
        ConfigError: tensors of another device or precision.
        ValueError: shapes that do not fit together.
    """
    result: tuple[Tensor, Tensor] = _scan(
        u_blge, delta_blge, A_gne, B_blgn, C_blgn, softplus, reverse
    )
    return result


class _Plan(NamedTuple):
    """How a call is cut: what every kernel needs to know of it."""

    steps: int
    chunks: int
    groups: int
    e: int
    n: int
    blocks: int
    b: int
    length: int

    @property
    def programs(self) -> int:
        return self.b * self.groups * self.blocks

    @property
    def tile(self) -> dict[str, int]:
        """The tile (N, E) of states and how it is compiled: at most 16 states a lane up to n 128.

        Fused multiply-adds are asked for by name, since triton 3.10 is to drop them by default.
        """
        rows = 1 << (self.n - 1).bit_length()
        warps = min(8, max(1, rows // 16))
        return {"N": rows, "E": LANES, "num_warps": warps, "enable_fp_fusion": True}


def _plan(u: Tensor, A: Tensor) -> _Plan:
    """Cut the length so that the device is full, or not at all where that gains nothing.

    Chunks side by side fill a device that b g e alone would leave idle, but cost a second run over
    the inputs; so three chunks or fewer gain nothing.
    """
    (b, length, g, e), n = u.shape, A.shape[1]
    blocks = -(-e // LANES)
    if STEPS is None:
        room = _multiprocessors(u.device) * _WARPS // max(1, b * g * blocks)
        chunks = min(room, length // _SHORTEST, _MOST)
        steps = -(-length // chunks) if chunks > 3 else length
    else:
        steps = STEPS
    return _Plan(steps, -(-length // steps), g, e, n, blocks, b, length)


@functools.cache
def _multiprocessors(device: torch.device) -> int:
    """Multiprocessors of a device; an H100's for the interpreter, so that it cuts alike."""
    if device.type != "cuda":
        return 132
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def _interpreted() -> bool:
    """Whether triton's kernels run on the CPU, as triton itself decides it."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in {"1", "true", "on", "yes", "y"}


def _kernels() -> Any:
    from oddframe.ops import triton_kernels

    return triton_kernels


def _check(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *more: Tensor) -> None:
    """Refuse what the kernels would misread, or read beyond."""
    wanted = "cpu" if _interpreted() else "cuda"
    for x in (u, delta, A, B, C, *more):
        if x.device.type != wanted or x.device != u.device:
            raise ConfigError(
                f"scan_triton needs all tensors on one {wanted} device, got {u.device} and "
                f"{x.device}; backend 'chunked' runs anywhere."
            )
        if x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise ConfigError(
                f"scan_triton computes in float32, got {x.dtype}; use backend 'chunked'."
            )
    (b, length, g, e), n = u.shape, A.shape[1]
    same = [tuple(u.shape)] * 2 + [(g, n, e)] + [(b, length, g, n)] * 2
    shapes = [tuple(x.shape) for x in (u, delta, A, B, C)]
    if shapes != same or length == 0:
        raise ValueError(f"scan_triton needs l >= 1 and shapes that fit {same}, got {shapes}")


def _handed(
    plan: _Plan, X: Tensor, delta: Tensor, A: Tensor, V: Tensor, softplus: bool, reverse: bool,
    adjoint: bool,
) -> Tensor:  # fmt: skip
    """Phases 1 and 2: what every chunk but one hands on, (b, chunks - 1, g, n, e)."""
    kernels, k = _kernels(), plan.chunks - 1
    ends = A.new_empty(plan.b, k, plan.groups, plan.n, plan.e)
    if k == 0:
        return ends
    total = A.new_empty(plan.b, k, plan.groups, plan.e)
    kernels.ends_kernel[(plan.programs * k,)](
        X, delta, A, V, ends, total, *X.stride(), *delta.stride(), *V.stride(),
        plan.length, plan.steps, k, plan.groups, plan.e, plan.n, plan.blocks,
        ADJOINT=adjoint, SOFTPLUS=softplus, REVERSE=reverse, **plan.tile,
    )  # fmt: skip
    kernels.carry_kernel[(plan.programs,)](
        ends, total, A, k, plan.groups, plan.e, plan.n, plan.blocks, ADJOINT=adjoint, **plan.tile
    )
    return ends


_ARGS = "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, bool softplus, bool reverse"


@torch.library.custom_op(
    "oddframe::scan_triton", mutates_args=(), schema=f"({_ARGS}) -> (Tensor, Tensor)"
)
def _scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, softplus: bool, reverse: bool
) -> tuple[Tensor, Tensor]:
    _check(u, delta, A, B, C)
    plan, A = _plan(u, A), A.float().contiguous()
    y = u.new_empty(u.shape)
    last = A.new_empty(plan.b, plan.groups, plan.n, plan.e)
    with torch.cuda.device_of(u):
        starts = _handed(plan, u, delta, A, B, softplus, reverse, False)
        _kernels().scan_kernel[(plan.programs * plan.chunks,)](
            u, delta, A, B, C, starts, y, last,
            *u.stride(), *delta.stride(), *B.stride(), *C.stride(),
            plan.length, plan.steps, plan.chunks, plan.groups, plan.e, plan.n, plan.blocks,
            SOFTPLUS=softplus, REVERSE=reverse, **plan.tile,
        )  # fmt: skip
    return y, last


@torch.library.custom_op(
    "oddframe::scan_triton_backward",
    mutates_args=(),
    schema=f"(Tensor gy, {_ARGS}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _scan_backward(
    gy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,
    softplus: bool, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    _check(u, delta, A, B, C, gy)
    plan, dtype, A = _plan(u, A), A.dtype, A.float().contiguous()
    g_u, g_delta = u.new_empty(u.shape), delta.new_empty(delta.shape)
    shares_A = A.new_empty(plan.b, plan.chunks, *A.shape)
    shares_B, shares_C = (A.new_empty(plan.blocks, *B.shape) for _ in range(2))
    tile, programs = plan.tile, plan.programs * plan.chunks
    kept = -(-plan.steps // PART) + PART
    scratch = A.new_empty(programs, kept, tile["N"], tile["E"])
    with torch.cuda.device_of(u):
        starts = _handed(plan, u, delta, A, B, softplus, reverse, False)
        leads = _handed(plan, gy, delta, A, C, softplus, reverse, True)
        _kernels().backward_kernel[(programs,)](
            u, delta, A, B, C, gy, starts, leads, g_u, g_delta, shares_A, shares_B, shares_C,
            scratch, *u.stride(), *delta.stride(), *B.stride(), *C.stride(), *gy.stride(),
            plan.length, plan.steps, plan.chunks, plan.groups, plan.e, plan.n, plan.blocks,
            plan.b, PART, SOFTPLUS=softplus, REVERSE=reverse, **tile,
        )  # fmt: skip
    g_B, g_C = (shares.sum(0).to(x.dtype) for shares, x in ((shares_B, B), (shares_C, C)))
    return g_u, g_delta, shares_A.sum((0, 1)).to(dtype), g_B, g_C


@_scan.register_fake
def _scan_shapes(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, softplus: bool, reverse: bool
) -> tuple[Tensor, Tensor]:
    return u.new_empty(u.shape), A.new_empty((u.shape[0], *A.shape), dtype=torch.float32)


@_scan_backward.register_fake
def _scan_backward_shapes(gy: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape) for x in inputs[:5])


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.flags = inputs[5:]
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, gy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return (*_scan_backward(gy, *ctx.saved_tensors, *ctx.flags), None, None)


_scan.register_autograd(_backward, setup_context=_setup)


def _flops(u: Any, delta: Any, A: Any, *_: Any, **__: Any) -> int:
    """9 operations for each step, channel and state (VMamba's count), from the shapes."""
    b, length, g, e = u
    return int(9 * b * length * g * e * A[1])


def _flops_backward(gy: Any, *inputs: Any, **__: Any) -> int:
    return 2 * _flops(*inputs)


if importlib.util.find_spec("triton") is not None:  # or torch's counter warns that it is missing
    from torch.utils.flop_counter import register_flop_formula

    register_flop_formula(torch.ops.oddframe.scan_triton)(_flops)
    register_flop_formula(torch.ops.oddframe.scan_triton_backward)(_flops_backward)
