"""What could happen in a scene, made of what does: one thing put into a normal clip.

    plan = Planting("running", 1, cuts, np.random.default_rng(3))
    plan.into(image, k)             # the k-th frame that shows it

Where things stand is cut into far, middle and near, each with as many normal ones; a thing is
drawn as large as what stands there. Nothing is labelled by hand, and nothing of a test set is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.data.made.cuts import Cuts, Thing
from oddframe.pictures import Image
from oddframe.types import Map

ZONES = ("far", "middle", "near")
LARGEST = 2.5
"""Things are drawn at most so many times as large as they were seen."""
NATIVE = 1.6
"""Things that are taken rather: not drawn more than so many times larger or smaller."""
OUTLINE = (0, 140, 255)
"""BGR."""
BESIDE = 5
"""Of so many that stood nearest to a place one is taken."""
EDGE = 10
"""Pixels from the left and right border that a thing's middle keeps where its way allows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of anomaly."""

    said: str
    """In words, as a sentence begins."""
    speed: tuple[float, float] = (1.0, 1.0)
    """How many times as fast as it went: at least, at most; its legs move as much faster."""
    large: float = 1.0
    """How many times as large as what stands there."""
    turned: bool = False
    """It goes in the direction in which the fewest go."""
    quiet: bool = False
    """It stands where the least is ever seen."""
    bag: bool = False
    """Not a whole thing but a lump of one."""
    own: bool = False
    """It goes where and as it went."""


KINDS = {
    "normal": Kind("somebody put back where and as they went", own=True),
    "running": Kind("somebody running", speed=(2.0, 4.0)),
    "wrong way": Kind("somebody going a way that hardly anybody goes", turned=True),
    "large": Kind("something twice as large", large=2.0),
    "standing": Kind("somebody standing for 5 s where nobody stands", speed=(0.0, 0.0), quiet=True),
    "left": Kind("a bag left behind 5 s ago", speed=(0.0, 0.0), large=0.35, quiet=True, bag=True),
}
"""`normal` is the control: what is seen of it is seen because it was put in, not because it is odd.
"""
ODD = tuple(name for name in KINDS if name != "normal")


