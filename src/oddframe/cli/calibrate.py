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
    minutes: float = typer.Option(
        30.0,
        "--minutes",
        help="Time for it, about. Footage that takes longer is sampled evenly over all its hours.",
    ),
    processes: int | None = typer.Option(
        None, "--processes", help="How many at a time (default: one per core)."
    ),
    *,
    read: ReadAs,
    machine: Machine,
) -> None:
    """Set the alarm threshold for a rate of false alarms, and store it in the RUN.

    Days of footage are worked off in several processes; killed and started again, it goes on. What
    was scored before the time was up is kept: again with more --minutes goes on from there.
    """
    import os
    import sys

    from oddframe.cli.console import frame_bar, say_assumed, stretch_bar
    from oddframe.data import footage_hashes, open_dataset
    from oddframe.errors import ConfigError, DatasetError
    from oddframe.runs import check_own, load_run, locked, write_calibration
    from oddframe.runtime.days import score_days
    from oddframe.runtime.detector import load
    from oddframe.scoring.calibrate import calibrate
    from oddframe.scoring.light import lights_of

    for name, value in (("--alarms-per-day", alarms_per_day), ("--minutes", minutes)):
        if not value > 0:
            raise ConfigError(f"{name} must be above 0, found {value:g}.")
    loaded = load_run(run)
    check_own(loaded)
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
    say_assumed(dataset.train)
    with locked(run, "calibrating"):
        if machine.device == "cpu" and machine.flow is None:
            jobs = processes or len(os.sched_getaffinity(0))
            with stretch_bar("scoring") as done:
                days = score_days(loaded, dataset.train, jobs, done, minutes)
            found = [(video.score, video.time_s) for video in days.videos]
            # Sampled hours are of the days that they were taken from; one file alone is cut into
            # days by itself.
            of_day = days.days if len(found) > 1 else None
            lights = [lights_of(video.colour, video.time_s) for video in days.videos]
            if not days.whole:
                print(
                    f"{days.scored_s / 3600:.1f} of {days.total_s / 3600:.1f} h were scored in "
                    f"{minutes:g} minutes, spread over all of them: what is not seen does not "
                    "count. The same command with more --minutes goes on from there."
                )
        else:
            detector = load(loaded, machine.device, flow=machine.flow)
            flows = detector.flows_of(dataset, "train")
            found, lights, of_day = [], None, None
            for video in dataset.train:
                with video.open() as source, frame_bar(video.name) as tick:
                    own = flows.get(video.name)
                    result = detector.score(source, heat=False, progress=tick, flow=own)
                found.append((result.score, result.time_s))
        scores, times = ([each[i] for each in found] for i in (0, 1))
        calibration = calibrate(scores, times, alarms_per_day, modes=lights, days=of_day)
        footage = {"name": dataset.name, "videos": len(dataset.train), **known}
        write_calibration(loaded, {**calibration, "footage": footage})
    print(calibration["text"])
    print(f"stored in {run}")
