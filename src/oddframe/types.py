"""The plain data that crosses module borders: small, frozen, no torch.

Letters in shapes: h, w rows and columns; n frames of one video.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture as OpenCV delivers it: (h, w, 3), BGR, uint8."""

Map = NDArray[np.float32]
"""A map over the picture: (h, w) float32."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about a source before its first frame."""

    name: str
    """File stem, folder name or camera index, for messages and output names."""
    width: int
    height: int
    """Size of the delivered frames in pixels."""
    fps: float
    """Frames per second (25.0 where the source does not say: frame folders)."""
    frames: int | None
    """Number of frames where it is known for certain, None for cameras and streams."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one source."""

    index: int
    """Number of the frame in its source, from 0."""
    pts_s: float
    """Position in the stream in seconds."""
    image: Image
    """(h, w, 3) BGR uint8."""


@dataclass(frozen=True, slots=True)
class Score:
    """One scored frame of one camera (larger = more anomalous)."""

    index: int
    """Number of the frame in its source, from 0."""
    pts_s: float
    """Position in the stream in seconds."""
    score: float
    """The `deploy` score: causal, no test statistics; about 0 on normal footage of the scene."""
    level: float
    """score / threshold; 1.0 is the alarm threshold, NaN before the run is calibrated."""
    alarm: bool
    """level >= 1."""
    terms: dict[str, float] = field(default_factory=dict)
    """The raw terms behind the score, one CSV column each, in the units of model and streams."""
    heat: Map | None = None
    """(h, w) at the working size: how unusual each place is, in units of `score`."""
