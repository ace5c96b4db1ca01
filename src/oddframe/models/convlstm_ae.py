"""ConvLSTM-AE (Chong & Tay, ISNN 2017, arXiv 1701.01546): a spatiotemporal autoencoder.

Two convolutions read each frame, three convolutional LSTMs read along the clip and write it out
again, two transposed convolutions draw each frame. Score: the error of the whole clip.

Letters: n windows, k history, c h w colour, rows, columns, d channels of a state. Frames are
float32 RGB in [-1, 1].

DEVIATION (1): Luo et al. (ICME 2017) publish under this name too, and theirs are the figures that
    tables print; their text leaves more open. This is the other one's network.
DEVIATION (2): colour and 256 px (paper: grey, 227 px), as every other model here.
DEVIATION (3): gates see the input and the last output, not the last cell, as layers in use do.
DEVIATION (4): forget gates start open (bias 1), so that gradients reach the first frames.
DEVIATION (5): windows of consecutive frames only; the paper adds strides 2 and 3 in training.
DEVIATION (6): a window's error counts for the frame after it, not for the window: causal.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from oddframe.config import Config
from oddframe.models.windowed import Reconstructing


class ConvLSTMAEConfig(Config):
    """Everything that shapes ConvLSTM-AE; the defaults are the paper's size."""

    size: int = Field(256, ge=16, multiple_of=8)
    """Rows and columns of the input in pixels."""
    history: int = Field(10, ge=2)
    """k: frames of the clip."""
    width: int = Field(128, ge=4, multiple_of=4)
    """Filters of the first layer; the states have a half, a quarter and a half of them."""


SIZES: dict[str, dict[str, object]] = {
    "convlstm-ae": {}, "convlstm-ae-128": {"size": 128, "width": 64},
}  # fmt: skip
"""Differences of each size from `ConvLSTMAEConfig`'s defaults."""
RECIPE: dict[str, dict[str, object]] = {
    # Section 4.3: Adam, batches of 64, at most 50 epochs. Not printed: the rate (Adam's own 1e-3).
    "train": {"lr": 1e-3, "schedule": "none", "epochs": 50, "batch": 64, "targets": 1},
}
"""How the paper trains (`--recipe paper`)."""


class ConvLSTM(nn.Module):
    """A convolutional LSTM (Shi et al. 2015), 3 x 3: (n, k, c, h, w) -> (n, k, d, h, w)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.gates = nn.Conv2d(channels + width, 4 * width, 3, padding=1)
        with torch.no_grad():
            assert self.gates.bias is not None
            self.gates.bias[width : 2 * width] = 1

    def forward(self, x: Tensor) -> Tensor:
        """Read a clip from its first frame; outputs in [-1, 1]."""
        n, _, _, rows, cols = x.shape
        out = cell = x.new_zeros(n, self.width, rows, cols)
        outputs = []
        for frame in x.unbind(1):
            enter, keep, show, value = self.gates(torch.cat((frame, out), 1)).chunk(4, 1)
            cell = keep.sigmoid() * cell + enter.sigmoid() * value.tanh()
            out = show.sigmoid() * cell.tanh()
            outputs.append(out)
        return torch.stack(outputs, 1)


class ConvLSTMAE(Reconstructing):
    """The autoencoder; see the head of this file for the paper and the deviations."""

    def __init__(self, config: ConvLSTMAEConfig) -> None:
        super().__init__()
        self.config = config
        self.history, self.size = config.history, config.size
        w = config.width
        self.encoder = nn.Sequential(
            nn.Conv2d(3, w, 11, 4, 5), nn.Tanh(), nn.Conv2d(w, w // 2, 5, 2, 2), nn.Tanh()
        )
        self.temporal = nn.Sequential(
            ConvLSTM(w // 2, w // 2), ConvLSTM(w // 2, w // 4), ConvLSTM(w // 4, w // 2)
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(w // 2, w, 5, 2, 2, 1), nn.Tanh(),
            nn.ConvTranspose2d(w, 3, 11, 4, 5, 3), nn.Tanh(),
        )  # fmt: skip
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(part.weight)

    def rebuild(self, frames: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(n, k, c, h, w) -> the same again."""
        n = len(frames)
        known = self.encoder(frames.flatten(0, 1)).unflatten(0, (n, -1))
        again: Tensor = self.decoder(self.temporal(known).flatten(0, 1))
        return torch.unflatten(again, 0, frames.shape[:2]), {}
