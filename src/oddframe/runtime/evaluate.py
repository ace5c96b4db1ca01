"""A detector on a labelled data set: every number with its protocol, floors in the same pass.

Each test video is read once; detector and floors see the same frames in the same order. Nothing
is chosen on the test clips: the weights are the last ones averaged over training, alpha was fixed
before.

Letters: n frames of one video, h w rows and columns of its pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data import (
    Dataset,
    Video,
    check_lengths,
    frame_labels,
    label_source,
    pixel_masks,
    resize_bgr,
)
from oddframe.data.flow_folder import VideoFlow
from oddframe.data.labels import video_frames
from oddframe.data.masks import Masks
from oddframe.errors import DatasetError
from oddframe.metrics.events import EventScore, event_score
from oddframe.metrics.rows import Row
from oddframe.runtime.detector import Detector, Progress
from oddframe.runtime.places import Heats, Hits, Localisation, Regions
from oddframe.runtime.result import Collector
from oddframe.scoring.floors import FLOORS, SIZE_PX
from oddframe.scoring.fuse import OWN
from oddframe.scoring.judge import Judged, evaluate_arrays, judge, per_video
from oddframe.scoring.protocol import Protocol
from oddframe.sources import open_source

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VideoScores:
    """One test video: its scores, its truth, its floors."""

    name: str
    time_s: Floats
    labels: NDArray[np.uint8]
    score: Floats
    level: Floats
    alarm: NDArray[np.bool_]
    terms: dict[str, Floats]
    floors: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a detector reached on a data set."""

    rows: list[Row]
    """One per method and protocol; floors among them, with "floor": true."""
    videos: list[VideoScores]
    worst: list[Row]
    """Test videos by what they cost (see `per_video`), under `worst_of`."""
    worst_of: str
    """Method and protocol of `worst`."""
    localisation: Localisation | None
    """None where the data set has no pixel masks."""
    regions: Regions | None = None
    """None where the data set has no pixel masks, or they were not asked for."""
    events: EventScore | None = None
    """What the run's own threshold finds; None where it is not calibrated."""

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON: {"rows": [...], ...}."""
        return {
            "rows": self.rows,
            "worst": {"of": self.worst_of, "videos": self.worst},
            "localisation": None if self.localisation is None else self.localisation.plain(),
            "regions": None if self.regions is None else self.regions.plain(),
            "events": None if self.events is None else asdict(self.events),
        }


def evaluate(
    detector: Detector,
    dataset: Dataset,
    protocols: Sequence[Protocol],
    progress: Progress | None = None,
    floors: Sequence[str] = tuple(FLOORS),
    regions: bool = True,
) -> Evaluation:
    """Score all test videos and evaluate detector, its parts and the floors.

    Rows under `paper` and the others that rescale each video: the model by −PSNR (alpha of the
    run), and the floors. Under any other protocol: the model by its score; `NAME:own`, without
    optical flow; `NAME:frame` and `NAME:motion`, one stream alone; and the floors.

    Args:
        detector: a loaded run, with the folder of its flow files where it reads some.
        dataset: with labels; its test videos are used.
        protocols: see `oddframe.scoring.protocols.parse_protocols`.
        progress: called after each frame with frames done and frames in all.
        floors: which of them, keys of `FLOORS`.
        regions: also judge regions, tracks and pixels (5 ms a frame), where there are masks.

    Raises:
        DatasetError: no test videos, no labels, labels of another length (found before anything
            is scored); likewise flow files of the run.
        SourceError: a video is damaged.
        ProtocolError: only one class, or nothing left after the dropped frames.
    """
    if not dataset.test:
        raise DatasetError(
            f"{dataset.root} (layout {dataset.layout}) has no test videos: expected a data set "
            "with a test split and labels. To score videos without labels use `oddframe score`."
        )
    labels = frame_labels(dataset)
    # An hour of scoring must not end with this, so the videos are decoded once for their length.
    flows = detector.flows_of(dataset, "test")
    counts = {video.name: video_frames(video) for video in dataset.test}
    for name, count in counts.items():
        check_lengths(name, len(labels[name]), count)
        if name in flows:
            flows[name].expect(count)
    masks = pixel_masks(dataset)
    hits = Hits(Heats() if regions else None)
    done, total = 0, sum(counts.values())

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    videos = []
    for video in dataset.test:
        planes = masks[video.name] if masks is not None and video.name in masks else None
        if planes is not None:
            check_lengths(video.name, len(planes), counts[video.name])
        flow = flows.get(video.name)
        videos.append(_score(detector, video, labels[video.name], planes, hits, tick, floors, flow))
    rows = _rows(detector, videos, protocols, label_source(dataset, labels))
    worst_of, worst = _worst(detector, videos, protocols)
    return Evaluation(
        rows, videos, worst, worst_of,
        localisation=None if masks is None else hits.sum(),
        regions=None if hits.heats is None or masks is None else hits.heats.judge(masks),
        events=None if detector.info.threshold is None else _events(videos),
    )  # fmt: skip


def _events(videos: Sequence[VideoScores]) -> EventScore:
    """The alarms of the run's own threshold, over the frames that have a score."""
    kept = [~np.isnan(v.score) for v in videos]
    shown = [(v, k) for v, k in zip(videos, kept, strict=True) if k.any()]
    return event_score(
        [v.alarm[k] for v, k in shown],
        [v.labels[k] for v, k in shown],
        [_fps(v.time_s) for v, _ in shown],
    )


