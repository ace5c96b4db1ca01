"""Sums, extremes and rows over all processes that train one model; in one process, its own.

Each process sees its share of a batch, as large as every other's, and rank order is the order of
the batch. What training writes beside the weights (items of memories, running statistics) has to
come of the whole batch, the same in every process: sums are added up *before* anything is divided
by them, and whatever is chosen is chosen of the queries of all.

All are collective: every process must make the same calls in the same order. None has a gradient
but `summed_with_gradient`.

Letters: q queries of this process, d width, p items.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """How many train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def summed(*parts: Tensor) -> tuple[Tensor, ...]:
    """Each tensor, added up over all processes; one message for all of them, of one dtype."""
    if processes() == 1:
        return parts
    flat = torch.cat([part.flatten() for part in parts])
    dist.all_reduce(flat)
    pieces = flat.split([part.numel() for part in parts])
    return tuple(piece.view_as(part) for piece, part in zip(pieces, parts, strict=True))


@torch.no_grad()
def largest(x: Tensor) -> Tensor:
    """Elementwise, the largest in any process."""
    if processes() == 1:
        return x
    x = x.clone()
    dist.all_reduce(x, dist.ReduceOp.MAX)
    return x


@torch.no_grad()
def softmax_over_all(x_qp: Tensor) -> Tensor:
    """The softmax over the queries of all processes, of each column: (q, p) -> own rows (q, p).

    A column of -inf throughout gives NaN, as it does in `torch.softmax`.
    """
    if processes() == 1:
        return x_qp.softmax(0)
    share = (x_qp - largest(x_qp.amax(0))).exp()
    return share / summed(share.sum(0))[0]


@torch.no_grad()
def first(rows_qd: Tensor) -> Tensor:
    """The first row of the whole batch: (d,)."""
    if processes() == 1:
        return rows_qd[0]
    row = rows_qd[0].clone()
    dist.broadcast(row, 0)
    return row


@torch.no_grad()
def least(values_q: Tensor, rows_qd: Tensor) -> Tensor:
    """The row with the smallest value of all; of equals the first of the batch: (d,)."""
    at = values_q.argmin()
    if processes() == 1:
        return rows_qd[at]
    own = torch.cat((values_q[at, None].to(rows_qd), rows_qd[at]))
    found = _of_each(own)
    return found[found[:, 0].argmin(), 1:]


@torch.no_grad()
def rows_at(places: Tensor, rows_qd: Tensor) -> Tensor:
    """Rows by their numbers in the whole batch: (n,) int64 -> (n, d)."""
    if processes() == 1 or not len(places):  # of none there are none in any process
        return rows_qd[places]
    own = places - dist.get_rank() * len(rows_qd)
    here = (own >= 0) & (own < len(rows_qd))
    found = rows_qd[own.clamp(0, len(rows_qd) - 1)] * here[:, None]
    return summed(found)[0]


def _of_each(x: Tensor) -> Tensor:
    """What each process has, stacked in rank order."""
    found = [torch.empty_like(x) for _ in range(processes())]
    dist.all_gather(found, x)
    return torch.stack(found)


class _Summed(torch.autograd.Function):
    """The sum over all processes; each one's gradient is the sum of the gradients of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return summed(x)[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return summed(grad)[0]


def summed_with_gradient(x: Tensor) -> Tensor:
    """`summed`, which lets a gradient through: that of the sum of the losses of all processes."""
    out: Tensor = _Summed.apply(x)  # type: ignore[no-untyped-call]
    return out
