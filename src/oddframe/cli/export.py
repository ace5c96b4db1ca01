"""`oddframe export`: a RUN's streaming step, or its clip, as one file for other runtimes."""

from __future__ import annotations

from pathlib import Path

import typer

from oddframe.cli.console import RUN


def command(
    run: Path = RUN,
    to: str = typer.Option(
        ..., "--to", metavar="onnx|torch", help="onnx: needs oddframe[onnx]; torch: a .pt2 file."
    ),
    out: Path = typer.Option(..., "--out", metavar="FILE", help="What to write."),
    clip: bool = typer.Option(
        False, "--clip", help="The stateless clip of k + 1 pictures instead of the step."
    ),
    scan: str = typer.Option(
        "unrolled", "--scan", metavar="unrolled|linear-attention",
        help="Selective scans as plain operators, or each as one node LinearAttention (ONNX opset "
        "27).",
    ),
) -> None:  # fmt: skip
    """Write the model with its state in and out, for ONNX Runtime or for torch without oddframe.

    Takes a minute or so, some more for the large sizes. What goes in and comes out stands in the
    file's metadata and in docs/export.md.
    """
    from oddframe.cli.console import stderr, writable_folder
    from oddframe.export.plan import SCANS
    from oddframe.export.write import TARGETS, export_run
    from oddframe.runs import load_run

    if to not in TARGETS:
        raise typer.BadParameter(f"--to is {' or '.join(TARGETS)}, found {to!r}.")
    if scan not in SCANS:
        raise typer.BadParameter(f"--scan is {' or '.join(SCANS)}, found {scan!r}.")
    loaded = load_run(run)
    writable_folder(out.absolute().parent)
    with stderr().status(f"exporting {loaded.name}"):
        card = export_run(loaded, out, TARGETS[to], "clip" if clip else "step", SCANS[scan]).card
    size = out.stat().st_size / 2**20
    print(f"{out}: {card.kind} of {card.model}, {size:.1f} MB")
    print(f"score: {card.about}")
    if card.flow == "dis":
        print("input flow: DIS optical flow at the model's size (docs/export.md)")
    elif card.flow == "file":
        print("input flow: what the RUN was trained with, in pixels per frame")
