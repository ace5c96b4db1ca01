"""Small line charts as HTML: an SVG layer that stretches, tick labels beside it as text.

The SVG has `preserveAspectRatio="none"` and integer coordinates 0…10000, so one drawing serves a
phone, a wide screen and paper; strokes keep their width (`vector-effect`), and labels are HTML
positioned in per cent, so they never stretch. The page's script reads the values back from the
paths, so a chart carries its numbers once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
GRID = 10_000
"""SVG units along each side: a value read back from a path is right to 1/10000 of the axis."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart."""

    name: str
    x: NDArray[np.floating[Any]]
    y: NDArray[np.floating[Any]]
    css: str = "s0"
    hover: bool = True
    """Whether the readout shows it."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to the unit interval, with its ticks."""

    low: float
    high: float
    log: bool = False
    time: bool = False
    """Ticks and readout as m:ss."""

    def unit(self, values: NDArray[Any] | float) -> Floats:
        """Where values lie between low (0) and high (1); NaN stays NaN."""
        v, low, high = np.asarray(values, np.float64), self.low, self.high
        if self.log:
            with np.errstate(invalid="ignore", divide="ignore"):
                v, low, high = np.log10(v), math.log10(low), math.log10(high)
        return np.asarray((v - low) / (high - low))

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """About `count` round values with their labels."""
        if self.log:
            return [(v, number(v)) for v in log_ticks(self.low, self.high)]
        if self.time:
            return [(v, clock(v)) for v in time_ticks(self.low, self.high, count)]
        return [(v, number(v)) for v in nice_ticks(self.low, self.high, count)]


@dataclass(frozen=True, slots=True)
class Band:
    """A shaded stretch of the x axis."""

    start: float
    end: float
    css: str = "truth"


@dataclass(frozen=True, slots=True)
class Mark:
    """A small numbered flag at a place of the x axis."""

    x: float
    text: str
    href: str
    title: str


def number(value: object) -> str:
    """A number for people: four significant digits, thin spaces, a dash for nothing."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool | list | dict | tuple):
        return "–" if value is None else str(value)
    v = float(value)  # type: ignore[arg-type]
    if not math.isfinite(v):
        return "–"
    if v == int(v) and abs(v) < 1e15:
        # Grouped from five digits on: a seed or a year stays as people write it.
        grouped = f"{int(v):,}".replace(",", "\u202f") if abs(v) >= 10_000 else str(int(v))
        return grouped.replace("-", "−")
    if abs(v) >= 1e4:
        return number(round(v))
    text = f"{v:.4g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def clock(time_s: float) -> str:
    """Seconds as m:ss or h:mm:ss, with a tenth where the tick is between seconds."""
    sign, t = ("−" if time_s < 0 else ""), round(abs(time_s), 1)
    whole = int(t)
    tail = f".{round((t - whole) * 10)}" if t != whole else ""
    hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{sign}{head}:{seconds:02d}{tail}"


def _multiples(low: float, high: float, step: float) -> list[float]:
    """The multiples of step inside [low, high], without the dust of repeated addition."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten inside [low, high], about `count` of them."""
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return _multiples(low, high, step)


def time_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round clock times inside [low, high] in seconds."""
    raw = (high - low) / max(count, 1)
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
    step = next((s for s in steps if s >= raw * 0.999), None)
    if step is None or raw < 0.05:
        return nice_ticks(low, high, count)
    return _multiples(low, high, step)


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten inside [low, high]; with 2 and 5 between them where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = [10.0**e for e in range(first, last + 1)]
    inside = [v for v in decades if low <= v <= high]
    if len(inside) > 6:
        return inside[:: math.ceil(len(inside) / 6)]
    if len(inside) >= 3:
        return inside
    finer = [m * v for v in decades for m in (1.0, 2.0, 5.0) if low <= m * v <= high]
    return finer if len(finer) >= 2 else nice_ticks(low, high, 4)


def span_axis(low: float, high: float, *, pad: float = 0.0, time: bool = False) -> Axis:
    """A linear axis over [low, high] that also serves one value or none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0
    if high <= low:
        half = max(abs(low) * 0.1, 0.5)
        low, high = (low, low + 2 * half) if time else (low - half, high + half)
    room = (high - low) * pad
    return Axis(low - (room if low < 0 else 0.0), high + room, time=time)


