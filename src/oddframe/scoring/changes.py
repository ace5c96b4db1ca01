"""What moves a threshold while it runs: alarms that wait for a word, changes, and their bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oddframe.scoring.calibrate import LOWEST

DAILY = 1.25
"""The threshold moves by this factor in 24 hours at most."""
BOUNDS = (0.5, 2.0)
"""Of the threshold that the calibration began with."""
SMALLEST = 0.01
"""A move of less than this share is none."""


@dataclass(frozen=True, slots=True)
class Change:
    """One move of the thresholds."""

    at_h: float
    """Hours of stream from the beginning of the live footage."""
    before: dict[str, float]
    """Per light its threshold; "" is that for all."""
    after: dict[str, float]
    sought: dict[str, float]
    """What the footage asks for, without bounds."""
    text: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """An event that nobody has looked at."""

    id: str
    light: str
    at_h: float
    above: float
    """Its threshold."""


def bounded(key: str, now: float, sought: float, first: float, today: Sequence[Change]) -> float:
    """As near to a threshold as one may go.

    Args:
        key: the light.
        now: its threshold.
        sought: the one that the footage asks for.
        first: the one that the calibration began with.
        today: changes of the last 24 hours.
    """
    held = [now, *(c.before[key] for c in today if key in c.before)]
    low = max(max(held) / DAILY, BOUNDS[0] * first, LOWEST)
    return max(low, min(sought, min(held) * DAILY, BOUNDS[1] * first))


def told(
    before: Mapping[str, float], after: Mapping[str, float], sought: Mapping[str, float]
) -> str:
    """A change in words."""
    parts = []
    for key, new in after.items():
        text = f"threshold{f' in {key}' if key else ''} {new:.3g} instead of {before[key]:.3g}"
        if abs(sought[key] / new - 1) >= SMALLEST:
            text += f" ({sought[key]:.3g} by the footage alone, which is further than allowed)"
        parts.append(text)
    return "; ".join(parts)
