"""Cameras and network streams: a thread reads all that comes, the newest frame is handed on.

A consumer that is slower than the camera gets fewer frames, never older ones.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing

import av.error
import cv2
import numpy as np

from oddframe.errors import SourceError
from oddframe.pictures import Picture, Plain
from oddframe.sources.base import Source, quiet_opencv
from oddframe.sources.convert import Converter, Decoded
from oddframe.sources.decode import Decoder, Lost
from oddframe.sources.packets import Opened, open_stream
from oddframe.sources.stamps import valid_fps
from oddframe.sources.urls import shown
from oddframe.types import Frame, SourceInfo

SILENCE_S = 1.0
"""A camera whose frames are stamped as they come has paused where none came for so long."""
OPTIONS = {"rtsp_transport": "tcp"}
"""By UDP, which FFmpeg tries first, a lost packet is a broken picture."""

Seen = tuple[Picture, float, bool]
"""A picture, its seconds since the first one, and whether a gap is before it."""


class LiveSource(Source):
    """What cameras and network streams share: `_pictures`, read by a thread of its own.

    Iterating gives the newest picture that was not given yet, and waits where there is none. A
    stream that ends or is silent for `timeout_s` raises SourceError: it is never taken for a file
    that is over. `Frame.index` counts what the source gave, so that it jumps over what was
    dropped.
    """

    live = True

    def __init__(self, name: str, timeout_s: float) -> None:
        """Start reading, and wait for the first picture.

        Raises:
            SourceError: none came.
        """
        self._timeout_s = timeout_s
        self._name = name
        self._news = threading.Condition()
        self._newest: Frame | None = None
        self._error: SourceError | None = None
        self._given = -1
        self.dropped = 0
        """Frames that came and were not handed on, because newer ones had come."""
        self.lost = Lost()
        self._stopped = False
        # A daemon: a driver or server that never answers must not keep the program from ending.
        self._thread = threading.Thread(target=self._read, name="oddframe-live", daemon=True)
        self._thread.start()
        with self._news:
            first = self._wait()
            self._newest = first  # it is still to be given
        height, width = first.image.shape[:2]
        super().__init__(SourceInfo(name, width, height, self._rate(), None))

    @abstractmethod
    def _pictures(self) -> Iterator[Seen]:
        """All pictures as they come; raises SourceError where no more will."""

    @abstractmethod
    def _rate(self) -> float:
        """Frames per second, once the first picture has come."""

    def _read(self) -> None:
        error = SourceError(f"{self._name} ended.")
        try:
            with closing(self._pictures()) as pictures:  # type: ignore[type-var]
                for index, (picture, pts_s, gap) in enumerate(pictures):
                    if self._stopped:
                        return
                    self._put(Frame(index, pts_s, picture, gap, time.monotonic()))
        except SourceError as found:
            error = found
        except Exception as found:  # whatever it was, the consumer must not wait for ever
            error = SourceError(f"{self._name}: reading failed ({type(found).__name__}).")
        with self._news:
            self._error = error
            self._news.notify_all()

    def _put(self, frame: Frame) -> None:
        with self._news:
            if self._newest is not None and self._newest.index > self._given:
                self.dropped += 1
                # The gap before a frame that nobody saw is before the next one as well.
                if self._newest.gap and not frame.gap:
                    frame = Frame(frame.index, frame.pts_s, frame.picture, True, frame.arrived_s)
            self._newest = frame
            self._news.notify_all()

    def _wait(self) -> Frame:
        """The newest frame that was not given yet; called with `_news` held."""
        until = time.monotonic() + self._timeout_s
        while self._newest is None or self._newest.index <= self._given:
            if self._error is not None:
                raise self._error
            left = until - time.monotonic()
            if left <= 0:
                raise SourceError(
                    f"{self._name} gave no picture within {self._timeout_s:g} s. Check the camera, "
                    "its address and password, and that no other program uses it."
                )
            self._news.wait(left)
        return self._newest

    def _frames(self) -> Iterator[Frame]:
        while not self._closed:
            with self._news:
                frame = self._wait()
                self._given = frame.index
            yield frame

    def close(self) -> None:
        """Stop reading; the thread ends with the picture that it waits for."""
        super().close()
        self._stopped = True
        with self._news:
            self._error = self._error or SourceError(f"{self._name} was closed.")
            self._news.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(min(1.0, self._timeout_s))


class NetworkStream(LiveSource):
    """A stream by its address, read by PyAV."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address = address
        self._opened: Opened | None = None
        super().__init__(shown(address), timeout_s)

    def _pictures(self) -> Iterator[Seen]:
        try:
            opened = open_stream(self._address, self._timeout_s, OPTIONS)
        except (av.error.FFmpegError, OSError, ValueError, SourceError) as error:
            raise SourceError(
                f"{self._name} cannot be opened: {_said(error, self._timeout_s)}. Check address "
                "and password, and that it is the address of a video stream."
            ) from None
        self._opened = opened
        count = 0
        try:
            decoder = Decoder(opened, 1 / opened.rate())
            by: Converter | None = None
            for frame, pts_s, gap in decoder:
                by = by or Converter(frame.width, frame.height)
                self.lost, count = decoder.lost, count + 1
                yield Decoded(frame, by), pts_s, gap
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(
                f"{self._name} was lost after {count} frames: {_said(error, self._timeout_s)}."
            ) from None
        finally:
            opened.container.close()
        if not count:
            raise SourceError(
                f"{self._name} opened but gave no picture. Check that the address is that of a "
                "video stream."
            )
        raise SourceError(f"{self._name} ended after {count} frames.")

    def _rate(self) -> float:
        return self._opened.rate() if self._opened else valid_fps(0)


class Webcam(LiveSource):
    """A camera by its index, read by OpenCV; its frames are stamped as they come."""

    def __init__(self, index: int, timeout_s: float) -> None:
        self._index = index
        self._fps = 0.0
        super().__init__(f"Camera {index}", timeout_s)

    def _pictures(self) -> Iterator[Seen]:
        with quiet_opencv():
            capture = cv2.VideoCapture(self._index)
        try:
            if not capture.isOpened():
                raise SourceError(
                    f"{self._name} cannot be opened. Check that it is plugged in, its index, and "
                    "that you may read /dev/video*."
                )
            self._fps = capture.get(cv2.CAP_PROP_FPS)
            yield from self._stamped(lambda: _grab(capture))
        finally:
            capture.release()

    def _stamped(self, grab: Callable[[], np.ndarray | None]) -> Iterator[Seen]:
        start = before = -1.0
        while (image := grab()) is not None:
            now = time.monotonic()
            start = now if start < 0 else start
            # A driver's own stamps differ between drivers.
            gap = before >= 0 and now - before > SILENCE_S
            before = now
            yield Plain(np.asarray(image, np.uint8)), now - start, gap
        if before < 0:
            raise SourceError(
                f"{self._name} opened but gave no picture. Check that no other program uses it."
            )
        raise SourceError(f"{self._name} gives no more pictures: was it unplugged?")

    def _rate(self) -> float:
        return valid_fps(self._fps)


def _grab(capture: cv2.VideoCapture) -> np.ndarray | None:
    ok, image = capture.read()
    return image if ok else None


def _said(error: Exception, timeout_s: float) -> str:
    """What went wrong, without the address that FFmpeg puts into its messages."""
    if isinstance(error, av.error.ExitError):  # how the time limit shows
        return f"nothing answered within {timeout_s:g} s"
    if isinstance(error, SourceError):
        return str(error)
    return getattr(error, "strerror", None) or type(error).__name__
