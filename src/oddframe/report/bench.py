"""The picture of a bench: a bar per row, and where a whole divides into parts, one bar of parts."""

from __future__ import annotations

from typing import Any

from oddframe.report.svg import FAINT, INK, bar, picture, words

WIDTH, MARGIN, LABELS = 800, 20, 230
"""Pixels: the picture, its border, the column of names."""
ROW, BAR, TITLE = 24, 15, 34
"""Pixels: from row to row, height of a bar, height of a table's title."""
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#9c9c9c")


def bench_svg(found: dict[str, Any]) -> str:
    """Draw what `oddframe.bench.run` gives, tables below one another, as an SVG."""
    parts, y = [], MARGIN
    for table in found["tables"]:
        parts.append(words(MARGIN, y + 14, table["title"], INK, weight=600))
        draw = _whole if any(c["key"] == "share" for c in table["columns"]) else _bars
        drawn, y = draw(table["rows"], y + TITLE)
        parts += [*drawn]
        y += ROW
    m = found["machine"]
    line = (
        f"{m['threads']} threads on {m['cores']} cores ({m['cpu_capability']}), torch {m['torch']}"
    )
    parts.append(words(MARGIN, y, line, FAINT))
    return picture(WIDTH, y + MARGIN, parts)


def _bars(rows: list[dict[str, Any]], y: int) -> tuple[list[str], int]:
    """A bar per row on one scale, its milliseconds beside it; the y below."""
    room = WIDTH - LABELS - 2 * MARGIN - 70
    longest = max(row["ms"] for row in rows)
    parts = []
    for row in rows:
        x, width = MARGIN + LABELS, max(1.0, room * row["ms"] / longest)
        parts += [
            words(x - 8, y + 12, row["name"], INK, anchor="end"),
            _box(x, y, width, COLOURS[0]),
            words(x + width + 6, y + 12, f"{_short(row['ms'])} ms", FAINT),
        ]
        y += ROW
    return parts, y


def _whole(rows: list[dict[str, Any]], y: int) -> tuple[list[str], int]:
    """The row of share 1 as one bar, divided into those after it and the rest; the y below.

    Rows before it, which do the same in another way, are bars of the same scale above.
    """
    base = next(i for i, row in enumerate(rows) if row["share"] == 1)
    pieces = [(row["name"], row["ms_per_frame"]) for row in rows[base + 1 :]]
    whole = rows[base]["ms_per_frame"]
    if (rest := whole - sum(ms for _, ms in pieces)) > 0:
        pieces.append(("rest", rest))
    coloured = list(zip(pieces, COLOURS, strict=False))
    room = WIDTH - LABELS - 2 * MARGIN - 100
    scale = room / max(*(row["ms_per_frame"] for row in rows), sum(ms for _, ms in pieces))
    parts, left = [], MARGIN + LABELS
    for row in rows[: base + 1]:
        ms, x = row["ms_per_frame"], float(left)
        parts.append(words(left - 8, y + 12, row["name"], INK, anchor="end"))
        divided = coloured if row is rows[base] else [(("", ms), INK)]
        for (_, part), colour in divided:
            parts.append(_box(x, y, part * scale, colour))
            x += part * scale
        parts.append(words(x + 6, y + 12, f"{_short(ms)} ms a frame", FAINT))
        y += ROW
    at = float(left)
    for (name, ms), colour in coloured:
        label = f"{name} {_short(ms)}"
        parts += [
            bar(at, y, 10, 10, colour),
            words(at + 14, y + 9, label, INK),
        ]
        at += 24 + 6.2 * len(label)
    return parts, y + ROW


def _box(x: float, y: float, width: float, colour: str) -> str:
    return bar(x, y, width, BAR, colour)


def _short(ms: float) -> str:
    """Three digits that count."""
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"
