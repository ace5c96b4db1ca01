"""`oddframe reproduce`: a table of the papers by one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from oddframe.cli.options import many
from oddframe.errors import ConfigError, RunError


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which runs of a table."""

    data: list[str] = many("--data", metavar="NAME=PATH", help="Only these data sets; repeatable.")
    minutes: float | None = typer.Option(
        None, "--minutes", help="Of training per run: of one core's time, on a GPU by the clock."
    )
    seeds: str | None = typer.Option(None, "--seeds", metavar="0,1,2", help="Seeds.")
    only: str | None = typer.Option(None, "--only", metavar="ROW,…", help="Only these rows.")
    size: str | None = typer.Option(
        None, "--size", help="Another size of the table's model; paper: the paper's."
    )
    recipe: str = typer.Option("size", "--recipe", help="size, or paper: as `oddframe fit`.")
    device: str = typer.Option("auto", "--device", help="auto, cpu or cuda.")


@dataclass(frozen=True, slots=True)
class Done:
    """How they are worked off."""

    jobs: int = typer.Option(2, "--jobs", min=1, help="Runs at a time; on a GPU one.")
    out: Path = typer.Option(Path("results"), "--out", help="Folder of the results.")
    work: Path = typer.Option(Path("runs"), "--work", help="Folder of RUNs while they train.")
    keep: bool = typer.Option(False, "--keep", help="Keep the RUNs.")
    render: bool = typer.Option(
        False, "--render", help="Train nothing: Markdown and pictures of the results there are."
    )
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be done.")


def command(
    table: str = typer.Argument(
        metavar="TABLE",
        show_default=False,
        help="m2s2l-tables, stnmamba-tables, msti-tables, models, …: a wrong name lists all.",
    ),
    root: Path | None = typer.Option(
        None, "--root", help="Folder of the data sets (ped2, avenue, …); else ODDFRAME_DATA."
    ),
    *,
    chosen: Chosen,
    done: Done,
) -> None:
    """Train and evaluate every row of a table; can be stopped and given again at any time."""
    from oddframe.cli.console import stderr, writable_folder
    from oddframe.reproduce.plan import Options, data_sets, plan
    from oddframe.reproduce.render import render
    from oddframe.reproduce.results import failed_file, undone
    from oddframe.reproduce.tables import table as looked_up
    from oddframe.reproduce.workers import perform

    asked = looked_up(table)
    out, work = done.out, done.work
    if done.render:
        print(f"written to {render(asked, out / table)}")
        return
    kind = _device(chosen.device)
    options = Options(
        chosen.minutes, _numbers(chosen.seeds), chosen.size, chosen.recipe,
        tuple(_words(chosen.only)), kind,
    )  # fmt: skip
    todo = plan(asked, data_sets(chosen.data, root), options)
    if done.dry_run:
        left = undone(out, todo)
        for job in todo:
            print(f"{job.name}: {' '.join((*job.rows, *(v.row for v in job.variants)))}"
                  + ("" if job in left else " (done)"))  # fmt: skip
        print(f"{len(todo)} runs of {todo[0].minutes:g} minutes" if todo else "nothing to do")
        return
    writable_folder(out / table)
    writable_folder(work / table)
    at_once = 1 if kind == "cuda" else done.jobs
    failures = perform(todo, out, work, at_once=at_once, keep=done.keep, console=stderr())
    if len(failures) < len(todo):
        print(f"written to {render(asked, out / table)}")
    if failures:
        why = failed_file(out, next(j for j in todo if j.name == failures[0]))
        raise RunError(
            f"{len(failures)} of {len(todo)} runs failed: {', '.join(failures)}. Why lies in {why} "
            "and those beside it; give the command again and they are tried again."
        )


def _device(device: str) -> str:
    """cpu or cuda, which is there."""
    from oddframe.device import pick_device

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"--device {device} is not one that reproduce takes: expected auto, cpu or cuda. Of "
            "several GPUs CUDA_VISIBLE_DEVICES chooses one."
        )
    return pick_device(device).type


def _words(text: str | None) -> list[str]:
    return [] if text is None else [w.strip() for w in text.split(",") if w.strip()]


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    words = _words(text)
    if not words or not all(w.isdecimal() for w in words):
        raise typer.BadParameter(f"--seeds is whole numbers, as 0,1,2; found {text!r}.")
    return tuple(map(int, words))
