"""AMMC-Net (Cai et al., AAAI 2021): appearance-motion memory consistency network.

Two U-Nets: one reads the last frames and predicts the next, the other reads the optical flow
between them and predicts the flow to the next. A pool of regular features answers each stream's
own; from one stream's answer a network tells what the other pool should answer (AMFT). Where frame
or flow come out wrong, or where the features are far from what both pools make of them, something
is odd.

Letters: n windows, k history, c h w channels, rows, columns, d width of the features, q queries
of one window (places of the feature map, h/8 x w/8), i items of a pool.
         z_e a feature as encoded, z_m as its pool answers, z_t as transferred from the other stream

Frames are float32 RGB in [-1, 1]. Written from the paper's description; where it is silent:

DEVIATION (1): optical flow is OpenCV's DIS (`flow: dis`), RGB differences (`rgbdiff`) or what
    files say (`file`), not a network's, whose weights are not ours to give. k = 4 frames and their
    3 flows; flow of 1/32 of the picture's side per frame is 1 and faster is clamped.
DEVIATION (2): no adversarial term: a second network and optimiser, to sharpen pictures that are
    only measured.
DEVIATION (3): features have unit length, as MNAD's queries: otherwise the encoder can lower the
    commit error by making everything small. The encoders end with a norm but no ReLU: features
    that are neither centred nor of both signs point much the same way, and one item wins all.
DEVIATION (4): a query is answered by the one item that is nearest to it, as in VQ-VAE (van den
    Oord et al. 2017, appendix A.1), whose moving averages (decay .99) also move the items;
    N = 256. Nothing is written at test time: a score must not depend on other videos.
DEVIATION (5): the items start at queries of the first batch that lie far apart, and those that win
    less than a tenth of their fair share start anew at queries of the batch (as in Jukebox,
    Dhariwal et al. 2020, section 3.1): what nothing is nearest to would otherwise never move, while
    the encoder does. `ammc-128` is made for short trainings: its decay is .9.
DEVIATION (6): behind an answer the gradient goes on to its query as if that had been passed on
    (straight through, as VQ-VAE). It is stopped at the answers that commit and consistency aim at.
DEVIATION (7): a transfer net Phi is three 3 x 3 convolutions that narrow d to d/2. Original,
    answered and transferred feature are joined by concatenation and a 1 x 1 convolution. That
    makes 24.6 M parameters, 24.9 M with the items (published: 25.0).
DEVIATION (8): the published 169.5 GMAC are not reached: the two U-Nets cost 78.5, all else sees
    only h/8 x w/8 places. Ours are 86.1; the print is near twice that (a multiply and an add as
    two), or counts a network that computes the flow.
DEVIATION (9): losses are means over pixels and queries, so that weights do not depend on the size:
    1 on frame, gradient and flow; .1 on commit and consistency, as MNAD on its compactness.
DEVIATION (10): the score is the plain mean of three rescaled terms: the frame's error, the flow's,
    and the commit error, |z_e - z_m|^2 + |z_e - z_t|^2 of both streams. The authors chose weights
    for each test set; `score_motion: 0` takes the flow's error out.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from oddframe import losses
from oddframe.config import Config
from oddframe.models.base import Floats, Prediction, Ranges, Terms, minmax, minmax_falling
from oddframe.models.flow_windowed import FlowKind, FlowWindowed, flow_channels
from oddframe.models.memory import ItemMemory, far_apart
from oddframe.models.unet import SHRINKS, UNet
from oddframe.ops import together

IDLE = 0.1
"""An item that wins less than this part of its fair share of the queries starts anew."""


class AMMCConfig(Config):
    """Everything that shapes AMMC-Net; the defaults are the paper's size."""

    size: int = Field(256, ge=16, multiple_of=SHRINKS)
    """Rows and columns of the input in pixels."""
    history: int = Field(4, ge=2)
    """k: frames that one prediction looks at."""
    width: int = Field(64, ge=1)
    """Channels of the finest level of both streams; each coarser one has twice as many."""
    items: int = Field(256, ge=2)
    """N: items in each pool."""
    decay: float = Field(0.99, gt=0, lt=1)
    """Weight of the past in the moving averages that are the items."""
    flow: FlowKind = "dis"
    """What the motion stream reads and predicts: DIS optical flow, halved RGB differences, or flow
    from files (`--flow FOLDER`)."""
    lambda_gradient: float = Field(1.0, ge=0)
    """Weight of the gradient term."""
    lambda_motion: float = Field(1.0, ge=0)
    """Weight of the flow's L1."""
    lambda_commit: float = Field(0.1, ge=0)
    """Weight of the commit loss of both streams."""
    lambda_consistency: float = Field(0.1, ge=0)
    """Weight of the consistency loss in both directions."""
    score_motion: float = Field(1.0, ge=0)
    """Weight of the flow's PSNR in the paper's score; that of the frame's is 1."""
    score_commit: float = Field(1.0, ge=0)
    """Weight of the commit error likewise."""


