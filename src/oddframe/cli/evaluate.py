"""`oddframe evaluate`: a run on a labelled data set, one row per method and protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from oddframe.cli.console import JSON, PROTOCOL, RUN, SETTINGS, events_text
from oddframe.cli.options import Machine, ReadAs

if TYPE_CHECKING:
    from oddframe.evaluation.evaluate import Evaluation
    from oddframe.metrics.rows import Row

SHOWN = 5
"""Clips printed of those that the method is worst at."""


@dataclass(frozen=True, slots=True)
class Written:
    """What is written of an evaluation."""

    json: Path | None = JSON
    report: Path | None = typer.Option(
        None, "--report", metavar="F", help="Also write a page with curves, scores and moments."
    )
    memory: bool = typer.Option(
        False, "--memory",
        help="Also run M2S2L with its memories' reads held constant, and without.",
    )  # fmt: skip


def command(
    run: Path = RUN,
    data: Path = typer.Option(..., "--data", help="Root of a data set with labels."),
    protocol: str = PROTOCOL,
    labels: Path | None = typer.Option(
        None, "--labels", help="Use these frame labels: a file, or a label set (mask, ffp, …)."
    ),
    settings: list[str] = SETTINGS,
    *,
    written: Written,
    read: ReadAs,
    machine: Machine,
) -> None:
    """Evaluate a run on labelled video, floors without learning beside it."""
    import time
    from contextlib import ExitStack

    from oddframe.atomic import write_json
    from oddframe.cli.console import frame_bar, writable_folder
    from oddframe.data import frame_labels, open_dataset
    from oddframe.evaluation.evaluate import evaluate, one_class
    from oddframe.evaluation.memories import watching
    from oddframe.judging.named import parse_protocols
    from oddframe.metrics.rows import format_table
    from oddframe.runs import load_run
    from oddframe.runtime.detector import load

    protocols = parse_protocols(protocol)
    loaded = load_run(run).with_settings(settings)
    dataset = open_dataset(data, labels, read.reading(loaded.used))
    json, report, memory = written.json, written.report, written.memory
    detector = load(loaded, machine.device, flow=machine.flow)
    for file in (json, report):
        if file is not None:
            writable_folder(file.parent)
    kind = one_class(frame_labels(dataset))
    if kind is not None:
        print(f"all frames are {kind}: there is no AUC, and only the alarms are counted")
    started = time.monotonic()
    with frame_bar("evaluating") as tick, ExitStack() as stack:
        effect = stack.enter_context(watching(detector, dataset)) if memory else None
        found = evaluate(detector, dataset, protocols, tick)
    speed = sum(len(v.score) for v in found.videos) / (time.monotonic() - started)
    print(f"{detector.info.model} ({run}) on {dataset.name}\n")
    if found.rows:
        print(format_table(found.rows) + "\n")
    if found.gains:
        print(gains_text(found.gains) + "\n")
    print(details(found, LOST if loaded.lost_threshold else NO_THRESHOLD))
    memories = None
    if memory:
        memories = None if effect is None else effect.result(found.videos)
        print(memory_text(memories))
    if json is not None:
        kept = {
            **found.plain(), "run": str(run), "data": dataset.name, "changed": list(loaded.changed),
        }  # fmt: skip
        write_json(json, {**kept, "memory": memories} if memory else kept)
        print(f"written to {json}")
    if report is not None and not found.rows:
        print("no page is made of one class alone")
    elif report is not None:
        from oddframe.report.build import Said, build_report
        from oddframe.report.page import write_report

        said = Said(dataset.name, f"{detector.info.model} ({run})", speed)
        write_report(report, build_report(loaded, detector, dataset, found, said))
        print(f"written to {report}")


def gains_text(gains: Sequence[Row]) -> str:
    """What learning added, as lines."""
    lines = [f"what learning added, AUC points above {gains[0]['against']}, which learns nothing:"]
    for row in gains:
        low, high = row["low"], row["high"]
        interval = "" if low is None else f" ({100 * low:+.1f} to {100 * high:+.1f}, 95 %)"
        lines.append(
            f"  {row['method']}, {row['protocol']}: {100 * row['difference']:+.1f}{interval}"
        )
    return "\n".join(lines)


def memory_text(effect: dict[str, Any] | None) -> str:
    """What the memories do, as lines."""
    if effect is None:
        return "memories: the model has none that could be taken out"
    from oddframe.models.in_use import in_use_text

    lines = [f"memories, items in use: {in_use_text(effect['memories'])}"]
    for way in ("with", "constant", "without"):
        parts = [
            f"{kind} "
            + " / ".join("-" if v is None else f"{v:.2f}" for v in effect[way][kind].values())
            for kind in ("normal", "odd")
        ]
        psnrs = ", ".join(parts)
        lines.append(
            f"  reads {way}: PSNR dB frame / motion: {psnrs}; AUC {100 * effect[way]['auc']:.1f}"
        )
    return "\n".join(lines)


NO_THRESHOLD = "alarms: the run has no threshold (oddframe calibrate)"
LOST = "alarms: the run's threshold was found for another score than the one set"


def details(found: Evaluation, no_threshold: str = NO_THRESHOLD) -> str:
    """The worst-judged clips and the localisation, as text."""
    lines = [f"worst-judged clips ({found.worst_of}):"] if found.worst else []
    for row in found.worst[:SHOWN]:
        auc = "one class only" if row["auc"] is None else f"own AUC {100 * row['auc']:.1f} %"
        lines.append(
            f"  {row['video']}: {100 * row['points']:.2f} points of the missing AUC "
            f"({100 * row['cost']:.0f} %), {auc}, {row['abnormal']} of {row['frames']} frames "
            "abnormal"
        )
    lines.append(no_threshold if found.events is None else events_text(found.events))
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
