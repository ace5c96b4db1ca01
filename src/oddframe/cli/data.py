"""`oddframe data`: make the street scene, look at a data set before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from oddframe.cli.console import JSON
from oddframe.cli.options import ReadAs

if TYPE_CHECKING:
    from oddframe.data import Report

LABELS = typer.Option(
    None, "--labels",
    help="Use these frame labels: a file, or a label set among those found (mask, ffp, …).",
)  # fmt: skip


def synth(
    out: Path = typer.Argument(metavar="OUT", help="Folder to make.", show_default=False),
    seed: int = typer.Option(0, "--seed", help="Which street."),
    train_clips: int = typer.Option(6, "--train-clips", help="Normal clips."),
    test_clips: int = typer.Option(5, "--test-clips", help="Clips with anomalies."),
    train_seconds: float = typer.Option(16.0, "--train-seconds", help="Length of a normal clip."),
    test_seconds: float = typer.Option(14.0, "--test-seconds", help="Length of a test clip."),
) -> None:
    """Draw a street scene with anomalies, labels and pixel masks (a small data set to try)."""
    from oddframe.cli.console import frame_bar
    from oddframe.synth import SynthConfig, write_dataset

    config = SynthConfig(
        seed=seed, train_clips=train_clips, test_clips=test_clips, train_seconds=train_seconds,
        test_seconds=test_seconds,
    )  # fmt: skip
    with frame_bar("drawing") as tick:
        write_dataset(out, config, tick)
    print(f"{out}: {train_clips} normal clips, {test_clips} test clips with labels and masks")
    print(f"next: oddframe fit --model m2s2l-edge --data {out} --out RUN --minutes 5")


def check(
    path: Path = typer.Argument(
        metavar="PATH", help="What `fit` or `evaluate` would be given.", show_default=False
    ),
    labels: Path | None = LABELS,
    json: Path | None = JSON,
    *,
    read: ReadAs,
) -> None:
    """Read every frame, label and mask of a data set and name all that is wrong (exit code 1)."""
    from oddframe.atomic import write_json
    from oddframe.cli.console import frame_bar, writable_folder
    from oddframe.data import check_dataset, open_dataset

    dataset = open_dataset(path, labels, read.reading())
    if json is not None:
        writable_folder(json.parent)
    with frame_bar("reading") as tick:
        report = check_dataset(dataset, lambda split, done, total: tick(done, total))
    print(check_text(report, path, len(dataset.test)))
    if json is not None:
        write_json(json, report.plain())
        print(f"written to {json}")
    if report.findings:
        raise SystemExit(1)


def check_text(report: Report, path: Path, tests: int) -> str:
    """The report of `check_dataset` for people."""
    lines = [f"{path}: layout {report.layout}, {report.manifest}"]
    if report.official is not None:
        lines.append(f"benchmark: {report.official}")
    for split in report.splits:
        shown = ", ".join(split.kinds[:4]) + " …" * (len(split.kinds) > 4)
        lines.append(
            f"{split.split:>6}: {split.videos} video{'s' * (split.videos != 1)}, "
            f"{split.frames} frames"
            f"{', ' * bool(shown)}{shown}"
        )
    if report.labels is None:
        lines.append("labels: none (enough for fit and score, not for evaluate)")
    else:
        lines.append(
            f"labels: {report.labels}, {report.abnormal_frames} of {report.labelled_frames} frames "
            "abnormal"
        )
        if report.one_class:
            lines.append(
                f"        one class only (no AUC of their own): {', '.join(report.one_class)}"
            )
    lines.append(
        f" masks: pixel masks of {report.masked} of {tests} test videos"
        if report.masked
        else " masks: none (no localisation figures)"
    )
    lines += [f"  note: {note}" for note in report.notes]
    if not report.findings:
        return "\n".join([*lines, "all of it is as it should be"])
    number = len(report.findings)
    lines.append(f"\n{number} thing{'s are' if number > 1 else ' is'} wrong:")
    for one in report.findings:
        lines.append(f"- {one.kind}{', ' + one.video if one.video else ''}: {one.text}")
    return "\n".join(lines)


def prepare(
    root: Path = typer.Argument(metavar="ROOT", help="A data set.", show_default=False),
    out: Path = typer.Option(..., "--out", help="Folder to make, or to go on with."),
    size: int = typer.Option(256, "--size", help="Rows and columns, those of the model."),
    labels: Path | None = LABELS,
    *,
    read: ReadAs,
) -> None:
    """Write a data set as frames of the model's size that need no decoding; can be resumed."""
    from oddframe.cli.console import frame_bar
    from oddframe.data import open_dataset
    from oddframe.data import prepare as write

    dataset = open_dataset(root, labels, read.reading())
    with frame_bar("preparing") as tick:
        done = write(dataset, out, size, tick)
    print(
        f"{out}: {done.written} videos written, {done.kept} were there; {done.frames} frames of "
        f"{size}x{size}, {done.bytes / 1e6:.0f} MB"
    )
    for lost in done.lost:
        print(f"  note: {lost}")
    print(f"next: oddframe fit --model m2s2l-edge --data {out} --out RUN --minutes 25")


def flow(
    root: Path = typer.Argument(metavar="ROOT", help="A data set.", show_default=False),
    out: Path = typer.Option(..., "--out", help="Folder to make, or to go on with."),
    size: int = typer.Option(256, "--size", help="Rows and columns of the frames it is made of."),
    *,
    read: ReadAs,
) -> None:
    """Write the optical flow (DIS) of neighbouring frames, one .npy per pair; can be resumed."""
    from oddframe.cli.console import frame_bar
    from oddframe.data import open_dataset
    from oddframe.data.flow_files import write_flows

    dataset = open_dataset(root, reading=read.reading())
    with frame_bar("flow") as tick:
        done = write_flows(dataset, out, size, tick)
    print(
        f"{out}: {done.written} videos written, {done.kept} were there; {done.flows} flows of "
        f"{size}x{size} now, {done.bytes / 1e6:.0f} MB"
    )
    print(
        f"next: oddframe fit --model msti-net --set model.flow=file --data {root} --flow {out} "
        "--out RUN"
    )


COMMANDS = {"synth": synth, "check": check, "prepare": prepare, "flow": flow}