def log_axis(values: NDArray[Any]) -> Axis | None:
    """A log axis over the positive values, None where there are none."""
    v = np.asarray(values, np.float64)
    v = v[np.isfinite(v) & (v > 0)]
    if v.size == 0:
        return None
    low, high = float(v.min()), float(v.max())
    room = (high / low) ** 0.04 if high > low else 2.0
    return Axis(low / room, high * room, log=True)


def flag_spans(x: NDArray[Any], flags: NDArray[Any]) -> list[tuple[float, float]]:
    """The stretches [start, end) of x on which flags is true.

    A sample lasts until the next one; the last lasts as long as the median sample. Stretches
    closer than a thousandth of the axis are joined, so that flickering labels stay small.
    """
    on = np.asarray(flags).astype(bool)
    if not on.any():
        return []
    x = np.asarray(x, np.float64)
    step = float(np.median(np.diff(x))) if len(x) > 1 else 1.0
    edges = np.append(x, x[-1] + step)
    change = np.diff(np.concatenate([[0], on.astype(np.int8), [0]]))
    starts, ends = edges[change > 0], edges[change < 0]
    near = (starts[1:] - ends[:-1]) < (edges[-1] - edges[0]) / 1000
    first = np.concatenate([[True], ~near])
    last = np.concatenate([~near, [True]])
    return list(zip(starts[first].tolist(), ends[last].tolist(), strict=True))


def downsample(x: Floats, y: Floats, columns: int = 900) -> list[NDArray[np.intp]]:
    """Indices that draw the same picture `columns` pixels wide, one array per unbroken run.

    x lies in [0, 1]. Each pixel column keeps its lowest and its highest sample, so no peak is
    lost however long the series; a gap narrower than a column does not break the line.
    """
    finite = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if finite.size == 0:
        return []
    xs, ys = x[finite], y[finite]
    skipped = np.diff(finite) > 1
    wide = np.diff(xs) > 1.0 / columns
    run = np.concatenate([[0], np.cumsum(skipped & wide)])
    column = np.clip((xs * columns).astype(np.int64), 0, columns - 1)
    group = run * columns + column
    order = np.lexsort((ys, group))
    fresh = np.flatnonzero(np.diff(group[order], prepend=-1))
    final = np.append(fresh[1:], len(order)) - 1
    borders = np.flatnonzero(np.diff(run)) + 1
    ends = np.concatenate([[0], borders, borders - 1, [len(xs) - 1]])
    keep = np.unique(np.concatenate([order[fresh], order[final], ends]))
    return [finite[part] for part in np.split(keep, np.flatnonzero(np.diff(run[keep])) + 1)]


def path_data(x: Floats, y: Floats, columns: int = 900) -> str:
    """The `d` of a path for x, y in the unit square (y upwards), downsampled."""
    px = np.clip(x * GRID, -GRID, 2 * GRID)
    py = np.clip((1 - y) * GRID, -GRID, 2 * GRID)
    parts = []
    for run in downsample(x, y, columns):
        xy = np.stack([px[run], py[run]], axis=1).round().astype(int).tolist()
        body = " ".join(f"{a} {b}" for a, b in xy)
        # A lone sample gets a line of no length: round caps turn it into a dot.
        parts.append(f"M{body}" + ("h0" if len(xy) == 1 else ""))
    return "".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _grid(x_axis: Axis, y_axis: Axis, rows: int) -> tuple[str, str]:
    """Grid lines for the SVG and the tick labels for beside it."""
    lines, labels = [], []
    for value, text in y_axis.ticks(rows):
        at = float(y_axis.unit(value))
        lines.append(f"M0 {round((1 - at) * GRID)}H{GRID}")
        labels.append(f'<span class="yt" style="bottom:{_percent(at)}">{escape(text)}</span>')
    for value, text in x_axis.ticks(6):
        at = float(x_axis.unit(value))
        labels.append(f'<span class="xt" style="left:{_percent(at)}">{escape(text)}</span>')
    return f'<path class="grid" d="{"".join(lines)}"/>', "".join(labels)


