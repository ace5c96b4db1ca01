"""The plain data that crosses module borders: small, frozen, no torch.

Letters in shapes: h, w rows and columns; n frames of one video.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from oddframe.pictures import Image, Picture, as_picture

__all__ = ["Frame", "Image", "Map", "Score", "SourceInfo"]

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
    """Frames per second: 1 / the usual step between stamps (25.0 where there are none: frame
    folders whose rate was not given)."""
    frames: int | None
    """Number of frames where it is known for certain, None for cameras and streams."""
    assumed: bool = False
    """Nothing says the rate: `fps` is what is usual."""
    steady: bool = True
    """Nearly all steps between stamps are like the usual one."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one source.

    Made of a picture or of plain numbers, (h, w, 3) BGR uint8.
    """

    index: int
    """Number of the frame in its source, from 0."""
    pts_s: float
    """Position in the stream in seconds, by its stamps."""
    picture: Picture
    gap: bool = False
    """What came just before is missing or damaged (a pause, lost packets), or the picture itself
    is: nothing of the past may be compared with it."""
    arrived_s: float | None = None
    """When a live source gave it, by `time.monotonic`; None of files."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "picture", as_picture(self.picture))

    @property
    def image(self) -> Image:
        """(h, w, 3) BGR uint8, as large as its source."""
        return self.picture.whole()

    def at(self, size: int) -> Image:
        """(size, size, 3) BGR uint8: what models see."""
        return self.picture.at(size)


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
    held: bool = False
    """The frame lies between two of the RUN's rate and was not looked at: the score before it."""
    age_s: float | None = None
    """Of live sources, seconds from the arrival of the frame to its score; None of files."""
    threshold: float | None = None
    """What the score is held against: that of the alarm, in the light of the frame where each has
    its own. None before the run is calibrated, and where there is no score."""

    def against(self, threshold: float | None, value: float | None = None) -> Score:
        """Held against a threshold, None: there is none. value: in place of its score."""
        value = self.score if value is None else value
        level = math.nan if threshold is None else max(value, 0.0) / threshold  # NaN stays NaN
        return replace(self, score=value, level=level, alarm=level >= 1, threshold=threshold)
