"""Folders of frames: 000.jpg, 001.jpg, … sorted by their number, never as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.errors import SourceError
from oddframe.pictures import Plain
from oddframe.sources.base import (
    IMAGE_SUFFIXES,
    Source,
    describe_folder,
    quiet_opencv,
    sort_frames,
)
from oddframe.sources.depth import (
    SAMPLES,
    WHOLE,
    Deep,
    Range,
    range_of,
    say_outside,
    to_8_bits,
)
from oddframe.sources.names import files_in
from oddframe.sources.stamps import DEFAULT_FPS
from oddframe.sources.table import Place, Table
from oddframe.types import Frame, Image, SourceInfo


def list_images(folder: Path) -> list[Path]:
    """The frame files directly in a folder, in order; hidden and junk files left out."""
    return sort_frames(files_in(folder, IMAGE_SUFFIXES))


def read_image(path: Path, used: Range = WHOLE) -> Image:
    """Read one picture as (h, w, 3) BGR uint8: grey repeated, alpha dropped.

    used: how 16-bit values are scaled: a thermal camera uses 1,000 of the 65,536.

    Raises SourceError naming the file where it is empty, cut short or no picture.
    """
    data = _stored(path)
    # Some OpenCV versions fill the rest of a cut JPEG with grey and say nothing.
    is_jpeg = data[:2].tobytes() == b"\xff\xd8"
    image = None
    if data.size and not (is_jpeg and b"\xff\xd9" not in data.tobytes()):
        with quiet_opencv():
            image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise SourceError(
            f"The picture {path} ({data.size} bytes) cannot be decoded: it is damaged, cut short "
            "or not an 8- or 16-bit picture. Copy it again, or take it out of the folder."
        )
    if image.dtype == np.uint16:
        return to_8_bits(np.asarray(image, np.uint16), used)
    return np.asarray(image, np.uint8)


def _stored(path: Path) -> NDArray[np.uint8]:
    """The bytes of a picture file."""
    try:
        # Not np.fromfile, which ends at a bad sector as at the end of the file.
        return np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise SourceError(f"The picture {path} cannot be read: {error.strerror}.") from error


def deep_samples(paths: Sequence[Path]) -> Iterator[Deep]:
    """Those of 16 bits among a sample of the pictures, as they are stored."""
    for i in np.unique(np.linspace(0, len(paths) - 1, SAMPLES).round().astype(int)):
        if (image := _of_16_bits(paths[i])) is not None:
            yield image


def _of_16_bits(path: Path) -> Deep | None:
    """A picture as it is stored, None where it has not 16 bits."""
    data = _stored(path)
    with quiet_opencv():
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    return None if image is None or image.dtype != np.uint16 else np.asarray(image, np.uint16)


class ImageFolder(Source):
    """A folder of pictures of one size, one per frame."""

    def __init__(self, folder: Path, fps: float | None = None, used: Range | None = None) -> None:
        """fps: the rate, if it is known. used: how 16-bit values are scaled, by default the values
        in use in this folder."""
        self._paths = list_images(folder)
        if not self._paths:
            raise SourceError(
                f"No frames in {folder}: expected png, jpg, bmp or tif pictures directly in it, "
                f"but {describe_folder(folder)}. Give a folder of frames or one video file."
            )
        looked_at = {self._paths[0], self._paths[len(self._paths) // 2], self._paths[-1]}
        deep = any(_of_16_bits(path) is not None for path in looked_at)
        self.used = used or (range_of(deep_samples(self._paths)) if deep else None)
        if deep and used is not None:
            say_outside(folder.name, deep_samples(self._paths), used)
        height, width = read_image(self._paths[0]).shape[:2]
        rate = DEFAULT_FPS if fps is None else fps
        info = SourceInfo(folder.name, width, height, rate, len(self._paths), assumed=fps is None)
        super().__init__(info)

    def frames_from(self, start_s: float) -> Iterator[Frame]:
        """As `Source.frames_from`, without reading those before."""
        first = min(max(0, math.ceil(start_s * self.info.fps - 1e-6)), len(self._paths))
        for frame in self._read(first):
            yield replace(frame, index=frame.index - first, gap=frame.index == first)

    def table(self) -> Table:
        """As `Source.table`."""
        count = len(self._paths)
        return Table(np.arange(count) / self.info.fps, np.zeros(count, bool))

    def frames_at(self, place: Place) -> Iterator[Frame]:
        """As `Source.frames_at`, without reading those before."""
        return self._read(place.frame)

    def _frames(self) -> Iterator[Frame]:
        return self._read(0)

    def _read(self, first: int) -> Iterator[Frame]:
        expected = (self.info.height, self.info.width)
        for index, path in enumerate(self._paths[first:], first):
            if self._closed:
                return
            image = read_image(path, self.used or WHOLE)
            height, width = image.shape[:2]
            if (height, width) != expected:
                raise SourceError(
                    f"Frames of two sizes in {path.parent}: {self._paths[0].name} is "
                    f"{self.info.width}x{self.info.height}, {path.name} is {width}x{height}. "
                    "Put frames of each camera into a folder of their own."
                )
            yield Frame(index, index / self.info.fps, Plain(image))
