"""Cameras and network streams: a thread reads all that comes, the newest frame is handed on.

A consumer that is slower than the camera gets fewer frames, never older ones.
"""

from __future__ import annotations

import statistics
import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

import av.error
import cv2
import numpy as np

from oddframe.errors import SourceError
from oddframe.pictures import Picture, Plain
from oddframe.sources.base import Source, quiet_opencv
from oddframe.sources.convert import Converter, Decoded, upright_size
from oddframe.sources.decode import Decoder, Lost
from oddframe.sources.depth import Range
from oddframe.sources.packets import Opened, open_stream
from oddframe.sources.stamps import PAUSE_STEPS, Usual, valid_fps
from oddframe.sources.urls import shown
from oddframe.sources.why import Trouble, said, why_of
from oddframe.types import Frame, SourceInfo

SILENCE_S = 1.0
"""A camera whose frames are stamped as they come has paused where none came for so long, and for
`PAUSE_STEPS` of its usual steps."""
OPTIONS = {"rtsp_transport": "tcp", "allowed_media_types": "video"}
"""By UDP, which FFmpeg tries first, a lost packet is a broken picture. Nobody listens to sound."""
QUICK = {"fpsprobesize": "0"}
"""Without frames that are looked at for their rate a camera of 20 frames/s is open after 0.5 s, not
1.6, and none of its pictures is old."""
CLOCKLESS = ("mpjpeg", "mjpeg", "h264", "hevc")
"""Formats whose stamps FFmpeg makes up, from a rate of 25 that nobody said."""
MEASURED = 8
"""Steps that a rate is measured on where nobody says it."""

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
        self._steps_s: list[float] = []
        """The first ones between frames."""
        self.dropped = 0
        """Frames that came and were not handed on, because newer ones had come."""
        self.lost = Lost()
        self._stopped = False
        # A daemon: a driver or server that never answers must not keep the program from ending.
        self._thread = threading.Thread(target=self._read, name="oddframe-live", daemon=True)
        self._thread.start()
        try:
            with self._news:
                first = self._wait()
                self._newest = first  # it is still to be given
                said = self._rate()
                known = said if 0 < said <= 1000 else self._measured()
            width, height = _size(first.picture)
            fps = valid_fps(known)
            super().__init__(SourceInfo(name, width, height, fps, None, assumed=not known))
        except BaseException:
            self._stopped = True  # nobody has anything to close: the connection would stay
            raise

    @abstractmethod
    def _pictures(self) -> Iterator[Seen]:
        """All pictures as they come; raises SourceError where no more will."""

    @abstractmethod
    def _rate(self) -> float:
        """Frames per second, once the first picture has come; 0 where nobody says it."""

    def _measured(self) -> float:
        """Frames per second by the first frames, 0 where no second one comes; with `_news` held."""
        until = time.monotonic() + self._timeout_s
        while len(self._steps_s) < MEASURED and self._error is None:
            left = until - time.monotonic()
            if left <= 0:
                break
            self._news.wait(left)
        return 1 / max(statistics.median(self._steps_s), 1e-3) if self._steps_s else 0.0

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
            if self._newest is not None and len(self._steps_s) < MEASURED and not frame.gap:
                self._steps_s.append(frame.pts_s - self._newest.pts_s)
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
            try:
                with self._news:
                    frame = self._wait()
                    self._given = frame.index
            except SourceError:
                if self._closed:  # from another thread, while this one waited
                    return
                raise
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


