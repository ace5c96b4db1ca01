"""What can be asked of the made street scene, and what one of its frames carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError
from oddframe.types import Image

ANOMALIES = ("cyclist", "cart", "runner", "wrong_way", "left_object")
"""Every kind of anomaly, in the order in which test clips take them."""

REFERENCE_AREA = 360 * 240
"""Picture size in pixels for which `SynthConfig.min_area` holds."""


@dataclass(frozen=True, slots=True)
class SynthConfig:
    """One made scene: `seed` fixes camera, street, colours; clips differ in people and weather."""

    seed: int = 0
    """Which street. The same seed gives the same pixels on the same OpenCV."""
    width: int = 360
    height: int = 240
    """Picture size in pixels, both even (video codecs want that)."""
    fps: float = 15.0
    """Frames per second of the written clips."""
    train_clips: int = 6
    """Normal clips in `normal/`."""
    train_seconds: float = 16.0
    """Length of each of them in seconds."""
    test_clips: int = 5
    """Clips in `test/`; with fewer than three, not every kind of anomaly appears."""
    test_seconds: float = 14.0
    """Length of each of them in seconds; below about 10 s the normal parts get short."""
    kinds: tuple[str, ...] = ANOMALIES
    """Kinds of anomaly that the test clips take in turn."""
    people: float = 6.0
    """Walkers in view on average; more people hide more of each other."""
    noise: float = 1.8
    """Sensor noise: standard deviation in grey levels of 255."""
    min_area: float = 40.0
    """An anomaly counts while so many of its pixels are visible (at 360x240; else scaled)."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "seed": (0, 2**31 - 1),
            "width": (96, 1920),
            "height": (96, 1080),
            "fps": (1, 60),
            "train_clips": (0, 1000),
            "train_seconds": (0.5, 3600),
            "test_clips": (0, 1000),
            "test_seconds": (0.5, 3600),
            "people": (0, 40),
            "noise": (0, 20),
            "min_area": (1, 10000),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:  # also catches NaN
                raise ConfigError(f"SynthConfig.{name} must be {low:g} to {high:g}, got {value}.")
        for name in ("width", "height"):
            if getattr(self, name) % 2:
                raise ConfigError(f"SynthConfig.{name} must be even, got {getattr(self, name)}.")
        unknown = [kind for kind in self.kinds if kind not in ANOMALIES]
        if unknown or not self.kinds:
            found = ", ".join(unknown) or "none"
            raise ConfigError(
                f"SynthConfig.kinds: expected some of {', '.join(ANOMALIES)}; found {found}."
            )

    @property
    def min_area_px(self) -> float:
        """`min_area` in pixels of this picture size."""
        return self.min_area * self.width * self.height / REFERENCE_AREA


@dataclass(frozen=True, slots=True)
class Box:
    """The visible part of one anomaly: columns x0..x1 and rows y0..y1, the ends exclusive."""

    kind: str
    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class SynthFrame:
    """One rendered frame with its truth; `label`, `boxes` and `mask` always agree."""

    image: Image
    """(h, w, 3) BGR uint8."""
    label: int
    """1 where at least one anomaly has `min_area` visible pixels."""
    boxes: tuple[Box, ...]
    """One per such anomaly."""
    mask: NDArray[np.bool_]
    """(h, w): the visible pixels of those anomalies, before noise and blur."""