def _fps(time_s: Floats) -> float:
    """Frames per second of a video, from when its frames were shown."""
    return float((len(time_s) - 1) / (time_s[-1] - time_s[0])) if len(time_s) > 1 else 25.0


def _score(
    detector: Detector,
    video: Video,
    labels: NDArray[np.uint8],
    masks: Masks | None,
    hits: Hits,
    tick: Callable[[], None],
    names: Sequence[str],
    flow: VideoFlow | None,
) -> VideoScores:
    """Score one video with detector and floors in one pass; counts hits in its masks."""
    floors = {name: FLOORS[name]() for name in names}
    found: dict[str, list[float]] = {name: [] for name in floors}
    with open_source(video.path) as source:
        size = (source.info.height, source.info.width)
        collector = Collector(video.name, size, heat=False)
        for frame, score in detector.follow(source, flow):
            small = resize_bgr(frame.image, SIZE_PX) if floors else frame.image
            for name, floor in floors.items():
                value = floor.step(small)
                found[name].append(float("nan") if value is None else value)
            collector.add(score)
            if masks is not None and score.heat is not None:
                hits.add(video.name, frame.index, score.heat, masks[frame.index], score.alarm)
            tick()
    result = collector.result()
    check_lengths(video.name, len(labels), len(result))
    return VideoScores(
        video.name,
        result.time_s,
        labels,
        result.score,
        result.level,
        result.alarm,
        result.terms,
        {name: np.array(values) for name, values in found.items()},
    )


def _methods(
    detector: Detector, videos: Sequence[VideoScores], protocol: Protocol
) -> dict[str, dict[str, Floats]]:
    """Method -> video -> scores, the methods that stand under a protocol."""
    name = detector.info.model
    if protocol.normalise == "per_video":
        return {name: {v.name: _paper(detector, v) for v in videos}}
    methods = {
        name: {v.name: v.score for v in videos},
        f"{name}:own": {v.name: _term(v, "own") for v in videos},
    }
    for stream in (s for s in OWN if any(f"z_{s}" in v.terms for v in videos)):
        methods[f"{name}:{stream}"] = {v.name: _term(v, f"z_{stream}") for v in videos}
    return methods


def _paper(detector: Detector, video: VideoScores) -> Floats:
    """The model's paper's score; all NaN in a video too short for any."""
    return detector.paper_score(video.terms) if video.terms else _term(video, "psnr")


def _term(video: VideoScores, name: str) -> Floats:
    """One term; all NaN in a video too short for any score, which the protocol then names."""
    return video.terms.get(name, np.full(len(video.score), np.nan))


def _stated(detector: Detector, protocol: Protocol) -> Protocol:
    """The protocol with how weights and alpha were chosen, and the frames that have no score."""
    named = detector.paper_weights() if protocol.normalise == "per_video" else {}
    fixed = ", ".join(f"{name} {value:g}" for name, value in named.items())
    chosen = "last weights, averaged over training; "
    chosen += f"{fixed} fixed beforehand" if named else "no alpha"
    # The floors have scores for more frames, and are judged on the same.
    drop = max(protocol.drop or 0, detector.info.history)
    return replace(protocol, drop=drop, select=f"{chosen}; nothing chosen on test clips")


def _rows(
    detector: Detector, videos: Sequence[VideoScores], protocols: Sequence[Protocol], source: str
) -> list[Row]:
    labels = {v.name: v.labels for v in videos}
    rows: list[Row] = []
    for protocol in protocols:
        stated = _stated(detector, protocol)
        for method, scores in _methods(detector, videos, protocol).items():
            row = evaluate_arrays(method, scores, labels, stated, source)
            rows.append({**row, "floor": False})
        untrained = replace(stated, select="none (a floor learns nothing)")
        for floor in videos[0].floors:
            scores = {v.name: v.floors[floor] for v in videos}
            rows.append(
                {**evaluate_arrays(floor, scores, labels, untrained, source), "floor": True}
            )
    return rows


def judged(
    detector: Detector, videos: Sequence[VideoScores], protocol: Protocol
) -> dict[str, Judged]:
    """What the rows of the model under a protocol are made of, by method."""
    labels = {v.name: v.labels for v in videos}
    stated = _stated(detector, protocol)
    methods = _methods(detector, videos, protocol)
    return {name: judge(scores, labels, stated) for name, scores in methods.items()}


def _worst(
    detector: Detector, videos: Sequence[VideoScores], protocols: Sequence[Protocol]
) -> tuple[str, list[Row]]:
    """Videos by their cost under `deploy`, else under the first protocol."""
    protocol = next((p for p in protocols if p.name == "deploy"), protocols[0])
    method, scores = next(iter(_methods(detector, videos, protocol).items()))
    labels: Mapping[str, NDArray[np.uint8]] = {v.name: v.labels for v in videos}
    return f"{method}, {protocol.name}", per_video(scores, labels, _stated(detector, protocol))
