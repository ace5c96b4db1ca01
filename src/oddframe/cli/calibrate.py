"""`oddframe calibrate`: an alarm threshold from held-out normal footage."""

from __future__ import annotations

from pathlib import Path

import typer

from oddframe.cli.console import DEVICE, FLOW, RUN


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
    device: str = DEVICE,
    flow: Path | None = FLOW,
) -> None:
    """Set the alarm threshold for a rate of false alarms, and store it in the RUN."""
    import sys

    from oddframe.cli.console import frame_bar
    from oddframe.data import footage_hashes, open_dataset
    from oddframe.errors import ConfigError, DatasetError
    from oddframe.runs import load_run, write_calibration
    from oddframe.runtime.detector import load
    from oddframe.scoring.calibrate import calibrate

    if not alarms_per_day > 0:
        raise ConfigError(f"--alarms-per-day must be above 0, found {alarms_per_day:g}.")
    loaded = load_run(run)
    dataset = open_dataset(path)
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
    detector = load(loaded, device, flow=flow)
    flows = detector.flows_of(dataset, "train")
    scores, times = [], []
    for video in dataset.train:
        with video.open() as source, frame_bar(video.name) as tick:
            own = flows.get(video.name)
            found = detector.score(source, heat=False, progress=tick, flow=own)
            scores.append(found.score)
            times.append(found.time_s)
    calibration = calibrate(scores, times, alarms_per_day)
    footage = {"name": dataset.name, "videos": len(dataset.train), **known}
    write_calibration(loaded, {**calibration, "footage": footage})
    print(calibration["text"])
    print(f"stored in {run}")
