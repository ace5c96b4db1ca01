"""The largest of many separate peaks: how often they pass a level, and which level so often.

Above a high enough level u peaks follow a generalised Pareto law; its shape and scale come from
probability-weighted moments, which stay sane for 30 values where maximum likelihood does not (J. R.
M. Hosking and J. R. Wallis, "Parameter and quantile estimation for the generalized Pareto
distribution", Technometrics 29(3), 1987, eq. 6; peaks over a threshold: S. Coles, "An Introduction
to Statistical Modeling of Extreme Values", 2001, chapter 4).

`fit_tail` and `level_of` are of one row of peaks and slow; `fit_rows` and `passed_rows` do the same
for many rows at once.

Letters: m peaks of the tail, n all peaks, b rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TAIL = 30
"""Peaks that the tail is fitted on, at most."""
SHAPE_LIMIT = 0.5
"""Shapes beyond +-this are noise at 30 peaks; above 0.5 the law has no variance."""
STRAIGHT = 1e-6
"""A shape nearer to 0 than this is 0: the law is exponential."""


def fit_tail(excess: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto law from excesses (m,) by weighted moments.

    Shape > 0 means a heavy tail, < 0 an end. Beyond `SHAPE_LIMIT` it is cut off, and the scale is
    then the one that keeps the mean.
    """
    ordered = np.sort(excess)
    place = (np.arange(1, ordered.size + 1) - 0.35) / ordered.size
    first, second = ordered.mean(), ((1 - place) * ordered).mean()  # E[x], E[x (1 - F)]
    if first <= 0:
        return 0.0, 0.0
    spread = first - 2 * second
    shape = 2 - first / spread if spread > 0 else SHAPE_LIMIT
    shape = float(np.clip(shape, -SHAPE_LIMIT, SHAPE_LIMIT))
    return shape, float(first * (1 - shape))


def level_of(peaks: Floats, wanted: float) -> tuple[float, str, float | None, float | None]:
    """The score that `wanted` of the peaks (n,), largest first, pass; method, shape, scale."""
    m = min(TAIL, peaks.size - 1)
    if wanted >= m:
        ranks = np.arange(1, peaks.size + 1)
        return float(np.interp(wanted, ranks, peaks)), "count", None, None
    start = float(peaks[m])
    shape, scale = fit_tail(peaks[:m] - start)
    level = level_passed(np.array(wanted / m), start, shape, scale)
    return float(level), "tail", shape, scale


def fit_rows(excess: Floats) -> tuple[Floats, Floats]:
    """`fit_tail` of every row of (b, m)."""
    ordered = np.sort(excess, 1)
    m = ordered.shape[1]
    place = (np.arange(1, m + 1) - 0.35) / m
    first, second = ordered.mean(1), ((1 - place) * ordered).mean(1)
    spread = first - 2 * second
    shape = np.full(len(first), SHAPE_LIMIT)
    np.divide(first, spread, out=shape, where=spread > 0)
    shape = np.where(spread > 0, np.clip(2 - shape, -SHAPE_LIMIT, SHAPE_LIMIT), SHAPE_LIMIT)
    shape = np.where(first > 0, shape, 0.0)
    return shape, np.where(first > 0, first * (1 - shape), 0.0)


def passed_rows(level: float | Floats, start: Floats, shape: Floats, scale: Floats) -> Floats:
    """(b,): the share of the peaks above `start` (b,) that pass a level, row by row."""
    above = np.maximum(level - start, 0.0)
    size = np.maximum(scale, 1e-12)  # of no scale at all nothing is above the start
    straight = np.abs(shape) < STRAIGHT
    bent = np.where(straight, 1.0, shape)
    inside = np.maximum(1 + bent * above / size, 0.0)  # 0 beyond the end of a law that has one
    share = np.where(straight, np.exp(-above / size), inside ** (-1 / bent))
    return np.where(above > 0, share, 1.0)


def level_passed(share: Floats, start: float, shape: float, scale: float) -> Floats:
    """The levels that these shares (0 to 1] of the peaks above `start` pass."""
    if abs(shape) < STRAIGHT:
        return np.asarray(start - scale * np.log(share))
    return np.asarray(start + scale / shape * (share**-shape - 1))
