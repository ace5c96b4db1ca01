"""What an odd place of one frame looks like: where it is, what is odd about it, what is seen there.

    spots, where = found(sight, limit)

Cells are hot where a stream says at least the limit; those that touch are one place. A score is a
smooth maximum of the streams' worst places and so never above the largest of them: a frame whose
hot places are left out scores below the limit, whatever else is in it.

What is seen is a look of 27 numbers: the grey picture of the place as 5 x 5 logarithms without
their mean, so that more light looks the same, and which way it goes. How much of it there is, is
the streams' to say. A look must tell apart what is at one place. Measured on Ped2 (`exemplars` says
how): where half of what is odd in a normal clip looks like something of another clip, so do 2.6 %
of the places of cyclists and carts. Without the direction it is 5.8 %; of 4 x 4 grey levels brought
to one length 6.2 %, with the differences from the median picture 6.8 %; of 12 x 12 about 8 %.

Letters: g rows and columns of the grid (`ways.GRID`), n spots, s streams, d values of a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from oddframe.scoring.fuse import STREAMS
from oddframe.scoring.look import Grey
from oddframe.scoring.ways import GRID, Cells
from oddframe.types import Map

Floats = NDArray[np.float32]
LEAST_CELLS = 8
"""Cells across that a place has at least: a local mean looks at as much, and what made it high is
somewhere in it."""
MOST = 8
"""Places of one frame that are described, those that say most."""
PATCH = 5
"""Rows and columns of the small picture."""
LOOK = PATCH * PATCH + 2
"""d."""
DARK = 20.0
"""Grey levels added before the logarithm: noise of the dark is no look."""
CONTRAST = 0.3
"""Deviation of these logarithms that counts for 1."""
TURN, SLOW = 0.5, 0.3
"""What a direction counts for, and px per frame below which it counts for less."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A frame with something odd in it."""

    maps: Mapping[str, Map]
    """Per stream of the score how unusual each place is, in deviations; hidden places are low."""
    grey: Grey
    """The frame, (h, w), of the whole picture."""
    motion: Cells | None = None
    """Where everything goes, (g, g) each; None where the RUN has no flow."""


