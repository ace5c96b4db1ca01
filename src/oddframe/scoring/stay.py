"""What stays that was not there: a bag, a car, somebody who stands where nobody stands.

A place counts the seconds for which it has differed from the median picture of the normal footage,
no faster than one for every 12 grey levels by which it differs, and no further than to 8:

    stayed = min(differs / 12, stayed before + 1 / fps, 8)

So whoever walks by leaves nothing behind, and a faint shadow never counts for long. What is no
difference: an exposure that is set anew and a camera that sags by a pixel, both told from the whole
picture (`fitted`), and what a whole neighbourhood shares: light changes, things do not. In footage
of an empty office 8 % more light stood at 9 deviations, a sag of half a pixel at 30; both stand
below 1 now.

A place is held against what stands at places like it: trees sway, chairs are moved, somebody always
waits by the door. What is there for a quarter of the normal footage is usual there (`usual_at`),
and only what stays longer counts. Without that one such place speaks for the whole picture: of
patches put into half of five scenes' own footage the AUC was 63, 60, 50, 50 and 86 and is 100, 62,
85, 86 and 100 (PETS 2001 and 2009, an office, a room, a road).

Letters: h w rows and columns of a picture   g rows and columns of the grid (`ways.GRID`)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

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
LEAST_STD_S = 3 / LEVELS_PER_S
"""The least deviation of the normal range, three grey levels: of footage in which nothing ever
stood, noise alone would say how much is odd."""
OFTEN, NEAR = 0.75, 5
"""What is usual at a place: this quantile, the largest of so many cells across and then their
mean. With .9 a place is allowed more than two minutes of footage can tell: the street's AUC falls
from 92.1 to 91.4, with .99 to 87.9."""
OF_ALL = 1000
"""Frames that it is told from, about."""
FACTORS = (0.7, 1.4)
"""What an exposure may be set anew to, as a factor."""
SAGS_PX = 1.5
"""How far a camera may sag, at 128 px, in columns and in rows."""
UNLIKE = 20.0
"""Grey levels from which on a place counts for little in telling these: something is there."""
STEPS = 3
"""Of the search for them: a shift by .8 px is found to .02."""
EVERY = (slice(2, -2, 2), slice(2, -2, 2))
"""Places that are looked at for it."""
STAYS = np.diag([1.0, 1.0, 1.0, 1e-3])
"""By how much a factor of 1 and no shift are preferred: a flat picture tells neither."""
SLOPE = np.array([[-0.5, 0.0, 0.5]], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """A scene while nothing odd stands in it."""

    picture: Grey
    """(128, 128): the median of its normal footage, as `small` makes it."""
    fps: float
    """Frames per second of the footage that comes."""
    usual: Map | None = None
    """(g, g) seconds for which something stays at each place as a rule; None: nothing does."""

    def local(self, stayed: Map) -> Map:
        """(g, g): the seconds beyond what is usual at each place, of what `after` gave."""
        if self.usual is None:
            return stayed
        return np.asarray(np.maximum(stayed - self.usual, 0), np.float32)

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


def usual_at(stayed: Map) -> Map:
    """(n, g, g) seconds of normal frames -> `Stay.usual`: what a quarter of them pass at a place or
    near it."""
    some = stayed[:: max(1, len(stayed) // OF_ALL)].astype(np.float32)
    often = np.quantile(some, OFTEN, axis=0).astype(np.float32)
    reach = (NEAR, NEAR)
    return np.asarray(cv2.blur(cv2.dilate(often, np.ones(reach, np.uint8)), reach), np.float32)


def small(grey: Grey) -> Grey:
    """A picture (256, 256) as it is compared: (128, 128), by area."""
    return np.asarray(cv2.resize(grey, (STAY_PX, STAY_PX), interpolation=cv2.INTER_AREA), np.uint8)


def differs(grey: Grey, picture: Grey) -> Map:
    """(g, g): by how many grey levels two pictures (128, 128) differ, means of 6-px windows,
    without exposure and sag (`fitted`), and without what the 42 px around have in common."""
    now = grey.astype(np.float32)
    signed = now - fitted(picture.astype(np.float32), now)
    every = STAY_PX // GRID
    return box_mean(np.abs(signed - _shared(signed)), BLOCK_PX)[::every, ::every].copy()


def fitted(usual: Map, now: Map) -> Map:
    """The first picture (128, 128) as the camera that took the second would have taken it: in its
    exposure, and shifted with it.

    Least squares of grey level, factor and shift over the whole picture, in which places count for
    less the less they are alike (Cauchy's weights), by Gauss and Newton.
    """
    seen, factor, shift = now[EVERY].ravel(), 1.0, np.zeros(2)
    for _ in range(STEPS):
        there = _shifted(usual, shift)
        slopes = (cv2.filter2D(there, -1, SLOPE), cv2.filter2D(there, -1, SLOPE.T))
        terms = np.stack([x[EVERY].ravel() for x in (there, *slopes, np.ones_like(there))])
        apart = seen - terms[0] * np.float32(factor)
        apart -= np.median(apart)
        weighted = terms / (1 + np.square(apart / np.float32(UNLIKE)))
        normal = (weighted @ terms.T).astype(np.float64)
        found = np.linalg.solve(normal + STAYS, weighted @ seen + STAYS[0])
        factor = float(np.clip(found[0], *FACTORS))
        shift = np.clip(shift - found[1:3] / factor, -SAGS_PX, SAGS_PX)
    return np.asarray(np.minimum(_shifted(usual, shift) * np.float32(factor), np.float32(255)))


def _shifted(picture: Map, by: NDArray[np.float64]) -> Map:
    """A picture so many columns and rows further."""
    if not by.any():
        return picture
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32)
    size = picture.shape[::-1]
    return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE))


def _shared(signed: Map) -> Map:
    """What the neighbourhood of each place (128, 128) has in common."""
    # OpenCV takes large medians of bytes only: half a byte for each sign, in steps of two levels.
    coarse = np.clip(np.rint(_cells(signed) / 2) + 128, 0, 255).astype(np.uint8)
    common = (cv2.medianBlur(coarse, AROUND).astype(np.float32) - 128) * 2
    return np.asarray(cv2.resize(common, (STAY_PX, STAY_PX), interpolation=cv2.INTER_LINEAR))


def _cells(values: Map) -> Map:
    return np.asarray(cv2.resize(values, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)
