"""One video file of a camera that is recorded: frames at their own times, a name once it is whole.

What waits to be written is in `All`.

    tape = Tape(folder, "2026-01-31T18-00-00Z", first.image, width=640)
    tape.write(frame), ...
    tape.finish()                           # or tape.drop()

H.264 and not VP8, as clips have it: of the same size it is nearer to what the camera gave.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from oddframe.errors import RunError
from oddframe.pictures import Image
from oddframe.runtime.watch.feed import Bell, Feed, LiveFrame
from oddframe.sources.stamps import DEFAULT_FPS
from oddframe.types import Frame

KINDS = (
    ("libx264", ".mp4", {"preset": "superfast", "crf": "20", "bf": "0"}),
    ("libvpx", ".webm", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "4M"}),
)
"""(encoder, suffix, its options): the first that this PyAV can encode is taken."""
CLOCK = Fraction(1, 90000)
"""Of stamps: with thousandths of a second a camera of 29.97 frames/s would have 30.3."""
KEY_EVERY = 50
"""Frames from key frame to key frame."""
UNFINISHED = ".unfinished-"
"""Begins the name of a file that is being written."""
MARK = "comment"
"""Tag of the container that says what was recorded."""

MOST_WAITING = 25
"""Frames of a burst that wait to be written: cameras send some at a time, pausing in between."""


class All(Feed):
    """A feed for who wants every frame, and not the newest: a burst of them waits."""

    def __init__(self, bell: Bell | None = None, pause_s: float = 1.0, live: bool = True) -> None:
        super().__init__(bell, pause_s, live)
        self._burst: deque[LiveFrame] = deque()
        """Before `_newest`, the oldest first."""

    def put(self, frame: LiveFrame) -> None:
        """Hand a frame on; of too many that wait, the newest is dropped."""
        with self._changed:
            if self._newest is not None and len(self._burst) < MOST_WAITING:
                self._burst.append(self._newest)
                self._newest = None
            super().put(frame)

    def take(self) -> LiveFrame | None:
        """The oldest frame, if there is one that was not taken."""
        with self._changed:
            if not self._burst:
                return super().take()
            newest, self._newest = self._newest, self._burst.popleft()
            try:
                return super().take()
            finally:
                self._newest = newest


class Tape:
    """One file that is being written."""

    def __init__(self, folder: Path, name: str, image: Image, width: int, mark: str = "") -> None:
        """image: the first picture, for its size; mark: stands in the file (`MARK`)."""
        self._encoder, suffix, options = _encoder()
        self._folder, self._name, self._suffix = folder, name, suffix
        self._path = folder / f"{UNFINISHED}{name}{suffix}"
        height, across = image.shape[:2]
        scale = min(1.0, width / across)
        # Codecs want even sides.
        self._size = max(2, round(across * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
        self._container = av.open(f"file:{self._path}", "w", format=suffix[1:])
        if mark:
            self._container.metadata[MARK] = mark
        stream = self._container.add_stream(self._encoder, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = self._size
        stream.codec_context.time_base = CLOCK
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = KEY_EVERY
        self._stream = stream
        self.frames = 0
        self._first_s = self._last_s = 0.0
        self._stamp = -1

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        if self.frames < 2:
            return self.frames / DEFAULT_FPS
        return (self._last_s - self._first_s) * self.frames / (self.frames - 1)

    def write(self, frame: Frame) -> None:
        """The next frame, at its own time."""
        if not self.frames:
            self._first_s = frame.pts_s
        stamp = round((frame.pts_s - self._first_s) / CLOCK)
        if stamp <= self._stamp:
            return
        self._stamp, self._last_s = stamp, frame.pts_s
        self.frames += 1
        image = frame.image
        if image.shape[1::-1] != self._size:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA))
        made = av.VideoFrame.from_ndarray(image, "bgr24")
        made.pts, made.time_base = stamp, CLOCK
        self._container.mux(self._stream.encode(made))

    def finish(self) -> Path:
        """Write its end, and give it its name."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        path, number = self._folder / f"{self._name}{self._suffix}", 1
        while path.exists():
            number += 1
            # Behind the first, however names are sorted.
            path = self._folder / f"{self._name}_{number}{self._suffix}"
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        self._path.rename(path)
        return path

    def drop(self) -> None:
        """Throw it away."""
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._container.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _encoder() -> tuple[str, str, dict[str, str]]:
    for encoder, suffix, options in KINDS:
        with contextlib.suppress(ValueError):  # UnknownCodecError: this build has none
            if av.codec.Codec(encoder, "w").is_encoder:
                return encoder, suffix, options
    raise RunError("This PyAV encodes neither H.264 nor VP8. The wheel does: pip install av.")
