"""The methods that a pass over a data set gave, each judged once under each protocol.

What is told of them (rows, ROC curves, what learning added, the clips that cost most) is drawn from
these. Letters: n frames of one video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oddframe.evaluation.scored import VideoScores, holes, leading
from oddframe.judging.floors import BEST
from oddframe.judging.judge import Judged, judge
from oddframe.judging.named import for_short
from oddframe.judging.paper import PaperScore
from oddframe.judging.protocol import Protocol
from oddframe.metrics.pairs import difference
from oddframe.metrics.rows import Row
from oddframe.runtime.detector import Detector
from oddframe.scoring.fuse import NO_NETWORK, STREAMS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class JudgedMethod:
    """One method under one protocol."""

    method: str
    protocol: str
    judged: Judged
    floor: bool = False
    """It learns nothing."""
    part: str = ""
    """Of the model's streams, which: `own`, or one of `STREAMS`; "" for the whole score."""


def judge_methods(
    detector: Detector,
    paper: PaperScore,
    videos: Sequence[VideoScores],
    protocols: Sequence[Protocol],
    source: str = "",
) -> list[JudgedMethod]:
    """The model, its parts and the floors that were scored, under each protocol, in this order.

    source: of the labels. Raises ProtocolError as `oddframe.judging.judge.judge`.
    """
    labels = {v.name: v.labels for v in videos}
    found: list[JudgedMethod] = []
    for protocol in protocols:
        stated = _stated(detector, paper, protocol, videos)
        for part, scores in _parts(paper, videos, protocol).items():
            method = f"{paper.name}:{part}" if part else paper.name
            judged = judge(scores, labels, stated, source)
            found.append(JudgedMethod(method, protocol.name, judged, part=part))
        untrained = replace(
            stated, select="none (a floor learns nothing)", single=True, scaled=False
        )
        for floor in videos[0].floors:
            judged = judge({v.name: v.floors[floor] for v in videos}, labels, untrained, source)
            found.append(JudgedMethod(floor, protocol.name, judged, floor=True))
    return found


def gains(methods: Sequence[JudgedMethod]) -> list[Row]:
    """What learning has above the best floor, under every protocol of a micro average: the whole,
    and what is drawn by the model alone."""
    rows: list[Row] = []
    for protocol in dict.fromkeys(m.protocol for m in methods):
        here = [m for m in methods if m.protocol == protocol]
        floors = {m.method: m.judged for m in here if m.floor}
        base = next((f for f in (BEST, "flowspeed") if f in floors), None)
        if base is None or here[0].judged.protocol.average != "micro":
            continue
        for m in here:
            if not m.floor and m.part not in NO_NETWORK:
                rows.append(difference(m.method, base, protocol, m.judged.wins, floors[base].wins))
    return rows


def _parts(
    paper: PaperScore, videos: Sequence[VideoScores], protocol: Protocol
) -> dict[str, dict[str, Floats]]:
    """Part ("" the whole) -> video -> (n,) scores: what of a model stands under a protocol."""
    if protocol.score == "paper":
        frames = {v.name: len(v.score) for v in videos}
        return {"": paper.scores({v.name: v.terms for v in videos}, frames, protocol)}
    parts = {
        "": {v.name: v.score for v in videos},
        "own": {v.name: _term(v, "own") for v in videos},
    }
    for stream in (s for s in STREAMS if any(f"z_{s}" in v.terms for v in videos)):
        parts[stream] = {v.name: _term(v, f"z_{stream}") for v in videos}
    return parts


def _term(video: VideoScores, name: str) -> Floats:
    """One term; all NaN in a video too short for any score, which the protocol then names."""
    return video.terms.get(name, np.full(len(video.score), np.nan))


def _stated(
    detector: Detector, paper: PaperScore, protocol: Protocol, videos: Sequence[VideoScores]
) -> Protocol:
    """The protocol with how weights and alpha were chosen, and the frames that have no score."""
    # The floors have scores for more frames, and are judged on the same.
    first = max(detector.info.history, min(leading(v.score) for v in videos))
    protocol = for_short(protocol, min(len(v.score) for v in videos), first)
    stated = paper.stated(protocol, detector.info.weights, detector.info.changed)
    drop = max(protocol.drop or 0, first)
    return replace(stated, drop=drop, holes=any(holes(v.score, drop).any() for v in videos))
