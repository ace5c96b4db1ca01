"""Places of a camera's picture that are never scored: a flag, a road behind the fence, a clock.

    mask, drawn over the picture at any size -> the cells of each stream's own map that it hides

What is hidden is left out before the worst place of a map is looked for, so no score, no term
`z_STREAM` or `local_STREAM` and no heat comes from there. Three things it does not do: the model
sees the whole picture, and what it makes of a place may lean on what is beside it; local means
(`scoring.local`) that are centred outside reach half a window over the edge; and the raw terms
`psnr`, `psnr_frame` and `psnr_motion` are of the whole picture. So draw a mask half a window (of
32 px in a picture of 256) wider than what is to be quiet.

Letters: s rows and columns of a mask; h, w of a map.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError
from oddframe.types import Map

Mask = NDArray[np.bool_]
"""(s, s): True where nothing is scored. It lies over the whole picture, as models see it: a square
whatever the aspect ratio of the source."""
HIDDEN_SHARE = 0.5
"""A cell of a map is hidden where this share of its area is."""
KEPT = 256
"""Masks fitted to maps that are kept: some shapes for each of some dozens of cameras."""


def cells_of(mask: Mask, shape: tuple[int, int]) -> Mask:
    """The cells (h, w) of a map that a mask (s, s) hides: those with half of their area under it.

    The same array is given again for the same mask: do not write to it.

    Raises:
        ConfigError: not square or not bool, or nothing is left of the map.
    """
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1] or not mask.size or mask.dtype != np.bool_:
        raise ConfigError(
            f"A mask is a square of true and false, (s, s) bool; found {mask.dtype} of shape "
            f"{mask.shape}."
        )
    return _fitted(np.packbits(mask).tobytes(), mask.shape[0], shape)


@lru_cache(KEPT)
def _fitted(bits: bytes, size: int, shape: tuple[int, int]) -> Mask:
    flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=size * size)
    mask = flat.reshape(size, size).astype(np.float64)
    rows, columns = (_shares(size, n) for n in shape)
    # A rounding error must not show what lies exactly at the limit.
    hidden = rows @ mask @ columns.T >= HIDDEN_SHARE - 1e-9
    if hidden.all():
        raise ConfigError(
            f"The mask hides everything: of {size} x {size} cells {int(mask.sum())} are under it, "
            f"and of a map of {shape[0]} x {shape[1]} none is left to score. Draw a smaller one, "
            "or leave the camera out."
        )
    hidden.setflags(write=False)
    return hidden


def _shares(old: int, new: int) -> NDArray[np.float64]:
    """(new, old): which share of each of the new cells lies in each of the old, along one side."""
    edges = np.arange(new + 1) * old / new
    starts, stops = edges[:-1, None], edges[1:, None]
    cells = np.arange(old)
    inside = np.minimum(stops, cells + 1) - np.maximum(starts, cells)
    return np.asarray(np.clip(inside, 0, None) * new / old)


def largest(values: Map, mask: Mask | None) -> float:
    """The largest value of a map (h, w) outside the mask."""
    if mask is None:
        return float(values.max())
    return float(values[~cells_of(mask, _shape(values))].max())


def lowered(values: Map, mask: Mask | None) -> Map:
    """A map whose hidden cells hold the lowest value outside, so that none spreads when it is
    resized."""
    if mask is None:
        return values
    hidden = cells_of(mask, _shape(values))
    return np.where(hidden, values[~hidden].min(), values)


def blanked(heat: Map, mask: Mask | None) -> Map:
    """A heat map with 0 in its hidden cells."""
    if mask is None:
        return heat
    return np.where(cells_of(mask, _shape(heat)), np.float32(0), heat)


def _shape(values: Map) -> tuple[int, int]:
    return (values.shape[0], values.shape[1])
