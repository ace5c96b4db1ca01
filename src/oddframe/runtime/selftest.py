"""The self-test on footage in files: `scoring.selftest` with a detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from oddframe.calibration.calibrate import threshold_of
from oddframe.calibration.light import Light, colourfulness
from oddframe.data.dataset import Video
from oddframe.data.made.cuts import cut_out
from oddframe.errors import ConfigError, DatasetError
from oddframe.pictures import Image
from oddframe.runtime.detector import Detector
from oddframe.scoring.look import SIZE_PX
from oddframe.scoring.selftest import CLIPS, SelfTest, Tick, clip_frames, selftest

PIECES = 16
"""Parts of the footage that are looked at, spread over all of it."""
FRAMES = 250
"""Frames of one."""
KEPT = 2
"""Clips of each that are kept in memory."""


def selftest_of(
    detector: Detector,
    videos: Sequence[Video],
    *,
    clips: int = CLIPS,
    seed: int = 0,
    tick: Tick | None = None,
) -> tuple[SelfTest, float]:
    """Show a detector made anomalies in normal footage; also the footage's width over its height.

    Raises:
        ConfigError: the model reads optical flow from files, which made pictures have not.
        DatasetError: nothing can be followed in the footage, so that nothing can be put into it.
        RunError: too little of it without a gap.
        SourceError: it cannot be read.
    """
    if detector.info.carried:
        raise ConfigError(
            f"{detector.info.run} takes its optical flow from files, and there is none of made "
            "pictures: it cannot be tested so."
        )
    places, aspect = _places(videos)
    length = clip_frames(detector.info.history)
    kept: list[list[Image]] = []

    def pieces() -> Iterator[list[Image]]:
        for video, start_s in places:
            for piece in _piece(detector, video, start_s):
                # All of it would be gigabytes: what clips are made of is kept.
                kept.append(piece[: KEPT * length])
                yield piece

    cuts = cut_out(pieces())
    if cuts is None:
        raise DatasetError(
            "Nothing in the footage can be followed from frame to frame (nothing moves, or all at "
            "once), so no anomalies can be made of it. Give livelier footage of the camera."
        )
    known = detector.info.calibration

    def threshold(image: Image) -> float | None:
        if known is None:
            return None
        return threshold_of(known, Light().take(colourfulness(image), 0.0))

    found = selftest(
        detector.scorer, kept, cuts, clips=clips, seed=seed, tick=tick, threshold=threshold
    )
    return found, aspect


def _places(videos: Sequence[Video]) -> tuple[list[tuple[Video, float]], float]:
    """Where to look: beginnings of evenly spread pieces, in seconds; and width over height."""
    lengths, aspect = [], 4 / 3
    for video in videos:
        with video.open() as source:
            lengths.append(source.length_s)
            aspect = source.info.width / source.info.height
    ends = np.cumsum(lengths)
    count = min(PIECES, max(len(videos), int(ends[-1] / 10) + 1))
    each_s = float(ends[-1]) / count
    places = []
    for at_s in (np.arange(count) + 0.5) * each_s:
        i = int(np.searchsorted(ends, at_s))
        places.append((videos[i], float(at_s - ends[i] + lengths[i]) - 0.5 * each_s))
    return places, aspect


def _piece(detector: Detector, video: Video, start_s: float) -> list[list[Image]]:
    """Pictures of one place at the rate of the RUN; two lists where there is a gap between."""
    found: list[list[Image]] = [[]]
    with video.open() as source:
        pace = detector.pacer(source.info)
        begin_s = max(0.0, min(start_s, source.length_s - FRAMES / source.info.fps))
        frames = iter(source) if begin_s <= 0 else source.frames_from(begin_s)
        for frame in frames:
            if frame.gap and found[-1]:
                found.append([])
            if pace is None or pace.looks(frame):
                found[-1].append(frame.at(SIZE_PX).copy())
            if sum(map(len, found)) >= FRAMES:
                break
    return [piece for piece in found if piece]
