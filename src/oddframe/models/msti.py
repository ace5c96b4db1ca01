"""MSTI-Net (Ning et al. 2023): multi-scale spatial-temporal interaction network.

A U-Net reads the last four frames, a second encoder the optical flow between them. At three levels
the flow says where to look (ASTFM); what comes out of the third is replaced by what a small memory
of normal features makes of it; the decoder predicts the next frame. Where that fails, or where the
features are far from the memory, something is odd.

Letters: b clips   t frames given   k history   m = t - k + 1 targets   n = b t or b m
         c h w channels, rows, columns   l level   q queries (places of the coarsest grid)
         i memory items

Frames are float32 RGB in [-1, 1]. What the paper leaves open, and what was chosen (of training in
`train/module.py`); `literal` takes the print wherever it can be computed:

DEVIATION (1): optical flow is OpenCV's DIS (`flow: dis`), RGB differences (`rgbdiff`) or what
    files say (`file`), not FlowNet's: no weights of it are to be had. Flow is divided by 1/32 of
    the picture's side and clamped to [-1, 1] (256 px: 8 px per frame is 1); the paper gives no
    scale.
DEVIATION (2): k = 4 frames and their 3 flows; the paper does not print its T (FFP and MNAD: 4).
DEVIATION (3): widths 64, 128, 256 and 512 after the third level, as in MNAD's U-Net; the paper
    gives none. Group norm, so that a window does not depend on those it is batched with.
DEVIATION (4): the circled plus is addition in Eq. 1 and, as the text says, concatenation in
    Eq. 3. g (Eq. 2) has weights of its own on the map and on the pooled vector, narrowed 4 times.
DEVIATION (5): F of Eq. 3 is 1x1 convolution, ReLU, 1x1 convolution and a sigmoid, which is not
    printed but makes it a weight. It multiplies x_a with no residual, as printed.
DEVIATION (6): blocks of the streams and of the decoder are MNAD's: two 3x3 convolutions, down by
    stride 2, up by 2x2 transposed convolutions, tanh at the end. The decoder gets the
    encoder's skips, as MNAD's does; the paper does not say, and through them the memory can be
    bypassed (`skips: false` takes them out).
DEVIATION (7): N = 10 items; queries have unit length and may be negative, as MNAD's. The softmax
    over cosines has temperature 0.1 (`memory_temperature`; 1 is the print): without it the largest
    weight is at most e^2 times the smallest and every read is nearly the mean of the items.
DEVIATION (8): a query writes only to the item nearest to it, as in MNAD (`memory_write: all` is
    Eq. 5 as printed): where all items take from all queries, they become one and the same. The
    items start at queries of the first batch that lie far apart: of random ones hardly more than
    one is ever chosen.
DEVIATION (9): squared error is a mean over values, and Eq. 7, Eq. 8 and the D of Eq. 10 are means
    over queries, so that the weights do not depend on the picture's size. f of Eq. 10 is the
    min-max over a video, MAX of its PSNR is 2.
DEVIATION (10): the printed Eq. 8 rewards features that are *unlike* what is read for them; the
    default is max(1 - cos - delta, 0), `literal_compact` keeps the print.
DEVIATION (11): the memory is written in training only; the paper does not say. Its items get no
    gradient.
DEVIATION (12): model B of Table II keeps its streams apart and yet has one prediction: they are
    joined once, by a convolution, at the bottleneck. Model C joins by concatenation and a 1x1
    convolution at every level.
DEVIATION (13): `msti-net-128` predicts the change from V_t (`head: residual`), at half the width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from oddframe import losses
from oddframe.config import PaperConfig
from oddframe.models.base import Floats, Prediction, Ranges, Terms, minmax
from oddframe.models.blocks import modules
from oddframe.models.flow_windowed import FlowKind, FlowWindowed, flow_channels
from oddframe.models.memory import ItemMemory, far_apart, written
from oddframe.models.recompute import Layers

LEVELS = 3
GROUP = 8
"""Channels per group of the norms."""


class MSTIConfig(PaperConfig):
    """Everything that shapes MSTI-Net; the defaults are MNAD's where the paper is mute."""

    LITERAL: ClassVar = {
        "memory_temperature": 1, "memory_write": "all", "literal_compact": True, "head": "direct",
    }  # fmt: skip

    size: int = Field(256, ge=32)
    """Rows and columns of the input in pixels; a multiple of 8."""
    history: int = Field(4, ge=2)
    """k: frames that one prediction looks at."""
    width: int = Field(64, ge=8)
    """Channels of the first level; 2, 4 and 8 times as many follow. A multiple of 8."""
    flow: FlowKind = "dis"
    """What the motion stream reads: DIS optical flow, halved RGB differences, or flow from files
    (`--flow FOLDER`)."""
    fusion: Literal["astfm", "concat", "late", "none"] = "astfm"
    """How motion enters: ASTFM or plain concatenation at every level, joined once at the bottleneck
    (late), or no motion stream at all."""
    skips: bool = True
    """The decoder gets the encoder's maps of each level."""
    memory_items: int = Field(10, ge=0)
    """N: prototypes; 0 takes the memory out."""
    memory_temperature: float = Field(0.1, gt=0)
    """Of the softmax over cosines when reading and writing; 1 is the print."""
    memory_write: Literal["nearest", "all"] = "nearest"
    """Which queries an item takes from: those nearest to it, or all (Eq. 5 as printed)."""
    head: Literal["direct", "residual"] = "direct"
    """Predict the picture itself, or the change from V_t."""
    lambda_intensity: float = Field(0.8, ge=0)
    """lambda_i, weight of Eq. 6."""
    lambda_separate: float = Field(3e-4, ge=0)
    """lambda_s, weight of Eq. 7."""
    lambda_compact: float = Field(1e-3, ge=0)
    """lambda_c, weight of Eq. 8."""
    delta: float = Field(0.1, ge=0, le=2)
    """Accepted dissimilarity in Eq. 8."""
    literal_compact: bool = False
    """Eq. 8 as printed."""
    tau: float = Field(0.7, ge=0, le=1)
    """Share of the PSNR in the paper's score (Eq. 10)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.size % 2**LEVELS:
            raise ValueError(f"size {self.size} is not a multiple of {2**LEVELS}")
        if self.width % GROUP:
            raise ValueError(f"width {self.width} is not a multiple of {GROUP}")
        return self


_CPU = {"size": 128, "width": 32, "head": "residual"}
SCORE_SETTINGS = ("model.tau",)
"""Settings of the paper's score, which may be changed after training."""
SIZES: dict[str, dict[str, object]] = {"msti-net": {}, "msti-net-128": _CPU}
"""Differences of each size from `MSTIConfig`'s defaults."""
ABLATIONS: dict[str, dict[str, object]] = {
    "A": {"fusion": "none"},
    "B": {"fusion": "late"},
    "C": {"fusion": "concat"},
    "D": {"memory_items": 0},
    "E": {},
}
"""The paper's Table II as changes of a configuration: appearance alone, two streams apart, joined
by concatenation, ASTFM without memory, everything."""


