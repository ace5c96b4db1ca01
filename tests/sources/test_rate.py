"""Footage of another rate than a RUN's: ticks go to the nearest frame."""

import numpy as np
import pytest

from oddframe.sources.rate import NEAR, Pacer, pacer, pacing_text
from oddframe.types import Frame, SourceInfo

PICTURE = np.zeros((8, 8, 3), np.uint8)


def looks(times, fps, gaps=()):
    usual = float(np.median(np.diff(times)))
    pace = Pacer(fps, 1 / usual)
    return [pace.looks(Frame(i, t, PICTURE, i in gaps)) for i, t in enumerate(times)]


def nearest(times, fps):
    """How many ticks k / fps lie nearest to each frame: slowly, and looking ahead."""
    ticks = np.arange(0, times[-1] + 1e-9, 1 / fps)
    at = np.abs(np.subtract.outer(ticks, times)).argmin(1)
    return np.bincount(at, minlength=len(times))


@pytest.mark.parametrize(("source", "fps"), [(60, 25), (50, 25), (30, 10), (25, 8), (100, 3)])
def test_faster_footage_is_thinned_to_the_nearest_frames(source, fps):
    times = np.arange(200) / source
    got = looks(times, fps)
    assert set(got) <= {0, 1}
    assert sum(got) == pytest.approx(200 * fps / source, abs=1.01)
    assert np.abs(np.cumsum(got) - np.cumsum(nearest(times, fps))).max() <= 1
    steps = np.diff(times[np.array(got) == 1])
    assert np.abs(steps - 1 / fps).max() <= 0.5 / source + 1e-6 + 0.5 / source


@pytest.mark.parametrize(("source", "fps"), [(8, 25), (5, 25), (10, 30), (12.5, 25)])
def test_slower_footage_is_looked_at_several_times(source, fps):
    times = np.arange(60) / source
    got = looks(times, fps)
    assert min(got) >= 1
    assert sum(got[1:]) == pytest.approx(59 * fps / source, abs=1.01)
    assert max(got) - min(got[1:]) <= 1


def test_a_phone_that_slows_down_in_the_dark():
    times = np.concatenate([np.arange(60) / 30, 2 + np.arange(20) / 10, 4 + np.arange(60) / 30])
    got = looks(times, 30)
    assert got[:60] == [1] * 60
    assert got[62:80] == [3] * 18
    assert got[81:] == [1] * 59


def test_a_gap_begins_anew():
    times = np.concatenate([np.arange(50) / 50, 3600 + np.arange(50) / 50])
    got = looks(times, 25, gaps={50})
    assert got[50] == 1
    assert sum(got) == pytest.approx(50, abs=2)


def info(fps, **facts):
    return SourceInfo("a", 8, 8, fps, None, **facts)


def test_what_is_near_enough_or_not_known_stays_as_it_is():
    assert pacer(None, info(8.0)) is None
    assert pacer(25.0, info(25.0 * NEAR)) is None
    assert pacer(25.0, info(25.0 / NEAR)) is None
    assert pacer(25.0, info(8.0, assumed=True)) is None
    assert pacer(25.0, info(8.0)) is not None
    assert pacer(25.0, info(60.0)) is not None
    assert pacer(25.0, info(25.0, steady=False)) is not None


def test_it_is_said_in_words():
    assert "8 frames/s, the RUN learned at 25: every frame is looked at 3.1 times" in pacing_text(
        25.0, info(8.0)
    )
    assert "is looked at 16 times and" in pacing_text(25.0, info(0.001))  # as `looks` has it
    assert "of 2.4 frames one is looked at" in pacing_text(25.0, info(60.0))
    assert "not evenly" in pacing_text(25.0, info(25.0, steady=False))
