"""`oddframe bench`: timings side by side in one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from oddframe.cli.console import JSON, stderr, writable_folder

if TYPE_CHECKING:
    from oddframe.bench.timing import Tick


def command(
    what: str = typer.Argument(metavar="scan|stream|train", show_default=False),
    json: Path | None = JSON,
    picture: Path | None = typer.Option(
        None, "--picture", metavar="F", help="Also draw the bars into this SVG file."
    ),
    quick: bool = typer.Option(False, "--quick", help="Tiny shapes: sees only that it all runs."),
    model: list[str] | None = typer.Option(
        None, "--model", metavar="NAME",
        help="stream: a model by name, or all; may be given several times.", show_default=False,
    ),
    device: str = typer.Option("cpu", "--device", help="stream: cpu, cuda, cuda:N, or auto."),
    clip: bool = typer.Option(
        False, "--clip", help="stream: also the stateless clip of the models asked for, slow."
    ),
    runtime: str = typer.Option(
        "torch", "--runtime", metavar="torch|onnx",
        help="stream: onnx times each model in ONNX Runtime too; exporting takes minutes.",
    ),
) -> None:  # fmt: skip
    """Time things against each other on this machine; ratios, not promises.

    1 to 2 minutes; some more for all models.
    """
    from oddframe.atomic import write_atomic, write_json
    from oddframe.bench import Choice, text
    from oddframe.bench import run as bench
    from oddframe.report.bench import bench_svg

    for file in (json, picture):
        if file is not None:
            writable_folder(file.parent)
    with _progress() as tick:
        found = bench(what, quick, tick, Choice(tuple(model or ()), device, clip, runtime))
    print(text(found))
    if json is not None:
        write_json(json, found)
        print(f"written to {json}")
    if picture is not None:
        drawn = bench_svg(found)
        write_atomic(picture, lambda path: path.write_text(drawn, "utf8"))
        print(f"drawn in {picture}")


@contextmanager
def _progress() -> Iterator[Tick]:
    """A bar per group of jobs on a terminal, else a line as each of them starts.

    Drawn between two runs and by no thread of its own, which would disturb them.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = stderr()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(), console=console, disable=not console.is_terminal, transient=True,
        auto_refresh=False,
    )  # fmt: skip
    tasks = {}

    def tick(title: str, done: int, total: int) -> None:
        if title not in tasks:
            tasks[title] = bar.add_task(title, total=total)
            if not console.is_terminal:
                console.print(title)
        bar.update(tasks[title], completed=done, total=total, refresh=True)

    with bar:
        yield tick
