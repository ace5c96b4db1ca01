"""`oddframe calibrate`: an alarm threshold from held-out normal footage."""

from __future__ import annotations

from pathlib import Path

import typer

from oddframe.cli.console import RUN
from oddframe.cli.options import Machine, ReadAs


def command(
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
    was scored before the time was up is kept: again with more --minutes goes on from there. On a
    GPU, and with --flow, all of it is scored in one pass, however long that takes.
    """
    from oddframe.cli.console import check_order, frame_bar, say_assumed, stretch_bar
    from oddframe.runtime.calibrate import Bars, Effort, calibrate_run, check, held_out

    check_order("calibrate", run, [path])
    check(alarms_per_day, minutes)
    footage = held_out(run, path, read.reading())
    say_assumed(footage.dataset.train)
    effort = Effort(minutes, processes, machine.device, machine.flow)
    found = calibrate_run(footage, alarms_per_day, effort, Bars(stretch_bar, frame_bar))
    days = found.days
    if days is not None and not days.whole:
        print(
            f"{days.scored_s / 3600:.1f} of {days.total_s / 3600:.1f} h were scored in "
            f"{minutes:g} minutes, spread over all of them: what is not seen does not "
            "count. The same command with more --minutes goes on from there."
        )
    print(found.calibration["text"])
    print(f"stored in {run}")
