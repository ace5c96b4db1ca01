"""Which ways are gone at a place, and how fast: how rare what goes there is, beside the commonest.

Something that goes is in one of 8 directions and one of 16 speeds, counted in what is usual for a
body of that place's size, so that far and near are alike and frames may come at any rate. Normal
footage says how often each was seen near a cell. What stands, and how often anything goes there,
does not count: a place where few people walk is no anomaly, the first one on a bicycle there is.
(On the part of Avenue a stream that counts among all states of a place, standing and empty too, had
54, and 71 among what goes, all else alike.)

Letters: n frames   g rows and columns of the grid   s ways
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.scoring.local import box_mean
from oddframe.scoring.look import FLOW_BLOCK_PX, SIZE_PX
from oddframe.types import Map

GRID = 64
"""g: cells of 4 px at 256 px; what lies in a cell is the mean of the 24 px around it."""
DIRECTIONS, SPEEDS = 8, 16
SLOWEST, FASTER = 0.7, 1.2
"""The first class of speeds begins at so many usual ones, each other at so many times the one
before; what is slower goes nowhere in particular. With six classes to 4.5 usual speeds a cyclist
fell into one class with runners, or did not, as the usual speed was a tenth off."""
WAYS = DIRECTIONS * SPEEDS
NOTHING = WAYS
"""Index of what goes nowhere."""
ALIKE_SPEEDS, ALIKE_TURNS = (0.25, 0.6, 1.0, 0.6, 0.25), (0.3, 1.0, 0.3)
"""What one observation says of the speeds and the directions beside its own."""
NEAR = 8.0
"""Cells that it is spread over (deviation of a Gaussian): 32 px."""
PRIOR = 200.0
"""Observations that what goes anywhere counts for at a place where little was seen."""
BODY = 5
"""Cells across over which rarity is averaged: one odd cell is noise."""
STD = (0.5, 2.0)
"""What the deviation of the normal range stays between, in logarithms of times rarer. Measured are
.8 to 1.6 where things go all day; where somebody comes by twice in all of the footage it would be
a twentieth, or five."""
STILLEST = 0.1
"""px per frame: what is slower is noise, whatever is usual."""

Counts = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """One frame (g, g), or several (n, g, g), on the grid: px per frame at 256 px."""

    speed: Map
    """Mean speed."""
    right: Map
    down: Map
    """Mean motion in columns and rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """What goes where in a scene, by its normal footage."""

    rarity: Counts
    """(g, g, s): minus the logarithm of how often a way was seen, beside the commonest there."""
    pace: Map
    """(g, 1): usual speed of what moves at a row, px per frame."""

    def local(self, cells: Cells) -> Map:
        """(g, g): so many times rarer than the commonest is what goes there; 1 where nothing
        goes. The geometric mean of 5 x 5 cells."""
        way = ways_of(cells, self.pace)
        rows, columns = np.indices(way.shape)
        rare = self.rarity[rows, columns, np.minimum(way, NOTHING - 1)]
        rare = np.where(way == NOTHING, np.float32(0), rare)
        return np.asarray(np.exp(cv2.blur(rare, (BODY, BODY))), np.float32)


def cells_of(right: Map, down: Map) -> Cells:
    """Where everything goes, (256, 256) px per frame each as `look.motion_of` gives it, on the
    grid."""
    speed = np.asarray(cv2.magnitude(right, down), np.float32)
    return Cells(*(_on_grid(x) for x in (speed, right, down)))


def ways_of(cells: Cells, pace: Map) -> NDArray[np.int64]:
    """(…, g, g): the way of every cell, 0..s-1, or `NOTHING`."""
    share = np.where(cells.speed < STILLEST, 0.0, cells.speed / pace)
    speed = np.digitize(share, SLOWEST * FASTER ** np.arange(SPEEDS)) - 1
    turn = np.arctan2(cells.down, cells.right) / (2 * np.pi / DIRECTIONS)
    direction = np.round(turn).astype(np.int64) % DIRECTIONS
    return np.where(speed < 0, NOTHING, speed * DIRECTIONS + direction)


def count(ways: NDArray[np.int64]) -> Counts:
    """(n, g, g) ways -> (g, g, s): how often each was seen."""
    at = np.arange(ways[0].size).reshape(ways.shape[1:]) * (WAYS + 1) + ways
    counts = np.bincount(at.ravel(), minlength=ways[0].size * (WAYS + 1))
    return counts.reshape(*ways.shape[1:], WAYS + 1)[..., :NOTHING].astype(np.float32)


def rarity_of(counts: Counts) -> Counts:
    """(g, g, s) counts, spread over neighbouring cells, speeds and directions -> `Ways.rarity`.

    At a place where little was seen, what goes anywhere fills in, for `PRIOR` observations."""
    near = [cv2.GaussianBlur(counts[..., s], (0, 0), NEAR) for s in range(WAYS)]
    here = _with_alike(np.stack(near, -1))
    anywhere = _with_alike(counts.sum((0, 1))) + 0.01
    total = here.sum(-1, keepdims=True) + PRIOR
    often = (here + PRIOR * anywhere / anywhere.sum()) / total
    return np.asarray(-np.log(often / often.max(-1, keepdims=True)), np.float32)


def _with_alike(counts: Counts) -> Counts:
    """(…, s): each observation shared with the speeds and directions beside its own."""
    table = counts.reshape(-1, SPEEDS, DIRECTIONS)
    wide = np.pad(table, ((0, 0), (len(ALIKE_SPEEDS) // 2,) * 2, (0, 0)))
    speeds = [w * wide[:, i : i + SPEEDS] for i, w in enumerate(_shares(ALIKE_SPEEDS))]
    table = np.sum(speeds, axis=0)
    turned = enumerate(_shares(ALIKE_TURNS), -(len(ALIKE_TURNS) // 2))
    table = np.sum([w * np.roll(table, i, -1) for i, w in turned], axis=0)
    return np.asarray(table, np.float32).reshape(counts.shape)


def _shares(weights: Sequence[float]) -> list[float]:
    return [w / sum(weights) for w in weights]


def _on_grid(values: Map) -> Map:
    """(256, 256) -> (g, g): means of the 24 px around every fourth place."""
    every = SIZE_PX // GRID
    return box_mean(np.ascontiguousarray(values), FLOW_BLOCK_PX)[::every, ::every].copy()
