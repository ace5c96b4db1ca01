"""From a run and its evaluation to the data of a report page.

Letters: n frames of one video.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oddframe.calibration.light import modes_of
from oddframe.data import Dataset, Video, pixel_masks
from oddframe.data.flow_folder import VideoFlow
from oddframe.data.official import benchmark_of
from oddframe.evaluation.evaluate import Evaluation
from oddframe.evaluation.scored import VideoScores
from oddframe.models.in_use import in_use_text
from oddframe.report.content import Curve, Kind, Moment, ReportData, VideoTimeline
from oddframe.runs import CURVE, Run
from oddframe.runtime.detector import Detector
from oddframe.sources import Source
from oddframe.types import Frame, Image, Map, Score

HITS = 3
"""Best moments shown, each of another video."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the caller says of a page."""

    title: str
    subtitle: str = ""
    frames_per_s: float | None = None
    """Frames scored per second, from file to scores."""
    notes: Sequence[str] = ()
    shown: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Video -> per frame what is abnormal in it, in words, where that is known; "" nothing."""


def build_report(
    run: Run, detector: Detector, dataset: Dataset, found: Evaluation, said: Said
) -> ReportData:
    """Gather everything that the page shows; reads the shown frames again, with their heat."""
    inside = None if found.localisation is None else found.localisation.plain()["flagged"]["share"]
    threshold = run.threshold
    limit = threshold if found.causal else None  # it is one of the causal score
    levels = limit is not None and bool(modes_of(run.calibration or {}))
    known = benchmark_of(dataset, {v.name: len(v.score) for v in found.videos})
    return ReportData(
        title=said.title,
        subtitle=said.subtitle,
        method=run.name,
        facts=_facts(run, detector),
        curves=curves(run.path / CURVE),
        timelines=[
            VideoTimeline(
                v.name,
                v.time_s,
                v.level if levels else found.curves[v.name],
                v.labels,
                1.0 if levels else limit,
                v.terms,
                detector.paper_curve(v.terms, data=known) if v.terms else None,
            )
            for v in found.videos
        ],
        paper_curve=detector.curve_name,
        rocs=found.rocs,
        moments=_moments(detector, dataset, found.videos, said.shown),
        rows=found.rows,
        notes=[*said.notes, *_notes(run, found), *([LEVELS] if levels else [])],
        localisation=inside,
        frames_per_s=said.frames_per_s,
        speed_note=f"{detector.info.device}, {torch.get_num_threads()} threads, from file to "
        "scores, floors included",
        heat_range=None if threshold is None else (0.25 * threshold, 1.5 * threshold),
    )


def curves(path: Path) -> list[Curve]:
    """The loss columns of train.csv over the steps; none where the file is absent."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf8") as file:
        rows = list(csv.reader(file))
    if len(rows) < 2:
        return []
    header, values = rows[0], np.array(rows[1:], dtype=np.float64)
    first = header.index("loss")
    return [
        Curve(name, values[:, 0], values[:, first + i]) for i, name in enumerate(header[first:])
    ]


def _facts(run: Run, detector: Detector) -> dict[str, object]:
    """What was trained; a RUN that another program made may lack any of it."""
    facts: dict[str, object] = {
        "model": run.name,
        "parameters": f"{detector.info.parameters:,}",
        "input": f"{detector.info.size} x {detector.info.size}, {detector.info.history} frames",
    }
    training: Mapping[str, Any] | None = run.card.get("training")
    data: Mapping[str, Any] | None = run.card.get("data")
    if training and data:
        facts["trained on"] = (
            f"{training['frames']:,} frames of {data['name']} "
            f"({data['videos']} video{'s' * (data['videos'] != 1)}), "
            f"{training['held_out']:,} more kept aside"
        )
    if training:
        facts["training"] = (
            f"{training['minutes']:g} min, {training['steps']:,} steps, "
            f"{training['epochs']:.1f} epochs, {training['device']}, {training['threads']} threads"
        )
    if training and training.get("memory"):
        facts["memory items in use"] = in_use_text(training["memory"])
    if "seed" in run.card:
        facts["seed"] = run.card["seed"]
    if "versions" in run.card:
        facts["versions"] = ", ".join(f"{k} {v}" for k, v in run.card["versions"].items())
    if run.calibration is not None:
        facts["threshold"] = run.calibration.get("text", f"{run.threshold:.3g}")
    return facts


