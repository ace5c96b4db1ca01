"""Hot places as boxes in the source's pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from oddframe.events.event import Box
from oddframe.events.where import MOST, RAISED, SPECK, WIDE, boxes, outlined, places


def heat_of(*spots, size=64, cold=-0.5):
    """(row, column, rows, columns, heat) each."""
    heat = np.full((size, size), cold, np.float32)
    for row, column, h, w, value in spots:
        heat[row : row + h, column : column + w] = value
    return heat


def test_cells_become_the_source_s_pixels_of_either_side():
    heat = heat_of((16, 8, 4, 2, 3.0))
    assert boxes(heat, 1.0, 640, 360) == (Box(80, 90, 20, 23),)  # 22.5 high, to whole pixels
    assert boxes(heat, 1.0, 64, 64) == (Box(8, 16, 2, 4),)


def test_largest_first_and_at_most_so_many():
    heat = heat_of(*((8 * i, 2, 6, 2 + 3 * i, 2.0 + i) for i in range(7)))
    found = boxes(heat, 1.0, 64, 64)
    assert [b.w for b in found] == [20, 17, 14, 11, 8]
    assert len(found) == MOST
    assert len(boxes(heat, 1.0, 64, 64, most=2)) == 2


def test_the_hottest_place_is_told_though_others_are_larger():
    heat = heat_of(*((8 * i, 2, 6, 20, 2.0) for i in range(6)), (60, 60, 1, 1, 9.0))
    found = places(heat, 1.0, 64, 64)
    assert len(found) == MOST
    assert found[-1].box == Box(60, 60, 1, 1)
    assert found[-1].share == 1
    assert found[0].share == pytest.approx(2 / 9)
    assert places(heat, 1.0, 64, 64, most=1) == found[-1:]


def test_specks_are_dropped_where_there_is_something_larger():
    heat = heat_of((2, 2, 8, 8, 3.0), (40, 40, 1, 2, 2.9), (20, 40, 1, 3, 2.9))
    assert 2 < SPECK * heat.size < 3
    assert boxes(heat, 1.0, 64, 64) == (Box(2, 2, 8, 8), Box(40, 20, 3, 1))
    alone = heat_of((40, 40, 1, 2, 2.9), (10, 10, 1, 1, 2.0))
    assert boxes(alone, 1.0, 64, 64) == (Box(40, 40, 2, 1), Box(10, 10, 1, 1))


def test_corners_connect():
    assert boxes(heat_of((4, 4, 2, 2, 3), (6, 6, 2, 2, 3)), 1.0, 64, 64) == (Box(4, 4, 4, 4),)


def test_below_the_floor_the_hottest_place_is_told_alone():
    heat = heat_of((10, 10, 4, 4, 0.9), (12, 12, 1, 1, 1.0), (40, 40, 8, 8, 0.95))
    assert boxes(heat, 1.5, 64, 64) == (Box(10, 10, 4, 4),)
    cold = heat_of((12, 13, 1, 1, -0.1))
    assert boxes(cold, 1.5, 64, 64) == (Box(13, 12, 1, 1),)
    assert places(cold, 1.5, 64, 64)[0].share == 1


def test_what_is_not_known_is_nowhere():
    heat = heat_of((10, 10, 4, 4, 3.0))
    heat[:8] = np.nan
    heat[60:] = -np.inf
    assert boxes(heat, 1.0, 64, 64) == (Box(10, 10, 4, 4),)
    assert boxes(np.full((8, 8), np.nan, np.float32), 1.0, 64, 64) == ()


def test_a_picture_smaller_than_the_map_still_has_boxes():
    assert boxes(heat_of((63, 63, 1, 1, 3.0)), 1.0, 10, 7) == (Box(9, 6, 1, 1),)
    assert boxes(heat_of((0, 0, 64, 64, 3.0)), 1.0, 10, 7) == (Box(0, 0, 10, 7),)


def test_light_that_follows_whoever_comes_is_not_where_he_is():
    heat = heat_of((10, 20, 30, 12, 9.0), (50, 50, 6, 6, 5.5), cold=2.0)
    assert boxes(heat, 1.0, 64, 64) == (Box(20, 10, 12, 30), Box(50, 50, 6, 6))
    brighter = heat_of((10, 20, 30, 12, 9.0), cold=5.0)  # above half of his heat, below .6 of it
    assert boxes(brighter, 1.0, 64, 64) == (Box(20, 10, 12, 30),)
    assert boxes(heat, 3.0, 64, 64) == (Box(20, 10, 12, 30), Box(50, 50, 6, 6))


def test_a_lamp_is_everywhere_and_wide_things_that_are_not_the_hottest_stay():
    lamp = heat_of((10, 20, 30, 12, 9.0), cold=8.0)
    assert boxes(lamp, 1.0, 64, 64) == (Box(0, 0, 64, 64),)
    floor = heat_of((30, 0, 34, 64, 3.0), (4, 4, 6, 6, 9.0))
    assert boxes(floor, 1.0, 64, 64) == (Box(0, 30, 64, 34), Box(4, 4, 6, 6))


def scipy_components(heat, floor):
    return ndimage.label(heat >= floor, np.ones((3, 3)))


def scipy_floor(heat, floor):
    """The floor itself, or the first of the higher ones at which the hottest place is not wide."""
    for f in (floor, *(max(floor, s * float(heat.max())) for s in RAISED)):
        labels, _ = scipy_components(heat, f)
        own = ndimage.find_objects((labels == labels.flat[heat.argmax()]).astype(int))[0]
        if np.prod([s.stop - s.start for s in own]) <= WIDE * heat.size:
            return f
    return floor


@given(
    arrays(np.float32, (12, 12), elements=st.sampled_from([-1.0, 0.0, 0.9, 1.0, 1.5, 2.0, 4.0])),
    st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.5, 1.0, 3.0, 9.0]),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_they_are_the_components_that_scipy_finds(heat, width, height, floor):
    found = places(heat, floor, width, height, most=200)
    for place in found:
        box = place.box
        assert box.w > 0 < box.h
        assert 0 <= box.x <= box.x + box.w <= width
        assert 0 <= box.y <= box.y + box.h <= height
    areas = [p.box.w * p.box.h for p in places(heat, floor, 1200, 1200, most=200)]
    assert areas == sorted(areas, reverse=True)
    assert max(p.share for p in found) == 1
    if heat.max() >= floor:  # of 144 cells none is a speck
        labels, count = scipy_components(heat, scipy_floor(heat, floor))
        want = {
            (s[1].start, s[0].start, s[1].stop, s[0].stop) for s in ndimage.find_objects(labels)
        }
        exact = boxes(heat, floor, 12, 12, most=200)
        assert {(b.x, b.y, b.x + b.w, b.y + b.h) for b in exact} == want
        assert len(exact) == count
    else:
        assert len(found) == 1


def test_boxes_are_drawn_in_place_on_a_smaller_picture():
    image = np.zeros((360, 640, 3), np.uint8)
    drawn = outlined(image, (Box(200, 100, 400, 300),), 1280, 720)
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert (columns.min(), rows.min()) == pytest.approx((100, 50), abs=2)
    assert (columns.max(), rows.max()) == pytest.approx((299, 199), abs=2)
    assert not image.any()
