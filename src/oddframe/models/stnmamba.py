"""STNMamba (Li et al., arXiv 2412.20084): Mamba-based spatial-temporal normality learning.

A spatial encoder reads four frames stacked in channels, a temporal one their three differences;
at four levels both are fused, held against a memory of normal items, and one decoder predicts
V_{t+1} from the four. Odd is what is badly predicted, or far from every item.

Letters: b clips   t frames given   m = t - 3 targets   n = b m   c h w colour, rows, columns
         i level (1 finest)   d width   e inner width   q queries (places)   p items

Frames are float32 RGB in [-1, 1]. The text at hand has lost its formulas and most numbers: an "Eq."
here is what the sentences around it say. What they leave open, and what was chosen (of training in
`train/module.py`); `literal` takes the print wherever it can be computed:

DEVIATION (1): neither patch nor widths are left: patch 4 (the decoder ends in a 4x step),
    32/64/128/256, the only usual widths near 7.2 M (24: 4.4 M, 48: 15 M), inner widths 2d in VSSB
    and STFB, 4d in MS-VSSB as in any MLP, rank of delta a sixteenth of the width. The scan's state
    is 1 as in VMamba's fast sizes: 7.10 M and 1.45 GMAC for the published 7.2 and 1.5. Also near:
    `state` 8 with 2d, 2d (6.89 M, 1.48), 16 with 2d, d (7.04 M, 1.59; 1.3 times as slow).
DEVIATION (2): differences are scaled by 1/2. MS-VSSB has kernels 1, 3, 5, M2S2L's, and its GELU
    behind the first linear layer.
DEVIATION (3): the MLP of Eq. 3 is shared by both poolings and keeps the width; the product is not
    added to its input again.
DEVIATION (4): a LayerNorm stands before the branches of VSSB (see `blocks.VSSB`) and of STFB, one
    behind STFB's SS2D as behind VSSB's, one in every patch layer as in VM-UNet.
DEVIATION (5): a query is the d-vector of one place ("along the channel dimension" could also be
    one map per channel); 32 items per memory, the paper's four numbers are lost. They start at
    queries of the first batch that lie far apart: of random ones only one is ever chosen. Items,
    "learnable" in the text, are moved by Eq. 10 alone and get no gradient.
DEVIATION (6): what lies outside the top K is masked before the softmax of Eq. 9. Set to 0,
    as the sentence is read, it keeps a weight of exp(0); `literal_memory` does so.
DEVIATION (7): an item is written (Eq. 10) from the queries it is the nearest of. From all of them,
    as printed, every item gets nearly the mean query, and in a few steps all are the same one;
    `literal_memory` does so.
DEVIATION (8): queries have unit length in all distances and when written, as items have. The
    coefficient of Eq. 11 multiplies the feature and starts at 1.
DEVIATION (9): Eq. 14 is MNAD's triplet |q - p1| - |q - p2| + 1 where positive, which keeps two
    items apart; the "average distance" to both, which the text says, draws every query between
    two items (`literal_separate`).
DEVIATION (10): both memory losses weigh 1e-4, their weights are lost. At MNAD's 0.1, beside squared
    errors of a thousandth, all features are drawn to a few items before the frame is learned: on
    Ped2, 128 px, 240 steps left 8.9 times the error of copying, 1e-4 left 1.9; with the residual
    head nothing but the copy was learned in 820 steps.
DEVIATION (11): patches are expanded after each of the first three stages: after each block, as
    printed, would be 64 times. Skips are added.
DEVIATION (12): distances are means over queries; each memory's is rescaled by its own extremes in
    the video, then averaged (Eq. 18). Eq. 13 is a mean square, MAX of Eq. 16 is 2.
DEVIATION (13): without STFB the streams are concatenated and brought back to their width by a
    linear layer; without `multi_level` only level 4 is fused, remembered and decoded, with no
    skips. Table III is read as taking the bottleneck's memory out first.
DEVIATION (14): `stnmamba-128` predicts the change from V_t (`head: residual`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from oddframe import losses
from oddframe.config import PaperConfig
from oddframe.models.base import Floats, Prediction, Ranges, Terms, minmax, minmax_falling, motion
from oddframe.models.blocks import (
    ECA,
    VSSB,
    MultiScaleConv,
    PatchEmbed,
    PatchExpand,
    PatchHead,
    PatchMerge,
    depthwise,
    mlp,
    modules,
    scan_flops,
)
from oddframe.models.memory import ItemMemory, far_apart, kth_largest, two_nearest, written
from oddframe.models.recompute import Block
from oddframe.models.windowed import Windowed
from oddframe.ops.beside import beside
from oddframe.ops.norm import LayerNorm
from oddframe.ops.ss2d import SS2D

HISTORY = 4
PATCH = 4
LEVELS = (1, 2, 3, 4)


class STNMambaConfig(PaperConfig):
    """Everything that shapes STNMamba; the defaults come near the paper's size."""

    LITERAL: ClassVar = {"literal_memory": True, "literal_separate": True, "head": "direct"}

    size: int = Field(256, ge=32, multiple_of=32)
    """Rows and columns of the input in pixels; a multiple of 32."""
    width: int = Field(32, ge=8, multiple_of=2)
    """Width of the finest tokens; each level has twice that of the one before."""
    depth: PositiveInt = 2
    """Blocks per stage, in both encoders and the decoder."""
    expand: PositiveInt = 2
    """Inner width of a VSSB over its width."""
    state: PositiveInt = 1
    """State size of every scan."""
    multi_scale: bool = True
    """MS-VSSB in the spatial encoder; off: plain VSSB."""
    multi_scale_expand: PositiveInt = 4
    """Width of MS-VSSB's convolutions over its width."""
    channel_aware: bool = True
    """CA-VSSB in the temporal encoder; off: plain VSSB."""
    fuse: Literal["stfb", "concat", "add"] = "stfb"
    """How the streams are joined: STFB, concatenation and a linear layer, or their sum."""
    fuse_expand: PositiveInt = 2
    """Inner width of STFB over its width."""
    multi_level: bool = True
    """Fuse at all four levels; off: at the coarsest alone."""
    memory_items: tuple[int, int, int, int] = (32, 32, 32, 32)
    """Items of the memory at each level, finest first; 0 takes it out."""
    memory_top: float = Field(0.6, gt=0, le=1)
    """K: share of the items that a query reads."""
    literal_memory: bool = False
    """Eq. 9 and 10 as printed: 0 outside the top K, items written from all queries."""
    head: Literal["direct", "residual"] = "direct"
    """Predict the picture itself as the paper does, or the change from V_t."""
    lambda_compact: float = Field(1e-4, ge=0)
    """Weight of the compactness loss."""
    lambda_separate: float = Field(1e-4, ge=0)
    """Weight of the sparsity loss."""
    literal_separate: bool = False
    """Eq. 14 as the text has it: the mean distance to the two nearest items."""
    lambda_score: float = Field(0.8, ge=0, le=1)
    """lambda of Eq. 18: share of the prediction error in the paper's score."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(n < 0 or n == 1 for n in self.memory_items):
            raise ValueError(f"memory_items {self.memory_items}: 0, or at least two of them")
        return self

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels that are fused and decoded."""
        return LEVELS if self.multi_level else LEVELS[-1:]


