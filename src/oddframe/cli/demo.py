"""`oddframe demo`: the whole way on a made street scene, from nothing to a report.

scene -> fit -> calibrate -> score -> evaluate -> DIR/report.html, DIR/metrics.json
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import typer

from oddframe.cli.console import DEVICE

SPARE_SEED = 500_000
"""Clip seed of the footage that the threshold rests on: far from those of the scene."""


def run(
    out: Path = typer.Option(..., "--out", help="Folder to make: scene, run, scores, report."),
    minutes: float = typer.Option(4.5, "--minutes", help="Training time."),
    model: str = typer.Option("m2s2l-edge", "--model", help="Model to train."),
    seed: int = typer.Option(1, "--seed", help="Seed of the scene and of the training."),
    device: str = DEVICE,
) -> None:
    """Make a street scene, learn what is normal in it, and find what is not."""
    from oddframe.cli.console import frame_bar, stderr
    from oddframe.cli.evaluate import details
    from oddframe.data import open_dataset
    from oddframe.data.synth import SynthConfig, write_dataset, write_normal
    from oddframe.errors import RunError
    from oddframe.report.build import build_report
    from oddframe.report.page import write_report
    from oddframe.runs import load_run, write_calibration, write_json
    from oddframe.runtime.detector import load
    from oddframe.runtime.evaluate import evaluate
    from oddframe.scoring.calibrate import calibrate
    from oddframe.scoring.protocol import format_table, parse_protocols
    from oddframe.train.run import fit

    console = stderr()
    if (out / "run").exists():
        raise RunError(f"{out / 'run'} exists: choose another --out, or delete {out}.")
    scene = SynthConfig(seed=seed)
    with frame_bar("drawing the scene") as tick:
        write_dataset(out / "scene", scene, tick)
    # One more minute of the same street, which training never sees, for the threshold.
    spare = replace(scene, train_clips=4)
    with frame_bar("drawing spare normal video") as tick:
        write_normal(out / "spare", spare, SPARE_SEED, tick)
    trained = fit(
        model=model, data=out / "scene", out=out / "run", minutes=minutes, seed=seed,
        device=device, console=console,
    )  # fmt: skip
    detector = load(trained, device)
    normal = [detector.score(v.path, heat=False) for v in open_dataset(out / "spare").train]
    write_calibration(trained, calibrate([r.score for r in normal], spare.fps, 1.0))
    trained = load_run(out / "run")
    detector = load(trained, device)
    console.print(str(trained.calibration and trained.calibration["text"]))
    dataset = open_dataset(out / "scene")
    started = time.monotonic()
    with frame_bar("evaluating") as tick:
        found = evaluate(detector, dataset, parse_protocols("all"), tick)
    speed = sum(len(v.score) for v in found.videos) / (time.monotonic() - started)
    write_json(out / "metrics.json", found.plain())
    page = build_report(
        trained, detector, dataset, found,
        title="A made street scene", frames_per_s=speed,
        subtitle="cyclists, carts, runners, wrong-way walkers and a bag left behind, found by a "
        "model that has only ever seen normal video of this street",
    )  # fmt: skip
    write_report(out / "report.html", page)
    print(format_table(found.rows))
    print("\n" + details(found))
    print(f"\nreport: {out / 'report.html'}\nmetrics: {out / 'metrics.json'}")
