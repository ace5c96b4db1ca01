"""What of normal footage is decoded to learn from: all of it, or stretches spread over the whole.

    survey -> how much fits -> one stretch from each equal part of the time -> FrameStore

Days of video fit on no disk at a model's size, and no training looks at all of it. Every part of
the time gives one stretch. In half of the parts it lies anywhere, so that quiet times keep their
share; in the other half it is the liveliest of `TRIES` places, because little is learned from an
empty yard. The stretches kept aside are of the first kind: what is normal is not chosen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from oddframe.data.dataset import Dataset, Video
from oddframe.errors import DatasetError
from oddframe.pictures import Image
from oddframe.sources import Source
from oddframe.sources.depth import Range
from oddframe.sources.rate import MOST, NEAR
from oddframe.types import Frame

FASTEST = 30.0
"""Footage of more frames per second is learned at this rate, unless another is asked for."""
STRETCH = 128
"""Frames of a stretch, at least."""
TRIES = 3
"""Places that the liveliest is chosen from."""
LOOK_S, LOOK_PX = 1.0, 64
"""What is looked at of a place: so long, and at this size."""
EASY = 20_000
"""Frames that are always decoded, whatever time there is."""
TIMED = 48
"""Frames that the speed of decoding is measured on."""
PRIME = 7
"""One part of so many is kept aside."""
LEAD_S, LEAD_FPS = 8.0, 4.0
"""What came before each of these is kept as well, thinned: what stands there may have stood for so
long (`scoring.stay`)."""


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What is known of a video before it is decoded."""

    video: Video
    length_s: float
    fps: float
    assumed: bool
    """Nothing says the rate."""
    grey: bool
    """It shows no colours where it was looked at (`looks_grey`)."""
    frame_s: float
    """Seconds that it takes to decode a frame."""
    frames: int | None = None
    """How many there are by a header: fewer than the time would hold where the recording paused."""
    used: tuple[int, int] | None = None
    """Values in use of 16-bit pictures."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of one video."""

    video: int
    """Its place in the list of videos."""
    start_s: float
    frames: int
    """At the rate that is learned at; fewer where the video ends or pauses before."""
    held: bool
    """Kept aside: no training sees it."""
    lively: bool = False
    """Chosen because something moves."""
    activity: float | None = None
    """Mean difference between its first frames, in grey levels; None where nobody looked."""


def stored_frames(stretch: Stretch) -> int:
    """Frames that a stretch takes in a store, with those that lead up to it."""
    return stretch.frames + (round(min(LEAD_S, stretch.start_s) * LEAD_FPS) if stretch.held else 0)


def survey(videos: Sequence[Video], size: int, tick: Callable[[int], None]) -> list[Surveyed]:
    """Look at every video: how long it is, its rate, its first frames.

    Raises:
        SourceError: a video cannot be opened.
    """
    found = []
    for i, video in enumerate(videos):
        with video.open() as source:
            began, count = time.perf_counter(), 0
            for frame in islice(source, TIMED):
                frame.at(size)
                count += 1
            each_s = (time.perf_counter() - began) / max(1, count)
            info = source.info
            found.append(
                Surveyed(
                    video,
                    source.length_s,
                    info.fps,
                    info.assumed,
                    looks_grey(source, size),
                    each_s,
                    source.frame_hint,
                    source.used,
                )
            )
        tick(i + 1)
    return found


def learned_rate(
    surveyed: Sequence[Surveyed], asked: float | None, fastest: float = FASTEST
) -> float | None:
    """The rate to learn at: what was asked for, or the footage's own; None where nothing says it.

    Of footage of several rates the one that most of the time has.
    """
    if asked is not None:
        return asked
    known = [s for s in surveyed if not s.assumed]
    if not known:
        return None
    order = sorted(known, key=lambda s: s.fps)
    passed = np.cumsum([s.length_s for s in order])
    middle = int(np.searchsorted(passed, passed[-1] / 2))
    return min(fastest, order[middle].fps)


def range_in_use(surveyed: Sequence[Surveyed]) -> tuple[int, int] | None:
    """The values in use over all 16-bit footage; None where there is none."""
    return _joined(s.used for s in surveyed)


def scaled_alike(dataset: Dataset) -> Dataset:
    """A data set whose 16-bit pictures are scaled as `fit` does: by the values in use over all
    normal videos. A video by itself would be darker with something hot in it, from its beginning.
    """
    videos = dataset.train or dataset.test
    if not videos or videos[0].reading.used is not None:
        return dataset
    used = _joined(_used(video) for video in videos)
    return dataset if used is None else dataset.read_as(replace(videos[0].reading, used=used))


def _used(video: Video) -> Range | None:
    with video.open() as source:
        return source.used


