"""The model's own share of a score, inside a graph: twins of `scoring` in torch.

What is fused here are the streams that come out of the model (`scoring.fuse.OWN`), so the score is
the term `own`. Streams that need no model are OpenCV's and stay outside; who has them fuses the
local means that the graph gives with theirs, as `Scorer.score` does.

Letters: h w rows and columns of the working size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oddframe.scoring.fuse import OWN
from oddframe.scoring.look import SIZE_PX
from oddframe.scoring.scene import StreamScene
from oddframe.scoring.scorer import decibels
from oddframe.scoring.settings import ScoreConfig


@dataclass(frozen=True, slots=True)
class Seen:
    """What one frame shows, as tensors."""

    local: dict[str, Tensor]
    """Per stream its local means, (h, w)."""
    terms: dict[str, Tensor]
    """Raw terms by name, () each."""
    score: Tensor
    """(), not smoothed."""
    heat: Tensor
    """(h, w)."""


class Judge(nn.Module):
    """Errors -> local means -> how unusual -> score, for the streams of one model."""

    def __init__(
        self, size: int, alpha: float, config: ScoreConfig, scene: Mapping[str, StreamScene]
    ) -> None:
        super().__init__()
        self.block = max(1, round(config.block_px * size / SIZE_PX))
        self.alpha, self.config = alpha, config
        self.scene = {name: stream for name, stream in scene.items() if name in OWN}
        for name, stream in self.scene.items():
            # A copy: the scene's own array is not to be written to.
            self.register_buffer(f"rows_{name}", torch.from_numpy(stream.rows(size).copy()))

    def forward(self, errors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Seen:
        """errors: squared errors (h, w) of `frame` and, where there is one, `motion`.

        own: the model's own terms, () each.
        """
        decibel = {name: decibels(error) for name, error in errors.items()}
        terms = {"psnr": decibel["frame"], "psnr_frame": decibel["frame"], **own}
        if "motion" in decibel:
            share = self.alpha
            terms["psnr"] = share * decibel["frame"] + (1 - share) * decibel["motion"]
            terms["psnr_motion"] = decibel["motion"]
        local = {name: box_mean(error, self.block) for name, error in errors.items()}
        unusual = {name: self.unusual(name, x) for name, x in local.items()}
        worst = {name: x.max() for name, x in unusual.items()}
        terms |= {f"local_{name}": x.max() for name, x in local.items()}
        terms |= {f"z_{name}": x for name, x in worst.items()}
        terms["own"] = self.fuse(worst)
        fused = [name for name in unusual if name in (self.config.streams or OWN)]
        score = self.fuse({name: worst[name] for name in fused})
        return Seen(local, terms, score, self.fuse({name: unusual[name] for name in fused}))

    def unusual(self, name: str, local: Tensor) -> Tensor:
        """Twin of `StreamScene.unusual`: (h, w) -> (h, w)."""
        stream = self.scene[name]
        values = local / self.get_buffer(f"rows_{name}")
        values = values if stream.linear else torch.log(values + stream.tiny)
        return (values - stream.mean) / stream.std

    def fuse(self, values: Mapping[str, Tensor]) -> Tensor:
        """Twin of `scoring.fuse.fuse` for streams of one voice."""
        parts, sharpness = torch.stack(list(values.values())), self.config.sharpness
        top = parts.amax(0)
        return top + torch.log(torch.exp(sharpness * (parts - top)).mean(0)) / sharpness


def box_mean(map_hw: Tensor, size_px: int) -> Tensor:
    """Twin of `scoring.local.box_mean` with a mirrored border: (h, w) -> (h, w)."""
    before, after = size_px // 2, size_px - 1 - size_px // 2
    wide = F.pad(map_hw[None, None], (before, after) * 2, mode="reflect")
    return F.avg_pool2d(F.avg_pool2d(wide, (size_px, 1), 1), (1, size_px), 1)[0, 0]
