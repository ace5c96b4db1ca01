"""Floors: three scores without any learning that a trained model has to clear.

Each floor is fed the frames of *one* video in order and looks back only. Frames are 256x256; other
sizes are resized by area first. Measured on Ped2 (2010 frames, those after the first 16 of each
clip, micro AUC in %; per-video min-max / no normalisation), and on a part of Avenue:

    floor         Ped2           Avenue part
    persistence   91.7 / 79.7    74.6 / 47.8
    blockdiff     93.0 / 89.8    60.3 / 46.6
    flowspeed     96.6 / 96.9    61.8 / 49.7

The border decides as much as the block: windows wholly inside the picture give blockdiff 87.8 and
flowspeed 97.4 without normalisation, a grid of blocks that do not overlap 79.5 and 95.1. The
mirrored border is the setting in which these floors are known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError
from oddframe.ops.flow import MIN_PX, dis_flow
from oddframe.pictures import resize_bgr
from oddframe.scoring.local import worst_region
from oddframe.types import Frame, Image, Map

SIZE_PX = 256
"""Working size of the floors: height and width."""
BLOCK_PX = 32
BLOCK_EVERY_PX = 8
"""blockdiff looks at every 8th position: that is what gives the figures it is known by."""
FLOW_BLOCK_PX = 24
FLOW_LAG = 2
"""flowspeed looks two frames back: 96.9 on Ped2, against 95.3, 96.6, 96.1 for 1, 3, 4."""


class Floor(Protocol):
    """A score without learning, with the state of one video."""

    def step(self, image: Image) -> float | None:
        """Take the next frame (h, w, 3) BGR; return its score, None while there is no past."""


def flow_speed(current: NDArray[np.uint8], past: NDArray[np.uint8], lag: int = FLOW_LAG) -> Map:
    """Speed at every place of the current grey frame (h, w), in px per frame: (h, w) float32.

    current, past: grey uint8 frames of one size, `lag` frames apart.
    """
    flow = dis_flow(current, past)  # h w 2, px per `lag` frames
    return np.asarray(cv2.magnitude(flow[..., 0], flow[..., 1]) / lag, dtype=np.float32)


class FlowSpeed:
    """Speed map of one video: DIS optical flow, fast preset, finest scale 1, looking back.

    The flow is computed *from* the current frame *to* the one `lag` frames before, so the map lies
    on the current picture (backward flow). With finest scale 2 and forward flow the AUC on Ped2
    fell from 96.9 to 82.5. About 5 ms of one core at 256x256; the same bits on any number of
    OpenCV threads.
    """

    def __init__(self, lag: int = FLOW_LAG) -> None:
        if lag < 1:
            raise ConfigError(f"FlowSpeed: lag must be at least 1 frame, not {lag}.")
        self.lag = lag
        self._past: deque[NDArray[np.uint8]] = deque(maxlen=lag)

    def step(self, gray: NDArray[np.uint8]) -> Map | None:
        """Take the next grey frame (h, w) uint8, at least 12 px a side; return px per frame.

        Returns (h, w) float32 >= 0, or None for the first `lag` frames. The frame is copied, so the
        caller may reuse its buffer. Raises ConfigError for another type or a changed size.
        """
        if gray.ndim != 2 or gray.dtype != np.uint8 or min(gray.shape) < MIN_PX:
            raise ConfigError(
                f"FlowSpeed takes grey uint8 frames (h, w) of at least {MIN_PX} px a side; "
                f"found {gray.dtype} {gray.shape}."
            )
        if self._past and self._past[0].shape != gray.shape:
            raise ConfigError(
                f"FlowSpeed: the frames were {self._past[0].shape}, this one is {gray.shape}; "
                "use one FlowSpeed per video."
            )
        current = gray.copy()
        full = len(self._past) == self.lag
        oldest = self._past[0] if full else None
        self._past.append(current)
        if oldest is None:
            return None
        return flow_speed(current, oldest, self.lag)


class Persistence:
    """Mean squared difference to the frame before, in grey levels² (0..65025)."""

    def __init__(self, size: int | None = SIZE_PX) -> None:
        self._size = size
        self._last: Image | None = None

    def step(self, image: Image) -> float | None:
        """Take the next frame (h, w, 3) BGR uint8; return its score, None for the first."""
        last, self._last = self._last, _at_size(image, self._size)
        if last is None:
            return None
        return float(cv2.norm(self._last, last, cv2.NORM_L2SQR)) / last.size


class BlockDiff:
    """Largest 32-px window mean of the absolute difference to the frame before, grey levels."""

    def __init__(self, size: int | None = SIZE_PX) -> None:
        self._size = size
        self._last: Image | None = None

    def step(self, image: Image) -> float | None:
        """Take the next frame (h, w, 3) BGR uint8; return its score, None for the first."""
        last, self._last = self._last, _at_size(image, self._size)
        if last is None:
            return None
        difference = cv2.absdiff(self._last, last).mean(axis=2, dtype=np.float32)
        return worst_region(difference, BLOCK_PX, border="mirror", every_px=BLOCK_EVERY_PX)[0]


class FlowFloor:
    """Largest 24-px window mean of the optical flow's speed, in px per frame at 256x256."""

    def __init__(self, size: int | None = SIZE_PX) -> None:
        self._size = size
        self._speed = FlowSpeed()

    def step(self, image: Image) -> float | None:
        """Take the next frame (h, w, 3) BGR uint8; return its score, None for the first two."""
        gray = np.asarray(
            cv2.cvtColor(_at_size(image, self._size), cv2.COLOR_BGR2GRAY), dtype=np.uint8
        )
        speed = self._speed.step(gray)
        return None if speed is None else worst_region(speed, FLOW_BLOCK_PX, border="mirror")[0]


