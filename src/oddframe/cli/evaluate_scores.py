"""`oddframe evaluate-scores`: the same metrics for scores made elsewhere."""

from __future__ import annotations

from pathlib import Path

import typer

from oddframe.cli.console import JSON, PROTOCOL

_NPZ = "npz with one 1-D array per video"


def run(
    scores: Path = typer.Argument(
        help=f"{_NPZ}, larger = more anomalous.", metavar="SCORES.npz", show_default=False
    ),
    labels: Path = typer.Argument(
        help=f"{_NPZ} under the same names, 1 = abnormal.", metavar="LABELS.npz", show_default=False
    ),
    protocol: str = PROTOCOL,
    json: Path | None = JSON,
    drop: int | None = typer.Option(
        None, "--drop", help="Frames left out at the start of every video (default: leading NaN)."
    ),
    method: str | None = typer.Option(None, "--method", help="Name of the row."),
) -> None:
    """Evaluate frame scores that another program made."""
    from oddframe.scoring.protocol import (
        evaluate_scores_files,
        format_table,
        parse_protocols,
        write_rows_json,
    )

    rows = evaluate_scores_files(
        scores, labels, parse_protocols(protocol), drop=drop, method=method
    )
    print(format_table(rows))
    if json is not None:
        write_rows_json(json, rows)
        print(f"written to {json}")
