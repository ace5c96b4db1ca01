"""The picture of a comparison: a line of dots per protocol, a colour per method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oddframe.report.plot import nice_ticks, number
from oddframe.report.svg import FAINT, GRID, INK, dot, picture, words

WIDTH, LABELS, RIGHT, TOP, BOTTOM = 860, 170, 24, 64, 40
STEP = 9
"""Pixels between the methods of one protocol."""
GAP = 12
"""Pixels between two protocols."""
COLOURS = ("#0072b2", "#d55e00", "#00795a", "#a8558a", "#8a6500", "#4a4a4a", "#6c7f93")
LOWEST = 0.4
"""AUC at the left edge at most: what is below chance is all alike."""

Row = Mapping[str, Any]


def dots_svg(rows: Sequence[Row]) -> str:
    """AUC of every method under every protocol, with its interval over videos as a thin line.

    rows: as in compare.json: method, protocol, auc, auc_low, auc_high; floors are hollow.
    """
    methods = list(dict.fromkeys(r["method"] for r in rows))
    protocols = list(dict.fromkeys(r["protocol"] for r in rows))
    found = {(r["method"], r["protocol"]): r for r in rows}
    values = [r[k] for r in rows for k in ("auc", "auc_low") if r[k] is not None]
    low = max(LOWEST, min(values) - 0.01) if values else LOWEST
    block = STEP * (len(methods) - 1) + GAP + 8
    height = TOP + block * len(protocols) + BOTTOM

    def x(auc: float) -> float:
        return LABELS + (WIDTH - LABELS - RIGHT) * (max(auc, low) - low) / (1 - low)

    parts = [words(16, 22, "AUC in % by protocol", INK, weight=600), *_legend(methods, rows)]
    for value in nice_ticks(100 * low, 100, 8):
        at = x(value / 100)
        parts.append(f'<path d="M{at:.1f} {TOP - 8}V{height - BOTTOM}" stroke="{GRID}"/>')
        parts.append(words(at, height - BOTTOM + 18, number(value), FAINT, anchor="middle"))
    for i, protocol in enumerate(protocols):
        y = TOP + i * block
        parts.append(words(LABELS - 12, y + block / 2 - 6, protocol, INK, anchor="end"))
        parts.append(f'<path d="M16 {y - 8}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        for j, method in enumerate(methods):
            row = found.get((method, protocol))
            if row is not None and row["auc"] is not None:
                parts.append(_dot(row, x, y + 4 + STEP * j, COLOURS[j % len(COLOURS)]))
    return picture(WIDTH, height, parts)


def _dot(row: Row, x: Any, y: float, colour: str) -> str:
    low, high = row["auc_low"], row["auc_high"]
    line = ""
    if low is not None and high is not None:
        d = f"M{x(low):.1f} {y:.1f}H{x(high):.1f}"
        line = f'<path d="{d}" stroke="{colour}" stroke-opacity=".35" stroke-width="1.6"/>'
    title = f"{row['method']}, {row['protocol']}: {100 * row['auc']:.2f} %"
    return line + dot(x(row["auc"]), y, colour, hollow=bool(row.get("floor")), title=title)


def _legend(methods: Sequence[str], rows: Sequence[Row]) -> list[str]:
    floors = {r["method"] for r in rows if r.get("floor")}
    parts, x = [], 16.0
    for j, method in enumerate(methods):
        colour = COLOURS[j % len(COLOURS)]
        parts.append(dot(x + 4, 40, colour, hollow=method in floors))
        parts.append(words(x + 13, 44, method, FAINT))
        x += 30 + 7.2 * len(method)
    return parts
