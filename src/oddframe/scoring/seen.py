"""A frame on its way to a score: preprocessed, seen, remembered.

Letters: h w rows and columns of the working size, c colour, g places across.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from oddframe.models.base import Prediction
from oddframe.scoring.spots import Pardon
from oddframe.scoring.usual import Past
from oddframe.types import Map


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """What is known of a frame without the model: plain arrays, so torch stays in one thread."""

    frame: NDArray[np.float32]
    """V_t, (c, h, w): RGB in [-1, 1], then the channels that the model's frames carry."""
    local: dict[str, Map]
    """Streams that need no model: of optical flow (h, w), or what `Usual` knows (g, g); empty
    without flow and in the first two frames."""
    past: Past
    """For `preprocess` with the next frame."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The pictures behind an observation, for people to look at: on the model's device."""

    shown: Tensor
    """(3, h, w): the frame that the prediction is held against, in [-1, 1]."""
    predicted: Tensor
    """(3, h, w): what the model made of it."""
    moved: Tensor | None
    """(c, h, w): the motion that there was (`VADModel.moved`); None where the model has none."""
    motion: Tensor | None
    """(c, h, w): what the model made of that."""
    frame_lag: int
    """Looks that `shown` lies behind the one observed: 1 of a model that reconstructs, else 0."""
    motion_lag: int
    """The same of the frame that `moved` leads to: 0 of a model that predicts motion, else 1."""
    frame: int | None = None
    """Number of the frame `shown`; None where no source is followed."""
    moved_to: int | None = None
    """Number of the frame that `moved` leads to."""

    def numbered(self, now: int, before: int) -> Compared:
        """With the numbers of the frames that are shown, where frames are left out by their rate.

        now: of the frame looked at; before: of the one looked at before it."""
        numbers = (now, before)
        return replace(self, frame=numbers[self.frame_lag], moved_to=numbers[self.motion_lag])


@dataclass(frozen=True, slots=True)
class Observation:
    """What one frame shows before it is compared with the scene."""

    local: dict[str, Map]
    """Per stream its local means, (h, w)."""
    compared: Compared
    """What was held against what."""
    psnr_frame: float
    """PSNR in dB of the predicted frame; of a model that reconstructs, of the frame before it."""
    psnr_motion: float | None
    """PSNR of the reconstructed motion in dB, of the window that predicted this frame; None where
    the model reconstructs none."""
    terms: dict[str, float] = field(default_factory=dict)
    """The model's own terms of that window, see `Prediction.terms`."""


@dataclass(frozen=True, slots=True)
class ScorerState:
    """Everything a stream has to remember; `step` returns a new one and leaves the old alone."""

    model: Any
    index: int = 0
    last: Tensor | None = None
    """V_{t-1}, (1, c, h, w)."""
    expected: Prediction | None = None
    """What the model predicted for the frame that comes, or reconstructed of `last`."""
    moved: Tensor | None = None
    """M_{t-1} (`VADModel.moved`) where `expected.motion` is about it, else None."""
    past: Past = field(default_factory=Past)
    smooth: float | None = field(default=None)
    pardon: Pardon | None = None
    """What is normal to this stream although it scores; it outlives gaps."""
    light: Any = None
    """Which light it is in, of whoever holds scores against one threshold for each; it outlives
    gaps."""
