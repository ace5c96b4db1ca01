"""The yardstick of the field: the U-Net of MNAD (Park et al., CVPR 2020), with random weights.

Every paper on frame prediction compares itself with it: four frames of 256 x 256 in, the next one
out, 15.65 M parameters and 46.48 GMAC (published 15.6 and 46.6). Only its cost counts here; the
model is `models/mnad.py`.
"""

from __future__ import annotations

from torch import Tensor, nn

from oddframe.models.mnad import MNAD, MNADConfig

FRAMES, SIZE = 4, 256
"""Frames in, rows and columns."""


class UNet(nn.Module):
    """(b, 12, h, w) of any size -> (b, 3, h, w) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = MNAD(MNADConfig(size=SIZE, history=FRAMES))

    def forward(self, x: Tensor) -> Tensor:
        """Predict the next frame."""
        return self.net.window(x.unflatten(1, (FRAMES, 3))).frame