@dataclass(frozen=True, slots=True, eq=False)
class Spots:
    """Odd places, of one frame or of many."""

    places: Floats
    """(n, 4): left, top, right, bottom, as parts of the picture."""
    streams: Floats
    """(n, s): the most that each of `fuse.STREAMS` says there, in deviations; -inf where there is
    no such stream."""
    looks: Floats
    """(n, d)."""

    def __len__(self) -> int:
        return len(self.places)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_] | Sequence[int] | slice) -> Spots:
        """Some of them, as numpy's indices take them."""
        return Spots(self.places[which], self.streams[which], self.looks[which])

    @property
    def most(self) -> Floats:
        """(n,): what the loudest stream says."""
        return np.asarray(self.streams.max(1, initial=-np.inf), np.float32)

    @classmethod
    def joined(cls, parts: Sequence[Spots]) -> Self:
        """All of several."""
        none = [np.zeros((0, n), np.float32) for n in (4, len(STREAMS), LOOK)]
        names = ("places", "streams", "looks")
        return cls(
            *(
                np.concatenate([empty, *(getattr(p, n) for p in parts)])
                for n, empty in zip(names, none, strict=True)
            )
        )

    def to_bytes(self) -> bytes:
        """As safetensors: 82 bytes a spot."""
        half = {n: getattr(self, n).astype(np.float16) for n in ("places", "looks")}
        return save({**half, "streams": self.streams})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Undo `to_bytes`.

        Raises:
            ValueError: damaged, or something else.
        """
        try:
            known = load(data)
            parts = [known[name] for name in ("places", "streams", "looks")]
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"these are no spots ({error})") from None
        shapes = [x.shape for x in parts]
        wanted = [(len(parts[0]), n) for n in (4, len(STREAMS), LOOK)]
        if shapes != wanted:
            raise ValueError(f"spots have arrays of shapes {wanted}, found {shapes}")
        return cls(*(np.asarray(x, np.float32) for x in parts))


NO_SPOTS = Spots.joined([])


class Pardon(Protocol):
    """Who says what is normal at a camera although it scores."""

    @property
    def limit(self) -> float:
        """Score from which a frame is looked at."""

    def spared(self, sight: Sight, score: float) -> NDArray[np.bool_] | None:
        """(g, g): the cells of a frame with that score to leave out, never all; None: none."""


def found(sight: Sight, limit: float, most: int = MOST) -> tuple[Spots, NDArray[np.intp]]:
    """The hot places of a frame.

    Args:
        sight: the frame.
        limit: deviations from which on a cell is hot.
        most: places that are described.

    Returns:
        Those that say most, the loudest first, and (g, g) which of them each cell is part of: its
        number, -1 of a cold cell, and `most` or more of places beyond.
    """
    names = [name for name in STREAMS if name in sight.maps]
    says = np.stack([on_grid(sight.maps[name]) for name in names])  # s g g
    loudest = says.max(0)
    count, labels = cv2.connectedComponents((loudest >= limit).astype(np.uint8), connectivity=8)
    tops = np.array([loudest[labels == i].max() for i in range(1, count)], np.float32)
    order = np.argsort(-tops, kind="stable")
    number = np.full(count, -1, np.intp)
    number[1 + order] = np.arange(count - 1)
    where = number[labels]
    parts = [_described(sight, names, says, where == i) for i in range(min(count - 1, most))]
    return Spots.joined(parts), where


def apart(looks: Floats, others: Floats) -> Floats:
    """How different looks (n, d) are from others (k, d): (n, k) squared distances. About 0.02 from
    one frame to the next, above 1 of two things."""
    squares = (looks**2).sum(1)[:, None] + (others**2).sum(1)[None]
    return np.asarray(np.maximum(squares - 2 * looks @ others.T, 0), np.float32)


def shares(places: Floats, others: Floats) -> Floats:
    """(n, k): the part of each of the places (n, 4) that lies in each of others (k, 4)."""
    left, top, right, bottom = places.T[:, :, None]
    x = np.minimum(right, others[:, 2]) - np.maximum(left, others[:, 0])
    y = np.minimum(bottom, others[:, 3]) - np.maximum(top, others[:, 1])
    inside = np.maximum(x, 0) * np.maximum(y, 0)
    return np.asarray(inside / ((right - left) * (bottom - top)), np.float32)


def on_grid(values: Map) -> Map:
    """A map (h, w) on the grid: the largest value of each cell."""
    out = values
    for axis, n in enumerate(values.shape):
        starts = np.arange(GRID) * n // GRID
        out = np.maximum.reduceat(out, starts, axis) if n >= GRID else out.take(starts, axis)
    return np.asarray(out, np.float32)


def without(local: Mapping[str, Map], spared: NDArray[np.bool_]) -> dict[str, Map]:
    """Local values as if some cells (g, g), not all, were the lowest of their map."""
    out = dict[str, Map]()
    for name, values in local.items():
        cells = off_grid(spared, (values.shape[0], values.shape[1]))
        out[name] = np.where(cells, values[~cells].min(), values)
    return out


def off_grid(cells: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Cells of the grid as those (h, w) of a map that they were made of by `on_grid`."""
    rows, columns = (
        np.searchsorted(np.arange(GRID) * n // GRID, np.arange(n), "right" if n >= GRID else "left")
        - (n >= GRID)
        for n in shape
    )
    return np.asarray(cells[rows][:, columns])


def _described(
    sight: Sight, names: Sequence[str], says: Floats, own: NDArray[np.bool_]
) -> Spots:  # fmt: skip
    """One place: its cells, (g, g)."""
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    top, bottom = _wide(int(rows[0]), int(rows[-1]) + 1)
    left, right = _wide(int(columns[0]), int(columns[-1]) + 1)
    streams = np.full(len(STREAMS), -np.inf, np.float32)
    loud = says[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].max((1, 2))
    for name, value in zip(names, loud, strict=True):
        streams[STREAMS.index(name)] = value
    cells = (top, bottom, left, right)
    look = np.concatenate((_small(sight.grey, *cells), _direction(sight.motion, *cells)))
    place = np.asarray(np.array([left, top, right, bottom]) / GRID, np.float32)
    return Spots(place[None], streams[None], look[None])


def _small(grey: Grey, top: int, bottom: int, left: int, right: int) -> Floats:
    """The look of a place in a picture (h, w)."""
    h, w = grey.shape
    part = grey[top * h // GRID : -(-bottom * h // GRID), left * w // GRID : -(-right * w // GRID)]
    size = (PATCH, PATCH)
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    logs = np.log(small + DARK).ravel()
    return np.asarray((logs - logs.mean()) / (CONTRAST * PATCH), np.float32)


def _direction(motion: Cells | None, top: int, bottom: int, left: int, right: int) -> Floats:
    """Which way a place goes on the whole: right and down."""
    if motion is None:
        return np.zeros(2, np.float32)
    at = np.s_[top:bottom, left:right]
    mean = np.array([motion.right[at].mean(), motion.down[at].mean()], np.float32)
    return np.asarray(TURN * mean / max(float(np.hypot(*mean)), SLOW), np.float32)


def _wide(start: int, stop: int) -> tuple[int, int]:
    """A range of cells, made wide enough and kept in the picture."""
    lacking = max(0, LEAST_CELLS - (stop - start))
    start = min(max(0, start - lacking // 2), max(0, GRID - (stop - start) - lacking))
    return start, min(GRID, max(stop, start + LEAST_CELLS))
