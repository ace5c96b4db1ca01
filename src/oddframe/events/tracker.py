"""From levels to events: what one camera's scored frames begin, make worse and end.

    tracker = Tracker("gate", Rules(), zones)
    for moment in moments:
        for event in tracker.take(moment): ...      # start, update, end
    tracker.close("stopped")

It has no clock of its own: the same moments give the same events, only their ids are drawn. Order
and durations are of the stream's clock; the wall clock is read once per event, at its start. All
that it remembers is plain and can be copied and pickled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from oddframe.errors import ConfigError
from oddframe.events.event import Box, Ended, Event, State, new_id
from oddframe.events.rules import Rules
from oddframe.events.schedule import Schedule
from oddframe.events.where import MOST, Place, largest, places
from oddframe.events.why import reasons
from oddframe.events.zones import Zone, check, severity
from oddframe.types import Map

STAMP_S = 1e-6
"""Stamps are rounded: what is later by no more than this is not later."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One scored frame, as the tracker sees it."""

    t_utc: float
    """Wall clock of its arrival, seconds since 1970."""
    pts_s: float
    """Stream clock: order and durations come from it."""
    level: float
    """score / threshold; NaN: no score."""
    score: float
    threshold: float
    streams: Mapping[str, float]
    """z per stream, in deviations of normal footage."""
    heat: Map | None
    """(size, size) over the whole picture: unusualness in units of score; None: nobody knows where
    it is, so that no zone is touched."""
    width: int
    """Of the source's picture, in pixels."""
    height: int
    factors: Mapping[str, float] | None = None
    """Times per stream, for the reasons (`why.reasons`)."""


@dataclass(slots=True)
class _Case:
    """An event, or what may become one."""

    event: Event
    """As it is known now."""
    start_pts: float
    last_pts: float
    """Of the last frame in alarm: at or above the keep level."""
    quiet: bool
    """It is a detection, whatever comes."""
    told: Event | None = None
    """As it was told last; None of what may yet become an event."""
    told_pts: float = 0.0


