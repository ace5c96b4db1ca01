"""VADMamba (Lyu et al., ICME 2025, arXiv 2503.21169): two Mamba U-Nets with vector quantisation.

One VQ-MaU predicts the frame after a window of 16, another reconstructs the optical flow to the
newest frame of it. At the bottleneck of each, every place is replaced by the nearest of a few
hundred codes that normal footage has taught it. Odd is what is badly predicted or badly
reconstructed.

Letters: b clips   t frames given   k history   m = t - k + 1 targets   n = b m   c h w channels,
         rows, columns   d width   e inner width   q queries (places of the coarsest grid)   i codes

Frames are float32 RGB in [-1, 1]. What is built is what the abstract says, the published cost and
the ways of the papers it builds on; all the rest was chosen, and may not be what the authors did:

DEVIATION (1): four stages as in VM-UNet, patch 4, widths 64/128/256/512, one block per stage in
    encoder and decoder, scan state 16, inner width 2d, rank of delta d/16, skips added, pictures by
    a 4x expansion: 28.3 M parameters in both networks for the published 28.1.
DEVIATION (2): "non-negative" is read as ReLU where VSSB has SiLU: what enters the scan, and the
    gate of what leaves it, are never below 0. B and C keep their signs, as does the block's output.
DEVIATION (3): beside the scan of a block stands a residual convolution, for the budget asks for as
    many weights again: 3x3, ReLU, 1x1 on the same LayerNorm, as in VQ-VAE.
DEVIATION (4): 512 codes (128 at 128 px) of the bottleneck's width, moved by exponential averages
    with decay 0.99 in training only: VQ-VAE's choices. Commitment weighs 0.001, not its 0.25: the
    errors that it stands beside are about that small, for nothing divides them by the variance of
    the data. Batch norm without weights comes first (Lancucki et al., arXiv 2005.08520): what all
    places share at this depth is many times what they differ by, and would take all codes.
DEVIATION (5): codes with less than a twentieth of an even share of the queries move to those that
    are served worst, at most 8 a step. Of random codes only a handful would ever be chosen.
DEVIATION (6): the second network reads all k - 1 flows of the window and reconstructs the newest,
    so that nothing waits for frames to come. Skips could carry it around the codes, which makes
    reconstruction too easy: `motion_from: frames` has it found in the frames, `skips: false` sends
    everything through the codes.
DEVIATION (7): optical flow is OpenCV's DIS (`flow: dis`), RGB differences (`rgbdiff`) or what files
    say (`file`): no weights of a flow network are to be had. It is scaled and clamped as
    `flow_windowed` says.
DEVIATION (8): both networks are trained at once, on squared errors as means.
DEVIATION (9): the two errors are joined with one fixed weight, `score_alpha`. The paper fuses
    clips, with a weight that it chose for each data set on the test clips.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from oddframe import losses
from oddframe.config import Config
from oddframe.models.base import Floats, Prediction, Ranges, Terms, minmax_falling
from oddframe.models.blocks import (
    VSSB,
    PatchEmbed,
    PatchExpand,
    PatchHead,
    PatchMerge,
    modules,
    scan_flops,
)
from oddframe.models.flow_windowed import FlowKind, FlowWindowed, flow_channels
from oddframe.models.memory import IDLE, ItemMemory, least_alike
from oddframe.ops import together

PATCH = 4
STAGES = 4
MOVES = 8
"""Idle codes that move in one step, at most."""


class VADMambaConfig(Config):
    """Everything that shapes VADMamba; the defaults are the paper's size."""

    size: int = Field(256, ge=32, multiple_of=PATCH * 2 ** (STAGES - 1))
    """Rows and columns of the input in pixels; a multiple of 32."""
    history: int = Field(16, ge=2)
    """k: frames that one prediction looks at."""
    width: int = Field(64, ge=8, multiple_of=2)
    """Width of the finest tokens; each stage has twice that of the one before."""
    depth: PositiveInt = 1
    """NVSS blocks per stage, in encoder and decoder."""
    expand: PositiveInt = 2
    """Inner width of a block's scan over its width."""
    state: PositiveInt = 16
    """State size of every scan."""
    skips: bool = True
    """The decoder gets the encoder's maps of the three finer stages."""
    codes: int = Field(512, ge=2)
    """Codes of each network."""
    code_decay: float = Field(0.99, ge=0, lt=1)
    """Weight of the past in the averages that the codes are."""
    flow: FlowKind = "dis"
    """The motion that is reconstructed: DIS optical flow, halved RGB differences, or flow from
    files (`--flow FOLDER`)."""
    motion_from: Literal["flows", "frames"] = "flows"
    """What it is reconstructed from: the flows of the window, or its frames."""
    head: Literal["direct", "residual"] = "direct"
    """Predict the picture itself as the paper does, or the change from V_t."""
    lambda_motion: float = Field(1.0, ge=0)
    """Weight of the flow's squared error beside the frame's."""
    lambda_commit: float = Field(1e-3, ge=0)
    """Weight of the commitment loss (VQ-VAE's beta)."""
    score_alpha: float = Field(0.5, ge=0, le=1)
    """Weight of the frame's error beside the flow's in the paper's score."""


