"""`oddframe info`: what a model costs, beside what its paper says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

UNITS = {
    "parameters": "parameters",
    "gmac_per_frame": "GMAC per scored frame, streaming (modules, as papers count)",
    "gmac_per_clip": "GMAC per stateless clip",
    "scan_gflop_per_frame": "GFLOP of selective scans per frame, counted apart",
}


def command(
    model: str = typer.Argument(metavar="M", help="Name of a model.", show_default=False),
    ablation: str | None = typer.Option(
        None, "--ablation", metavar="ROW", help="That row of the paper's ablations."
    ),
    rows: bool = typer.Option(False, "--rows", help="Every row of them, with what it costs."),
    json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Parameters and cost of a model, with the published figures beside."""
    from json import dumps

    from oddframe.errors import ConfigError
    from oddframe.models import entry

    entry(model)  # a name that is wrong is said before torch is loaded
    from oddframe.models import ablated, ablation_name
    from oddframe.models.info import describe, describe_rows

    if rows and ablation is not None:
        raise ConfigError("--rows has every row, --ablation one: give one of the two.")
    if rows:
        listed = describe_rows(model)
        print(dumps({"model": model, "rows": listed}, indent=1) if json else table(model, listed))
        return
    if ablation is None:
        found: dict[str, Any] = describe(model)
    else:
        row = ablation_name(model, ablation)
        found = {"ablation": row, **describe(model, ablated(model, row))}
    if json:
        print(dumps(found, indent=1))
        return
    for key, value in found.items():
        shown = _shown(value)
        print(f"{key:>22}  {shown}" + (f"   {UNITS[key]}" if key in UNITS else ""))


def table(model: str, rows: Sequence[dict[str, Any]]) -> str:
    """The rows of a model's ablations: parameters, GMAC of one new frame, printed AUC."""
    from oddframe.models.papers import NAMES, SETS

    if not rows:
        return f"{model} has no ablations."
    lines = [("table", "row", "M", "GMAC", *(f"{NAMES[s]} %" for s in SETS))]
    for r in rows:
        printed = (f"{r['published'][s]:.1f}" if s in r["published"] else "-" for s in SETS)
        lines.append((
            f"{r['table']} {r['about']}".strip(), r["row"], f"{r['parameters'] / 1e6:.2f}",
            f"{r['gmac_per_frame']:.2f}", *printed,
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    out = [
        "  ".join(
            c.ljust(w) if i < 2 else c.rjust(w)
            for i, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([f"{model}; AUC as printed in the paper, at the paper's size", *out])


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "-" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        parts = [f"{k} {_shown(v)}" for k, v in value.items() if v not in (None, "")]
        return ", ".join(parts) or "-"
    return str(value)
