"""Scores of each video over its labels, as pictures that need no page around them.

Letters: n frames of one video.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oddframe.report.page import write_page
from oddframe.report.plot import GRID, flag_spans, nice_ticks, number, path_data, span_axis

WIDTH, HEIGHT = 900, 240
LEFT, RIGHT, TOP, BOTTOM = 60, 16, 40, 28
COLOURS = ("#0072b2", "#d55e00", "#00795a", "#a8558a", "#8a6500", "#4a4a4a")
INK, FAINT, TRUTH = "#1b1f24", "#5b6570", "#e69f00"

Arrays = Mapping[str, NDArray[np.floating]]


def draw_scores(
    folder: Path, methods: Mapping[str, Arrays], labels: Mapping[str, NDArray[np.integer]]
) -> list[Path]:
    """Write `VIDEO.svg` for every video: scores (n,) of each method over the abnormal frames.

    One method keeps its own scale, the same for all videos; several are shown by their ranks
    among all frames of the test set, which is all that an AUC sees of them.
    """
    shown = {name: ranks(s) for name, s in methods.items()} if len(methods) > 1 else methods
    finite = [v[np.isfinite(v)] for s in shown.values() for v in s.values()]
    values = np.concatenate(finite) if finite else np.zeros(0)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    made = []
    for video, truth in labels.items():
        lines = {name: s[video] for name, s in shown.items() if video in s}
        picture = score_svg(video, lines, truth, (low, high))
        name = re.sub(r"[^-\w.]", "_", video)
        while (path := folder / f"{name}.svg") in made:  # of a/b and a_b
            name += "_"
        made.append(write_page(path, picture))
    return made


def ranks(scores: Arrays) -> dict[str, NDArray[np.float64]]:
    """Share of the test set's frames that score lower, ties half; NaN stays NaN."""
    names = list(scores)
    whole = np.concatenate([scores[n] for n in names]).astype(np.float64)
    known = np.isfinite(whole)
    ordered = np.sort(whole[known])
    both = np.searchsorted(ordered, whole) + np.searchsorted(ordered, whole, side="right")
    share = np.where(known, both / (2 * max(ordered.size, 1)), np.nan)
    return dict(
        zip(names, np.split(share, np.cumsum([scores[n].size for n in names])[:-1]), strict=True)
    )


def score_svg(
    title: str,
    lines: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.integer],
    extent: tuple[float, float],
) -> str:
    """One video as SVG: frames to the right, scores upwards, abnormal frames shaded."""
    room_x, room_y = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    x_axis, y_axis = span_axis(0, max(len(labels), 1)), span_axis(*extent, pad=0.04)
    frames = np.arange(len(labels), dtype=np.float64)
    parts = [_text(LEFT, 20, title, INK, weight=600)]
    for start, end in flag_spans(frames, labels):
        a, b = (LEFT + room_x * float(x_axis.unit(v)) for v in (start, end))
        box = f'x="{a:.1f}" y="{TOP}" width="{b - a:.1f}" height="{room_y}"'
        parts.append(f'<rect {box} fill="{TRUTH}" fill-opacity=".22"/>')
    for value in nice_ticks(y_axis.low, y_axis.high, 4):
        y = TOP + room_y * (1 - float(y_axis.unit(value)))
        parts.append(f'<path d="M{LEFT} {y:.1f}h{room_x}" stroke="#dfe3e8"/>')
        parts.append(_text(LEFT - 6, y + 4, number(value), FAINT, anchor="end"))
    for value in nice_ticks(x_axis.low, x_axis.high, 8):
        x = LEFT + room_x * float(x_axis.unit(value))
        parts.append(_text(x, HEIGHT - 8, number(value), FAINT, anchor="middle"))
    scale = f"translate({LEFT} {TOP}) scale({room_x / GRID:.6f} {room_y / GRID:.6f})"
    for i, values in enumerate(lines.values()):
        d = path_data(x_axis.unit(frames), y_axis.unit(np.asarray(values, np.float64)))
        parts.append(
            f'<path transform="{scale}" d="{d}" fill="none" stroke="{COLOURS[i % len(COLOURS)]}" '
            'stroke-width="1.6" stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}'
        f"{''.join(_legend(list(lines)))}</svg>\n"
    )


def _legend(names: Sequence[str]) -> list[str]:
    """The methods' names in their colours, from the right, and what is shaded."""
    parts, x = [], float(WIDTH - RIGHT)
    for text, colour in [
        ("abnormal", TRUTH),
        *((n, COLOURS[i % len(COLOURS)]) for i, n in enumerate(names)),
    ]:
        parts.append(_text(x, 20, text, colour, anchor="end", weight=600))
        x -= 7.2 * len(text) + 18
    return parts


def _text(
    x: float, y: float, text: str, colour: str, *, anchor: str = "start", weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
