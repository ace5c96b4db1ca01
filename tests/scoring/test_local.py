"""Windows over maps: the box filter against a loop, borders and positions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.errors import ConfigError
from oddframe.scoring.local import box_mean, worst_region


def slow_box_mean(values: np.ndarray, size: int, border: str) -> np.ndarray:
    """Slow twin: one window after another."""
    before = size // 2
    if border == "mirror":
        values = np.pad(values, (before, size - 1 - before), mode="reflect")
    h, w = values.shape
    return np.array(
        [
            [values[r : r + size, c : c + size].mean() for c in range(w - size + 1)]
            for r in range(h - size + 1)
        ]
    )


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    st.integers(1, 14),
    st.sampled_from(["valid", "mirror"]),
    st.integers(0, 2**31),
)
def test_box_mean_equals_the_loop(shape, size, border, seed):
    size = min(size, *shape)
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    got = box_mean(values, size, border=border)
    assert got.dtype == np.float32
    np.testing.assert_allclose(
        got, slow_box_mean(values.astype(np.float64), size, border), atol=2e-6
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.sampled_from(["valid", "mirror"]),
    st.integers(1, 4),
    st.integers(0, 2**31),
)
def test_worst_region_is_the_largest_window_and_names_its_centre(size, border, every, seed):
    values = np.random.default_rng(seed).random((12, 15)).astype(np.float32)
    worst, (row, col) = worst_region(values, size, border=border, every_px=every)
    means = slow_box_mean(values.astype(np.float64), size, border)[::every, ::every]
    assert worst == pytest.approx(means.max(), abs=1e-6)
    before = size // 2
    padded = np.pad(values, before + size, mode="reflect")
    top, left = row + size, col + size  # centre minus size//2, plus the padding
    window = padded[top : top + size, left : left + size]
    assert window.mean() == pytest.approx(worst, abs=1e-5)
    if border == "valid":
        assert before <= row <= 12 - size + before
        assert before <= col <= 15 - size + before


def test_a_spot_is_found_where_it_is():
    values = np.zeros((40, 60), np.float32)
    values[10:14, 50:54] = 2
    assert worst_region(values, 4) == (2.0, (12, 52))
    assert worst_region(values, 8)[0] == pytest.approx(0.5)


def test_somebody_half_in_the_picture_counts_as_whole_with_the_mirror():
    values = np.zeros((20, 20), np.float32)
    values[:, :4] = 1
    assert worst_region(values, 8)[0] == pytest.approx(0.5)
    assert worst_region(values, 8, border="mirror")[0] == pytest.approx(7 / 8)


def test_equal_windows_give_the_first():
    assert worst_region(np.ones((6, 6), np.float32), 3) == (1.0, (1, 1))


def test_views_and_other_float_types_are_read_as_they_look():
    values = np.random.default_rng(1).random((10, 12))
    flipped = values[::-1, ::2]
    np.testing.assert_allclose(
        box_mean(flipped, 3, border="valid"), slow_box_mean(flipped, 3, "valid"), atol=1e-6
    )


@pytest.mark.parametrize(
    ("values", "size", "settings"),
    [
        (np.zeros((4, 9), np.float32), 5, {}),
        (np.zeros((4, 9), np.float32), 0, {}),
        (np.zeros((4, 9, 3), np.float32), 2, {}),
        (np.full((4, 9), np.nan, np.float32), 2, {}),
        (np.zeros((4, 9), np.float32), 2, {"border": "zero"}),
        (np.zeros((4, 9), np.float32), 2, {"every_px": 0}),
    ],
    ids=["window too large", "no window", "3-D", "NaN", "border", "step"],
)
def test_what_does_not_fit_is_refused(values, size, settings):
    with pytest.raises(ConfigError):
        worst_region(values, size, **settings)
