"""Which light a picture is in: colour, or infrared, which is grey.

    colourfulness(image)               # 0: grey, whatever its tint
    light = Light(); light.of(frame)   # "colour" or "infrared"
    lights_of(values, times)           # the same of a whole clip
    modes_of(calibration)              # the lights that have a threshold of their own

A camera that switches to infrared at night shows another scene: other contrasts, other noise,
insects in the lamp. Its scores have another range, so they have a threshold of their own
(`calibration.calibrate`). What counts is what the picture is, not the clock: a lamp that is
switched on makes it colour at midnight. A camera that is always grey is always infrared here, which
does no harm: there is one light, and one threshold.

The picture is made small first: area means take the noise of the sensor and of the codec out. Grey
with a tint is grey (many infrared pictures are a little pink): what a constant share of the
brightness explains is taken off. What is left, its 90 % quantile in grey levels: an indoor camera
over two days 0.1 to 0.6 in infrared and 14 to 76 in colour, CUHK Avenue 20 to 30, CDnet's highway
13 to 19.

Letters: n frames, h, w rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.types import Image

Mode = Literal["colour", "infrared"]
SMALL_PX = 32
QUANTILE = 0.9
GREY, COLOURED = 3.0, 6.0
"""Below the one it is infrared, above the other colour; between them what it was."""
HOLD_S = 3.0
"""So long a picture must be in the other light before that holds: longer than a flash, a lamp that
starts, or the grey second in which a camera changes its filter."""
LOOK_S = 1.0
"""How often a stream's picture is looked at."""


class Shown(Protocol):
    """A frame, of files or live."""

    @property
    def pts_s(self) -> float:
        """When it was shown, on the stream's clock."""

    def at(self, size: int) -> Image:
        """(size, size, 3) BGR uint8."""


def colourfulness(image: Image) -> float:
    """How much colour there is in a picture (h, w, 3) BGR of any size, in grey levels."""
    small = cv2.resize(image, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA)
    blue, green, red = np.moveaxis(small.astype(np.float32), 2, 0)
    bright = (blue + green + red) / 3
    power = float((bright * bright).sum())
    left = []
    for other in (blue, red):
        difference = other - green
        tint = float((difference * bright).sum()) / power if power else 0.0
        left.append(np.abs(difference - tint * bright))
    return float(np.quantile(np.maximum(*left), QUANTILE))


@dataclass(slots=True)
class Light:
    """The light of one camera, frame by frame."""

    mode: Mode | None = None
    """None before the first frame."""
    _since_s: float | None = field(default=None, repr=False)
    _second: float = field(default=math.nan, repr=False)

    def of(self, frame: Shown) -> Mode:
        """The light of the next frame, by a look at the first frame of each second: the same ones
        wherever reading begins."""
        second = frame.pts_s // LOOK_S
        if self.mode is None or second != self._second:
            self._second = second
            return self.take(colourfulness(frame.at(SMALL_PX)), frame.pts_s)
        return self.mode

    def take(self, colour: float, pts_s: float) -> Mode:
        """The light after one more frame.

        Args:
            colour: its `colourfulness`.
            pts_s: when it was shown, on the stream's clock; where that goes back, waiting begins
                anew.
        """
        if self.mode is None:
            self.mode = "colour" if colour > (GREY + COLOURED) / 2 else "infrared"
        against = colour < GREY if self.mode == "colour" else colour > COLOURED
        if not against:
            self._since_s = None
        elif self._since_s is None or pts_s < self._since_s:
            self._since_s = pts_s
        elif pts_s - self._since_s >= HOLD_S:
            self.mode = "infrared" if self.mode == "colour" else "colour"
            self._since_s = None
        return self.mode


def lights_of(colours: NDArray[np.floating], time_s: NDArray[np.floating]) -> NDArray[np.str_]:
    """The light of every frame of a clip (n,), from its `colourfulness` and times in seconds."""
    light = Light()
    pairs = zip(colours.tolist(), time_s.tolist(), strict=True)
    return np.array([light.take(c, t) for c, t in pairs], dtype="U8")


def modes_of(calibration: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """What a calibration knows of each light, where several have a threshold of their own; {} where
    one threshold holds for all light: one light alone is no news beside it."""
    known: Mapping[str, Mapping[str, Any]] = calibration.get("modes") or {}
    return known if len(known) > 1 else {}
