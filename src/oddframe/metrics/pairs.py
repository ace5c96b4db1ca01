"""How sure an AUC is: pairs of frames counted by video, and a bootstrap over the videos.

Frames of one video are not independent, videos nearly are: what is drawn again is videos. A pair
is an abnormal frame of video i and a normal frame of video j; the micro AUC is the share of pairs
in order. Where a resample holds video i m_i times, its pairs (i, j) are there m_i m_j times, so
its micro AUC is (m·W·m) / ((m·a)(m·n)): exact, and no frame is touched again.

Source: the percentile bootstrap (Efron and Tibshirani, 1993, chapter 13), whole clusters drawn with
replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import Array, check_pairs
from oddframe.metrics.rows import Row

MIN_DRAWS = 50
"""Percentiles of fewer resamples than this say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Wins:
    """Pairs of frames in order, counted by video (v videos)."""

    wins: Array
    """(v, v): pairs of an abnormal frame of video i that scores above a normal one of video j;
    ties count half."""
    abnormal: NDArray[np.int64]
    """(v,) abnormal frames of each video."""
    normal: NDArray[np.int64]
    """(v,) normal frames of each video."""

    @property
    def auc(self) -> float:
        """Micro AUC of all videos, 0..1. Raises ProtocolError where a class is missing."""
        abnormal, normal = int(self.abnormal.sum()), int(self.normal.sum())
        if not abnormal or not normal:
            raise ProtocolError(
                f"The AUC is undefined: {abnormal} frames are labelled abnormal and {normal} "
                "normal, and it compares one with the other. Evaluate footage that holds both."
            )
        return float(self.wins.sum()) / (abnormal * normal)


class Interval(NamedTuple):
    """A percentile interval."""

    low: float
    high: float
    draws: int
    """Resamples that it is made of: those that held both classes."""


class DifferenceInterval(NamedTuple):
    """A percentile interval of AUC_a - AUC_b, both on the same resamples."""

    low: float
    high: float
    draws: int
    """Resamples that it is made of: those that held both classes."""
    better: float
    """Share of these resamples, 0..1, in which a's AUC was the larger one; ties are not."""


def pair_wins(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, names: Sequence[str] | None = None
) -> Wins:
    """Count the pairs of frames in order between any two videos.

    scores, labels: lists of (n_i,) arrays, one per video, finite and 0/1, after normalisation.
    names: what messages call the videos. Every count is exact up to 2^52 pairs of two videos.
    Costs a search per abnormal frame and video with normal frames; (v, v) numbers are kept.

    Raises ProtocolError where frames, lengths or labels are unfit; one class only is no error.

    >>> found = pair_wins([[1, 5], [2, 3]], [[0, 1], [0, 1]])
    >>> found.wins.tolist(), found.auc
    ([[1.0, 1.0], [1.0, 1.0]], 1.0)
    """
    checked, truth = check_pairs(scores, labels, names)
    videos = len(checked)
    abnormal = np.array([np.count_nonzero(y) for y in truth], dtype=np.int64)
    normal = np.array([y.size for y in truth], dtype=np.int64) - abnormal
    odd = np.concatenate([s[y] for s, y in zip(checked, truth, strict=True)])
    owner = np.repeat(np.arange(videos), abnormal)
    # Searching for sorted values walks memory in order: several times faster.
    order = np.argsort(odd)
    odd, owner = odd[order], owner[order]
    wins = np.zeros((videos, videos))
    for j in np.flatnonzero(normal):
        usual = np.sort(checked[j][~truth[j]])
        twice = np.searchsorted(usual, odd, side="left") + np.searchsorted(usual, odd, side="right")
        # Whole numbers below 2^53 add up exactly as float64.
        wins[:, j] = np.bincount(owner, weights=twice, minlength=videos) / 2
    return Wins(wins, abnormal, normal)


def bootstrap(
    wins: Wins, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval | None:
    """Percentile interval of the micro AUC over resamples of the videos.

    draws: resamples, at least MIN_DRAWS; those that hold one class only are left out. level: share
    of resamples inside, 0 < level < 1. seed: the same seed draws the same videos.

    Returns None for fewer than 2 videos, or where fewer than MIN_DRAWS resamples hold both classes.
    With few videos the interval is too narrow: it knows only what the videos at hand show.
    Raises ConfigError for draws or level.
    """
    often = _multiplicities(wins, draws, level, seed)
    if often is None:
        return None
    low, high = _percentiles(_aucs(wins, often), level)
    return Interval(low, high, len(often))


def bootstrap_difference(
    a: Wins, b: Wins, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> DifferenceInterval | None:
    """Percentile interval of AUC_a - AUC_b of two methods, both on the same resampled videos.

    Paired: what makes a video hard for both cancels, so this interval can lie off 0 where the two
    methods' own intervals overlap. Arguments and None as in `bootstrap`.

    Raises ProtocolError unless both count the same frames (equal classes per video), ConfigError
    for draws or level.
    """
    if not (np.array_equal(a.abnormal, b.abnormal) and np.array_equal(a.normal, b.normal)):
        raise ProtocolError(
            f"Two methods are compared on the same frames; found {len(a.normal)} videos with "
            f"{a.abnormal.sum()} abnormal and {a.normal.sum()} normal frames against "
            f"{len(b.normal)} with {b.abnormal.sum()} and {b.normal.sum()}, or another order of "
            "videos. Drop the same frames of both and keep the videos in one order."
        )
    often = _multiplicities(a, draws, level, seed)
    if often is None:
        return None
    difference = _aucs(a, often) - _aucs(b, often)
    low, high = _percentiles(difference, level)
    return DifferenceInterval(low, high, len(often), float(np.mean(difference > 0)))


def difference(method: str, against: str, protocol: str, a: Wins, b: Wins) -> Row:
    """A row: AUC of one method minus that of another, with a paired interval over the videos.

    `low`, `high`, and `better`, the share of resamples in which the method is the better one, are
    None where no interval can be had. Errors as `bootstrap_difference`.
    """
    found = bootstrap_difference(a, b)
    return {
        "method": method,
        "against": against,
        "protocol": protocol,
        "difference": a.auc - b.auc,
        "low": None if found is None else found.low,
        "high": None if found is None else found.high,
        "better": None if found is None else found.better,
    }


def _multiplicities(wins: Wins, draws: int, level: float, seed: int) -> Array | None:
    """How often each resample holds each video, (used, v): the resamples that hold both classes."""
    if draws < MIN_DRAWS or not 0 < level < 1:
        raise ConfigError(
            f"The bootstrap needs draws >= {MIN_DRAWS} and 0 < level < 1, not {draws} and {level}."
        )
    videos = len(wins.normal)
    if videos < 2:
        return None
    rng = np.random.default_rng(seed)
    often = rng.multinomial(videos, np.full(videos, 1 / videos), size=draws).astype(np.float64)
    used = often[(often @ wins.abnormal > 0) & (often @ wins.normal > 0)]
    return used if len(used) >= MIN_DRAWS else None


def _aucs(wins: Wins, often: Array) -> Array:
    """Micro AUC of each resample, (used,)."""
    in_order = np.sum((often @ wins.wins) * often, axis=1)
    aucs: Array = in_order / ((often @ wins.abnormal) * (often @ wins.normal))
    return aucs


def _percentiles(values: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