class Tracker:
    """The events of one camera.

    Args:
        camera: its name.
        rules: when events begin and end.
        zones: of its picture.
        run: hash of the weights that score.
        schedule: when alarms are armed; None: always.
        ids: gives an event's id of its start.

    Raises:
        ConfigError: zones of one name, or at odds with the rules.
    """

    def __init__(
        self,
        camera: str,
        rules: Rules,
        zones: Sequence[Zone] = (),
        run: str = "",
        schedule: Schedule | None = None,
        ids: Callable[[float], str] = new_id,
    ) -> None:
        check(rules, zones)
        self.camera, self.rules, self.zones, self.run = camera, rules, tuple(zones), run
        self.schedule, self._ids = schedule, ids
        self._on = True
        self._case: _Case | None = None
        self._last: tuple[float, float] | None = None
        """Wall and stream clock of the last moment."""
        self._broken = False
        """The next moment is of another stream clock."""
        self._alert_end: float | None = None
        """Stream clock at the end of the last alert."""
        self._hottest: dict[Box, float] = {}
        """Where the raise level was reached since the event began, and when it was last hottest
        there."""

    @property
    def open(self) -> Event | None:
        """The open event as it is known now, None while none is told."""
        return self._case.event if self._case and self._case.told else None

    @property
    def since_s(self) -> float | None:
        """Stream clock at the start of what is open, or may yet become an event; None in calm."""
        return self._case.start_pts if self._case else None

    def may(self, t_utc: float) -> bool:
        """Whether there may be events at a time: alarms are on, and it is none of those at which
        the schedule wants nothing."""
        if not self._on or self.schedule is None or self.schedule.outside != "nothing":
            return self._on
        return self.schedule.armed(t_utc)

    def take(self, moment: Moment) -> list[Event]:
        """The next frame; gives what is new to tell: mostly nothing.

        Stamps that go backwards are a gap. Without a score (NaN) time passes, nothing else.
        """
        back = self._last is not None and moment.pts_s < self._last[1]
        told = self.gap("lost") if back else []
        self._pass(moment)
        level, rules = moment.level, self.rules
        if self._case is None and not level >= rules.raise_level:
            return told
        if not self.may(moment.t_utc):
            return told + self._end("disarmed")
        found = self._found(moment)
        told += self._calm(moment.pts_s) + self._elsewhere(moment, found)
        if self._case is not None:
            if level >= rules.keep_level:
                self._add(self._case, moment, found)
            elif not math.isnan(level) and self._case.told is None:
                self._case = None
        elif level >= rules.raise_level:
            self._case = self._begin(moment, found)
        return told + self._news(moment.pts_s)

    def gap(self, why: Ended) -> list[Event]:
        """The history is gone: an open event ends with its last frame in alarm, what was not yet
        one is forgotten, and the stream's clock may begin anew."""
        self._broken = True
        return self._end(why)

    def close(self, why: Ended) -> list[Event]:
        """Nothing more comes; what does come all the same is as behind a gap."""
        return self.gap(why)

    def armed(self, on: bool) -> list[Event]:
        """Switch alarms on or off: off, an open event ends and there are no others."""
        self._on = on
        return [] if on else self._end("disarmed")

    def _pass(self, moment: Moment) -> None:
        if self._broken and self._last is not None and self._alert_end is not None:
            # Only the wall clock knows how long a gap was. Set back meanwhile it says nothing, set
            # forward it ends the cool-down early: never is a camera quiet for longer than asked.
            passed = max(0.0, moment.t_utc - self._last[0])
            self._alert_end += moment.pts_s - self._last[1] - passed
        self._broken = False
        self._last = (moment.t_utc, moment.pts_s)

    def _calm(self, pts_s: float) -> list[Event]:
        """End what the merge gap has passed for."""
        case = self._case
        over = case and pts_s - case.last_pts > self.rules.merge_gap_s + STAMP_S
        return self._end("calm") if over else []

    def _found(self, moment: Moment) -> tuple[Place, ...]:
        """Where a frame in alarm is hot; with zones all places: what is in one may be small beside
        what is outside."""
        if moment.heat is None or not moment.level >= self.rules.keep_level:
            return ()
        floor, most = self.rules.keep_level * moment.threshold, None if self.zones else MOST
        return places(moment.heat, floor, moment.width, moment.height, most)

    def _elsewhere(self, moment: Moment, found: Sequence[Place]) -> list[Event]:
        """End what has lasted long where it is hottest at another place now: a car that stays
        parked would hide whatever comes after it."""
        pts_s, longest_s = moment.pts_s, self.rules.longest_s + STAMP_S
        known = {} if self._case is None else self._hottest
        self._hottest = {box: at for box, at in known.items() if pts_s - at <= longest_s}
        for place in largest(found, 1):
            near = [box for box in self._hottest if box.overlaps(place.box)]
            self._hottest.update(dict.fromkeys(near, pts_s))
            if not near and moment.level >= self.rules.raise_level:
                self._hottest[place.box] = pts_s
                case = self._case
                if case and case.told and pts_s - case.start_pts > longest_s:
                    return self._end("long")
        return []

    def _begin(self, moment: Moment, found: Sequence[Place]) -> _Case:
        """What a frame at the raise level may become."""
        end, pause = self._alert_end, self.rules.cool_down_s
        quiet = end is not None and moment.pts_s - end <= pause
        event = Event(
            "", self.camera, "start", "detection", moment.t_utc, None, moment.t_utc, -math.inf,
            moment.score, moment.threshold, moment.width, moment.height, run=self.run,
        )  # fmt: skip
        case = _Case(event, moment.pts_s, moment.pts_s, quiet)
        self._add(case, moment, found)
        return case

    def _add(self, case: _Case, moment: Moment, found: Sequence[Place]) -> None:
        """A frame in alarm."""
        event, level = case.event, moment.level
        case.last_pts = moment.pts_s
        here = self._here(moment, found)
        if level > event.peak_level:
            event = self._peak(case, moment, largest(found))
        if here.keys() - set(event.zones):
            names = [z.name for z in self.zones if z.name in here or z.name in event.zones]
            # Zones may be drawn anew while it is open: what it touched it has touched.
            event = replace(event, zones=(*(n for n in event.zones if n not in names), *names))
        if event.severity == "detection" and not case.quiet:
            made = severity(level, self.rules, self.zones, here)
            loud = made == "alert" and (self.schedule is None or self.schedule.armed(moment.t_utc))
            event = replace(event, severity="alert") if loud else event
        case.event = event

    def _here(self, moment: Moment, found: Sequence[Place]) -> dict[str, float]:
        """The zones touched, and the level there: the frame's at its hottest place, elsewhere so
        much lower as it is less hot. Else whatever is loud outside a zone would count for it."""
        here = dict[str, float]()
        hottest_first = sorted(found, key=lambda place: -place.share)
        for zone in self.zones:
            for place in hottest_first:
                if zone.overlaps(place.box, moment.width, moment.height):
                    here[zone.name] = moment.level * place.share
                    break
        return here

    def _peak(self, case: _Case, moment: Moment, found: Sequence[Place]) -> Event:
        width, height = moment.width, moment.height
        hottest = [place.box for place in found if place.share == 1]
        return replace(
            case.event,
            peak_utc=case.event.start_utc + (moment.pts_s - case.start_pts),
            peak_level=moment.level, peak_score=moment.score, threshold=moment.threshold,
            width=width, height=height,
            boxes=tuple(place.box for place in found),
            reasons=reasons(moment.streams, hottest, width, height, moment.factors),
            streams={name: float(z) for name, z in moment.streams.items() if math.isfinite(z)},
        )  # fmt: skip

    def _news(self, pts_s: float) -> list[Event]:
        """What there is to tell of the event: that it is one, or that it got worse."""
        case, rules = self._case, self.rules
        if case is None:
            return []
        event, told = case.event, case.told
        if told is None:
            lasted = case.last_pts - case.start_pts
            if lasted < rules.min_duration_s - STAMP_S:
                return []
            case.event = replace(event, id=self._ids(event.start_utc))
            return [self._tell(case, "start", pts_s)]
        grown = told.peak_level < event.peak_level >= told.peak_level * rules.update_by
        worse = grown or event.zones != told.zones
        due = pts_s - case.told_pts >= rules.update_s - STAMP_S
        if event.severity != told.severity or (worse and due):
            return [self._tell(case, "update", pts_s)]
        return []

    def _tell(self, case: _Case, state: State, pts_s: float) -> Event:
        case.event = case.told = replace(case.event, state=state)
        case.told_pts = pts_s
        return case.event

    def _end(self, why: Ended) -> list[Event]:
        """Close what is open; what was not told is forgotten."""
        case, self._case = self._case, None
        if case is None or case.told is None:
            return []
        if case.event.severity == "alert":
            self._alert_end = case.last_pts
        end_utc = case.event.start_utc + (case.last_pts - case.start_pts)
        return [replace(case.event, state="end", end_utc=end_utc, ended=why)]


