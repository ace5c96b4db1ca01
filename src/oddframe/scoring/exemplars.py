"""What was said to be normal at a camera: which odd places are like it, and which are not.

    known = Exemplars(normal, real)          # spots of events, by what somebody said of them
    known.like(spots, quiet)                 # which exemplar each odd place is like, -1: none

A place is like an exemplar where one of the exemplar's spots has it all: it lies there, no stream
says clearly more, and it looks no more different than the exemplar's own frames do from its peak.
And it must look more like this than like anything at that place that was said to be real.

Every rule errs to the side of ringing: what is somewhere else, stronger, of another kind or new
rings, and so does what stands elsewhere in the same frame. Measured on Ped2, with a RUN of two
minutes at 128 px: all places of 2.5 deviations and more (three quarters of its threshold) in 15 of
the normal clips are exemplars. Which share of those in the 16th is silenced, each clip in turn, and
which of those of the test clips' abnormal frames, %:

    streams may say     as much   + .5   + 1, x 1.25   + 2, x 1.5   anything   + 1, x 1.25 and look
    normal                 28      47         75            86          92               53
    not normal            3.5     7.9       11.9          17.4        42.3              3.0

Letters: n spots that are asked about, k spots of exemplars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from oddframe.scoring.fuse import STREAMS
from oddframe.scoring.settings import ScoreConfig, together
from oddframe.scoring.spots import Floats, Spots, apart, shares
from oddframe.scoring.ways import GRID

INSIDE = 0.5
"""Of a place that must lie in the exemplar's: it is twice as large at most, and mostly there."""
JITTER = 1 / GRID
"""The exemplar's places are so much larger to every side: one cell."""
STRONGER, MORE = 1.25, 1.0
"""Times, and deviations, that a stream may say more, whichever is more: an event that gets worse by
this factor is told again (`events.rules`), and the same thing differs by a deviation from one time
to the next (see above)."""
REACH = (0.25, 0.5)
"""Least and largest reach of a look (`spots.apart`). With .25, .41, .5 and .6 for all, 20, 51, 60
and 65 % of the normal places (see above) are silenced, and .8, 3.3, 4.7 and 7.3 % of the others."""
ALIKE = 0.1
"""Two frames of an event that are no more apart than this, at one place, are one spot."""
MOST = 32
"""Spots of an event that are kept: what crosses the picture has about twenty."""


class Exemplars:
    """What is normal at one camera although it scores."""

    def __init__(self, normal: Sequence[Spots], real: Sequence[Spots] = ()) -> None:
        """normal: the spots of each event that was said to be normal. real: of what was not."""
        reaches = [reach_of(spots) for spots in normal]
        counts = np.array([len(spots) for spots in normal], np.intp)
        self._known, self._real = Spots.joined(normal), Spots.joined(real)
        self._real_owner = np.repeat(
            np.arange(len(real)), np.array([len(spots) for spots in real], np.intp)
        )
        self._owner = np.repeat(np.arange(len(counts)), counts)
        self._reach = np.repeat(np.array(reaches, np.float32), counts)
        grow = np.array([-JITTER, -JITTER, JITTER, JITTER], np.float32)
        self._places = self._known.places + grow

    def __len__(self) -> int:
        """Spots of all of them."""
        return len(self._known)

    def like(self, spots: Spots, quiet: float, but: int = -1) -> NDArray[np.intp]:
        """(n,) the number of the exemplar that each odd place is like, -1 where it is like none.

        quiet: deviations up to which a stream may say anything: it raises no alarm by itself.
        but: number of something real that does not count: what is asked about.
        """
        none = np.full(len(spots), -1, np.intp)
        if not len(spots) or not len(self):
            return none
        there = shares(spots.places, self._places) >= INSIDE
        near = np.flatnonzero(there.any(0))  # mostly few of many
        known, reach = self._known.take(near), self._reach[near]
        may = np.maximum(np.maximum(known.streams * STRONGER, known.streams + MORE), quiet)
        weak = (spots.streams[:, None] <= may[None]).all(2)
        looks = apart(spots.looks, known.looks)
        real = self._real_looks(spots, but)[:, None]
        fits = there[:, near] & weak & (looks <= reach) & (looks < real)
        if not fits.any():
            return none
        best = np.where(fits, looks, np.inf).argmin(1)
        return np.where(fits.any(1), self._owner[near][best], none)

    def _real_looks(self, spots: Spots, but: int) -> Floats:
        """(n,) how far the looks are from the nearest of something real at that place."""
        if not len(self._real):
            return np.full(len(spots), np.inf, np.float32)
        there = (shares(spots.places, self._real.places) >= INSIDE) & (self._real_owner != but)
        looks = np.where(there, apart(spots.looks, self._real.looks), np.inf)
        return np.asarray(looks.min(1), np.float32)


