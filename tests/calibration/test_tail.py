"""Many rows at once give what one row gives."""

from __future__ import annotations

import numpy as np
import pytest

from oddframe.calibration.tail import fit_rows, fit_tail, level_of, level_passed, passed_rows


def rows():
    rng = np.random.default_rng(0)
    some = [rng.gamma(2, 1, 30), rng.pareto(3, 30), rng.beta(2, 2, 30), np.ones(30), np.zeros(30)]
    return np.array([*some, *(rng.lognormal(0, s, 30) for s in (0.1, 1, 2))])


def test_fitted_at_once_as_one_by_one():
    shape, scale = fit_rows(rows())
    want = np.array([fit_tail(row) for row in rows()])
    np.testing.assert_allclose(np.column_stack((shape, scale)), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wanted", [0.1, 1.0, 10.0, 29.0])
def test_the_level_that_is_passed_so_often_is_passed_so_often(wanted):
    for row in rows()[:3]:
        peaks = np.sort(row)[::-1]
        level, method, shape, scale = level_of(peaks, wanted)
        if method != "tail":
            continue
        m = len(peaks) - 1
        one = np.ones(1)
        share = passed_rows(level, peaks[m] * one, shape * one, scale * one)
        assert m * share[0] == pytest.approx(wanted, rel=1e-9)
        assert level_passed(share, float(peaks[m]), shape, scale)[0] == pytest.approx(level)


def test_beyond_the_end_of_a_law_nothing_is_and_before_its_start_all():
    one = np.ones(1)
    assert passed_rows(4.0, one, -0.5 * one, one) == 0  # ends at 1 + 1 / 0.5
    assert 0 < passed_rows(2.9, one, -0.5 * one, one)[0] < 0.01
    assert passed_rows(0.5, one, -0.5 * one, one) == 1
    assert passed_rows(1.1, one, 0 * one, 0 * one) == 0  # all alike: nothing is above
