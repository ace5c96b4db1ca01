"""Video files, cameras and network streams, read by OpenCV."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from oddframe.errors import SourceError
from oddframe.sources.base import Source, quiet_opencv, valid_fps
from oddframe.sources.container import is_iso_media, knows_its_frames, skipped_seconds
from oddframe.types import Frame, SourceInfo

# A container may count one or two frames more than its decoder gives.
SHORT_FRAMES = 2
SHORT_SHARE = 0.01


def _open_file(path: Path) -> cv2.VideoCapture:
    """Open a video file with FFmpeg; raises SourceError where it is no video."""
    with quiet_opencv():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if capture.isOpened():
        return capture
    size = path.stat().st_size
    if size == 0:
        found = "the file is empty"
    elif is_iso_media(path):
        found = (
            f"it is an mp4 of {size} bytes without a readable index (moov): a recording or copy "
            "that was cut off, which cannot be repaired"
        )
    else:
        found = f"its {size} bytes are no video that FFmpeg knows"
    raise SourceError(
        f"Cannot open {path} as a video: {found}. Copy or record it again, or convert it to mp4."
    )


def _clock(capture: cv2.VideoCapture, first_ms: float, last_s: float, fps: float) -> float:
    """Position of the frame just read in seconds from the first one, always increasing.

    Some containers give no stamp for the last frames, which OpenCV reports as 0: then one
    frame period is added.
    """
    pts_s = (capture.get(cv2.CAP_PROP_POS_MSEC) - first_ms) / 1000
    return pts_s if pts_s > last_s else last_s + 1 / fps


class VideoFile(Source):
    """A video file; its number of frames is only known after decoding it."""

    def __init__(self, path: Path, allow_short: bool = False) -> None:
        """Open and decode the first frame.

        Args:
            path: the file.
            allow_short: accept a file that ends before the number of frames it declares.
        """
        self._path = path
        self._allow_short = allow_short
        capture = _open_file(path)
        try:
            with quiet_opencv():
                ok, image = capture.read()
            if not ok or image is None:
                raise SourceError(
                    f"No frame of {path} can be decoded, though it opens as a video. "
                    "It is damaged or in a codec that is missing here; convert it to H.264 mp4."
                )
            self._declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            fps = valid_fps(capture.get(cv2.CAP_PROP_FPS))
        finally:
            capture.release()
        height, width = image.shape[:2]
        super().__init__(SourceInfo(path.stem, width, height, fps, None))

    @property
    def frame_hint(self) -> int | None:
        """The container's own count: a hint, wrong by a few frames in many files."""
        return self._declared if self._declared > 0 else None

    def _frames(self) -> Iterator[Frame]:
        capture = _open_file(self._path)
        index, first_ms, pts_s = 0, 0.0, 0.0
        try:
            while not self._closed:
                ok, image = capture.read()
                if not ok:
                    self._check_length(index, pts_s)
                    return
                if index == 0:
                    first_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
                else:
                    pts_s = _clock(capture, first_ms, pts_s, self.info.fps)
                yield Frame(index, pts_s, np.asarray(image, np.uint8))
                index += 1
        finally:
            capture.release()

    def count_frames(self) -> int:
        """Decode the whole file and count its frames, checking its length as iteration does.

        Takes the time of decoding (about 1 ms a frame at 360p), but nothing else is certain.
        """
        capture = _open_file(self._path)
        count, first_ms, pts_s = 0, 0.0, 0.0
        try:
            while capture.grab():
                if count == 0:
                    first_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
                else:
                    pts_s = _clock(capture, first_ms, pts_s, self.info.fps)
                count += 1
        finally:
            capture.release()
        self._check_length(count, pts_s)
        return count

    def _check_length(self, decoded: int, last_pts_s: float) -> None:
        """Raise SourceError where clearly fewer frames came than the container declares."""
        fps = self.info.fps
        expected = self._declared - skipped_seconds(self._path) * fps
        tolerance = max(SHORT_FRAMES, SHORT_SHARE * expected)
        if self._allow_short or self._declared <= 0 or expected - decoded <= tolerance:
            return
        # Where the count is only duration x fps (mkv, ts, …) a file of variable rate has fewer
        # frames than that and is still complete: there the end must also come too early.
        played = (last_pts_s + 1 / fps) * fps
        if not knows_its_frames(self._path) and expected - played <= tolerance:
            return
        raise SourceError(
            f"{self._path} declares {self._declared} frames, but only {decoded} can be decoded: "
            "the file is truncated or damaged. Copy it again; to use what is there, say "
            "--allow-short (oddframe score) or allow_short=True (open_source)."
        )


class LiveVideo(Source):
    """A camera or network stream: read once, frames stamped as they come.

    The iteration ends when the stream ends or is lost (OpenCV does not tell which).
    """

    live = True

    def __init__(self, spec: int | str, timeout_s: float) -> None:
        """Open and read the first frame.

        Args:
            spec: camera index or URL.
            timeout_s: limit for opening a URL and for every read of it.
        """
        self._spec = spec
        # Messages and names go to logs: the password of rtsp://user:password@host must not.
        self._shown = re.sub(r"//[^/@]*@", "//***@", str(spec))
        self._capture = self._open(timeout_s)
        with quiet_opencv():
            ok, image = self._capture.read()
        if not ok or image is None:
            self._capture.release()
            raise SourceError(
                f"{self._name()} opened but gave no picture. Check that no other program uses it "
                "and that the address is that of a video stream."
            )
        self._first = np.asarray(image, np.uint8)
        self._start_s = time.monotonic()
        self._first_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        self._index, self._pts_s = 0, 0.0
        height, width = self._first.shape[:2]
        fps = valid_fps(self._capture.get(cv2.CAP_PROP_FPS))
        super().__init__(SourceInfo(self._shown, width, height, fps, None))

    def _name(self) -> str:
        return f"Camera {self._spec}" if isinstance(self._spec, int) else self._shown

    def _open(self, timeout_s: float) -> cv2.VideoCapture:
        with quiet_opencv():
            if isinstance(self._spec, int):
                capture = cv2.VideoCapture(self._spec)
                hint = "Check that it is plugged in, its index, and that you may read /dev/video*"
            else:
                timeout_ms = max(1, round(timeout_s * 1000))
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms]
                limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
                capture = cv2.VideoCapture(self._spec, cv2.CAP_FFMPEG, limits)
                hint = f"Nothing usable answered within {timeout_s:g} s: check address and password"
        if not capture.isOpened():
            raise SourceError(f"{self._name()} cannot be opened. {hint}.")
        return capture

    def _frames(self) -> Iterator[Frame]:
        while not self._closed:
            if self._index == 0:
                yield self._next(self._first)
                continue
            ok, image = self._capture.read()
            if not ok or image is None:
                return
            if isinstance(self._spec, int):  # a camera's own stamps differ between drivers
                now_s = time.monotonic() - self._start_s
                self._pts_s = max(now_s, self._pts_s + 1e-6)
            else:
                self._pts_s = _clock(self._capture, self._first_ms, self._pts_s, self.info.fps)
            yield self._next(np.asarray(image, np.uint8))

    def _next(self, image: np.typing.NDArray[np.uint8]) -> Frame:
        self._index += 1
        return Frame(self._index - 1, self._pts_s, image)

    def close(self) -> None:
        """Release the device or connection."""
        super().close()
        self._capture.release()