def ablation(name: str, base: MSTIConfig) -> MSTIConfig:
    """The configuration of one row of Table II, at the size of `base`."""
    return MSTIConfig.read(base.model_dump() | ABLATIONS[name])


def conv(c_in: int, c_out: int, stride: int = 1, act: bool = True) -> Layers:
    """3x3 convolution, group norm, ReLU (not with `act` off)."""
    layers = [
        nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False),
        nn.GroupNorm(c_out // GROUP, c_out),
    ]
    return Layers(*layers, *([nn.ReLU()] if act else []))


def pointwise(c_in: int, hidden: int, c_out: int) -> nn.Sequential:
    """g(x) = j_2 R(j_1 x) (Eq. 2) with 1x1 convolutions."""
    return nn.Sequential(nn.Conv2d(c_in, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, c_out, 1))


class ChannelAttention(nn.Module):
    """Eq. 1: x_m' = x_m + g(x_m) * sigmoid(g'(global mean of x_m))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = pointwise(width, width // 4, width)
        self.pooled = pointwise(width, width // 4, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w)."""
        weight = torch.sigmoid(self.pooled(x.mean((2, 3), keepdim=True)))
        out: Tensor = x + self.local(x) * weight
        return out


class ASTFM(nn.Module):
    """Attention-based spatial-temporal fusion: Eq. 3, x_f = x_a * F(x_a, x_m'; W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = ChannelAttention(width)
        self.weigh = pointwise(2 * width, width, width)

    def forward(self, app: Tensor, mot: Tensor) -> Tensor:
        """Appearance and motion features of one level, (n, c, h, w) each -> (n, c, h, w)."""
        both = torch.cat((app, self.attention(mot)), 1)
        return app * torch.sigmoid(self.weigh(both))


class Concat(nn.Module):
    """The traditional fusion of model C: concatenation and a 1x1 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.join = nn.Conv2d(2 * width, width, 1)

    def forward(self, app: Tensor, mot: Tensor) -> Tensor:
        """(n, c, h, w) twice -> (n, c, h, w)."""
        out: Tensor = self.join(torch.cat((app, mot), 1))
        return out


