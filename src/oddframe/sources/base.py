"""What every source offers, and small helpers shared by the kinds of source."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import cv2

from oddframe.errors import SourceError
from oddframe.sources.decode import Lost
from oddframe.sources.depth import Range
from oddframe.sources.names import entries, is_junk, naturally
from oddframe.types import Frame, SourceInfo

if TYPE_CHECKING:
    from oddframe.sources.table import Place, Since, Table

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".wmv", ".flv", ".ogv", ".mpg",
    ".mpeg", ".ts", ".mts", ".m2ts", ".mjpg", ".mjpeg", ".h264", ".h265", ".264", ".265", ".hevc",
    ".asf", ".dav", ".mxf", ".vob", ".m2v", ".m2p", ".mpe", ".divx", ".f4v", ".y4m",
})
# fmt: on


class Source(ABC):
    """Pictures in order: `with open_source("clip.mp4") as source: for frame in source: ...`.

    Files and frame folders may be iterated again, each time from the first frame; cameras and
    streams go on where they were. `close` may be called twice; iterating after it is an error.

    `Detector` iterates a source that is not `live` in a thread of its own, ahead of the scores: a
    picture belongs to its frame, and no buffer is filled again once it was handed over.
    """

    live: bool = False
    """True for cameras and network streams: they cannot be rewound and may drop frames."""
    lost: Lost = Lost()
    """What could not be decoded: of files, by the iteration of all frames that ended last; reading
    from a time on (`frames_from`) says nothing of it."""
    used: Range | None = None
    """How values of more than 8 bits are scaled; None where there are none, or nobody knows."""
    since: Since | None = None
    """Of a part of a file, what was before it."""

    def __init__(self, info: SourceInfo) -> None:
        self.info = info
        self._closed = False

    @property
    def frame_hint(self) -> int | None:
        """Expected number of frames for progress bars; may be wrong, None where unknown."""
        return self.info.frames

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Yield the frames; raises SourceError where the source turns out to be damaged."""

    @property
    def length_s(self) -> float:
        """Seconds that the source lasts, as far as can be said without decoding it; 0 of live
        ones."""
        return 0.0 if self.frame_hint is None else self.frame_hint / self.info.fps

    def frames_from(self, start_s: float) -> Iterator[Frame]:
        """The frames of a file or folder from a time on, the first of them with `gap`.

        Their `index` counts from that first one.
        """
        frames = (frame for frame in self if frame.pts_s >= start_s)
        for index, frame in enumerate(frames):
            yield replace(frame, index=index, gap=frame.gap or index == 0)

    def scale_by(self, used: Range) -> None:
        """Scale values of more than 8 bits so from the next frame on: as a RUN learned them."""
        self.used = used

    def table(self) -> Table | None:
        """Where every frame lies, without decoding any; None where that cannot be said: live
        sources, files without stamps, and whatever looks damaged."""
        return None

    def frames_at(self, place: Place) -> Iterator[Frame]:
        """The frames of a file or folder from a place of its `table` on, with the numbers and
        stamps that they have in the whole; the first never has `gap`.

        None at all where the file is not as its table says.
        """
        raise NotImplementedError(f"{type(self).__name__} has no table of its frames")

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise SourceError(
                f"The source {self.info.name} is closed already. Open it again with open_source."
            )
        return self._frames()

    def close(self) -> None:
        """Release the file or device; iterations that are under way end."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Later(Source):
    """A source from a time on."""

    def __init__(self, source: Source, start_s: float) -> None:
        super().__init__(replace(source.info, frames=None))
        self._source, self._start_s = source, start_s

    def scale_by(self, used: Range) -> None:
        """As `Source.scale_by`."""
        self._source.scale_by(used)

    def _frames(self) -> Iterator[Frame]:
        return self._source.frames_from(self._start_s)


def sort_frames(paths: Sequence[Path]) -> list[Path]:
    """Sort frame files by the number in their name, or naturally where names have several.

    With exactly one number in every name the number alone decides (`b2.jpg` before `a10.jpg`).
    """
    groups = [re.findall(r"[0-9]+", p.stem) for p in paths]
    if all(len(g) == 1 for g in groups):
        order = {p: int(g[0]) for p, g in zip(paths, groups, strict=True)}
        return sorted(paths, key=lambda p: (order[p], p.name))
    return naturally(paths, lambda p: p.stem)


def describe_folder(folder: Path) -> str:
    """Say in a few words what a folder holds, for error messages."""
    names = naturally([p for p in entries(folder) if not is_junk(p)], lambda p: p.name)
    if not names:
        return "it is empty"
    shown = ", ".join(p.name + ("/" if p.is_dir() else "") for p in names[:6])
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"it holds {shown}{more}"


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silence OpenCV and FFmpeg inside: what they would print, our errors say in words.

    FFmpeg's level is read by OpenCV once per process, at the first capture that is opened.
    """
    before = cv2.utils.logging.getLogLevel()
    variable = "OPENCV_FFMPEG_LOGLEVEL"
    unset = variable not in os.environ
    if unset:
        os.environ[variable] = "-8"  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
        if unset:
            os.environ.pop(variable, None)
