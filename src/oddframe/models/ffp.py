"""FFP (Liu et al., CVPR 2018, arXiv 1712.09867): future frame prediction.

A U-Net sees four frames and draws the next; normal frames come out sharp, others do not. Score:
the PSNR of the drawn frame.

Letters: n windows, k history, c h w colour, rows, columns. Frames are float32 RGB in [-1, 1].

DEVIATION (1): no flow term: it needs a pretrained FlowNet, whose weights are not ours to give.
    `lambda_flow` > 0 is refused.
DEVIATION (2): no adversarial term: a second network and optimiser, to sharpen pictures that are
    only measured; the paper's ablation has it at a fraction of a point. Refused likewise. The
    published parameters and cost are those of more than this predictor.
DEVIATION (3): BatchNorm after every convolution but the last, as MNAD has the same U-Net.
DEVIATION (4): up-sampling by 3 x 3 transposed convolutions of stride 2, as MNAD.
DEVIATION (5): losses are means over pixels, not sums: weights do not depend on the size.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from torch import Tensor

from oddframe import losses
from oddframe.config import Config
from oddframe.models.base import Prediction
from oddframe.models.unet import SHRINKS, UNet
from oddframe.models.windowed import Windowed


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
    """Weight of the flow term (paper: 2); only 0 is implemented."""
    lambda_adversarial: float = Field(0.0, ge=0)
    """Weight of the adversarial term (paper: .05); only 0 is implemented."""

    @model_validator(mode="after")
    def _implemented(self) -> Self:
        if self.lambda_flow:
            raise ValueError(
                f"lambda_flow {self.lambda_flow} needs a pretrained optical-flow network, which "
                "oddframe does not ship: leave it at 0"
            )
        if self.lambda_adversarial:
            raise ValueError(
                f"lambda_adversarial {self.lambda_adversarial} needs a discriminator, which "
                "oddframe does not train: leave it at 0"
            )
        return self


SIZES: dict[str, dict[str, object]] = {"ffp": {}, "ffp-128": {"size": 128, "width": 32}}
"""Differences of each size from `FFPConfig`'s defaults."""


class FFP(Windowed):
    """The predictor; see the head of this file for the paper and the deviations."""

    def __init__(self, config: FFPConfig) -> None:
        super().__init__()
        self.config = config
        self.history, self.size = config.history, config.size
        self.unet = UNet(3 * config.history, config.width)

    def window(self, frames: Tensor) -> Prediction:
        """The next frame of each window (n, k, c, h, w)."""
        return Prediction(self.unet.decode(*self.unet.encode(frames.flatten(1, 2))), None)

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Intensity and gradient (Eq. 3-4); clip (b, t + 1, c, h, w)."""
        frame, target = self.to_come(prediction, clip)
        parts = {"frame": losses.intensity(frame, target)}
        if self.config.lambda_gradient:
            weight = self.config.lambda_gradient
            parts["gradient"] = weight * losses.gradient(frame, target)
        return parts
