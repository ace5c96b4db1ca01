"""Frames as plain numbers in one .npy file, (n, h, w, 3) BGR or (n, h, w, 1) grey, uint8.

What `oddframe data prepare` writes: reading a frame is copying it out of a memory map. The rate
stands in a line of JSON behind the numbers, where numpy does not look.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from oddframe.errors import SourceError
from oddframe.pictures import Plain
from oddframe.sources.base import Source
from oddframe.sources.stamps import DEFAULT_FPS, valid_fps
from oddframe.sources.table import Place, Table
from oddframe.types import Frame, SourceInfo

SUFFIX = ".npy"


def write_header(file: IO[bytes], shape: tuple[int, int, int, int]) -> None:
    """Write the header of a .npy of that shape; it has the same length for any number of frames."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def write_rate(file: IO[bytes], fps: float | None) -> None:
    """Write the rate behind the last frame; None where nothing says it."""
    file.write(json.dumps({"fps": fps}).encode() + b"\n")


class ArrayFile(Source):
    """A .npy file of frames of one video."""

    def __init__(self, path: Path, fps: float | None = None) -> None:
        """Map the file; raises SourceError where it holds no frames or was cut short."""
        try:
            frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise SourceError(
                f"{path} is no .npy file of frames, or was cut short: {error}. Make it again with "
                "`oddframe data prepare`."
            ) from None
        shape, kind = frames.shape, frames.dtype
        if kind != np.uint8 or len(shape) != 4 or shape[-1] not in (1, 3) or not frames.size:
            raise SourceError(
                f"{path} has shape {shape} and type {kind}; expected frames of a video, "
                "(n, h, w, 3) BGR or (n, h, w, 1) grey, uint8."
            )
        self._data: NDArray[np.uint8] = frames
        known = _rate(path, frames.offset + frames.size) or fps
        rate = DEFAULT_FPS if known is None else known
        info = SourceInfo(path.stem, shape[2], shape[1], rate, shape[0], assumed=known is None)
        super().__init__(info)

    def frames_from(self, start_s: float) -> Iterator[Frame]:
        """As `Source.frames_from`, without reading those before."""
        first = min(max(0, math.ceil(start_s * self.info.fps - 1e-6)), len(self._data))
        for frame in self._read(first):
            yield replace(frame, index=frame.index - first, gap=frame.index == first)

    def table(self) -> Table:
        """As `Source.table`."""
        count = len(self._data)
        return Table(np.arange(count) / self.info.fps, np.zeros(count, bool))

    def frames_at(self, place: Place) -> Iterator[Frame]:
        """As `Source.frames_at`, without reading those before."""
        return self._read(place.frame)

    def _frames(self) -> Iterator[Frame]:
        return self._read(0)

    def _read(self, first: int) -> Iterator[Frame]:
        for index, stored in enumerate(self._data[first:], first):
            if self._closed:
                return
            image = np.array(stored)
            if image.shape[-1] == 1:
                image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
            yield Frame(index, index / self.info.fps, Plain(image))


def _rate(path: Path, end: int) -> float | None:
    with path.open("rb") as file:
        file.seek(end)
        try:
            found = json.loads(file.read(256))["fps"]
            return None if found is None else valid_fps(float(found))
        except (ValueError, KeyError, TypeError):
            return None  # an array that someone else saved
