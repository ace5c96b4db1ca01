"""Where every frame of a file lies, so that a part of it can be read as the whole would give it.

    table = source.table()                           # without decoding; None where nobody can say
    for frame in source.frames_at(table.place(first)): ...      # its number, stamp and picture

What is said is read off the packets. Whether the decoder keeps to it shows when it is decoded: a
part must have the stamps and gaps of the table.

Letters: n frames of a file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oddframe.sources.base import Source
from oddframe.sources.depth import Range
from oddframe.sources.packets import Opened
from oddframe.sources.stamps import is_pause
from oddframe.types import Frame


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame lies in its file."""

    frame: int
    """Its number, from 0."""
    stamp: int | None = None
    """Its stamp on the stream's own clock; None where frames are read by their numbers."""
    key: int | None = None
    """Stamp of the key frame that decoding begins with; None: of no other than the first."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The frames of a file."""

    time_s: NDArray[np.float64]
    """(n,) `Frame.pts_s` of each."""
    gap: NDArray[np.bool_]
    """(n,) `Frame.gap` of each."""
    stamps: NDArray[np.int64] | None = None
    """(n,) on the stream's clock, None where frames are read by their numbers."""
    keys: tuple[int, ...] = ()
    """Stamps of the key frames, in order."""

    def __len__(self) -> int:
        return len(self.time_s)

    def place(self, frame: int) -> Place:
        """Where a frame lies."""
        if self.stamps is None:
            return Place(frame)
        stamp = int(self.stamps[frame])
        at = bisect_right(self.keys, stamp)
        return Place(frame, stamp, self.keys[at - 1] if at else None)


@dataclass(frozen=True, slots=True)
class Since:
    """What came before a part begins, as far as frames are chosen by their stamps (`rate`)."""

    begun_s: float
    """Stamp of the first frame behind the last gap, or of the file."""
    last_s: float
    """Stamp of the frame just before the part."""


class Part(Source):
    """A file from a frame on; its frames have the numbers and stamps of the whole file."""

    def __init__(self, source: Source, place: Place, since: Since | None) -> None:
        """source: left open. since: None where the part begins with the file or with a gap."""
        super().__init__(replace(source.info, frames=None))
        self._source, self._place, self.since = source, place, since

    def scale_by(self, used: Range) -> None:
        """As `Source.scale_by`."""
        self._source.scale_by(used)

    def _frames(self) -> Iterator[Frame]:
        return self._source.frames_at(self._place)


def table_of(opened: Opened, step_s: float, zero_s: float) -> Table | None:
    """The table of a video file, by its packets.

    None where a stamp is missing or comes twice, where the clock is set, or something looks broken.

    Args:
        opened: at its beginning.
        step_s: the typical step between stamps.
        zero_s: the stamp that seconds count from.
    """
    stamps, keys = list[int](), list[int]()
    before: int | None = None
    for packet in opened.watched(step_s):
        if packet is None or packet.pts is None or packet.is_corrupt:
            return None
        if packet.dts is not None:
            if before is not None and packet.dts <= before:
                return None
            before = packet.dts
        if not packet.is_discard:  # an edit list hides it, though others are built on it
            stamps.append(packet.pts)
        if packet.is_keyframe:
            keys.append(packet.pts)
    base, known = float(opened.stream.time_base or 0), np.unique(np.array(stamps, np.int64))
    if not base or len(known) < len(stamps):
        return None
    seconds = np.asarray(known * base, np.float64)
    shown = seconds >= zero_s  # before the first key frame nothing can be had
    time_s = np.asarray(seconds[shown] - zero_s, np.float64)
    gap = np.zeros(len(time_s), bool)
    gap[1:] = is_pause(np.diff(time_s), step_s)
    return Table(time_s, gap, known[shown], tuple(sorted(keys)))
