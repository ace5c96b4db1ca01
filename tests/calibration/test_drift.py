"""Normal scores that move are noticed, those that only differ from day to day are not."""

from __future__ import annotations

import numpy as np
import pytest

from oddframe.calibration.drift import GUESS, shift_of
from oddframe.calibration.peaks import Footage

THRESHOLD = 4.0


def days(levels, first=0, hours=1.0):
    """Blocks of an hour each, of days whose median is that, and what a tenth pass 1 above it."""
    n = 24 * len(levels)
    level, none = np.repeat(levels, 24), np.zeros(0)
    hour = np.sin(np.arange(n) * np.pi / 12)  # the hour of the day is no drift
    return Footage(
        first + np.arange(n) // 24, np.full(n, hours), level + hour, level + hour + 1,
        np.ones(n, int), none, none.astype(int), none,
    )  # fmt: skip


def test_a_step_is_found_and_told():
    shift = shift_of(days([0.5, 0.6]), days([1.6, 1.5, 1.6, 1.7], 2), THRESHOLD, 48.0)
    assert shift.before == pytest.approx(0.55)
    assert shift.now == pytest.approx(1.6)
    assert "higher than they did" in shift.text
    assert "1.60 instead of 0.55" in shift.text or "2.60 instead of 1.55" in shift.text
    down = shift_of(days([0.5, 0.6]), days([-0.6] * 3, 2), THRESHOLD, 48.0)
    assert "lower" in down.text


def test_days_that_differ_anyway_are_no_drift():
    told = 0
    for seed in range(100):
        levels = np.random.default_rng(seed).normal(0.5, 0.3, 16)
        told += shift_of(days(levels[:2]), days(levels[2:], 2), THRESHOLD, 48.0) is not None
    assert told <= 5


def test_a_slow_drift_is_found_before_it_is_a_threshold_away():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        levels = 0.5 + 0.1 * np.arange(30) + rng.normal(0, 0.15, 30)
        found = [
            n for n in range(3, 28)
            if shift_of(days(levels[:2]), days(levels[2 : 2 + n], 2), THRESHOLD, 48.0)
        ]  # fmt: skip
        assert found
        assert found[0] <= 20


def test_too_few_days_say_nothing_and_a_short_calibration_is_no_reference():
    assert shift_of(days([0.5]), days([3.0, 3.0], 1), THRESHOLD, 24.0) is None
    live = days([0.5, 0.5, 3.0, 3.0, 3.0], 1)
    assert shift_of(days([2.9]), live, THRESHOLD, 8.0).before == pytest.approx(0.5)
    assert shift_of(days([0.5]), live, THRESHOLD, 24.0).before == pytest.approx(0.5)
    nothing = Footage.joined([])
    assert shift_of(nothing, nothing, THRESHOLD, 0.0) is None


def test_a_day_of_which_next_to_nothing_was_seen_does_not_count():
    short = days([9.0, 9.0, 9.0], 2, hours=0.01)
    assert shift_of(days([0.5, 0.5]), short, THRESHOLD, 48.0) is None


def test_less_than_a_tenth_of_the_threshold_is_no_news():
    assert GUESS < 0.1
    live = days([0.5 + 0.09 * THRESHOLD] * 12, 10)
    assert shift_of(days([0.5] * 10), live, THRESHOLD, 240.0) is None
