"""Decoded frames as pictures of a size, straight from their planes (swscale).

frame -> scaled planes -> BGR
"""

from __future__ import annotations

import threading
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from oddframe.pictures import Image
from oddframe.sources.depth import Deep, Range, say_unknown, to_8_bits

SPACES, UNSAID = (0, 1, 2, 4, 5, 6, 7, 9), 2
"""Colour spaces (ISO/IEC 23091-2) that can be converted, and the one of frames that name none."""
RANGES, UNSAID_RANGE = (0, 1, 2), 0
THREADS = 1
"""Of a conversion: handing a small picture to several takes as long again as the work."""


class Converter:
    """How the frames of one source become numbers; any thread may ask."""

    def __init__(
        self, width: int, height: int, used: Range | None = None, live: str | None = None
    ) -> None:
        """width, height: of whole pictures, upright. used: how values of more than 8 bits are
        scaled. live: name of a live source, of which nobody can see beforehand what values are in
        use."""
        self.width, self.height, self.used, self._live = width, height, used, live
        self._local = threading.local()  # FFmpeg's scalers are not to be shared

    def convert(self, frame: av.VideoFrame, width: int, height: int) -> Image:
        """(height, width, 3) BGR, by the means of areas.

        Planes are scaled as they are and the small picture is converted: in one go FFmpeg rounds
        more coarsely (1.1 of 255 on noise, against 0.3), and takes longer.
        """
        if self.used is not None and is_deep(frame):
            grey = to_8_bits(self._deep(frame, width, height), self.used)
            return np.ascontiguousarray(np.broadcast_to(grey[..., None], (*grey.shape, 3)))
        if self._live is not None and is_deep(frame):
            say_unknown(self._live)
            self._live = None  # once
        # A claim that nobody can follow, damaged or rare, is no reason to have no picture.
        if frame.colorspace not in SPACES:
            frame.colorspace = UNSAID
        if frame.color_range not in RANGES:
            frame.color_range = UNSAID_RANGE
        scaler, painter = self._tools(width, height)
        if (frame.width, frame.height) != (width, height):
            frame = scaler.reformat(
                frame, width, height, interpolation=Interpolation.AREA, threads=THREADS
            )
        painted = painter.reformat(frame, format="bgr24", threads=THREADS)
        return np.ascontiguousarray(painted.to_ndarray(), np.uint8)

    def _deep(self, frame: av.VideoFrame, width: int, height: int) -> Deep:
        """(height, width) as the camera measured it."""
        values = as_measured(frame)
        if values.shape == (height, width):
            return values
        resized = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.uint16)

    def _tools(self, width: int, height: int) -> tuple[VideoReformatter, VideoReformatter]:
        """This thread's scaler and converter of colours for a size.

        Setting one up for another size takes ten times as long as using it.
        """
        known: dict[tuple[int, int], tuple[VideoReformatter, VideoReformatter]]
        known = self._local.__dict__.setdefault("tools", {})
        if (width, height) not in known:
            known[width, height] = VideoReformatter(), VideoReformatter()
        return known[width, height]


class Decoded:
    """A decoded frame as a picture; numbers are made when somebody looks."""

    __slots__ = ("_by", "_frame", "_sized", "_turns")

    def __init__(self, frame: av.VideoFrame, by: Converter) -> None:
        self._frame, self._by = frame, by
        self._turns = quarter_turns(frame)
        self._sized: dict[int, Image] = {}

    def whole(self) -> Image:
        """(h, w, 3) BGR at the size of the source, upright."""
        width, height = self._by.width, self._by.height
        if self._turns % 2:
            width, height = height, width
        return self._upright(self._by.convert(self._frame, width, height))

    def at(self, size: int) -> Image:
        """(size, size, 3) BGR, straight from the decoded planes."""
        if size not in self._sized:
            self._sized[size] = self._upright(self._by.convert(self._frame, size, size))
        return self._sized[size]

    def scaled(self, width: int, height: int) -> Image:
        """(height, width, 3) BGR, upright, straight from the decoded planes."""
        if self._turns % 2:
            width, height = height, width
        return self._upright(self._by.convert(self._frame, width, height))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, in pixels."""
        return self._by.width, self._by.height

    def points(self, rows: int, columns: int) -> NDArray[np.uint8]:
        """(rows, columns) brightness of single pixels all over the picture, not turned upright.

        As decoded, nothing scaled or converted (0.02 ms at 720p on a free core).
        """
        frame = self._frame
        kind = frame.format
        if kind.is_rgb or kind.components[0].bits != 8 or not (kind.is_planar or is_grey(frame)):
            return points_of(self.whole(), rows, columns)
        plane = frame.planes[0]
        luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, abs(plane.line_size))
        return points_of(luma[: frame.height, : frame.width], rows, columns)

    def _upright(self, image: Image) -> Image:
        return np.ascontiguousarray(np.rot90(image, self._turns)) if self._turns else image


def points_of(image: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """(rows, columns) single pixels of a picture (h, w) or, of its green, (h, w, 3)."""
    down = np.linspace(0, image.shape[0] - 1, rows).astype(np.intp)
    along = np.linspace(0, image.shape[1] - 1, columns).astype(np.intp)
    found = image[np.ix_(down, along)]
    return np.ascontiguousarray(found if image.ndim == 2 else found[..., 1])


def is_grey(frame: av.VideoFrame) -> bool:
    """Whether a frame has brightness alone."""
    return len(frame.format.components) == 1


def is_deep(frame: av.VideoFrame) -> bool:
    """Whether a frame is grey and of more than 8 bits, as thermal cameras make them."""
    return is_grey(frame) and frame.format.components[0].bits > 8


def as_measured(frame: av.VideoFrame) -> Deep:
    """(h, w) values of a frame that is deep."""
    return np.asarray(frame.to_ndarray(format="gray16le"), np.uint16)


def quarter_turns(frame: Any) -> int:
    """Quarter turns against the clock that a camera held sideways asks for: 0 to 3."""
    return round(float(getattr(frame, "rotation", 0) or 0) / 90) % 4


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height of the picture that a frame shows upright."""
    size = frame.width, frame.height
    return size[::-1] if quarter_turns(frame) % 2 else size
