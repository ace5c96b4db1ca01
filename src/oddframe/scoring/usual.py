"""A scene by all of its normal footage, as three streams see it that need no network.

    fitted = fit_usual(pieces, sizes, fps)
    past, maps = fitted.usual.step(past, grey)       # flow, way, stay of the next frame

`flow` is the speed of what moves, `way` how rare its direction and speed are at that place
(`scoring.ways`), `stay` for how long something has stood that was not there (`scoring.stay`). The
ranges of `way` are cross-fitted: each part of the footage is held against all the others, so all
of it counts and none is held against itself.

Letters: n frames   g rows and columns of the grid (`ways.GRID`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from oddframe.data.blobs import Sizes
from oddframe.errors import RunError
from oddframe.scoring.look import FLOW_LAG, Grey, Looks, motion_of
from oddframe.scoring.scene import StreamScene, fit_level, fit_range, fit_stream
from oddframe.scoring.stay import LEAST_STD_S, STAY_PX, Stay, small
from oddframe.scoring.ways import GRID, STD, WAYS, Cells, Ways, cells_of, count, rarity_of, ways_of
from oddframe.types import Map

SLOW = 0.25
"""px per frame: where next to nothing moves, this is taken for usual."""
PICTURES = 200
"""Frames that the median picture is made of."""
MOST = 6000
"""Frames whose cells are kept: 25 kB each."""
FOLDS = 8
"""Parts of the footage that are held against all the others, at most."""

Greys = tuple[Grey, ...]
"""The last grey pictures of a stream, (256, 256) each, oldest first: what optical flow looks at."""
Tick = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What a stream without a network remembers of the frames before."""

    greys: Greys = ()
    steps: tuple[float, ...] = ()
    """Frames of the RUN's rate that passed before each of `greys`: 1 where nothing is left out."""
    stayed: Map | None = None
    """(g, g) seconds: `Stay.after`."""
    cells: Cells | None = None
    """Where everything goes in the newest picture; None of the first two."""

    def seen(self, grey: Grey, steps: float = 1.0) -> Past:
        """With the next picture (256, 256), so many frames of the RUN's rate later."""
        return replace(
            self,
            greys=(*self.greys, grey)[-FLOW_LAG - 1 :],
            steps=(*self.steps, steps)[-FLOW_LAG - 1 :],
        )

    @property
    def motion(self) -> tuple[Map, Map] | None:
        """Where everything goes in the newest picture, px per frame of the RUN's rate, 5 ms; None
        of the first two."""
        if len(self.greys) <= FLOW_LAG:
            return None
        right, down = motion_of(self.greys[-1], self.greys[0])
        passed = sum(self.steps[-FLOW_LAG:])
        if passed == FLOW_LAG:
            return right, down
        slower = np.float32(FLOW_LAG / passed)
        return right * slower, down * slower


class Piece(Protocol):
    """Consecutive frames of normal footage."""

    @property
    def frames(self) -> int:
        """How many, about."""

    def greys(self, every: int) -> Iterator[Grey]:
        """One picture (256, 256) of so many, from the first on."""

    def looks(self) -> Iterator[Looks]:
        """Every frame, with its past."""

    def before(self) -> Iterable[tuple[Grey, float]] | None:
        """Pictures (256, 256) of the seconds before the first frame, some or all of
        `stay.MOST_S`, oldest first, and the seconds from each to the next; none where it begins
        after a gap. None: there were some, and nobody kept them."""


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What is usual in a scene."""

    ways: Ways
    stay: Stay

    def step(self, past: Past, grey: Grey, steps: float = 1.0) -> tuple[Past, dict[str, Map]]:
        """The next frame's local values, (g, g) each: px per frame; times rarer than the commonest;
        seconds. None of the first two frames.

        steps: frames of the RUN's rate since the frame before: more than 1 where the machine is too
        slow for all of them.
        """
        stayed = self.stay.after(past.stayed, grey, steps)
        past = replace(past.seen(grey, steps), stayed=stayed, cells=None)
        motion = past.motion
        if motion is None:
            return past, {}
        cells = cells_of(*motion)
        past = replace(past, cells=cells)
        return past, {"flow": cells.speed, "way": self.ways.local(cells), "stay": stayed}

    def to_bytes(self) -> bytes:
        """As safetensors: a megabyte."""
        fps = np.array([self.stay.fps], np.float32)
        return save({
            "rarity": self.ways.rarity.astype(np.float16), "pace": self.ways.pace,
            "picture": self.stay.picture, "fps": fps,
        })  # fmt: skip

    @classmethod
    def from_bytes(cls, data: bytes) -> Usual:
        """Undo `to_bytes`.

        Raises:
            ValueError: damaged, or something else.
        """
        try:
            known = load(data)
            arrays = [known[name] for name in ("rarity", "pace", "picture", "fps")]
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"it does not hold what is usual in a scene ({error})") from None
        shapes = [x.shape for x in arrays]
        wanted = [(GRID, GRID, WAYS), (GRID, 1), (STAY_PX, STAY_PX), (1,)]
        if shapes != wanted:
            raise ValueError(f"it holds arrays of shapes {shapes}, expected {wanted}")
        rarity, pace, picture, fps = arrays
        return cls(Ways(rarity.astype(np.float32), pace), Stay(picture, float(fps[0])))


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What the footage says."""

    usual: Usual
    """Of all of it."""
    scene: dict[str, StreamScene]
    """Of the streams `flow`, `way` and `stay`."""
    parts: tuple[Usual, ...]
    """Per piece: what the other parts of the footage say of it."""


