"""Heat overlays, truth outlines and the readout strip."""

import time

import numpy as np
import pytest

from oddframe.report.heat import (
    draw_truth,
    heat_range,
    legend_colours,
    overlay,
    strip_rows,
    with_status,
)

NAN = float("nan")


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def test_overlay_leaves_pixels_without_heat_unchanged(picture):
    heat = np.zeros((90, 120), np.float32)
    heat[20:30, 40:60] = 5
    out = overlay(picture, heat, low=0.5, high=4)
    cold = heat == 0
    assert np.array_equal(out[cold], picture[cold])
    assert (out[~cold] != picture[~cold]).any(axis=1).all()


def test_overlay_of_a_small_map_leaves_far_pixels_unchanged_and_the_input_alone(picture):
    before = picture.copy()
    heat = np.zeros((9, 12), np.float32)
    heat[4, 6] = 9
    out = overlay(picture, heat, low=0, high=4)
    assert np.array_equal(out[:25], before[:25])
    assert not np.array_equal(out, before)
    assert np.array_equal(picture, before)


def test_overlay_reads_nan_as_no_heat_and_infinity_as_full_heat(picture):
    heat = np.array([[NAN, -np.inf], [np.inf, 4.0]], np.float32).repeat(45, 0).repeat(60, 1)
    out = overlay(picture, heat, low=0, high=4, alpha=1.0)
    assert np.array_equal(out[:45], picture[:45])
    assert (out[45:] == out[45, 0]).all()


def test_overlay_grows_monotonically_with_heat():
    grey = np.full((1, 256, 3), 40, np.uint8)
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    change = overlay(grey, ramp, low=0, high=1).astype(int).sum(axis=2)[0]
    # Every eighth level: between neighbours, rounding in three channels may go either way.
    assert (np.diff(change[::8]) >= 0).all()
    assert change[-1] > change[128] > change[0]


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (NAN, 1), (0, np.inf)])
def test_overlay_refuses_a_range_that_is_none(picture, low, high):
    with pytest.raises(ValueError, match="low < high"):
        overlay(picture, np.zeros((3, 3), np.float32), low=low, high=high)


def test_overlay_is_fast_enough_for_video():
    image = np.zeros((360, 640, 3), np.uint8)
    heat = np.random.default_rng(0).random((64, 64), np.float32)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        overlay(image, heat, low=0, high=1)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.012  # 1.1 ms alone; the bound leaves room for a loaded machine


def test_heat_range_pools_all_maps_and_starts_at_zero():
    low, high = heat_range([np.full((4, 4), -3, np.float32), np.full((4, 4), 8, np.float32)])
    assert (low, high) == (0, 8)
    assert heat_range([]) == (0.0, 1.0)
    assert heat_range([np.full((2, 2), NAN, np.float32)]) == (0.0, 1.0)
    low, high = heat_range([np.full((2, 2), -3, np.float32)])
    assert low < high


def test_truth_outline_surrounds_the_mask_only(picture):
    mask = np.zeros((90, 120), bool)
    mask[30:60, 40:80] = True
    out = draw_truth(picture, mask)
    assert np.array_equal(out[:25], picture[:25])
    assert np.array_equal(out[36:54, 46:74], picture[36:54, 46:74])
    assert not np.array_equal(out[30], picture[30])
    assert np.array_equal(draw_truth(picture, np.zeros((9, 9), bool)), picture)


def test_truth_outline_keeps_a_single_pixel_of_a_larger_mask(picture):
    mask = np.zeros((900, 1200), bool)
    mask[450, 600] = True
    assert not np.array_equal(draw_truth(picture, mask), picture)


def test_the_status_stands_below_the_picture(picture):
    out = with_status(picture, 1.5, 0.5, False, 12.3, history=[NAN, 0.2, 1.5])
    h, w = picture.shape[:2]
    assert out.shape == (h + strip_rows(h), w, 3)
    assert np.array_equal(out[:h], picture)
    assert out[h:].max() > 100, "something is written"


@pytest.mark.parametrize(
    ("score", "level", "history"),
    [
        (NAN, NAN, ()),
        (NAN, NAN, [NAN] * 50),
        (0.0, 0.0, [0.0] * 50),
        (1e30, np.inf, [0.0, NAN, 1e30]),
        (-2.0, -1.0, np.linspace(-2, 2, 5000)),
    ],
    ids=["nothing yet", "only gaps", "constant", "absurd", "longer than the strip"],
)
@pytest.mark.parametrize("size", [(8, 8), (64, 64), (360, 640)], ids=str)
def test_status_bears_every_value_at_every_size(size, score, level, history):
    image = np.full((*size, 3), 128, np.uint8)
    out = with_status(image, score, level, level >= 1, 3.0, history=history)
    assert out.shape == (size[0] + strip_rows(size[0]), size[1], 3)


def test_legend_colours_go_from_dark_to_light():
    luma = [
        0.3 * int(c[1:3], 16) + 0.59 * int(c[3:5], 16) + 0.11 * int(c[5:], 16)
        for c in legend_colours(9)
    ]
    assert luma == sorted(luma)
