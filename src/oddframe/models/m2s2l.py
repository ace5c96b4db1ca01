"""M2S2L (Liu et al., VCIP 2025, arXiv 2511.05564): multi-scale spatial-temporal Mamba.

Three spatial encoders read each frame at three patch sizes, three temporal blocks read its
differences over three windows; the sum is split into common, appearance and motion features,
each held against a memory of normal prototypes; one decoder predicts V_{t+1}, one reconstructs
M_t. Where either fails, something is odd.

Letters: b clips   t frames given   k history   m = t - k + 1 targets   n = b t or b m
         c h w colour, rows, columns   i spatial scale   j temporal window   w differences in it
         p motion patches (16 x 16 grid)   d width   e inner width   s state size

Frames are float32 RGB in [-1, 1]. What the paper leaves open, and what was chosen (of training in
`train/module.py`); `literal` takes the print wherever it can be computed:

DEVIATION (1): k = 16 frames t-15 ... t, although the paper's V_{t-k:t} lists k + 1.
DEVIATION (2): a window of 4, 8, 16 frames holds 3, 7, 15 differences, scaled by 1/2; M_t, which the
    paper only calls "motion fields", is the newest of them.
DEVIATION (3): frames are encoded one by one (G is k x N_i x D), their weights beta_i (Eq. 3) are
    pooled per frame, by an MLP of each scale's own, so a cached frame never changes; the k frames
    are then joined by learnt softmax weights that start on the newest, before Resize: it is linear.
DEVIATION (4): differences are embedded at 16 px, and H resized to G: at 4 px one temporal block
    would cost 50 GMAC of the published 20.1. `detail_frames` adds the newest at the finest grid.
DEVIATION (5): Eq. 4-6 print a step inside the exponent and a step in B; the default is the
    standard input-dependent scan with a learnt bias of delta per window. `tmb: literal` is the
    print, with a learnt delta > 0 per window and channel, sigma SiLU, and Mamba's recurrence,
    which is not printed: the delta that it multiplies its input by is the one in B.
DEVIATION (6): F_app and F_motion are linear maps of the residual F - F_common
    (`specific: gate` gives them gates like F_common's, as the sentence can be read).
DEVIATION (7): of the memories the paper says no more than [26] and that they restrict; what was
    made of that, and measured, stands in `memory.Memory`.
DEVIATION (8): `head: direct` draws the picture itself, on a learnt background that starts at the
    median training frame; `residual` predicts the change from V_t, blind to whatever stands still.
DEVIATION (9): L_separate, see `losses.separate`; `literal_separate` keeps the print.
DEVIATION (10): no skip from encoder to decoder: through it anomalies would come out unharmed.
DEVIATION (11): no depths are given: 2, 2, 14 MS-VSSB, one TMB per window and one VSSB per decoder
    come near the published cost. C is D; a frame's embedding ends in a LayerNorm.
DEVIATION (12): Eq. 1 stands in every block, as text and Fig. 2b have it; Eq. 2 prints it once,
    before the encoder (`ms_position: stem`).
DEVIATION (13): beside Eq. 4-6 a TMB has what Mamba has (SiLU, skip, gate, residual) and learnt
    positions; of a window only the newest step goes on (F has no time). The "attention" that joins
    the windows is a softmax over one weight for each, from its pooled features; `fusion: mha`
    attends at every place.
DEVIATION (14): a decoder adds its two features up; its steps are VM-UNet's patch expansion.
DEVIATION (15): the norms of Eq. 7-9 are means (`losses`); lambda_ssim is not printed, .2 is ours.
DEVIATION (16): the sizes for a CPU have coarser patches, `detail_frames`, 4 as the weight of
    L_motion, neither gradient nor SSIM; `edge` has no memories: none earns anything there.
DEVIATION (17): MAX is 2, the span of [-1, 1]; alpha .5 unless told; the min-max each video's.
DEVIATION (18): the paper does not describe M1: finest scale, shortest window, no Eq. 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from oddframe import losses
from oddframe.models import blocks
from oddframe.models.base import (
    Floats,
    Prediction,
    Ranges,
    Terms,
    VADModel,
    join,
    last_of,
    motion,
    shares,
    split,
)
from oddframe.models.blocks import mlp, modules, resize_tokens
from oddframe.models.memory import Memory, MemoryConfig
from oddframe.models.temporal import TMB, WindowFusion
from oddframe.ops.norm import LayerNorm


class M2S2LConfig(MemoryConfig):
    """Everything that shapes M2S2L; the defaults come near the paper's size."""

    LITERAL: ClassVar = {
        "ms_position": "stem", "tmb": "literal", "specific": "gate", "head": "direct",
        "literal_separate": True, "motion_target": "current", "detail_frames": 0,
        "lambda_motion": 0.5, "lambda_separate": 0.1, "lambda_gradient": 0.2, "lambda_ssim": 0.2,
        **MemoryConfig.MEMORY,
    }  # fmt: skip

    size: int = Field(256, ge=32)
    """Rows and columns of the input in pixels; a multiple of the largest patch."""
    history: int = Field(16, ge=2)
    """k: frames that one prediction looks at."""
    width: int = Field(256, ge=8)
    """D: width of the tokens throughout."""
    patches: tuple[PositiveInt, ...] = (4, 8, 16)
    """r_i: patch sizes in pixels, finest first; one alone is the paper's single-scale M1."""
    depths: tuple[PositiveInt, ...] = (2, 2, 14)
    """MS-VSSB per spatial scale."""
    expand: int = Field(2, ge=1)
    """Inner width of a VSSB over its width."""
    state: int = Field(16, ge=1)
    """State size of every scan."""
    ms_position: Literal["block", "stem", "none"] = "block"
    """Where Eq. 1 stands: in every block (Fig. 2b), once before the encoder, or nowhere (M1)."""
    windows: tuple[int, ...] = (4, 8, 16)
    """Frames per temporal window; one alone is the paper's single-window M2."""
    motion_patch: int = Field(16, ge=1)
    """Patch size of the differences, in pixels."""
    detail_frames: int = Field(0, ge=0)
    """Newest differences that are also embedded at the finest grid; 0 as in the paper."""
    tmb: Literal["standard", "literal"] = "standard"
    """Temporal block: the standard selective scan, or Eq. 4-6 as printed."""
    fusion: Literal["softmax", "mha"] = "softmax"
    """How the windows are joined: pooled softmax weights, or attention at every position."""
    decompose: bool = True
    """Common, appearance and motion features; off: both decoders read F (M3)."""
    specific: Literal["linear", "gate"] = "linear"
    """How F_app and F_motion come from the residual."""
    decoder_depth: int = Field(1, ge=1)
    """VSSB per decoder, on the finest grid."""
    upscale: int = Field(1, ge=1)
    """Factor of the last, single step from tokens to pixels (pixel shuffle); a power of two."""
    head: Literal["residual", "direct"] = "direct"
    """Predict the change from V_t, or the picture itself on a learnt background."""
    motion_target: Literal["current", "next"] = "current"
    """M_t as in the paper, or the difference to come."""
    lambda_motion: float = Field(0.5, ge=0)
    """Weight of L_motion (0 with lambda_separate 0: the paper's L1)."""
    lambda_separate: float = Field(0.1, ge=0)
    """Weight of L_separate (0: the paper's L2)."""
    lambda_gradient: float = Field(0.2, ge=0)
    """Weight of the gradient term in L_frame."""
    lambda_ssim: float = Field(0.2, ge=0)
    """Weight of the SSIM term in L_motion; the paper does not print it."""
    literal_separate: bool = False
    """L_separate with the printed sign and the token-by-token product."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        patches, depths, windows, width = self.patches, self.depths, self.windows, self.width
        first, history = (*patches, self.upscale)[0], self.history
        steps = first // self.upscale
        uneven = [p for p in (*patches, self.motion_patch) if self.size % p]
        for right, said in (
            (0 < len(patches) == len(depths),
             f"patches {patches} and depths {depths} differ in length"),
            (list(patches) == sorted(patches), f"patches {patches} must stand finest first"),
            (not uneven, f"size {self.size} is not a multiple of the patch {[*uneven, 0][0]}"),
            (bool(windows) and min(windows) >= 2 and max(windows) <= history,
             f"windows {windows} must lie in 2 ... history {history}"),
            (self.detail_frames < history, f"detail_frames must be below history {history}"),
            (first % self.upscale == 0 and steps & (steps - 1) == 0,
             f"patches[0] / upscale must be a power of two, got {steps}"),
            (width % (2 * max(steps, 1)) == 0,
             f"width {width} cannot be halved for each expansion"),
            (self.fusion == "softmax" or width % 4 == 0,
             f"fusion mha has 4 heads, width {width} is no multiple of 4"),
        ):  # fmt: skip
            if not right:
                raise ValueError(said)
        return self


_CPU = {
    "patches": (8, 16, 32), "detail_frames": 3,
    "lambda_motion": 4.0, "lambda_gradient": 0.0, "lambda_ssim": 0.0,
}  # fmt: skip
_EDGE = {"width": 64, "depths": (1, 2, 2), "expand": 1, "state": 1, "memory_items": 0, "upscale": 4}
_SMALL = {"width": 128, "depths": (2, 2, 4), "state": 4, "memory_items": 128, "upscale": 2}
SIZES: dict[str, dict[str, object]] = {
    "m2s2l": {}, "m2s2l-small": _CPU | _SMALL, "m2s2l-edge": _CPU | _EDGE,
}  # fmt: skip
"""Differences of each size from `M2S2LConfig`'s defaults."""
ABLATIONS: dict[str, dict[str, object]] = {
    "M1": {"patches": 1, "windows": 1, "ms_position": "none", "decompose": False},
    "M2": {"windows": 1, "decompose": False},
    "M3": {"decompose": False},
    "M4": {},
    "L1": {"lambda_motion": 0.0, "lambda_separate": 0.0},
    "L2": {"lambda_separate": 0.0},
    "L3": {},
}
"""Tables II and III as changes of a configuration; 1 means: the first alone. All have memories."""
SCORE_SETTINGS = ("score.alpha",)
"""Settings of the paper's score, which may be changed after training."""


