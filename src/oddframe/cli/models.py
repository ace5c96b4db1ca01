"""`oddframe models`: every model that `--model` takes, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oddframe.cli.console import JSON

HEAD = ("model", "px", "frames", "M", "published", "GMAC", "published", "paper", "literal")


def command(json: Path | None = JSON) -> None:
    """List the models: size, clip, parameters and cost per scored frame beside the published."""
    from oddframe.cli.console import writable_folder
    from oddframe.metrics.rows import write_rows_json
    from oddframe.models import MODELS
    from oddframe.models.info import overview

    if json is not None:
        writable_folder(json.parent)
    rows = [overview(name) for name in MODELS]
    print(table(rows))
    for names, listed in with_ablations(rows).items():
        print(f"--ablation, {', '.join(names)}: {' '.join(listed)}")
    if json is not None:
        write_rows_json(json, rows)
        print(f"written to {json}")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line per model; M are millions of parameters, GMAC those of one new frame.

    literal: settings of its configuration (`--set model.…`) that take its paper at its word.
    """
    lines = [HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = range(1, 7)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def with_ablations(
    rows: Sequence[dict[str, Any]],
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Models by the rows of their ablations, those without left out."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row["ablations"]:
            found.setdefault(tuple(row["ablations"]), []).append(row["model"])
    return {tuple(names): listed for listed, names in found.items()}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["model"],
        str(row["size"]),
        str(row["history"]),
        f"{row['parameters'] / 1e6:.2f}",
        _number(row["published_parameters_m"]),
        f"{row['gmac_per_frame']:.2f}",
        _number(row["published_gmac"]),
        row["paper"],
        " ".join(row["literal"]) or "-",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