_CPU: dict[str, object] = {"size": 128, "width": 32, "decay": 0.9}
SCORE_SETTINGS = ("model.score_motion", "model.score_commit")
"""Settings of the paper's score, which may be changed after training."""
SIZES: dict[str, dict[str, object]] = {"ammc": {}, "ammc-128": _CPU}
"""Differences of each size from `AMMCConfig`'s defaults."""


class Pool(ItemMemory):
    """AppMemPool or MotMemPool: items (i, d), each the moving average of the queries it wins."""

    items: Tensor
    count: Tensor
    """Moving average of how many queries of a batch each item wins, (i,)."""
    started: Tensor
    """1 once the items were taken from queries; a float, because buffers are averaged."""

    def __init__(self, width: int, items: int, decay: float) -> None:
        super().__init__()
        self.register_buffer("items", F.normalize(torch.randn(items, width), dim=-1))
        self.register_buffer("count", torch.ones(items))
        self.register_buffer("started", torch.zeros(()))
        self.decay = decay

    def forward(self, query: Tensor) -> Tensor:
        """The nearest item (n, q, d) to each query (n, q, d), which must be of unit length.

        In training the queries are written afterwards.
        """
        # Differences of distances need more than bf16's three digits.
        device = "cpu" if query.device.type == "meta" else query.device.type
        with torch.no_grad(), torch.autocast(device, enabled=False):
            flat = query.float().flatten(0, 1)
            if self.training and not self.started:
                self.start(flat)
            nearest = self.which(flat)
            answer = self.items[nearest].view_as(query)
            if self.training:
                self.write(flat, nearest)
        return answer

    def which(self, x: Tensor) -> Tensor:
        """The item nearest to each query (..., d) of unit length: (q,)."""
        # |query - item|^2 without the query's own length, which is the same for all items.
        flat = x.float().reshape(-1, x.shape[-1])
        return (self.items.square().sum(-1) - 2 * flat @ self.items.T).argmin(-1)

    @torch.no_grad()
    def start(self, query: Tensor) -> None:
        """Items far from each other; all win their fair share of the first queries (q, d)."""
        self.items.copy_(far_apart(query, len(self.items)))
        self.count.fill_(len(query) * together.processes() / len(self.items))
        self.started.fill_(1)

    @torch.no_grad()
    def write(self, query: Tensor, nearest: Tensor) -> None:
        """Move each item towards the queries (q, d) it won; idle ones start anew.

        nearest: the item that each query chose (q,).
        """
        won = torch.zeros_like(self.count).index_add_(0, nearest, query.new_ones(len(query)))
        total = torch.zeros_like(self.items).index_add_(0, nearest, query)
        won, total = together.summed(won, total)
        past = self.decay * self.count
        count = past + (1 - self.decay) * won
        moved = past[:, None] * self.items + (1 - self.decay) * total
        # In place: the buffers stay the same tensors for DDP and for the averaged copy.
        self.items.copy_(moved / count[:, None])
        self.count.copy_(count)
        queries = len(query) * together.processes()
        fair = queries / len(count)
        idle = count < IDLE * fair
        missing = int(idle.sum())
        # Spread over the batch, not drawn: a run that is resumed goes the same way.
        spread = torch.arange(missing, device=query.device) * queries // max(missing, 1)
        self.items[idle] = together.rows_at(spread, query)
        self.count[idle] = fair