def ablation(name: str, base: M2S2LConfig) -> M2S2LConfig:
    """The configuration of one row of Table II or III, at the size of `base`.

    M1's one scale is as deep as brings it nearest to M2's parameters: scales are added, not size.
    """
    # What a row takes out is not put back: it is literal in all the rest.
    literal = base.literal and not ABLATIONS[name]
    changes = {"memory_items": base.memory_items or 64, "literal": literal} | ABLATIONS[name]
    if changes.get("windows") == 1:
        changes["windows"] = base.windows[:1]
    if changes.get("patches") == 1:
        changes |= {"patches": base.patches[:1], "depths": (1,)}
        plain = base.model_dump() | changes | {"literal": False}
        shallow = [M2S2LConfig.read(plain | {"depths": (n,)}) for n in (1, 2)]
        one, two, wanted = map(M2S2L.size_of, (*shallow, ablation("M2", base)))
        changes["depths"] = (max(1, 1 + round((wanted - one) / (two - one))),)
    return M2S2LConfig.read(base.model_dump() | changes)


@dataclass(frozen=True, slots=True)
class M2S2LState:
    """One stream's (or batch of streams') cache; tuples grow to the history, then slide."""

    last: Tensor | None = None
    """V_t, (b, c, h, w)."""
    frames: tuple[tuple[Tensor, ...], ...] = ()
    """Per cached frame, per scale: beta_i G_i, (b, h_i, w_i, d)."""
    motions: tuple[tuple[Tensor, ...], ...] = ()
    """Per cached difference, per window: its projection, (b, p, e)."""
    details: tuple[tuple[Tensor, ...], ...] = ()
    """Per newest difference: what it adds at the finest grid at every age, oldest first."""


