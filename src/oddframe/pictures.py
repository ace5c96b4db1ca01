"""A picture as it crosses module borders, and its one way to the size of a model.

    picture = Plain(image)          # or one that a source made of a decoded frame
    picture.whole(), picture.at(256)

Letters: h, w rows and columns.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture as OpenCV delivers it: (h, w, 3), BGR, uint8."""


class Picture(Protocol):
    """One picture, whole or at a square size; what is not asked for is not made."""

    def whole(self) -> Image:
        """(h, w, 3) BGR, at the size of its source."""

    def at(self, size: int) -> Image:
        """(size, size, 3) BGR by area; the aspect ratio is not kept, as in the papers."""


class Plain:
    """A picture that is there already, as numbers."""

    __slots__ = ("_image", "_sized")

    def __init__(self, image: Image) -> None:
        self._image = image
        self._sized: dict[int, Image] = {}

    def whole(self) -> Image:
        """The picture itself."""
        return self._image

    def at(self, size: int) -> Image:
        """`resize_bgr`, once for each size."""
        if size not in self._sized:
            self._sized[size] = resize_bgr(self._image, size)
        return self._sized[size]


def as_picture(picture: Image | Picture) -> Picture:
    """Numbers as a picture; a picture as it is."""
    return Plain(picture) if isinstance(picture, np.ndarray) else picture


def resize_bgr(image: Image, size: int) -> Image:
    """(h, w, 3) -> (size, size, 3) by area; the aspect ratio is not kept, as in the papers.

    Area means, not the bilinear samples of the older code: from 720p those skip two pixels of
    three, and the aliasing flickers in every frame difference.
    """
    if image.shape[:2] == (size, size):
        return image
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)
