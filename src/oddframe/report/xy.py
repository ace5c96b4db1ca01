"""Two pictures as SVG on white: what accuracy costs, and how it follows a setting.

Without scripts or fonts of its own, so that they can stand in a README, as `dots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oddframe.report.dots import COLOURS
from oddframe.report.plot import Axis, log_axis, nice_ticks, number, span_axis
from oddframe.report.svg import FAINT, GRID, INK, dot, picture, words

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 64, 52
CHARACTER = 6.6
"""Pixels that a letter of the labels takes."""


@dataclass(frozen=True, slots=True)
class Point:
    """One method: what it costs and what it reaches."""

    name: str
    x: float
    """Above 0."""
    auc: float
    """In %."""
    measured: bool
    """By us; else as printed in a paper."""
    low: float | None = None
    high: float | None = None
    """Interval of the AUC, in %."""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve of a sweep."""

    name: str
    x: tuple[float, ...]
    auc: tuple[float, ...]
    """In %, a value per x."""
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


def cost_svg(points: Sequence[Point], title: str, unit: str) -> str:
    """AUC over a cost on a log axis: printed figures hollow and grey, measured ones in colour.

    points: at least one.
    """
    xs = log_axis(np.array([p.x for p in points])) or Axis(1, 10)
    ys = _auc_axis([v for p in points for v in (p.auc, p.low, p.high)])
    parts = _frame(title, unit, xs, ys)
    parts += [dot(16, 40, INK, hollow=True), words(26, 44, "as printed in its paper", FAINT)]
    parts += [dot(196, 40, COLOURS[0]),
              words(206, 44, "measured here, 95 % over videos", FAINT)]  # fmt: skip
    taken: list[tuple[float, float, float, float]] = []
    places = [(_x(xs, p.x), _y(ys, p.auc)) for p in points]
    taken += [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    for p, (x, y) in zip(points, places, strict=True):
        colour = COLOURS[0] if p.measured else INK
        if p.low is not None and p.high is not None:
            d = f"M{x:.1f} {_y(ys, p.low):.1f}V{_y(ys, p.high):.1f}"
            parts.append(f'<path d="{d}" stroke="{colour}" stroke-opacity=".35"/>')
        said = f"{p.name}: {p.auc:.1f} % at {number(p.x)} {unit}"
        parts.append(dot(x, y, colour, hollow=not p.measured, title=said))
        parts.append(_beside(p.name, x, y, colour if p.measured else FAINT, taken))
    return picture(WIDTH, HEIGHT, parts)


def sweep_svg(series: Sequence[Series], title: str, setting: str) -> str:
    """AUC over a setting, a line with its points per series; intervals as thin lines.

    series: at least one, each with at least one point.
    """
    xs = span_axis(min(min(s.x) for s in series), max(max(s.x) for s in series))
    known = [v for s in series for v in (*s.auc, *s.low, *s.high)]
    ys = _auc_axis(known)
    parts = _frame(title, setting, xs, ys)
    at = 16.0
    for i, s in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        parts += [dot(at, 40, colour), words(at + 10, 44, s.name, FAINT)]
        at += 40 + CHARACTER * len(s.name)
        places = [(_x(xs, x), _y(ys, y)) for x, y in zip(s.x, s.auc, strict=True)]
        line = " ".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        for j, (x, y) in enumerate(places):
            low, high = (v[j] if v else None for v in (s.low, s.high))
            if low is not None and high is not None:
                # Beside one another where several series have a point.
                side = x + 3 * (i - (len(series) - 1) / 2)
                d = f"M{side:.1f} {_y(ys, low):.1f}V{_y(ys, high):.1f}"
                parts.append(f'<path d="{d}" stroke="{colour}" stroke-opacity=".35"/>')
            said = f"{s.name}, {setting} {number(s.x[j])}: {s.auc[j]:.2f} %"
            parts.append(dot(x, y, colour, title=said))
    return picture(WIDTH, HEIGHT, parts)


def _auc_axis(values: Sequence[float | None]) -> Axis:
    known = [v for v in values if v is not None]
    low, high = min(known), max(known)
    room = max(0.08 * (high - low), 0.5)
    return Axis(max(0.0, low - room), min(100.0, high + room))


def _frame(title: str, below: str, xs: Axis, ys: Axis) -> list[str]:
    """Title, grid and ticks."""
    parts = [words(16, 22, title, INK, weight=600)]
    for value in nice_ticks(ys.low, ys.high, 6):
        y = _y(ys, value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(words(LEFT - 8, y + 4, number(value), FAINT, anchor="end"))
    for at, text in xs.ticks(8):
        x = _x(xs, at)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{GRID}"/>')
        parts.append(words(x, HEIGHT - BOTTOM + 18, text, FAINT, anchor="middle"))
    parts.append(words((LEFT + WIDTH) / 2, HEIGHT - 12, below, FAINT, anchor="middle"))
    return parts


def _x(axis: Axis, value: float) -> float:
    return LEFT + 10 + (WIDTH - LEFT - RIGHT - 20) * float(axis.unit(value))


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * float(axis.unit(value))


def _beside(
    name: str, x: float, y: float, colour: str, taken: list[tuple[float, float, float, float]]
) -> str:
    """A point's name where nothing lies yet: right, left, above, below, or right after all."""
    wide = CHARACTER * len(name)
    tries = [(x + 8, y + 4, "start"), (x - 8, y + 4, "end"), (x, y - 9, "middle"),
             (x, y + 17, "middle"), (x + 6, y - 8, "start"), (x - 6, y + 15, "end")]  # fmt: skip
    shift = {"start": 0.0, "end": -wide, "middle": -wide / 2}
    for at, line, anchor in tries:
        left = at + shift[anchor]
        box = (left, line - 11, left + wide, line + 3)
        inside = box[0] >= LEFT and box[2] <= WIDTH and box[3] <= HEIGHT - BOTTOM
        if inside and not any(_touch(box, other) for other in taken):
            break
    else:
        at, line, anchor = tries[0]
        box = (at, line - 11, at + wide, line + 3)
    taken.append(box)
    return words(at, line, name, colour, anchor=anchor)


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
