"""Whether normal scores lie where they lay when the threshold was found.

Dirt on the lens, another season, a lamp that fails: scores move slowly, and the alarms with them. A
day is held against the days of the calibration by two numbers, the median of its scores and what a
tenth of them pass; how far days lie apart anyway is learned from each day and the next, so that a
slow drift doesn't pass for a wide spread.

Letters: d days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from oddframe.calibration.peaks import Floats, Footage, Ints

LATEST = 3
"""Days whose mean is held against the calibration's."""
REFERENCE = 2
"""Live days that stand for the calibration where that saw less than a day."""
WHOLE_H = 20.0
"""Hours of footage from which it stands for a day: noon is no reference for midnight."""
FEWEST_H = 1.0
"""A day of which less was seen (in one light) says nothing."""
SHARE = 0.1
"""Of the threshold: less than that is no news."""
WIDE = 4.0
"""Times the spread of such means that is beyond chance."""
GUESS, GUESSED = 0.05, 2.0
"""Spread of days where few are known, as a share of the threshold, and how many days that is
worth."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Normal scores that lie elsewhere."""

    what: str
    """`median` or `upper`, of `Footage`."""
    before: float
    now: float
    spread: float
    """How far days lie apart anyway, one standard deviation."""

    @property
    def text(self) -> str:
        """In words, of `normal scores`."""
        what = "their median" if self.what == "median" else "what a tenth of them pass"
        return (
            f"lie {'higher' if self.now > self.before else 'lower'} than they did: {what} is "
            f"{self.now:.2f} instead of {self.before:.2f} over the last {LATEST} days, where days "
            f"differ by {self.spread:.2f}"
        )


def shift_of(before: Footage, live: Footage, threshold: float, seen_h: float) -> Shift | None:
    """The larger of the shifts of both numbers, None where there is none beyond chance.

    Args:
        before: the calibration's, of one light.
        live: the same of the days since, their days counted on.
        threshold: of that light.
        seen_h: hours of the calibration in any light.
    """
    found: list[tuple[float, Shift]] = []
    for what in ("median", "upper"):
        known = _days(before, what) if seen_h >= WHOLE_H else np.zeros(0)
        days = _days(live, what)
        if not known.size:
            known, days = days[:REFERENCE], days[REFERENCE:]
        if len(known) < 1 or len(days) < LATEST:
            continue
        every = np.concatenate((known, days))
        # Of squares of normal deviations the median is 0.455 times the mean; one step is no spread.
        steps = np.diff(every) ** 2 / 2
        own, guess = float(np.median(steps)) / 0.455, (GUESS * threshold) ** 2
        spread = math.sqrt((GUESSED * guess + len(steps) * own) / (GUESSED + len(steps)))
        old, new = float(known.mean()), float(days[-LATEST:].mean())
        chance = WIDE * spread * math.sqrt(1 / len(known) + 1 / LATEST)
        if abs(new - old) > max(SHARE * threshold, chance):
            found.append((abs(new - old) / spread, Shift(what, old, new, spread)))
    return max(found, key=lambda one: one[0])[1] if found else None


def _days(footage: Footage, what: str) -> Floats:
    """(d,) the mean of an hourly number over each day that enough was seen of, in order."""
    day: Ints = footage.day - (footage.day.min() if len(footage.day) else 0)
    values: Floats = getattr(footage, what)
    hours = np.where(np.isnan(values), 0.0, footage.hours)
    total, seen = (np.bincount(day, w) for w in (hours * np.nan_to_num(values), hours))
    known = seen >= FEWEST_H
    return np.asarray(total[known] / seen[known])
