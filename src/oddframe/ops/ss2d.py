"""SS2D: a selective scan over a feature map in four directions (VMamba, Liu et al. 2024).

Letters: b batch, h w rows and columns, l = h w, c channels, r rank of delta, n state size.
Directions: 0 row by row, 1 column by column, 2 and 3 the same two backwards. A backward scan runs
over the same sequence in reverse, so the map is laid out in two orders, not in four.

DEVIATION: none of the three papers says how the four scans are merged, nor the rank of delta; they
are added, as VMamba does, and the rank is a sixteenth of the channels.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from oddframe.ops import native
from oddframe.ops.backends import EXPORTED, Core, choose, core

DIRECTIONS = 4
ORDERS = (
    native.ROWS,
    native.COLUMNS,
    native.ROWS + native.BACKWARDS,
    native.COLUMNS + native.BACKWARDS,
)


def two_orders(x_bhwc: Tensor) -> Tensor:
    """(b, h, w, c) -> (b, l, 2, c): the map row by row and column by column."""
    cols = x_bhwc.transpose(1, 2)
    return torch.stack((x_bhwc.flatten(1, 2), cols.flatten(1, 2)), 2)


def merge_orders(y_bl2c: Tensor, h: int, w: int) -> Tensor:
    """(b, l, 2, c) -> (b, h, w, c): both orders put back in place and added."""
    rows: Tensor = y_bl2c[:, :, 0].unflatten(1, (h, w))
    cols: Tensor = y_bl2c[:, :, 1].unflatten(1, (w, h))
    return rows + cols.transpose(1, 2)


class SS2D(nn.Module):
    """Input-dependent selective scan of a map in four directions, summed.

    (b, h, w, c) -> (b, h, w, c). delta, B and C are projected from the map itself, with weights
    of their own for each direction; the projections act on single places, so they are computed
    on the map before it is read in the four orders.
    """

    def __init__(self, channels: int, state: int = 16, rank: int | None = None) -> None:
        super().__init__()
        self.state, self.rank = state, rank or max(1, channels // 16)
        self.project = nn.Linear(channels, DIRECTIONS * (self.rank + 2 * state), bias=False)
        self.delta_weight = nn.Parameter(torch.empty(DIRECTIONS, self.rank, channels))
        self.delta_bias = nn.Parameter(delta_bias_init(DIRECTIONS, channels))
        self.A_log = nn.Parameter(a_log_init(DIRECTIONS, state, channels))
        self.D = nn.Parameter(torch.ones(channels) * DIRECTIONS)
        nn.init.uniform_(self.delta_weight, -(self.rank**-0.5), self.rank**-0.5)
        self.backend = "auto"

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, c) -> (b, h, w, c)."""
        backend = choose(self.backend, x)
        if backend == "native":
            return self._in_place(x)
        return self._in_two_orders(x, core(backend), at_once=backend in EXPORTED)

    def _in_place(self, x: Tensor) -> Tensor:
        """All four scans in one call that reads the map where it lies."""
        b, h, w, _ = x.shape
        parts = self.project(x).view(b, h * w, DIRECTIONS, -1)  # b l k (r + 2n)
        placed = not torch.is_grad_enabled()
        if not placed:  # gradients are for a scan's own steps in its order
            parts = parts.unflatten(1, (h, w))
            by_column = parts[:, :, :, 1::2].transpose(1, 2)
            parts = torch.stack((parts[:, :, :, ::2].flatten(1, 2), by_column.flatten(1, 2)), 3)
            parts = parts.flatten(2, 3)
        low, B, C = parts.split((self.rank, self.state, self.state), -1)
        y, _ = native.scan(
            x.float().flatten(1, 2)[:, :, None], low.float(), -torch.exp(self.A_log),
            B.float(), C.float(), bias=self.delta_bias, D=self.D[None], up=self.delta_weight,
            rows=h, orders=ORDERS, softplus=True, placed=placed,
        )  # fmt: skip
        return y.view(x.shape).to(x.dtype)

    def _in_two_orders(self, x: Tensor, run: Core, at_once: bool = False) -> Tensor:
        """The same with any backend of sequences, over the map laid out in two orders.

        at_once: as one scan of four groups, which makes a graph half as large.
        """
        b, h, w, _ = x.shape
        # Both orders of the projections (b, l, 2, 4 (r + 2n)); order o serves directions o, o + 2.
        parts = two_orders(self.project(x)).unflatten(-1, (2, 2, -1))  # b l order back order' .
        parts = parts.diagonal(dim1=2, dim2=4).permute(2, 4, 0, 1, 3)  # back order b l (r + 2n)
        low, B, C = parts.split((self.rank, self.state, self.state), -1)
        delta = torch.baddbmm(
            self.delta_bias[:, None], low.reshape(DIRECTIONS, b * h * w, -1), self.delta_weight
        ).unflatten(0, (2, 2))  # back order (b l) c
        delta = rearrange(delta, "k o (b l) c -> k b l o c", b=b)
        B, C = (rearrange(v, "k o b l n -> k b l o n") for v in (B, C))
        A = -torch.exp(self.A_log).unflatten(0, (2, 2))  # back order n c
        u = two_orders(x)
        if at_once:
            forth, back = _at_once(run, u, delta, A, B, C)
            return merge_orders(forth + back, h, w) + self.D * x
        forth, _ = run(u, delta[0], A[0], B[0], C[0], True, False)
        back, _ = run(u, delta[1], A[1], B[1], C[1], True, True)
        return merge_orders(forth + back, h, w) + self.D * x

    def scan_flops(self, places: int) -> int:
        """Operations of the scan itself for `places` map positions: 9 L D N (VMamba's count)."""
        return 9 * places * DIRECTIONS * self.A_log.shape[-1] * self.state


def _at_once(
    run: Core, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor
) -> tuple[Tensor, Tensor]:
    """Forth and back (b, l, 2, c) of one run: a scan backwards is one of what is turned round.

    u (b, l, 2, c); the others with a first axis for forth and back.
    """

    def four(forth: Tensor, back: Tensor) -> Tensor:
        return torch.cat((forth, back.flip(1)), 2)

    y, _ = run(four(u, u), four(*delta), A.flatten(0, 1), four(*B), four(*C), True, False)
    forth, back = y.chunk(2, 2)
    return forth, back.flip(1)


def a_log_init(groups: int, state: int, channels: int) -> Tensor:
    """A = -(1, 2, ... n) for every channel (S4D-real), as log: (g, n, c)."""
    row = torch.arange(1, state + 1, dtype=torch.float32).log()
    return row[None, :, None].expand(groups, state, channels).clone()


def delta_bias_init(groups: int, channels: int, low: float = 1e-3, high: float = 0.1) -> Tensor:
    """Bias so that softplus(bias) is log-uniform in [low, high] (Mamba's initialisation)."""
    delta = torch.exp(
        torch.rand(groups, channels) * (math.log(high) - math.log(low)) + math.log(low)
    )
    return delta + torch.log(-torch.expm1(-delta))
