"""What the steps between stamps say: the rate of a video, and where it pauses."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_FPS = 25.0
PAUSE_S = 0.3
PAUSE_STEPS = 5
"""A step between stamps is a pause where it is longer than both of these."""
RECENT = 15
"""Steps that `Usual` goes by."""
UNEVEN, STEADY = 1.5, 0.9
"""A video is steady where so large a share of its steps differ by less than this factor."""


def duration(seconds: float) -> str:
    """Seconds for people: 2.7 s, 14 min, 3.0 h."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def typical_step(stamps: Sequence[int], time_base: Fraction) -> float | None:
    """The usual step in seconds between stamps in any order; None where there are too few.

    The mean of those near the median: mkv, webm and flv round stamps to 1 ms, so that the median of
    30 frames/s is 33 ms.
    """
    steps = np.diff(np.unique(np.asarray(stamps, np.int64)))
    if not steps.size:
        return None
    near = steps[_like_usual(steps)]
    return float((near.mean() if near.size else np.median(steps)) * float(time_base))


class Usual:
    """The usual step of a live source, which may change its rate at any time: at night many do."""

    def __init__(self, step_s: float) -> None:
        """step_s: what is taken for usual until steps are known."""
        self.step_s = step_s
        self._recent: deque[float] = deque(maxlen=RECENT)

    def take(self, step_s: float) -> None:
        """The next step; where the rate changed, it is usual after half of `RECENT`."""
        self._recent.append(step_s)
        self.step_s = statistics.median(self._recent)


def is_steady(stamps: Sequence[int]) -> bool:
    """Whether nearly all steps between stamps are like the usual one; pauses do not count."""
    steps = np.diff(np.unique(np.asarray(stamps, np.float64)))
    if not steps.size:
        return True
    steps = steps[steps <= PAUSE_STEPS * np.median(steps)]
    return bool(_like_usual(steps).mean() >= STEADY)


def _like_usual(steps: NDArray[Any]) -> NDArray[np.bool_]:
    """Which steps are like the median one."""
    usual = np.median(steps)
    return np.asarray((steps > usual / UNEVEN) & (steps < usual * UNEVEN))


def valid_fps(fps: float) -> float:
    """The fps as a float (29.97 stays 29.97); 25.0 where a header says nonsense."""
    return fps if np.isfinite(fps) and 0 < fps <= 1000 else DEFAULT_FPS


def is_pause(step_s: Any, typical_s: float) -> Any:
    """Whether between two frames there is a hole that no motion can be followed across.

    step_s: a number, or an array of steps.
    """
    return step_s > max(PAUSE_S, PAUSE_STEPS * typical_s)
