"""Things that move, as connected regions that differ from the median picture; and how large they
are from far to near.

    picture = median_picture(images)
    blobs(image, picture, threshold_of(images, picture))

Nothing is learned and nothing is named: a blob is a person, two of them, or a car. Pictures are
(h, w, 3) BGR uint8, as large as models look at them (256 px); rows and columns are its pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.pictures import Image

NOISE = 6.0
"""What differs by this many median differences is no noise."""
LEAST, MOST = 15.0, 50.0
"""Grey levels that the threshold stays between."""
SMALL, LARGE = 30 / 65536, 0.12
"""Shares of the picture that a blob's area stays between: below is noise, above is a lamp."""


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """One region of one picture."""

    top: int
    left: int
    mask: NDArray[np.bool_]
    """(h, w) of its box: which pixels are its own."""
    at_edge: bool
    """It touches the border of the picture: part of it may be outside."""

    @property
    def height(self) -> int:
        """Rows of its box."""
        return int(self.mask.shape[0])

    @property
    def width(self) -> int:
        """Columns of its box."""
        return int(self.mask.shape[1])

    @property
    def foot(self) -> int:
        """The row below it: where it stands."""
        return self.top + self.height

    @property
    def middle(self) -> float:
        """The column of its middle."""
        return self.left + self.width / 2

    @property
    def area(self) -> int:
        """Its pixels."""
        return int(self.mask.sum())

    def overlap(self, other: Blob) -> float:
        """Intersection over union of the boxes, 0..1."""
        rows = min(self.foot, other.foot) - max(self.top, other.top)
        right = min(self.left + self.width, other.left + other.width)
        both = max(0, rows) * max(0, right - max(self.left, other.left))
        return both / (self.mask.size + other.mask.size - both)


def median_picture(images: Sequence[Image], most: int = 64) -> Image:
    """The median over at most so many of the pictures, spread evenly: what stands still."""
    at = np.unique(np.linspace(0, len(images) - 1, most).round().astype(int))
    median = np.median(np.stack([images[i] for i in at]), axis=0)
    return np.asarray(median, np.uint8)


def threshold_of(images: Sequence[Image], picture: Image) -> float:
    """Grey levels by which something that is there differs from the picture behind it."""
    at = np.linspace(0, len(images) - 1, 8).round().astype(int)
    noise = np.median([cv2.absdiff(images[i], picture).max(2) for i in at])
    return float(np.clip(NOISE * noise, LEAST, MOST))


def blobs(image: Image, picture: Image, threshold: float) -> list[Blob]:
    """Regions that differ from the picture, without those far too small or far too large."""
    differs = cv2.GaussianBlur(cv2.absdiff(image, picture).max(2), (5, 5), 0) > threshold
    mask = differs.astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 3), np.uint8)))
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    rows, columns = mask.shape
    found = []
    for i in range(1, count):
        left, top, width, height, area = (int(x) for x in boxes[i])
        if SMALL * mask.size <= area <= LARGE * mask.size:
            own = labels[top : top + height, left : left + width] == i
            at_edge = min(left, top) <= 1 or left + width >= columns - 1 or top + height >= rows - 1
            found.append(Blob(top, left, own, at_edge))
    return found


DRAWN = 400
"""Blobs that a line is laid through: its time grows with their square."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How high things are that stand at a row: a straight line, between what was seen."""

    start: float
    slope: float
    least: float
    most: float

    def at(self, foot: float) -> float:
        """Height in rows of what stands at a row."""
        return float(np.clip(self.start + self.slope * foot, self.least, self.most))


def fit_sizes(found: Iterable[Blob], pieces: bool = True) -> Sizes | None:
    """The line of heights over the foot's row, through the middle of what was seen; None of fewer
    than 8 blobs.

    By the median of all slopes between two (Theil and Sen), so that a quarter of them may be halves
    or pairs. pieces: many may be parts of bodies; each counts by its area then: these are small.
    """
    inside = [b for b in found if not b.at_edge]
    if len(inside) < 8:
        return None
    foot, height, area = (
        np.array(x, np.float64)
        for x in zip(*((b.foot, b.height, b.area) for b in inside), strict=True)
    )
    share = area / area.sum() if pieces else np.full(len(inside), 1 / len(inside))
    order = np.argsort(height)
    reached = np.minimum(np.cumsum(share[order]), 1.0)
    least, most = (float(height[order][np.searchsorted(reached, q)]) for q in (0.1, 0.9))
    drawn = np.arange(len(inside))
    if pieces or len(inside) > DRAWN:
        drawn = np.random.default_rng(0).choice(len(inside), DRAWN, p=share)
    one, other = np.triu_indices(len(drawn), 1)
    run = foot[drawn][other] - foot[drawn][one]
    rise = height[drawn][other] - height[drawn][one]
    slope = float(np.median(rise[run != 0] / run[run != 0])) if np.any(run) else 0.0
    start = float(np.median(height[drawn] - slope * foot[drawn]))
    return Sizes(start, slope, least, most)
