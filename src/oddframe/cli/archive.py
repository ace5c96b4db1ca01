"""`oddframe archive`: recorded footage scored by many processes or machines, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from oddframe.cli.console import RUN, SETTINGS, stderr
from oddframe.cli.options import ReadAs

if TYPE_CHECKING:
    from oddframe.archive.drive import Outcome, Status
    from oddframe.archive.tasks import Engine, Job


@dataclass(frozen=True, slots=True)
class Workers:
    """Who works."""

    workers: int | None = typer.Option(
        None, "--workers", min=1, help="Processes (default: one per core or GPU), or Ray's actors."
    )
    ray: str | None = typer.Option(
        None, "--ray", metavar="ADDRESS", help="Work on this Ray cluster: auto, or its HOST:PORT."
    )
    device: str = typer.Option("cpu", "--device", help="cpu, cuda, cuda:N, or auto.")
    precision: str = typer.Option(
        "float32", "--precision", help="float32 or bfloat16 (faster for large sizes)."
    )
    segment: float = typer.Option(
        300.0, "--segment", min=1.0, metavar="SECONDS", help="Of footage in one piece of work."
    )
    cache: Path | None = typer.Option(
        None, "--cache", metavar="FOLDER",
        help="For copies of files from elsewhere, one per worker (default: the system's /tmp).",
    )  # fmt: skip


def command(
    run: Path = RUN,
    sources: list[str] = typer.Argument(
        metavar="SOURCES...", show_default=False,
        help="Video files, folders, 'patterns/**/*.mp4', a .txt with a path on each line, "
        "addresses as s3://….",
    ),
    out: Path = typer.Option(..., "--out", help="Folder of results; the same again goes on."),
    settings: list[str] = SETTINGS,
    *,
    read: ReadAs,
    workers: Workers,
) -> None:  # fmt: skip
    """Score any amount of footage, in Parquet files, resumable. Then: oddframe archive events DIR.

    Files are cut into segments that give the scores of `oddframe score`. Whatever ends it, a kill,
    a full disk, a lost machine: the same command goes on. Files that cannot be read are named in
    failed.csv.
    """
    from oddframe.archive.drive import drive
    from oddframe.archive.files import listed
    from oddframe.archive.manifest import changed_versions, enter, manifest_of
    from oddframe.archive.parquet import arrow
    from oddframe.archive.tasks import Job
    from oddframe.cli.console import check_order, writable_folder
    from oddframe.runs import load_run, locked
    from oddframe.runtime.watch.signals import stopping
    from oddframe.scoring.scorer import precision_of

    if not math.isfinite(workers.segment):
        raise typer.BadParameter(f"--segment is a time in seconds, found {workers.segment}.")
    arrow()
    check_order("archive", run, sources)
    files = listed(sources, out)
    loaded = load_run(run).with_settings(settings)
    read.reading()  # the folder belongs to what is asked for: refuse it before
    job = Job(
        str(loaded.path.absolute()), str(out.absolute()), tuple(settings), workers.segment,
        _device(workers), precision_of(workers.precision), read.fps, read.allow_short,
        None if workers.cache is None else str(workers.cache.absolute()),
    )  # fmt: skip
    if loaded.threshold is None:
        print("the run is not calibrated for these scores: levels stay empty, no alarm is raised")
    asked = manifest_of(loaded, job, files)
    writable_folder(out)
    with locked(out, "archiving"), stopping() as stop:
        known = enter(out, asked)
        job = replace(job, key=known.key)
        if other := changed_versions(known):
            stderr().print(f"begun with {other}: scores may differ in their last digits")
        engine = _engine(job, workers, stop.is_set)
        try:
            with engine, _board() as show:
                outcome = drive(job, files, engine, show, known.files)
        except KeyboardInterrupt:
            print(f"stopped; what was scored is in {out}. Give the same command again to go on.")
            raise
    _say(outcome, out)


def _device(workers: Workers) -> str:
    """As every worker takes it; of a cluster nobody here knows the GPUs."""
    from oddframe.device import pick_device

    if workers.ray is not None and workers.device.startswith("cuda"):
        return "cuda"
    found = str(pick_device(workers.device))
    return found if ":" in workers.device else found.partition(":")[0]


def _engine(job: Job, workers: Workers, stopped: Callable[[], bool]) -> Engine:
    if workers.ray is not None:
        from oddframe.archive.cluster import Cluster

        return Cluster(job, workers.ray, workers.workers, stopped)
    from oddframe.archive.pool import Pool
    from oddframe.process import cores

    if job.device.startswith("cuda"):
        import torch

        gpus = 1 if ":" in job.device else torch.cuda.device_count()
        return Pool(job, workers.workers or gpus, stopped)
    return Pool(job, workers.workers or cores(), stopped)


@contextmanager
def _board() -> Iterator[Callable[[Status], None]]:
    """A bar with segments, frames/s and the time that is left; lines where there is no terminal."""
    import time

    from rich.progress import BarColumn, Progress, TextColumn

    from oddframe.bars import EVERY_S

    console = stderr()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    said = time.monotonic()
    with bar:
        task = bar.add_task("", total=None, text="")

        def show(status: Status) -> None:
            nonlocal said
            text = _text(status)
            bar.update(
                task, description=status.doing, completed=status.done, total=status.total, text=text
            )
            if bar.disable and time.monotonic() - said > EVERY_S:
                said = time.monotonic()
                console.print(f"{status.doing}: {text}")

        yield show


def _text(status: Status) -> str:
    from oddframe.sources.stamps import duration

    what = "segments" if status.doing == "scoring" else "files"
    text = f"{status.done} of {status.total} {what}"
    if status.frames:
        text += f", {status.frames_per_s:.0f} frames/s"
    if status.left_s:
        text += f", about {duration(status.left_s)} left"
    return text + (f", {status.failed} failed" if status.failed else "")


def _say(outcome: Outcome, out: Path) -> None:
    from oddframe.archive.ledger import FAILED
    from oddframe.errors import RunError

    whole = [entry for entry in outcome.entries if entry.whole]
    frames = sum(facts["frames"] for entry in whole for facts in entry.facts.values())
    now = f", {outcome.frames / outcome.seconds:.0f} frames/s" if outcome.frames else ""
    failed = {failure.file for failure in outcome.failures}
    if not any(entry.facts for entry in outcome.entries):
        raise RunError(
            f"None of {len(failed)} files could be scored; the first: {outcome.failures[0].why} "
            f"Why of each lies in {out / FAILED}."
        )
    print(f"{len(whole)} of {len(outcome.entries)} files, {frames} frames{now} -> {out}")
    for failure in outcome.failures[:5]:
        print(f"failed: {failure.file.shown}: {failure.why}")
    if failed:
        print(f"{len(failed)} files failed, see {out / FAILED}; the same command tries them again")
    print(f"next: oddframe archive events {out}")
