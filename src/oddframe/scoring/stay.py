"""What stays that was not there: a bag, a car, somebody who stands where nobody stands.

A place counts the seconds for which it has differed from the median picture of the normal footage,
no faster than one for every 12 grey levels by which it differs, and no further than to 8:

    stayed = min(differs / 12, stayed before + 1 / fps, 8)

So whoever walks by leaves nothing behind, and a faint shadow never counts for long. Differences
that a whole neighbourhood shares are taken out first: light changes, things do not.

Letters: h w rows and columns of a picture   g rows and columns of the grid (`ways.GRID`)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from oddframe.scoring.local import box_mean
from oddframe.scoring.look import Grey
from oddframe.scoring.ways import GRID
from oddframe.types import Map

STAY_PX = 128
"""Height and width that frames are compared with: what a model of 128 px learned from and what a
camera brings then differ by a grey level, at 256 px by every edge."""
BLOCK_PX = 6
"""Window of the local means, 12 px at 256: half of the others', things that are left are small."""
LEVELS_PER_S = 12.0
"""Grey levels for which a second counts."""
MOST_S = 8.0
"""Longer than this is no more."""
AROUND = 21
"""Cells across of what is taken for the neighbourhood: a third of the picture."""
LEAST_STD_S = 1 / LEVELS_PER_S
"""The least deviation of the normal range: one grey level."""


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """A scene while nothing odd stands in it."""

    picture: Grey
    """(128, 128): the median of its normal footage, as `small` makes it."""
    fps: float
    """Frames per second of the footage that comes."""

    def after(self, before: Map | None, grey: Grey, steps: float = 1.0) -> Map:
        """(g, g) float32: for how many seconds each place has been another.

        before: the same of the frame before; None at the start and behind a gap.
        grey: the next frame, (256, 256).
        steps: frames of that rate since the frame before.
        """
        seconds = differs(small(grey), self.picture) / LEVELS_PER_S
        longest = np.zeros_like(seconds) if before is None else before
        longest = np.minimum(longest + np.float32(steps / self.fps), MOST_S)
        return np.asarray(np.minimum(seconds, longest), np.float32)

    @property
    def memory(self) -> int:
        """Frames after which nothing of those before matters."""
        return math.ceil(MOST_S * self.fps)


def small(grey: Grey) -> Grey:
    """A picture (256, 256) as it is compared: (128, 128), by area."""
    return np.asarray(cv2.resize(grey, (STAY_PX, STAY_PX), interpolation=cv2.INTER_AREA), np.uint8)


def differs(grey: Grey, picture: Grey) -> Map:
    """(g, g): mean differences of 6-px windows of two pictures (128, 128) in grey levels, without
    what the 42 px around have in common."""
    signed = grey.astype(np.float32) - picture.astype(np.float32)
    every = STAY_PX // GRID
    cells = cv2.resize(signed, (GRID, GRID), interpolation=cv2.INTER_AREA)
    # OpenCV takes large medians of bytes only: half a byte for each sign, in steps of two levels.
    coarse = np.clip(np.rint(cells / 2) + 128, 0, 255).astype(np.uint8)
    common = (cv2.medianBlur(coarse, AROUND).astype(np.float32) - 128) * 2
    shared = cv2.resize(common, (STAY_PX, STAY_PX), interpolation=cv2.INTER_LINEAR)
    return box_mean(np.abs(signed - shared), BLOCK_PX)[::every, ::every].copy()
