"""A calibration that goes on by itself: live footage without alarms joins what it was made of.

    running = Running(calibration)
    running.seen.take(score, pts_s, light, alarmed=..., since_s=...)    # every scored frame
    running.alarm(event.id, light, event.peak_level)    # it is over, and nobody has looked at it
    running.seen.add_peak(score, light, event.id)   # somebody has: a false alarm
    running.seen.confirm(event.id)                  # somebody has: it was real
    found = running.proposal()                      # now and then another calibration, or None

Three rules keep it from learning what it should report. The threshold moves by `DAILY` in a day at
most, and never beyond `BOUNDS` times what it was. Every move is a record and can be undone. And
what raised an alarm is not learned until somebody says that it was nothing.

A threshold that somebody sets by hand holds at once. From then on it follows the footage by the
same factor that the footage's own threshold moves by, within the same bounds of what was set: who
wanted it lower by a third has it lower by a third when the scores have doubled.

The third rule has a price. To leave alarms out cuts the tail off at the threshold: the law fitted
to what is left ends there, the threshold falls, more is cut off, and so on down. So an alarm that
nobody has looked at counts as a peak of which is only known that it was above the threshold of its
time (it is censored, `calibration.refit`). Of these no more count than were promised; those beyond
are taken for real, until somebody says otherwise: else real events, that no threshold drives away,
would raise it without end. On made days (`tests/calibration/test_running.py`), one alarm a day
wanted, after 30 days, six runs, median of the threshold as a share of the first and false alarms a
day over the last ten:

    alarms left out                 0.83   4.5
    censored                        0.97   1.4    with one real event a day 0.99   1.4
    somebody looks at each          1.00   1.1                              1.01   1.1
    all learned as normal                                                   1.36   0.1
    censored, 2 % higher every day  1.57   5.3    told of on days 9 to 14
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np

from oddframe.calibration.calibrate import (
    FEWEST_PEAKS,
    MODE_H,
    PROVISIONAL_H,
    finished,
    in_force,
    kept,
    threshold_of,
)
from oddframe.calibration.changes import (
    BOUNDS,
    DAILY,
    SMALLEST,
    Alarm,
    Change,
    bounded,
    mark_of,
    newest,
    set_by_hand,
    since_hand,
    told,
)
from oddframe.calibration.drift import WHOLE_H
from oddframe.calibration.light import modes_of
from oddframe.calibration.peaks import Floats
from oddframe.calibration.promise import expected_counts
from oddframe.calibration.rate import by_hand, promise_at, rate_at
from oddframe.calibration.refit import Fitted, refit, side_of
from oddframe.calibration.seen import ALL, WEEK_H, Seen

EVERY_H = 6.0
"""Hours of stream between two proposals."""
GROWN = 1.25
"""Times the footage from which a calibration is told anew although its thresholds stay."""
SURPLUS = 2.0
"""Where more than so many times the promised alarms wait and normal scores have risen too, one time
more count: then most of them are false."""
SETTLED_H = 168.0
"""Hours of stream in which all alarms count, after a calibration of less than a day: a threshold
from a few hours is passed far more often than promised."""
SURE = 0.99
"""How often the threshold was passed in a week is told of where so large a share of weeks has
fewer, or more: never in 16 made months of days that stay, within 15 days where three real events a
day join one alarm."""


class Running:
    """Goes on from a calibration; one camera, one thread."""

    def __init__(self, calibration: Mapping[str, Any], every_h: float = EVERY_H) -> None:
        """Begin with what `calibration.calibrate` gave, and no live footage.

        every_h: hours of stream between two proposals.
        """
        self.calibration = in_force(calibration)
        """That of now: the last proposal, or what it began with."""
        self.changes: list[Change] = []
        """Newest last."""
        self.seen = Seen(calibration)
        """What the camera has shown since."""
        self._first, self._mark = dict(self.calibration), mark_of(calibration)
        self._asked_h, self._every_h = 0.0, every_h

    def alarm(self, id: str, light: object = None, level: float = 1.0) -> None:
        """An event is over; what it was is not known yet. level: of its peak."""
        self.seen.alarm(id, light, self.threshold(self.seen.key(light)), min(1.0, level))

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
        if self.seen.hours - self._asked_h < self._every_h:
            return None
        self._asked_h = self.seen.hours
        before, sought, after = dict[str, float](), dict[str, float](), dict[str, float]()
        found = dict[str, Fitted]()
        for key in self.seen.lights:
            fitted = self._fitted(key)
            if fitted is None:
                continue
            hand, later = since_hand(key, self.changes)
            before[key], sought[key] = self.threshold(key), fitted.threshold * _factor(key, hand)
            first = hand.after[key] if hand else self.first(key)
            today = [c for c in later if c.at_h > self.seen.hours - 24]
            after[key] = bounded(key, before[key], sought[key], first, today)
            found[key] = fitted
        if all(abs(after[key] / before[key] - 1) < SMALLEST for key in after):
            grown = sum(f.footage.total_h for f in found.values())
            if not found or grown < GROWN * sum(self._side(key).get("hours", 0.0) for key in found):
                return None
            self._become(found, before)
            return self.calibration
        self._become(found, after)
        change = Change(self.seen.hours, before, after, sought, told(before, after, sought))
        self.changes = newest([*self.changes, change])
        return self.calibration

    def set(self, threshold: float, light: object = None) -> Change:
        """Somebody sets the threshold of a light; it holds from now on."""
        key = self.seen.key(light)
        fitted, now = self._fitted(key), self.threshold(key)
        change = set_by_hand(
            key, now, threshold, now if fitted is None else fitted.threshold, self.seen.hours
        )
        self.changes = newest([*self.changes, change])
        self.calibration = by_hand(self.calibration, threshold, key or None)
        self._asked_h = self.seen.hours
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
            self.seen.forget_from(self.changes[-1].at_h if self.changes else 0.0)
        self._asked_h = self.seen.hours
        if not self.changes:
            self.calibration = dict(self._first)
        else:
            found = {key: self._fitted(key) for key in last.before}
            self._become({k: f for k, f in found.items() if f is not None}, last.before)
        return self.calibration

    def drift(self) -> str | None:
        """What has changed since the calibration, in words; None: nothing beyond chance."""
        parts = []
        for key in self.seen.lights:
            shift = self.seen.shift(key, self.threshold(key))
            if shift is not None:
                parts.append(f"normal scores{f' in {key}' if key else ''} {shift.text}")
        week = self.seen.of_a_week()
        expected = expected_counts(self.calibration, 7, confidence=SURE)
        if self.seen.hours >= WEEK_H and expected and not expected[0] <= week <= expected[2]:
            parts.append(
                f"the threshold was passed {week} time{'s' * (week != 1)} in the last 7 days, "
                f"where {expected[0]} to {expected[2]} alarms were to be expected"
            )
        if not parts:
            return None
        text = "; ".join(parts)
        return f"{text[:1].upper()}{text[1:]}. Look at the picture; calibrate again if it stays so."

    def plain(self) -> dict[str, Any]:
        """All that has to outlive a restart, as JSON; the hour that is open as if it were over."""
        return {
            "began": self._mark,
            "calibration": self.calibration,
            "changes": [asdict(c) for c in self.changes],
            "asked_h": self._asked_h,
            **self.seen.plain(),
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
        if values.get("began") != out._mark:
            return out
        out.calibration = in_force(values["calibration"])
        out.changes = [Change(**c) for c in values["changes"]]
        out._asked_h = values["asked_h"]
        out.seen.go_on(values)
        return out

    @property
    def _settled(self) -> bool:
        """Whether the threshold is known well enough for surplus alarms to be taken for real."""
        return float(self._first["hours"]) >= WHOLE_H or self.seen.hours >= SETTLED_H

    def _fitted(self, key: str) -> Fitted | None:
        """What the footage of the window asks for; None where it is too little, or not all is kept
        that would have to be known."""
        footage, live_h = self.seen.footage(key)
        if len(footage.peaks) < FEWEST_PEAKS or footage.total_h < MODE_H:
            return None
        waiting = self.seen.waiting(key)
        below = [a for a in waiting if a.level < 1]  # its height is known, and no alarm's
        if below:
            footage = footage.with_peaks(*self._peaks(below))
        counted = self._counted(key, [a for a in waiting if a.level >= 1], live_h)
        above, at_h = self._peaks(counted)
        fitted = refit(footage, above, at_h, float(self._first["alarms_per_day"]))
        return None if fitted.threshold < self.seen.depth(key) else fitted

    def _peaks(self, alarms: Sequence[Alarm]) -> tuple[Floats, Floats]:
        """(n,) what the peaks of events are above, or are, and when they were."""
        at_h = np.array([self.seen.footage_h(a) for a in alarms])
        return np.array([a.above for a in alarms]), at_h

    def _counted(self, key: str, waiting: list[Alarm], live_h: float) -> list[Alarm]:
        """Which of the alarms that wait count as peaks: as many as were promised in so many hours;
        those beyond are taken for real until somebody says."""
        most = math.ceil(self._promised(key) * live_h / 24)
        if not self._settled:
            most = len(waiting)
        elif len(waiting) > SURPLUS * most and self._risen(key):
            most = math.ceil((1 + SURPLUS) * most)
        return waiting[max(0, len(waiting) - most) :]

    def _promised(self, key: str) -> float:
        """Alarms a day that were promised: those wanted, or those to be expected where somebody has
        set a lower threshold."""
        wanted = float(self._first["alarms_per_day"])
        hand, _ = since_hand(key, self.changes)
        if hand is None:
            return wanted
        return max(wanted, rate_at(self.calibration, self.threshold(key), key).per_day or 0.0)

    def _risen(self, key: str) -> bool:
        shift = self.seen.shift(key, self.threshold(key))
        return shift is not None and shift.now > shift.before

    def _side(self, key: str) -> Mapping[str, Any]:
        """The values of now of a light."""
        if key == ALL:
            return self.calibration
        unseen = {"share": 0.0, "gap_s": float(self._first["gap_s"])}
        return modes_of(self.calibration).get(key, unseen)

    def _become(self, found: Mapping[str, Fitted], thresholds: Mapping[str, float]) -> None:
        """Another calibration holds: these thresholds, and what they rest on now."""
        out = {**self.calibration, "modes": dict(modes_of(self.calibration))}
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
        self.calibration = finished(out)


def _factor(key: str, hand: Change | None) -> float:
    """By how much somebody has set a threshold off from what the footage asked for."""
    return 1.0 if hand is None else hand.after[key] / hand.sought[key]


__all__ = ["ALL", "BOUNDS", "DAILY", "Alarm", "Change", "Running"]
