"""What moves a threshold while it runs: alarms that wait for a word, changes, and their bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from oddframe.calibration.calibrate import LOWEST

DAILY = 1.25
"""The threshold moves by this factor in 24 hours at most."""
BOUNDS = (0.5, 2.0)
"""Of the threshold that the calibration began with."""
SMALLEST = 0.01
"""A move of less than this share is none."""
MOST_CHANGES, MOST_BY_HAND = 100, 10
"""The newest changes are kept, and of those before them what was set by hand."""


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
    by: Literal["footage", "hand"] = "footage"
    """Who made it: what was seen since, or somebody."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An event that nobody has looked at."""

    id: str
    light: str
    at_h: float
    above: float
    """What its peak is known to be above: its threshold. Where it did not reach that, its peak."""
    level: float = 1.0
    """That it reached, at most 1: less where events begin below that (`Rules.raise_level`)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An event that somebody has looked at."""

    alarm: Alarm
    score: float | None
    """Of its peak, which is normal; None: it was real."""


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


def set_by_hand(
    key: str, now: float, threshold: float, sought: float, at_h: float = 0.0
) -> Change:  # fmt: skip
    """The change that somebody makes.

    Args:
        key: the light.
        now: its threshold.
        threshold: the one that it gets.
        sought: what the footage asks for.
        at_h: hours of stream from the beginning of the live footage.
    """
    where = f" in {key}" if key else ""
    text = f"threshold{where} {threshold:.3g} instead of {now:.3g}, set by hand"
    return Change(at_h, {key: now}, {key: threshold}, {key: sought}, text, "hand")


def newest(changes: Sequence[Change]) -> list[Change]:
    """Those that are kept, in order."""
    before, kept = changes[:-MOST_CHANGES], changes[-MOST_CHANGES:]
    return [*[c for c in before if c.by == "hand"][-MOST_BY_HAND:], *kept]


def since_hand(key: str, changes: Sequence[Change]) -> tuple[Change | None, list[Change]]:
    """The last change of a light by hand, None where there is none, and all changes after it."""
    for i in reversed(range(len(changes))):
        if changes[i].by == "hand" and key in changes[i].after:
            return changes[i], list(changes[i + 1 :])
    return None, list(changes)


def mark_of(calibration: Mapping[str, Any]) -> list[Any]:
    """What tells one calibration from another, as it lies in its RUN."""
    modes = calibration.get("modes") or {}
    names = ("threshold", "alarms_per_day", "hours", "peaks")
    return [[side.get(n) for n in names] for side in (calibration, *modes.values())]


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
