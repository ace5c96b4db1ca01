"""How many alarms a day any threshold would raise, and thresholds that somebody sets by hand.

    rate_at(calibration, 5.2, "infrared")       # what is to be expected there, in numbers and words
    by_hand(calibration, 5.2, "infrared")       # the calibration with that threshold in force

All of it comes from a calibration's evidence (`calibration.peaks.Footage`): as many of its peaks
are above as there are; where that is few, the law of the largest says how often it is passed. What
it cannot know is what `calibration.promise` cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oddframe.calibration.calibrate import PROVISIONAL_H, finished
from oddframe.calibration.light import modes_of
from oddframe.calibration.peaks import GAP_S, Footage
from oddframe.calibration.promise import promised, rate_of

RARE = 0.01
"""Alarms a day below which nobody can tell the difference."""
DEEP = 30.0
"""No law is believed that says that a threshold is passed less often than once in so many times the
footage: that it may be is said."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What is to be expected of a threshold."""

    threshold: float
    light: str | None
    """That it is of; None: of all."""
    per_day: float | None
    """False alarms in 24 hours of that light, the median of what may be; None: nobody knows."""
    low: float | None
    """The middle 90 % of what it may be over a week, from ..."""
    high: float | None
    """... to."""
    provisional: bool
    """It rests on less than eight hours."""
    text: str
    """In words."""


def rate_at(calibration: Mapping[str, Any], threshold: float, light: str | None = None) -> Rate:
    """How often a threshold would be passed, by all that is known now.

    Args:
        calibration: as `calibration.calibrate` gives it, or what `calibration.running` made of it.
        threshold: score of the alarm, above 0.
        light: one of its modes; None, or another: what is known of all light.
    """
    side, light = side_of_light(calibration, light)
    where = f" in 24 hours of {light}" if light else " a day"
    footage = _footage(side)
    if footage is None:
        text = (
            f"nothing says how often {threshold:.3g} is passed{f' in {light}' if light else ''}: "
            "calibrate on hours of normal footage"
        )
        return Rate(threshold, light, None, None, None, True, text)
    provisional = footage.total_h < PROVISIONAL_H
    promise = promise_at(footage, threshold, _merged(side))
    if promise is None:
        low, high = (24 * n / footage.total_h for n in (len(footage.peaks), footage.count.sum()))
        text = f"more than {number(low)} alarms{where}"
        return Rate(threshold, light, float(low), float(low), float(high), provisional, text)
    most = 86400 / float(side.get("gap_s") or GAP_S)  # alarms are further apart
    low, middle, high = (min(rate, most) for rate in rate_of(promise))
    high = max(high, 24 / (DEEP * footage.total_h))
    if middle < RARE:
        text = f"fewer than {RARE:g} alarms{where}"
        text += f" ({number(high)} at most)" if high >= RARE else ""
    else:
        several = "alarm" if number(middle) == "1" else "alarms"
        text = f"about {number(middle)} {several}{where} ({number(low)} to {number(high)})"
    if threshold > footage.peaks[0]:
        text += f"; above all peaks of {_hours(footage.total_h)} of footage"
    if provisional:
        text += f"; provisional, from {_hours(footage.total_h)}"
    return Rate(threshold, light, middle, low, high, provisional, text)


def promise_at(footage: Footage, threshold: float, merged: float = 1.0) -> dict[str, Any] | None:
    """`promised` of any threshold: as many alarms are taken to be wanted as there would be. None of
    one that more peaks pass than were kept."""
    if threshold < footage.depth:
        return None
    above = np.count_nonzero(footage.peaks >= threshold)
    return promised(footage, 24 * float(above) / footage.total_h, threshold, merged)


def by_hand(
    calibration: Mapping[str, Any], threshold: float, light: str | None = None
) -> dict[str, Any]:
    """A calibration with a threshold that somebody set; what it is worth is worked out anew.

    light: one of its modes, or one that it has not seen; None: the threshold for all light, as is
        any where one threshold holds for all.
    """
    modes = modes_of(calibration)
    light = light if modes else None
    side = dict(calibration if light is None else modes.get(light, UNSEEN))
    footage = _footage(side)
    promise = None if footage is None else promise_at(footage, threshold, _merged(side))
    above = None if footage is None else int(np.count_nonzero(footage.peaks >= threshold))
    side |= {
        "threshold": float(threshold), "low": float(threshold), "high": float(threshold),
        "above": above, "promise": promise, "by_hand": True,
    }  # fmt: skip
    out = side if light is None else {**calibration, "modes": {**modes, light: side}}
    if "hours" not in calibration:  # one of before, of which little is known
        return {**out, "text": f"threshold {threshold:.3g}, set by hand."}
    return finished(out)


def side_of_light(
    calibration: Mapping[str, Any], light: str | None
) -> tuple[Mapping[str, Any], str | None]:
    """What a calibration knows of a light, and that light; of all light where it knows none."""
    modes = modes_of(calibration)
    return (calibration, None) if light is None or light not in modes else (modes[light], light)


def number(value: float) -> str:
    """A rate as people read it."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


UNSEEN: Mapping[str, Any] = {
    "share": 0.0, "hours": 0.0, "days": 0, "peaks": 0, "method": "maximum", "shape": None,
    "scale": None, "provisional": True, "evidence": None,
}  # fmt: skip
"""What is known of a light that was not seen."""


def _footage(side: Mapping[str, Any]) -> Footage | None:
    """What it was made of, None where that says nothing."""
    evidence = side.get("evidence")
    footage = Footage.read(evidence) if evidence else None
    return footage if footage is not None and len(footage.peaks) > 1 and footage.total_h else None


def _merged(side: Mapping[str, Any]) -> float:
    return float((side.get("promise") or {}).get("merged", 1.0))


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