def fit_usual(
    pieces: Sequence[Piece], sizes: Sizes | None, fps: float, tick: Tick | None = None,
    most: int = MOST,
) -> Fitted:  # fmt: skip
    """Look at normal footage: some of it for the median picture, then all of it.

    Args:
        pieces: of one scene, all normal. Where there is one alone it is compared by quarters.
        sizes: how large things are where; None: as large everywhere.
        fps: frames per second of the footage, and of what will be compared with it.
        tick: called after each frame with frames done and frames in all, about.
        most: frames whose motion is looked at, spread evenly, about; that takes 6 ms of one core
            each, and every other frame 1 ms.

    Raises:
        RunError: fewer than 8 frames with a past.
    """
    total, done = sum(p.frames for p in pieces), 0
    every, stride = max(1, total // PICTURES), max(1, total // most)
    stay = Stay(_median([small(grey) for piece in pieces for grey in piece.greys(every)]), fps)
    seen, longest = list[list[Cells]](), (list[float](), list[float]())
    for piece in pieces:
        seen.append([])
        before = piece.before()
        stayed = led(stay, before or ())
        for i, look in enumerate(piece.looks()):
            stayed = stay.after(stayed, look.grey)
            longest[before is None].append(float(stayed.max()))
            if i % stride == 0 and look.motion is not None:
                seen[-1].append(cells_of(*look.motion))
            done += 1
            if tick is not None:
                tick(done, total)
    fitted = _fitted([_stacked(cells) for cells in seen if cells], sizes, stay)
    others = iter(fitted.parts)
    parts = fitted.parts if len(seen) == 1 else [next(others) if c else fitted.usual for c in seen]
    # What has no known past has stood for a moment, whatever it is: it counts where all is so.
    known = longest[0] or longest[1]
    scene = {**fitted.scene, "stay": fit_level(np.array(known), LEAST_STD_S)}
    return replace(fitted, scene=scene, parts=tuple(parts))


def led(stay: Stay, before: Iterable[tuple[Grey, float]]) -> Map | None:
    """For how long what is in a picture has stood when it comes, by what came before
    (`Piece.before`); None: nothing did."""
    stayed, passed_s = None, 0.0
    for grey, next_s in before:
        stayed = stay.after(stayed, grey, passed_s * stay.fps)
        passed_s = next_s
    return stayed


def _median(pictures: Sequence[Grey]) -> Grey:
    if not pictures:
        return np.zeros((STAY_PX, STAY_PX), np.uint8)
    return np.asarray(np.median(np.stack(pictures), axis=0), np.uint8)


def _fitted(seen: Sequence[Cells], sizes: Sizes | None, stay: Stay) -> Fitted:
    frames = sum(len(cells.speed) for cells in seen)
    if frames < 8:
        raise RunError(
            f"What is usual in a scene needs at least 8 frames of normal video with a past, found "
            f"{frames}. Give longer footage."
        )
    flow = fit_stream([speed for cells in seen for speed in cells.speed], sizes=sizes)
    pace = _pace(seen, flow.rows(GRID))
    if len(seen) == 1:
        seen = [_part(seen[0], i, FOLDS // 2) for i in range(FOLDS // 2)]
    fold_of = [i * min(FOLDS, len(seen)) // len(seen) for i in range(len(seen))]
    counts = [
        np.sum(
            [count(ways_of(c, pace)) for c, f in zip(seen, fold_of, strict=True) if f == fold],
            axis=0,
        )
        for fold in range(fold_of[-1] + 1)
    ]
    whole = np.sum(counts, axis=0)
    others = [Ways(rarity_of(whole - own), pace) for own in counts]
    worst = [
        float(others[fold].local(frame).max())
        for cells, fold in zip(seen, fold_of, strict=True)
        for frame in _frames(cells)
    ]
    way = fit_range(np.array(worst))
    scene = {"flow": flow, "way": replace(way, std=float(np.clip(way.std, *STD)))}
    parts = tuple(Usual(others[f], stay) for f in fold_of)
    return Fitted(Usual(Ways(rarity_of(whole), pace), stay), scene, parts)


def _pace(seen: Sequence[Cells], rows: Map) -> Map:
    """The usual speed at every row: the middle of all motion, a fast cell counting for as much
    more; where few things move the plain median would be that of the noise."""
    speeds = np.sort(np.concatenate([(c.speed / rows).ravel()[::11] for c in seen]))
    sums = np.cumsum(speeds, dtype=np.float64)
    usual = float(speeds[np.searchsorted(sums, sums[-1] / 2)])
    return np.asarray(max(usual, SLOW) * rows, np.float32)


def _stacked(cells: Sequence[Cells]) -> Cells:
    """(n, g, g), of half the precision."""
    columns = zip(*((c.speed, c.right, c.down) for c in cells), strict=True)
    half: Any = np.float16
    return Cells(*(np.stack(column).astype(half) for column in columns))


def _part(cells: Cells, i: int, parts: int) -> Cells:
    n = len(cells.speed)
    at = slice(i * n // parts, (i + 1) * n // parts)
    return Cells(cells.speed[at], cells.right[at], cells.down[at])


def _frames(cells: Cells) -> Iterator[Cells]:
    for each in zip(cells.speed, cells.right, cells.down, strict=True):
        yield Cells(*(x.astype(np.float32) for x in each))