def reach_of(spots: Spots) -> float:
    """How different a look may be: half of the event's own spots are as near to its loudest one,
    within `REACH`."""
    least, largest = REACH
    if len(spots) < 2:
        return least
    peak = [int(spots.most.argmax())]
    own = np.delete(apart(spots.looks[peak], spots.looks)[0], peak)
    return float(np.clip(np.median(own), least, largest))


def rings(
    spots: Spots, score: float, like: NDArray[np.intp], bar: float, config: ScoreConfig
) -> bool:  # fmt: skip
    """Whether an event would still be one, as far as its spots tell.

    Args:
        spots: what it looked like.
        score: its highest.
        like: (n,) what `Exemplars.like` says of them now.
        bar: score at which an event begins now.
        config: how streams are fused.
    """
    if score < bar or (like < 0).all():
        return score >= bar
    left = spots.streams[like < 0]
    there = [{n: float(z) for n, z in zip(STREAMS, row, strict=True) if np.isfinite(z)}
             for row in left]  # fmt: skip
    return any(together(streams, config) >= bar for streams in there if streams)


class Gathered:
    """The spots of an event, frame by frame: no two that are alike, `MOST` at most.

    Where there are more, of the two that are most alike the louder stays.
    """

    def __init__(self) -> None:
        self.spots = Spots.joined([])

    def add(self, spots: Spots) -> None:
        """Those of the next frame."""
        for i in range(len(spots)):
            self._add(spots.take([i]))

    def _add(self, one: Spots) -> None:
        known = self.spots
        if len(known):
            there = _mutual(one, known)[0] >= INSIDE
            looks = np.where(there, apart(one.looks, known.looks)[0], np.inf)
            if looks.min() <= ALIKE:
                streams = known.streams.copy()
                at = int(looks.argmin())
                streams[at] = np.maximum(streams[at], one.streams[0])
                self.spots = replace(known, streams=streams)
                return
        self.spots = Spots.joined([known, one])
        if len(self.spots) > MOST:
            self._fewer()

    def _fewer(self) -> None:
        spots = self.spots
        # Elsewhere counts as much as looking altogether different.
        distance = apart(spots.looks, spots.looks) + 1 - _mutual(spots, spots)
        np.fill_diagonal(distance, np.inf)
        pair = np.unravel_index(int(distance.argmin()), distance.shape)
        gone = min((int(i) for i in pair), key=lambda i: float(spots.most[i]))
        self.spots = spots.take(np.arange(len(spots)) != gone)


def _mutual(spots: Spots, others: Spots) -> Floats:
    """(n, k): how much of the larger of two places lies in the other."""
    return np.minimum(shares(spots.places, others.places), shares(others.places, spots.places).T)


def nearest(spots: Spots, others: Sequence[Spots]) -> tuple[int, float, bool] | None:
    """Which of others is most like some spots, by place and look; None where there are none.

    Returns:
        Its number, how far the looks are apart, and whether it is at that place; what is elsewhere
        counts as further by 1.
    """
    found = list[tuple[float, int, float, bool]]()
    for i, other in enumerate(others):
        if not len(other) or not len(spots):
            continue
        looks = apart(spots.looks, other.looks)
        there = shares(spots.places, other.places) >= INSIDE
        at = np.unravel_index(int((looks + ~there).argmin()), looks.shape)
        found.append((float(looks[at] + ~there[at]), i, float(looks[at]), bool(there[at])))
    if not found:
        return None
    _, number, look, same = min(found)
    return number, look, same