FLOORS: dict[str, Callable[..., Floor]] = {
    "persistence": Persistence,
    "blockdiff": BlockDiff,
    "flowspeed": FlowFloor,
}
"""Name of the row in every table -> what makes a fresh floor for one video, at SIZE_PX or `size`
(None: the video's own)."""


def floor_scores(
    images: Iterable[Image | Frame],
    names: Sequence[str] = tuple(FLOORS),
    size: int | None = SIZE_PX,
) -> dict[str, NDArray[np.float64]]:
    """Score one video with the named floors in a single pass.

    images: frames in order, (h, w, 3) BGR uint8 or a source's, whose gaps are heeded. Returns (n,)
    per floor, NaN where a frame has no past to compare with: the first frame, for flowspeed the
    first two. size: None looks at the frames as they are: blocks of 32 and 24 px are then another
    part of the scene.
    Raises ConfigError for an unknown name or a frame of another kind.
    """
    unknown = [n for n in names if n not in FLOORS]
    if unknown:
        raise ConfigError(f"Unknown floor {unknown[0]!r}; there are {', '.join(FLOORS)}.")
    floors = {name: FLOORS[name](size) for name in names}
    found: dict[str, list[float]] = {name: [] for name in names}
    for image in images:
        if isinstance(image, Frame):
            if image.gap:
                floors = {name: FLOORS[name](size) for name in names}
            small = image.image if size is None else image.at(size)
        else:
            small = _at_size(image, size)  # once for all floors, which take it as it is
        for name, floor in floors.items():
            score = floor.step(small)
            found[name].append(np.nan if score is None else score)
    return {name: np.array(values, dtype=np.float64) for name, values in found.items()}


def _at_size(image: Image, size: int | None) -> Image:
    """A copy of the frame at the working size, so that callers may reuse their buffer."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ConfigError(
            f"A floor takes BGR uint8 frames (h, w, 3); found {image.dtype} {image.shape}."
        )
    if size is None or image.shape[:2] == (size, size):
        return image.copy()
    return resize_bgr(image, size)
