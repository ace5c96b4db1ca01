"""`oddframe info`: what a model costs, beside what its paper says."""

from __future__ import annotations

from typing import Any

import typer

UNITS = {
    "parameters": "parameters",
    "gmac_per_frame": "GMAC per scored frame, streaming (modules, as papers count)",
    "gmac_per_clip": "GMAC per stateless clip",
    "scan_gflop_per_frame": "GFLOP of selective scans per frame, counted apart",
}


def run(
    model: str = typer.Argument(metavar="M", help="Name of a model.", show_default=False),
    json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Parameters and cost of a model, with the published figures beside."""
    from json import dumps

    from oddframe.models import entry

    entry(model)  # a name that is wrong is said before torch is loaded
    from oddframe.models.info import describe

    found: dict[str, Any] = describe(model)
    if json:
        print(dumps(found, indent=1))
        return
    for key, value in found.items():
        shown = _shown(value)
        print(f"{key:>22}  {shown}" + (f"   {UNITS[key]}" if key in UNITS else ""))


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "-" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        parts = [f"{k} {_shown(v)}" for k, v in value.items() if v not in (None, "")]
        return ", ".join(parts) or "-"
    return str(value)
