"""Zones and masks: which places lie inside, which boxes touch, exactly."""

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oddframe.errors import ConfigError
from oddframe.events.event import Box
from oddframe.events.rules import Rules
from oddframe.events.zones import (
    Mask,
    Zone,
    check,
    check_picture,
    hidden,
    inside,
    severity,
    touched,
)

CORNERS = st.tuples(st.integers(0, 12), st.integers(0, 12))
BOXES = st.builds(
    Box, st.integers(0, 11), st.integers(0, 11), st.integers(1, 6), st.integers(1, 6)
)  # fmt: skip


def zone(*points, name="door", unit="pixels", **more):
    return Zone.read({"name": name, "points": points, "unit": unit, **more})


def mask(*points, unit="relative"):
    return Mask(points=points, unit=unit)


def clipped_area(points, box):
    """Slow: area of a convex polygon within a box, in fractions (Sutherland and Hodgman)."""
    poly = [tuple(map(Fraction, p)) for p in points]
    for axis, limit, sign in (
        (0, box.x, 1), (0, box.x + box.w, -1), (1, box.y, 1), (1, box.y + box.h, -1)
    ):  # fmt: skip
        kept = []
        for a, b in zip(poly, [*poly[1:], *poly[:1]], strict=True):
            da, db = sign * (a[axis] - limit), sign * (b[axis] - limit)
            if da >= 0:
                kept.append(a)
            if da * db < 0:
                t = da / (da - db)
                kept.append(tuple(p + t * (q - p) for p, q in zip(a, b, strict=True)))
        poly = kept
    turned = [*poly[1:], *poly[:1]]
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(poly, turned, strict=True))) / 2


def lies_on_a_line(points):
    return np.linalg.matrix_rank(np.array(points) - points[0]) < 2


@given(st.tuples(CORNERS, CORNERS, CORNERS), BOXES)
@settings(max_examples=400, deadline=None)
def test_a_box_touches_a_triangle_where_they_share_area(points, box):
    assume(not lies_on_a_line(points))
    assert zone(*points).overlaps(box, 20, 20) is (clipped_area(points, box) > 0)


@given(st.lists(CORNERS, min_size=4, max_size=7), BOXES)
@settings(max_examples=300, deadline=None)
def test_a_box_touches_any_polygon_where_a_fine_grid_says_so(points, box):
    """Hollow and crossing ones too."""
    assume(not lies_on_a_line(points))
    x = box.x + (np.arange(40)[None, :] + 0.503) * box.w / 40
    y = box.y + (np.arange(40)[:, None] + 0.507) * box.h / 40
    if inside(np.array(points, float), x, y).any():
        assert zone(*points).overlaps(box, 20, 20)


def test_a_thin_zone_is_touched_and_a_border_is_not():
    wire = zone((0, 100), (640, 100), (640, 101), (0, 101))
    assert wire.overlaps(Box(300, 50, 20, 200), 640, 480)
    assert not wire.overlaps(Box(300, 50, 20, 50), 640, 480)  # ends where it begins
    assert wire.overlaps(Box(300, 50, 20, 51), 640, 480)
    assert not wire.overlaps(Box(300, 101, 20, 50), 640, 480)
    assert not zone((0, 0), (10, 0), (10, 10), (0, 10)).overlaps(Box(10, 10, 5, 5), 640, 480)
    assert not wire.overlaps(Box(300, 50, 0, 200), 640, 480)  # a box without a width


def test_what_rounding_makes_of_relative_points_touches_nothing():
    edges = [i / 100 for i in range(101)]
    assert 0.29 * 100 < 29
    assert 0.14 * 100 > 14
    for low, high in pairwise(edges):
        across = zone((low, 0), (high, 0), (high, 1), (low, 1), unit="relative")
        down = zone((0, low), (0, high), (1, high), (1, low), unit="relative")
        for side in (100, 700):
            begin, end = round(low * side), round(high * side)
            assert across.overlaps(Box(begin, 0, end - begin, 9), side, side)
            assert down.overlaps(Box(0, begin, 9, end - begin), side, side)
            for at in (end, begin - 9):
                assert not across.overlaps(Box(at, 0, 9, 9), side, side)
                assert not down.overlaps(Box(0, at, 9, 9), side, side)


def test_a_box_in_the_hollow_of_a_zone_does_not_touch_it():
    u = zone((0, 0), (10, 0), (10, 10), (8, 10), (8, 2), (2, 2), (2, 10), (0, 10))
    assert not u.overlaps(Box(3, 3, 4, 6), 20, 20)
    assert u.overlaps(Box(3, 3, 6, 6), 20, 20)
    assert u.overlaps(Box(8, 5, 1, 1), 20, 20)  # inside, no side near
    assert zone((0, 0), (20, 0), (20, 20), (0, 20)).overlaps(Box(5, 5, 2, 2), 20, 20)


