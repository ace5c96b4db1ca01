"""Decoding into a frame store: which frames of which video, in how many channels."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from oddframe.data.dataset import Video
from oddframe.data.footage import LEAD_FPS, LEAD_S, Stretch, is_grey, looks_grey, stored_frames
from oddframe.errors import RunError
from oddframe.sources import Source
from oddframe.sources.rate import MOST, pacer
from oddframe.types import Frame, Image

Progress = Callable[[int, int | None], None]
"""Called with the frames done and the frames expected (a hint, or None)."""


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """Frames of one video without a gap between: `start` to `stop` (excluded) in the store."""

    name: str
    start: int
    stop: int
    fps: float
    start_s: float = 0.0
    """When the first of them is shown in the video."""
    held: bool | None = None
    """Whether the plan keeps them aside; None where there is no plan."""
    first: int = 0
    """Number of the first of them in the video."""
    lead: bool = False
    """What came before a stretch that is kept aside, thinned to `LEAD_FPS`: some streams look back
    that far. Nothing is learned from it."""


@dataclass(frozen=True, slots=True)
class Take:
    """What of some videos is stored."""

    fps: float | None = None
    """Faster videos are thinned to this rate by their stamps; None: all as it is."""
    stretches: tuple[Stretch, ...] | None = None
    """These alone; None: all of it."""


ALL = Take()


class _NotGreyError(Exception):
    """A frame with colour came after the store was begun with one channel."""


@dataclass(slots=True)
class Writer:
    """One build: decides on the number of channels and writes all frames."""

    videos: Sequence[Video]
    folder: Path
    size: int
    progress: Progress | None
    take: Take
    most_bytes: int | None

    def write(self, path: Path) -> tuple[int, tuple[StoredVideo, ...]]:
        """Write all frames to `path`; gives the channels and where each video lies."""
        grey, hint = self._survey()
        if grey:
            try:
                return 1, self._write(path, 1, hint)
            except _NotGreyError:  # colour that `looks_grey` did not see: decode again
                hint = self._within(hint)
        return 3, self._write(path, 3, hint)

    def _within(self, hint: int | None) -> int | None:
        """Leave stretches out where colours take more than there is room for; gives the frames."""
        needed = 3 * self.size**2 * (hint or 0)
        if self.most_bytes is None or needed <= self.most_bytes:
            return hint
        if self.take.stretches is None:
            raise RunError(
                f"The videos looked grey and have colours in between: their {hint} frames need "
                f"{needed / 1e9:.1f} GB, and not the {needed / 3e9:.1f} GB that were planned. Give "
                f"--cache {1.03 * needed / 1e9 + 0.05:.1f}."
            )
        kept = _thinned(self.take.stretches, -(-needed // self.most_bytes))
        self.take = replace(self.take, stretches=kept)
        return sum(stored_frames(stretch) for stretch in kept)

    def _survey(self) -> tuple[bool, int | None]:
        """Whether all that is wanted looks grey, and how many frames to expect."""
        stretches, videos = self.take.stretches, self.videos
        if stretches is not None:
            videos = [videos[i] for i in sorted({stretch.video for stretch in stretches})]
        grey, hints = True, []
        for video in videos:
            with video.open() as source:
                hints.append(self._expected(source))
                grey = grey and looks_grey(source, self.size)
        if stretches is not None:
            return grey, sum(stored_frames(stretch) for stretch in stretches)
        known = [hint for hint in hints if hint is not None]
        return grey, sum(known) if len(known) == len(hints) else None

    def _expected(self, source: Source) -> int | None:
        """Frames of a video at the rate that is taken, by its header."""
        pace, hint = pacer(self.take.fps, source.info), source.frame_hint
        if pace is None or hint is None:
            return hint
        return round(hint * min(MOST, pace.fps / source.info.fps))

    def _write(self, path: Path, channels: int, hint: int | None) -> tuple[StoredVideo, ...]:
        if hint is not None:
            _check_space(self.folder, hint * self.size**2 * channels)
        stored: list[StoredVideo] = []
        ends: dict[str, float] = {}
        with _create(path) as file:
            for video, stretch, source in self._wanted():
                held = None if stretch is None else stretch.held
                after_s = ends.get(video.name, -1.0)
                for frame, fps, begins, lead in self._wanted_of(source, stretch, after_s):
                    if not lead:
                        ends[video.name] = frame.pts_s
                    file.write(self._encode(frame.at(self.size), channels))
                    at = stored[-1].stop if stored else 0
                    if begins:
                        start_s = round(frame.pts_s, 6)
                        aside = None if lead else held
                        stored.append(
                            StoredVideo(
                                video.name, at, at + 1, fps, start_s, aside, frame.index, lead
                            )
                        )
                    else:
                        stored[-1] = replace(stored[-1], stop=at + 1)
                    if self.progress is not None:
                        self.progress(at + 1, hint)
        return tuple(stored)

    def _wanted_of(
        self, source: Source, stretch: Stretch | None, after_s: float
    ) -> Iterator[tuple[Frame, float, bool, bool]]:
        """`_taken`, and before what is kept aside what led up to it; the last: it is that."""
        if stretch is not None and stretch.held:
            for frame, begins in _leading(source, stretch.start_s):
                yield frame, LEAD_FPS, begins, True
        for frame, fps, begins in self._taken(source, stretch, after_s):
            yield frame, fps, begins, False

    def _taken(
        self, source: Source, stretch: Stretch | None, after_s: float
    ) -> Iterator[tuple[Frame, float, bool]]:
        """The frames to store, their rate, and whether something begins with them.

        after_s: frames up to it are stored already. Stretches may overlap, or begin in one pause;
        what is kept aside must not be trained on.
        """
        pace = pacer(self.take.fps, source.info)
        fps = source.info.fps if pace is None else pace.fps
        done = 0
        for frame in source if stretch is None else source.frames_from(stretch.start_s):
            # What is slower is looked at as often as it will be when it is scored.
            times = 1 if pace is None else pace.looks(frame)
            if frame.pts_s <= after_s:
                continue
            for again in range(times):
                begins = done == 0 or (frame.gap and not again)
                if stretch is not None and (done == stretch.frames or (begins and done)):
                    return
                yield frame, fps, begins
                done += 1

    def _wanted(self) -> Iterator[tuple[Video, Stretch | None, Source]]:
        """Videos in their order, or the stretches of the plan, opened."""
        if self.take.stretches is None:
            for video in self.videos:
                with video.open() as source:
                    yield video, None, source
            return
        at = -1
        opened: Source | None = None
        for stretch in self.take.stretches:
            if opened is None or stretch.video != at:
                if opened is not None:
                    opened.close()
                at, opened = stretch.video, self.videos[stretch.video].open()
            yield self.videos[at], stretch, opened

    def _encode(self, resized: Image, channels: int) -> bytes:
        if channels == 3:
            return resized[..., ::-1].tobytes()  # RGB
        if not is_grey(resized):
            raise _NotGreyError
        return resized[..., 0].tobytes()


def _thinned(stretches: Sequence[Stretch], every: int) -> tuple[Stretch, ...]:
    """Every so many of those to train on, and of those kept aside, in order."""
    kept: list[Stretch] = []
    for held in (False, True):
        group = [s for s in stretches if s.held is held]
        kept += group[every - 1 :: every] or group[:1]
    return tuple(s for s in stretches if s in kept)


def _leading(source: Source, start_s: float) -> Iterator[tuple[Frame, bool]]:
    """Some frames a second of the `LEAD_S` before a place; whether something begins with each."""
    due_s = -math.inf
    for frame in source.frames_from(max(0.0, start_s - LEAD_S)):
        if frame.pts_s >= start_s:
            return
        begins = due_s == -math.inf or frame.gap
        if begins or frame.pts_s >= due_s:
            yield frame, begins
            due_s = frame.pts_s + 1 / LEAD_FPS - 1e-3


def _create(path: Path) -> IO[bytes]:
    return path.open("wb")


def _check_space(folder: Path, needed: int) -> None:
    """Refuse before an hour of decoding, not after it."""
    if needed > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, f"about {needed / 1e6:.0f} MB are needed")
