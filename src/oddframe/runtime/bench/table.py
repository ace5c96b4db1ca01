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
    """Its fastest run."""
    turns: int
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

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON, each row's values in the row itself."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        for row in values["rows"]:
            row |= row.pop("values")
        return values


def text(table: dict[str, Any], legend: bool = True) -> str:
    """Lay a plain `Table` out: the rows, then (`legend`) what the columns mean, and the notes."""
    columns = table["columns"]
    heads = ["ms", *(c["head"] for c in columns), "threads", "turns"]
    body = [
        [_number(row["ms"]), *(_number(row.get(c["key"])) for c in columns),
         str(row["threads"]), str(row["turns"])]
        for row in table["rows"]
    ]  # fmt: skip
    widths = [max(map(len, cells)) for cells in zip(heads, *body, strict=True)]
    names = [row["name"] for row in table["rows"]]
    first = max([*map(len, names), 0])
    lines = textwrap.wrap(f"{table['title']}, {table['dtype']}", WIDTH)
    for name, cells in [("", heads), *zip(names, body, strict=True)]:
        right = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append(f"  {name:<{first}}  {right}".rstrip())
    remarks = [f"{c['head']}: {c['meaning']}" for c in columns] if legend else []
    remarks += [f"{row['name']}: {row['note']}" for row in table["rows"] if row["note"]]
    for remark in [*remarks, *table["notes"]]:
        lines += textwrap.wrap(remark, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    """Three digits that count; nothing where there is no number."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"