class Stream(nn.Module):
    """One of the two: its U-Net, its pool, Phi to the other stream, and what joins the features."""

    def __init__(self, channels: int, drawn: int, config: AMMCConfig) -> None:
        super().__init__()
        self.unet = UNet(channels, config.width, drawn=drawn)
        # Features have both signs: the last ReLU goes.
        self.unet.encoder[-1] = nn.Sequential(*list(self.unet.encoder[-1].children())[:-1])
        d = self.unet.bottleneck
        self.pool = Pool(d, config.items, config.decay)
        last = nn.Conv2d(d // 2, d, 3, padding=1)
        with torch.no_grad():  # features have length 1: start below it, not ten times above
            last.weight.mul_(0.1)
        self.transfer = nn.Sequential(*_narrow(d, d // 2), *_narrow(d // 2, d // 2), last)
        self.join = nn.Sequential(nn.Conv2d(3 * d, d, 1, bias=False), nn.BatchNorm2d(d), nn.ReLU())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(n, channels, h, w) -> z_e, z_m (n, d, h / 8, w / 8) and the skips.

        z_m has no gradient.
        """
        found, skips = self.unet.encode(x)
        encoded = F.normalize(found.float(), dim=1)
        answer = self.pool(encoded.flatten(2).mT)
        return encoded, answer.mT.unflatten(2, encoded.shape[2:]), skips

    def decode(
        self, encoded: Tensor, answer: Tensor, transferred: Tensor, skips: list[Tensor]
    ) -> Tensor:
        """z_e, z_m, z_t (n, d, h / 8, w / 8) each and the skips -> (n, drawn, h, w)."""
        return self.unet.decode(self.join(torch.cat((encoded, answer, transferred), 1)), skips)


class AMMCNet(FlowWindowed):
    """The model; see the head of this file for the paper, the letters and the deviations."""

    motion_is_next = True
    paper_normalised = True

    def __init__(self, config: AMMCConfig) -> None:
        super().__init__()
        self.config = config
        self.history, self.size = config.history, config.size
        self.set_flow(config.flow)
        per_flow = flow_channels(config.flow)
        self.app = Stream(3 * config.history, 3, config)
        self.motion = Stream(per_flow * (config.history - 1), per_flow, config)

    def moving(self, frames: Tensor, flows: Tensor) -> Prediction:
        """The next frame of each window (n, k, 3, h, w) and the flow to it (n, c, h, w).

        flows: (n, k - 1, c, h, w). Features: squared distances per stream and query, (n, 2, q):
        `commit` |z_e - z_m|^2, `consistency` |z_t - z_m|^2. Terms, means over both streams:
        `commit`, and `transfer` |z_e - z_t|^2.
        """
        app, app_m, app_skips = self.app.encode(frames.flatten(1, 2))
        mot, mot_m, mot_skips = self.motion.encode(flows.flatten(1, 2))
        app_through, mot_through = app + (app_m - app).detach(), mot + (mot_m - mot).detach()
        mot_t = self.app.transfer(app_through).float()
        app_t = self.motion.transfer(mot_through).float()
        frame = self.app.decode(app, app_through, app_t, app_skips)
        moved = self.motion.decode(mot, mot_through, mot_t, mot_skips)
        commit = torch.stack((_apart(app, app_m), _apart(mot, mot_m)), 1)
        consistency = torch.stack((_apart(app_t, app_m), _apart(mot_t, mot_m)), 1)
        transfer = torch.stack((_apart(app, app_t), _apart(mot, mot_t)), 1)
        terms = {"commit": commit.mean((1, 2)), "transfer": transfer.mean((1, 2))}
        return Prediction(
            frame, moved,
            {"commit": commit, "consistency": consistency},
            {name: term.detach() for name, term in terms.items()},
        )  # fmt: skip

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Intensity, gradient, flow, commit, consistency; clip (b, t + 1, c, h, w)."""
        cfg, (frame, target) = self.config, self.to_come(prediction, clip)
        assert prediction.motion is not None
        moved = prediction.motion.flatten(0, 1)
        commit, consistency = (prediction.features[x] for x in ("commit", "consistency"))
        return {
            "frame": losses.intensity(frame, target),
            "gradient": cfg.lambda_gradient * losses.gradient(frame, target, absolute=True),
            "motion": cfg.lambda_motion * F.l1_loss(moved, self.moved_to_come(clip)),
            "commit": cfg.lambda_commit * commit.sum(1).mean(),
            "consistency": cfg.lambda_consistency * consistency.sum(1).mean(),
        }

    def paper_weights(self, alpha: float) -> dict[str, float]:
        """Of the flow's error and of the commit error, beside 1 of the frame's."""
        return {"flow": self.config.score_motion, "commit": self.config.score_commit}

    def paper_score(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """Errors of frame and flow and the commit error, each rescaled by the video's extremes.

        Their mean, weighted, 0 ... 1. Without `psnr_frame` the frame's error is `psnr`, without
        `psnr_motion` the flow's is left out.
        """
        cfg, known, of = self.config, self.paper_terms(terms), ranges or {}
        weights = {"psnr_frame": 1.0, "commit": cfg.score_commit, "psnr_motion": cfg.score_motion}
        score, total = np.zeros(known["psnr_frame"].shape), 0.0
        for name, values in known.items():
            rescale = minmax if name == "commit" else minmax_falling
            score = score + weights[name] * rescale(values, of.get(name))
            total += weights[name]
        return score / total

    def paper_terms(self, terms: Terms, *, alpha: float = 0.5) -> dict[str, Floats]:
        """`psnr_frame` in dB, `commit` with the transfer's error, `psnr_motion` where there is."""
        found = {
            "psnr_frame": np.asarray(terms.get("psnr_frame", terms["psnr"]), np.float64),
            "commit": np.asarray(terms["commit"], np.float64) + terms["transfer"],
        }
        if "psnr_motion" in terms:
            found["psnr_motion"] = np.asarray(terms["psnr_motion"], np.float64)
        return found


def _narrow(c_in: int, c_out: int) -> list[nn.Module]:
    """3 x 3 convolution, norm, ReLU."""
    return [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]


def _apart(x: Tensor, y: Tensor) -> Tensor:
    """Squared distance at each place: (n, d, h, w) both -> (n, q)."""
    return (x - y).square().sum(1).flatten(1)
