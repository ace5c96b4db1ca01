"""Where in the picture it is: the hot places of a heat map, as boxes in the source's pixels.

Letters: h w rows and columns of the heat map, which lies over the whole picture, however wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from oddframe.events.event import Box
from oddframe.types import Image, Map

MOST = 5
"""Boxes that one picture has, at most."""
SPECK = 1 / 2000
"""A place smaller than this part of the picture is told only where there is none larger: 8 cells at
128 px, against the 256 of the window over which errors are averaged."""
COLOUR_BGR = (40, 60, 255)
"""Of the boxes in pictures."""
NEAR_TOP = 0.8
"""Where nothing reaches the floor, what belongs to the hottest place: this share of its heat."""

WIDE = 0.5
"""A box over more of the picture than this says nothing of where: the floor is raised."""
RAISED = (0.5, 0.6, 0.7, 0.8)
"""To these shares of the highest heat, one after the other. Somebody comes in, exposure follows,
and all of the picture is above a threshold that he is far above."""


@dataclass(frozen=True, slots=True)
class Place:
    """A hot place."""

    box: Box
    share: float
    """Heat of its hottest cell / heat of the hottest of the picture, 0..1."""


def boxes(
    heat: Map, floor: float, width: int, height: int, most: int = MOST
) -> tuple[Box, ...]:  # fmt: skip
    """The boxes of `places`, largest first."""
    return tuple(place.box for place in places(heat, floor, width, height, most))


def places(
    heat: Map, floor: float, width: int, height: int, most: int | None = MOST
) -> tuple[Place, ...]:  # fmt: skip
    """Connected places where the heat is at or above a floor, largest box first.

    Where the hottest of them is as good as the whole picture, the floor is raised until it is not
    (`RAISED`); where that does not help, as when a lamp goes on, it stays.

    The hottest is always one of them, though it may be small, or below the floor: a score is made
    of every stream's worst place, and these need not be one place.

    Args:
        heat: (h, w), not finite where nothing is known.
        floor: in units of the heat.
        width: of the source's picture in pixels, as `height`: what boxes count in.
        height: see `width`.
        most: how many at most, see `largest`; None: all.

    Returns:
        None at all only of a map without a finite value.
    """
    heat = np.where(np.isfinite(heat), heat, -np.inf)
    at = np.unravel_index(int(heat.argmax()), heat.shape)
    top = float(heat[at])
    if top == -np.inf:
        return ()
    below = top < floor
    if below:
        floor = NEAR_TOP * top if top > 0 else top
    labels, stats = _components(heat >= floor)
    if not below and _wide(labels, stats, at):
        for raised in (share * top for share in RAISED if share * top > floor):
            higher = _components(heat >= raised)
            if not _wide(*higher, at):
                labels, stats = higher
                break
    hottest = int(labels[at])
    sizes = stats[:, cv2.CC_STAT_AREA]
    kept = [hottest]
    if not below:
        least = SPECK * heat.size
        least = least if sizes[1:].max() >= least else 0
        kept = [i for i in range(1, len(stats)) if i == hottest or sizes[i] >= least]
    kept.sort(key=lambda i: -_cells(stats[i]))
    found = [
        Place(_box(stats[i], heat.shape, width, height), _share(heat, labels, stats[i], i, top))
        for i in kept
    ]
    return tuple(found) if most is None else largest(found, most)


def largest(found: Sequence[Place], most: int = MOST) -> tuple[Place, ...]:
    """Of places, largest first, so many at most, 1 or more: the hottest, the largest others."""
    hottest = max(found, key=lambda p: p.share, default=None)
    others = [p for p in found if p is not hottest][: most - 1]
    return tuple(p for p in found if p is hottest or p in others)


def outlined(image: Image, found: Sequence[Box], width: int, height: int) -> Image:
    """A copy of a picture (h, w, 3) BGR with boxes drawn around what they hold.

    Args:
        image: of any size.
        found: boxes in the pixels of a picture of `width` and `height`.
        width: see `found`.
        height: see `found`.
    """
    drawn = image.copy()
    h, w = image.shape[:2]
    across, down = w / width, h / height
    thick = max(2, round(h / 240))
    for box in found:
        corner = (round(box.x * across), round(box.y * down))
        other = (round((box.x + box.w) * across) - 1, round((box.y + box.h) * down) - 1)
        cv2.rectangle(drawn, corner, other, COLOUR_BGR, thick)
    return drawn


def _components(hot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (h, w) of connected places, and OpenCV's statistics of each; 0 is what is not hot."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(hot.astype(np.uint8), connectivity=8)
    return labels, stats


def _wide(labels: np.ndarray, stats: np.ndarray, at: tuple[np.intp, ...]) -> bool:
    """Whether the place that a cell belongs to has a box over most of the picture."""
    return _cells(stats[int(labels[at])]) > WIDE * labels.size


def _cells(stat: np.ndarray) -> int:
    return int(stat[cv2.CC_STAT_WIDTH]) * int(stat[cv2.CC_STAT_HEIGHT])


def _share(heat: Map, labels: np.ndarray, stat: np.ndarray, label: int, top: float) -> float:
    """Of a place: 1 of the hottest; where all is cold there is no other."""
    if top <= 0:
        return 1.0
    x, y, w, h = (int(v) for v in stat[:4])
    at = (slice(y, y + h), slice(x, x + w))
    return max(0.0, float(heat[at][labels[at] == label].max()) / top)


def _box(stat: np.ndarray, shape: tuple[int, ...], width: int, height: int) -> Box:
    """Cells as the pixels that they touch, a row or column of a pixel at least."""
    x, y, w, h = (int(v) for v in stat[:4])
    rows, columns = shape
    left, right = x * width // columns, min(width, -(-(x + w) * width // columns))
    top, bottom = y * height // rows, min(height, -(-(y + h) * height // rows))
    return Box(left, top, right - left, bottom - top)
