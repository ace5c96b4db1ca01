"""PSNR with its stated maximum; smoothing with its stated kernel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics import psnr
from oddframe.metrics.smooth import ema, gaussian, gaussian_kernel, smooth_video


def test_psnr_by_hand_and_the_six_decibels_of_a_wrong_maximum():
    a, b = np.zeros((2, 3)), np.full((2, 3), 0.1)
    assert psnr(a, b, max_value=1) == pytest.approx(20)
    assert psnr(a, b, max_value=2) == pytest.approx(20 + 20 * np.log10(2))


def test_psnr_does_not_depend_on_the_range_the_frames_are_kept_in():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 8, 8)).astype(np.uint8)
    small = psnr(a / 127.5 - 1, b / 127.5 - 1, max_value=2)
    assert psnr(a, b, max_value=255) == pytest.approx(small)


def test_a_perfect_prediction_is_a_hundred_decibels_not_infinity():
    a = np.ones((4, 4), np.float32)
    assert psnr(a, a, max_value=2) == pytest.approx(100)
    assert psnr(a, a, max_value=2, floor=1e-6) == pytest.approx(60)


def test_psnr_refuses_what_it_cannot_compare():
    a = np.zeros((2, 2))
    with pytest.raises(ProtocolError, match="one shape"):
        psnr(a, np.zeros((2, 3)), max_value=1)
    with pytest.raises(ProtocolError, match="NaN"):
        psnr(a, np.full((2, 2), np.nan), max_value=1)
    with pytest.raises(ConfigError):
        psnr(a, a, max_value=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.floats(0.3, 12), st.integers(0, 2**31))
def test_gaussian_equals_scipy_with_reflected_edges(n, sigma, seed):
    x = np.random.default_rng(seed).normal(size=n)
    np.testing.assert_allclose(
        gaussian(x, sigma), gaussian_filter1d(x, sigma, mode="reflect"), atol=1e-12
    )


def test_gaussian_kernel_has_the_stated_taps():
    kernel = gaussian_kernel(10)
    assert kernel.size == 81
    assert kernel.sum() == pytest.approx(1)
    assert kernel[40] == pytest.approx(0.0399, abs=1e-4)


def test_ema_is_causal_and_equals_its_recurrence():
    x = np.array([1.0, 3.0, 2.0, 10.0])
    y = ema(x, 0.5)
    np.testing.assert_allclose(y, [1, 2, 2, 6])
    np.testing.assert_array_equal(ema(x[:3], 0.5), y[:3])
    np.testing.assert_allclose(ema(x, 0.5, log=True), np.exp(ema(np.log(x), 0.5)))
    np.testing.assert_array_equal(x, [1, 3, 2, 10])
    np.testing.assert_array_equal(ema(x, 1), x)


def test_log_ema_names_the_frame_that_has_no_logarithm():
    with pytest.raises(ProtocolError, match="frame 1"):
        ema(np.array([1.0, 0.0]), 0.5, log=True)


@pytest.mark.parametrize(
    "text",
    [
        "mean:3",
        "ema",
        "ema:0",
        "ema:1.5",
        "ema:x",
        "gaussian:-1",
        "gaussian:nan",
        "gaussian:1e12",
        "none:3",
        "",
        "log-ema:",
    ],
)
def test_unknown_smoothing_is_refused(text):
    with pytest.raises(ConfigError):
        smooth_video(np.ones(3), text)
