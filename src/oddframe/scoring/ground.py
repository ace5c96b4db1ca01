"""What a scene looks like when nothing is odd, and how fast things move in it: nothing is learned.

    ground = fit_ground(dataset.train)       # the median picture, and two normal ranges
    floor_scores(frames, ground=ground)      # scenespeed, background, unlearned

Two streams: the speed of the optical flow over the scene's scale line (near things are fast), and
the difference from the median picture of the normal footage (what was never here). Their ranges
are those of all normal footage: where nothing is fitted to a frame but a median over hundreds and a
line of two parameters, keeping frames aside would gain nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.data.dataset import Video
from oddframe.errors import DatasetError
from oddframe.scoring.local import box_mean
from oddframe.scoring.look import FLOW_BLOCK_PX, SIZE_PX, Looks
from oddframe.scoring.scene import SceneFit, StreamScene
from oddframe.types import Map

PICTURES = 200
"""Frames that the median is taken of."""
MOST = 6000
"""Frames looked at for the ranges: all where there are no more, else stretches of all videos."""
STRETCH = 150
"""Frames of such a stretch."""

Tick = Callable[[int, int], None]
"""Frames done and frames in all."""


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A scene by its normal footage."""

    picture: NDArray[np.uint8]
    """The median picture, (256, 256) grey."""
    speed: StreamScene
    """Of the optical flow's speed, px per frame."""
    background: StreamScene
    """Of the difference from the median picture, grey levels; it knows no near and far."""

    def differs(self, grey: NDArray[np.uint8]) -> Map:
        """Local means of the difference of a grey picture from the median: (256, 256) float32."""
        return box_mean(cv2.absdiff(grey, self.picture).astype(np.float32), FLOW_BLOCK_PX)


def fit_ground(videos: Sequence[Video], tick: Tick | None = None) -> Ground:
    """Look at normal footage twice: for the median picture, then for the ranges.

    Args:
        videos: of one scene, all normal.
        tick: called after each frame with frames done and frames in all, both about.

    Raises:
        DatasetError: no videos.
        RunError: fewer than 8 frames.
        SourceError: one cannot be read.
    """
    if not videos:
        raise DatasetError("A scene's normal range needs normal footage, and there is none.")
    spans, total = _spans(videos)
    done = 0

    def ticked() -> None:
        nonlocal done
        done += 1
        if tick is not None:
            tick(done, max(done, 2 * total))

    every = max(1, total // PICTURES)
    kept, seen = list[NDArray[np.uint8]](), 0
    for span in spans:
        for look in span.looks():
            if seen % every == 0:
                kept.append(look.grey)
            seen += 1
            ticked()
    picture = np.median(np.stack(kept), axis=0).astype(np.uint8)
    known = StreamScene(1.0, 1.0, 0.0, 1.0, 0.0)
    ground = Ground(picture, known, known)
    fitting = SceneFit()
    for span in spans:
        for look in span.looks():
            speed = look.speed
            if speed is not None:
                fitting.add({"flow": speed, "background": ground.differs(look.grey)})
            ticked()
    # By mean and deviation alone: as these floors are known.
    scene = fitting.fit(level=("background",), tail=False)
    return Ground(picture, scene["flow"], scene["background"])


@dataclass(frozen=True, slots=True)
class _Span:
    """A part of a video."""

    video: Video
    start_s: float
    frames: int | None
    """None: all of it."""

    def looks(self) -> Iterator[Looks]:
        """Every frame of it, with its past."""
        with self.video.open() as source:
            whole = self.frames is None
            frames = iter(source) if whole else source.frames_from(self.start_s)
            looks = Looks()
            for frame in islice(frames, self.frames):
                looks.step(frame.at(SIZE_PX), frame.gap)
                yield looks


def _spans(videos: Sequence[Video]) -> tuple[list[_Span], int]:
    """What is looked at, and about how many frames it has: one stretch from every equal part of
    the time, where there is more than enough."""
    lengths, counts = [], []
    for video in videos:
        with video.open() as source:
            lengths.append(source.length_s)
            counts.append(source.frame_hint or round(source.length_s * source.info.fps))
    if sum(counts) <= MOST:
        return [_Span(video, 0.0, None) for video in videos], sum(counts)
    parts, ends = MOST // STRETCH, np.cumsum(lengths)
    spans = []
    for at_s in (np.arange(parts) + 0.5) * ends[-1] / parts:
        i = int(np.searchsorted(ends, at_s))
        inside_s = float(at_s - ends[i] + lengths[i])
        latest_s = lengths[i] * max(0.0, 1 - STRETCH / max(1, counts[i]))
        spans.append(_Span(videos[i], min(inside_s, latest_s), STRETCH))
    return spans, parts * STRETCH
