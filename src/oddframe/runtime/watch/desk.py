"""What is made of one camera's scores: events with pictures and clips, minutes, gaps.

    desk.take(look)          # one scored frame
    desk.silent(why, ...)    # no score from now on: lost, moved, disarmed
    desk.tend()              # now and then: what a full disk kept back

Everything here is of the engine's thread. A disk that is full costs what cannot be written now:
events wait in memory and are written when there is space; pictures and minutes are given up and
counted. Nothing of it stops the scores.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from oddframe.errors import OddframeError
from oddframe.events.clip import ClipWriter, Cutter, write_snapshot
from oddframe.events.event import Ended, Event, Severity
from oddframe.events.ring import ClipConfig, Ring
from oddframe.events.store import Store, StoreError
from oddframe.events.tracker import Moment, Tracker
from oddframe.events.why import streams_of
from oddframe.pictures import Picture
from oddframe.runtime.watch.album import Album, Glance
from oddframe.runtime.watch.meters import CameraMeters, Meters
from oddframe.runtime.watch.pardons import Pardons
from oddframe.scoring.spots import NO_SPOTS, Spots
from oddframe.types import Score

log = logging.getLogger("oddframe.runtime.watch")

START, HISTORY, ZONES, FAILED = "off", "history", "zones", "failed"
"""Why there is no score: oddframe was not running; the history is not full yet; zones or masks do
not fit the picture; an error that nobody thought of."""
MOST_WAITING = 1000
"""Events that wait in memory for a disk that is full; the oldest updates go first."""


@dataclass(frozen=True, slots=True)
class Look:
    """One frame of a camera and its score."""

    picture: Picture
    t_utc: float
    """Wall clock of its arrival."""
    pts_s: float
    """Stream clock."""
    score: Score
    threshold: float
    width: int
    height: int
    factors: Mapping[str, float] | None = None
    """See `events.why.reasons`."""
    spots: Spots = NO_SPOTS
    """What is odd in it, where it is near an alarm."""
    dropped: int = 0
    """Frames since the look before that were not looked at (`Feed.left_out`)."""


@dataclass(frozen=True, slots=True)
class Told:
    """A sink by its name, and what it wants to hear of."""

    name: str
    severities: tuple[Severity, ...]


@dataclass(frozen=True, slots=True)
class Office:
    """What all desks share."""

    store: Store
    clips: ClipWriter
    sinks: Sequence[Told]
    meters: Meters
    clip: ClipConfig


class Desk:
    """One camera's events.

    Args:
        tracker: of the camera.
        office: store, writer of clips, sinks.
        said: called with every event that is new to tell, after it was put.
    """

    def __init__(
        self, tracker: Tracker, office: Office, said: Callable[[Event], object] | None = None
    ) -> None:
        self.camera, self.tracker = tracker.camera, tracker
        self._office, self._said = office, said
        self._ring = Ring(office.clip)
        self._cutter = Cutter(self.camera, self._ring, office.clip)
        self._best: tuple[float, Picture] | None = None
        """Level and picture of the highest frame of what is open, or may yet become an event."""
        self._drawn = -math.inf
        """Level of the picture that was written last."""
        self._snapshot: str | None = None
        self._severity: Severity = "detection"
        """Of the open event, as it was told last."""
        self._waiting: deque[Event] = deque()
        self._blind: str | None = START
        """Why there is no score now; as long as there was none yet, the gap since the last run."""
        self._last: Look | None = None
        known = (self.camera, tracker.run, office.store, tracker.rules.keep_level)
        self.pardons, self._album = Pardons(*known), Album(*known)

    @property
    def meters(self) -> CameraMeters:
        """Of this camera."""
        return self._office.meters.cameras[self.camera]

    @property
    def waiting(self) -> int:
        """Events that could not be written yet."""
        return len(self._waiting)

    def take(self, look: Look) -> None:
        """One scored frame, in order of time."""
        level = look.score.level
        self._ring.push(look.t_utc, look.pts_s, look.picture)
        if math.isnan(look.score.score):
            self._blinded(HISTORY, look.t_utc)
        elif self._blind is not None:
            self._sees(look.t_utc)
        told = self.tracker.take(moment(look))
        ended = [event for event in told if event.state == "end"]
        for event in ended:  # before the frame, which is no part of them
            self._tell(event, look)
        if self.tracker.since_s is None:
            self._best = None  # it did not become an event
        else:
            self._remember(level, look.picture)
        for event in told[len(ended) :]:
            self._tell(event, look)
        opened = self.tracker.open is not None
        self._album.take(Glance(look.t_utc, level, look.picture, look.spots), opened)
        self.pardons.interest = self._album.interest
        self._after(look)

    def silent(self, why: Ended, words: str, t_utc: float) -> None:
        """No score from now on, and the past is gone: an open event is closed and saved."""
        for event in self.tracker.gap(why):
            self._tell(event, self._last)
        for cut in self._cutter.flush():
            self._office.clips.submit(cut)
        self._ring.clear()
        self._album.clear()
        self._note(self.pardons.keep)
        self._best, self._last = None, None
        meters = self.meters
        meters.score = meters.level = math.nan
        meters.anomaly = False
        self._blinded(words, t_utc)

    def armed(self, on: bool) -> None:
        """Switch alarms on or off; scores go on."""
        for event in self.tracker.armed(on):
            self._tell(event, self._last)

    def write(self, event: Event) -> None:
        """An event as it is, onto the disk and to whoever listens: of a camera that is away, or
        one that was told by the tracker and has its picture."""
        try:
            if self._waiting:  # in their order
                raise StoreError("others wait before it")
            self._put(event)
        except StoreError as error:
            self._keep(event, error)
        log.log(
            logging.WARNING if event.severity == "alert" else logging.INFO, "%s", told(event),
            extra={"camera": self.camera, "event": event.id, "state": event.state},
        )  # fmt: skip

    def tend(self) -> None:
        """Try again what could not be written; take in what was said of events since."""
        self._note(self.pardons.tend)
        self._album.tend()
        while self._waiting:
            try:
                self._put(self._waiting[0])
            except StoreError:
                return
            self._waiting.popleft()

    def give_up(self) -> None:
        """At the end: say what could not be written."""
        for event in self._waiting:
            log.error("%s: an event is lost: %s", self.camera, event.plain())
        self._waiting.clear()

    def _remember(self, level: float, picture: Picture) -> None:
        if level >= self.tracker.rules.keep_level and (self._best is None or level > self._best[0]):
            self._best = (level, picture)

    def _tell(self, event: Event, look: Look | None) -> None:
        """An event that is new to tell: with its picture, onto the disk, and to whoever listens."""
        if event.state == "start":
            self._drawn, self._snapshot = -math.inf, None
        event = replace(event, snapshot=self._picture(event))
        if look is not None:
            self._film(event, look)
        if event.state == "end":
            self._best = None
        else:
            self._count(event)
        self.write(event)
        self._album.told(event)

    def _count(self, event: Event) -> None:
        """Each event once, and once more where it becomes an alert."""
        if event.state == "start" or (event.severity == "alert" and self._severity == "detection"):
            self.meters.events[event.severity] += 1
        self._severity = event.severity

    def _put(self, event: Event) -> None:
        sinks = [s.name for s in self._office.sinks if event.severity in s.severities]
        self._office.store.put(event, sinks, film=not event.away)
        if self._said is not None:
            self._said(event)

    def _keep(self, event: Event, error: StoreError) -> None:
        self._office.meters.faults["store"] += 1
        if not self._waiting:
            log.error("%s: events wait in memory: %s", self.camera, error)
        self._waiting.append(event)
        if len(self._waiting) > MOST_WAITING:
            kept = [e for e in self._waiting if e.state != "update"]
            if len(kept) == len(self._waiting):
                log.error("%s: an event is lost: %s", self.camera, kept[0].id)
                kept = kept[1:]
            self._waiting = deque(kept)

    def _picture(self, event: Event) -> str | None:
        """The snapshot of the peak, written where it is a higher one than that on the disk."""
        if self._best is None or self._best[0] <= self._drawn:
            return self._snapshot
        level, picture = self._best
        try:
            self._snapshot = write_snapshot(self._office.store.folder, event, picture.whole())
            self._drawn = level
        except (OddframeError, OSError) as error:
            self._office.meters.faults["snapshot"] += 1
            log.error("%s: no picture of %s: %s", self.camera, event.id, error)
        return self._snapshot

    def _film(self, event: Event, look: Look) -> None:
        start = self._ring.pts_at(event.start_utc)
        start = look.pts_s if start is None else start
        if event.state == "start":
            self._cutter.begins(event.id, start)
        elif event.state == "end" and event.end_utc is not None:
            self._cutter.ends(event.id, start + event.end_utc - event.start_utc)

    def _after(self, look: Look) -> None:
        """What every frame is followed by: clips that are due, the minute, an open event's sign."""
        for cut in self._cutter.due(look.pts_s):
            self._office.clips.submit(cut)
        self._last = look
        meters = self.meters
        meters.score, meters.level = look.score.score, look.score.level
        meters.anomaly = self.tracker.open is not None
        try:
            self._office.store.minute(self.camera, look.t_utc, look.score.level, look.dropped)
            opened = self.tracker.open
            alarmed = look.score.level >= self.tracker.rules.keep_level
            if opened is not None and alarmed and not self._waiting:
                self._office.store.touch(opened.id, look.t_utc)
        except StoreError:
            self._office.meters.faults["store"] += 1

    def _blinded(self, why: str, t_utc: float) -> None:
        # A history that is not full yet is no reason any more.
        begun = why in (ZONES, FAILED) and self._blind in ("start", HISTORY)
        if begun or (self._blind == START and why != HISTORY):  # what was before has another one
            self._sees(t_utc)
        if self._blind is None:
            self._note(lambda: self._office.store.gap_begins(self.camera, t_utc, why))
            self._blind = why

    def _sees(self, t_utc: float) -> None:
        self._note(lambda: self._office.store.gap_ends(self.camera, t_utc))
        self._blind = None

    def _note(self, write: Callable[[], object]) -> None:
        try:
            write()
        except StoreError:
            self._office.meters.faults["store"] += 1


def moment(look: Look) -> Moment:
    """A look as the tracker takes it: the streams by their names, NaN where there is no score."""
    s = look.score
    return Moment(
        look.t_utc, look.pts_s, s.level, s.score, look.threshold, streams_of(s.terms), s.heat,
        look.width, look.height, look.factors,
    )  # fmt: skip


def told(event: Event) -> str:
    """An event in one line."""
    what = {"start": "begins", "update": "goes on", "end": f"is over ({event.ended})"}[event.state]
    where = f" in {', '.join(event.zones)}" if event.zones else ""
    why = f": {event.reasons[0]}" if event.reasons and event.state != "end" else ""
    level = "" if event.away else f", level {event.peak_level:.2f}"
    kind = "absence" if event.away else event.severity
    return f"{event.camera}: {kind} {what}{where}{level}{why}"