LEVELS = (
    "The RUN has a threshold for each light: curves are levels, each score over the threshold of "
    "its frame's light."
)


def _notes(run: Run, found: Evaluation) -> list[str]:
    worst = found.worst[0] if found.worst else None
    notes = []
    if not found.causal:
        notes.append(
            f"The curves show what is judged ({found.worst_of}); pictures, captions and alarms are "
            "of the causal score."
        )
    if worst is not None and worst["points"] > 0:
        notes.append(
            f"The clip that costs most is {worst['video']}: {100 * worst['points']:.1f} of the "
            f"missing points of AUC ({found.worst_of})."
        )
    if run.calibration is not None and run.calibration.get("provisional"):
        notes.append(
            f"The threshold rests on {60 * run.calibration['hours']:.1f} minutes of normal "
            "footage: enough to show where alarms would be, not to state how many there are a day."
        )
    return notes


def _moments(
    detector: Detector,
    dataset: Dataset,
    videos: Sequence[VideoScores],
    shown: Mapping[str, Sequence[str]],
) -> list[Moment]:
    """Best moments (one per video), the highest false alarm, the deepest miss."""
    opened = {v.name: v for v in dataset.test}
    masks = pixel_masks(dataset)
    flows = detector.flows_of(dataset, "test")
    picked: list[tuple[Kind, str, VideoScores, int]] = []
    hits = [(v, _best(v.score, v.labels == 1, highest=True)) for v in videos]
    ranked = sorted(
        ((v, i) for v, i in hits if i is not None), key=lambda p: -float(p[0].score[p[1]])
    )
    picked += [("hit", "Found", v, i) for v, i in ranked[:HITS]]
    extremes_of: tuple[tuple[Kind, str, int, bool], ...] = (
        ("false-alarm", "Highest false alarm", 0, True),
        ("miss", "Deepest miss", 1, False),
    )
    for kind, title, label, highest in extremes_of:
        found = [(v, _best(v.score, v.labels == label, highest=highest)) for v in videos]
        extremes = [(v, i) for v, i in found if i is not None]
        if extremes:
            pick = max if highest else min
            v, i = pick(extremes, key=lambda p: float(p[0].score[p[1]]))
            picked.append((kind, title, v, i))
    moments = []
    for kind, title, v, i in picked:
        image, heat = look(detector, opened[v.name], i, flows.get(v.name))
        truth = masks[v.name][i] if masks is not None and v.name in masks else None
        what = shown[v.name][i] if v.name in shown else ""
        caption = (
            f"{what[:1].upper()}{what[1:]}{' in ' if what else ''}{v.name}, frame {i}, "
            f"{v.time_s[i]:.1f} s: score {v.score[i]:.2f}"
        )
        caption += "" if np.isnan(v.level[i]) else f", level {v.level[i]:.2f}"
        outline = truth if truth is not None and truth.any() else None
        moment = Moment(title, caption, image, heat, outline, kind, v.name, float(v.time_s[i]))
        moments.append(moment)
    return moments


def _best(score: Any, among: Any, *, highest: bool) -> int | None:
    """Frame with the highest (lowest) score among some frames; None where none has a score."""
    allowed = np.flatnonzero(among & ~np.isnan(score))
    if not allowed.size:
        return None
    values = score[allowed]
    return int(allowed[np.argmax(values) if highest else np.argmin(values)])


def look(
    detector: Detector, video: Video, index: int, flow: VideoFlow | None = None
) -> tuple[Image, Map | None]:
    """One frame of a video and its heat map as it was scored, from as little of the past as it
    takes: where the video has another rate than the RUN, all of it."""
    overlap = detector.info.overlap
    with video.open() as source:
        if overlap is None or detector.pacer(source.info) is not None:
            scored = detector.follow(source, flow)
        else:
            scored = _scored_from(detector, source, index - overlap, flow)
        with closing(scored):
            for frame, score in scored:
                if frame.index == index:
                    return frame.image, score.heat
    raise IndexError(f"{video.path} has no frame {index}")


def _scored_from(
    detector: Detector, source: Source, first: int, flow: VideoFlow | None
) -> Generator[tuple[Frame, Score], None, None]:
    state = detector.init_state()
    for frame in source:
        if frame.index >= first:
            carried = None if flow is None else flow.read(frame.index, detector.info.size)
            state, score = detector.step(state, frame, flow=carried)
            yield frame, score
