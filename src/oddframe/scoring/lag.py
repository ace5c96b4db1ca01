"""A stated delay: a score is the median of the frames around it, and comes that much later.

One frame that is odd by itself is noise more often than not; a median over a second takes it out
and moves no event, at the price of an alarm that is half a second late. Nothing else looks ahead.

Letters: n frames of one video, L frames of delay.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def frames_of(lag_s: float, fps: float | None) -> int:
    """L: a delay in frames; 25 frames/s where the rate is not known."""
    return round(lag_s * (fps or 25.0))


def centred_median(scores: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """(n,) medians over the 2 L + 1 frames around each frame, of those that there are.

    A frame without a score (NaN) stays without one, and no frame looks beyond it: behind a gap in
    the footage the history fills again, and what was before does not count.
    """
    if not lag:
        return scores
    out = np.full(len(scores), np.nan)
    known = np.flatnonzero(~np.isnan(scores))
    for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        for i in run:
            first, last = max(run[0], i - lag), min(run[-1], i + lag)
            out[i] = np.median(scores[first : last + 1])
    return out


class Lag(Generic[T]):
    """The same, frame by frame: each comes back L frames later, with its median.

        lag = Lag(8)
        for frame, score in live:
            for known, value in lag.push(frame, score): ...
        for known, value in lag.flush(): ...            # at the end

    A frame without a score comes back at once, after all that wait.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._waiting: deque[T] = deque()
        self._around: deque[float] = deque(maxlen=2 * frames + 1)

    def push(self, item: T, value: float) -> list[tuple[T, float]]:
        """Take the next frame; gives those that are known now, in order."""
        if not self.frames:
            return [(item, value)]
        if math.isnan(value):
            return [*self.flush(), (item, value)]
        self._waiting.append(item)
        self._around.append(value)
        return [self._next()] if len(self._waiting) > self.frames else []

    def flush(self) -> list[tuple[T, float]]:
        """Those that still wait, by what there is; the next frame begins anew."""
        found = []
        while self._waiting:
            while len(self._around) > self.frames + len(self._waiting):
                self._around.popleft()
            found.append(self._next())
        self._around.clear()
        return found

    def _next(self) -> tuple[T, float]:
        return self._waiting.popleft(), float(np.median(self._around))
