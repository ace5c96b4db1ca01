"""A calibration that goes on by itself: live footage without alarms joins what it was made of.

    running = Running(calibration)
    running.take(score, pts_s, light, alarmed=tracker.open is not None)   # every scored frame
    running.alarm(event.id, light)             # an event is over, and nobody has looked at it
    running.add_peak(score, light, event.id)   # somebody has: a false alarm
    running.confirm(event.id)                  # somebody has: it was real
    found = running.proposal()                 # now and then another calibration, or None

Three rules keep it from learning what it should report. The threshold moves by `DAILY` in a day at
most, and never beyond `BOUNDS` times what it was. Every move is a record and can be undone. And
what raised an alarm is not learned until somebody says that it was nothing.

A threshold that somebody sets by hand holds at once. From then on it follows the footage by the
same factor that the footage's own threshold moves by, within the same bounds of what was set: who
wanted it lower by a third has it lower by a third when the scores have doubled.

The third rule has a price. To leave alarms out cuts the tail off at the threshold: the law fitted
to what is left ends there, the threshold falls, more is cut off, and so on down. So an alarm that
nobody has looked at counts as a peak of which is only known that it was above the threshold of its
time (it is censored, `scoring.refit`). Of these no more count than were promised; those beyond are
taken for real, until somebody says otherwise: else real events, that no threshold drives away,
would raise it without end. On made days (`tests/scoring/test_running.py`), one alarm a day wanted,
after 30 days, six runs, median of the threshold as a share of the first and false alarms a day over
the last ten:

    alarms left out                 0.83   4.5
    censored                        0.97   1.4    with one real event a day 0.99   1.4
    somebody looks at each          1.00   1.1                              1.01   1.1
    all learned as normal                                                   1.36   0.1
    censored, 2 % higher every day  1.57   5.3    told of on days 9 to 14

Peaks are found hour by hour (`scoring.hour`); frames within `gap_s` of an alarm do not count, nor
does their time.

The evidence is that of the last `WINDOW` days, the calibration's days included. Clock times play no
part: a day is 24 hours of scored stream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np

from oddframe.scoring.calibrate import (
    FEWEST_PEAKS,
    MODE_H,
    PROVISIONAL_H,
    finished,
    kept,
    threshold_of,
)
from oddframe.scoring.changes import (
    BOUNDS,
    DAILY,
    SMALLEST,
    Alarm,
    Change,
    Judged,
    bounded,
    mark_of,
    newest,
    set_by_hand,
    since_hand,
    told,
)
from oddframe.scoring.drift import WHOLE_H, Shift, shift_of
from oddframe.scoring.hour import Hour
from oddframe.scoring.peaks import Footage
from oddframe.scoring.promise import expected_counts
from oddframe.scoring.rate import by_hand, promise_at, rate_at
from oddframe.scoring.refit import Fitted, evidence_of, refit, side_of

EVERY_H = 6.0
"""Hours of stream between two proposals."""
WINDOW = 14
"""Days that count; what is older is forgotten."""
GROWN = 1.25
"""Times the footage from which a calibration is told anew although its thresholds stay."""
SURPLUS = 2.0
"""Where more than so many times the promised alarms wait and normal scores have risen too, one time
more count: then most of them are false."""
SETTLED_H = 168.0
"""Hours of stream in which all alarms count, after a calibration of less than a day: a threshold
from a few hours is passed far more often than promised."""
SURE = 0.99
"""The alarms of a week are told of where so large a share of weeks has fewer, or more: never in 16
made months of days that stay, within 15 days where three real events a day join one alarm."""
MOST_PEAKS = 600
"""Largest peaks that are kept of each light."""
MOST_ALARMS = 300
MOST_JUDGED = 100
"""What was said of an event before so many others is not taken back any more."""
ALL = ""
"""The light of calibrations that know none, and of frames whose light is not known."""


class Running:
    """Goes on from a calibration; one camera, one thread."""

    def __init__(self, calibration: Mapping[str, Any], every_h: float = EVERY_H) -> None:
        """Begin with what `scoring.calibrate` gave, and no live footage.

        every_h: hours of stream between two proposals.
        """
        self.calibration = dict(calibration)
        """That of now: the last proposal, or what it began with."""
        self.changes: list[Change] = []
        """Newest last."""
        self.alarms: list[Alarm] = []
        """Not looked at, newest last."""
        self.judged: list[Judged] = []
        """Looked at, newest last: what was said may be taken back."""
        self.seen_h = 0.0
        """Hours of live stream that were scored."""
        self._first = dict(calibration)
        self._known = evidence_of(calibration)
        """Per light what the calibration was made of."""
        days = [int(part.day.max()) + 1 for part in self._known.values() if len(part.day)]
        self._first_day = max(days, default=0)
        """Of the live footage; those before are the calibration's."""
        ends = [float(part.at_h.max()) + 1 for part in self._known.values() if len(part.at_h)]
        self._first_h = max(ends, default=0.0)
        self._live: dict[str, Footage] = {}
        self._asked_h, self._every_h = 0.0, every_h
        self._alarms_seen: list[float] = []
        self._gap_s = float(calibration["gap_s"])
        self._hour = Hour(self._gap_s)

    def take(
        self, score: float, pts_s: float, light: object = None, *, alarmed: bool = False
    ) -> None:
        """The next frame of the stream; NaN where it has no score.

        Args:
            score: of any frame, in alarm or not.
            pts_s: on the stream's clock. Where that goes back, a new stretch begins.
            light: as `calibrate` had it in `modes`; None: not known.
            alarmed: an event is open. Its frames do not count, nor do those within `gap_s` of it.
        """
        if self._hour.ends_before(pts_s):
            self._finish()
        self._hour.add(score, pts_s, self._key(light), alarmed)

    def alarm(self, id: str, light: object = None) -> None:
        """An event is over; what it was is not known yet."""
        key = self._key(light)
        self.alarms.append(Alarm(id, key, self.seen_h, self.threshold(key)))
        self.alarms = self.alarms[-MOST_ALARMS:]
        self._alarms_seen = [*self._alarms_seen, self.seen_h][-MOST_ALARMS:]

    def add_peak(self, score: float, light: object = None, id: str | None = None) -> None:
        """An event was a false alarm: its peak is a normal one."""
        known = self._taken(id)
        key = known.light if known else self._key(light)
        at_h = known.at_h if known else self.seen_h
        self._add(key, Footage.one(score), at_h)
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
            at_h = self._first_h + alarm.at_h
            self._live[alarm.light] = live.without(known.score, at_h)

    def _judge(self, alarm: Alarm | None, score: float | None) -> None:
        if alarm is not None:
            self.judged = [*self.judged, Judged(alarm, score)][-MOST_JUDGED:]

    def threshold(self, light: object = None) -> float:
        """The threshold of now for a light."""
        return threshold_of(self.calibration, None if light == ALL else light)

    def first(self, light: object = None) -> float:
        """The threshold that it began with."""
        return threshold_of(self._first, None if light == ALL else light)

    def proposal(self) -> dict[str, Any] | None:
        """Another calibration, by all that is known; it holds from now on (`undo` takes it back).

        None before `every_h` hours of stream have passed since the last time, and where the
        thresholds would move by less than `SMALLEST`; unless they rest on so much more footage
        that other counts are to be expected: then they stay as they are, and it is no change.
        """
        if self.seen_h - self._asked_h < self._every_h:
            return None
        self._asked_h = self.seen_h
        before, sought, after = dict[str, float](), dict[str, float](), dict[str, float]()
        found = dict[str, Fitted]()
        for key in sorted(self._live):
            fitted = self._fitted(key)
            if fitted is None:
                continue
            hand, later = since_hand(key, self.changes)
            before[key], sought[key] = self.threshold(key), fitted.threshold * _factor(key, hand)
            first = hand.after[key] if hand else self.first(key)
            today = [c for c in later if c.at_h > self.seen_h - 24]
            after[key] = bounded(key, before[key], sought[key], first, today)
            found[key] = fitted
        if all(abs(after[key] / before[key] - 1) < SMALLEST for key in after):
            grown = sum(f.footage.total_h for f in found.values())
            if not found or grown < GROWN * sum(self._side(key).get("hours", 0.0) for key in found):
                return None
            self._become(found, before)
            return self.calibration
        self._become(found, after)
        change = Change(self.seen_h, before, after, sought, told(before, after, sought))
        self.changes = newest([*self.changes, change])
        return self.calibration

    def set(self, threshold: float, light: object = None) -> Change:
        """Somebody sets the threshold of a light; it holds from now on."""
        key = self._key(light)
        fitted, now = self._fitted(key), self.threshold(key)
        change = set_by_hand(
            key, now, threshold, now if fitted is None else fitted.threshold, self.seen_h
        )
        self.changes = newest([*self.changes, change])
        self.calibration = by_hand(self.calibration, threshold, key or None)
        self._asked_h = self.seen_h
        return change

    def undo(self) -> dict[str, Any]:
        """Take the last change back. Of one that the footage made, what was learned since the one
        before it is forgotten, by whole days, so that it is not found again at once.

        Returns:
            The calibration of now. Nothing happens where nothing was changed.
        """
        if not self.changes:
            return self.calibration
        last = self.changes.pop()
        if last.by == "footage":
            since_h = self.changes[-1].at_h if self.changes else 0.0
            stop = self._day(since_h)
            self._live = {key: part.of_days(stop=stop) for key, part in self._live.items()}
            self.alarms = [a for a in self.alarms if self._day(a.at_h) < stop]
            self._hour = Hour(self._gap_s)
        self._asked_h = self.seen_h
        if not self.changes:
            self.calibration = dict(self._first)
        else:
            found = {key: self._fitted(key) for key in last.before}
            self._become({k: f for k, f in found.items() if f is not None}, last.before)
        return self.calibration

    def drift(self) -> str | None:
        """What has changed since the calibration, in words; None: nothing beyond chance."""
        parts = []
        for key in sorted(self._live):
            shift = self._shift(key)
            if shift is not None:
                parts.append(f"normal scores{f' in {key}' if key else ''} {shift.text}")
        week = sum(at_h >= self.seen_h - 168 for at_h in self._alarms_seen)
        expected = expected_counts(self.calibration, 7, confidence=SURE)
        if self.seen_h >= 168 and expected and not expected[0] <= week <= expected[2]:
            parts.append(
                f"{week} alarm{'s' * (week != 1)} in the last 7 days, where {expected[0]} to "
                f"{expected[2]} were to be expected"
            )
        if not parts:
            return None
        text = "; ".join(parts)
        return f"{text[:1].upper()}{text[1:]}. Look at the picture; calibrate again if it stays so."

    def plain(self) -> dict[str, Any]:
        """All that has to outlive a restart, as JSON; the hour that is open as if it were over."""
        copy = type(self)(self._first, self._every_h)
        for name in ("calibration", "changes", "alarms", "seen_h", "_asked_h", "_alarms_seen"):
            setattr(copy, name, getattr(self, name))
        copy._live, copy._hour = dict(self._live), self._hour
        copy._finish()
        return {
            "began": mark_of(self._first),
            "calibration": self.calibration,
            "changes": [asdict(c) for c in self.changes],
            "alarms": [asdict(a) for a in self.alarms],
            "judged": [asdict(j) for j in self.judged],
            "alarms_seen": self._alarms_seen,
            "seen_h": copy.seen_h,
            "asked_h": self._asked_h,
            "live": {key: part.plain() for key, part in copy._live.items()},
        }

    @classmethod
    def read(
        cls, calibration: Mapping[str, Any], values: Mapping[str, Any], every_h: float = EVERY_H
    ) -> Self:
        """Go on from what `plain` gave.

        calibration: what it began with. Where the values began with another (somebody has
            calibrated again), they are passed over.
        """
        out = cls(calibration, every_h)
        if values.get("began") != mark_of(calibration):
            return out
        out.calibration = dict(values["calibration"])
        out.changes = [Change(**c) for c in values["changes"]]
        out.alarms = [Alarm(**a) for a in values["alarms"]]
        judged = values.get("judged", ())  # none in what was written before there was any
        out.judged = [Judged(Alarm(**j["alarm"]), j["score"]) for j in judged]
        out._alarms_seen = list(values["alarms_seen"])
        out.seen_h, out._asked_h = values["seen_h"], values["asked_h"]
        out._live = {key: Footage.read(part) for key, part in values["live"].items()}
        return out

    def _key(self, light: object) -> str:
        """The light that a frame counts for."""
        return ALL if light is None or not self._first.get("modes") else str(light)

    def _day(self, at_h: float) -> int:
        """The day of an hour of the live stream, the calibration's counted before."""
        return self._first_day + math.floor(at_h / 24)

    @property
    def _settled(self) -> bool:
        """Whether the threshold is known well enough for surplus alarms to be taken for real."""
        return float(self._first["hours"]) >= WHOLE_H or self.seen_h >= SETTLED_H

    def _finish(self) -> None:
        """The open hour is over."""
        found, hours = self._hour.found()
        self._hour = Hour(self._gap_s)
        for key, part in found.items():
            self._add(key, part, self.seen_h)
        self.seen_h += hours

    def _add(self, key: str, part: Footage, at_h: float) -> None:
        """More of a light, from that hour of the live stream on."""
        later = part.later(self._day(at_h), self._first_h + at_h)
        live = Footage.joined([self._live.get(key, NOTHING), later])
        first = self._day(self.seen_h) - WINDOW + 1
        self._live[key] = live.of_days(first).largest(MOST_PEAKS)

    def _taken(self, id: str | None) -> Alarm | None:
        """An alarm that somebody has looked at, out of those that wait."""
        known = next((a for a in self.alarms if a.id == id), None)
        self.alarms = [a for a in self.alarms if a is not known]
        return known

    def _fitted(self, key: str) -> Fitted | None:
        """What the footage of the window asks for; None where it is too little."""
        first = self._day(self.seen_h) - WINDOW + 1
        parts = [self._known.get(key, NOTHING), self._live.get(key, NOTHING)]
        footage = Footage.joined([part.of_days(first) for part in parts])
        if len(footage.peaks) < FEWEST_PEAKS or footage.total_h < MODE_H:
            return None
        per_day = float(self._first["alarms_per_day"])
        # As many as were promised count; those beyond are taken for real until somebody says.
        most = math.ceil(self._promised(key) * parts[1].of_days(first).total_h / 24)
        waiting = [a for a in self.alarms if a.light == key and self._day(a.at_h) >= first]
        if not self._settled:
            most = len(waiting)
        elif len(waiting) > SURPLUS * most and self._risen(key):
            most = math.ceil((1 + SURPLUS) * most)
        waiting = waiting[max(0, len(waiting) - most) :]
        above, at_h = (np.array([getattr(a, n) for a in waiting]) for n in ("above", "at_h"))
        return refit(footage, above, self._first_h + at_h, per_day)

    def _promised(self, key: str) -> float:
        """Alarms a day that were promised: those wanted, or those to be expected where somebody has
        set a lower threshold."""
        wanted = float(self._first["alarms_per_day"])
        hand, _ = since_hand(key, self.changes)
        if hand is None:
            return wanted
        return max(wanted, rate_at(self.calibration, self.threshold(key), key).per_day or 0.0)

    def _shift(self, key: str) -> Shift | None:
        """Where normal scores of a light lie, if it is elsewhere than they did; by whole days."""
        live = self._live.get(key, NOTHING)  # none in its first hour
        whole = live.of_days(stop=self._day(self.seen_h))
        known = self._known.get(key, NOTHING)
        return shift_of(known, whole, self.threshold(key), float(self._first["hours"]))

    def _risen(self, key: str) -> bool:
        shift = self._shift(key)
        return shift is not None and shift.now > shift.before

    def _side(self, key: str) -> Mapping[str, Any]:
        """The values of now of a light."""
        if key == ALL:
            return self.calibration
        known: Mapping[str, Mapping[str, Any]] = self.calibration.get("modes") or {}
        return known.get(key, {"share": 0.0, "gap_s": self._gap_s})

    def _become(self, found: Mapping[str, Fitted], thresholds: Mapping[str, float]) -> None:
        """Another calibration holds: these thresholds, and what they rest on now."""
        out = {**self.calibration, "modes": dict(self.calibration.get("modes") or {})}
        per_day = float(self._first["alarms_per_day"])
        for key, threshold in thresholds.items():
            old = self._side(key) if key else out
            side = {**old, "threshold": threshold}
            merged = float((old.get("promise") or {}).get("merged", 1.0))
            hand, _ = since_hand(key, self.changes)
            side.pop("by_hand", None)
            if key in found:
                side |= side_of(found[key], threshold, per_day, merged)
                footage = found[key].footage
                side["evidence"] = footage.largest(kept(per_day * footage.total_h / 24)).plain()
                side["alarms_per_day"] = per_day
                side["provisional"] = side["hours"] < PROVISIONAL_H
            if hand is not None:
                side |= {"low": threshold, "high": threshold, "by_hand": True}
                if key in found:
                    side["promise"] = promise_at(found[key].footage, threshold, merged)
            if key:
                out["modes"][key] = side
            else:
                out = side
        total = sum(mode["hours"] for mode in out["modes"].values())
        for key, mode in out["modes"].items():
            out["modes"][key] = {**mode, "share": mode["hours"] / total}
        if not out["modes"]:
            del out["modes"]
        self.calibration = finished(out)


def _factor(key: str, hand: Change | None) -> float:
    """By how much somebody has set a threshold off from what the footage asked for."""
    return 1.0 if hand is None else hand.after[key] / hand.sought[key]


NOTHING = Footage.joined([])

__all__ = ["ALL", "BOUNDS", "DAILY", "Alarm", "Change", "Running"]
