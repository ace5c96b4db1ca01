"""Polygons on a camera's picture: zones, where events count for more, and masks, never scored.

Points are of the source's picture, not of what a model sees of it: parts of its width and height
from 0 to 1, or its pixels. Pixel i reaches from i to i + 1, so that a picture 640 wide ends at 640.
A polygon that crosses itself is what is inside by the even-odd rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from oddframe.config import Config
from oddframe.errors import ConfigError
from oddframe.events.event import Box, Severity
from oddframe.events.rules import Rules

Point = tuple[float, float]

THIN_PX = 1e-6
"""An overlap no wider than this is one of rounding."""


class Polygon(Config):
    """A part of the picture."""

    points: tuple[Point, ...] = Field(min_length=3)
    """Its corners in turn, [x, y] each."""
    unit: Literal["relative", "pixels"] = "relative"
    """What the points count in: parts of the picture's width and height, or its pixels."""

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        odd = [p for p in self.points if min(p) < 0 or (self.unit == "relative" and max(p) > 1)]
        if odd and self.unit == "relative":
            raise ValueError(
                "points are parts of the picture's width and height, from 0 to 1; found "
                f"{_said(odd[0])}. Where pixels are meant, say unit: pixels"
            )
        if odd:
            raise ValueError(f"points in pixels are 0 or more; found {_said(odd[0])}")
        corners = np.array(self.points) - self.points[0]
        if np.linalg.matrix_rank(corners) < 2:
            raise ValueError("the points lie on one line, which encloses nothing; move one of them")
        return self

    def on(self, width: int, height: int) -> NDArray[np.float64]:
        """(n, 2): its corners in pixels of a picture."""
        return np.array(self._on(width, height), np.float64)

    def _on(self, width: int, height: int) -> list[tuple[float, float]]:
        if self.unit == "pixels":
            return list(self.points)
        return [(x * width, y * height) for x, y in self.points]

    def overlaps(self, box: Box, width: int, height: int) -> bool:
        """Whether it and a box in a picture share some area, not an edge or a corner alone.

        They do where a side runs through the box; where none does, the box is all in or all out."""
        if box.w <= 0 or box.h <= 0:
            return False
        points = self._on(width, height)  # plain numbers: arrays of so few take five times as long
        left, top = box.x + THIN_PX, box.y + THIN_PX
        right, bottom = box.x + box.w - THIN_PX, box.y + box.h - THIN_PX
        within = False
        for start, end in zip(points, [*points[1:], points[0]], strict=True):
            if _through(start, end, (left, top), (right, bottom)):
                return True
            within ^= _right_of(start, end, (left + right) / 2, (top + bottom) / 2)
        return within


class Mask(Polygon):
    """What is never scored: a tree, a road behind the fence, the camera's clock."""

    name: str = ""
    """For people."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, values: Any) -> Any:
        """A bare list is its points."""
        return {"points": values} if isinstance(values, (list, tuple)) else values


class Zone(Polygon):
    """A place with a name. Where a camera has zones, an event is an alert only by one of them."""

    name: str = Field(min_length=1)
    """What the event says that it touched."""
    severity: Severity = "alert"
    """What an event is by touching it; `detection`: the zone only gives events its name."""
    alert_level: float | None = Field(None, gt=0, le=100)
    """Alert from this level on, in place of the rules' own; at least their `raise_level`."""


def check(rules: Rules, zones: Sequence[Zone]) -> None:
    """Hold zones against each other and against the rules.

    Raises:
        ConfigError: two of one name, or an alert level at which no event has begun.
    """
    names = [zone.name for zone in zones]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"Two zones are named {twice[0]!r}; give each its own name.")
    for zone in zones:
        if zone.alert_level is not None and zone.alert_level < rules.raise_level:
            raise ConfigError(
                f"Zone {zone.name!r}: alert_level {zone.alert_level:g} is below raise_level "
                f"{rules.raise_level:g}, where events begin. Give at least that, or lower "
                "raise_level."
            )


def check_picture(polygons: Sequence[Polygon], width: int, height: int) -> None:
    """Hold zones and masks against the picture that a source turned out to give.

    Raises:
        ConfigError: points outside it, as of a stream of another resolution.
    """
    for polygon in polygons:
        beyond = [p for p in polygon.on(width, height).tolist() if p[0] > width or p[1] > height]
        if beyond:
            name = getattr(polygon, "name", "")
            raise ConfigError(
                f"{type(polygon).__name__} {name!r} has the point {_said(beyond[0])}, and the "
                f"picture is {width} x {height} pixels. Was it drawn on another stream of the "
                "camera? Points of unit: relative fit them all."
            )


def hidden(masks: Sequence[Mask], width: int, height: int, size: int) -> NDArray[np.bool_]:
    """(size, size) over the whole picture: True where the middle of a cell lies in a mask.

    width, height: of the source's picture. size: any, of the map that is to be masked.
    """
    x = ((np.arange(size) + 0.5) * width / size)[None, :]
    y = ((np.arange(size) + 0.5) * height / size)[:, None]
    out = np.zeros((size, size), np.bool_)
    for mask in masks:
        out |= inside(mask.on(width, height), x, y)
    return out


def touched(
    zones: Sequence[Zone], boxes: Sequence[Box], width: int, height: int
) -> tuple[str, ...]:
    """Names of the zones that share some area with any of the boxes, in the order of the zones.

    boxes: in pixels of a picture of width and height.
    """
    return tuple(
        zone.name for zone in zones if any(zone.overlaps(box, width, height) for box in boxes)
    )


def severity(
    level: float, rules: Rules, zones: Sequence[Zone], here: Mapping[str, float]
) -> Severity:
    """What one frame makes of its event.

    Without zones its level decides. With zones it is an alert only where it touches one that makes
    alerts, at the level of that zone.

    Args:
        level: of the frame.
        rules: with the alert level where no zone has its own.
        zones: all of the camera.
        here: per zone that is touched, the level of what touches it.
    """
    if not zones:
        return "alert" if level >= rules.alert_from else "detection"
    for zone in zones:
        least = rules.alert_from if zone.alert_level is None else zone.alert_level
        if zone.severity == "alert" and here.get(zone.name, -1.0) >= least:
            return "alert"
    return "detection"


def inside(
    points: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which places lie inside a polygon (n, 2), by the even-odd rule.

    x, y: of the places, shapes that broadcast; the answer has the shape of both together."""
    out = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.bool_)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y1 != y2:  # a ray to the right meets no level side
            meets = x1 + (y - y1) * ((x2 - x1) / (y2 - y1))
            out ^= ((y1 > y) != (y2 > y)) & (x < meets)
    return out


def _right_of(start: Point, end: Point, x: float, y: float) -> bool:
    """Whether a ray from a place to the right meets a side."""
    (x1, y1), (x2, y2) = start, end
    return (y1 > y) != (y2 > y) and x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1))


def _through(start: Point, end: Point, low: Point, high: Point) -> bool:
    """Whether a side from start to end has a piece within a box, its border not counted."""
    enters, leaves = 0.0, 1.0  # parts of the way
    for a, b, least, most in zip(start, end, low, high, strict=True):
        if a == b:
            if not least < a < most:
                return False
            continue
        first, last = sorted(((least - a) / (b - a), (most - a) / (b - a)))
        enters, leaves = max(enters, first), min(leaves, last)
    return enters < leaves


def _said(point: Sequence[float]) -> str:
    return f"[{point[0]:g}, {point[1]:g}]"
