"""Frames as plain numbers in one .npy file, (n, h, w, 3) BGR or (n, h, w, 1) grey, uint8.

What `oddframe data prepare` writes: reading a frame is copying it out of a memory map. What else is
known of the video (`Facts`) stands in a line of JSON behind the numbers, where numpy does not look.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from oddframe.errors import OddframeWarning, SourceError
from oddframe.pictures import Plain
from oddframe.sources.base import Source
from oddframe.sources.depth import Range
from oddframe.sources.stamps import DEFAULT_FPS, valid_fps
from oddframe.sources.table import Place, Table
from oddframe.types import Frame, SourceInfo

SUFFIX = ".npy"
EVEN_S = 1e-3
"""Stamps that are so near to number / rate are not kept."""


def write_header(file: IO[bytes], shape: tuple[int, int, int, int]) -> None:
    """Write the header of a .npy of that shape; it has the same length for any number of frames."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the frames of an array."""

    fps: float | None = None
    """None where nothing says it."""
    steady: bool = True
    """`SourceInfo.steady`."""
    gaps: tuple[int, ...] = ()
    """Frames with `Frame.gap`."""
    times: tuple[float, ...] | None = None
    """`Frame.pts_s` of all frames, None where it is number / rate."""
    used: Range | None = None
    """Values that became 0 and 255, of pictures that had 16 bits."""

    @classmethod
    def of(cls, source: Source, times: Sequence[float], gaps: Sequence[int]) -> Facts:
        """Of a source that was read to its end: its stamps, and its frames with a gap."""
        info, stamps = source.info, np.asarray(times)
        even = np.abs(stamps - np.arange(len(stamps)) / info.fps) < EVEN_S
        kept = None if even.all() else tuple(round(t, 6) for t in times)
        fps = None if info.assumed else info.fps
        return cls(fps, info.steady, tuple(gaps), kept, source.used)

    def write(self, file: IO[bytes]) -> None:
        """Behind the last frame."""
        file.write(json.dumps(asdict(self)).encode() + b"\n")

    @classmethod
    def read(cls, path: Path, end: int, frames: int) -> Facts:
        """Those behind `end` in a file; nothing is known of an array that someone else saved."""
        with path.open("rb") as file:
            file.seek(end)
            try:
                known = json.loads(file.read())
                fps, times, used = known["fps"], known.get("times"), known.get("used")
                found = cls(
                    None if fps is None else valid_fps(float(fps)), bool(known.get("steady", True)),
                    tuple(int(i) for i in known.get("gaps", ()) if 0 <= i < frames),
                    None if times is None else tuple(map(float, times)),
                    None if used is None else (int(used[0]), int(used[1])),
                )  # fmt: skip
            except (ValueError, KeyError, TypeError, IndexError):
                return cls()
        return cls() if found.times is not None and len(found.times) != frames else found


class ArrayFile(Source):
    """A .npy file of frames of one video."""

    def __init__(self, path: Path, fps: float | None = None, used: Range | None = None) -> None:
        """Map the file; raises SourceError where it holds no frames or was cut short.

        fps: its rate, where it does not say it. used: how its pictures should have been scaled.
        """
        try:
            frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise SourceError(
                f"{path} is no .npy file of frames, or was cut short: {error}. Make it again with "
                "`oddframe data prepare`."
            ) from None
        shape, kind = frames.shape, frames.dtype
        if kind != np.uint8 or len(shape) != 4 or shape[-1] not in (1, 3) or not frames.size:
            raise SourceError(
                f"{path} has shape {shape} and type {kind}; expected frames of a video, "
                "(n, h, w, 3) BGR or (n, h, w, 1) grey, uint8."
            )
        self._data: NDArray[np.uint8] = frames
        count = shape[0]
        facts = Facts.read(path, frames.offset + frames.size, count)
        known = facts.fps or fps
        rate = DEFAULT_FPS if known is None else known
        self._times = np.arange(count) / rate if facts.times is None else np.asarray(facts.times)
        self._gaps = np.zeros(count, bool)
        self._gaps[list(facts.gaps)] = True
        self.used, self._asked = facts.used, facts.used
        super().__init__(
            SourceInfo(path.stem, shape[2], shape[1], rate, count, known is None, facts.steady)
        )
        if used is not None:
            self.scale_by(used)

    def scale_by(self, used: Range) -> None:
        """They are scaled already; says so where that was otherwise."""
        if self.used is not None and used not in (self.used, self._asked):
            warnings.warn(
                f"{self.info.name} was prepared from 16-bit pictures with the values "
                f"{self.used[0]} to {self.used[1]}, the RUN learned with {used[0]} to {used[1]}: "
                "it sees another picture. Score the videos that it was prepared of.",
                OddframeWarning,
                stacklevel=2,
            )
        self._asked = used

    @property
    def length_s(self) -> float:
        """As `Source.length_s`, with its pauses."""
        return float(self._times[-1]) + 1 / self.info.fps

    def frames_from(self, start_s: float) -> Iterator[Frame]:
        """As `Source.frames_from`, without reading those before."""
        first = int(np.searchsorted(self._times, start_s - 1e-6))
        for frame in self._read(first):
            gap = frame.gap or frame.index == first
            yield replace(frame, index=frame.index - first, gap=gap)

    def table(self) -> Table:
        """As `Source.table`."""
        return Table(self._times, self._gaps)

    def frames_at(self, place: Place) -> Iterator[Frame]:
        """As `Source.frames_at`, without reading those before."""
        return self._read(place.frame)

    def _frames(self) -> Iterator[Frame]:
        return self._read(0)

    def _read(self, first: int) -> Iterator[Frame]:
        for index, stored in enumerate(self._data[first:], first):
            if self._closed:
                return
            image = np.array(stored)
            if image.shape[-1] == 1:
                image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
            gap = bool(self._gaps[index]) and index > first
            yield Frame(index, float(self._times[index]), Plain(image), gap)