class Stream:
    """A stream by its address: one connection, without a thread or patience of its own."""

    def __init__(
        self, address: str, timeout_s: float, read_s: float | None = None,
        options: Mapping[str, str] = OPTIONS, used: Range | None = None,
    ) -> None:  # fmt: skip
        """timeout_s: limit for opening it. read_s: for every read, by default the same. options:
        FFmpeg's. used: how values of more than 8 bits are scaled."""
        self._address, self._timeout_s = address, timeout_s
        self._read_s = read_s or timeout_s
        self._options = dict(options)
        self.name = shown(address)
        self.fps = 0.0
        """By its header, once it is open; 0 where that does not say."""
        self.lost = Lost()
        self._decoder: Decoder | None = None
        self._used = used
        self._by: Converter | None = None

    def scale_by(self, used: Range) -> None:
        """As `Source.scale_by`; whoever looks at a picture that has come already sees it so too."""
        self._used = used
        if self._by is not None:
            self._by.used = used

    @property
    def packets(self) -> int:
        """What came so far, decoded or not."""
        return 0 if self._decoder is None else self._decoder.packets

    def pictures(self) -> Iterator[Seen]:
        """Connect, and give all pictures as they come.

        Where their size changes there is a gap. Streams without a clock of their own, as motion
        JPEG over HTTP, are stamped as they come.

        Raises:
            Trouble: at the end, always: no stream is over.
        """
        began_s = time.monotonic()
        try:
            opened = open_stream(self._address, self._timeout_s, self._options, read_s=self._read_s)
        except (av.error.FFmpegError, OSError, ValueError, SourceError) as error:
            late = time.monotonic() - began_s >= self._timeout_s
            cause = TimeoutError() if late else error  # half an answer is invalid data to FFmpeg
            raise Trouble(
                why_of(cause),
                f"{self.name} cannot be opened: {said(cause, self._timeout_s)}. Check address "
                "and password, and that it is the address of a video stream.",
            ) from None
        clockless = _is_clockless(opened)
        self.fps = 0.0 if clockless else opened.said_rate()
        count = 0
        try:
            found = self._found(opened)
            for seen in _stamped(found) if clockless else found:
                count += 1
                yield seen
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise Trouble(
                why_of(error),
                f"{self.name} was lost after {count} frames: {said(error, self._read_s)}.",
            ) from None
        finally:
            opened.container.close()
        if not count:
            raise Trouble(
                "codec_unsupported",
                f"{self.name} opened but gave no picture. Check that the address is that of a "
                "video stream.",
            )
        raise Trouble("ended", f"{self.name} ended after {count} frames.")

    def _found(self, opened: Opened) -> Iterator[Seen]:
        self._decoder = decoder = Decoder(opened, 1 / opened.rate())
        by: Converter | None = None
        for frame, pts_s, gap in decoder:
            size = upright_size(frame)
            if by is None or (by.width, by.height) != size:
                gap = gap or by is not None
                self._by = by = Converter(*size, self._used, self.name)
            self.lost = decoder.lost
            yield Decoded(frame, by), pts_s, gap


class Device:
    """A camera by its index, read by OpenCV; its frames are stamped as they come."""

    def __init__(self, index: int) -> None:
        self._index = index
        self.name = f"Camera {index}"
        self.fps = 0.0
        """By its driver, once it is open; 0 where that does not say."""
        self.packets = 0

    def pictures(self) -> Iterator[Seen]:
        """Open it, and give all pictures as they come.

        Raises:
            Trouble: at the end, always: no camera is over.
        """
        with quiet_opencv():
            capture = cv2.VideoCapture(self._index)
        count = 0
        try:
            if not capture.isOpened():
                raise Trouble(
                    "not_found",
                    f"{self.name} cannot be opened. Check that it is plugged in, its index, and "
                    "that you may read /dev/video*.",
                )
            self.fps = capture.get(cv2.CAP_PROP_FPS)
            for seen in _stamped(_grabbed(capture)):
                self.packets = count = count + 1
                yield seen
        finally:
            capture.release()
        if not count:
            raise Trouble(
                "connection_failed",
                f"{self.name} opened but gave no picture. Check that no other program uses it.",
            )
        raise Trouble("ended", f"{self.name} gives no more pictures: was it unplugged?")


class NetworkStream(LiveSource):
    """A stream by its address, read by PyAV."""

    def __init__(self, address: str, timeout_s: float, used: Range | None = None) -> None:
        self._stream = Stream(address, timeout_s, used=used)
        super().__init__(self._stream.name, timeout_s)
        self.used = used

    def scale_by(self, used: Range) -> None:
        """As `Source.scale_by`."""
        super().scale_by(used)
        self._stream.scale_by(used)

    def _pictures(self) -> Iterator[Seen]:
        for seen in self._stream.pictures():
            self.lost = self._stream.lost
            yield seen

    def _rate(self) -> float:
        return self._stream.fps


class Webcam(LiveSource):
    """A camera by its index, read by OpenCV; its frames are stamped as they come."""

    def __init__(self, index: int, timeout_s: float) -> None:
        self._device = Device(index)
        super().__init__(self._device.name, timeout_s)

    def _pictures(self) -> Iterator[Seen]:
        return self._device.pictures()

    def _rate(self) -> float:
        return self._device.fps


def _size(picture: Picture) -> tuple[int, int]:
    """Width and height; nothing is converted for it before it is known how."""
    if isinstance(picture, Decoded):
        return picture.size
    height, width = picture.whole().shape[:2]
    return width, height


def _stamped(found: Iterable[Seen]) -> Iterator[Seen]:
    """Pictures with the time of their arrival: a driver's own stamps differ between drivers."""
    start = before = -1.0
    usual = Usual(SILENCE_S / PAUSE_STEPS)
    for picture, _, gap in found:
        now = time.monotonic()
        start = now if start < 0 else start
        if before >= 0:
            gap = gap or now - before > max(SILENCE_S, PAUSE_STEPS * usual.step_s)
            usual.take(now - before)
        before = now
        yield picture, now - start, gap


def _is_clockless(opened: Opened) -> bool:
    """Whether stamps only count the pictures: raw JPEG or H.264 one behind the other."""
    return opened.container.format.name in CLOCKLESS


def _grabbed(capture: cv2.VideoCapture) -> Iterator[Seen]:
    while True:
        ok, image = capture.read()
        if not ok or image is None:
            return
        yield Plain(np.asarray(image, np.uint8)), 0.0, False