SCORE_SETTINGS = ("model.lambda_score",)
"""Settings of the paper's score, which may be changed after training."""
SIZES: dict[str, dict[str, object]] = {
    "stnmamba": {}, "stnmamba-128": {"size": 128, "head": "residual"},
}  # fmt: skip
"""Differences of each size from `STNMambaConfig`'s defaults; -128 is for training on a CPU."""
_NO_MEMORY: dict[str, object] = {"memory_banks": 0, "multi_level": False}
ABLATIONS: dict[str, dict[str, object]] = {
    "M1": {"multi_scale": False, "channel_aware": False, "fuse": "concat", **_NO_MEMORY},
    "M2": {"channel_aware": False, "fuse": "concat", **_NO_MEMORY},
    "M3": {"fuse": "concat", **_NO_MEMORY},
    "M4": _NO_MEMORY,
    "M5": {"multi_level": False},
    "M6": {},
    **{f"B{n}": {"memory_banks": n} for n in (4, 3, 2, 1, 0)},
    "L1": {"lambda_compact": 0.0, "lambda_separate": 0.0},
    "L2": {"lambda_separate": 0.0},
    "L3": {"lambda_compact": 0.0},
    "L4": {},
    **{f"lambda{share:g}": {"lambda_score": share} for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)},
    **{f"K{percent}": {"memory_top": percent / 100} for percent in (20, 40, 60, 80, 100)},
}
"""The paper's Tables II (M), III (B: memory banks) and IV (L), and the sweeps of Fig. 7 (lambda,
which needs no new training, and K in percent), as changes of a configuration. `memory_banks` n:
only those of the n finest levels."""