class Prototypes(ItemMemory):
    """The memory of normal features (section II-C): N items of unit length."""

    items: Tensor
    started: Tensor
    """1 once the items were taken from queries; a float, because buffers are averaged."""

    def __init__(self, width: int, items: int, temperature: float, nearest: bool) -> None:
        super().__init__()
        self.register_buffer("items", F.normalize(torch.randn(items, width), dim=-1))
        self.register_buffer("started", torch.zeros(()))
        self.temperature, self.nearest = temperature, nearest

    def forward(self, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read y^ = w M (Eq. 4) for the queries y (n, q, c); written to in training mode.

        Gives y^ (n, q, c), and `weights` w (n, q, i), `likeness` cos(y^, y) (n, q) and `distance`,
        the L2 distance of every query to its nearest item (n, q).
        """
        # Cosines and distances need more than bf16's three digits.
        device = "cpu" if y.device.type == "meta" else y.device.type
        with torch.autocast(device, enabled=False):
            query = F.normalize(y.float(), dim=-1)
            if self.training and not self.started:
                self.start(query.detach().flatten(0, 1))
            # Normalised once more: the items of averaged weights are a little shorter.
            items = F.normalize(self.items.float(), dim=-1)
            cosine = query @ items.T  # n q i
            weights = (cosine / self.temperature).softmax(-1)
            read = weights @ items
            distance = (query - items[cosine.argmax(-1)]).norm(dim=-1).detach()
            if self.training:
                self.write(query.detach().flatten(0, 1), cosine.detach().flatten(0, 1))
        likeness = F.cosine_similarity(read, query, dim=-1)
        return read, {"weights": weights, "likeness": likeness, "distance": distance}

    @torch.no_grad()
    def start(self, query: Tensor) -> None:
        """Items as far from each other as the first queries (q, c) allow."""
        self.items.copy_(far_apart(query, len(self.items)))
        self.started.fill_(1)

    @torch.no_grad()
    def write(self, query: Tensor, cosine: Tensor) -> None:
        """Eq. 5: p_i <- L2(p_i + v_i Q), v_i the softmax of p_i's cosines over the queries.

        query (q, c), cosine (q, i). In place: the buffer stays the same tensor for averaged copies.
        """
        likeness = cosine / self.temperature
        self.items.copy_(written(self.items, query, likeness, nearest=self.nearest))


class MSTINet(FlowWindowed):
    """The model; see the head of this file for the paper, the letters and the deviations."""

    paper_normalised = True
    curve_name = "regularity score R"

    def __init__(self, config: MSTIConfig) -> None:
        super().__init__()
        self.config = cfg = config
        self.history, self.size = cfg.history, cfg.size
        widths = [cfg.width * 2**i for i in range(LEVELS + 1)]
        steps = list(pairwise(widths))
        last = widths[-1]
        # Appearance stream: what enters level 1, then per level convolution block and down-sampling
        self.enter = nn.Sequential(conv(3 * cfg.history, cfg.width), conv(cfg.width, cfg.width))
        self.block = modules(conv(a, a) for a in widths[:-1])
        # The queries keep their signs: after a ReLU all of them point much the same way.
        self.down = modules(conv(a, b, stride=2, act=b != last) for a, b in steps)
        # Motion stream, as far as something reads it
        self.two = cfg.fusion != "none"
        # Without a motion stream nothing is worth computing: differences cost least.
        self.set_flow(cfg.flow if self.two else "rgbdiff")
        per_flow = flow_channels(cfg.flow)
        if self.two:
            deep = steps if cfg.fusion == "late" else steps[:-1]
            self.enter_motion = nn.Sequential(
                conv(per_flow * (cfg.history - 1), cfg.width), conv(cfg.width, cfg.width)
            )
            self.next_motion = modules(
                nn.Sequential(conv(a, a), conv(a, b, stride=2)) for a, b in deep
            )
        kind = {"astfm": ASTFM, "concat": Concat}.get(cfg.fusion)
        self.fuse = modules(kind(a) for a in widths[:-1]) if kind else ()
        self.late = Concat(last) if cfg.fusion == "late" else None
        self.memory = (
            Prototypes(
                last, cfg.memory_items, cfg.memory_temperature, cfg.memory_write == "nearest"
            )
            if cfg.memory_items
            else None
        )
        # Decoder, coarsest first
        self.up = modules(nn.ConvTranspose2d(b, a, 2, 2) for a, b in steps[::-1])
        times = 2 if cfg.skips else 1
        self.merge = modules(nn.Sequential(conv(times * a, a), conv(a, a)) for a in widths[-2::-1])
        self.head = nn.Conv2d(cfg.width, 3, 3, padding=1)
        with torch.no_grad():  # start near grey, or near "no change"
            self.head.weight.mul_(0.1)
            cast(Tensor, self.head.bias).zero_()

    # ---- the network

    def encode(self, frames: Tensor, flows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Both streams (section II-A): k frames (n, 3 k, h, w) and their flows -> features, skips.

        Per level: ASTFM, convolution block (its output is the skip), down-sampling.
        """
        app = self.enter(frames)
        mot = self.enter_motion(flows) if self.two else None
        skips = []
        for level, (block, down) in enumerate(zip(self.block, self.down, strict=True)):
            app = block(self.fuse[level](app, mot) if self.fuse else app)
            skips.append(app)
            app = down(app)
            if self.two and level < len(self.next_motion):
                mot = self.next_motion[level](mot)
        return (app if self.late is None else self.late(app, mot)), skips

    def decode(self, y: Tensor, skips: list[Tensor]) -> Tensor:
        """The features that the memory gave, (n, c, h / 8, w / 8) -> (n, 3, h, w)."""
        for up, merge, skip in zip(self.up, self.merge, skips[::-1], strict=True):
            y = up(y)
            y = merge(torch.cat((y, skip), 1) if self.config.skips else y)
        out: Tensor = self.head(y)
        return out

    def moving(self, frames: Tensor, flows: Tensor) -> Prediction:
        """The frame after each window: (n, k, 3, h, w), (n, k - 1, 2 or 3, h, w)."""
        y, skips = self.encode(frames.flatten(1, 2), flows.flatten(1, 2))
        features: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        if self.memory is not None:
            read, features = self.memory(y.flatten(2).transpose(1, 2))
            terms["distance"] = features.pop("distance").mean(1)  # D of Eq. 10
            y = read.transpose(1, 2).unflatten(2, y.shape[2:]).to(y.dtype)
        change = self.decode(y, skips)
        direct = self.config.head == "direct"
        frame = torch.tanh(change) if direct else frames[:, -1] + change
        return Prediction(frame, None, features, terms)

    # ---- training and score

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Eq. 9 as its weighted parts, Eq. 6-8; clip (b, t + 1, c, h, w)."""
        cfg, (frame, target) = self.config, self.to_come(prediction, clip)
        parts = {"frame": cfg.lambda_intensity * losses.intensity(frame, target)}
        if self.memory is not None:
            w, likeness = prediction.features["weights"], prediction.features["likeness"]
            parts["separate"] = cfg.lambda_separate * entropy(w)
            compact = compactness(likeness, cfg.delta, literal=cfg.literal_compact)
            parts["compact"] = cfg.lambda_compact * compact
        return parts

    def paper_weights(self, alpha: float) -> dict[str, float]:
        """tau of Eq. 10."""
        return {"tau": self.config.tau}

    def paper_score(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """-R_t (Eq. 10): R = 1 - tau (1 - f(PSNR)) - (1 - tau) f(D), f min-max over the video.

        A term that is the same throughout counts as 0; so does D where there is no memory.
        """
        tau, known, of = self.config.tau, self.paper_terms(terms), ranges or {}
        psnr, distance = (minmax(known[name], of.get(name)) for name in ("psnr", "distance"))
        return -(1 - tau * (1 - psnr) - (1 - tau) * distance)

    def paper_terms(self, terms: Terms, *, alpha: float = 0.5) -> dict[str, Floats]:
        """`psnr` in dB and `distance`, 0 without a memory."""
        psnr = np.asarray(terms["psnr"], np.float64)
        distance = np.asarray(terms.get("distance", np.zeros_like(psnr)), np.float64)
        # A model without memory has no gaps of its own.
        return {"psnr": psnr, "distance": np.where(np.isnan(psnr), np.nan, distance)}

    def paper_curve(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """R_t (Eq. 10), larger = more normal, as Fig. 3 of the paper shows it."""
        return -self.paper_score(terms, ranges, alpha=alpha)


def entropy(weights: Tensor) -> Tensor:
    """L_separate (Eq. 7): sum of -w log w over the items, mean over queries; (..., i)."""
    return -(weights * (weights + 1e-12).log()).sum(-1).mean()


def compactness(likeness: Tensor, delta: float, *, literal: bool = False) -> Tensor:
    """L_compact (Eq. 8) of cos(y^, y), mean over queries.

    max(1 - cos - delta, 0); literal: max(|cos| - delta, 0), which falls as the two grow unlike.
    """
    return ((likeness.abs() if literal else 1 - likeness) - delta).clamp_min(0).mean()