class M2S2L(VADModel):
    """The model; see the head of this file for the paper, the letters and the deviations."""

    heavy = ("encode", "temporal", "decode")
    paper_alphas: ClassVar = {"ped2": 0.6, "avenue": 0.4, "shanghaitech": 0.5}  # section III-A

    def __init__(self, config: M2S2LConfig) -> None:
        super().__init__()
        self.config = cfg = config
        self.history, self.size = cfg.history, cfg.size
        self.motion_is_next = cfg.motion_target == "next"
        d, grid = cfg.width, cfg.size // cfg.patches[0]
        self.grid = (grid, grid)
        self.motion_grid = (cfg.size // cfg.motion_patch,) * 2
        # Spatial (Eq. 1-3)
        self.embed = modules(blocks.PatchEmbed(r, d) for r in cfg.patches)
        stem = blocks.MultiScaleConv if cfg.ms_position == "stem" else nn.Identity
        self.stem = modules(stem(d) for _ in cfg.patches)
        block = {"expand": cfg.expand, "state": cfg.state}
        multi = cfg.ms_position == "block"
        self.encoder = modules(
            nn.Sequential(*(blocks.MSVSSB(d, multi_scale=multi, **block) for _ in range(depth)))
            for depth in cfg.depths
        )
        self.beta = modules(mlp(d, d // 4, 1) for _ in cfg.patches)
        # At the start the newest of 16 frames has .78 of the weight.
        age = torch.arange(cfg.history - 1, -1, -1.0)
        self.frame_weights = nn.Parameter(torch.where(age == 0, 4.0, 0.0))
        # Temporal (Eq. 4-6)
        self.motion_embed = blocks.PatchEmbed(cfg.motion_patch, d, norm=False)
        self.tmb = modules(
            TMB(d, w - 1, expand=cfg.expand, state=cfg.state, literal=cfg.tmb == "literal")
            for w in cfg.windows
        )
        self.fuse = WindowFusion(d, len(cfg.windows), cfg.fusion)
        shown = cfg.detail_frames
        self.detail = blocks.PatchEmbed(cfg.patches[0], d, 3 * shown, norm=False) if shown else None
        # Decomposition, memories, decoders
        self.norm = LayerNorm(d)
        parts = ("common", "app", "motion") if cfg.decompose else ("common",)
        if cfg.decompose:
            self.gate_common = mlp(d, d, d)
            gate = cfg.specific == "gate"
            self.to_app = mlp(d, d, d) if gate else nn.Linear(d, d)
            self.to_motion = mlp(d, d, d) if gate else nn.Linear(d, d)
        kept = parts if cfg.memory_items else ()
        self.memory = nn.ModuleDict({part: Memory(d, cfg) for part in kept})
        size = {"depth": cfg.decoder_depth, "upscale": cfg.upscale}
        self.decode_app = blocks.Decoder(d, cfg.patches[0], **size, **block)
        # Without a loss of its own (L1) it would be noise: what is not trained is not scored.
        trained = cfg.lambda_motion > 0
        self.decode_motion = blocks.Decoder(d, cfg.patches[0], **size, **block) if trained else None
        self.background = (
            nn.Parameter(torch.zeros(3, cfg.size, cfg.size)) if cfg.head == "direct" else None
        )

    # ---- encoders

    def encode(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Spatial encoders on single frames (Eq. 1-3): (n, c, h, w) -> beta_i G_i per scale."""
        maps = [
            encoder(stem(embed(frames)))
            for embed, stem, encoder in zip(self.embed, self.stem, self.encoder, strict=True)
        ]
        beta = torch.cat(
            [weigh(g.mean((1, 2))) for weigh, g in zip(self.beta, maps, strict=True)], -1
        ).softmax(-1)  # n i
        return tuple(beta[:, i, None, None, None] * g for i, g in enumerate(maps))

    def spatial(self, pooled: tuple[Tensor, ...]) -> Tensor:
        """G_spatial (Eq. 3) from the scales, pooled over the frames: (n, h, w, d)."""
        return torch.stack([resize_tokens(g, self.grid) for g in pooled]).sum(0)

    def temporal(self, windows: list[Tensor], newest: Tensor) -> Tensor:
        """H_temporal from each window's differences (n, p, w, e) and the newest (n, p, d)."""
        parts = [tmb(x, newest) for tmb, x in zip(self.tmb, windows, strict=True)]
        fused = self.fuse(torch.stack(parts, 1))  # n p d
        rows, cols = self.motion_grid
        return resize_tokens(rearrange(fused, "n (y x) d -> n y x d", y=rows, x=cols), self.grid)

    # ---- the two ways through

    def forward(self, clip: Tensor, detach_context: bool = False) -> Prediction:
        """(b, t >= k, c, h, w) -> predictions for the m = t - k + 1 windows of k frames.

        detach_context: the first k - 1 frames, which only ever are the past of a window, are
        encoded without gradient (truncated back-propagation; the numbers are the same).
        """
        self.check(clip)
        b, t = clip.shape[:2]
        k, m = self.history, clip.shape[1] - self.history + 1
        if m < 1:
            raise ValueError(f"M2S2L needs clips of at least {k} frames, got {t}")
        # Eq. 3, every frame once; window i pools frames i ... i + k - 1.
        weights = self.frame_weights.softmax(0)
        pool = torch.stack([F.pad(weights, (i, m - 1 - i)) for i in range(m)])  # m t
        cut = k - 1 if detach_context else 0
        with torch.no_grad():
            past = self.encode(clip[:, :cut].flatten(0, 1)) if cut else ()
        pooled = tuple(
            torch.einsum("mt,bt...->bm...", pool[:, cut:], g.unflatten(0, (b, t - cut)))
            for g in self.encode(clip[:, cut:].flatten(0, 1))
        )
        if cut:
            pooled = tuple(
                g + torch.einsum("mt,bt...->bm...", pool[:, :cut], p.unflatten(0, (b, cut)))
                for g, p in zip(pooled, past, strict=True)
            )
        differences = motion(clip[:, :-1], clip[:, 1:])  # b (t-1) c h w
        embedded = self.motion_embed(differences.flatten(0, 1)).flatten(1, 2)  # b(t-1) p d
        windows = [
            last_of(tmb.project(embedded).unflatten(0, (b, t - 1)), tmb.length, k - 1, m, 2)
            for tmb in self.tmb
        ]
        newest = embedded.unflatten(0, (b, t - 1))[:, k - 2 :].flatten(0, 1)
        h = self.temporal(windows, newest)
        if self.detail is not None:
            recent = last_of(differences, self.config.detail_frames, k - 1, m)
            h = h + self.detail(recent.flatten(1, 2))
        out = self.decode(
            self.spatial(tuple(g.flatten(0, 1) for g in pooled)), h, clip[:, k - 1 :].flatten(0, 1)
        )
        moved = None if out.motion is None else out.motion.unflatten(0, (b, m))
        return Prediction(out.frame.unflatten(0, (b, m)), moved, out.features)

    def init_state(self) -> M2S2LState:
        """State of a stream that has seen no frame."""
        return M2S2LState()

    def step(self, state: M2S2LState, frame: Tensor) -> tuple[M2S2LState, Prediction | None]:
        """One new frame (b, c, h, w) of one stream, or of b that began together."""
        states, predictions = self.step_batch([state], [frame])
        return states[0], predictions[0]

    def step_batch(
        self, states: Sequence[M2S2LState], frames: Sequence[Tensor]
    ) -> tuple[list[M2S2LState], list[Prediction | None]]:
        """One new frame of each stream: encodes only them and their differences, all at once."""
        for frame in frames:
            self.check(frame)
        encoded = split(self.encode(join(frames)), frames)
        new = [
            replace(s, last=f, frames=(*s.frames, maps)[-self.history :])
            for s, f, maps in zip(states, frames, encoded, strict=True)
        ]
        newest = self._difference(states, new)
        ready = [i for i in newest if len(new[i].frames) == self.history]
        if not ready:
            return new, [None] * len(new)
        weights = self.frame_weights.softmax(0)
        pooled = tuple(
            join([blocks.weighted_sum(weights, [f[i] for f in new[r].frames]) for r in ready])
            for i in range(len(self.encoder))
        )
        windows = [
            join([torch.stack([p[j] for p in new[r].motions[-tmb.length :]], 2) for r in ready])
            for j, tmb in enumerate(self.tmb)
        ]
        h = self.temporal(windows, join([newest[r] for r in ready]))
        if self.detail is not None:  # of the i-th oldest difference, what it adds at that age
            ages = [[d[i] for i, d in enumerate(new[r].details)] for r in ready]
            h = h + join([self.detail.joined(portions) for portions in ages])
        of_ready = [frames[r] for r in ready]
        out = self.decode(self.spatial(pooled), h, join(of_ready))
        found = dict(zip(ready, shares(out, of_ready), strict=True))
        return new, [found.get(i) for i in range(len(new))]

    def _difference(self, old: Sequence[M2S2LState], new: list[M2S2LState]) -> dict[int, Tensor]:
        """Take the newest differences into `new`; their embeddings (b, p, d) by stream."""
        moved = [i for i, s in enumerate(old) if s.last is not None]
        if not moved:
            return {}
        differences = [motion(cast(Tensor, old[i].last), cast(Tensor, new[i].last)) for i in moved]
        now = join(differences)
        newest = self.motion_embed(now).flatten(1, 2)
        projected = split(tuple(tmb.project(newest) for tmb in self.tmb), differences)
        ages = (
            split(self.detail.portions(now, self.config.detail_frames), differences)
            if self.detail is not None
            else [()] * len(moved)
        )
        for i, p, d in zip(moved, projected, ages, strict=True):
            new[i] = replace(
                new[i],
                motions=(*old[i].motions, p)[-(self.history - 1) :],
                details=(*old[i].details, d)[-self.config.detail_frames :] if d else (),
            )
        return dict(zip(moved, newest.split([len(d) for d in differences]), strict=True))

    def decode(self, g: Tensor, h: Tensor, last: Tensor) -> Prediction:
        """Fusion, decomposition, memories, decoders (section II-D); all (n, ...)."""
        fused = self.norm(g + h)
        features = {}
        if self.config.decompose:
            common = torch.sigmoid(self.gate_common(fused)) * fused
            rest = fused - common
            app, mot = self.to_app(rest), self.to_motion(rest)
            if self.config.specific == "gate":
                app, mot = torch.sigmoid(app) * rest, torch.sigmoid(mot) * rest
            features = {"app": app.flatten(1, 2), "motion": mot.flatten(1, 2)}
            common = self._recall("common", common)
            to_frame = common + self._recall("app", app)
            to_motion = common + self._recall("motion", mot)
        else:
            to_frame = to_motion = self._recall("common", fused)
        change = self.decode_app(to_frame)
        direct = self.background is not None
        frame = torch.tanh(self.background + change) if direct else last + change
        moved = None if self.decode_motion is None else self.decode_motion(to_motion)
        return Prediction(frame, moved, features)

    def _recall(self, part: str, x: Tensor) -> Tensor:
        out: Tensor = self.memory[part](x) if self.config.memory_items else x
        return out

    # ---- training

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """L_total (Eq. 7-9) as its weighted parts; clip (b, t + 1, c, h, w)."""
        cfg, k = self.config, self.history
        at = k if self.motion_is_next else k - 1
        m = prediction.frame.shape[1]
        target = clip[:, k : k + m].flatten(0, 1)
        moved = motion(clip[:, at - 1 : at - 1 + m], clip[:, at : at + m]).flatten(0, 1)
        frame = prediction.frame.flatten(0, 1)
        parts = {"frame": losses.intensity(frame, target)}
        if cfg.lambda_gradient:
            parts["gradient"] = cfg.lambda_gradient * losses.gradient(frame, target)
        if prediction.motion is not None:
            moving = prediction.motion.flatten(0, 1)
            parts["motion"] = cfg.lambda_motion * losses.intensity(moving, moved)
            if cfg.lambda_ssim:
                weight = cfg.lambda_motion * cfg.lambda_ssim
                parts["ssim"] = weight * (1 - losses.ssim(moving, moved))
        if cfg.lambda_separate and cfg.decompose:
            app, mot = prediction.features["app"], prediction.features["motion"]
            separate = losses.separate(app, mot, literal=cfg.literal_separate)
            parts["separate"] = cfg.lambda_separate * separate
        return parts

    @torch.no_grad()
    def start_from(self, still: Tensor) -> None:
        """Start the learnt background at what stands still in the training footage (c, h, w)."""
        if self.background is not None:
            self.background.copy_(torch.atanh(still.clamp(-0.99, 0.99)))

    def paper_score(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """-(alpha PSNR_frame + (1 - alpha) PSNR_motion) (II-F): a protocol's min-max follows."""
        frame = np.asarray(terms.get("psnr_frame", terms["psnr"]), np.float64)
        if "psnr_motion" not in terms:
            return -frame
        return -(alpha * frame + (1 - alpha) * np.asarray(terms["psnr_motion"], np.float64))

    def scan_flops(self, frames: int = 1) -> int:
        """9 L D N of every selective scan for one prediction that encodes `frames` frames."""
        cfg = self.config
        places = [(cfg.size // r) ** 2 for r in cfg.patches]
        encoders = sum(map(blocks.scan_flops, self.encoder, places))
        drawn = [d for d in (self.decode_app, self.decode_motion) if d is not None]
        decoders = sum(blocks.scan_flops(d, places[0]) for d in drawn)
        p = self.motion_grid[0] * self.motion_grid[1]
        return frames * encoders + decoders + sum(t.scan_flops(p) for t in self.tmb)
