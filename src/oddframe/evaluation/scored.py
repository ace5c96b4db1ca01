"""Test videos with their scores, truth and floors: detector and floors in one pass over each.

    names, ground = floors_of(FLOORS, dataset)
    found = score_video(detector, video, labels, None, hits, tick, Floors(names, ground), None)

Letters: n frames of one video, h w rows and columns of its pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oddframe.data import Dataset, Video, check_lengths
from oddframe.data.flow_folder import VideoFlow
from oddframe.data.masks import Masks
from oddframe.errors import OddframeError, OddframeWarning, ProtocolError
from oddframe.evaluation.places import Hits
from oddframe.judging.floors import OF_SCENE, Floors
from oddframe.runtime.detector import Detector
from oddframe.runtime.result import Collector
from oddframe.scoring.ground import Ground, fit_ground
from oddframe.scoring.lag import centred_median
from oddframe.scoring.look import SIZE_PX
from oddframe.sources.rate import pacer
from oddframe.sources.stamps import DEFAULT_FPS

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


def available(names: Sequence[str], dataset: Dataset) -> tuple[str, ...]:
    """The floors that can be had: those of the scene want its normal footage."""
    return tuple(name for name in names if dataset.train or name not in OF_SCENE)


def floors_of(
    names: Sequence[str], dataset: Dataset, tick: Callable[[int, int], None] | None = None
) -> tuple[tuple[str, ...], Ground | None]:
    """The floors that can be had, and the scene that some of them know.

    Footage that is too short or cannot be read costs those, with a warning, and not the evaluation.
    """
    names = available(names, dataset)
    if not set(names) & set(OF_SCENE):
        return names, None
    try:
        return names, fit_ground(dataset.train, tick)
    except OddframeError as error:
        left = ", ".join(n for n in names if n in OF_SCENE)
        warnings.warn(f"left out: the floors {left}. {error}", OddframeWarning, stacklevel=2)
        return tuple(n for n in names if n not in OF_SCENE), None


def score_video(
    detector: Detector,
    video: Video,
    labels: NDArray[np.uint8],
    masks: Masks | None,
    hits: Hits | None,
    tick: Callable[[], None],
    floors: Floors,
    flow: VideoFlow | None,
) -> VideoScores:
    """Score one video with detector and floors in one pass; counts hits in its masks.

    Raises:
        DatasetError: as many labels, masks or flow files as it has no frames.
        SourceError: the video is damaged.
    """
    found: dict[str, list[float]] = {name: [] for name in floors.names}
    with video.open() as source:
        size = (source.info.height, source.info.width)
        collector = Collector(video.name, size, heat=False)
        late = detector.lag(source.info).frames  # floors are given the same time
        for frame, score in detector.follow(source, flow):
            held = score.held and not frame.gap and any(found.values())
            values = None if held else floors.step(frame.at(SIZE_PX), frame.gap)
            for name, seen in found.items():
                seen.append(seen[-1] if values is None else values[name])
            collector.add(score)
            if hits is not None and masks is not None and score.heat is not None:
                hits.add(video.name, frame.index, score.heat, masks[frame.index], score.alarm)
            tick()
    result = collector.result()
    check_lengths(video.name, len(labels), len(result))
    # What the model has not seen floors are not judged on either.
    blind = holes(result.score, detector.info.history)
    return VideoScores(
        video.name,
        result.time_s,
        labels,
        result.score,
        result.level,
        result.alarm,
        result.terms,
        {
            name: centred_median(np.where(blind, np.nan, values), late)
            for name, values in found.items()
        },
    )


def paced(fps: float | None, dataset: Dataset) -> bool:
    """Whether any test video is brought to the rate of a RUN (None: not known): of its frames some
    are looked at several times or not at all."""
    if fps is None:
        return False
    for video in dataset.test:
        with video.open() as source:
            if pacer(fps, source.info) is not None:
                return True
    return False


def leave_out(names: Sequence[str], of: int) -> bool:
    """Warn of videos that have no score at all; False where there are none.

    of: how many videos there are.

    Raises:
        ProtocolError: all of them.
    """
    if not names:
        return False
    said = f"{', '.join(names[:8])}{' …' * (len(names) > 8)}"
    if len(names) == of:
        raise ProtocolError(
            f"None of the {of} test videos has any score ({said}): they are too short for the "
            "history, or full of gaps. Give longer ones."
        )
    warnings.warn(
        f"left out, {len(names)} of {of} test videos, which have no score at all (too short for "
        f"the history, or full of gaps): {said}",
        OddframeWarning,
        stacklevel=3,
    )
    return True


def holes(scores: Floats, first: int) -> NDArray[np.bool_]:
    """The frames (n,) of a video from `first` on that have no score: behind a gap, or where
    frames are left out by their stamps and the history is full later than in other videos.
    """
    unknown = np.isnan(scores)
    unknown[:first] = False
    return unknown


def leading(scores: Floats) -> int:
    """Frames before the first score; 0 of a video without any, which says nothing of a history."""
    scored = np.flatnonzero(~np.isnan(scores))
    return int(scored[0]) if scored.size else 0


def fps_of(time_s: Floats) -> float:
    """Frames per second of a video, from when its frames were shown; pauses do not count."""
    return float(1 / np.median(np.diff(time_s))) if len(time_s) > 1 else DEFAULT_FPS
