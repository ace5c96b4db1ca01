"""A tail of which some is only known to be above a level."""

from __future__ import annotations

import numpy as np
import pytest

from oddframe.calibration.calibrate import calibrate
from oddframe.calibration.peaks import Footage
from oddframe.calibration.refit import evidence_of, laid, refit, side_of
from oddframe.calibration.tail import level_of


def days(number, seed=0):
    """Peaks, one in 20 seconds, as what is kept of footage."""
    n = 4320 * number
    peaks, at_h = np.random.default_rng(seed).gamma(2, 0.5, n), np.arange(n) * 20 / 3600
    order, block, none = (
        np.argsort(-peaks),
        np.floor(at_h + 1e-9).astype(int),
        np.zeros(24 * number),
    )
    return Footage(
        np.arange(24 * number) // 24, none + 1, none, none, np.bincount(block),
        peaks[order], block[order], at_h[order],
    ).largest(600)  # fmt: skip


def cut(footage, level):
    """Without what is above a level, and what that was."""
    above = footage.peaks > level
    kept = ~above
    left = Footage(
        footage.day, footage.hours, footage.median, footage.upper, footage.count,
        footage.peaks[kept], footage.block[kept], footage.at_h[kept],
    )  # fmt: skip
    return left, footage.peaks[above], footage.at_h[above]


@pytest.mark.parametrize("per_day", [1.0, 5.0])
def test_alarms_of_unknown_height_give_the_threshold_that_known_ones_give(per_day):
    ratios, without = [], []
    for seed in range(10):
        whole = days(14, seed)
        want = level_of(whole.peaks, 14 * per_day)[0]
        left, lost, at_h = cut(whole, 0.98 * want)
        got = refit(left, np.full(len(lost), 0.98 * want), at_h, per_day)
        ratios.append(got.threshold / want)
        without.append(level_of(left.peaks, 14 * per_day)[0] / want)
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)
    assert np.max(np.abs(np.array(ratios) - 1)) < 0.1
    assert np.mean(without) < np.mean(ratios) - 0.02  # to leave them out lowers it


def test_peaks_are_laid_as_the_law_has_them():
    """Not too high and not too low, on average over many."""
    got, want = [], []
    for seed in range(20):
        left, lost, _ = cut(days(14, seed), 4.0)
        got.append(laid(left.peaks, np.full(len(lost), 4.0)).mean() - 4)
        want.append(lost.mean() - 4)
    assert np.mean(got) == pytest.approx(np.mean(want), rel=0.25)


def test_levels_of_their_own_are_kept():
    left, lost, _ = cut(days(14), 3.5)
    levels = np.linspace(3.5, 4.5, len(lost))
    got = laid(left.peaks, levels)
    assert (np.sort(got) >= np.sort(levels) - 1e-12).all()
    assert np.isfinite(got).all()


def test_without_censored_peaks_it_is_the_law_of_the_peaks():
    whole, none = days(4), np.zeros(0)
    got = refit(whole, none, none, 1.0)
    threshold, method, shape, scale = level_of(whole.peaks, whole.total_h / 24)
    assert (got.threshold, got.method, got.shape, got.scale) == (threshold, method, shape, scale)
    assert got.low < got.threshold < got.high


def test_many_wanted_are_counted():
    got = refit(days(2), np.zeros(0), np.zeros(0), 100.0)
    assert got.method == "count"
    assert np.count_nonzero(days(2).peaks > got.threshold) == pytest.approx(200, abs=2)
    assert got.low <= got.threshold <= got.high


def test_what_calibrate_keeps_is_enough_to_find_its_threshold_again():
    scores = [np.random.default_rng(i).gamma(2, 0.5, 4320) for i in range(3)]
    found = calibrate(scores, 0.05, 2)
    footage = evidence_of(found)[""]
    assert len(footage.peaks) == 200
    again = refit(footage, np.zeros(0), np.zeros(0), 2.0)
    assert again.threshold == pytest.approx(found["threshold"], rel=1e-9)
    side = side_of(again, again.threshold, 2.0, 1.0)
    for name in ("hours", "peaks", "above", "method", "days"):
        assert side[name] == pytest.approx(found[name]) if name == "hours" else found[name]
    assert evidence_of({"threshold": 1.0}) == {}
