"""The frames of an hour of a live stream, until it is over: separate peaks, block by block.

At each end two peaks may be kept that are nearer to each other than `gap_s`: one more in an hour
than `separate_peaks` of the whole would keep, at most. An hour does not end within `gap_s` behind
an alarm, nor while it is not known whether there is one. What is kept in the meantime is 18 bytes a
frame.

Letters: n frames.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left

import numpy as np

from oddframe.calibration.peaks import Footage, near, steps_s

HOUR_S = 3600.0


class Hour:
    """Frames in order of their stream's clock."""

    __slots__ = (
        "_alarmed", "_alarmed_s", "_gap_s", "_light", "_lights", "_pending", "_score", "_time_s",
    )  # fmt: skip

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._time_s, self._score = array("d"), array("d")
        self._light, self._lights = bytearray(), list[str]()
        self._alarmed, self._alarmed_s, self._pending = bytearray(), -math.inf, False

    def ends_before(self, pts_s: float) -> bool:
        """Whether a frame with this time is of another hour, or of another stretch: the clock went
        back."""
        if not self._time_s:
            return False
        past_s = pts_s - self._time_s[0]
        quiet = not self._pending and pts_s - self._alarmed_s > self._gap_s
        return pts_s <= self._time_s[-1] or past_s >= 2 * HOUR_S or (quiet and past_s >= HOUR_S)

    def add(
        self, score: float, pts_s: float, light: str, alarmed: bool, since_s: float | None = None
    ) -> None:
        """The next frame, as `Seen.take` has it; NaN where it has no score."""
        if light not in self._lights:
            self._lights.append(light)
        self._time_s.append(pts_s)
        self._score.append(score)
        self._light.append(self._lights.index(light))
        self._alarmed.append(alarmed)
        self._pending = since_s is not None
        if alarmed:
            self._alarmed_s = pts_s
            first = len(self._time_s) if since_s is None else bisect_left(self._time_s, since_s)
            self._alarmed[first:] = b"\1" * (len(self._alarmed) - first)

    def found(self) -> tuple[dict[str, Footage], float]:
        """What each light showed, frames in alarm and near to them left out; hours scored in all.

        A single frame is nothing: how long it stands for is not known.
        """
        if len(self._time_s) < 2:
            return {}, 0.0
        time_s, scores = np.array(self._time_s), np.array(self._score)
        alarmed = np.frombuffer(bytes(self._alarmed), np.bool_)
        quiet = np.where(near(time_s, time_s[alarmed], self._gap_s), np.nan, scores)
        light = np.frombuffer(bytes(self._light), np.uint8)
        found = {
            name: Footage.of([np.where(light == i, quiet, np.nan)], [time_s], self._gap_s)
            for i, name in enumerate(self._lights)
        }
        return found, float(steps_s(scores, time_s).sum()) / 3600
