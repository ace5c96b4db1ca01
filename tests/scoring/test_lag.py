"""The stated delay: frame by frame as over whole videos, and both as SciPy has it."""

import numpy as np
import pytest
from scipy.ndimage import median_filter

from oddframe.scoring.lag import Lag, centred_median, frames_of


def streamed(scores, lag):
    """Through `Lag`; also how many frames late each came."""
    filt, found, late = Lag(lag), {}, {}
    for i, value in enumerate(scores):
        for j, median in filt.push(i, value):
            found[j], late[j] = median, i - j
    for j, median in filt.flush():
        found[j] = median
    assert list(found) == list(range(len(scores)))
    return np.array(list(found.values())), late


@pytest.mark.parametrize("lag", [0, 1, 3, 8, 40])
@pytest.mark.parametrize("n", [1, 5, 30])
def test_frame_by_frame_is_the_whole(n, lag):
    scores = np.random.default_rng(n).normal(size=n)
    found, late = streamed(scores, lag)
    np.testing.assert_array_equal(found, centred_median(scores, lag))
    assert all(x == lag for x in late.values())


def test_inside_it_is_a_median_filter():
    scores = np.random.default_rng(0).normal(size=60)
    want = median_filter(scores, 9)
    np.testing.assert_array_equal(centred_median(scores, 4)[4:-4], want[4:-4])
    spike = np.zeros(30)
    spike[12] = 9
    assert not centred_median(spike, 1).any()


def test_nothing_looks_beyond_a_frame_without_a_score():
    scores = np.array([np.nan] * 4 + [1.0, 2, 9, 4, 5, np.nan, 7, 8])
    want = centred_median(scores, 2)
    np.testing.assert_array_equal(np.isnan(want), np.isnan(scores))
    assert want[4] == 2  # of 1, 2, 9
    assert want[8] == 5  # of 9, 4, 5
    assert want[10] == 7.5
    np.testing.assert_array_equal(streamed(scores, 2)[0], want)
    assert np.isnan(centred_median(np.full(3, np.nan), 2)).all()


def test_a_delay_is_in_seconds():
    assert [frames_of(s, fps) for s, fps in ((0.8, 10.0), (0.8, 25.0), (0, 25.0), (1, None))] == [
        8, 20, 0, 25,
    ]  # fmt: skip
