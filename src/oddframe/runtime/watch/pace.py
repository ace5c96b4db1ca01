"""When each camera's newest frame is scored: at the RUN's rate, or as often as the box can.

    for name in pace.due(now_s, feeds): frame = feeds[name].take()
    ...                                         # one call of the model for all of them
    pace.spent(names, busy_s)
    bell.wait(pace.wait_s(now_s))

A camera is due one period after it was due before. It is taken when it is due and has a frame,
whoever else has none; a frame that has waited for `STALE_S` is dropped and counted. Where looks
cost more time than there is, all periods grow by the same factor: rates fall evenly, which the
meters show, and frames are as fresh as before. How many are taken at once is bounded by what they
cost, so that the last of them does not wait for long.

Nothing here reads a clock: time comes in. One thread schedules; any may read what is wanted, what
it costs and the load.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from oddframe.runtime.watch.feed import Dropped
from oddframe.sources.rate import NEAR

STALE_S = 0.5
"""Age above which a frame is not scored."""
BUSY = 0.9
"""Share of the time that looks may take: the rest is for what a look's cost does not show."""
TOGETHER_S = 0.2
"""What the looks of one call may cost together."""
MEMORY_S, MEMORY = 3.0, 60
"""Seconds of work, and looks, over which the cost of a look is taken: whichever is less."""
TIGHT = 0.5
"""Share of the time that is needed, from which cameras are taken together that are not all due: a
call for several costs less than one for each."""
EARLY = 0.3
"""Share of its period by which a camera may then be early. It always is, so that its rhythm
stays."""
AWAY_S = 2.0
"""A camera that had no frame for so long needs no time."""
IDLE_S = 0.25
"""How long to wait at most where nobody is due."""


class Waits(Protocol):
    """What a pace asks of a `Feed`."""

    @property
    def live(self) -> bool:
        """False: every frame counts, whenever it comes."""

    def waiting_s(self) -> float | None:
        """When the frame that waits arrived; None: there is none."""

    def skip(self, reason: Dropped) -> None:
        """Drop it."""


@dataclass(slots=True)
class _Turn:
    """One camera's place in the schedule."""

    fps: float
    due_s: float = -math.inf
    live: bool = True
    seen_s: float = -math.inf
    """When it had a frame last."""


class Pace:
    """The schedule of all cameras that share a box."""

    def __init__(self, cameras: Iterable[str], fps: float | Mapping[str, float]) -> None:
        """fps: looks per second that each camera is to have."""
        # Never changed while others may read it: one more camera makes another dict.
        self._turns = {
            name: _Turn(fps[name] if isinstance(fps, Mapping) else fps) for name in cameras
        }
        self._looks = self._busy_s = 0.0
        self._now_s = -math.inf

    def due(self, now_s: float, feeds: Mapping[str, Waits]) -> list[str]:
        """Whose frame is to be taken now, those first that wait longest; they count as taken.

        Cameras that are not live are due whenever they have a frame.

        Args:
            now_s: by the clock of the frames' `arrived_s`.
            feeds: of the cameras, by name.
        """
        self._now_s = now_s
        ready: list[tuple[float, str]] = []
        early = EARLY if self.load > TIGHT else 0.0
        for name, feed in feeds.items():
            turn, arrived_s = self._turns[name], feed.waiting_s()
            turn.live = feed.live
            if arrived_s is None:
                continue
            turn.seen_s = now_s
            if feed.live and now_s - arrived_s > STALE_S:
                feed.skip("stale")
            elif not feed.live or turn.due_s - early / turn.fps <= now_s:
                ready.append((turn.due_s, name))
        if not any(self._turns[n].due_s <= now_s or not feeds[n].live for _, n in ready):
            return []
        chosen = [name for _, name in sorted(ready)[: self._most()]]
        for name in chosen:
            self._took(self._turns[name], now_s)
        return chosen

    def spent(self, cameras: Sequence[str], busy_s: float) -> None:
        """What it cost to score a frame of each of these cameras, with all that belongs to it."""
        # Old looks fade with the work that is done, so that an idle box forgets nothing.
        keep = max(0.0, 1 - max(busy_s / MEMORY_S, len(cameras) / MEMORY))
        self._looks = keep * self._looks + len(cameras)
        self._busy_s = keep * self._busy_s + busy_s

    def wait_s(self, now_s: float) -> float:
        """How long nobody will be due who is not, at most `IDLE_S`: a bell may ring before."""
        later = [turn.due_s - now_s for turn in self._turns.values() if turn.due_s > now_s]
        return min([IDLE_S, *later])

    def want(self, camera: str, fps: float) -> None:
        """Another rate for one camera, or a rate for one more."""
        if camera in self._turns:
            self._turns[camera].fps = fps
        else:
            self._turns = {**self._turns, camera: _Turn(fps)}

    def drop(self, camera: str) -> None:
        """One camera less; nothing happens where it is not known."""
        self._turns = {name: turn for name, turn in self._turns.items() if name != camera}

    def wanted(self, camera: str) -> float:
        """Looks per second that a camera is to have; 0 of one that is not looked at."""
        turn = self._turns.get(camera)
        return 0.0 if turn is None else turn.fps

    @property
    def cost_s(self) -> float:
        """Seconds that one look takes; 0 before the first."""
        return self._busy_s / self._looks if self._looks else 0.0

    @property
    def load(self) -> float:
        """The share of the time that all wanted looks would take; above 1 there is not enough."""
        there = [t for t in self._turns.values() if t.live and self._now_s - t.seen_s < AWAY_S]
        return sum(turn.fps for turn in there) * self.cost_s

    @property
    def share(self) -> float:
        """The share of the wanted looks that there is time for; 1: all of them."""
        return min(1.0, BUSY / self.load) if self.load else 1.0

    def _most(self) -> int:
        """How many frames at once."""
        return max(1, int(TOGETHER_S / self.cost_s)) if self.cost_s else len(self._turns)

    def _took(self, turn: _Turn, now_s: float) -> None:
        period_s = 1 / (turn.fps * self.share)
        # Who was late keeps the rhythm, but does not catch up on what was missed.
        turn.due_s = max(turn.due_s + period_s, now_s + min(period_s / 2, period_s - 1e-3))


def rate_for(wanted: float | None, camera_fps: float) -> float:
    """Looks per second for a camera of some rate where a RUN learned at another.

    A camera that is hardly faster is looked at as often as it has frames: to leave out every fifth
    would make that step a jump. One that is slower gives every frame it has, and no time is kept
    for more.

    Args:
        wanted: the RUN's rate; None: not known.
        camera_fps: the camera's; 0: not known.
    """
    if wanted is None:
        return camera_fps or 25.0
    if wanted < camera_fps <= wanted * NEAR:
        return camera_fps
    # Slightly more than it has: who is due before a frame comes misses none.
    return min(wanted, camera_fps * NEAR) if camera_fps else wanted
