"""What moves in normal footage, cut out of it frame by frame.

    cuts = cut_out(pieces)          # pieces: consecutive pictures of one camera
    cuts.things[0].sprite(3, scale=2.0)

A thing is a blob (`data.blobs`) that can be followed from frame to frame without meeting another
one, keeps its size, and gets somewhere. In a crowd these are few, and that is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.data.blobs import Blob, Sizes, blobs, fit_sizes, median_picture, threshold_of
from oddframe.pictures import Image
from oddframe.types import Map

SHORTEST = 12
"""Frames that a thing is followed for at least."""
SAME = 0.35
"""Overlap from frame to frame of one thing; less than a fifth of it is another thing's."""
UPRIGHT = (0.5, 5.0)
"""Height over width of what is taken: neither a stripe of light nor a whole queue."""
FITS = (0.6, 1.6)
"""Its height over what is usual where it stands: neither legs alone nor a group."""
STEADY_FOR, STEADY, SLIM = 20, 0.1, (1.6, 4.5)
"""Frames, deviation over mean of its height, and height over width of what is surely a body."""
FEWEST_STEADY = 8
"""Fewer of these say nothing of sizes, and all that was followed has to."""
LEAST_PX = 60
"""Pixels of a thing at least: smaller ones are blots when they are drawn larger."""
SOLID = 0.45
"""Share of its box that is its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """Something that moved, in consecutive frames."""

    blobs: tuple[Blob, ...]
    pictures: tuple[Image, ...]
    """Its box of each frame, BGR."""

    @property
    def step(self) -> NDArray[np.float64]:
        """Its way per frame: rows, columns."""
        first, last = self.blobs[0], self.blobs[-1]
        way = np.array([last.foot - first.foot, last.middle - first.middle], np.float64)
        return way / (len(self.blobs) - 1)

    @property
    def height(self) -> float:
        """Median height in rows."""
        return float(np.median([b.height for b in self.blobs]))

    def sprite(self, i: int, scale: float = 1.0, mirrored: bool = False) -> tuple[Map, Image]:
        """Frame `i` of it at another size: how much of each pixel is its own (0..1, soft at the
        border), and its picture. Beyond the last frame it is played backwards."""
        turn = 2 * len(self.blobs) - 2
        i = i % turn
        i = min(i, turn - i)
        hard = np.pad(self.blobs[i].mask, 1).astype(np.float32)
        wide = cv2.copyMakeBorder(self.pictures[i], 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        size = tuple(max(2, round(x * scale)) for x in (hard.shape[1], hard.shape[0]))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        soft = cv2.GaussianBlur(hard, (3, 3), 0)
        alpha = np.asarray(cv2.resize(soft, size, interpolation=how), np.float32)
        image = np.asarray(cv2.resize(wide, size, interpolation=how), np.uint8)
        return (alpha[:, ::-1], image[:, ::-1]) if mirrored else (alpha, image)


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """What moves in a scene, how large it is where, and where it goes."""

    things: tuple[Thing, ...]
    sizes: Sizes
    busy: Map
    """(h, w): share of the frames in which something is at a place."""
    feet: tuple[float, float, float, float]
    """Rows: things stand from the first to the last of them, as often far (to the second) as in
    the middle (to the third) and near."""


def cut_out(pieces: Iterable[Sequence[Image]], most: int = 60) -> Cuts | None:
    """Follow what moves through footage.

    Args:
        pieces: consecutive pictures (h, w, 3) of one camera, all of one size; what stands still
            for most of a piece is its background.
        most: things to keep, spread over all that were found.

    Returns:
        None where nothing can be followed: nothing moves, or everything does.
    """
    found, seen, busy, frames = list[Thing](), list[Blob](), None, 0
    for images in pieces:
        if len(images) < SHORTEST:
            continue
        picture = median_picture(images)
        threshold = threshold_of(images, picture)
        per_frame = [blobs(image, picture, threshold) for image in images]
        found += follow(images, per_frame)
        seen += [b for found_here in per_frame[::5] for b in found_here]
        there = np.zeros(picture.shape[:2], np.float32)
        for here in per_frame:
            for b in here:
                there[b.top : b.foot, b.left : b.left + b.width] += b.mask
        busy = there if busy is None else busy + there
        frames += len(images)
    steady = [t.blobs[len(t.blobs) // 2] for t in found if _steady(t)]
    enough = len(steady) >= FEWEST_STEADY
    pieces_too = [b for thing in found for b in thing.blobs[::5]]
    sizes = fit_sizes(steady, pieces=False) if enough else fit_sizes(pieces_too)
    if sizes is None or busy is None:
        return None
    things = [t for t in found if _whole(t, sizes)]
    if not things:
        return None
    at = np.unique(np.linspace(0, len(things) - 1, most).round().astype(int))
    feet = np.quantile([b.foot for t in things for b in t.blobs], (0.05, 0.35, 0.65, 0.95))
    return Cuts(
        tuple(things[i] for i in at), sizes, np.asarray(busy / frames, np.float32),
        (float(feet[0]), float(feet[1]), float(feet[2]), float(feet[3])),
    )  # fmt: skip


def follow(images: Sequence[Image], per_frame: Sequence[Sequence[Blob]]) -> list[Thing]:
    """Blobs of consecutive frames, joined to things: as long as nothing else is near."""
    live, ended = list[list[tuple[int, Blob]]](), list[list[tuple[int, Blob]]]()
    for t, here in enumerate(per_frame):
        going, taken = list[list[tuple[int, Blob]]](), set[int]()
        for track in live:
            last = track[-1][1]
            near = [(j, last.overlap(b)) for j, b in enumerate(here) if last.overlap(b) > SAME / 5]
            alone = len(near) == 1 and near[0][0] not in taken
            if alone and near[0][1] > SAME and _like(last, here[near[0][0]]):
                taken.add(near[0][0])
                going.append([*track, (t, here[near[0][0]])])
            else:
                ended.append(track)
        fresh = [[(t, b)] for j, b in enumerate(here) if j not in taken and not b.at_edge]
        live = going + fresh
    things = []
    for track in (*ended, *live):
        if len(track) >= SHORTEST:
            shapes = tuple(b for _, b in track)
            boxes = tuple(
                images[t][b.top : b.foot, b.left : b.left + b.width].copy() for t, b in track
            )
            things.append(Thing(shapes, boxes))
    return [t for t in things if _goes(t)]


def _like(last: Blob, b: Blob) -> bool:
    return not b.at_edge and 0.6 < b.area / last.area < 1.6


def _goes(thing: Thing) -> bool:
    """It gets on by half its height, and keeps that height."""
    heights = np.array([b.height for b in thing.blobs])
    way = np.hypot(*(thing.step * (len(thing.blobs) - 1)))
    return bool(way >= 0.5 * thing.height and heights.std() <= 0.2 * heights.mean())


def _steady(thing: Thing) -> bool:
    """It is surely one body: upright, of one height, for a while. In a crowd the rest is pieces,
    whose lowest row is anywhere."""
    heights = np.array([b.height for b in thing.blobs])
    slim = float(np.median([b.height / b.width for b in thing.blobs]))
    return bool(
        len(thing.blobs) >= STEADY_FOR
        and heights.std() <= STEADY * heights.mean()
        and SLIM[0] <= slim <= SLIM[1]
    )


def _whole(thing: Thing, sizes: Sizes) -> bool:
    """It looks like one thing, wholly seen."""
    middle = thing.blobs[len(thing.blobs) // 2]
    high = thing.height / sizes.at(middle.foot)
    slim = middle.height / middle.width
    solid = middle.area / middle.mask.size
    return (
        FITS[0] <= high <= FITS[1] and UPRIGHT[0] <= slim <= UPRIGHT[1]
        and solid >= SOLID and middle.area >= LEAST_PX
    )  # fmt: skip
