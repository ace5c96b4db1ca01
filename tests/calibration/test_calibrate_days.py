"""Calibration on days: what is kept of them, and thresholds by light."""

from __future__ import annotations

import json

import numpy as np
import pytest

from oddframe.calibration.calibrate import LOWEST, calibrate, threshold_of
from oddframe.calibration.peaks import Footage, near, seen_s, separate_peaks, stays_above
from oddframe.calibration.promise import expected_counts
from oddframe.errors import ConfigError


def normal(hours, seed=0, scale=1.0):
    """One score in five seconds."""
    return scale * np.random.default_rng(seed).normal(size=round(hours * 720))


def seconds(scores, step_s=5.0):
    return np.arange(len(scores)) * step_s


def made(hours=30.0, seed=0):
    scores = normal(hours, seed)
    return Footage.of([scores], [seconds(scores)], 10.0)


def test_footage_is_hours_and_days():
    scores = [normal(10, 1), normal(16.5, 2)]
    found = Footage.of(scores, [seconds(s) for s in scores], 10.0)
    assert found.total_h == pytest.approx(26.5, abs=0.01)
    assert len(found.hours) == 27
    assert found.hours[:26] == pytest.approx(np.ones(26), abs=0.01)
    assert found.day.tolist() == [0] * 24 + [1] * 3
    assert found.days == 2
    want = np.concatenate([separate_peaks(s, seconds(s), 10.0) for s in scores])
    np.testing.assert_array_equal(found.peaks, np.sort(want)[::-1])
    np.testing.assert_array_equal(found.count, np.bincount(found.block, minlength=27))
    np.testing.assert_array_equal(np.floor(found.at_h + 1e-9), found.block)
    second = scores[0][720:1440]
    assert found.median[1] == np.median(second)
    assert found.upper[1] == pytest.approx(np.quantile(second, 0.9))


def test_short_clips_of_a_day_make_hours_and_other_days_are_others():
    scores = [normal(0.2, seed) for seed in range(12)]
    found = Footage.of(scores, [seconds(s) for s in scores], 10.0, ["a"] * 6 + ["b"] * 6)
    assert found.day.tolist() == [0, 0, 1, 1]
    assert found.hours == pytest.approx([1, 0.2, 1, 0.2], abs=0.01)
    assert found.total_h == pytest.approx(2.4)


def test_frames_without_a_score_are_no_time():
    scores = normal(3)
    scores[720:1440] = np.nan
    found = Footage.of([scores], [seconds(scores)], 10.0)
    assert found.total_h == pytest.approx(2, abs=0.01)
    assert seen_s(scores, seconds(scores)) == pytest.approx(3600 * found.total_h)
    assert len(found.day) == 2  # an hour of nothing is none


def test_footage_is_json_and_back():
    found = made().largest(50)
    values = json.loads(json.dumps(found.plain(), allow_nan=False))
    back = Footage.read(values)
    for name in Footage.__slots__:
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
        assert getattr(back, name).dtype == getattr(found, name).dtype
    assert len(found.peaks) == 50
    nothing = Footage.joined([])
    assert len(Footage.read(nothing.plain()).day) == nothing.days == 0


def test_days_can_be_cut_out_and_joined_again():
    whole = made(60.0)
    parts = [whole.of_days(stop=1), whole.of_days(1, 2), whole.of_days(2)]
    assert [p.total_h for p in parts] == pytest.approx([24, 24, 12], abs=0.01)
    for part in parts:
        assert (part.day[part.block] == part.day[0]).all()
    back = Footage.joined(parts)
    np.testing.assert_array_equal(back.peaks, whole.peaks)
    np.testing.assert_array_equal(back.at_h, whole.at_h)
    np.testing.assert_array_equal(back.block, whole.block)
    later = whole.later(3, 100.0)
    assert later.day[0] == 3
    np.testing.assert_allclose(later.at_h - whole.at_h, 100)


def test_peaks_that_are_added_are_of_the_hour_that_they_were_in():
    whole = made()
    more = whole.with_peaks(np.array([99.0, -99.0]), np.array([20.5, 3.5]))
    assert (more.peaks[0], more.block[0]) == (99.0, 20)
    assert (more.peaks[-1], more.block[-1]) == (-99.0, 3)
    assert len(whole.peaks) == len(more.peaks) - 2


def test_what_stays_above_is_one():
    scores = np.array([0, 5, 5, 0, 5, 0, 0, 0, 0, 5, np.nan, 5.0])
    time_s = np.arange(12) * 4.0
    assert stays_above(scores, time_s, 1.0, 10.0) == 2
    assert stays_above(scores, time_s, 1.0, 6.0) == 4
    assert stays_above(scores, time_s, 9.0, 10.0) == 0


def test_near():
    time_s = np.arange(10.0)
    assert near(time_s, np.array([2.0, 7.5]), 1.0).nonzero()[0].tolist() == [1, 2, 3, 7, 8]
    assert not near(time_s, np.zeros(0), 1.0).any()


