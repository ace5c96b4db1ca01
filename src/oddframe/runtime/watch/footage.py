"""Files as a camera: a video, a folder of frames, a folder of videos one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from oddframe.errors import SourceError
from oddframe.sources import VIDEO_SUFFIXES, Reading, connection, open_as
from oddframe.sources.images import list_images
from oddframe.sources.live import Seen
from oddframe.sources.names import entries, is_file, is_junk, naturally
from oddframe.sources.stamps import DEFAULT_FPS
from oddframe.sources.urls import safe
from oddframe.sources.why import Trouble

Spec = str | Path | int


class Connection(Protocol):
    """What a reader reads: a stream, a device or footage."""

    @property
    def name(self) -> str:
        """Without passwords."""

    @property
    def packets(self) -> int:
        """What came so far, decoded or not: a sign of life before the first picture."""

    def pictures(self) -> Iterator[Seen]:
        """Open it and give all pictures; a stream ends with `Trouble`."""


def connect(spec: Spec, reading: Reading) -> Connection:
    """What a source is read by, not open yet; see `open_source` for what it may be.

    Raises:
        SourceError: streams of this kind are not known.
    """
    return connection(spec, reading) or Footage(spec, reading)


def videos_in(spec: Spec) -> list[Path]:
    """The video files of a folder that holds no frames, in order; none where it is no such."""
    folder = Path(str(spec))
    if not folder.is_dir() or list_images(folder):
        return []
    found = [p for p in entries(folder) if p.suffix.lower() in VIDEO_SUFFIXES and not is_junk(p)]
    return naturally([p for p in found if is_file(p)], lambda p: p.name)


class Footage:
    """Files as one camera; between two there is a gap."""

    def __init__(self, spec: Spec, reading: Reading) -> None:
        self.name = safe(spec)
        self.fps = 0.0
        self.packets = 0
        self.passed_over: list[str] = []
        """What was said of videos of a folder that cannot be read."""
        self._spec, self._reading = spec, reading

    def pictures(self) -> Iterator[Seen]:
        """All pictures; stamps grow over all files.

        Raises:
            Trouble: a file is not there or cannot be read; of a folder of videos, none can.
        """
        several: Sequence[Spec] = videos_in(self._spec)
        begins_s = 0.0
        for spec in several or [self._spec]:
            after_s = begins_s
            try:
                for seen in self._of(spec, begins_s):
                    after_s = seen[1] + 1 / (self.fps or DEFAULT_FPS)
                    yield seen
            except SourceError as error:
                self._judge(error, several)
            begins_s = after_s

    def _of(self, spec: Spec, begins_s: float) -> Iterator[Seen]:
        with open_as(spec, self._reading) as source:
            self.fps = 0.0 if source.info.assumed else source.info.fps
            for count, frame in enumerate(source):
                self.packets += 1
                gap = frame.gap or (count == 0 and begins_s > 0)
                yield frame.picture, begins_s + frame.pts_s, gap

    def _judge(self, error: SourceError, several: Sequence[Spec]) -> None:
        """Go on with the next video of a folder; one by itself is lost."""
        self.passed_over.append(str(error))
        if len(self.passed_over) >= max(len(several), 1):
            there = Path(str(self._spec)).exists()
            raise Trouble("codec_unsupported" if there else "not_found", str(error))
