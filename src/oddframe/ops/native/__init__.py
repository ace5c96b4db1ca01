"""The selective scan in C: the fastest way on a CPU, left out where it could not be built.

`scan` runs several scans over one map in place; its layout is that of `scan_chunked` with the
orders and, for SS2D, one common input. It is a `torch.library` operator, so that autograd,
`torch.compile`, the FLOP counter and fake tensors see through it.

Letters: b batch, l places, g scans, e channels of a scan, n states, p parts of the channels.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

from oddframe.ops.native.library import Library, Scan, load

ROWS, COLUMNS, BACKWARDS = 0, 1, 2
"""Orders: row by row, column by column; + BACKWARDS from the last place to the first."""


def available() -> str | None:
    """None where the compiled scan runs, else why it does not."""
    library = load()
    return None if isinstance(library, Library) else library


def part_of(e: int) -> int:
    """Channels per piece of the backward sweep: a function of the shape alone (determinism)."""
    return 32 if e <= 64 else 64


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    bias: Tensor | None = None,
    D: Tensor | None = None,
    up: Tensor | None = None,
    rows: int = 1,
    orders: tuple[int, ...] | None = None,
    softplus: bool = False,
    placed: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run selective scans over a map of `rows` rows, in float32.

    Args:
        u: (b, l, g, e), or (b, l, 1, e): one input for all scans, whose outputs are then summed.
        delta: (b, l, g, e) step sizes before `bias` and softplus; of a scan in COLUMNS they stand
            column by column, as do its B and C. BACKWARDS changes no layout.
        A: (g, n, e), negative.
        B: (b, l, g, n).
        C: (b, l, g, n).
        bias: (g, e), added to delta.
        D: (g, e), or (1, e) with a common input: D u is added to the output.
        up: (g, r, e): delta is given as rows of low rank (b, l, g, r), whose product with this is
            made on the way and never written out.
        rows: rows of the map, a divisor of l.
        orders: of the places for each scan; all ROWS by default.
        softplus: apply softplus to delta after the bias.
        placed: delta, B and C of every scan stand row by row as u does, whatever its order, so
            that nobody has to turn them; with `up`, and without gradients.

    Returns:
        y like u, and the last state (b, g, n, e), which carries no gradient.

    Raises:
        RuntimeError: the library is not there (`available` says why).
    """
    inputs = (u, delta, A, B, C, bias, D, up)
    save = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    if placed and (save or up is None):
        raise ValueError("a scan of placed rows needs `up` and has no gradients")
    orders = orders or (ROWS,) * delta.shape[2]
    y, last, _ = _scan(*inputs, rows, list(orders), softplus, placed, save)
    return y, last


