"""What a live camera has shown since its calibration, light by light: normal peaks, alarms.

    seen = Seen(calibration)
    seen.take(score, pts_s, light, alarmed=...)     # every scored frame
    seen.alarm(id, light, threshold)                # an event is over, and nobody has looked at it
    seen.add_peak(score, light, id)                 # somebody has: a false alarm
    seen.confirm(id)                                # somebody has: it was real
    footage, live_h = seen.footage(light)           # what is normal, of the days that count

Peaks are found hour by hour (`calibration.hour`); frames within `gap_s` of an alarm do not count,
nor does their time. Evidence is that of the last `WINDOW` days, the calibration's days included.
Clock times play no part: a day is 24 hours of scored stream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from oddframe.calibration.changes import Alarm, Judged
from oddframe.calibration.drift import Shift, shift_of
from oddframe.calibration.hour import Hour
from oddframe.calibration.light import modes_of
from oddframe.calibration.peaks import Footage
from oddframe.calibration.refit import evidence_of

WINDOW = 14
"""Days that count; what is older is forgotten."""
MOST_PEAKS = 600
"""Largest peaks that are kept of each light, and events of all, at least (`most_of`)."""
MOST_PER_DAY = 100.0
"""Where more alarms a day are wanted nothing goes on by itself: so many would have to be kept."""
MOST_JUDGED = 100
"""What was said of an event before so many others is not taken back any more."""
WEEK_H = 168.0
ALL = ""
"""The light of calibrations that know none, and of frames whose light is not known."""
NOTHING = Footage.joined([])


def most_of(per_day: float) -> int:
    """How many peaks, and how many events, are kept where so many alarms a day are wanted: twice
    those of all days that count, else the threshold would be looked for below what is kept."""
    return max(MOST_PEAKS, math.ceil(2 * WINDOW * per_day))


class Seen:
    """The live footage of one camera; of one thread.

    calibration: what it began with, by `calibration.calibrate`.
    """

    def __init__(self, calibration: Mapping[str, Any]) -> None:
        self.alarms: list[Alarm] = []
        """Not looked at, newest last."""
        self.judged: list[Judged] = []
        """Looked at, newest last: what was said may be taken back."""
        self.hours = 0.0
        """Of live stream that were scored."""
        self._by_light = bool(modes_of(calibration))
        self._known = evidence_of(calibration)
        """Per light what the calibration was made of."""
        self._known_h = float(calibration["hours"])
        days = [int(part.day.max()) + 1 for part in self._known.values() if len(part.day)]
        self._first_day = max(days, default=0)
        """Of the live footage; those before are the calibration's."""
        ends = [float(part.at_h.max()) + 1 for part in self._known.values() if len(part.at_h)]
        self._first_h = max(ends, default=0.0)
        self._live: dict[str, Footage] = {}
        self._alarms_seen: list[float] = []
        """When the threshold was passed, in hours of stream."""
        self._above_s = -math.inf
        """When a frame was last above it, by the stream's clock."""
        self._most = most_of(float(calibration["alarms_per_day"]))
        self._gap_s = float(calibration["gap_s"])
        self._hour = Hour(self._gap_s)

    # ---- what comes

    def take(
        self, score: float, pts_s: float, light: object = None, *, alarmed: bool = False,
        since_s: float | None = None, above: bool = False,
    ) -> None:  # fmt: skip
        """The next frame of the stream; NaN where it has no score, or nobody is told of events.

        Args:
            score: of any frame, in alarm or not.
            pts_s: on the stream's clock. Where that goes back, a new stretch begins.
            light: as `calibrate` had it in `modes`; None: not known.
            alarmed: an event is open. Its frames do not count, nor do those within `gap_s` of it.
            since_s: when it began, which may be before it was told; also of what is none yet.
            above: the score is at or above the threshold of its time, whoever is told of it.
        """
        if self._hour.ends_before(pts_s):
            self._live, self.hours = self._closed()
            self._hour = Hour(self._gap_s)
        self._hour.add(score, pts_s, self.key(light), alarmed, since_s)
        if above:
            if not 0 <= pts_s - self._above_s <= self._gap_s:
                self._alarms_seen = [*self._alarms_seen, self.hours][-self._most :]
            self._above_s = pts_s

    def alarm(self, id: str, light: object, threshold: float, level: float = 1.0) -> None:
        """An event is over, and what it was is not known yet; the threshold is that of its time.

        level: that it reached, as far as it counts: at most 1.
        """
        self.alarms.append(Alarm(id, self.key(light), self.hours, level * threshold, level))
        if len(self.alarms) > self._most:
            self.alarms.remove(next((a for a in self.alarms if a.level < 1), self.alarms[0]))

    def add_peak(self, score: float, light: object = None, id: str | None = None) -> None:
        """An event was a false alarm: its peak is a normal one."""
        known = self._taken(id)
        key = known.light if known else self.key(light)
        at_h = known.at_h if known else self.hours
        self._live[key] = self._joined(self._live, key, Footage.one(score), at_h)
        self._judge(known, score)

    def confirm(self, id: str) -> None:
        """An event was real: it is no part of what is normal."""
        self._judge(self._taken(id), None)

    def take_back(self, id: str) -> None:
        """What was said of an event is taken back: it waits again, and its peak counts no more."""
        known = next((j for j in self.judged if j.alarm.id == id), None)
        if known is None:
            return
        alarm, self.judged = known.alarm, [j for j in self.judged if j is not known]
        self.alarms = sorted([*self.alarms, alarm], key=lambda a: a.at_h)
        live = self._live.get(alarm.light)
        if known.score is not None and live is not None:
            self._live[alarm.light] = live.without(known.score, self.footage_h(alarm))

    def forget_from(self, at_h: float) -> None:
        """Forget what was learned from the day of that hour on."""
        stop = self._day(at_h)
        self._live = {key: part.of_days(stop=stop) for key, part in self._live.items()}
        self.alarms = [a for a in self.alarms if self._day(a.at_h) < stop]
        self._hour = Hour(self._gap_s)

    # ---- what is known

    def key(self, light: object) -> str:
        """The light that a frame counts for."""
        return ALL if light is None or not self._by_light else str(light)

    @property
    def lights(self) -> list[str]:
        """Those of which there is live footage."""
        return sorted(self._live)

    def footage(self, key: str) -> tuple[Footage, float]:
        """Normal footage of a light, of the days that count, and how many hours of it are live."""
        known, live = self._parts(key)
        return Footage.joined([known, live]), live.total_h

    def depth(self, key: str) -> float:
        """Above it all peaks of `footage` are known; see `Footage.depth`."""
        pairs = zip(self._whole(key), self._parts(key), strict=True)
        return max((whole.depth for whole, part in pairs if len(part.day)), default=-math.inf)

    def waiting(self, key: str) -> list[Alarm]:
        """Alarms of a light, of the days that count, that nobody has looked at; newest last."""
        return [a for a in self.alarms if a.light == key and self._day(a.at_h) >= self._oldest]

    def footage_h(self, alarm: Alarm) -> float:
        """When an alarm was, in hours as `Footage.at_h` counts them."""
        return self._first_h + alarm.at_h

    def of_a_week(self) -> int:
        """How often the threshold was passed in the last seven days; times less than `gap_s` apart
        are one. Not events: these go by rules, and what is promised does not."""
        return sum(at_h >= self.hours - WEEK_H for at_h in self._alarms_seen)

    def shift(self, key: str, threshold: float) -> Shift | None:
        """Where normal scores of a light lie, if it is elsewhere than they did; by whole days."""
        live = self._live.get(key, NOTHING)  # none in its first hour
        whole = live.of_days(stop=self._day(self.hours))
        return shift_of(self._known.get(key, NOTHING), whole, threshold, self._known_h)

    # ---- over restarts

    def plain(self) -> dict[str, Any]:
        """All that has to outlive a restart, as JSON; the hour that is open as if it were over."""
        live, hours = self._closed()
        return {
            "alarms": [asdict(a) for a in self.alarms],
            "judged": [asdict(j) for j in self.judged],
            "alarms_seen": self._alarms_seen,
            "seen_h": hours,
            "live": {key: part.plain() for key, part in live.items()},
        }

    def go_on(self, values: Mapping[str, Any]) -> None:
        """Go on from what `plain` gave."""
        self.alarms = [Alarm(**a) for a in values["alarms"]]
        judged = values.get("judged", ())  # none in what was written before there was any
        self.judged = [Judged(Alarm(**j["alarm"]), j["score"]) for j in judged]
        self._alarms_seen = list(values["alarms_seen"])
        self.hours = values["seen_h"]
        self._live = {key: Footage.read(part) for key, part in values["live"].items()}

    # ---- helpers

    def _parts(self, key: str) -> list[Footage]:
        """Of a light, what is known of the days that count: the calibration's, and the live."""
        return [part.of_days(self._oldest) for part in self._whole(key)]

    def _whole(self, key: str) -> tuple[Footage, Footage]:
        """The same of all days: the largest peaks were kept of these, and not of each day."""
        return self._known.get(key, NOTHING), self._live.get(key, NOTHING)

    @property
    def _oldest(self) -> int:
        """The first of the days that count."""
        return self._day(self.hours) - WINDOW + 1

    def _day(self, at_h: float) -> int:
        """The day of an hour of the live stream, the calibration's counted before."""
        return self._first_day + math.floor(at_h / 24)

    def _closed(self) -> tuple[dict[str, Footage], float]:
        """Live footage and its hours, the hour that is open as if it were over."""
        found, hours = self._hour.found()
        live = dict(self._live)
        for key, part in found.items():
            live[key] = self._joined(live, key, part, self.hours)
        return live, self.hours + hours

    def _joined(self, live: Mapping[str, Footage], key: str, part: Footage, at_h: float) -> Footage:
        """The live footage of a light with more, from that hour on."""
        later = part.later(self._day(at_h), self._first_h + at_h)
        joined = Footage.joined([live.get(key, NOTHING), later])
        return joined.of_days(self._oldest).largest(self._most)

    def _taken(self, id: str | None) -> Alarm | None:
        """An alarm that somebody has looked at, out of those that wait."""
        known = next((a for a in self.alarms if a.id == id), None)
        self.alarms = [a for a in self.alarms if a is not known]
        return known

    def _judge(self, alarm: Alarm | None, score: float | None) -> None:
        if alarm is not None:
            self.judged = [*self.judged, Judged(alarm, score)][-MOST_JUDGED:]
