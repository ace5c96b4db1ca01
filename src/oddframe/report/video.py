"""Videos for people to look at, written whole or not at all.

The overlay is every frame with its heat map, boxes around what raises the alarm, and a readout.

VP8 in WebM: of what a plain OpenCV can encode it is the only kind that browsers play (Chrome,
Firefox, Edge, Safari), and VLC and mpv do too. H.264 is not in OpenCV's wheels for licence reasons,
and MPEG-4 part 2 (`mp4v`), ten times faster to write, opens in players but in no browser. It is
the second choice, for an OpenCV without VP8.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from oddframe.errors import RunError
from oddframe.events.where import boxes, outlined
from oddframe.report.heat import overlay, strip_rows, with_status
from oddframe.sources.base import quiet_opencv
from oddframe.types import Frame, Image, Score, SourceInfo

KINDS = (("VP80", ".webm"), ("mp4v", ".mp4"))
"""(codec, suffix), the first that can be encoded here is taken."""
HISTORY_S = 8.0
"""Seconds of past scores in the readout's curve."""
CHECK_EVERY = 50
"""Frames between two looks at the free space of the disk."""
SPARE_BYTES = 2_000_000
ALPHA = 0.65
"""Opacity of the hottest places: what is odd has to stay visible below."""
UNCALIBRATED = 4.0
"""Stands for the threshold in the colours of a run that has none: 4 standard deviations."""


class VideoFile:
    """Writes pictures of one size to `FOLDER/NAME.webm`, whole or not at all.

        with VideoFile(out, "clip.maps", (width, height), fps) as video:
            video.append(image)

    An odd last row or column is doubled, since codecs want even sizes.

    Raises:
        RunError: no encoder, the folder cannot be written, or the disk is full; then, and after
        any error inside the `with`, nothing is left behind.
    """

    def __init__(self, folder: Path, name: str, size: tuple[int, int], fps: float) -> None:
        self._frames = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"Cannot make the folder {folder}: {error.strerror or error}. Choose another place."
            ) from None
        even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        with contextlib.ExitStack() as stack:
            door = stack.enter_context(_door(folder))
            self._writer, self._temporary, suffix = self._open(folder, door, name, even, fps)
            self._leave = stack.pop_all()
        self.path = folder / f"{name}{suffix}"

    def _open(
        self, folder: Path, door: Path, name: str, size: tuple[int, int], fps: float
    ) -> tuple[cv2.VideoWriter, Path, str]:
        for codec, suffix in KINDS:
            temporary = door / f".video.{secrets.token_hex(4)}{suffix}"
            with _quiet():
                writer = cv2.VideoWriter(
                    str(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size
                )
            if writer.isOpened():
                return writer, temporary, suffix
            temporary.unlink(missing_ok=True)
        writable = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > SPARE_BYTES
        reason = (
            "this OpenCV encodes neither VP8 nor MPEG-4 (the wheel opencv-python-headless does)"
            if writable
            else "the folder cannot be written or its disk is full"
        )
        raise RunError(f"Cannot write the video {name} in {folder}: {reason}.")

    def append(self, image: Image) -> None:
        """Append the next picture (h, w, 3) BGR."""
        with quiet_opencv():  # on a full disk it would print a line per frame
            self._writer.write(_even(image))
        self._frames += 1
        if self._frames % CHECK_EVERY == 0 and self._free() < SPARE_BYTES:
            raise self._full("is full")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.release()
        try:
            if exc_type is None:
                self._check()
                self._temporary.chmod(0o644)
                self._temporary.replace(self.path)
        except OSError as error:
            raise self._full(f"gave an error: {error.strerror or error}") from None
        finally:
            with contextlib.suppress(OSError):  # after a success it has its name already
                self._temporary.unlink()
            self._leave.close()

    def _check(self) -> None:
        """Count the frames really in the file: the encoder keeps quiet about a full disk."""
        found = 0
        with _quiet():
            capture = cv2.VideoCapture(str(self._temporary), cv2.CAP_FFMPEG)
            while capture.grab():
                found += 1
            capture.release()
        if found != self._frames:
            raise self._full(f"kept only {found} of {self._frames} frames, so it is probably full")

    def _free(self) -> int:
        return shutil.disk_usage(self.path.parent).free

    def _full(self, what: str) -> RunError:
        return RunError(
            f"The video {self.path} cannot be written: the disk {what} "
            f"({self._free() / 1e6:.0f} MB free). Free some space or choose another --out; "
            "nothing half-written was left behind."
        )


@contextlib.contextmanager
def _door(folder: Path) -> Iterator[Path]:
    """A way to a folder whose name OpenCV can take: it dies of names that are not UTF-8, and
    takes relative ones for addresses where they hold a colon.
    """
    folder = folder.absolute()
    try:
        str(folder).encode("utf8")
    except UnicodeEncodeError:
        handle = os.open(folder, os.O_RDONLY)
        try:
            yield Path(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)
    else:
        yield folder


class OverlayWriter(VideoFile):
    """Writes `FOLDER/STEM.overlay.webm`, whole or not at all.

        with OverlayWriter(out, "clip", source.info, detector.info.threshold) as video:
            for frame, score in detector.follow(source):
                video.write(frame, score)

    The picture keeps its size; the readout stands below it. The colours mean the same in every
    video of a run: clear below half the threshold, brightest from twice the threshold on. Heat that
    only just reaches it is pale, so from there on (level 1) what is hot has boxes, as in events.

    Raises:
        RunError: as `VideoFile`.
    """

    def __init__(self, folder: Path, stem: str, info: SourceInfo, threshold: float | None) -> None:
        self._threshold = threshold
        middle = UNCALIBRATED if threshold is None else threshold
        self._low, self._high = 0.5 * middle, 2.0 * middle
        self._history: deque[float] = deque(maxlen=max(2, round(HISTORY_S * info.fps)))
        size = (info.width, info.height + strip_rows(info.height))
        super().__init__(folder, f"{stem}.overlay", size, info.fps)

    def write(self, frame: Frame, score: Score) -> None:
        """Draw and append the next frame."""
        image = frame.image
        limit = self._threshold if score.threshold is None else score.threshold
        if score.heat is not None:
            image = overlay(image, score.heat, low=self._low, high=self._high, alpha=ALPHA)
            if score.alarm and limit is not None:
                h, w = image.shape[:2]
                image = outlined(image, boxes(score.heat, limit, w, h), w, h)
        self._history.append(score.score)
        image = with_status(
            image, score.score, score.level, score.alarm, score.pts_s,
            history=self._history, threshold=limit,
        )  # fmt: skip
        self.append(image)


def _even(image: Image) -> Image:
    """The picture with its last row or column doubled where their number is odd."""
    h, w = image.shape[:2]
    if h % 2 == 0 and w % 2 == 0:
        return image
    return np.asarray(cv2.copyMakeBorder(image, 0, h % 2, 0, w % 2, cv2.BORDER_REPLICATE), np.uint8)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence OpenCV, also what it prints past its own log ("tag VP80 is not supported")."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without stderr
        with quiet_opencv():
            yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        with quiet_opencv():
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