def scan_native(
    u_blge: Tensor,
    delta_blge: Tensor,
    A_gne: Tensor,
    B_blgn: Tensor,
    C_blgn: Tensor,
    softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """The core behind the backend `native`: as `oddframe.ops.chunked.scan_chunked`."""
    args = (x.float() for x in (u_blge, delta_blge, A_gne, B_blgn, C_blgn))
    g = u_blge.shape[2]
    u, delta, A, B, C = args
    orders = (BACKWARDS if reverse else ROWS,) * g
    y, last = scan(u, delta, A, B, C, orders=orders, softplus=softplus)
    return y.to(u_blge.dtype), last


def takes(*tensors: Tensor | None) -> bool:
    """Whether `norm` can read these: plain float32 tensors on the CPU, no compiler's symbols."""
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or torch.compiler.is_compiling() or available() is not None:
        return False
    return all(
        x is None or (type(x) in (Tensor, nn.Parameter) and x.is_cpu and x.dtype == torch.float32)
        for x in tensors
    )


def norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, gate: Tensor | None) -> Tensor:
    """LayerNorm of the last axis of x (..., c), times SiLU(gate) where there is one like x.

    Without gradients; every tensor must be one that it `takes`. It is called hundreds of times per
    frame, so it is no `torch.library` operator as `scan` is: that would take as long again.

    Raises:
        ValueError: a gate of another shape.
    """
    if gate is not None and gate.shape != x.shape:
        raise ValueError(f"the gate {tuple(gate.shape)} must have the shape of x {tuple(x.shape)}")
    x, gate = x.contiguous(), None if gate is None else gate.contiguous()
    out, width = torch.empty_like(x), x.shape[-1]
    _library().code.oddframe_norm(
        x.data_ptr(), None if gate is None else gate.data_ptr(), weight.data_ptr(),
        bias.data_ptr(), eps, x.numel() // width, width, out.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return out


@torch.library.custom_op("oddframe::scan", mutates_args=(), device_types="cpu")
def _scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, bias: Tensor | None,
    D: Tensor | None, up: Tensor | None, rows: int, orders: list[int], softplus: bool, placed: bool,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """y, the last state, and (where asked for) the states before every tile."""
    call = _Call(u, delta, A, B, C, bias, D, up, rows, orders, softplus, placed)
    y, last = call.output("y", *u.shape), call.output("last", *call.states)
    start = call.output("start", *call.starts) if save else u.new_empty(0)
    call.run("oddframe_scan_forward")
    return y, last, start


@_scan.register_fake
def _(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, bias: Tensor | None,
    D: Tensor | None, up: Tensor | None, rows: int, orders: list[int], softplus: bool, placed: bool,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    (b, length, _, e), (g, n, _) = u.shape, A.shape
    starts = (b, g, -(-length // _library().tile), n, e) if save else (0,)
    return u.new_empty(u.shape), u.new_empty(b, g, n, e), u.new_empty(starts)


@torch.library.custom_op("oddframe::scan_backward", mutates_args=(), device_types="cpu")
def _scan_backward(
    gy: Tensor, start: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,
    bias: Tensor | None, D: Tensor | None, up: Tensor | None, rows: int, orders: list[int],
    softplus: bool,
) -> list[Tensor]:  # fmt: skip
    """Gradients of u, delta, A, B, C, bias and D; with `up`, of the low rows and of it as well."""
    call = _Call(u, delta, A, B, C, bias, D, up, rows, orders, softplus)
    call.give("gy", gy.contiguous())
    call.give("start", start)
    (b, length, gu, e), (g, n, _) = u.shape, A.shape
    parts = -(-e // part_of(e))
    g_u, g_delta = (
        call.output("gu", *u.shape),
        call.output("gdelta", b, g, length, e).transpose(1, 2),
    )
    g_A, g_bias = call.output("gA", *call.states), call.output("gbias", b, g, e)
    g_D = call.output("gD", b, gu, e)
    g_B, g_C = (call.output(name, parts, b, g, length, n) for name in ("gB", "gC"))
    call.run("oddframe_scan_backward")
    g_B, g_C = (x.sum(0).transpose(1, 2) for x in (g_B, g_C))
    grads = [g_u, g_delta, g_A.sum(0), g_B, g_C, g_bias.sum(0), g_D.sum(0)]
    if up is not None:
        # One product over batch and places per scan: (r, b l) (b l, e).
        low, wide = (x.permute(2, 0, 1, 3).flatten(1, 2) for x in (delta, g_delta))
        grads[1] = torch.bmm(wide, up.transpose(1, 2)).unflatten(1, (b, length)).permute(1, 2, 0, 3)
        grads.append(torch.bmm(low.transpose(1, 2), wide))
    return grads


@_scan_backward.register_fake
def _(
    gy: Tensor, start: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,
    bias: Tensor | None, D: Tensor | None, up: Tensor | None, rows: int, orders: list[int],
    softplus: bool,
) -> list[Tensor]:  # fmt: skip
    (b, length, gu, e), (g, n, _) = u.shape, A.shape
    g_B, g_C = (u.new_empty(b, g, length, n).transpose(1, 2) for _ in "BC")
    grads = [
        u.new_empty(u.shape), u.new_empty(b, g, length, e).transpose(1, 2), u.new_empty(g, n, e),
        g_B, g_C, u.new_empty(g, e), u.new_empty(gu, e),
    ]  # fmt: skip
    if up is not None:
        grads[1] = u.new_empty(g, b, length, up.shape[1]).permute(1, 2, 0, 3)
        grads.append(u.new_empty(up.shape))
    return grads


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, rows, orders, softplus, _, _ = inputs
    ctx.save_for_backward(output[2], *tensors)
    ctx.settings = rows, orders, softplus
    ctx.mark_non_differentiable(output[1], output[2])
    ctx.set_materialize_grads(False)  # no zeros for the states, which have no gradient


def _backward(ctx: Any, gy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    start, *tensors = ctx.saved_tensors
    grads = _scan_backward(gy, start, *tensors, *ctx.settings)
    return (
        *(None if x is None else grad for x, grad in zip(tensors, (*grads, None), strict=False)),
        None, None, None, None, None,
    )  # fmt: skip


_scan.register_autograd(_backward, setup_context=_setup)


@register_flop_formula(torch.ops.oddframe.scan)
def _flops(u: Any, delta: Any, A: Any, B: Any, C: Any, bias: Any, D: Any, up: Any,
           *_: Any, **__: Any) -> int:  # fmt: skip
    """9 L D N of every scan (VMamba's count), and the product that makes delta of low rank."""
    return int(9 * delta[0] * delta[1] * math.prod(A)) + _product(delta, up)


@register_flop_formula(torch.ops.oddframe.scan_backward)
def _flops_backward(gy: Any, start: Any, u: Any, delta: Any, A: Any, B: Any, C: Any, bias: Any,
                    D: Any, up: Any, *_: Any, **__: Any) -> int:  # fmt: skip
    """States again, their adjoints, and six products for the gradients: about 21 L D N."""
    return int(21 * delta[0] * delta[1] * math.prod(A)) + 3 * _product(delta, up)


def _product(low: Any, up: Any) -> int:
    return 0 if up is None else int(2 * math.prod(low) * up[2])


class _Call:
    """One call of the library: fills its structure and keeps what the pointers point at."""

    def __init__(
        self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, bias: Tensor | None,
        D: Tensor | None, up: Tensor | None, rows: int, orders: list[int], softplus: bool,
        placed: bool = False,
    ) -> None:  # fmt: skip
        (b, length, gu, e), (g, n, _) = u.shape, A.shape
        given = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "bias": bias, "D": D, "up": up}
        for name, x in given.items():
            if x is not None and (x.dtype != torch.float32 or x.device.type != "cpu"):
                raise TypeError(f"the native scan takes float32 on the CPU, {name} is {x.dtype}")
        rank = e if up is None else up.shape[1]
        fits = (
            delta.shape == (b, length, g, rank) and (up is None or up.shape == (g, rank, e))
            and B.shape == C.shape == (b, length, g, n)
            and gu in (1, g) and A.shape[2] == e and len(orders) == g and length % rows == 0
            and (bias is None or bias.shape == (g, e)) and (D is None or D.shape == (gu, e))
        )  # fmt: skip
        if not fits:
            shapes = {name: tuple(x.shape) for name, x in given.items() if x is not None}
            raise ValueError(f"the native scan got {shapes}, {len(orders)} orders, {rows} rows")
        self.states, self.starts = (b, g, n, e), (b, g, -(-length // _library().tile), n, e)
        self._kept: list[Any] = []
        self.args = args = Scan(
            b=b, g=g, e=e, n=n, rows=rows, cols=length // rows, joint=gu < g or g == 1,
            softplus=softplus, threads=torch.get_num_threads(), part=part_of(e),
            rank=0 if up is None else rank, placed=placed,
        )  # fmt: skip
        order = (ctypes.c_int64 * g)(*orders)
        self._kept.append(order)
        args.order = ctypes.addressof(order)
        for name, x in (("u", u), ("delta", delta), ("B", B), ("C", C)):
            x = x if x.stride(3) == 1 or x.shape[3] == 1 else x.contiguous()
            self.give(name, x)
            for d, stride in zip("blg", x.stride(), strict=False):
                setattr(args, f"{name}_{d}", stride)
        if gu == 1:
            args.u_g = 0
        for name, y in (("A", A), ("bias", bias), ("D", D), ("up", up)):
            if y is not None:
                self.give(name, y.contiguous())

    def give(self, name: str, x: Tensor) -> None:
        """Point field `name` at a tensor."""
        self._kept.append(x)
        setattr(self.args, name, x.data_ptr())

    def output(self, name: str, *shape: int) -> Tensor:
        """Make a tensor that the library fills."""
        x = torch.empty(shape, dtype=torch.float32)
        self.give(name, x)
        return x

    def run(self, function: str) -> None:
        """Call it; ctypes lets other Python threads run meanwhile."""
        if getattr(_library().code, function)(ctypes.byref(self.args)):
            raise MemoryError("the native scan found no memory for its work space")


def _library() -> Library:
    library = load()
    if isinstance(library, str):
        raise RuntimeError(f"The native scan is not here: {library}. Use backend='chunked'.")
    return library
