"""`oddframe demo`: the whole way on a made street scene, from nothing to a report."""

from __future__ import annotations

from pathlib import Path

import typer

from oddframe.cli.console import DEVICE


def command(
    out: Path = typer.Option(..., "--out", help="Folder to make: scene, run, scores, report."),
    minutes: float = typer.Option(3.0, "--minutes", help="Training time."),
    model: str = typer.Option("m2s2l-edge", "--model", help="Model to train."),
    seed: int = typer.Option(6, "--seed", help="Seed of the scene and of the training."),
    device: str = DEVICE,
) -> None:
    """Make a street scene, learn what is normal in it, and find what is not."""
    from oddframe.cli.console import frame_bar, stderr
    from oddframe.cli.evaluate import details
    from oddframe.demo import METRICS, REPORT, kinds_text, make_demo
    from oddframe.metrics.rows import format_table

    shown = make_demo(out, minutes, model, seed, device, stderr(), frame_bar)
    print(format_table(shown.found.rows))
    print("\n" + details(shown.found) + "\n" + kinds_text(shown.kinds))
    print(f"\nreport: {out / REPORT}\nmetrics: {out / METRICS}")
