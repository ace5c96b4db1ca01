"""One segment scored: the same loop as `Detector.score`, begun early and cut.

Letters: n frames of the segment.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import closing
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oddframe.archive.plan import Segment, stamps_hash
from oddframe.calibration.light import Light, modes_of
from oddframe.events.rules import Rules
from oddframe.events.where import places
from oddframe.runtime.result import Collector, Result
from oddframe.sources import Source
from oddframe.sources.decode import Lost
from oddframe.sources.table import Part
from oddframe.types import Frame, Map, Score

if TYPE_CHECKING:
    from oddframe.runtime.detector import Detector

NOWHERE = (-1, -1, 0, 0)
"""The box of a frame without a score."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The scores of a segment."""

    start: int
    """Number of the first frame."""
    result: Result
    """(n,)"""
    box: NDArray[np.int32]
    """(n, 4) the hottest place of each frame: left, top, width, height in the source's pixels."""
    seams: tuple[str, str]
    """Hashes of the pictures that the segment before reads as well, and of those that the one
    behind does; where each light has a threshold, with the light that there is at the seam."""
    exact: bool
    """Stamps and gaps are as planned and nothing was broken: with equal seams these are the scores
    of the whole file."""
    lost: Lost
    """What could not be decoded."""

    @property
    def top(self) -> dict[str, Any] | None:
        """The frame with the highest level, or where there are none the highest score, as plain
        values; None where there is none."""
        found = self.result
        if np.isnan(found.score).all():
            return None
        levels = np.where(np.isnan(found.level), 0.0, found.level)  # of each light's threshold
        i = max(np.flatnonzero(~np.isnan(found.score)), key=lambda k: (levels[k], found.score[k]))
        level = float(found.level[i])
        return {
            "frame": self.start + int(i), "time_s": float(found.time_s[i]),
            "score": float(found.score[i]), "level": None if math.isnan(level) else level,
        }  # fmt: skip


def score_segment(detector: Detector, source: Source, segment: Segment) -> Rows:
    """Score the frames of a segment.

    Args:
        detector: whose scores they are.
        source: the file, opened as `detector.reading` says; left open.
        segment: of that file's plan, or `WHOLE`.

    Raises:
        SourceError: the file is damaged so that no frame comes, or it is cut short.
    """
    read = source
    if segment.place is not None:
        read = Part(source, segment.place, segment.since)
    taker = _Taker(detector, source, segment)
    with closing(detector.follow(read)) as found:
        for frame, score in found:
            if segment.stop is not None and frame.index >= segment.stop:
                break
            taker.take(frame, score)
    return taker.rows(source.lost)


class _Taker:
    """Takes frames with their scores one by one and gives their rows."""

    def __init__(self, detector: Detector, source: Source, segment: Segment) -> None:
        self._segment, self._size = segment, detector.info.size
        self._info = info = source.info
        self._collector = Collector(info.name, (info.height, info.width), heat=False)
        self._heat: Map | None = None
        self._box = NOWHERE
        self._boxes = list[tuple[int, int, int, int]]()
        self._gaps = list[bool]()
        self._before, self._behind = (hashlib.blake2b(digest_size=8) for _ in range(2))
        self._light = Light() if modes_of(detector.info.calibration or {}) else None

    def take(self, frame: Frame, score: Score) -> None:
        """The next frame, of those read early too."""
        segment = self._segment
        if frame.index >= segment.start and not self._boxes:
            self._before.update(self._light_text())
        if self._light is not None and not score.held:
            self._light.of(frame)
        if frame.index < segment.start:
            self._before.update(np.ascontiguousarray(frame.at(self._size)).data)
            return
        if segment.tail is not None and frame.index >= segment.tail:
            self._behind.update(np.ascontiguousarray(frame.at(self._size)).data)
        self._collector.add(score)
        self._gaps.append(frame.gap)
        self._boxes.append(self._hottest(score))

    def rows(self, lost: Lost) -> Rows:
        """What was taken."""
        result, segment = self._collector.result(), self._segment
        stamps = stamps_hash(result.time_s, np.array(self._gaps, bool))
        exact = segment.stamps is None or (stamps == segment.stamps and not lost.places)
        self._behind.update(self._light_text())
        seams = self._before.hexdigest(), self._behind.hexdigest()
        boxes = np.array(self._boxes, np.int32).reshape(-1, 4)
        return Rows(segment.start, result, boxes, seams, exact, lost)

    def _light_text(self) -> bytes:
        """What levels go by beside the pictures: it may be older than what is read early."""
        return b"" if self._light is None else repr(astuple(self._light)).encode()

    def _hottest(self, score: Score) -> tuple[int, int, int, int]:
        """The hottest place; frames between two of the RUN's rate keep that of the last."""
        if score.heat is None or math.isnan(score.score):
            return NOWHERE
        if score.heat is not self._heat:
            self._heat, limit = score.heat, score.threshold
            floor = math.inf if limit is None else Rules().keep_level * limit
            found = places(score.heat, floor, self._info.width, self._info.height, most=1)
            box = found[0].box if found else None
            self._box = NOWHERE if box is None else (box.x, box.y, box.w, box.h)
        return self._box
