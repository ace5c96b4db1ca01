"""`oddframe selftest`: what a RUN would see, by made anomalies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from oddframe.cli.console import DEVICE, RUN
from oddframe.cli.options import ReadAs

if TYPE_CHECKING:
    from oddframe.runs import Run


def command(
    run: Path = RUN,
    footage: Path | None = typer.Argument(
        None,
        metavar="[FOOTAGE]",
        help="Normal footage of the same camera that the run was not trained on: a video, a "
        "folder of videos or of frame folders. Without it: what `fit` found at its end.",
        show_default=False,
    ),
    clips: int = typer.Option(24, "--clips", min=3, help="Clips that each anomaly is put into."),
    seed: int = typer.Option(0, "--seed", help="What is put where."),
    out: Path | None = typer.Option(
        None, "--out", help="Where the picture goes (default: selftest.png in the RUN)."
    ),
    device: str = DEVICE,
    json_out: Path | None = typer.Option(None, "--json", help="Also write the figures there."),
    *,
    read: ReadAs,
) -> None:
    """Put made anomalies into normal footage and say which of them would raise the alarm.

    Things that move there are cut out and put back faster, the other way, twice as large, or where
    nobody stands; `normal` is the control. Nothing is labelled.
    """
    from oddframe.atomic import write_atomic, write_json
    from oddframe.cli.console import check_order, frame_bar
    from oddframe.data import open_dataset
    from oddframe.errors import DatasetError
    from oddframe.runs import SELFTEST, check_own, load_run
    from oddframe.runtime.detector import load
    from oddframe.runtime.selftest import selftest_of
    from oddframe.scoring.selftest_picture import png

    if footage is None:
        _as_kept(load_run(run), out, json_out)
        return
    check_order("selftest", run, [footage])
    loaded = load_run(run)
    if out is None:
        check_own(loaded)
    dataset = open_dataset(footage, reading=read.reading(loaded.used))
    if not dataset.train:
        raise DatasetError(f"{footage} holds no normal video (layout {dataset.layout}).")
    with frame_bar("made anomalies") as tick:
        found, aspect = selftest_of(
            load(loaded, device), dataset.train, clips=clips, seed=seed, tick=tick
        )
    print(found.text)
    picture = out or loaded.path / SELFTEST
    write_atomic(picture, lambda p: p.write_bytes(png(found, aspect)))
    if json_out is not None:
        write_json(json_out, found.to_json())
    print(f"examples: {picture}")


def _as_kept(run: Run, out: Path | None, json_out: Path | None) -> None:
    """Say what `fit` found at its end, in the footage that it had kept aside."""
    from oddframe.atomic import write_atomic, write_json
    from oddframe.errors import RunError
    from oddframe.runs import SELFTEST
    from oddframe.scoring.selftest import words

    found = run.card.get("training", {}).get("selftest")
    if found is None:
        raise RunError(
            f"{run.path} holds no self-test: its footage had nothing that moves, or `fit` no time. "
            "Give normal footage of the camera: oddframe selftest RUN FOOTAGE."
        )
    print(words(found))
    if json_out is not None:
        write_json(json_out, found)
    picture = run.path / SELFTEST
    if picture.is_file():
        if out is not None:
            examples = picture.read_bytes()
            write_atomic(out, lambda p: p.write_bytes(examples))
        print(f"examples: {out or picture}")
