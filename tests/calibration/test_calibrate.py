"""The threshold keeps its promise on made scores whose rate of alarms is known."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from oddframe.calibration.calibrate import (
    LOWEST,
    _interval,
    calibrate,
    fit_tail,
    separate_peaks,
)
from oddframe.errors import ConfigError


def normal(hours: float, seed: int = 0) -> np.ndarray:
    """One score a second: noise about 0, correlated over some seconds."""
    rng = np.random.default_rng(seed)
    return np.convolve(rng.normal(0, 1, round(hours * 3600) + 4), np.ones(5) / 5**0.5, "valid")


def slow_peaks(scores: np.ndarray, gap: float) -> list[float]:
    left, found = scores.copy(), []
    while not np.isnan(left).all():
        at = int(np.nanargmax(left))
        found.append(float(left[at]))
        left[np.abs(np.arange(len(left)) - at) <= gap] = np.nan
    return found


def peaks_of(scores: np.ndarray) -> np.ndarray:
    """At one frame a second, ten seconds apart."""
    return separate_peaks(scores, np.arange(len(scores)) / 1.0, 10)


@pytest.mark.parametrize("gap", [0.5, 1, 3.7, 200])
def test_separate_peaks_are_the_largest_left_each_time(gap):
    scores = np.round(normal(0.05, 3), 1)  # rounded: with ties
    scores[:7] = np.nan
    got = separate_peaks(scores, np.arange(len(scores)) / 1.0, gap)
    assert got.tolist() == slow_peaks(scores, gap)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
def test_the_tail_of_a_known_law_is_found(shape):
    share = np.random.default_rng(0).uniform(size=200_000)
    excess = -np.log(share) * 2 if shape == 0 else 2 / shape * (share**-shape - 1)
    got, scale = fit_tail(excess)
    assert got == pytest.approx(shape, abs=0.02)
    assert scale == pytest.approx(2, rel=0.03)


@pytest.mark.slow
def test_the_rate_holds_on_other_footage():
    scores = [normal(6, seed) for seed in range(2)]
    found = calibrate(scores, 1.0, 4)
    assert found["method"] == "tail"
    assert found["hours"] == pytest.approx(12)
    assert not found["provisional"]
    alarms = peaks_of(normal(1200, 99)) > found["threshold"]
    per_day = np.count_nonzero(alarms) / 50
    assert 1 < per_day < 12
    assert found["low"] < found["threshold"] < found["high"]


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth = np.sort(peaks_of(normal(1200, 7)))[-50 * 4]  # 4 a day
    inside = 0
    for seed in range(16):
        found = calibrate([normal(8, 1000 + seed)], 1.0, 4)
        inside += found["low"] <= truth <= found["high"]
    assert inside >= 11  # 90 % stated; 30 peaks and a resampling give 83 of 100


def test_fewer_alarms_need_a_higher_threshold():
    levels = [calibrate([normal(10)], 1.0, rate)["threshold"] for rate in (0.1, 1, 10, 100, 1000)]
    assert levels == sorted(levels, reverse=True)
    assert calibrate([normal(10)], 1.0, 1000)["method"] == "count"


def test_counted_off_where_many_alarms_are_wanted():
    found = calibrate([normal(24) + 3], 1.0, 500)
    assert found["above"] == pytest.approx(500, abs=1)


def test_what_is_counted_off_is_as_many_as_were_wanted():
    """Alarms are at or above the threshold, so that the peak that it is counts."""
    scores = np.random.default_rng(0).gamma(2.0, 1.0, 24 * 120)  # a peak each half a minute
    found = calibrate([scores], 1 / 30, 40)
    assert (found["method"], found["above"]) == ("count", 40)


def test_the_interval_takes_no_more_memory_than_a_row_of_peaks():
    peaks = np.sort(np.random.default_rng(0).gamma(2.0, 1.0, 4000))[::-1]
    tracemalloc.start()
    low, high = _interval(peaks, 100.0, 0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_000_000
    assert low < peaks[100] < high


def test_too_little_footage_takes_the_largest_score_and_says_so():
    found = calibrate([normal(30 / 3600) + 2], 1.0, 1)
    assert found["method"] == "maximum"
    assert found["provisional"]
    assert found["high"] is None
    assert found["threshold"] == pytest.approx(1.05 * (normal(30 / 3600) + 2).max())
    assert "provisional" in found["text"]


@pytest.mark.parametrize("hours", [0.005, 10])
@pytest.mark.parametrize("shift", [-100.0, -5.0])
def test_no_threshold_is_zero_or_below(hours, shift):
    found = calibrate([normal(hours) + shift], 1.0, 1)
    assert found["threshold"] == LOWEST
    assert found["low"] <= found["threshold"]


def test_constant_scores_give_a_finite_threshold():
    for value in (0.0, 3.0):
        found = calibrate([np.full(10_000, value)], 1.0, 1)
        assert found["threshold"] == pytest.approx(max(value, LOWEST), rel=0.06)


def test_clips_of_different_rates_and_leading_nan():
    scores = [np.concatenate([np.full(16, np.nan), normal(3)]), np.repeat(normal(3, 1), 2)]
    found = calibrate(scores, [1.0, 2.0], 1)
    assert found["hours"] == pytest.approx(6, rel=1e-3)
    assert "provisional, because it is less than 8 hours" in found["text"]


def test_time_comes_from_stamps_and_pauses_are_not_counted():
    """A camera that records on motion: 4 bursts of 100 frames, an hour between."""
    times = np.concatenate([i * 3600 + np.arange(100) / 25 for i in range(4)])
    scores = np.random.default_rng(0).normal(size=400)
    for i in range(4):
        scores[100 * i : 100 * i + 16] = np.nan
    found = calibrate([scores], [times], 1)
    assert found["hours"] * 3600 == pytest.approx(4 * 84 / 25, abs=0.1)
    assert found["peaks"] == 4
    assert found["method"] == "maximum"
    same = calibrate([scores[100 * i : 100 * i + 100] for i in range(4)], 25.0, 1)
    assert same == found | {"hours": same["hours"], "text": same["text"]}


def test_a_variable_rate_is_counted_by_its_stamps():
    times = np.concatenate([np.arange(900) / 30, 30 + np.arange(300) / 10])
    found = calibrate([np.random.default_rng(0).normal(size=1200)], [times], 1)
    assert found["hours"] * 3600 == pytest.approx(60, abs=0.1)


def test_what_comes_out_is_json_and_repeats():
    found = calibrate([normal(5)], 1.0, 1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert calibrate([normal(5)], 1.0, 1) == found


@pytest.mark.parametrize(
    ("scores", "fps", "rate", "message"),
    [
        ([np.full(20, np.nan)], 25.0, 1.0, "no frame of the footage has a score"),
        ([], 25.0, 1.0, "no frame of the footage has a score"),
        ([np.ones(20)], 25.0, 0.0, "alarms-per-day must be above 0"),
        ([np.ones(20)], 25.0, float("nan"), "alarms-per-day must be above 0"),
        ([np.ones(20)], 0.0, 1.0, "fps must be above 0"),
        ([np.ones(20)], [25.0, 25.0], 1.0, "as many fps"),
        ([np.array([1.0, np.inf])], 25.0, 1.0, "infinite"),
        ([np.ones(20)], [np.zeros(20)], 1.0, "each later than the one before"),
        ([np.ones(20)], [np.arange(19.0)], 1.0, "as many times in seconds"),
    ],
)
def test_unfit_input_is_refused(scores, fps, rate, message):
    with pytest.raises(ConfigError, match=message):
        calibrate(scores, fps, rate)
