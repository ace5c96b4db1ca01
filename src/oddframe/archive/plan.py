"""Where files are cut: segments that together give, bit for bit, what one pass gives.

A score looks at its own frame and some before it (`DetectorInfo.overlap`). A segment begins so many
looks early, at the key frame before; those scores are thrown away. Frames have the numbers and
stamps of the whole file (`sources.table`). Three checks, without which no file stays cut: the
decoded stamps and gaps are those that the packets promised, nothing was broken, and at every seam
both segments saw the same pictures (`score`). A file that cannot be cut so is one segment.

Letters: n frames of a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from oddframe.sources import Source
from oddframe.sources.rate import Pacer
from oddframe.sources.table import Place, Since, Table

if TYPE_CHECKING:  # torch is for workers alone
    from oddframe.runtime.detector import Detector

MORE = 2
"""Looks beyond the overlap: sums of float32 steps reach their limit a little later than it says."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file."""

    start: int = 0
    """Number of the first frame whose score counts."""
    stop: int | None = None
    """Behind the last; None: to the end, wherever that is."""
    place: Place | None = None
    """Of the frame that reading begins with; None: all of the file is read."""
    since: Since | None = None
    """What was before `place`, as far as frames are chosen by their stamps."""
    tail: int | None = None
    """From this frame on the next segment reads as well; None of the last one."""
    stamps: str | None = None
    """Hash of the stamps and gaps of its frames, as the packets say; None where all is read."""

    @property
    def name(self) -> str:
        """Of its file."""
        return "whole" if self.place is None else f"{self.start:09d}"

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """What `plain` gave."""
        place, since = values["place"], values["since"]
        return cls(
            values["start"], values["stop"], None if place is None else Place(**place),
            None if since is None else Since(**since), values["tail"], values["stamps"],
        )  # fmt: skip


WHOLE = Segment()
OTHERWISE = "its frames are not as its packets say"
PROBED = 32
"""Frames that are decoded before a file is cut."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one file is scored."""

    segments: tuple[Segment, ...]
    length_s: float | None = None
    """Seconds that it lasts, about; None where nobody has looked."""
    whole: str | None = None
    """Why it is not cut, though it is long."""

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "length_s": self.length_s, "whole": self.whole,
            "segments": [segment.plain() for segment in self.segments],
        }  # fmt: skip

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """What `plain` gave."""
        segments = tuple(Segment.read(v) for v in values["segments"])
        return cls(segments, values["length_s"], values["whole"])


def plan_of(detector: Detector, source: Source, segment_s: float) -> Plan:
    """Cut a file into segments of about so many seconds.

    Raises:
        SourceError: it cannot be read.
    """
    length_s, needs = source.length_s, detector.info.overlap
    if length_s < 1.5 * segment_s:
        return Plan((WHOLE,), length_s)
    if needs is None:
        return Plan((WHOLE,), length_s, "every score depends on all before it (smooth, lag_s)")
    table = source.table()
    if table is None:
        return Plan((WHOLE,), length_s, "its packets do not say where every frame is")
    if table.stamps is not None and not _begins_as(table, source):
        return Plan((WHOLE,), length_s, OTHERWISE)
    frames = round(segment_s * source.info.fps)
    return Plan(tuple(cut(table, frames, needs + MORE, detector.pacer(source.info))), length_s)


def _begins_as(table: Table, source: Source) -> bool:
    """Whether the first frames are as the packets say: where they are not, hardly any is, and all
    segments would be scored for nothing."""
    found = [(frame.pts_s, frame.gap) for frame in islice(source, PROBED)]
    said = zip(table.time_s[:PROBED].tolist(), table.gap[:PROBED].tolist(), strict=True)
    return found == list(said)


def cut(table: Table, frames: int, needs: int, pace: Pacer | None) -> list[Segment]:
    """Segments of about so many frames.

    Args:
        table: of the file.
        frames: of a segment; there are more where what is read twice would be longer.
        needs: looks that must be made before the first frame that counts.
        pace: what the file is brought to a rate by; None: every frame is looked at once.
    """
    n = len(table)
    made, begins = _looks(table, pace)
    count = max(1, round(n / max(frames, 1)))
    starts, firsts = [0], [0]
    for start in (n * k // count for k in range(1, count)):
        first = _first(start, made, begins, needs)
        if first >= starts[-1] and start > starts[-1]:
            starts.append(start)
            firsts.append(first)
    stops, tails = [*starts[1:], n], [*firsts[1:], None]
    return [
        Segment(
            start, stop, table.place(first), _since(table, begins, first), tail,
            stamps_hash(table.time_s[start:stop], table.gap[start:stop]),
        )
        for start, stop, first, tail in zip(starts, stops, firsts, tails, strict=True)
    ]  # fmt: skip


def stamps_hash(time_s: NDArray[np.float64], gap: NDArray[np.bool_]) -> str:
    """Of the stamps and gaps (n,) of frames."""
    digest = hashlib.blake2b(np.ascontiguousarray(time_s).tobytes(), digest_size=8)
    digest.update(np.ascontiguousarray(gap).tobytes())
    return digest.hexdigest()


def _looks(table: Table, pace: Pacer | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n + 1,) looks made before each frame, and (n,) where the unbroken run begins that each
    frame is of."""
    n = len(table)
    new = np.array([i == 0 or gap for i, gap in enumerate(table.gap.tolist())], bool)
    begins = np.maximum.accumulate(np.where(new, np.arange(n), 0))
    each = np.ones(n, np.int64)
    if pace is not None:
        stamps = zip(table.time_s.tolist(), table.gap.tolist(), strict=True)
        each = np.array([pace.at(time_s, gap) for time_s, gap in stamps], np.int64)
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(each))), begins


def _first(
    start: int, made: NDArray[np.int64], begins: NDArray[np.int64], needs: int
) -> int:  # fmt: skip
    """Where to begin so that the history at a frame is that of the whole file."""
    early = int(np.searchsorted(made, made[start] - needs, "right")) - 1
    # Behind a gap nothing is known of before; one frame is shared in any case, for the seam.
    return min(max(early, int(begins[start])), start - 1)


def _since(table: Table, begins: NDArray[np.int64], first: int) -> Since | None:
    begun = int(begins[first])
    if begun == first:
        return None
    return Since(float(table.time_s[begun]), float(table.time_s[first - 1]))
