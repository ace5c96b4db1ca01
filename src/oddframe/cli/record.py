"""`oddframe record`: normal footage of a camera, to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from oddframe.runtime.record import Tick


def command(
    source: str = typer.Argument(
        metavar="SOURCE", show_default=False,
        help="Camera: rtsp:// or http:// address, index of a webcam, video file or folder.",
    ),
    out: Path = typer.Option(..., "--out", help="Folder for the files; made where it is missing."),
    minutes: float = typer.Option(
        ..., "--minutes", help="Minutes of footage in all, those that are there included."
    ),
    width: int = typer.Option(
        640, "--width", help="At most so many pixels across; smaller sources keep their size."
    ),
) -> None:  # fmt: skip
    """Record what is normal in front of a camera, as video files of a minute.

    What breaks the stream begins a new file. Ctrl-C keeps what is there; the same command again
    goes on until there is enough.
    """
    from oddframe.errors import SourceError
    from oddframe.runtime.record import RecordConfig, record
    from oddframe.runtime.watch.signals import stopping

    config = RecordConfig.read({"width": width})
    with stopping() as stop, _bar() as tick:
        found = record(source, out, minutes, config, stop=stop, tick=tick)
    print(f"{out}: {found.words}")
    if not found.files:
        raise SourceError(
            "Nothing was recorded: it was stopped, or the source was over, before there were "
            "pictures of some seconds without a gap."
        )
    if found.seconds < 60 * minutes - 1 and not found.over:
        print("stopped: the same command goes on")
    else:
        print(f"next: oddframe fit --model m2s2l-edge --data {out} --out RUN --minutes 8")


@contextmanager
def _bar() -> Iterator[Tick]:
    """Minutes of footage, and what is wrong with the camera; where there is no terminal, lines."""
    import time

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from oddframe.bars import EVERY_S
    from oddframe.cli.console import stderr

    console = stderr()
    bar = Progress(
        TextColumn("recording"), BarColumn(), TextColumn("{task.fields[text]}"),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[words]}"),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    said, before = time.monotonic(), ""
    with bar:
        task = bar.add_task("", total=None, text="", words="")

        def tick(done_s: float, wanted_s: float, words: str) -> None:
            nonlocal said, before
            text = f"{done_s / 60:.1f} of {wanted_s / 60:.1f} min"
            bar.update(task, completed=done_s, total=wanted_s, text=text, words=words)
            news = bool(words) and words != before
            if bar.disable and (news or time.monotonic() - said > EVERY_S):
                said = time.monotonic()
                console.print(f"recording: {text}" + (f"; {words}" if words else ""))
            before = words or before

        yield tick
