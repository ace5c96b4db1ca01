"""MemAE (Gong et al., ICCV 2019, arXiv 1904.02639): a memory-augmented deep autoencoder.

A 3-D convolutional autoencoder of 16 frames, whose decoder sees no encoding, only a sparse mixture
of learnt items that the encoding picks. Score: the error of the whole clip.

Letters: n clips, k history, c h w colour, rows, columns, q queries of one clip (k/8 x h/16 x w/16),
d their width, m items. Frames are float32 RGB in [-1, 1].

DEVIATION (1): queries and items are compared by their inner product; the print is a cosine
    (`address: literal`). Of 2000 items under a cosine no weight passes e^2 / m = .0037, and one at
    right angles to the rest gets e / m = .0014: next to nothing passes a threshold of .0025.
DEVIATION (2): a query of which no weight passes the threshold reads its best item, not zero.
DEVIATION (3): the threshold .0025 is 5 / m of 2000 items, above the 1 / m ... 3 / m of the text.
DEVIATION (4): colour, as every other model here (the published cost is that of grey clips).
DEVIATION (5): losses are means over pixels and queries, not sums.
DEVIATION (6): a window's error counts for the frame after it, not for its middle: causal.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from oddframe.config import Config
from oddframe.models.base import Prediction
from oddframe.models.windowed import Reconstructing


class MemAEConfig(Config):
    """Everything that shapes MemAE; the defaults are the paper's size."""

    size: int = Field(256, ge=16, multiple_of=16)
    """Rows and columns of the input in pixels."""
    history: int = Field(16, ge=8, multiple_of=8)
    """k: frames of the clip."""
    widths: tuple[int, int, int, int] = (96, 128, 256, 256)
    """Channels of the four layers of the encoder; the decoder mirrors them."""
    items: int = Field(2000, ge=1)
    """Items in the memory."""
    shrink: float = Field(0.0025, ge=0, lt=1)
    """Weights up to this are set to 0 (lambda)."""
    address: Literal["dot", "literal"] = "dot"
    """How a query is compared with the items: inner product, or the printed cosine."""
    lambda_entropy: float = Field(2e-4, ge=0)
    """Weight of the entropy of the addressing."""


SIZES: dict[str, dict[str, object]] = {
    "memae": {}, "memae-128": {"size": 128, "widths": (48, 64, 128, 128), "items": 1000},
}  # fmt: skip
"""Differences of each size from `MemAEConfig`'s defaults."""
RECIPE: dict[str, dict[str, object]] = {
    # Section 4: Adam, 1e-4, entropy 2e-4. Batch and epochs are those of the released options.
    "model": {"lambda_entropy": 2e-4},
    "train": {"lr": 1e-4, "schedule": "none", "epochs": 100, "batch": 14, "targets": 1},
}
"""How the paper trains (`--recipe paper`)."""


class SparseMemory(nn.Module):
    """Items read through few, large weights; learnt as all other parameters."""

    def __init__(self, items: int, width: int, shrink: float, cosine: bool) -> None:
        super().__init__()
        self.items = nn.Parameter(torch.empty(items, width).uniform_(-1, 1) / width**0.5)
        self.shrink, self.cosine = shrink, cosine

    def forward(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """(..., d) -> what is read, (..., d), and its weights (..., m), which sum to 1."""
        key: Tensor = self.items
        if self.cosine:
            query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        weight = (query @ key.T).softmax(-1)  # Eq. 4
        best = weight.amax(-1, keepdim=True)
        passes = (weight > self.shrink) | (weight == best)
        weight = F.normalize(weight * passes, p=1, dim=-1)  # Eq. 6-7
        return weight @ self.items, weight


class MemAE(Reconstructing):
    """The model; see the head of this file for the paper, the letters and the deviations."""

    def __init__(self, config: MemAEConfig) -> None:
        super().__init__()
        self.config = config
        self.history, self.size = config.history, config.size
        a, b, c, d = config.widths
        self.encoder = nn.Sequential(*_halvings(3, a, b, c, d))
        self.memory = SparseMemory(config.items, d, config.shrink, config.address == "literal")
        self.decoder = nn.Sequential(
            *_doublings(d, c, b, a),
            nn.ConvTranspose3d(a, 3, 3, (1, 2, 2), 1, (0, 1, 1)),
        )

    def rebuild(self, frames: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(n, k, c, h, w) -> the same again; features `entropy`, (n, q)."""
        query = self.encoder(frames.transpose(1, 2))  # n d k' h' w'
        read, weight = self.memory(query.movedim(1, -1))
        again: Tensor = self.decoder(read.movedim(-1, 1))
        w = weight.float()
        entropy = -(w * (w + 1e-12).log()).sum(-1).flatten(1)
        return again.transpose(1, 2), {"entropy": entropy}

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Reconstruction and the entropy of the addressing (Eq. 9-10); clip (b, t + 1, c, h, w)."""
        entropy = prediction.features["entropy"].mean()
        return super().losses(prediction, clip) | {"entropy": self.config.lambda_entropy * entropy}


def _halvings(*channels: int) -> Iterator[nn.Module]:
    """3 x 3 x 3 convolutions that halve rows and columns, and all but the first the frames."""
    for i, (c_in, c_out) in enumerate(pairwise(channels)):
        yield nn.Conv3d(c_in, c_out, 3, (2 if i else 1, 2, 2), 1, bias=False)
        yield nn.BatchNorm3d(c_out)
        yield nn.LeakyReLU(0.2)


def _doublings(*channels: int) -> Iterator[nn.Module]:
    """Transposed convolutions that double frames, rows and columns."""
    for c_in, c_out in pairwise(channels):
        yield nn.ConvTranspose3d(c_in, c_out, 3, 2, 1, 1, bias=False)
        yield nn.BatchNorm3d(c_out)
        yield nn.LeakyReLU(0.2)
