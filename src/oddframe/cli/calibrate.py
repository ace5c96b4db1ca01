"""`oddframe calibrate`: an alarm threshold from held-out normal footage."""

from __future__ import annotations

from pathlib import Path

import typer

from oddframe.cli.console import RUN
from oddframe.cli.options import Machine, ReadAs


def run(
    run: Path = RUN,
    path: Path = typer.Argument(
        metavar="PATH",
        help="Normal footage of the same camera that the run was not trained on: a video, a "
        "folder of videos or of frame folders.",
        show_default=False,
    ),
    alarms_per_day: float = typer.Option(
        ..., "--alarms-per-day", help="False alarms to accept in 24 hours."
    ),
    processes: int | None = typer.Option(
        None, "--processes", help="How many at a time (default: one per core)."
    ),
    *,
    read: ReadAs,
    machine: Machine,
) -> None:
    """Set the alarm threshold for a rate of false alarms, and store it in the RUN.

    Days of footage are worked off in several processes; killed and started again, it goes on.
    """
    import os
    import sys

    from oddframe.cli.console import frame_bar, stretch_bar
    from oddframe.data import footage_hashes, open_dataset
    from oddframe.errors import ConfigError, DatasetError
    from oddframe.runs import load_run, locked, write_calibration
    from oddframe.runtime.days import score_days
    from oddframe.runtime.detector import load
    from oddframe.scoring.calibrate import calibrate

    if not alarms_per_day > 0:
        raise ConfigError(f"--alarms-per-day must be above 0, found {alarms_per_day:g}.")
    loaded = load_run(run)
    dataset = open_dataset(path, reading=read.reading(loaded.used))
    if not dataset.train:
        raise DatasetError(f"{path} holds no normal video (layout {dataset.layout}).")
    known, trained = footage_hashes(dataset), loaded.card.get("data", {})
    # Prepared or not, it is the same footage.
    if set(known.values()) & {trained.get("manifest"), trained.get("source")}:
        print(
            f"warning: {path} is what {run} was trained on. Scores of known footage are too low, "
            "so the threshold will be as well: expect more alarms than asked for.",
            file=sys.stderr,
        )
    with locked(run, "calibrating"):
        if machine.device == "cpu" and machine.flow is None:
            jobs = processes or len(os.sched_getaffinity(0))
            with stretch_bar("scoring") as done:
                found = score_days(loaded, dataset.train, jobs, done)
        else:
            detector = load(loaded, machine.device, flow=machine.flow)
            flows = detector.flows_of(dataset, "train")
            found = []
            for video in dataset.train:
                with video.open() as source, frame_bar(video.name) as tick:
                    own = flows.get(video.name)
                    result = detector.score(source, heat=False, progress=tick, flow=own)
                found.append((result.score, result.time_s))
        calibration = calibrate([s for s, _ in found], [t for _, t in found], alarms_per_day)
        footage = {"name": dataset.name, "videos": len(dataset.train), **known}
        write_calibration(loaded, {**calibration, "footage": footage})
    print(calibration["text"])
    print(f"stored in {run}")
