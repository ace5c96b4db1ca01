"""Separate peaks of a stream, hour by hour, against those of the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oddframe.calibration.hour import HOUR_S, Hour
from oddframe.calibration.peaks import separate_peaks

GAP_S = 10.0


def stream(hours, step_s=1.0, seed=0):
    scores = np.random.default_rng(seed).normal(size=round(hours * 3600 / step_s))
    return scores, np.arange(len(scores)) * step_s


def hours_of(scores, time_s, lights=None, alarmed=None):
    """What each hour found, in order."""
    hour, out = Hour(GAP_S), []
    for i, (score, pts_s) in enumerate(zip(scores, time_s, strict=True)):
        if hour.ends_before(pts_s):
            out.append(hour.found())
            hour = Hour(GAP_S)
        light = "" if lights is None else lights[i]
        hour.add(score, pts_s, light, alarmed is not None and bool(alarmed[i]))
    return [*out, hour.found()]


def peaks_in(found, light=""):
    return np.sort(np.concatenate([part[light].peaks for part, _ in found if light in part]))[::-1]


def test_one_hour_is_as_the_whole():
    scores, time_s = stream(0.9)
    found = hours_of(scores, time_s)
    assert len(found) == 1
    np.testing.assert_array_equal(peaks_in(found), separate_peaks(scores, time_s, GAP_S))


def test_hours_differ_from_the_whole_by_a_peak_at_each_cut():
    scores, time_s = stream(6)
    whole, found = separate_peaks(scores, time_s, GAP_S), peaks_in(hours_of(scores, time_s))
    assert len(whole) <= len(found) <= len(whole) + 5
    np.testing.assert_array_equal(found[:100], whole[:100])  # it is never the large ones here
    assert sum(h for _, h in hours_of(scores, time_s)) == pytest.approx(6, abs=0.01)


def test_frames_near_an_alarm_are_no_peaks_and_no_time():
    scores, time_s = stream(0.5)
    alarmed = (time_s >= 600) & (time_s < 660)
    scores[alarmed] += 50
    scores[(time_s > 650) & (time_s < 668)] += 40  # it fades
    [(part, hours)] = hours_of(scores, time_s, alarmed=alarmed)
    quiet = np.where((time_s >= 590) & (time_s <= 669), np.nan, scores)
    np.testing.assert_array_equal(part[""].peaks, separate_peaks(quiet, time_s, GAP_S))
    assert part[""].total_h * 3600 == pytest.approx(1800 - 80, abs=1)
    assert hours * 3600 == pytest.approx(1800, abs=1)


def test_an_hour_does_not_end_in_an_alarm():
    hour = Hour(GAP_S)
    for t in range(3601):
        hour.add(0.0, float(t), "", t >= 3590)
    assert not hour.ends_before(3605.0)
    assert hour.ends_before(3611.0)
    for t in range(3601, 7200):
        hour.add(0.0, float(t), "", True)
    assert hour.ends_before(2 * HOUR_S)  # but for an alarm without end


def test_frames_of_an_event_before_it_was_told_do_not_count():
    scores, time_s = stream(0.2)
    scores[300:400] += 50
    hour = Hour(GAP_S)
    for t in range(len(scores)):
        hour.add(scores[t], float(t), "", 360 <= t < 400, 300.0 if 300 <= t < 400 else None)
    part, _ = hour.found()
    quiet = np.where((time_s >= 290) & (time_s < 410), np.nan, scores)
    np.testing.assert_array_equal(part[""].peaks, separate_peaks(quiet, time_s, GAP_S))


def test_an_hour_does_not_end_while_there_may_be_an_event():
    hour = Hour(GAP_S)
    for t in range(3601):
        hour.add(0.0, float(t), "", False, 3500.0 if t >= 3500 else None)
    assert not hour.ends_before(3650.0)
    hour.add(0.0, 3650.0, "", False)
    assert hour.ends_before(3651.0)


def test_another_stretch_begins_where_the_clock_goes_back():
    scores, time_s = stream(0.2)
    found = hours_of(np.tile(scores, 2), np.tile(time_s, 2))
    assert len(found) == 2
    np.testing.assert_array_equal(found[0][0][""].peaks, found[1][0][""].peaks)


def test_pauses_are_no_time():
    scores, time_s = stream(0.5)
    time_s[900:] += 600
    [(_, hours)] = hours_of(scores, time_s)
    assert hours == pytest.approx(0.5, abs=0.001)


def test_lights_are_apart():
    scores, time_s = stream(0.5)
    lights = np.where(time_s < 600, "infrared", "colour")
    [(part, _)] = hours_of(scores, time_s, lights)
    for name in ("infrared", "colour"):
        own = np.where(lights == name, scores, np.nan)
        np.testing.assert_array_equal(part[name].peaks, separate_peaks(own, time_s, GAP_S))
    assert part["infrared"].total_h * 3600 == pytest.approx(600, abs=1)


def test_frames_without_a_score_and_a_frame_alone_are_nothing():
    assert Hour(GAP_S).found() == ({}, 0.0)
    hour = Hour(GAP_S)
    hour.add(1.0, 0.0, "", False)
    assert hour.found() == ({}, 0.0)
    [(part, hours)] = hours_of([math.nan] * 20, np.arange(20.0))
    assert (len(part[""].peaks), hours) == (0, 0)
