"""The yardstick of the field: a U-Net of MNAD's shape (Park et al., CVPR 2020, Fig. 2).

Every paper on frame prediction compares itself with it: four frames of 256 x 256 in, the next one
out. It is the U-Net of future frame prediction (Liu et al., CVPR 2018) whose bottleneck is joined
by what a memory of 10 items answers. Written from the papers' descriptions for its cost alone:
15.66 M parameters, 46.48 GMAC, as published; the weights are random.

Letters: b batch, c channels, h w rows and columns, m memory items.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FRAMES, SIZE = 4, 256
"""Frames in, rows and columns."""
WIDTHS = (64, 128, 256, 512)
"""Channels per level, from the finest grid to the bottleneck."""
ITEMS = 10


class UNet(nn.Module):
    """(b, 12, h, w) -> (b, 3, h, w) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        into = (3 * FRAMES, *WIDTHS[:-1])
        self.encoder = nn.ModuleList(_pair(a, b) for a, b in zip(into, WIDTHS, strict=True))
        # The query is no picture of activity: its last norm and ReLU are left out.
        self.encoder[-1] = self.encoder[-1][:-2]  # type: ignore[index]
        self.memory = nn.Parameter(F.normalize(torch.rand(ITEMS, WIDTHS[-1]), dim=1))
        self.joined = _pair(2 * WIDTHS[-1], WIDTHS[-1])
        finer = WIDTHS[-2::-1]  # 256 128 64
        self.up = nn.ModuleList(_up(2 * c, c) for c in finer)
        self.decoder = nn.ModuleList(_pair(2 * c, c) for c in finer)
        self.picture = nn.Conv2d(WIDTHS[0], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the next frame."""
        levels = []
        for level, part in enumerate(self.encoder):
            x = part(F.max_pool2d(x, 2) if level else x)
            levels.append(x)
        query = F.normalize(levels.pop(), dim=1)
        weights = torch.einsum("bchw,mc->bhwm", query, self.memory).softmax(-1)
        answer = torch.einsum("bhwm,mc->bchw", weights, self.memory)
        x = self.joined(torch.cat((query, answer), 1))
        for up, part in zip(self.up, self.decoder, strict=True):
            x = part(torch.cat((levels.pop(), up(x)), 1))
        return torch.tanh(self.picture(x))


def _pair(c_in: int, c_out: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True),
        nn.Conv2d(c_out, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True),
    )  # fmt: skip


def _up(c_in: int, c_out: int) -> nn.Sequential:
    """Twice the rows and columns by a learnt, transposed convolution."""
    return nn.Sequential(
        nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, 1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )
