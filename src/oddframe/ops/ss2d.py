"""SS2D: a selective scan over a feature map in four directions (VMamba, Liu et al. 2024).

Letters: b batch, h w rows and columns, l = h w, c channels, r rank of delta, n state size.
Directions: 0 row by row, 1 column by column, 2 and 3 the same two backwards.

DEVIATION: none of the three papers says how the four scans are merged; they are added, as VMamba
does.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from oddframe.ops.scan import core

DIRECTIONS = 4


def cross_scan(x_bhwc: Tensor) -> Tensor:
    """(b, h, w, c) -> (b, l, 4, c): the map read in the four directions."""
    rows = rearrange(x_bhwc, "b h w c -> b (h w) c")
    cols = rearrange(x_bhwc, "b h w c -> b (w h) c")
    return torch.stack((rows, cols, rows.flip(1), cols.flip(1)), 2)


def cross_gather(x_bhwkc: Tensor) -> Tensor:
    """(b, h, w, 4, c) -> (b, l, 4, c): like `cross_scan`, but each direction has its own map."""
    rows = rearrange(x_bhwkc[..., 0::2, :], "b h w k c -> k b (h w) c")
    cols = rearrange(x_bhwkc[..., 1::2, :], "b h w k c -> k b (w h) c")
    return torch.stack((rows[0], cols[0], rows[1].flip(1), cols[1].flip(1)), 2)


def cross_merge(y_blkc: Tensor, h: int, w: int) -> Tensor:
    """(b, l, 4, c) -> (b, h, w, c): each direction put back in place, and the four added."""
    rows = y_blkc[:, :, 0] + y_blkc[:, :, 2].flip(1)
    cols = y_blkc[:, :, 1] + y_blkc[:, :, 3].flip(1)
    rows = rearrange(rows, "b (h w) c -> b h w c", h=h)
    return rows + rearrange(cols, "b (w h) c -> b h w c", w=w)


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
        h, w = x.shape[1:3]
        parts = self.project(x).unflatten(-1, (DIRECTIONS, -1))  # b h w 4 (r + 2n)
        parts = cross_gather(parts)  # b l 4 (r + 2n)
        low, B, C = parts.split((self.rank, self.state, self.state), -1)
        low = rearrange(low, "b l k r -> k (b l) r")
        delta = torch.baddbmm(self.delta_bias[:, None], low, self.delta_weight)
        delta = rearrange(delta, "k (b l) c -> b l k c", b=len(x))
        y, _ = core(self.backend)(cross_scan(x), delta, -torch.exp(self.A_log), B, C, True)
        return cross_merge(y, h, w) + self.D * x

    def scan_flops(self, places: int) -> int:
        """Operations of the scan itself for `places` map positions: 9 L D N (VMamba's count)."""
        return 9 * places * DIRECTIONS * self.A_log.shape[-1] * self.state


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