def test_zones_are_told_in_their_order():
    left = zone((0, 0), (0.5, 0), (0.5, 1), (0, 1), name="left", unit="relative")
    right = zone((0.5, 0), (1, 0), (1, 1), (0.5, 1), name="right", unit="relative")
    both = (Box(600, 10, 5, 5), Box(10, 10, 5, 5))
    assert touched((left, right), both, 640, 480) == ("left", "right")
    assert touched((right, left), both, 640, 480) == ("right", "left")
    assert touched((left, right), both[:1], 640, 480) == ("right",)
    assert touched((left, right), (), 640, 480) == ()


@given(st.lists(CORNERS, min_size=3, max_size=8), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_hidden_cells_are_those_whose_middle_lies_inside(points, size):
    assume(not lies_on_a_line(points))
    width, height = 24, 13
    got = hidden([mask(*points, unit="pixels")], width, height, size)
    assert got.shape == (size, size)
    for row in range(size):
        for column in range(size):
            x, y = (column + 0.5) * width / size, (row + 0.5) * height / size
            slow, before = False, points[-1]
            for here in points:
                (x1, y1), (x2, y2) = before, here
                if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1)):
                    slow = not slow
                before = here
            assert got[row, column] == slow


def test_hidden_is_as_opencv_has_it_at_any_size():
    points = ((0.1, 0.2), (0.9, 0.1), (0.7, 0.9), (0.5, 0.4), (0.2, 0.8))
    outline = (np.array(points) * 1000).astype(np.float32)
    for size in (7, 64, 128):
        got = hidden([mask(*points)], 640, 480, size)
        at = (np.arange(size) + 0.5) * 1000 / size
        want = [
            [cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0 for x in at] for y in at
        ]
        assert (got != np.array(want)).sum() <= size // 16  # on the line itself either may be
        assert 0.2 < got.mean() < 0.6


def test_hidden_lies_over_the_whole_picture_and_masks_add_up():
    left, top = (
        mask((0, 0), (0.5, 0), (0.5, 1), (0, 1)),
        mask((0, 0), (640, 0), (640, 120), (0, 120), unit="pixels"),
    )
    got = hidden([left, top], 640, 480, 8)
    assert got[:, :4].all()
    assert got[:2].all()
    assert not got[2:, 4:].any()
    assert not hidden([], 640, 480, 8).any()
    assert hidden([mask((0, 0), (1, 0), (1, 1), (0, 1))], 640, 480, 9).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"points": [[10, 20], [300, 20], [300, 200]]}, r"found \[10, 20\].*say unit: pixels"),
        ({"points": [[0, 0], [1, 0], [-0.1, 1]]}, r"found \[-0.1, 1\]"),
        ({"points": [[0, 0], [5, 0], [-1, 9]], "unit": "pixels"}, r"0 or more; found \[-1, 9\]"),
        ({"points": [[0, 0], [0.5, 0.5], [1, 1]]}, "on one line"),
        ({"points": [[0, 0], [1, 1]]}, "at least 3"),
        ({"points": [[0, 0], [1, 0], [float("nan"), 1]]}, "points"),
        ({"points": [[0, 0], [1, 0], [1, 1]], "alert_level": 0}, "alert_level"),
        ({"points": [[0, 0], [1, 0], [1, 1]], "severity": "loud"}, "severity"),
        ({"points": [[0, 0], [1, 0], [1, 1]], "name": ""}, "name"),
    ],
)  # fmt: skip
def test_what_encloses_nothing_is_refused_in_words(values, words):
    with pytest.raises(ConfigError, match=words):
        Zone.read({"name": "door", **values})


def test_a_bare_list_is_a_mask():
    assert Mask.model_validate([[0, 0], [1, 0], [1, 1]]) == mask((0, 0), (1, 0), (1, 1))


def test_zones_are_held_against_the_rules_and_the_picture():
    a = zone((0, 0), (640, 0), (640, 400), alert_level=1.5)
    check(Rules(), [a])
    with pytest.raises(ConfigError, match=r"'door': alert_level 1.5 is below raise_level 2"):
        check(Rules(raise_level=2, alert_level=2), [a])
    with pytest.raises(ConfigError, match="Two zones are named 'door'"):
        check(Rules(), [a, a])
    check_picture([a, mask((0, 0), (1, 0), (1, 1))], 640, 400)
    with pytest.raises(ConfigError, match=r"Zone 'door' has the point \[640, 400\].*640 x 360"):
        check_picture([a], 640, 360)


def test_severity_is_by_level_without_zones_and_by_zone_with_them():
    rules = Rules(alert_level=2)
    square = ((0, 0), (1, 0), (1, 1))
    door = zone(*square, name="door", unit="relative", alert_level=3)
    path = zone(*square, name="path", unit="relative", severity="detection")
    gate = zone(*square, name="gate", unit="relative")
    assert [severity(x, rules, (), {}) for x in (1.9, 2)] == ["detection", "alert"]
    zones = (door, path, gate)
    assert severity(9, rules, zones, {}) == "detection"
    assert severity(9, rules, zones, {"path": 9}) == "detection"
    assert severity(9, rules, zones, {"door": 2.9}) == "detection"
    assert severity(9, rules, zones, {"door": 3}) == "alert"
    assert severity(9, rules, zones, {"gate": 2, "path": 1}) == "alert"
    assert severity(9, rules, zones, {"gate": 1.9}) == "detection"
