"""MNAD (Park et al., CVPR 2020, arXiv 2003.13228): memory-guided normality, prediction variant.

FFP's U-Net, whose bottleneck is a map of queries. Each query is joined by what a memory of ten
normal items answers to it. Frames are odd where the prediction fails, and where the queries are
far from every item.

Letters: n windows, k history, c h w colour, rows, columns, q queries of one window (h/8 x w/8),
d their width, m items. Frames are float32 RGB in [-1, 1].

DEVIATION (1): nothing is written at test time (the paper writes frames that look regular, above a
    threshold chosen per data set): a score must not depend on which videos came before.
DEVIATION (2): losses are means over pixels and queries, not sums.
DEVIATION (3): compactness and separateness take squared distances, which are smooth at 0.
DEVIATION (4): items start as random directions of both signs, for the queries have both.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from oddframe import losses
from oddframe.config import Config
from oddframe.models.base import Floats, Prediction, Ranges, Terms, minmax, minmax_falling
from oddframe.models.memory import ItemMemory
from oddframe.models.unet import SHRINKS, UNet, pair
from oddframe.models.windowed import Windowed
from oddframe.ops import together


class MNADConfig(Config):
    """Everything that shapes MNAD; the defaults are the paper's size."""

    size: int = Field(256, ge=16, multiple_of=SHRINKS)
    """Rows and columns of the input in pixels."""
    history: int = Field(4, ge=2)
    """k: frames that one prediction looks at."""
    width: int = Field(64, ge=1)
    """Channels of the finest level; each coarser one has twice as many."""
    items: int = Field(10, ge=2)
    """Items in the memory."""
    margin: float = Field(1.0, ge=0)
    """By how much the second nearest item should be farther than the nearest (alpha)."""
    lambda_compact: float = Field(0.1, ge=0)
    """Weight of the compactness loss."""
    lambda_separate: float = Field(0.1, ge=0)
    """Weight of the separateness loss."""
    score_alpha: float = Field(0.6, ge=0, le=1)
    """Weight of the PSNR beside the distance in the paper's score (lambda; .6 for prediction)."""


SCORE_SETTINGS = ("model.score_alpha",)
"""Settings of the paper's score, which may be changed after training."""
SIZES: dict[str, dict[str, object]] = {"mnad": {}, "mnad-128": {"size": 128, "width": 32}}
"""Differences of each size from `MNADConfig`'s defaults."""


class Items(ItemMemory):
    """The memory: m items of unit length, read by softmax, written in training only."""

    items: Tensor

    def __init__(self, items: int, width: int) -> None:
        super().__init__()
        self.register_buffer("items", F.normalize(torch.randn(items, width), dim=-1))

    def forward(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (n, q, d) of unit length -> answers (n, q, d), the two least distances^2.

        The distances are (n, q, 2), nearest first. In training the queries are written afterwards.
        """
        # The backward pass needs the items as they were read, the write changes them in place.
        items = self.items.clone() if self.training else self.items
        alike = query @ items.T  # n q m
        answer = alike.softmax(-1) @ items  # Eq. 1-2
        # Ranked without gradient: which item is meant is a choice, how far it is a quantity.
        nearest = alike.detach().topk(2, -1).indices  # n q 2
        far = (query[:, :, None].float() - items[nearest]).square().sum(-1)
        if self.training:
            self.write(query.detach().flatten(0, 1), alike.detach().flatten(0, 1))
        return answer, far

    @torch.no_grad()
    def write(self, query: Tensor, alike: Tensor) -> None:
        """Add to each item the queries nearest to it (Eq. 3-5): query (q, d), alike (q, m)."""
        query, alike = query.to(self.items), alike.to(self.items)
        chosen = F.one_hot(alike.argmax(-1), len(self.items)).to(self.items)  # U_m as q m
        weight = together.softmax_over_all(alike) * chosen
        weight = weight / together.largest(weight.amax(0)).clamp_min(1e-12)
        taken = together.summed(weight.T @ query)[0]
        # In place: the buffer stays the same tensor for DDP and for the averaged copy.
        self.items.copy_(F.normalize(self.items + taken, dim=-1))


class MNAD(Windowed):
    """The model; see the head of this file for the paper, the letters and the deviations."""

    paper_normalised = True

    def __init__(self, config: MNADConfig) -> None:
        super().__init__()
        self.config = config
        self.history, self.size = config.history, config.size
        # A query has both signs: the encoder ends without norm and ReLU.
        self.unet = UNet(3 * config.history, config.width, bare=True)
        self.memory = Items(config.items, self.unet.bottleneck)
        self.joined = pair(2 * self.unet.bottleneck, self.unet.bottleneck)

    def window(self, frames: Tensor) -> Prediction:
        """The next frame of each window (n, k, c, h, w), and how far its queries are from normal.

        Features: the squared distances `near` and `second`, (n, q) each.
        """
        found, skips = self.unet.encode(frames.flatten(1, 2))
        query = F.normalize(found, dim=1)
        answer, far = self.memory(query.flatten(2).mT)
        joined = torch.cat((query, answer.mT.unflatten(2, query.shape[2:])), 1)
        near, second = far.unbind(-1)
        return Prediction(
            self.unet.decode(self.joined(joined), skips), None,
            {"near": near, "second": second},
            {"distance": near.sqrt().mean(1)},
        )  # fmt: skip

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Prediction, compactness, separateness (Eq. 6-8); clip (b, t + 1, c, h, w)."""
        cfg, (frame, target) = self.config, self.to_come(prediction, clip)
        near, second = prediction.features["near"], prediction.features["second"]
        return {
            "frame": losses.intensity(frame, target),
            "compact": cfg.lambda_compact * near.mean(),
            "separate": cfg.lambda_separate * (near - second + cfg.margin).relu().mean(),
        }

    def paper_weights(self, alpha: float) -> dict[str, float]:
        """lambda of Eq. 11."""
        return {"lambda": self.config.score_alpha}

    def paper_score(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """Eq. 11: PSNR and distance, each min-maxed, by the video's own extremes as printed."""
        share, of = self.config.score_alpha, ranges or {}
        error = minmax_falling(terms["psnr"], of.get("psnr"))
        return share * error + (1 - share) * minmax(terms["distance"], of.get("distance"))

    def paper_terms(self, terms: Terms, *, alpha: float = 0.5) -> dict[str, Floats]:
        """`psnr` in dB and `distance`."""
        return {name: np.asarray(terms[name], np.float64) for name in ("psnr", "distance")}
