"""A threshold anew, from peaks some of which are only known to be above a level.

An alarm that nobody has looked at may have been anything. That it was there is known, how high a
normal peak would have been is not: its value is censored at the threshold of its time. Here such
peaks are laid where the law that all peaks together follow expects them, and the law is fitted
again, until it stands still.

Letters: n peaks, k censored ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oddframe.calibration.calibrate import CONFIDENCE, LOWEST
from oddframe.calibration.light import modes_of
from oddframe.calibration.peaks import Floats, Footage
from oddframe.calibration.promise import drawn_anew, promised
from oddframe.calibration.tail import TAIL, fit_tail, level_of, level_passed, passed_rows

ROUNDS = 12
"""Times that the law is fitted."""
KNOWN = 3
"""The law is fitted to so many times as many peaks as are censored: else to its own guesses."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a threshold is made of."""

    footage: Footage
    """With the censored peaks where they were laid."""
    threshold: float
    low: float
    high: float
    """The middle 90 % of thresholds, by hours drawn anew."""
    method: str
    shape: float | None
    scale: float | None


def refit(footage: Footage, above: Floats, at_h: Floats, per_day: float, seed: int = 0) -> Fitted:
    """The threshold that is passed so often a day.

    Args:
        footage: of it, at least two peaks.
        above: (k,) what the censored peaks are above.
        at_h: (k,) when they were.
        per_day: alarms wanted in 24 hours.
        seed: of the draws.
    """
    full = footage.with_peaks(laid(footage.peaks, above), at_h) if above.size else footage
    wanted = per_day * full.total_h / 24
    threshold, method, shape, scale = level_of(full.peaks, wanted)
    rng = np.random.default_rng(seed)
    count = min(len(full.peaks), max(TAIL, math.ceil(2 * wanted)) + 1)
    rows, hours = drawn_anew(full, count, rng)
    levels = [level_of(r, per_day * h / 24)[0] for r, h in zip(rows, hours, strict=True)]
    low, high = np.quantile(levels, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Fitted(
        full, max(threshold, LOWEST), max(float(low), LOWEST), max(float(high), LOWEST),
        method, shape, scale,
    )  # fmt: skip


def laid(peaks: Floats, above: Floats) -> Floats:
    """(k,) where censored peaks are expected, beside peaks (n,) of which all is known."""
    levels = np.sort(above)[::-1]
    guess = levels.copy()
    # Spread evenly over what is left above each level, whichever of them are alike.
    place = (0.5 + np.arange(len(levels)) * GOLDEN) % 1
    for _ in range(ROUNDS):
        every = np.sort(np.concatenate((peaks, guess)))[::-1]
        tail = min(max(TAIL, KNOWN * len(levels)), len(every) - 1)
        start = float(every[tail])
        shape, scale = fit_tail(every[:tail] - start)
        if scale <= 0:
            return guess
        one = np.ones(len(levels))
        left = passed_rows(levels, start * one, shape * one, scale * one)
        guess = np.maximum(
            levels, level_passed(np.maximum(left * place, 1e-9), start, shape, scale)
        )
    return guess


def side_of(fitted: Fitted, threshold: float, per_day: float, merged: float) -> dict[str, Any]:
    """The values of a calibration, or of one light in it, for a threshold near the fitted one."""
    footage = fitted.footage
    return {
        "threshold": threshold,
        "low": min(fitted.low, threshold),
        "high": max(fitted.high, threshold),
        "hours": footage.total_h,
        "days": footage.days,
        "peaks": int(footage.count.sum()),
        "above": int(np.count_nonzero(footage.peaks >= threshold)),
        "method": fitted.method,
        "shape": fitted.shape,
        "scale": fitted.scale,
        "promise": promised(footage, per_day, threshold, merged),
    }


def evidence_of(calibration: Mapping[str, Any]) -> dict[str, Footage]:
    """Per light what a calibration was made of, where it says so; "" is all of it."""
    sides = {"": calibration, **modes_of(calibration)}
    return {k: Footage.read(s["evidence"]) for k, s in sides.items() if s.get("evidence")}
