"""FFP (Liu et al., CVPR 2018, arXiv 1712.09867): future frame prediction.

A U-Net sees four frames and draws the next; normal frames come out sharp, others do not. Score:
the PSNR of the drawn frame.

Letters: n windows, k history, c h w colour, rows, columns. Frames are float32 RGB in [-1, 1].

DEVIATION (1): the flow term compares flow by Lucas and Kanade, which is differentiable and needs no
    weights, not a pretrained FlowNet's. Off by default (`lambda_flow`; paper: 2).
DEVIATION (2): the adversarial term is off by default (`lambda_adversarial`; paper: .05): it trains
    a second network, to sharpen pictures that are only measured. Its discriminator is PatchGAN's
    (Isola et al. 2017) without norms and has the same optimiser and rate as the predictor.
DEVIATION (3): BatchNorm after every convolution but the last, as MNAD has the same U-Net.
DEVIATION (4): up-sampling by 3 x 3 transposed convolutions of stride 2, as MNAD.
DEVIATION (5): losses are means over pixels, not sums: weights do not depend on the size.
DEVIATION (6): the published 24.2 M and 148.1 GMAC are those of more than the predictor, whose four
    levels the paper draws: discriminator and FlowNet, of which nothing is needed for a score.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from oddframe import losses
from oddframe.config import Config
from oddframe.models.base import Prediction
from oddframe.models.unet import SHRINKS, UNet
from oddframe.models.windowed import Windowed

FLOW_WINDOW = 9
"""Side of the windows in which Lucas and Kanade take the motion to be one, of pictures halved."""
FLAT = 1e-3
"""Mean squared gradient below which a place counts as flat: its flow goes to 0, not to infinity."""


class FFPConfig(Config):
    """Everything that shapes FFP; the defaults are the paper's size."""

    size: int = Field(256, ge=16, multiple_of=SHRINKS)
    """Rows and columns of the input in pixels."""
    history: int = Field(4, ge=2)
    """k: frames that one prediction looks at."""
    width: int = Field(64, ge=1)
    """Channels of the finest level; each coarser one has twice as many."""
    lambda_gradient: float = Field(1.0, ge=0)
    """Weight of the gradient term."""
    lambda_flow: float = Field(0.0, ge=0)
    """Weight of the flow term (paper: 2)."""
    lambda_adversarial: float = Field(0.0, ge=0)
    """Weight of the adversarial term (paper: .05); 0 builds no discriminator."""


SIZES: dict[str, dict[str, object]] = {"ffp": {}, "ffp-128": {"size": 128, "width": 32}}
"""Differences of each size from `FFPConfig`'s defaults."""
RECIPE: dict[str, dict[str, object]] = {
    # Section 4.2: weights 1, 1, 2 and .05; Adam, batches of 4, 2e-4 in colour (1e-4 in grey).
    # Not printed: schedule and epochs.
    "model": {"lambda_gradient": 1.0, "lambda_flow": 2.0, "lambda_adversarial": 0.05},
    "train": {"lr": 2e-4, "schedule": "none", "epochs": 60, "batch": 4, "targets": 1},
}
"""How the paper trains (`--recipe paper`)."""


class Discriminator(nn.Sequential):
    """PatchGAN: (n, 3, h, w) -> (n, 1, h / 8, w / 8), 1 where a patch looks real."""

    def __init__(self, width: int) -> None:
        widths = (3, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise(widths):
            layers += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def frozen(self, x: Tensor) -> Tensor:
        """The same, but a gradient goes on to x alone."""
        own = {name: value.detach() for name, value in self.named_parameters()}
        out: Tensor = torch.func.functional_call(self, own, (x,))
        return out


class FFP(Windowed):
    """The predictor; see the head of this file for the paper and the deviations."""

    def __init__(self, config: FFPConfig) -> None:
        super().__init__()
        self.config = config
        self.history, self.size = config.history, config.size
        self.unet = UNet(3 * config.history, config.width)
        self.judge = Discriminator(config.width) if config.lambda_adversarial else None

    def window(self, frames: Tensor) -> Prediction:
        """The next frame of each window (n, k, c, h, w)."""
        return Prediction(self.unet.decode(*self.unet.encode(frames.flatten(1, 2))), None)

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Intensity, gradient, flow, adversarial (section 3); clip (b, t + 1, c, h, w).

        `judge` is the discriminator's own loss, whose gradient no prediction sees.
        """
        cfg, (frame, target) = self.config, self.to_come(prediction, clip)
        parts = {"frame": losses.intensity(frame, target)}
        if cfg.lambda_gradient:
            parts["gradient"] = cfg.lambda_gradient * losses.gradient(frame, target)
        if cfg.lambda_flow:
            last = clip[:, self.history - 1 : -1].flatten(0, 1)
            apart = lucas_kanade(frame, last) - lucas_kanade(target, last)
            parts["flow"] = cfg.lambda_flow * apart.abs().mean()
        if self.judge is not None:
            taken = self.judge.frozen(frame)
            parts["adversarial"] = cfg.lambda_adversarial * _half_square(taken, 1)
            parts["judge"] = _half_square(self.judge(target), 1) + _half_square(
                self.judge(frame.detach()), 0
            )
        return parts


def lucas_kanade(current: Tensor, past: Tensor) -> Tensor:
    """Where places of the current picture were before: (n, c, h, w) both -> (n, 2, h / 2, w / 2).

    x, y in pixels of pictures halved, by least squares of the brightness constancy over windows of
    `FLOW_WINDOW` (Lucas and Kanade 1981), which is differentiable. One step: it sees motions of a
    pixel or two.
    """
    now, then = (F.avg_pool2d(x.mean(1, keepdim=True), 2) for x in (current, past))
    middle = F.pad((now + then) / 2, (1, 1, 1, 1), mode="replicate")
    x = (middle[..., 1:-1, 2:] - middle[..., 1:-1, :-2]) / 2
    y = (middle[..., 2:, 1:-1] - middle[..., :-2, 1:-1]) / 2
    change = now - then

    def near(v: Tensor) -> Tensor:
        return F.avg_pool2d(v, FLOW_WINDOW, 1, FLOW_WINDOW // 2, count_include_pad=False)

    # Where was a place before: then(p + f) = now(p), so grad f = now - then.
    xx, xy, yy = near(x * x) + FLAT, near(x * y), near(y * y) + FLAT
    xt, yt = near(x * change), near(y * change)
    determinant = xx * yy - xy * xy
    return torch.cat((yy * xt - xy * yt, xx * yt - xy * xt), 1) / determinant


def _half_square(x: Tensor, wanted: float) -> Tensor:
    return (x - wanted).square().mean() / 2
