"""A detector on a labelled data set: every number with its protocol, floors in the same pass.

Each test video is read once; detector and floors see the same frames in the same order. Nothing
is chosen on the test clips here; every row states what the run's weights and settings are.

Letters: n frames of one video, h w rows and columns of its pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data import (
    Dataset,
    check_lengths,
    frame_labels,
    label_source,
    pixel_masks,
)
from oddframe.data.flow_folder import VideoFlow
from oddframe.data.label_readers import Labels
from oddframe.data.labels import video_frames
from oddframe.data.masks import Masks
from oddframe.data.official import benchmark_of
from oddframe.errors import DatasetError, ProtocolError
from oddframe.evaluation.judged import JudgedMethod, gains, judge_methods
from oddframe.evaluation.places import Heats, Hits, Localisation, Regions
from oddframe.evaluation.scored import VideoScores, floors_of, fps_of, leave_out, score_video
from oddframe.judging.floors import FLOORS, Floors
from oddframe.judging.judge import Roc, check_scale, per_video, roc_of, row_of
from oddframe.judging.paper import PaperScore
from oddframe.judging.protocol import Protocol
from oddframe.metrics.events import EventScore, event_score
from oddframe.metrics.rows import Row
from oddframe.runtime.detector import Detector, Progress

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a detector reached on a data set."""

    rows: list[Row]
    """One per method and protocol; floors among them, with "floor": true."""
    videos: list[VideoScores]
    """Those that have a score; the others were left out, with a warning."""
    worst: list[Row]
    """Test videos by what they cost (see `per_video`), under `worst_of`."""
    worst_of: str
    """Method and protocol of `worst` and `curves`."""
    curves: dict[str, Floats]
    """Per video (n,) what is judged under that protocol, as it is judged; NaN where nothing is."""
    causal: bool
    """`curves` are the run's own causal scores, which its threshold is for."""
    localisation: Localisation | None
    """None where the data set has no pixel masks."""
    regions: Regions | None = None
    """None where the data set has no pixel masks, or they were not asked for."""
    events: EventScore | None = None
    """What the run's own threshold finds; None where it is not calibrated."""
    rocs: Sequence[Roc] = ()
    """Of the model and the floors, in the order of `rows`."""
    gains: Sequence[Row] = ()
    """What learning added: AUC of a method minus that of the best floor, with a paired interval."""
    judged: Sequence[JudgedMethod] = ()
    """What rows, curves and gains were drawn from."""

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON: {"rows": [...], ...}."""
        return {
            "rows": self.rows,
            "gains": list(self.gains),
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
    floors: Sequence[str] = FLOORS,
    regions: bool = True,
) -> Evaluation:
    """Score all test videos and evaluate detector, its parts and the floors.

    Rows under protocols that judge the paper's score (`Protocol.score`): the model by it, and the
    floors. Under the others: the model by its causal score; `NAME:own`, without optical flow;
    `NAME:frame`, `NAME:motion`, `NAME:flow` and so on, one stream alone; and the floors.

    Args:
        detector: a loaded run, with the folder of its flow files where it reads some.
        dataset: with labels; its test videos are used.
        protocols: see `oddframe.judging.named.parse_protocols`.
        progress: called after each frame with frames done and frames in all.
        floors: which of them, of `FLOORS`. Those of the scene look at its training footage first,
            and are left out where the data set has none.
        regions: also judge regions, tracks and pixels (5 ms a frame), where there are masks; the
            heat maps wait for that in a temporary file, 131 kB a frame at 256 px.

    Where all frames are of one class there are no rows, but `events` counts the alarms. Videos
    without any score, too short for the history, are left out with a warning.

    Raises:
        DatasetError: no test videos, no labels, labels of another length (found before anything
            is scored); likewise flow files of the run.
        SourceError: a video is damaged.
        ProtocolError: only one class and no threshold, or nothing left after the dropped frames;
            the paper's score is not defined under a protocol (found before anything is scored).
    """
    known = _checked(detector, dataset, protocols)
    masks = pixel_masks(dataset)
    hits = Hits(Heats() if regions else None)
    videos = _scored(detector, dataset, known, progress, floors, masks, hits)
    without = [v.name for v in videos if np.isnan(v.score).all()]
    if leave_out(without, len(videos)):
        videos = [v for v in videos if v.name not in without]
    events = None if detector.info.threshold is None else _events(videos)
    if one_class({v.name: v.labels for v in videos}) is not None:
        return Evaluation(
            [], videos, [], "", {v.name: v.score for v in videos}, True,
            localisation=None if masks is None else hits.sum(), events=events,
        )  # fmt: skip
    source = label_source(dataset, known.labels)
    found = judge_methods(detector, known.paper, videos, protocols, source)
    shown = next((m for m in found if m.protocol == "deploy"), found[0])  # what the page opens with
    used = shown.judged.protocol
    causal = (used.score, used.normalise, used.smooth) == ("deploy", "none", "none")
    return Evaluation(
        [{**row_of(m.method, m.judged), "floor": m.floor} for m in found],
        videos, per_video(shown.judged), f"{shown.method}, {shown.protocol}",
        curves={v.name: v.score for v in videos} if causal else shown.judged.over(known.counts),
        causal=causal,
        localisation=None if masks is None else hits.sum(),
        regions=None if hits.heats is None or masks is None else hits.heats.judge(masks),
        events=events,
        rocs=[roc_of(m.method, m.judged, floor=m.floor) for m in found if not m.part],
        gains=gains(found),
        judged=found,
    )  # fmt: skip


def score_all(
    detector: Detector,
    dataset: Dataset,
    progress: Progress | None = None,
    floors: Sequence[str] = FLOORS,
) -> list[VideoScores]:
    """Score all test videos, and judge nothing; arguments and errors as `evaluate`."""
    known = _checked(detector, dataset, ())
    return _scored(detector, dataset, known, progress, floors)


def _scored(
    detector: Detector, dataset: Dataset, known: _Known, progress: Progress | None,
    floors: Sequence[str], masks: Mapping[str, Masks] | None = None, hits: Hits | None = None,
) -> list[VideoScores]:  # fmt: skip
    """Detector and floors over all test videos; `hits` counts in those that have masks."""
    counted = _Counted(progress, sum(known.counts.values()))
    names, ground = floors_of(floors, dataset, counted.looked)
    videos = []
    for video in dataset.test:
        planes = None if masks is None else masks.get(video.name)
        if planes is not None:
            check_lengths(video.name, len(planes), known.counts[video.name])
        flow, fresh = known.flows.get(video.name), Floors(names, ground)
        truth = known.labels[video.name]
        videos.append(score_video(detector, video, truth, planes, hits, counted.tick, fresh, flow))
    return videos


def one_class(labels: Mapping[str, NDArray[np.uint8]]) -> str | None:
    """What all frames are, where they are all of one class: normal or abnormal."""
    kinds = {bool(y) for values in labels.values() for y in np.unique(values)}
    return None if len(kinds) > 1 else "abnormal" if True in kinds else "normal"


class _Counted:
    """Progress over the training footage that floors look at, then over the test videos."""

    def __init__(self, progress: Progress | None, frames: int) -> None:
        """frames: of the test videos."""
        self._progress, self._frames = progress, frames
        self._done, self._total = 0, frames

    def looked(self, done: int, of: int) -> None:
        """So many frames of the training footage."""
        self._done, self._total = done, of + self._frames
        self._tell()

    def tick(self) -> None:
        """One frame of a test video."""
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)


@dataclass(frozen=True, slots=True)
class _Known:
    """Of the test videos by name, before any is scored."""

    labels: dict[str, Labels]
    counts: dict[str, int]
    """Frames of each."""
    flows: dict[str, VideoFlow]
    paper: PaperScore


def _checked(detector: Detector, dataset: Dataset, protocols: Sequence[Protocol]) -> _Known:
    """What is known of the test videos: an hour of scoring must not end with what is wrong with
    it.

    The videos are decoded once for their length. Errors as `evaluate`.
    """
    if not dataset.test:
        raise DatasetError(
            f"{dataset.root} (layout {dataset.layout}) has no test videos: expected a data set "
            "with a test split and labels. To score videos without labels use `oddframe score`."
        )
    labels = frame_labels(dataset)
    flows = detector.flows_of(dataset, "test")
    counts = {video.name: video_frames(video) for video in dataset.test}
    for name, count in counts.items():
        check_lengths(name, len(labels[name]), count)
        if name in flows:
            flows[name].expect(count)
    paper = detector.paper_of(benchmark_of(dataset, counts))
    paper.check(protocols)
    check_scale(protocols, None)
    if (kind := one_class(labels)) is not None and detector.info.threshold is None:
        raise ProtocolError(
            f"All frames of {dataset.root} are {kind}, so there is no AUC: it compares abnormal "
            "frames with normal ones. Give labels of both, or calibrate the run (oddframe "
            "calibrate): then its alarms can be counted."
        )
    return _Known(labels, counts, flows, paper)


def _events(videos: Sequence[VideoScores]) -> EventScore:
    """The alarms of the run's own threshold, over the frames that have a score."""
    kept = [~np.isnan(v.score) for v in videos]
    shown = [(v, k) for v, k in zip(videos, kept, strict=True) if k.any()]
    return event_score(
        [v.alarm[k] for v, k in shown],
        [v.labels[k] for v, k in shown],
        [fps_of(v.time_s) for v, _ in shown],
    )
