"""The U-Net of frame prediction (Liu et al., CVPR 2018; as MNAD has it, Park et al., CVPR 2020).

Four levels of two 3 x 3 convolutions with BatchNorm and ReLU, max pooling down, transposed
convolutions up, each level of the encoder joined to its equal on the way up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oddframe.models.recompute import Layers

LEVELS = 4
SHRINKS = 2 ** (LEVELS - 1)
"""Rows and columns of the input over those of the bottleneck."""


class UNet(nn.Module):
    """`encode` to the bottleneck, `decode` from it; what stands between is the model's own.

    bare: leave out the last norm and ReLU of the encoder.
    drawn: channels of what `decode` gives, 3 for a frame.
    """

    def __init__(
        self, channels: int, width: int = 64, *, bare: bool = False, drawn: int = 3
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        self.encoder = nn.ModuleList()
        for level, (c_in, c_out) in enumerate(zip([channels, *widths[:-1]], widths, strict=True)):
            self.encoder.append(pair(c_in, c_out, bare=bare and level == LEVELS - 1))
        self.bottleneck = widths[-1]
        finer = widths[-2::-1]
        self.up = nn.ModuleList(_up(2 * c, c) for c in finer)
        self.decoder = nn.ModuleList(pair(2 * c, c) for c in finer)
        self.picture = nn.Conv2d(width, drawn, 3, padding=1)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(n, channels, h, w) -> the bottleneck (n, 8 width, h / 8, w / 8) and the skips."""
        levels: list[Tensor] = []
        for level, part in enumerate(self.encoder):
            x = part(F.max_pool2d(x, 2) if level else x)
            levels.append(x)
        return x, levels[:-1]

    def decode(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """-> a picture (n, drawn, h, w) in [-1, 1]."""
        for up, part, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            x = part(torch.cat((skip, up(x)), 1))
        return torch.tanh(self.picture(x).float())


def pair(c_in: int, c_out: int, *, bare: bool = False) -> Layers:
    """Two 3 x 3 convolutions, each with norm and ReLU (bare: the second without).

    A norm takes any constant out again, so convolutions before one have no bias.
    """
    first = [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    second = [nn.Conv2d(c_out, c_out, 3, padding=1, bias=bare)]
    after = [] if bare else [nn.BatchNorm2d(c_out), nn.ReLU()]
    return Layers(*first, *second, *after)


def _up(c_in: int, c_out: int) -> nn.Sequential:
    """Twice the rows and columns by a learnt, transposed convolution."""
    return nn.Sequential(
        nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
    )
