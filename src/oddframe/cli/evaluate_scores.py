"""`oddframe evaluate-scores`: the same metrics for scores made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from oddframe.cli.console import JSON, PROTOCOL
from oddframe.cli.options import Foreign, many


@dataclass(frozen=True, slots=True)
class Row:
    """How the rows are made and what they say."""

    drop: int | None = typer.Option(
        None, "--drop", help="Frames left out at the start of every video, whatever the protocol."
    )
    method: str | None = typer.Option(None, "--method", help="Name of the row.")
    select: str | None = typer.Option(
        None, "--select", help="How checkpoint and weights were chosen, for the protocol's text."
    )
    train: Path | None = typer.Option(
        None, "--train", help="Scores on training video, for protocols that scale by them."
    )
    also: list[Path] = many("--also", metavar="LABELS", help="Judge by these labels as well.")


@dataclass(frozen=True, slots=True)
class Places:
    """Files that say where."""

    regions: Path | None = typer.Option(
        None, "--regions", metavar="DIR",
        help="Detections per video, lines of frame,x1,y1,x2,y2,score: RBDC, TBDC (with --tracks).",
    )  # fmt: skip
    tracks: Path | None = typer.Option(
        None, "--tracks", metavar="DIR", help="True tracks, lines of track,frame,x1,y1,x2,y2."
    )


@dataclass(frozen=True, slots=True)
class Alarms:
    """Alarms judged by events."""

    threshold: float | None = typer.Option(
        None, "--threshold",
        help="Also judge alarms by events: scores at or above it, regularity at or below it.",
    )  # fmt: skip
    fps: float | None = typer.Option(
        None, "--fps",
        help="Frames per second, for --threshold (default: by the column time_s, else 25).",
    )  # fmt: skip
    tolerance: float = typer.Option(
        0.0, "--tolerance", help="Seconds by which an alarm may miss an event, for --threshold."
    )


@dataclass(frozen=True, slots=True)
class Written:
    """What is written."""

    json: Path | None = JSON
    pictures: Path | None = typer.Option(
        None, "--pictures", metavar="DIR", help="Also draw each video's scores over its labels."
    )


def command(
    scores: Path = typer.Argument(
        help="Larger = more anomalous: .npz with one array per video, .npy with all videos one "
        "after the other, or a folder of .csv or .npy files.",
        metavar="SCORES", show_default=False,
    ),
    labels: Path = typer.Argument(
        help="1 = abnormal: .npz under the same names, .npy, .mat, .m, a folder of .npy, or the "
        "root of a data set.",
        metavar="LABELS", show_default=False,
    ),
    protocol: str = PROTOCOL,
    *,
    row: Row,
    foreign: Foreign,
    places: Places,
    alarms: Alarms,
    written: Written,
) -> None:  # fmt: skip
    """Evaluate frame scores that another program made."""
    from dataclasses import asdict

    from oddframe.cli.console import events_text, writable_folder
    from oddframe.judging.elsewhere import (
        evaluate_events,
        evaluate_region_files,
        evaluate_scores_files,
    )
    from oddframe.judging.named import parse_protocols
    from oddframe.judging.score_files import csv_rates, read_foreign
    from oddframe.metrics.rows import format_table, write_rows_json
    from oddframe.sources.stamps import DEFAULT_FPS

    protocols = parse_protocols(protocol)
    reading, json, pictures = foreign.reading(), written.json, written.pictures
    for folder in (json.parent if json else None, pictures):
        if folder is not None:
            writable_folder(folder)
    rates: float | dict[str, float] | None = alarms.fps
    if rates is None and alarms.threshold is not None and scores.is_dir():
        rates = csv_rates(scores, reading.only)
    rows, said = [], []
    for truth in (labels, *row.also):
        made = evaluate_scores_files(
            scores, truth, protocols, drop=row.drop, method=row.method, select=row.select,
            reading=reading, train=row.train,
        )  # fmt: skip
        if alarms.threshold is not None:
            threshold = -alarms.threshold if reading.regularity else alarms.threshold
            found = read_foreign(scores, truth, protocols, reading)
            events = evaluate_events(found, threshold, rates or DEFAULT_FPS, alarms.tolerance)
            said.append(f"{truth.name}: " * bool(row.also) + events_text(events))
            made = [{**one, "events": asdict(events)} for one in made]
        rows += made
    print(format_table(rows))
    if said:
        print("\n" + "\n".join(said))
        if rates is None:
            print(f"(for {DEFAULT_FPS:g} frames/s, which nothing says: --fps)")
    shown = read_foreign(scores, labels, protocols, reading)
    if places.regions is not None or places.tracks is not None:
        where = evaluate_region_files(places.regions, places.tracks, shown.labels)
        print(f"\nRBDC {100 * where['rbdc']:.2f}, TBDC {100 * where['tbdc']:.2f} ({where['text']})")
        rows = [{**one, "rbdc": where["rbdc"], "tbdc": where["tbdc"]} for one in rows]
    if json is not None:
        write_rows_json(json, rows)
        print(f"written to {json}")
    if pictures is not None:
        from oddframe.report.scores import draw_scores

        drawn = draw_scores(pictures, {row.method or scores.stem: shown.scores}, shown.labels)
        print(f"{len(drawn)} pictures written to {pictures}")