def events_of(
    scores: ArrayLike, time_s: ArrayLike, threshold: float, rules: Rules
) -> list[tuple[float, float, float]]:
    """The events of a whole recording: (first second, last second, highest score) each, in order.

    Args:
        scores: (n,), NaN where there is none.
        time_s: (n,) when its frames were shown, in seconds; where it goes backwards is a gap.
        threshold: score of the alarm, above 0.
        rules: when events begin and end.

    Raises:
        ConfigError: a threshold of 0 or less, or another number of times than of scores.
    """
    values, times = np.asarray(scores, np.float64), np.asarray(time_s, np.float64)
    if not threshold > 0:
        raise ConfigError(f"A threshold must be above 0, found {threshold:g}.")
    if values.ndim != 1 or values.shape != times.shape:
        raise ConfigError(
            f"Scores need one time each in one row, found shapes {values.shape} and {times.shape}."
        )
    tracker = Tracker("", rules)
    found = list[Event]()
    for t, score in zip(times.tolist(), values.tolist(), strict=True):
        level = score if math.isnan(score) else max(score, 0.0) / threshold
        found += tracker.take(Moment(t, t, level, score, threshold, {}, None, 0, 0))
    found += tracker.close("stopped")
    return [(e.start_utc, e.end_utc, e.peak_score) for e in found if e.end_utc is not None]
