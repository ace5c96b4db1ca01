"""How far long work is: a bar with the time that is left; where nobody looks on, lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_S = 30.0
"""Between two lines where a bar cannot be drawn."""

Show = Callable[[float, float | None, str], None]
"""Done, of how much (None: unknown), and the same in words."""
Tick = Callable[[int, int | None], None]
"""Done, of how many."""


@contextmanager
def bar(title: str, console: Console) -> Iterator[Show]:
    """A bar on a terminal, gone when all is done. Elsewhere a line every `EVERY_S`, with the time
    that is left at the pace since the line before: what comes first may be quick or slow."""
    drawn = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"),
        TextColumn("left"), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    said, had = time.monotonic(), 0.0
    with drawn:
        task = drawn.add_task(title, total=None, text="")

        def show(done: float, total: float | None, text: str) -> None:
            nonlocal said, had
            drawn.update(task, completed=done, total=total, text=text)
            now = time.monotonic()
            if drawn.disable and now - said > EVERY_S:
                pace, said, had = (done - had) / (now - said), now, done
                left = "" if total is None or pace <= 0 else _left((total - done) / pace)
                console.print(f"{title}: {text}{left}", highlight=False)

        yield show


@contextmanager
def counting(title: str, console: Console, unit: str = "frames") -> Iterator[Tick]:
    """The same over things that are counted."""
    with bar(title, console) as show:

        def tick(done: int, total: int | None) -> None:
            of = "" if total is None else f" of {total:,}"
            show(done, total, f"{done:,}{of} {unit}")

        yield tick


def _left(seconds: float) -> str:
    return f", about {seconds / 60:.0f} min left" if seconds >= 60 else ", less than a minute left"
