"""Temporal Mamba block (M2S2L section II-C, Eq. 4-6) and the fusion of its windows.

Letters: n clips, w differences in a window, p positions, d width, e inner width, s state size,
j windows.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from oddframe.ops import native
from oddframe.ops.backends import choose, core
from oddframe.ops.norm import LayerNorm
from oddframe.ops.ss2d import a_log_init, delta_bias_init


class TMB(nn.Module):
    """Selective scan along time at every position; returns the state's answer at the newest step.

    The positional encoding is added to the differences, as in the paper. The projection is
    linear, so W(D + PE) = W D + W PE: the projected differences can be cached while the window
    slides over them, and W PE is a small constant.
    """

    def __init__(
        self, width: int, length: int, *, expand: int = 2, state: int = 16, literal: bool = False
    ) -> None:
        super().__init__()
        inner = expand * width
        self.length, self.state, self.literal = length, state, literal
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        self.main = nn.Linear(width, inner, bias=False)
        self.gate = nn.Linear(width, inner, bias=False)
        self.to_BC = nn.Linear(inner, 2 * state, bias=False)
        self.delta_bias = nn.Parameter(delta_bias_init(1, inner)[0])
        self.A_log = nn.Parameter(a_log_init(1, state, inner))
        if not literal:
            rank = max(1, inner // 16)
            self.to_delta = nn.Sequential(
                nn.Linear(inner, rank, bias=False), nn.Linear(rank, inner, bias=False)
            )
        self.D = nn.Parameter(torch.ones(inner))
        self.norm = LayerNorm(inner)
        self.out = nn.Linear(inner, width, bias=False)
        self.backend = "auto"

    def project(self, difference: Tensor) -> Tensor:
        """The cacheable part: embedded differences (..., d) -> (..., e)."""
        out: Tensor = self.main(difference)
        return out

    def forward(self, projected: Tensor, newest: Tensor) -> Tensor:
        """Projected window (n, p, w, e) and newest embedding (n, p, d) -> (n, p, d)."""
        n, p = projected.shape[:2]
        bare = projected.flatten(0, 1)[:, :, None]  # (n p) w 1 e
        x = F.silu(bare + self.main(self.position)[:, None])
        last = self._scan(x, bare)[:, -1, 0] + self.D * x[:, -1, 0]  # (n p) e
        here = newest + self.position[-1]
        last = self.norm(last.unflatten(0, (n, p)), self.gate(here))
        out: Tensor = here + self.out(last)
        return out

    def _scan(self, x: Tensor, bare: Tensor) -> Tensor:
        """x and what it comes from, (n p, w, 1, e) each -> the same shape, D left out."""
        B, C = self.to_BC(bare if self.literal else x).chunk(2, -1)  # (n p) w 1 s
        A = torch.exp(self.A_log)
        backend = choose(self.backend, x)
        if self.literal:
            # Eq. 4-6: A = -exp(delta) Lambda, B = delta sigma(W D), C = sigma(W D), D the bare
            # differences; the scan itself multiplies its input by the delta that Eq. 5 has in B.
            A, B, C = torch.exp(F.softplus(self.delta_bias)) * A, F.silu(B), F.silu(C)
            delta = self.delta_bias.expand_as(x)
            return core(backend)(x, delta, -A, B, C, True, False)[0]
        low, up = self.to_delta[0](x), cast(Tensor, self.to_delta[1].weight)
        if backend != "native":
            delta = F.linear(low, up, self.delta_bias)  # the bias costs no pass of its own
            return core(backend)(x, delta, -A, B, C, True, False)[0]
        y, _ = native.scan(
            x.float(), low.float(), -A, B.float(), C.float(), bias=self.delta_bias[None],
            up=up.T[None], softplus=True,
        )  # fmt: skip
        return y.to(x.dtype)

    def scan_flops(self, positions: int) -> int:
        """9 L D N for one window at `positions` places."""
        return 9 * positions * self.length * self.A_log.shape[-1] * self.state


class WindowFusion(nn.Module):
    """Joins the windows by attention: weights pooled over the picture, or at every position."""

    def __init__(self, width: int, windows: int, kind: Literal["softmax", "mha"]) -> None:
        super().__init__()
        self.kind = kind
        if kind == "softmax":
            self.weigh = nn.ModuleList(
                nn.Sequential(nn.Linear(width, width // 4), nn.GELU(), nn.Linear(width // 4, 1))
                for _ in range(windows)
            )
        else:
            self.query = nn.Parameter(0.02 * torch.randn(1, 1, width))
            self.attend = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, j, p, d) -> (n, p, d)."""
        n, _, p, _ = x.shape
        if self.kind == "softmax":
            pooled = x.mean(2)  # n j d
            weights = torch.cat([f(pooled[:, i]) for i, f in enumerate(self.weigh)], -1)
            return torch.einsum("nj,njpd->npd", weights.softmax(-1), x)
        tokens = rearrange(x, "n j p d -> (n p) j d")
        out, _ = self.attend(self.query.expand(n * p, -1, -1), tokens, tokens, need_weights=False)
        joined: Tensor = rearrange(out, "(n p) 1 d -> n p d", n=n)
        return joined