def _joined(ranges: Iterable[Range | None]) -> Range | None:
    known = [used for used in ranges if used is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def frames_of(surveyed: Sequence[Surveyed], fps: float | None) -> int:
    """Frames that there are at a rate."""
    total = 0.0
    for s in surveyed:
        there = s.length_s * s.fps if s.frames is None else min(s.frames, s.length_s * s.fps)
        faster = s.fps / fps if fps is not None else 1.0
        near = 1 / NEAR <= faster <= NEAR
        total += there if near else there / max(faster, 1 / MOST)  # as `pacer` looks at it
    return round(total)


def stretches(
    surveyed: Sequence[Surveyed],
    fps: float,
    frames: int,
    held: int,
    seed: int,
    tick: Callable[[int, int], None],
    lengths: tuple[int, int] = (STRETCH, STRETCH),
) -> list[Stretch]:
    """A plan: one stretch from every equal part of the time, in order.

    Of a clip that is shorter than a stretch all of it is taken, once.

    Args:
        surveyed: all videos.
        fps: the rate that is learned at.
        frames: how many to take in all.
        held: how many to keep aside, at most.
        seed: of the places.
        tick: called after each part, with how many there are.
        lengths: frames of a stretch to train on, and of one that is kept aside: what is normal is
            better seen in many places than for long.

    Raises:
        DatasetError: all videos together are shorter than a stretch.
    """
    length, aside_length = lengths
    span_s = max(lengths) / fps
    places = _Places([s.length_s for s in surveyed], span_s)
    if places.total < span_s:
        raise DatasetError(
            f"All videos together last {places.total:.1f} s; {span_s:.1f} s are needed at least. "
            "Give longer normal video."
        )
    rng = np.random.default_rng([seed, len(surveyed)])
    opened: dict[int, Source] = {}

    def liveliness(video: int, start_s: float) -> float:
        if video not in opened:
            opened.clear()  # parts go from one video to the next
            opened[video] = surveyed[video].video.open()
        return activity(opened[video], start_s)

    there = [math.ceil(s.length_s * fps) for s in surveyed]
    shares = [s.length_s / places.total for s in surveyed]
    each = sum(min(length, n) * share for n, share in zip(there, shares, strict=True))
    parts = max(2 * PRIME, int(frames / each + 1e-6))
    aside = _aside(parts, max(1, held // aside_length))
    plan: list[Stretch] = []
    for part in range(parts):
        tries = (part + rng.random(TRIES)) * places.total / parts  # drawn always: a steady stream
        tried = list(dict.fromkeys(places.at(float(t)) for t in tries))
        kept = part in aside
        if kept or part % 2 == 0:
            video, start_s = tried[0]
            most = aside_length if kept else length
            found = Stretch(video, start_s, min(most, there[video]), kept)
        else:
            lively = [liveliness(*place) for place in tried]
            best = int(np.argmax(lively))
            video, start_s = tried[best]
            found = Stretch(video, start_s, min(length, there[video]), False, True, lively[best])
        if not plan or _has_room(found, plan[-1], surveyed[video].length_s, fps, min(lengths)):
            plan.append(found)
        elif kept:  # a short clip is trained on or kept aside, never a rest of it
            plan[-1] = found
        tick(part + 1, parts)
    return plan


def _has_room(found: Stretch, before: Stretch, length_s: float, fps: float, least: int) -> bool:
    """Whether the stretch before leaves so many frames of the video, of `length_s`, to the next."""
    if found.video != before.video:
        return True
    start_s = max(found.start_s, before.start_s + before.frames / fps)
    return (length_s - start_s) * fps >= least


def _aside(parts: int, most: int) -> set[int]:
    """Parts that are kept aside: every `PRIME`th of them or fewer, spread over all of the time."""
    every = max(PRIME, -(-parts // most))
    return set(range(every // 2, parts, every))


class _Places:
    """Where stretches of some seconds may begin, as one axis over the time of all videos."""

    def __init__(self, lengths_s: Sequence[float], span_s: float) -> None:
        self._ends = np.cumsum(lengths_s)
        self._lengths, self._span_s = lengths_s, span_s
        self.total = float(self._ends[-1]) if len(lengths_s) else 0.0

    def at(self, place_s: float) -> tuple[int, float]:
        """The video of a place, and the seconds into it: never so late that it ends before the
        stretch. A clip that is shorter begins at 0."""
        video = min(int(np.searchsorted(self._ends, place_s, side="right")), len(self._lengths) - 1)
        start_s = place_s - float(self._ends[video]) + self._lengths[video]
        return video, max(0.0, min(start_s, self._lengths[video] - self._span_s))


def activity(source: Source, start_s: float) -> float:
    """How much moves behind a place: mean absolute difference of frames, in grey levels."""
    before: Image | None = None
    differences = []
    for frame in _until(source.frames_from(start_s), start_s + LOOK_S):
        image = frame.at(LOOK_PX)
        if before is not None:
            differences.append(np.abs(image.astype(np.int16) - before).mean())
        before = image
    return float(np.mean(differences)) if differences else 0.0


def _until(frames: Iterator[Frame], stop_s: float) -> Iterator[Frame]:
    for frame in frames:
        if frame.pts_s > stop_s or (frame.gap and frame.index):
            return
        yield frame


def looks_grey(source: Source, size: int) -> bool:
    """Whether the first frame of a file or folder has no colours, nor one frame in each quarter:
    a day's file begins at night, when many cameras are grey."""

    def is_grey_at(place_s: float) -> bool:
        return all(is_grey(frame.at(size)) for frame in islice(source.frames_from(place_s), 1))

    if not is_grey_at(0.0):
        return False
    length_s = source.length_s  # without a header, all of the file is read for it
    return all(is_grey_at(share * length_s) for share in (0.25, 0.5, 0.75))


def is_grey(image: Image) -> bool:
    """True where the three channels of a picture are equal everywhere."""
    blue, green, red = image[..., 0], image[..., 1], image[..., 2]
    return bool(np.array_equal(blue, green) and np.array_equal(green, red))
