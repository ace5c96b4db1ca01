"""What the verbs share: a progress bar on stderr, options that several of them take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from oddframe.bars import Tick
    from oddframe.data import Video
    from oddframe.metrics.events import EventScore

RUN = typer.Argument(
    metavar="RUN", help="RUN folder that `oddframe fit --out` wrote.", show_default=False
)
DEVICE = typer.Option("cpu", "--device", help="cpu, cuda, cuda:N, or auto.")
SETTINGS = typer.Option(
    [], "--set", metavar="A.B=C",
    help="Change a score setting after training (score.alpha=.6, score.streams=[frame,motion], "
    "model.lambda_score=.4 …); repeatable.",
)  # fmt: skip
JSON = typer.Option(None, "--json", metavar="F", help="Also write the results to this file.")
PROTOCOL = typer.Option(
    "all",
    "--protocol",
    help="all (paper, deploy), peers, every, or a comma list of names; a name may be "
    "changed: deploy+drop=4. `oddframe protocols` lists them.",
)


def stderr() -> Console:
    """Where progress and remarks go; results go to stdout."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def frame_bar(title: str, unit: str = "frames") -> AbstractContextManager[Tick]:
    """A progress bar over frames (`unit`) with the remaining time; where stderr is no terminal, a
    line now and then."""
    from oddframe.bars import counting

    return counting(title, stderr(), unit)


@contextmanager
def stretch_bar(title: str) -> Iterator[Callable[[float, float], None]]:
    """The same over seconds of footage."""
    from oddframe.bars import bar

    with bar(title, stderr()) as show:
        yield lambda done_s, total_s: show(
            done_s, total_s, f"{done_s / 3600:.1f} of {total_s / 3600:.1f} h"
        )


def check_order(verb: str, run: Path, others: Sequence[str | Path]) -> None:
    """Notice a RUN that was given behind what it is to be used on.

    Raises:
        ConfigError: it was.
    """
    from oddframe.errors import ConfigError
    from oddframe.runs import is_run

    if is_run(run):
        return
    found = next((other for other in others if is_run(other)), None)
    if found is not None:
        raise ConfigError(
            f"{found} is a RUN and {run} is none, so the two are swapped: "
            f"oddframe {verb} {found} {run}"
        )


def say_assumed(videos: Sequence[Video]) -> None:
    """Say so where nothing tells how fast the frames of a video follow each other."""
    import sys

    for video in videos:
        if video.path.is_file() and video.path.suffix != ".npy":
            continue  # files with stamps
        with video.open() as source:
            if source.info.assumed:
                print(
                    f"warning: nothing says how many frames a second {video.name} has; hours and "
                    f"alarms a day are for {source.info.fps:g}. Give --fps.",
                    file=sys.stderr,
                )
                return


def writable_folder(folder: Path) -> None:
    """Make a folder and see whether it can be written, before an hour of work and not after it.

    Raises:
        RunError: it cannot.
    """
    import tempfile

    from oddframe.errors import RunError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".oddframe-", dir=folder)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise RunError(
            f"Cannot write to {folder}: {error.strerror or error}. Choose another folder, or get "
            "the right to write there."
        ) from None


def events_text(found: EventScore) -> str:
    """What a threshold found, as a line."""
    precision = "-" if found.precision is None else f"{100 * found.precision:.0f} %"
    delay = "" if found.median_delay_s is None else f", median delay {found.median_delay_s:.1f} s"
    share = "-" if found.false_frame_share is None else f"{100 * found.false_frame_share:.1f} %"
    return (
        f"alarms at the threshold (less than {found.merge_s:g} s apart are one): "
        f"{found.found} of {found.events} events found{delay}; "
        f"{found.true_alarms} of {found.alarms} alarms true ({precision}), "
        f"{found.false_alarms_per_hour:.0f} false alarms per hour, {share} of the normal frames in "
        "alarm"
    )
