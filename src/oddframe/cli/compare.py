"""`oddframe compare`: runs, scores made elsewhere and floors in one table and one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from oddframe.cli.console import DEVICE, JSON, PROTOCOL, SETTINGS
from oddframe.cli.options import Foreign, ReadAs, many


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared on which labels, and where that is written."""

    scores: list[str] = many(
        "--scores", metavar="[NAME=]F", help="Scores made elsewhere, as evaluate-scores reads."
    )
    labels: str | None = typer.Option(
        None, "--labels", help="Use these frame labels instead of those beside the videos."
    )
    out: Path = typer.Option(
        Path("compare"), "--out", help="Folder for compare.html, .svg, .json and the scores."
    )
    json: Path | None = JSON


def command(
    runs: list[Path] = typer.Argument(
        None, metavar="RUN…", help="RUN folders; the first is what others are compared with.",
        show_default=False,
    ),
    data: Path = typer.Option(..., "--data", help="Root of a data set with labels."),
    protocol: str = PROTOCOL,
    settings: list[str] = SETTINGS,
    device: str = DEVICE,
    *,
    compared: Compared,
    foreign: Foreign,
    read: ReadAs,
) -> None:  # fmt: skip
    """Compare methods on one data set: intervals, paired differences, where they disagree."""
    from contextlib import ExitStack

    from oddframe.atomic import write_json
    from oddframe.cli.console import frame_bar, writable_folder
    from oddframe.data import frame_labels, label_source, open_dataset
    from oddframe.evaluation.compare import compare
    from oddframe.evaluation.methods import How, collect
    from oddframe.judging.named import parse_protocols
    from oddframe.metrics.rows import format_table, write_rows_json
    from oddframe.report.compare import render_comparison
    from oddframe.report.dots import dots_svg
    from oddframe.report.page import write_page

    protocols = parse_protocols(protocol)
    out, json = compared.out, compared.json
    dataset = open_dataset(data, compared.labels, read.reading())
    writable_folder(out)
    if json is not None:
        writable_folder(json.parent)
    how = How(foreign.reading(), device, settings)
    with ExitStack() as bars:
        methods = collect(
            runs or [], _named(compared.scores), dataset, protocols, out / "scores",
            lambda title: bars.enter_context(frame_bar(title)), how,
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