def ablation(name: str, base: STNMambaConfig) -> STNMambaConfig:
    """The configuration of one row of Table II, III or IV, at the size of `base`."""
    changes = dict(ABLATIONS[name])
    kept = LEVELS[: cast(int, changes.pop("memory_banks", len(LEVELS)))]
    items = [n if i in kept else 0 for i, n in zip(LEVELS, base.memory_items, strict=True)]
    return STNMambaConfig.read(base.model_dump() | changes | {"memory_items": items})


# ---- blocks


def _rank(width: int) -> int:
    return max(1, width // 16)


def vssb(width: int, expand: int, state: int) -> VSSB:
    """VSSB (Fig. 3b, Eq. 1), with the rank of delta that VMamba has."""
    return VSSB(width, expand=expand, state=state, rank=_rank(width))


class ScaleVSSB(Block):
    """MS-VSSB (Fig. 3c, Eq. 2): linear, GELU, sum of depth-wise convolutions, linear, VSSB (Eq. 1).

    The three convolutions, kernels 1, 3 and 5, run as one.
    """

    def __init__(self, width: int, wide: int, *, expand: int, state: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, wide)
        self.convs = MultiScaleConv(wide, residual=False)
        self.narrow = nn.Linear(wide, width)
        self.block = vssb(width, expand, state)

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, d) -> (n, h, w, d)."""
        out: Tensor = self.block(self.narrow(self.convs(F.gelu(self.widen(x)))))
        return out


class ChannelVSSB(Block):
    """CA-VSSB (Fig. 3d, Eq. 3): y sigmoid(MLP(avg y) + MLP(max y)), y = VSSB(x)."""

    def __init__(self, width: int, *, expand: int, state: int) -> None:
        super().__init__()
        self.block = vssb(width, expand, state)
        self.weigh = mlp(width, width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, d) -> (n, h, w, d)."""
        y: Tensor = self.block(x)
        gate = torch.sigmoid(self.weigh(y.mean((1, 2))) + self.weigh(y.amax((1, 2))))
        return y * gate[:, None, None]


