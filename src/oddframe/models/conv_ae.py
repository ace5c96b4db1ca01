"""Conv-AE (Hasan et al., CVPR 2016, arXiv 1604.04574): learning temporal regularity.

A 2-D convolutional autoencoder of ten frames, stacked in the channels. Score: the error of the
whole stack.

Letters: n windows, k history, c h w colour, rows, columns. Frames are float32 RGB in [-1, 1].

DEVIATION (1): colour and 256 px (paper: grey, 227 px), as every other model here.
DEVIATION (2): un-pooling repeats each value 2 x 2. The paper names no way; switches would carry
    where the peaks were past the bottleneck.
DEVIATION (3): windows of consecutive frames only; the paper adds strides 2 and 3 in training.
DEVIATION (4): Adam instead of AdaGrad but under `--recipe paper`; no weight decay.
DEVIATION (5): a window's error counts for the frame after it, not for its middle: causal.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from oddframe.config import Config
from oddframe.models.windowed import Reconstructing


class ConvAEConfig(Config):
    """Everything that shapes Conv-AE; the defaults are the paper's size."""

    size: int = Field(256, ge=32, multiple_of=16)
    """Rows and columns of the input in pixels."""
    history: int = Field(10, ge=2)
    """k: frames of the stack."""
    width: int = Field(512, ge=4, multiple_of=4)
    """Filters of the first layer; the second has half of them, the third a quarter."""


SIZES: dict[str, dict[str, object]] = {"conv-ae": {}, "conv-ae-128": {"size": 128, "width": 256}}
"""Differences of each size from `ConvAEConfig`'s defaults."""


class ConvAE(Reconstructing):
    """The autoencoder; see the head of this file for the paper and the deviations."""

    def __init__(self, config: ConvAEConfig) -> None:
        super().__init__()
        self.config = config
        self.history, self.size = config.history, config.size
        c, w = 3 * config.history, config.width
        self.encoder = nn.Sequential(
            nn.Conv2d(c, w, 11, 4, 5), nn.Tanh(), nn.MaxPool2d(2),
            nn.Conv2d(w, w // 2, 5, 1, 2), nn.Tanh(), nn.MaxPool2d(2),
            nn.Conv2d(w // 2, w // 4, 3, 1, 1), nn.Tanh(),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(w // 4, w // 2, 3, 1, 1), nn.Tanh(), nn.Upsample(scale_factor=2),
            nn.ConvTranspose2d(w // 2, w, 5, 1, 2), nn.Tanh(), nn.Upsample(scale_factor=2),
            nn.ConvTranspose2d(w, c, 11, 4, 5, 3), nn.Tanh(),
        )  # fmt: skip
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(part.weight)

    def rebuild(self, frames: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(n, k, c, h, w) -> the same again."""
        again: Tensor = self.decoder(self.encoder(frames.flatten(1, 2)))
        return torch.unflatten(again, 1, frames.shape[1:3]), {}
