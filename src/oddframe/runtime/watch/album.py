"""What a camera's events looked like, and the most unusual of what was none.

    album.take(glance, alarmed)     # every scored frame, after the tracker
    album.told(event)               # an event began, got worse, or is over, and is in the store
    album.tend()                    # now and then: what is to be written
    album.clear()                   # no score from now on

An event is described while it is open, so that a verdict may come days later; its description is
written when it is told. Once in an hour, at most, the frame that came nearest to an alarm is kept
with its picture: what an event can be held against (why did it ring, and this did not?).
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from oddframe.errors import OddframeError
from oddframe.events.event import Event
from oddframe.events.ring import to_jpeg
from oddframe.events.store import Normal, Store
from oddframe.pictures import Image, Picture
from oddframe.scoring.exemplars import Gathered
from oddframe.scoring.spots import Spots

log = logging.getLogger("oddframe.runtime.watch")

HOUR_S = 3600.0
"""Of it one frame is kept."""
LEAST_LEVEL = 0.5
"""Below it a frame is nothing to show."""
NEAR_S = 30.0
"""Frames so shortly before an event belong to it."""
WIDTH, QUALITY = 480, 80
"""Of the pictures that are kept: 60 of a camera are 3 MB."""
MOST_LATE = 50
"""Descriptions that wait because their events do, for a disk that is full."""
STEP_S, BEFORE_S, MOST_POINTS = 0.2, 10.0, 240
"""Of the levels around an event: the highest of so long, from so long before it, so many; of one
that lasts, neighbours become one."""

Levels = list[tuple[float, float]]
"""(time, level) each."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One scored frame, as the album sees it."""

    t_utc: float
    level: float
    picture: Picture
    spots: Spots
    """What is odd in it, and not pardoned."""


class Album:
    """Of one camera; of the engine's thread.

    Args:
        camera: its name.
        run: hash of the weights that score it.
        store: where all of it is kept.
        keep_level: level from which a frame belongs to an event (`Rules`).
        clock: `time.monotonic`, for tests.
    """

    def __init__(
        self, camera: str, run: str, store: Store, keep_level: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._camera, self._run, self._store, self._keep = camera, run, store, keep_level
        self._clock, self._kept = clock, clock()
        self._gathered, self._trace = Gathered(), Trace()
        self._open: str | None = None
        """Id of the event that is described."""
        self._due = False
        self._late: dict[str, tuple[bytes, Levels]] = {}
        self._best: Glance | None = None
        """The nearest to an alarm since the last that was kept."""
        self._now = 0.0

    @property
    def interest(self) -> float:
        """Level from which a frame is worth a look though it is below the keep level."""
        return LEAST_LEVEL if self._best is None else self._best.level

    def take(self, glance: Glance, alarmed: bool) -> None:
        """The next frame; `alarmed`: an event is open."""
        level, self._now = glance.level, glance.t_utc
        if math.isnan(level):
            return
        self._trace.add(glance.t_utc, level)
        if level >= self._keep:
            self._gathered.add(glance.spots)
        elif not alarmed:
            self._calm(glance)
        if self._due:
            self._due = False
            self._write()

    def told(self, event: Event) -> None:
        """An event as it is told."""
        self._open, self._due = event.id, True  # with the frame of now
        if event.state == "end":
            self._write()
            self._open, self._due, self._gathered = None, False, Gathered()
        elif self._best is not None and event.start_utc - self._best.t_utc < NEAR_S:
            self._best = None

    def tend(self) -> None:
        """Write what waits, and once in an hour the frame that came nearest to an alarm."""
        for event_id in list(self._late):
            self._describe(event_id, *self._late.pop(event_id))
        best, now = self._best, self._clock()
        if now - self._kept < HOUR_S or best is None or abs(self._now - best.t_utc) < NEAR_S:
            return
        self._best, self._kept = None, now
        spots = best.spots.to_bytes()
        normal = Normal(self._camera, self._run, best.t_utc, best.level, spots)
        try:
            self._store.keep_normal(normal, to_jpeg(_small(best.picture.whole()), QUALITY))
        except (OddframeError, OSError) as error:
            log.warning("%s: no picture of what raised no alarm: %s", self._camera, error)

    def clear(self) -> None:
        """What was seen is of before."""
        self._gathered, self._trace = Gathered(), Trace()
        self._open, self._due = None, False

    def _calm(self, glance: Glance) -> None:
        """Nothing is open."""
        if len(self._gathered.spots):
            self._gathered = Gathered()
        self._trace.calm()
        if len(glance.spots) and glance.level >= self.interest:
            self._best = glance

    def _write(self) -> None:
        if self._open is not None:
            spots = self._gathered.spots
            data = spots.to_bytes() if len(spots) else b""
            self._describe(self._open, data, self._trace.levels)

    def _describe(self, event_id: str, spots: bytes, levels: Levels) -> None:
        try:
            known = self._store.describe(event_id, spots, levels)
        except OddframeError:  # the disk is full: so is the event's place
            known = False
        if not known:
            self._late[event_id] = spots, levels
            while len(self._late) > MOST_LATE:
                del self._late[next(iter(self._late))]


class Trace:
    """Levels around an event, few enough to be drawn."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque()
        self._step = STEP_S

    @property
    def levels(self) -> Levels:
        """In order of time."""
        return list(self._points)

    def add(self, t_utc: float, level: float) -> None:
        """The next frame."""
        points = self._points
        if points and 0 <= t_utc - points[-1][0] < self._step:
            points[-1] = points[-1][0], max(level, points[-1][1])
            return
        points.append((t_utc, level))
        if len(points) > MOST_POINTS:
            self._step *= 2
            self._points = deque()
            for each in points:
                self.add(*each)

    def calm(self) -> None:
        """Nothing is open: what is long ago is forgotten."""
        self._step = STEP_S
        while self._points and not 0 <= self._points[-1][0] - self._points[0][0] <= BEFORE_S:
            self._points.popleft()


def _small(image: Image) -> Image:
    h, w = image.shape[:2]
    if w <= WIDTH:
        return image
    size = (WIDTH, max(1, round(h * WIDTH / w)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
