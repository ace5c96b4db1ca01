"""Video files, read by PyAV: any container and codec that FFmpeg knows."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from oddframe.errors import SourceError
from oddframe.sources.base import Source
from oddframe.sources.container import is_iso_media, missing_bytes
from oddframe.sources.convert import Converter, Decoded, as_measured, is_deep, upright_size
from oddframe.sources.decode import NOTHING_S, Decoder, Found, Lost
from oddframe.sources.depth import SAMPLES, Deep, Range, range_of, say_outside
from oddframe.sources.packets import Opened, decoding_threads, open_stream
from oddframe.sources.stamps import is_steady, typical_step, valid_fps
from oddframe.sources.table import Place, Table, table_of
from oddframe.types import Frame, SourceInfo

LOOK = 2000
"""Packets whose stamps the rate is taken from."""
SEEK_BACK_S = (0.0, 2.0, 10.0, math.inf)
"""How far before a wanted time it is sought for, one after the other."""
SHORT_SHARE = 0.01
SHORT_FRAMES = 2
"""A file that is cut short must also lack so many of the frames that its header counts."""


class VideoFile(Source):
    """A video file; its number of frames is only known after decoding it.

    Damage is decoded past: the frames behind it come, the first of them with `gap`, and `lost`
    says what did not. A file whose container is longer than its bytes is refused at its end.
    """

    def __init__(self, path: Path, allow_short: bool = False, used: Range | None = None) -> None:
        """Open, look at the stamps, and decode the first frame.

        Args:
            path: the file.
            allow_short: accept a file that is cut short.
            used: how values of more than 8 bits are scaled, by default the values in use.

        Raises:
            SourceError: no video, or none of it can be decoded.
        """
        self._path = path
        self._allow_short = allow_short
        self.lost = Lost()
        with self._opened() as opened:
            stream = opened.stream
            self._header_s = _header_seconds(opened)
            self._declared = stream.frames or round(self._header_s * opened.rate())
            self._counts = bool(stream.frames)
            base = stream.time_base
            looked = [p.pts for p in islice(opened.packets(), LOOK) if p and p.pts is not None]
            self._stamped = bool(looked)
            step = typical_step(looked, base) if base else None
            fps = valid_fps(1 / step) if step else opened.rate()
            steady = base is None or is_steady(looked)
        self._step_s = 1 / fps
        with self._opened() as opened:
            decoder = Decoder(opened, self._step_s)
            first = next(iter(decoder), None)
            self._zero_s = decoder.zero_s
        if first is None:
            raise SourceError(
                f"No frame of {path} can be decoded, though it opens as a video. "
                "It is damaged or in a codec that is missing here; convert it to H.264 mp4."
            )
        width, height = upright_size(first[0])
        super().__init__(SourceInfo(path.stem, width, height, fps, None, steady=steady))
        if is_deep(first[0]):
            self.used = used or range_of(self._deep_samples())
            if used is not None:
                say_outside(path.name, self._deep_samples(), used)

    @contextmanager
    def _opened(self, threads: bool = False) -> Iterator[Opened]:
        try:
            # The prefix keeps `10:00.mp4` from being taken for an address.
            opened = open_stream(f"file:{self._path}", None, {}, threads)
        except (av.error.FFmpegError, OSError, ValueError, SourceError) as error:
            raise SourceError(
                f"Cannot open {self._path} as a video: {self._found(error)}. Copy or record it "
                "again, or convert it to mp4."
            ) from None
        try:
            yield opened
        finally:
            opened.container.close()

    def _found(self, error: Exception) -> str:
        """What a file that is no video is, as far as can be seen."""
        if isinstance(error, PermissionError):
            return "it may not be read by this user"
        if isinstance(error, SourceError):
            return str(error)
        try:
            size = self._path.stat().st_size
            is_mp4 = is_iso_media(self._path)
        except OSError as gone:  # a recorder deletes what is old, a disk fails
            return f"it is gone, or cannot be read any more ({gone.strerror})"
        if size == 0:
            return "the file is empty"
        if is_mp4:
            return (
                f"it is an mp4 of {size} bytes without a readable index (moov): a recording or "
                "copy that was cut off, which cannot be repaired"
            )
        return f"its {size} bytes are no video that FFmpeg knows"

    def _deep_samples(self) -> Iterator[Deep]:
        """Frames from all over the file, as they were measured."""
        for at_s in np.linspace(0, self.length_s, SAMPLES, endpoint=False):
            with closing(self._sought(float(at_s))) as found:
                for frame, pts_s, _ in found:
                    if pts_s >= at_s - NOTHING_S:
                        yield as_measured(frame)
                        break

    @property
    def frame_hint(self) -> int | None:
        """The container's own count: a hint, wrong by a few frames in many files."""
        return self._declared if self._declared > 0 else None

    @property
    def length_s(self) -> float:
        """By the header; where it says nothing, by the stamps of all packets. With its pauses."""
        if self._header_s > 0:
            return self._header_s
        last_s, count = -math.inf, 0
        with self._opened() as opened:
            for packet in opened.packets():
                count += 1
                if packet is not None and packet.pts is not None and packet.time_base:
                    last_s = max(last_s, float(packet.pts * packet.time_base))
        stamped = last_s - self._zero_s + self._step_s
        return max(stamped, 0.0) if math.isfinite(stamped) else count * self._step_s

    def frames_from(self, start_s: float) -> Iterator[Frame]:
        """As `Source.frames_from`, from the key frame before it on.

        Where a file cannot be sought in, it is decoded from its beginning.
        """
        by = Converter(self.info.width, self.info.height, self.used)
        index, end_s = 0, start_s
        with closing(self._sought(start_s)) as found:
            for frame, pts_s, gap in found:
                if pts_s >= start_s - NOTHING_S:
                    yield Frame(index, pts_s, Decoded(frame, by), gap or index == 0)
                    index, end_s = index + 1, pts_s + self._step_s
        if not self._closed:
            count = round(end_s / self._step_s)
            self._check_length(count, end_s, count)

    def table(self) -> Table | None:
        """As `Source.table`: reads the file once. None where bytes are missing, too."""
        if self._missing():
            return None
        with self._opened() as opened:
            return table_of(opened, self._step_s, self._zero_s)

    def frames_at(self, place: Place) -> Iterator[Frame]:
        """As `Source.frames_at`, from the key frame before it on."""
        by = Converter(self.info.width, self.info.height, self.used)
        index: int | None = None
        with closing(self._behind(place.key)) as found:
            for frame, pts_s, gap in found:
                if index is None and frame.pts != place.stamp:
                    continue
                index = place.frame if index is None else index + 1
                yield Frame(index, pts_s, Decoded(frame, by), gap and index > place.frame)

    def _behind(self, key: int | None) -> Generator[Found, None, None]:
        """Decoded frames from that of a key packet on."""
        for back_s in SEEK_BACK_S:
            with self._opened() as opened:
                at_s = 0.0 if key is None else key * float(opened.stream.time_base or 0)
                begun = self._seek(opened, at_s - self._zero_s - back_s)
                decoder = Decoder(opened, self._step_s, self._zero_s, key)
                try:
                    for found in decoder:
                        begun = False
                        if self._closed:
                            return
                        yield found
                finally:
                    self.lost = decoder.lost
                if not begun:  # it came, or it was looked for from the beginning
                    return

    def _sought(self, start_s: float) -> Generator[Found, None, None]:
        """Decoded frames from one before `start_s` on."""
        for back_s in SEEK_BACK_S:  # without an index FFmpeg lands near the place, or behind it
            with self._opened() as opened:
                begun = self._seek(opened, start_s - back_s)
                for frame, pts_s, gap in Decoder(opened, self._step_s, self._zero_s):
                    if self._closed:
                        return
                    if pts_s > start_s + NOTHING_S and begun:
                        break
                    begun = False
                    yield frame, pts_s, gap
                else:
                    if not begun:
                        return

    def _seek(self, opened: Opened, at_s: float) -> bool:
        """Go to the key frame before a time; False where the file is at its beginning."""
        base = opened.stream.time_base
        if not base or at_s <= 0 or not self._stamped:
            return False
        try:
            at = int((at_s + self._zero_s) / base)
            opened.container.seek(at, stream=opened.stream, backward=True)
        except (av.error.FFmpegError, ValueError):
            return False
        return True

    def _frames(self) -> Iterator[Frame]:
        by = Converter(self.info.width, self.info.height, self.used)
        for index, (frame, pts_s, gap) in enumerate(self._decoded()):
            yield Frame(index, pts_s, Decoded(frame, by), gap)

    def _decoded(self) -> Iterator[Found]:
        """All frames, not converted; checks the length at the end.

        By several threads until something is broken; then again from the beginning by one.
        """
        done = 0
        for threads in (True, False) if decoding_threads() != 1 else (False,):
            with self._opened(threads) as opened:
                decoder = Decoder(opened, self._step_s)
                count, end_s = 0, 0.0
                for found in decoder:
                    if self._closed:
                        return
                    if threads and decoder.damaged:
                        break
                    count, end_s = count + 1, found[1] + self._step_s
                    if count > done:
                        yield found
                        done = count
                if not (threads and decoder.damaged):
                    self.lost = decoder.lost
                    self._check_length(count, end_s, decoder.packets)
                    return

    def frame_times(self) -> NDArray[np.float64]:
        """Seconds (n,) of all frames, by decoding them; checks the length as iteration does.

        Takes the time of decoding, but nothing else is certain.
        """
        return np.array([pts_s for _, pts_s, _ in self._decoded()], np.float64)

    def _missing(self) -> int:
        """Bytes that the file lacks at its end."""
        try:
            return missing_bytes(self._path)
        except OSError as error:
            raise SourceError(
                f"{self._path} is gone, or cannot be read any more: {error.strerror}."
            ) from None

    def _check_length(self, decoded: int, end_s: float, packets: int) -> None:
        """Raise SourceError where bytes are missing, and with them frames."""
        if self._allow_short:
            return
        missing = self._missing()
        found = packets if self._counts else round(end_s / self._step_s)
        tolerance = max(SHORT_FRAMES, SHORT_SHARE * self._declared)
        if not missing or (self._declared > 0 and self._declared - found <= tolerance):
            return
        said = f"declares {self._declared} frames" if self._declared > 0 else "was longer"
        raise SourceError(
            f"{self._path} {said}, but only {decoded} can be decoded: {missing} bytes are missing "
            "at its end, the file is truncated or damaged. Copy it again; to use what is there, "
            "say --allow-short (in Python allow_short=True)."
        )


def _header_seconds(opened: Opened) -> float:
    """How long the pictures last by a header, 0 where it does not say."""
    stream, container = opened.stream, opened.container
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        # Matroska counts from 0, also of a segment whose clock begins later.
        begins = container.start_time or 0 if container.format.name.startswith("matroska") else 0
        seconds = (container.duration - begins) / av.time_base
    else:
        return 0.0
    return max(0.0, seconds)
