"""Floors: scores without any learning, which a trained model has to clear.

Each floor is fed the frames of *one* video in order and looks back only. Frames are 256x256; other
sizes are resized by area first. Three take a frame as it comes; three also know the scene's normal
footage (`Ground`). Measured on Ped2 (2010 frames, those after the first 16 of each clip, micro AUC
in %; per-video min-max / no normalisation), and on a part of Avenue:

    floor         Ped2           Avenue part
    persistence   91.4 / 80.0    74.5 / 47.8
    blockdiff     92.9 / 89.8    60.3 / 46.5
    flowspeed     96.4 / 97.0    62.5 / 49.7
    scenespeed    95.9 / 97.1    65.8 / 50.5
    background    70.3 / 62.7    52.0 / 65.0
    unlearned     96.7 / 96.8    62.4 / 69.4

The border decides as much as the block: windows wholly inside the picture give blockdiff 87.8 and
flowspeed 97.4 without normalisation, a grid of blocks that do not overlap 79.5 and 95.1. The
mirrored border is the setting in which these floors are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError
from oddframe.scoring.fuse import fuse
from oddframe.scoring.ground import Ground
from oddframe.scoring.local import worst_region
from oddframe.scoring.look import SIZE_PX, Looks, at_size
from oddframe.types import Frame, Image

IN_WORDS = {
    "persistence": "mean difference from the frame before",
    "blockdiff": "largest difference from the frame before in a 32-px window",
    "flowspeed": "fastest optical flow in a 24-px window",
    "scenespeed": "fastest optical flow, by how fast things are in that row of the scene",
    "background": "largest difference from the median picture",
    "unlearned": "scenespeed and background together: the one to beat",
}
"""What each floor is, for pages; of the last three the scene's normal footage is known."""
TOGETHER = 2.0
"""K of the smooth maximum that `unlearned` is known by."""
BLOCK_PX = 32
BLOCK_EVERY_PX = 8
"""blockdiff looks at every 8th position: that is what gives the figures it is known by."""


def persistence(looks: Looks) -> float | None:
    """Mean squared difference to the frame before, in grey levels² (0..65025)."""
    if looks.last is None:
        return None
    return float(cv2.norm(looks.image, looks.last, cv2.NORM_L2SQR)) / looks.last.size


def blockdiff(looks: Looks) -> float | None:
    """Largest 32-px window mean of the absolute difference to the frame before, grey levels."""
    if looks.last is None:
        return None
    difference = cv2.absdiff(looks.image, looks.last).mean(axis=2, dtype=np.float32)
    return worst_region(difference, BLOCK_PX, border="mirror", every_px=BLOCK_EVERY_PX)[0]


def flowspeed(looks: Looks) -> float | None:
    """Largest 24-px window mean of the optical flow's speed, in px per frame at 256x256."""
    return None if looks.speed is None else float(looks.speed.max())


def scenespeed(looks: Looks, ground: Ground) -> float | None:
    """The same over the scene's scale line, in deviations of its normal range."""
    return None if looks.speed is None else ground.speed.worst(looks.speed)


def background(looks: Looks, ground: Ground) -> float | None:
    """Largest 24-px window mean of the difference from the median picture, in deviations."""
    return ground.background.worst(ground.differs(looks.grey))


def unlearned(looks: Looks, ground: Ground) -> float | None:
    """Both, fused as a model's streams are."""
    speed, differs = scenespeed(looks, ground), background(looks, ground)
    if speed is None or differs is None:
        return None
    return fuse({"speed": speed, "background": differs}, TOGETHER)


PLAIN: dict[str, Callable[[Looks], float | None]] = {
    "persistence": persistence, "blockdiff": blockdiff, "flowspeed": flowspeed,
}  # fmt: skip
OF_SCENE: dict[str, Callable[[Looks, Ground], float | None]] = {
    "scenespeed": scenespeed, "background": background, "unlearned": unlearned,
}  # fmt: skip
FLOORS = (*PLAIN, *OF_SCENE)
"""Names of the rows in every table; those of `OF_SCENE` need the scene's normal footage."""
BEST = "unlearned"
"""What a learned detector is held against."""


class Floors:
    """Floors of one video, all from one look at each frame."""

    def __init__(
        self, names: Sequence[str] | None = None, ground: Ground | None = None,
        size: int | None = SIZE_PX,
    ) -> None:  # fmt: skip
        """names: of `FLOORS`; by default all that can be had: with `ground` six, else three.

        size: None looks at frames as they are; what a window covers is then another part of the
        scene.

        Raises:
            ConfigError: an unknown floor, or one of the scene without `ground`.
        """
        wanted = (FLOORS if ground is not None else tuple(PLAIN)) if names is None else names
        unknown = [n for n in wanted if n not in FLOORS]
        if unknown:
            raise ConfigError(f"Unknown floor {unknown[0]!r}; there are {', '.join(FLOORS)}.")
        blind = [n for n in wanted if n in OF_SCENE and ground is None]
        if blind:
            raise ConfigError(
                f"The floor {blind[0]} needs the scene's normal footage (fit_ground), none was "
                "given."
            )
        self.names = tuple(wanted)
        self._ground, self._looks = ground, Looks(size)

    def step(self, image: Image, gap: bool = False) -> dict[str, float]:
        """Take the next frame; its scores, NaN while there is no past. Errors as `Looks.step`."""
        self._looks.step(image, gap)
        scores = {name: self._score(name) for name in self.names}
        return {name: np.nan if score is None else score for name, score in scores.items()}

    def _score(self, name: str) -> float | None:
        if self._ground is not None and name in OF_SCENE:
            return OF_SCENE[name](self._looks, self._ground)
        return PLAIN[name](self._looks)


def floor_scores(
    images: Iterable[Image | Frame],
    names: Sequence[str] | None = None,
    size: int | None = SIZE_PX,
    ground: Ground | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Score one video with the named floors in a single pass.

    images: frames in order, (h, w, 3) BGR uint8 or a source's, whose gaps are heeded. The others:
    see `Floors`. Returns (n,) per floor, NaN where a frame has no past to compare with: the first
    frame, the first two for those that look at speed.

    Raises:
        ConfigError: as `Floors`.
    """
    floors = Floors(names, ground, size)
    found: dict[str, list[float]] = {name: [] for name in floors.names}
    for image in images:
        gap = isinstance(image, Frame) and image.gap
        if isinstance(image, Frame):
            image = image.image if size is None else image.at(size)
        for name, score in floors.step(at_size(image, size), gap).items():
            found[name].append(score)
    return {name: np.array(values, dtype=np.float64) for name, values in found.items()}