class Planting:
    """One thing with its way, drawn once by `rng`; the same in every clip that it is put into."""

    def __init__(
        self, kind: str, zone: int, cuts: Cuts, frames: int, rng: np.random.Generator
    ) -> None:
        """kind: of `KINDS`; zone: 0 far, 1 middle, 2 near; frames: that it is to be seen in."""
        self.kind, self.zone, how = KINDS[kind], zone, KINDS[kind]
        columns = cuts.busy.shape[1]
        foot, column = float(rng.uniform(cuts.feet[zone], cuts.feet[zone + 1])), columns / 2
        if how.own:
            self._as_it_went(cuts, foot, frames, rng)
            return
        if how.quiet:
            foot, column = _quietest(cuts, zone, rng)
        self._thing = _native(cuts, foot, rng)
        self._first = int(rng.integers(len(self._thing.blobs)))
        self._faster = float(rng.uniform(*how.speed))
        step = _rarest(cuts, self._thing.step) if how.turned else self._thing.step
        self._mirrored = bool(step[1] * self._thing.step[1] < 0)
        # It is at its place in the middle of its time; how large it is goes with where it is.
        back = self._way(cuts, np.array([foot, 0.0]), -step, frames // 2)[-1]
        way = self._way(cuts, back, step, frames)
        if not how.quiet:
            least, most = EDGE - way[:, 1].min(), columns - EDGE - way[:, 1].max()
            column = (
                float(rng.uniform(least, most)) if least < most else columns / 2 - way[:, 1].mean()
            )
        self._places = way + np.array([0.0, column])
        self._scales = [how.large * self._scale(cuts, y) for y in way[:, 0]]

    def _as_it_went(self, cuts: Cuts, foot: float, frames: int, rng: np.random.Generator) -> None:
        """One that stood about there, on its own way."""
        apart = [abs(thing.blobs[len(thing.blobs) // 2].foot - foot) for thing in cuts.things]
        some = np.argsort(apart)[:BESIDE]
        self._thing = cuts.things[int(some[int(rng.integers(len(some)))])]
        blobs = self._thing.blobs
        self._first = int(rng.integers(max(1, len(blobs) - frames + 1)))
        self._faster, self._mirrored = 1.0, False
        way = blobs[self._first : self._first + frames]
        # A sprite is a pixel wider than the thing on each side.
        self._places = np.array([(b.foot + 1, b.left - 1 + (b.width + 2) // 2) for b in way], float)
        self._scales = [1.0] * len(way)

    def there(self, k: int, image: Image) -> bool:
        """Whether more than half of it is in the picture in its k-th frame: the fast ones leave,
        and what goes as it went is seen as long as it was."""
        if k >= len(self._places):
            return False
        rows, columns = image.shape[:2]
        foot, middle = self._places[k]
        waist = foot - self._scales[k] * self._thing.height / 2
        return bool(0 <= middle < columns and 0 <= waist < rows)

    def into(self, image: Image, k: int) -> Image:
        """A copy of the clip's picture with the k-th view of it, k from 0."""
        if k >= len(self._places):
            return image.copy()
        scale, (foot, middle) = self._scales[k], self._places[k]
        frame = self._first + round(k * self._faster)
        alpha, sprite = self._thing.sprite(frame, scale, self._mirrored)
        if self.kind.bag:
            alpha, sprite = _lump(sprite, round(scale * self._thing.height))
        return paste(image, alpha, sprite, round(foot), round(middle))

    def shown(self, image: Image, k: int) -> Image:
        """The same with an outline around it, for people."""
        out = self.into(image, k)
        if k >= len(self._places):
            return out
        foot, middle = (int(x) for x in self._places[k])
        half = [
            round(self._scales[k] * n / 2) + 2
            for n in (self._thing.height, self._thing.blobs[self._first].width)
        ]
        high, wide = (half[0], half[0]) if self.kind.bag else half
        top, left, right = foot - 2 * high, middle - wide, middle + wide
        cv2.rectangle(out, (left, top), (right, foot + 2), OUTLINE, 1)
        return out

    def _scale(self, cuts: Cuts, foot: float) -> float:
        """How many times as large as it was seen it is where others are."""
        return min(cuts.sizes.at(foot) / self._thing.height, LARGEST)

    def _way(
        self, cuts: Cuts, start: NDArray[np.float64], step: NDArray[np.float64], frames: int
    ) -> NDArray[np.float64]:
        """Where it is in each frame, (frames, 2) of rows and columns: as many body heights a frame
        as it went."""
        places = [start]
        for _ in range(frames - 1):
            at = places[-1]
            places.append(at + step * self._faster * self._scale(cuts, at[0]))
        return np.array(places)


def paste(image: Image, alpha: Map, sprite: Image, foot: int, middle: int) -> Image:
    """A copy of a picture with a sprite whose lowest row lies above `foot`; what does not fit into
    the picture is left away."""
    rows, columns = image.shape[:2]
    top, left = foot - alpha.shape[0], middle - alpha.shape[1] // 2
    inside = (
        slice(max(0, top), min(rows, foot)),
        slice(max(0, left), min(columns, left + alpha.shape[1])),
    )
    own = tuple(slice(s.start - at, s.stop - at) for s, at in zip(inside, (top, left), strict=True))
    out = image.copy()
    if inside[0].start < inside[0].stop and inside[1].start < inside[1].stop:
        share = alpha[own][..., None]
        mixed = out[inside] * (1 - share) + sprite[own] * share
        out[inside] = np.round(mixed).astype(np.uint8)
    return out


def _lump(sprite: Image, size: int) -> tuple[Map, Image]:
    """The middle of a thing, round and `size` pixels high: its colours without its shape."""
    rows, columns = (slice(n // 4, max(n // 4 + 2, 3 * n // 4)) for n in sprite.shape[:2])
    size = max(4, size)
    image = cv2.resize(sprite[rows, columns], (size, size), interpolation=cv2.INTER_LINEAR)
    alpha = np.zeros((size, size), np.float32)
    cv2.circle(alpha, (size // 2, size // 2), size // 2, 1.0, -1)
    return alpha, np.asarray(image)


def _native(cuts: Cuts, foot: float, rng: np.random.Generator) -> Thing:
    """A thing, rather one that was seen about as large as what stands at `foot`."""
    apart = [abs(np.log(cuts.sizes.at(foot) / thing.height)) for thing in cuts.things]
    near = [t for t, a in zip(cuts.things, apart, strict=True) if a < np.log(NATIVE)]
    some = near or [cuts.things[int(np.argmin(apart))]]
    return some[int(rng.integers(len(some)))]


def _quietest(cuts: Cuts, zone: int, rng: np.random.Generator) -> tuple[float, float]:
    """Of forty places the one where the least was ever seen: foot, column. Here zones reach down to
    the lowest row, for nobody stands where nobody goes."""
    rows, columns = cuts.busy.shape
    lowest = np.linspace(cuts.feet[0], max(cuts.feet[3], rows - 2), 4)
    places = np.column_stack([
        rng.uniform(lowest[zone], lowest[zone + 1], 40), rng.uniform(20, columns - 20, 40)
    ])  # fmt: skip
    seen = cv2.blur(cuts.busy, (15, 15))
    middles = [(max(0, int(y - cuts.sizes.at(y) / 2)), int(x)) for y, x in places]
    foot, column = places[int(np.argmin([seen[at] for at in middles]))]
    return float(foot), float(column)


def _rarest(cuts: Cuts, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """A step as long, of the eight directions in the one that the fewest things take."""
    ways = np.arctan2(*np.array([thing.step for thing in cuts.things]).T)
    angles = np.arange(8) * np.pi / 4
    apart = np.abs((ways[:, None] - angles + np.pi) % (2 * np.pi) - np.pi)
    near = np.exp(-((apart / (np.pi / 6)) ** 2)).sum(0)
    angle = angles[int(np.argmin(near))]
    return np.asarray(np.hypot(*step) * np.array([np.sin(angle), np.cos(angle)]), np.float64)
