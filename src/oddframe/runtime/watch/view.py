"""What can be seen of a camera: its newest frame with its score, and the last minutes of scores.

    camera.view                     # any thread: one object, never changed, replaced by the next
    camera.recent.since(120.0)      # (n, 3) times, levels and scores

Made by the engine's thread for every frame that is scored, watched or not: one object and one row
of numbers, nothing is copied or encoded. Who wants a picture of it makes it elsewhere.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddframe.events.event import Event
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.types import Score

KEPT = 6000
"""Scores that are kept of a camera: ten minutes at ten a second, 144 kB."""
MOST_TOLD = 256
"""Events that are kept for who asks what is new."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A camera's newest frame. Another object is another frame."""

    frame: LiveFrame | None = None
    """None before the first."""
    score: Score | None = None
    """None where it was not scored: the camera has no RUN yet, or its zones do not fit."""
    threshold: float = math.nan
    """Of this frame; NaN without a score."""
    event: str | None = None
    """Id of the event that is open."""


class Recent:
    """The scores of the last minutes; one thread adds, any may read."""

    def __init__(self, size: int = KEPT) -> None:
        self._rows = np.full((size, 3), np.nan)
        self._count = 0
        self._lock = threading.Lock()

    def add(self, t_utc: float, level: float, raw: float) -> None:
        """The next frame; NaN where it has no score."""
        with self._lock:
            self._rows[self._count % len(self._rows)] = t_utc, level, raw
            self._count += 1

    def blind(self, t_utc: float) -> None:
        """No score from now on, so that no line is drawn across."""
        last = self._rows[(self._count - 1) % len(self._rows)]
        if self._count and not math.isnan(last[1]):
            self.add(max(t_utc, float(last[0])), math.nan, math.nan)

    def since(self, seconds: float) -> NDArray[np.float64]:
        """(n, 3) wall clock, level and score of the last seconds before the newest, in order."""
        with self._lock:
            size = len(self._rows)
            start = self._count % size if self._count > size else 0
            rows = np.roll(self._rows, -start, axis=0)[: self._count]
        return rows[rows[:, 0] >= rows[-1, 0] - seconds] if len(rows) else rows


class News(NamedTuple):
    """What was told of events since somebody asked."""

    number: int
    """Ask with it next time."""
    events: tuple[Event, ...]
    """The oldest first."""


class Telling:
    """Events as they are told, for whoever asks what is new; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: deque[Event] = deque(maxlen=MOST_TOLD)
        self._number = 0

    def add(self, event: Event) -> None:
        """Something is told of an event."""
        with self._lock:
            self._told.append(event)
            self._number += 1

    def since(self, number: int) -> News:
        """What was told after the news of that number; of a number from 0 on, all that is kept."""
        if number == self._number:  # asked many times a second
            return News(number, ())
        with self._lock:
            new = min(max(self._number - number, 0), len(self._told))
            found = tuple(self._told)[len(self._told) - new :]
            return News(self._number, found)

    @property
    def number(self) -> int:
        """Of the newest."""
        return self._number
