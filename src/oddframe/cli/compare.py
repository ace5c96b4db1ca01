"""`oddframe compare`: runs, scores made elsewhere and floors in one table and one page."""

from __future__ import annotations

from pathlib import Path

import typer

from oddframe.cli.console import (
    ALIGN_END,
    ALLOW_SHORT,
    COLUMN,
    CUT,
    DEVICE,
    FPS,
    JSON,
    ONLY,
    PROTOCOL,
    REGULARITY,
    SETTINGS,
    frames_cut,
)


def run(
    runs: list[Path] = typer.Argument(
        None, metavar="RUN…", help="RUN folders; the first is what others are compared with.",
        show_default=False,
    ),
    data: Path = typer.Option(..., "--data", help="Root of a data set with labels."),
    scores: list[str] = typer.Option(
        [], "--scores", metavar="[NAME=]F", help="Scores made elsewhere, as evaluate-scores reads."
    ),
    regularity: bool = REGULARITY,
    cut: str | None = CUT,
    align_end: bool = ALIGN_END,
    column: str | None = COLUMN,
    only: str = ONLY,
    out: Path = typer.Option(
        Path("compare"), "--out", help="Folder for compare.html, .svg, .json and the scores."
    ),
    protocol: str = PROTOCOL,
    json: Path | None = JSON,
    labels: str | None = typer.Option(
        None, "--labels", help="Use these frame labels instead of those beside the videos."
    ),
    device: str = DEVICE,
    settings: list[str] = SETTINGS,
    fps: float | None = FPS,
    allow_short: bool = ALLOW_SHORT,
) -> None:  # fmt: skip
    """Compare methods on one data set: intervals, paired differences, where they disagree."""
    from contextlib import ExitStack

    from oddframe.cli.console import frame_bar, writable_folder
    from oddframe.data import frame_labels, label_source, open_dataset
    from oddframe.metrics.rows import format_table, write_rows_json
    from oddframe.report.compare import render_comparison
    from oddframe.report.dots import dots_svg
    from oddframe.report.page import write_page
    from oddframe.runs import write_json
    from oddframe.runtime.compare import collect, compare
    from oddframe.scoring import score_files
    from oddframe.scoring.protocols import parse_protocols
    from oddframe.sources import Reading

    protocols = parse_protocols(protocol)
    reading = score_files.Reading(column, only, regularity, frames_cut(cut), align_end)
    dataset = open_dataset(data, labels, Reading(fps, allow_short))
    writable_folder(out)
    if json is not None:
        writable_folder(json.parent)
    with ExitStack() as bars:
        methods = collect(
            runs or [], _named(scores), dataset, protocols, out / "scores",
            lambda title: bars.enter_context(frame_bar(title)), reading, device=device,
            settings=settings,
        )  # fmt: skip
    truth = frame_labels(dataset)
    found = compare(methods, truth, protocols, label_source(dataset, truth))
    print(format_table(found.rows))
    print(_differences(found.differences))
    write_json(out / "compare.json", found.plain())
    write_page(out / "compare.svg", dots_svg(found.rows))
    write_page(out / "compare.html", render_comparison(found, dataset))
    print(f"\nwritten to {out / 'compare.html'} and {out / 'compare.json'}")
    if json is not None:
        write_rows_json(json, found.rows)


def _named(texts: list[str]) -> dict[str, Path]:
    """NAME=FILE, or FILE under the name of its stem."""
    named: dict[str, Path] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        path = Path(file if equals else text)
        name = name if equals else path.stem
        if name in named:
            raise typer.BadParameter(f"two --scores are called {name!r}; name them NAME=FILE.")
        named[name] = path
    return named


def _differences(rows: list[dict[str, object]]) -> str:
    lines = []
    for row in rows:
        low, high = row["low"], row["high"]
        span = "too few videos for an interval"
        if isinstance(low, float) and isinstance(high, float):
            apart = "" if low > 0 or high < 0 else ", not told apart"
            span = f"95 %: {100 * low:+.1f} to {100 * high:+.1f}{apart}"
        points = 100 * float(row["difference"])  # type: ignore[arg-type]
        lines.append(
            f"{row['method']} against {row['against']}, {row['protocol']}: {points:+.2f} points "
            f"({span})"
        )
    return "\n".join(["", *lines]) if lines else ""
