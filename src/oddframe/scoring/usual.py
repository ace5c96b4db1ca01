"""A scene by all of its normal footage, as three streams see it that need no network.

    fitted = fit_usual(pieces, sizes, fps)
    past, maps = fitted.usual.step(past, grey)       # flow, way, stay of the next frame

`flow` is the speed of what moves, `way` how rare its direction and speed are at that place
(`scoring.ways`), `stay` for how long something has stood that was not there (`scoring.stay`). The
ranges of `way` and `stay` are cross-fitted: each part of the footage is held against all the
others, so all of it counts and none is held against itself.

Letters: n frames   g rows and columns of the grid (`ways.GRID`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from oddframe.data.blobs import Sizes
from oddframe.errors import RunError
from oddframe.scoring.look import FLOW_LAG, Grey, Looks, motion_of
from oddframe.scoring.scene import StreamScene, fit_level, fit_range, fit_stream
from oddframe.scoring.stay import LEAST_STD_S, STAY_PX, Stay, small, usual_at
from oddframe.scoring.ways import (
    GRID,
    STD,
    WAYS,
    Cells,
    Counts,
    Ways,
    cells_of,
    count,
    rarity_of,
    ways_of,
)
from oddframe.types import Map

SLOW = 0.25
"""px per frame: where next to nothing moves, this is taken for usual."""
PICTURES = 200
"""Frames that the median picture is made of."""
MOST = 6000
"""Frames that are kept, in cells: 33 kB each."""
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
        local = {"way": self.ways.local(cells), "stay": self.stay.local(stayed)}
        return past, {"flow": cells.speed, **local}

    def to_bytes(self) -> bytes:
        """As safetensors: a megabyte."""
        stay, none = self.stay, np.zeros((GRID, GRID), np.float32)
        return save({
            "rarity": self.ways.rarity.astype(np.float16), "pace": self.ways.pace,
            "picture": stay.picture, "fps": np.array([stay.fps], np.float32),
            "stays": none if stay.usual is None else stay.usual,
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
            stays = known.get("stays", np.zeros((GRID, GRID), np.float32))  # RUNs of before: none
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"it does not hold what is usual in a scene ({error})") from None
        shapes = [x.shape for x in (*arrays, stays)]
        wanted = [(GRID, GRID, WAYS), (GRID, 1), (STAY_PX, STAY_PX), (1,), (GRID, GRID)]
        if shapes != wanted:
            raise ValueError(f"it holds arrays of shapes {shapes}, expected {wanted}")
        rarity, pace, picture, fps = arrays
        return cls(Ways(rarity.astype(np.float32), pace), Stay(picture, float(fps[0]), stays))


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
    most: int = MOST, cross: bool = True,
) -> Fitted:  # fmt: skip
    """Look at normal footage: some of it for the median picture, then all of it.

    Args:
        pieces: of one scene, all normal. Where there is one alone it is compared by quarters.
        sizes: how large things are where; None: as large everywhere.
        fps: frames per second of the footage, and of what will be compared with it.
        tick: called after each frame with frames done and frames in all, about.
        most: frames whose motion is looked at, spread evenly, about; that takes 6 ms of one core
            each, and every other frame 1 ms.
        cross: hold each part against the others; else against all, itself among them.

    Raises:
        RunError: fewer than 8 frames with a past.
    """
    total, done = sum(p.frames for p in pieces), 0
    every, stride = max(1, total // PICTURES), max(1, total // most)
    stay = Stay(_median([small(grey) for piece in pieces for grey in piece.greys(every)]), fps)
    seen = list[_Seen]()
    for piece in pieces:
        before = piece.before()
        kept = _Seen(known=before is not None)
        stayed = led(stay, before or ())
        for i, look in enumerate(piece.looks()):
            stayed = stay.after(stayed, look.grey)
            if i % stride == 0 and look.motion is not None:
                kept.take(cells_of(*look.motion), stayed)
            done += 1
            if tick is not None:
                tick(done, total)
        seen.append(kept)
    fitted = _fitted([some for some in seen if some.frames], sizes, stay, cross)
    others = iter(fitted.parts)
    parts = [next(others) if some.frames else fitted.usual for some in seen]
    return replace(fitted, parts=fitted.parts if len(seen) == 1 else tuple(parts))


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


@dataclass(slots=True)
class _Seen:
    """What is kept of a piece, or of a part of one: 33 kB a frame."""

    known: bool
    """What stood there before it began is known."""
    cells: list[Cells] = field(default_factory=list)
    """(g, g), of half the precision."""
    stayed: list[Map] = field(default_factory=list)
    """(g, g) seconds, of half the precision."""

    @property
    def frames(self) -> int:
        return len(self.cells)

    def take(self, cells: Cells, stayed: Map) -> None:
        """Keep a frame."""
        half: Any = np.float16
        self.cells.append(Cells(*(x.astype(half) for x in (cells.speed, cells.right, cells.down))))
        self.stayed.append(stayed.astype(half))

    def part(self, i: int, parts: int) -> _Seen:
        """The i-th of so many equal parts."""
        at = slice(i * self.frames // parts, (i + 1) * self.frames // parts)
        return _Seen(self.known, self.cells[at], self.stayed[at])


def _fitted(seen: Sequence[_Seen], sizes: Sizes | None, stay: Stay, cross: bool) -> Fitted:
    frames = sum(some.frames for some in seen)
    if frames < 8:
        raise RunError(
            f"What is usual in a scene needs at least 8 frames of normal video with a past, found "
            f"{frames}. Give longer footage."
        )
    flow = fit_stream([cells.speed for some in seen for cells in some.cells], sizes=sizes)
    pace = _pace(seen, flow.rows(GRID))
    if len(seen) == 1:
        seen = [seen[0].part(i, FOLDS // 2) for i in range(FOLDS // 2)]
    folds = min(FOLDS, len(seen))
    fold_of = [i * folds // len(seen) for i in range(len(seen))]
    counts = [
        np.sum([_count(some, pace) for some, f in zip(seen, fold_of, strict=True) if f == fold], 0)
        for fold in range(folds)
    ]
    # What has no known past has stood for a moment, whatever it is: it counts where all is so.
    sure = [some.known or not any(other.known for other in seen) for some in seen]
    whole = np.sum(counts, axis=0)

    def told(but: int | None) -> Usual:
        """What all say, or all but the pieces of a fold."""
        own = 0 if but is None else counts[but]
        stood = [x.stayed for x, f, ok in zip(seen, fold_of, sure, strict=True) if ok and f != but]
        usual = usual_at(np.stack([m for maps in stood for m in maps])) if stood else None
        return Usual(Ways(rarity_of(whole - own), pace), replace(stay, usual=usual))

    others = [told(fold if cross else None) for fold in range(folds)]
    parts = tuple(others[fold] for fold in fold_of)
    return Fitted(told(None), {"flow": flow, **_ranges(seen, parts, sure)}, parts)


def _ranges(
    seen: Sequence[_Seen], parts: Sequence[Usual], sure: Sequence[bool]
) -> dict[str, StreamScene]:
    """Of `way` and `stay`, each piece by what its part says; of `stay` where that is sure."""
    rare, long = list[float](), list[float]()
    for some, usual, ok in zip(seen, parts, sure, strict=True):
        for cells, stayed in zip(some.cells, some.stayed, strict=True):
            rare.append(float(usual.ways.local(_whole(cells)).max()))
            if ok:
                long.append(float(usual.stay.local(stayed.astype(np.float32)).max()))
    way = fit_range(np.array(rare))
    return {
        "way": replace(way, std=float(np.clip(way.std, *STD))),
        "stay": fit_level(np.array(long), LEAST_STD_S),
    }


def _count(some: _Seen, pace: Map) -> Counts:
    columns = zip(*((c.speed, c.right, c.down) for c in some.cells), strict=True)
    return count(ways_of(Cells(*(np.stack(column) for column in columns)), pace))


def _whole(cells: Cells) -> Cells:
    """In full precision."""
    return Cells(*(x.astype(np.float32) for x in (cells.speed, cells.right, cells.down)))


def _pace(seen: Sequence[_Seen], rows: Map) -> Map:
    """The usual speed at every row: the middle of all motion, a fast cell counting for as much
    more; where few things move the plain median would be that of the noise."""
    cells = [(np.stack([c.speed for c in some.cells]) / rows).ravel()[::11] for some in seen]
    speeds = np.sort(np.concatenate(cells))
    sums = np.cumsum(speeds, dtype=np.float64)
    usual = float(speeds[np.searchsorted(sums, sums[-1] / 2)])
    return np.asarray(max(usual, SLOW) * rows, np.float32)