_CPU: dict[str, object] = {
    "size": 128, "width": 32, "state": 4, "codes": 128, "head": "residual",
}  # fmt: skip
SCORE_SETTINGS = ("model.score_alpha",)
"""Settings of the paper's score, which may be changed after training."""
SIZES: dict[str, dict[str, object]] = {"vadmamba": {}, "vadmamba-128": _CPU}
"""Differences of each size from `VADMambaConfig`'s defaults; -128 is for training on a CPU."""


class NVSS(VSSB):
    """Non-negative visual state space block: x + scan(LN x) + convolution(LN x).

    The scan is VSSB's with ReLU for SiLU; see DEVIATION (2) and (3).
    """

    activation = staticmethod(F.relu)

    def __init__(self, width: int, *, expand: int, state: int) -> None:
        super().__init__(width, expand=expand, state=state, rank=max(1, width // 16))
        self.near = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, d) -> (n, h, w, d)."""
        y = self.norm(x)
        near = self.near(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out: Tensor = x + self.scanned(y) + near
        return out

    def gated(self, x: Tensor, gate: Tensor) -> Tensor:
        """What leaves the scan, normed and gated."""
        out: Tensor = self.out_norm(x) * F.relu(gate)
        return out


class Quantiser(ItemMemory):
    """The VQ layer: every place becomes its nearest code (VQ-VAE, van den Oord et al. 2017).

    Codes are read in both modes and written in training only, without gradient (their appendix A.1:
    exponential averages), so scores do not depend on the order of the videos.
    """

    codes: Tensor
    use: Tensor
    """Queries per step that each code serves, as a running mean."""

    def __init__(self, codes: int, width: int, decay: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.register_buffer("codes", torch.randn(codes, width))
        self.register_buffer("use", torch.zeros(codes))  # all idle
        self.decay = decay

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, h, w, d) -> codes in its place, and the mean squared distance to them, (n,).

        To x both pass a gradient on: the codes as if they were the queries (straight-through).
        A distance is per value, and queries have unit variance: 0 is exact, 1 the mean query.
        """
        # Distances need more than bf16's three digits.
        device = "cpu" if x.device.type == "meta" else x.device.type
        with torch.autocast(device, enabled=False):
            query = self.norm(x.to(self.codes).flatten(0, 2))
            given = query.detach()
            if self.training:
                self.move(given)
            chosen = self.nearest(given)
            code = self.codes[chosen]
            distance = (query - code).square().view(len(x), -1).mean(1)
            if self.training:
                self.write(given, chosen)
            read = query + (code - query).detach()
        return read.view(x.shape).to(x), distance

    def __len__(self) -> int:
        """How many codes there are."""
        return len(self.codes)

    def which(self, x: Tensor) -> Tensor:
        """The code of each place of (n, h, w, d): (q,)."""
        return self.nearest(self.norm(x.to(self.codes).flatten(0, 2)))

    def nearest(self, query: Tensor) -> Tensor:
        """The number of the nearest code of each query: (q, d) -> (q,)."""
        return (self.codes.square().sum(1) - 2 * query @ self.codes.T).argmin(1)

    @torch.no_grad()
    def write(self, query: Tensor, chosen: Tensor) -> None:
        """Averages of queries (q, d) and of how many there are, per code that was chosen (q,).

        N <- g N + (1 - g) n and m <- g m + (1 - g) sum q with code m / N, as one step from the code
        that is there, so that of a code long unused nothing shrinks to 0 / 0.
        """
        # In place: the buffers stay the same tensors for DDP and for the averaged copy.
        count = torch.bincount(chosen, minlength=len(self.codes)).to(self.use)
        total = torch.zeros_like(self.codes).index_add_(0, chosen, query)
        count, total = together.summed(count, total)
        self.use.lerp_(count, 1 - self.decay)
        step = (1 - self.decay) / self.use.clamp_min(1e-12)
        self.codes.add_(step[:, None] * (total - count[:, None] * self.codes))

    @torch.no_grad()
    def move(self, query: Tensor) -> None:
        """Put idle codes, at most `MOVES`, where queries (q, d) are farthest from any other code.

        Without chance, for a resumed training must do the same.
        """
        share = len(query) * together.processes() / len(self.codes)
        idle = self.use < IDLE * share
        if not idle.any():
            return
        apart = torch.cdist(query, self.codes).masked_fill_(idle, torch.inf).amin(1)  # q
        some = idle.nonzero().flatten()[:MOVES]
        self.codes[some] = least_alike(query, -apart, len(some), lambda c: -(query - c).norm(dim=1))
        self.use[some] = share


class VQMaU(nn.Module):
    """VQ-Mamba U-Net: encoder of NVSS blocks, VQ layer, decoder of NVSS blocks."""

    def __init__(self, taken: int, given: int, cfg: VADMambaConfig) -> None:
        super().__init__()
        widths = [cfg.width << i for i in range(STAGES)]
        enter = [PatchEmbed(PATCH, cfg.width, taken), *(PatchMerge(d) for d in widths[:-1])]

        def blocks(d: int) -> list[nn.Module]:
            return [NVSS(d, expand=cfg.expand, state=cfg.state) for _ in range(cfg.depth)]

        self.encoder = modules(
            nn.Sequential(first, *blocks(d)) for first, d in zip(enter, widths, strict=True)
        )
        self.quantise = Quantiser(cfg.codes, widths[-1], cfg.code_decay)
        self.decoder = modules(nn.Sequential(*blocks(d)) for d in widths)
        self.expand = modules(PatchExpand(d) for d in widths[1:])
        self.head = PatchHead(cfg.width, PATCH, given)
        self.skips = cfg.skips

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, taken, h, w) -> (n, given, h, w), and the distance of each to its codes, (n,)."""
        maps = []
        for stage in self.encoder:
            x = stage(x)
            maps.append(x)
        x, distance = self.quantise(x)
        x = self.decoder[-1](x)
        for i in reversed(range(STAGES - 1)):
            x = self.expand[i](x)
            x = self.decoder[i](x + maps[i] if self.skips else x)
        return self.head(x), distance

    def scan_flops(self, size: int) -> int:
        """9 L D N of its selective scans, for pictures of so many rows and columns."""
        stages = enumerate(zip(self.encoder, self.decoder, strict=True))
        return sum(
            scan_flops(stage, (size // PATCH >> i) ** 2) for i, both in stages for stage in both
        )


class VADMamba(FlowWindowed):
    """The model; see the head of this file for the paper, the letters and the deviations."""

    paper_normalised = True

    def __init__(self, config: VADMambaConfig) -> None:
        super().__init__()
        self.config = cfg = config
        self.history, self.size = cfg.history, cfg.size
        self.set_flow(cfg.flow)
        flow = flow_channels(cfg.flow)
        seen = 3 * cfg.history if cfg.motion_from == "frames" else flow * (cfg.history - 1)
        self.predict = VQMaU(3 * cfg.history, 3, cfg)
        self.rebuild = VQMaU(seen, flow, cfg)

    def moving(self, frames: Tensor, flows: Tensor) -> Prediction:
        """The frame after each window, its last flow: (n, k, 3, h, w), (n, k - 1, 2 or 3, h, w)."""
        cfg = self.config
        change, odd_frame = self.predict(frames.flatten(1, 2))
        seen = frames if cfg.motion_from == "frames" else flows
        again, odd_motion = self.rebuild(seen.flatten(1, 2))
        frame = torch.tanh(change) if cfg.head == "direct" else frames[:, -1] + change
        commit = (odd_frame + odd_motion) / 2
        return Prediction(
            frame, torch.tanh(again),
            {"moved": flows[:, -1], "commit": commit},
            {"commit": commit.detach()},
        )  # fmt: skip

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Squared errors of frame and flow, and commitment; clip (b, t + 1, c, h, w)."""
        cfg, (frame, target) = self.config, self.to_come(prediction, clip)
        assert prediction.motion is not None
        again, moved = prediction.motion.flatten(0, 1), prediction.features["moved"]
        return {
            "frame": losses.intensity(frame, target),
            "motion": cfg.lambda_motion * losses.intensity(again, moved),
            "commit": cfg.lambda_commit * prediction.features["commit"].mean(),
        }

    def paper_weights(self, alpha: float) -> dict[str, float]:
        """Of the frame's error; the flow's has the rest."""
        return {"alpha": self.config.score_alpha}

    def paper_score(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """The errors of frame and flow, each by the video's own extremes, joined by `score_alpha`.

        terms: `psnr_frame` and `psnr_motion`; without the second, `psnr` alone.
        """
        of, known = ranges or {}, self.paper_terms(terms)
        errors = [minmax_falling(values, of.get(name)) for name, values in known.items()]
        if len(errors) == 1:
            return errors[0]
        share = self.config.score_alpha
        return share * errors[0] + (1 - share) * errors[1]

    def paper_terms(self, terms: Terms, *, alpha: float = 0.5) -> dict[str, Floats]:
        """`psnr_frame` and, where the flow is drawn, `psnr_motion`, in dB."""
        found = {"psnr_frame": np.asarray(terms.get("psnr_frame", terms["psnr"]), np.float64)}
        if "psnr_motion" in terms:
            found["psnr_motion"] = np.asarray(terms["psnr_motion"], np.float64)
        return found

    def scan_flops(self, frames: int = 1) -> int:
        """9 L D N of every selective scan for one prediction, however many frames are new."""
        return self.predict.scan_flops(self.size) + self.rebuild.scan_flops(self.size)
