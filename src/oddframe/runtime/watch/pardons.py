"""What is normal at one camera although it scores: what people said of its events, put to use.

    scorer.step(replace(state, pardon=pardons), ...)     # near an alarm it is asked (`spared`)
    pardons.expect(frame, threshold)                     # before each frame
    spots = pardons.taken()                              # behind it: what was odd, and not pardoned
    pardons.tend()                                       # now and then: what was said since

Exemplars hold for the weights that they were made with: with another RUN they are set aside, and
hold again when it comes back. A frame far below an alarm costs a comparison, one near it 0.5 ms
and with 200 exemplars 2 ms.
"""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

from oddframe.events.store import Exemplar, Store
from oddframe.events.store.exemplars import MOST_REAL
from oddframe.events.where import NEAR_TOP
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.scoring.exemplars import Exemplars
from oddframe.scoring.spots import NO_SPOTS, Sight, Spots, found, on_grid

log = logging.getLogger("oddframe.runtime.watch")

QUIET = 0.5
"""What a stream says below this share of the limit raises no alarm, whatever it is."""
MOST_SHARE = 0.5
"""Of the picture that is left out of one frame: more is no place."""
ONE_S = 10.0
"""Frames that are pardoned for one exemplar and are no further apart are one time."""


class Pardons:
    """Of one camera; of the engine's thread.

    Args:
        camera: its name.
        run: hash of the weights that score it; "": none.
        store: holds what was said.
        keep_level: level from which a frame belongs to an event (`Rules`).
    """

    def __init__(self, camera: str, run: str, store: Store, keep_level: float) -> None:
        self._camera, self._run, self._store, self._keep = camera, run, store, keep_level
        self._known, self._exemplars = Exemplars([]), list[Exemplar]()
        self._mark: object = None
        self._bar = math.inf
        """Score of the keep level."""
        self.interest = math.inf
        """Level from which a frame is looked at although it is below it."""
        self._limit = math.inf
        self._now = (0.0, 0.0)
        """Wall and stream clock of the frame that is scored."""
        self._fresh: list[Spots] = []
        self._last: dict[int, float] = {}
        """Per exemplar when it pardoned something last, by the stream's clock."""
        self._times: dict[int, tuple[int, float]] = {}
        """Per exemplar how often it did since that was written, and when last."""
        self.aside = 0
        """Exemplars that do not hold, because they are of other weights."""
        self.tend()

    def __len__(self) -> int:
        """Exemplars that hold."""
        return len(self._exemplars)

    def expect(self, frame: LiveFrame, threshold: float) -> None:
        """The next frame, and the threshold that its score will be held against."""
        self._now = (frame.t_utc, frame.pts_s)
        self._bar = self._keep * threshold
        self._limit = min(self._keep, self.interest) * threshold
        self._fresh = []

    @property
    def limit(self) -> float:
        """As `spots.Pardon` has it."""
        return self._limit

    def spared(self, sight: Sight, score: float) -> NDArray[np.bool_] | None:
        """As `spots.Pardon` has it; remembers what is odd, and not pardoned."""
        if score < self._bar:
            loudest = max(float(on_grid(m).max()) for m in sight.maps.values())
            self._fresh.append(found(sight, NEAR_TOP * loudest, 1)[0])
            return None
        spots, where = found(sight, self._bar)
        like = self._known.like(spots, QUIET * self._bar)
        cells = np.isin(where, np.flatnonzero(like >= 0))
        if not cells.any() or cells.mean() > MOST_SHARE:
            self._fresh.append(spots)
            return None
        self._fresh.append(spots.take(like < 0))
        for number in np.unique(like[like >= 0]).tolist():
            self._count(self._exemplars[number])
        return cells

    def taken(self) -> Spots:
        """What was odd about the frame just scored, without what was pardoned."""
        return Spots.joined(self._fresh) if self._fresh else NO_SPOTS

    def tend(self) -> None:
        """Write how often what was silenced; take in what was said since the last time.

        Raises:
            StoreError: the store cannot be read or written; what was known holds on.
        """
        if not self._run:
            return
        self.keep()
        mark = self._store.learned_mark(self._camera)
        if mark != self._mark:
            self._load()
            self._mark = mark

    def keep(self) -> None:
        """Write how often what was silenced.

        Raises:
            StoreError: it cannot be written; it counts on.
        """
        if self._times:
            self._store.silenced(self._times)
            self._times = {}

    def _load(self) -> None:
        everything = self._store.exemplars(self._camera)
        mine = [e for e in everything if e.run == self._run]
        read = {e.id: spots_of(e.spots) for e in mine}
        self._exemplars = [e for e in mine if len(read[e.id])]
        real = self._store.judged(self._camera, self._run, "real", MOST_REAL) if mine else []
        self._known = Exemplars(
            [read[e.id] for e in self._exemplars], [spots_of(d.spots) for d in real]
        )
        aside = len(everything) - len(mine)
        if aside and aside != self.aside:
            log.warning(
                "%s: %d times it was said that something is normal, of scores of another RUN: they "
                "are set aside, and hold again with that RUN", self._camera, aside,
                extra={"camera": self._camera},
            )  # fmt: skip
        self.aside = aside

    def _count(self, exemplar: Exemplar) -> None:
        """A frame was pardoned."""
        t_utc, pts_s = self._now
        last = self._last.get(exemplar.id)
        self._last[exemplar.id] = pts_s
        again = last is not None and 0 <= pts_s - last <= ONE_S
        times, _ = self._times.get(exemplar.id, (0, 0.0))
        self._times[exemplar.id] = (times + (not again), t_utc)
        if not again:
            log.info("%s: no alarm, it is like %s, and that was normal", self._camera,
                     exemplar.event_id, extra={"camera": self._camera})  # fmt: skip


def spots_of(data: bytes) -> Spots:
    """Spots as the store keeps them; none where they are damaged, or of another oddframe."""
    try:
        return Spots.from_bytes(data)
    except ValueError:
        return NO_SPOTS