def two_lights(days=2, infrared=0.4):
    """Days of colour, and nights of infrared whose scores are another range."""
    scores, lights = [], []
    for day in range(days):
        n = round(24 * 720 * infrared)
        night, noon = normal(24, 2 * day)[:n], normal(24, 2 * day + 1)[n:]
        scores.append(np.concatenate((infrared * night, 2 * noon + 1)))
        lights.append(np.array(["infrared"] * n + ["colour"] * len(noon)))
    return scores, lights


def test_each_light_has_a_threshold_and_together_they_raise_what_was_wanted():
    scores, lights = two_lights()
    found = calibrate(scores, 0.2, 5, modes=lights)
    modes = found["modes"]
    assert list(modes) == ["colour", "infrared"]
    assert modes["infrared"]["share"] == pytest.approx(0.4, abs=0.01)
    assert sum(m["share"] for m in modes.values()) == pytest.approx(1)
    assert modes["infrared"]["threshold"] < 0.4 * modes["colour"]["threshold"]
    assert found["threshold"] == calibrate(scores, 0.2, 5)["threshold"]
    wanted = sum(m["share"] * m["alarms_per_day"] for m in modes.values())
    assert wanted == pytest.approx(5)
    # And on other days it is about that, in each light its part.
    later, light = two_lights(20)
    alarms = {"colour": 0, "infrared": 0}
    for s, m in zip(later, light, strict=True):
        for name in alarms:
            own = np.where(m == name, s, np.nan)
            alarms[name] += np.count_nonzero(
                separate_peaks(own, seconds(s), 10.0) > threshold_of(found, name)
            )
    assert 2 < sum(alarms.values()) / 20 < 12
    assert 0.15 < alarms["infrared"] / sum(alarms.values()) < 0.7


def test_a_light_alone_is_what_calibrating_on_it_gives():
    scores, lights = two_lights()
    mode = calibrate(scores, 0.2, 5, modes=lights)["modes"]["infrared"]
    own = [np.where(m == "infrared", s, np.nan) for s, m in zip(scores, lights, strict=True)]
    alone = calibrate(own, 0.2, 5)
    for name in ("threshold", "low", "high", "hours", "peaks", "above", "promise", "evidence"):
        assert mode[name] == alone[name], name


def test_numbers_are_lights_too():
    scores, lights = two_lights()
    numbers = [np.where(m == "infrared", 0, 1) for m in lights]
    found, same = calibrate(scores, 0.2, 5, modes=numbers), calibrate(scores, 0.2, 5, modes=lights)
    assert list(found["modes"]) == ["0", "1"]
    assert threshold_of(found, 0) == threshold_of(same, "infrared")


def test_a_light_that_was_hardly_seen_has_no_threshold_and_takes_the_larger():
    scores, lights = two_lights(1)
    lights[0][:300] = "dusk"  # 25 minutes
    found = calibrate(scores, 0.2, 5, modes=lights)
    assert list(found["modes"]) == ["colour", "infrared"]
    larger = max(found["threshold"], found["modes"]["colour"]["threshold"])
    assert threshold_of(found, "dusk") == larger
    assert threshold_of(found, "colour") == found["modes"]["colour"]["threshold"]
    assert threshold_of(found) == found["threshold"]
    assert "in any that was not seen" in found["text"]


def test_beside_one_light_there_is_no_other_threshold_and_one_is_stated():
    """Nothing tells lights apart then, so nothing may be promised of one."""
    scores, lights = two_lights(1)
    plain = calibrate(scores, 0.2, 5)
    for dusk in (0, 300):
        lights[0][:] = "colour"
        lights[0][:dusk] = "infrared"
        assert calibrate(scores, 0.2, 5, modes=lights) == plain
    assert threshold_of(plain, "colour") == plain["threshold"]


def test_what_may_be_counted_is_of_the_thresholds_of_the_lights():
    scores, lights = two_lights(4)
    found = calibrate(scores, 0.2, 5, modes=lights, days=list("abcd"))
    low, middle, high = expected_counts(found, 7)
    assert low < 35 < high
    assert middle == pytest.approx(35, rel=0.4)
    assert found["count_high"] == high / 7
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_labels_of_days_count_them():
    scores = [normal(3, seed) for seed in range(5)]
    assert calibrate(scores, 0.2, 5)["days"] == 1
    assert calibrate(scores, 0.2, 5, days=[1, 1, 2, 3, 3])["days"] == 3


def test_light_that_is_quiet_is_held_at_the_lowest():
    scores, lights = two_lights()
    quiet = [np.where(m == "infrared", -5.0, s) for s, m in zip(scores, lights, strict=True)]
    assert threshold_of(calibrate(quiet, 0.2, 5, modes=lights), "infrared") == LOWEST


def test_what_does_not_fit_the_clips_is_refused():
    scores, lights = two_lights()
    with pytest.raises(ConfigError, match="Every frame has a light"):
        calibrate(scores, 0.2, 5, modes=[lights[0], lights[1][:-1]])
    with pytest.raises(ConfigError, match="Every frame has a light"):
        calibrate(scores, 0.2, 5, modes=lights[:1])
    with pytest.raises(ConfigError, match="is of one day, found 3 days"):
        calibrate(scores, 0.2, 5, days=[1, 2, 3])