def _band(band: Band, x_axis: Axis) -> str:
    a, b = (min(max(float(x_axis.unit(v)), 0.0), 1.0) for v in (band.start, band.end))
    x, w, css = round(a * GRID), max(round((b - a) * GRID), 8), escape(band.css)
    wash = f'<rect class="band {css}" x="{x}" y="0" width="{w}" height="{GRID}"/>'
    # A solid edge of at least two pixels: seconds in an hour would be lost as a pale wash.
    edge = min(max(w, 40), GRID - x) if x < GRID - 40 else 40
    left = min(x, GRID - 40)
    return wash + f'<rect class="edge {css}-edge" x="{left}" y="0" width="{edge}" height="260"/>'


def _flag(mark: Mark, x_axis: Axis) -> str:
    at = _percent(min(max(float(x_axis.unit(mark.x)), 0.0), 1.0))
    return (
        f'<a class="flag" style="left:{at}" href="{escape(mark.href)}" '
        f'title="{escape(mark.title)}">{escape(mark.text)}</a>'
    )


def chart(
    lines: Sequence[Line],
    x_axis: Axis,
    y_axis: Axis,
    *,
    label: str,
    ident: str,
    css: str = "",
    bands: Sequence[Band] = (),
    marks: Sequence[Mark] = (),
    threshold: float | None = None,
    columns: int = 900,
    desc: str = "",
) -> str:
    """One chart. `ident` must be unique on the page, `label` says what it shows to a reader.

    desc: what the picture says, for those who do not see it.
    """
    grid, ticks = _grid(x_axis, y_axis, 4)
    body = [*(_band(band, x_axis) for band in bands), grid]
    over = ""
    if threshold is not None and math.isfinite(threshold):
        at = round((1 - float(y_axis.unit(threshold))) * GRID)
        ticks += f'<span class="limit" style="top:{_percent(at / GRID)}">alarm</span>'
        body.append(
            f'<clipPath id="{ident}-c"><rect x="0" y="-{GRID}" width="{GRID}" '
            f'height="{max(at + GRID, 0)}"/></clipPath>'
            f'<path class="limit" d="M0 {at}H{GRID}"/>'
        )
        # The same path again in the alarm colour, clipped to what lies above the threshold.
        over = f'<use class="over" href="#{ident}-0" clip-path="url(#{ident}-c)"/>'
    for i, line in enumerate(lines):
        name = f' data-name="{escape(line.name)}"' if line.hover else ""
        d = path_data(x_axis.unit(line.x), y_axis.unit(line.y), columns)
        body.append(f'<path id="{ident}-{i}" class="line {escape(line.css)}"{name} d="{d}"/>')
    data = (
        f'data-x="{x_axis.low:.9g} {x_axis.high:.9g}" data-y="{y_axis.low:.9g} {y_axis.high:.9g}"'
    )
    data += " data-log" * y_axis.log + " data-time" * x_axis.time
    data += f' data-limit="{threshold:.9g}"' if over else ""
    told = f'<desc id="{ident}-d">{escape(desc)}</desc>' if desc else ""
    by = f' aria-describedby="{ident}-d"' if desc else ""
    return (
        f'<div class="plot {escape(css)}" {data} tabindex="0" role="group" '
        f'aria-roledescription="chart" aria-label="{escape(label)}">'
        f'<svg viewBox="0 0 {GRID} {GRID}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"{by}>{told}{"".join(body)}{over}</svg>'
        f"{ticks}{''.join(_flag(mark, x_axis) for mark in marks)}</div>"
    )
