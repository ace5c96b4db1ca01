"""A table of timings: what the benches return, `--json` writes and the terminal shows."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

WIDTH = 100
"""Columns of the terminal that a table may take."""


@dataclass(frozen=True, slots=True)
class Column:
    """A number beside the milliseconds."""

    key: str
    """Its name in a row's `values`."""
    head: str
    """Its name on the terminal."""
    meaning: str
    """One line under the table."""


@dataclass(frozen=True, slots=True)
class Row:
    """One job."""

    name: str
    ms: float
    """Its fastest run; on a GPU the median of its calls."""
    turns: int
    """How often it was timed; on a GPU in single calls."""
    threads: int
    values: dict[str, float] = field(default_factory=dict)
    """Ratios and rates, by the key of their column."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Jobs that were timed in turn, so that their ratios mean something."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    facts: dict[str, float] = field(default_factory=dict)
    """What was measured beside the rows, bounds among it, by a name that ends in its unit."""
    notes: tuple[str, ...] = ()
    dtype: str = "float32"
    device: str = "cpu"
    """Kind of device: cpu, cuda. Beside a GPU the threads say little and are not shown."""

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON, each row's values in the row itself."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        for row in values["rows"]:
            row |= row.pop("values")
        return values


def text(table: dict[str, Any], legend: bool = True) -> str:
    """Lay a plain `Table` out: the rows, then (`legend`) what the columns mean, and the notes."""
    columns, on_cpu = table["columns"], table["device"] == "cpu"
    counts = {"threads": "threads", "turns": "turns"} if on_cpu else {"turns": "calls"}
    heads = [["ms"], *([c["head"]] for c in columns), *([head] for head in counts.values())]
    body = [
        [_number(row["ms"]), *(_number(row.get(c["key"])) for c in columns),
         *(str(row[key]) for key in counts)]
        for row in table["rows"]
    ]  # fmt: skip
    names = [row["name"] for row in table["rows"]]
    first = max([*map(len, names), 0])
    widths = _widths(heads, body)
    if 2 + first + sum(2 + width for width in widths) > WIDTH:
        heads = [head[0].split() for head in heads]  # the words of a head below one another
        widths = _widths(heads, body)
    deep = max(map(len, heads))
    above = zip(*([""] * (deep - len(head)) + head for head in heads), strict=True)
    lines = textwrap.wrap(f"{table['title']}, {table['dtype']}", WIDTH)
    for name, cells in [*(("", row) for row in above), *zip(names, body, strict=True)]:
        right = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append(f"  {name:<{first}}  {right}".rstrip())
    remarks = [f"{c['head']}: {c['meaning']}" for c in columns] if legend else []
    remarks += [f"{row['name']}: {row['note']}" for row in table["rows"] if row["note"]]
    for remark in [*remarks, *table["notes"]]:
        lines += textwrap.wrap(remark, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _widths(heads: list[list[str]], body: list[list[str]]) -> list[int]:
    """Characters of each column, whose head may have several lines."""
    cells = [[*head, *(row[i] for row in body)] for i, head in enumerate(heads)]
    return [max(map(len, column)) for column in cells]


def _number(value: float | None) -> str:
    """Three digits that count; nothing where there is no number."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"