class STFB(Block):
    """Spatial-temporal fusion block (Fig. 4, Eq. 4-6) of the features S and T of one level.

    Eq. 4: s = DWConv(Linear(S)), u = DWConv(Linear(T)), mix = s u. Eq. 5: y = SS2D(mix), gated as
    y SiLU(s) and y SiLU(u). Eq. 6: ECA(Linear(y SiLU(s)) + S + Linear(y SiLU(u)) + T).
    """

    def __init__(self, width: int, *, expand: int, state: int) -> None:
        super().__init__()
        inner = expand * width
        self.norms = modules(LayerNorm(width) for _ in range(2))
        self.into = modules(nn.Linear(width, inner) for _ in range(2))
        self.convs = modules(nn.Conv2d(inner, inner, 3, padding=1, groups=inner) for _ in range(2))
        self.ss2d = SS2D(inner, state, _rank(width))
        self.scan_norm = LayerNorm(inner)
        self.out = modules(nn.Linear(inner, width) for _ in range(2))
        self.attend = ECA(width)

    def forward(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        """(n, h, w, d) twice -> (n, h, w, d)."""
        streams = (spatial, temporal)
        hidden = [
            depthwise(into(norm(x)), conv.weight, conv.bias)
            for x, norm, into, conv in zip(streams, self.norms, self.into, self.convs, strict=True)
        ]
        y = self.ss2d(hidden[0] * hidden[1])
        total = spatial + temporal
        for out, x in zip(self.out, hidden, strict=True):
            # Normalised for each gate anew: in inference that costs less than a pass between.
            total = total + out(self.scan_norm(y, x))
        result: Tensor = self.attend(total)
        return result


class Join(nn.Module):
    """What stands in for STFB in Table II, rows 1-3: concatenation, linear; else the bare sum."""

    def __init__(self, width: int, concat: bool) -> None:
        super().__init__()
        self.join = nn.Linear(2 * width, width) if concat else None

    def forward(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        """(n, h, w, d) twice -> (n, h, w, d)."""
        if self.join is None:
            return spatial + temporal
        out: Tensor = self.join(torch.cat((spatial, temporal), -1))
        return out


class MemoryBank(ItemMemory):
    """Items of normal features (Eq. 7-11): read always, written in training, without gradient.

    At test time nothing is written: scores do not depend on the order of the videos."""

    items: Tensor
    started: Tensor
    """1 once the items were taken from queries; a float, because buffers are averaged."""

    def __init__(self, width: int, items: int, top: float, literal: bool = False) -> None:
        super().__init__()
        self.register_buffer("items", F.normalize(torch.randn(items, width), dim=-1))
        self.register_buffer("started", torch.zeros(()))
        self.kept, self.literal = max(1, round(top * items)), literal
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, h, w, d) -> a x + read (Eq. 11), and each query's distance to its two nearest items.

        The second is (n, q, 2), the nearest first.
        """
        query = F.normalize(x.to(self.items), dim=-1).flatten(1, 2)  # n q d
        if self.training and not self.started:
            self.items.copy_(far_apart(query.detach().flatten(0, 1), len(self.items)))
            self.started.fill_(1)
        # A new tensor: the backward pass needs the items as read. A running average of items is
        # shorter than they are.
        items = F.normalize(self.items, dim=-1)
        similarity = (query @ items.T).to(items)  # n q p, Eq. 8
        weak = similarity < kth_largest(similarity, self.kept)
        left = similarity.masked_fill(weak, 0.0 if self.literal else -torch.inf)
        read = left.softmax(-1) @ items  # Eq. 7, 9
        # From the vectors, not as 2 - 2 cos: that loses its digits where a query meets its item.
        apart = (query[:, :, None] - items[two_nearest(similarity)]).square().sum(-1)
        nearest = apart.clamp_min(1e-12).sqrt()  # the root has no slope at zero
        if self.training:
            self.write(query.detach().flatten(0, 1), similarity.detach().flatten(0, 1))
        out: Tensor = self.share * x + read.to(x).view_as(x)
        return out, nearest

    @torch.no_grad()
    def write(self, query_qd: Tensor, similarity_qp: Tensor) -> None:
        """Eq. 10: p <- L2(p + sum of v q), v the softmax over the queries of their similarity."""
        # In place: the buffer stays the same tensor for DDP and for the averaged copy.
        self.items.copy_(written(self.items, query_qd, similarity_qp, nearest=not self.literal))


# ---- the model


def _stages(encoder: Iterable[nn.Module], x: Tensor) -> Iterator[Tensor]:
    """The features of every level, finest first."""
    for stage in encoder:
        x = stage(x)
        yield x


class STNMamba(Windowed):
    """The model; see the head of this file for the paper, the letters and the deviations."""

    history = HISTORY
    paper_normalised = True
    curve_name = "normality score S"

    def __init__(self, config: STNMambaConfig) -> None:
        super().__init__()
        self.config = cfg = config
        self.size = cfg.size
        widths = [cfg.width << i for i in range(len(LEVELS))]
        scan = {"expand": cfg.expand, "state": cfg.state}

        def spatial(d: int) -> nn.Module:
            wide = cfg.multi_scale_expand * d
            return ScaleVSSB(d, wide, **scan) if cfg.multi_scale else vssb(d, **scan)

        def temporal(d: int) -> nn.Module:
            return ChannelVSSB(d, **scan) if cfg.channel_aware else vssb(d, **scan)

        def encoder(channels: int, block: Any) -> Sequence[nn.Sequential]:
            first = [PatchEmbed(PATCH, cfg.width, channels), *(PatchMerge(d) for d in widths[:-1])]
            return modules(
                nn.Sequential(enter, *(block(d) for _ in range(cfg.depth)))
                for enter, d in zip(first, widths, strict=True)
            )

        self.spatial = encoder(3 * HISTORY, spatial)
        self.temporal = encoder(3 * (HISTORY - 1), temporal)
        fused = {i: widths[i - 1] for i in cfg.levels}
        self.fuse = nn.ModuleDict(
            {
                str(i): STFB(d, expand=cfg.fuse_expand, state=cfg.state)
                if cfg.fuse == "stfb"
                else Join(d, concat=cfg.fuse == "concat")
                for i, d in fused.items()
            }
        )
        self.memory = nn.ModuleDict(
            {
                str(i): MemoryBank(
                    d, cfg.memory_items[i - 1], cfg.memory_top, literal=cfg.literal_memory
                )
                for i, d in fused.items()
                if cfg.memory_items[i - 1]
            }
        )
        self.decoder = modules(
            nn.Sequential(*(vssb(d, **scan) for _ in range(cfg.depth))) for d in widths
        )
        self.expand = modules(PatchExpand(d) for d in widths[1:])
        self.head = PatchHead(cfg.width, PATCH)

    def window(self, frames: Tensor) -> Prediction:
        """Sections III-A to E for windows (n, 4, c, h, w): everything without the dimension m."""
        frame, change = frames.flatten(1, 2), motion(frames[:, :-1], frames[:, 1:]).flatten(1, 2)
        levels, features, terms = {}, {}, {}
        with beside(_stages(self.spatial, frame), frame) as spatial:
            temporal = list(_stages(self.temporal, change))
            for i, s, t in zip(LEVELS, spatial, temporal, strict=True):
                if i not in self.config.levels:
                    continue
                levels[i] = self.fuse[str(i)](s, t)
                if str(i) in self.memory:
                    levels[i], nearest = self.memory[str(i)](levels[i])
                    features[f"nearest_{i}"] = nearest
                    terms[f"distance_{i}"] = nearest[..., 0].detach().mean(1)  # Eq. 17
        x = levels[LEVELS[-1]]
        for i in reversed(LEVELS):
            x = self.decoder[i - 1](x)
            if i > 1:
                x = self.expand[i - 2](x)
                if i - 1 in levels:
                    x = x + levels[i - 1]
        frame = self.head(x)
        if self.config.head == "residual":
            frame = frames[:, -1] + frame
        return Prediction(frame, None, features, terms)

    # ---- training and scoring

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Eq. 12 as its weighted parts, the memories' added up; clip (b, t + 1, c, h, w).

        Eq. 13: the squared error of the frame. Eq. 14: that a query is nearer to its nearest item
        than to the second. Eq. 15: its distance to the nearest.
        """
        cfg, m = self.config, prediction.frame.shape[1]
        parts = {"frame": losses.intensity(prediction.frame, clip[:, HISTORY : HISTORY + m])}
        nearest = list(prediction.features.values())  # (n, q, 2) each
        if nearest and cfg.lambda_compact:
            compact = torch.stack([d[..., 0].mean() for d in nearest]).sum()
            parts["compact"] = cfg.lambda_compact * compact
        if nearest and cfg.lambda_separate:
            separate = torch.stack([self._separate(d).mean() for d in nearest]).sum()
            parts["separate"] = cfg.lambda_separate * separate
        return parts

    def _separate(self, nearest: Tensor) -> Tensor:
        if self.config.literal_separate:
            return nearest
        return F.relu(nearest[..., 0] - nearest[..., 1] + 1)

    def paper_weights(self, alpha: float) -> dict[str, float]:
        """lambda of Eq. 18."""
        return {"lambda": self.config.lambda_score}

    def paper_score(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """Eq. 16-19, as 1 - S: lambda norm(-PSNR) + (1 - lambda) mean over i of norm(distance_i).

        norm: min-max over the video; 0 for a term that never changes. Without memories norm(-PSNR).
        """
        psnr, *distances = self.paper_terms(terms).items()
        of = ranges or {}
        error = minmax_falling(psnr[1], of.get(psnr[0]))
        if not distances:
            return error
        share = self.config.lambda_score
        far = np.mean([minmax(values, of.get(name)) for name, values in distances], 0)
        return np.asarray(share * error + (1 - share) * far, np.float64)

    def paper_terms(self, terms: Terms, *, alpha: float = 0.5) -> dict[str, Floats]:
        """`psnr` in dB, then `distance_i` of every level that has a memory."""
        names = ("psnr", *(f"distance_{i}" for i in LEVELS if f"distance_{i}" in terms))
        return {name: np.asarray(terms[name], np.float64) for name in names}

    def paper_curve(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """S (Eq. 19), larger = more normal."""
        return 1 - self.paper_score(terms, ranges, alpha=alpha)

    def scan_flops(self, frames: int = 1) -> int:
        """9 L D N of every selective scan for one prediction, however many frames are new."""
        total = 0
        for i, *stages in zip(LEVELS, self.spatial, self.temporal, self.decoder, strict=True):
            parts = [*stages, *([self.fuse[str(i)]] if str(i) in self.fuse else [])]
            total += sum(scan_flops(part, (self.size // PATCH >> (i - 1)) ** 2) for part in parts)
        return total
