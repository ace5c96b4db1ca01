"""`oddframe evaluate`: a run on a labelled data set, one row per method and protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from oddframe.cli.console import DEVICE, FLOW, JSON, PROTOCOL, RUN, SETTINGS, events_text

if TYPE_CHECKING:
    from oddframe.runtime.evaluate import Evaluation

SHOWN = 5
"""Clips printed of those that the method is worst at."""


def run(
    run: Path = RUN,
    data: Path = typer.Option(..., "--data", help="Root of a data set with labels."),
    protocol: str = PROTOCOL,
    json: Path | None = JSON,
    labels: Path | None = typer.Option(
        None, "--labels", help="Use these frame labels: a file, or a label set (mask, ffp, …)."
    ),
    report: Path | None = typer.Option(
        None, "--report", metavar="F", help="Also write a page with curves, scores and moments."
    ),
    device: str = DEVICE,
    flow: Path | None = FLOW,
    settings: list[str] = SETTINGS,
) -> None:
    """Evaluate a run on labelled video, floors without learning beside it."""
    import time

    from oddframe.cli.console import frame_bar, writable_folder
    from oddframe.data import open_dataset
    from oddframe.metrics.rows import format_table
    from oddframe.runs import load_run, write_json
    from oddframe.runtime.detector import load
    from oddframe.runtime.evaluate import evaluate
    from oddframe.scoring.protocols import parse_protocols

    protocols = parse_protocols(protocol)
    dataset = open_dataset(data, labels)
    loaded = load_run(run).with_settings(settings)
    detector = load(loaded, device, flow=flow)
    for file in (json, report):
        if file is not None:
            writable_folder(file.parent)
    started = time.monotonic()
    with frame_bar("evaluating") as tick:
        found = evaluate(detector, dataset, protocols, tick)
    speed = sum(len(v.score) for v in found.videos) / (time.monotonic() - started)
    print(f"{detector.info.model} ({run}) on {dataset.name}\n")
    print(format_table(found.rows))
    print("\n" + details(found))
    if json is not None:
        write_json(json, {**found.plain(), "run": str(run), "data": dataset.name,
                          "changed": list(loaded.changed)})  # fmt: skip
        print(f"written to {json}")
    if report is not None:
        from oddframe.report.build import build_report
        from oddframe.report.page import write_report

        page = build_report(
            loaded, detector, dataset, found, title=dataset.name, frames_per_s=speed,
            subtitle=f"{detector.info.model} ({run})",
        )  # fmt: skip
        write_report(report, page)
        print(f"written to {report}")


def details(found: Evaluation) -> str:
    """The worst-judged clips and the localisation, as text."""
    lines = [f"worst-judged clips ({found.worst_of}):"]
    for row in found.worst[:SHOWN]:
        auc = "one class only" if row["auc"] is None else f"own AUC {100 * row['auc']:.1f} %"
        lines.append(
            f"  {row['video']}: {100 * row['points']:.2f} points of the missing AUC "
            f"({100 * row['cost']:.0f} %), {auc}, {row['abnormal']} of {row['frames']} frames "
            "abnormal"
        )
    lines.append(
        "alarms: the run has no threshold (oddframe calibrate)"
        if found.events is None
        else events_text(found.events)
    )
    if found.localisation is None:
        return "\n".join([*lines, "localisation: no pixel masks"])
    where = found.localisation.plain()
    for name, text in (("flagged", "abnormal frames with alarm"), ("abnormal", "abnormal frames")):
        part = where[name]
        share = "-" if part["share"] is None else f"{100 * part['share']:.1f} %"
        lines.append(
            f"localisation: hottest place inside the true outline in {part['inside']} of "
            f"{part['frames']} {text} ({share}; by chance {100 * where['chance']:.1f} %; on a "
            f"pixel of the true mask in {part['exact']})"
        )
    if found.regions is not None:
        r = found.regions
        lines.append(
            f"regions: RBDC {100 * r.rbdc:.1f}, TBDC {100 * r.tbdc:.1f} ({r.regions} regions in "
            f"{r.tracks} tracks: {r.text}); pixel AUC {100 * r.pixel_auc:.1f}, with 40 % of the "
            f"mask to be seen {100 * r.pixel_criterion_auc:.1f} %"
        )
    return "\n".join(lines)
