"""Footage at the frame rate that a RUN learned at, by the nearest stamps.

A model knows how far things move between two frames. Footage that is faster is thinned out, and
slower footage is looked at more than once a frame; footage within `NEAR` of the rate stays as it
is, since thinning 30 frames/s to 25 would make every fifth step a jump.
"""

from __future__ import annotations

import math

from oddframe.sources.table import Since
from oddframe.types import Frame, SourceInfo

NEAR = 1.25
"""Rates that differ by no more than this factor are taken for the same."""
MOST = 16
"""Looks at one frame, at most: behind that the footage is a row of pictures."""


class Pacer:
    """How often each frame of one video is looked at: ticks of a rate go to the nearest frame."""

    def __init__(self, fps: float, source_fps: float) -> None:
        """fps: of the ticks. source_fps: the usual rate of the footage."""
        self.fps = fps
        self._half_s = 0.5 / source_fps
        self._start_s = 0.0
        self._given: int | None = None

    def looks(self, frame: Frame) -> int:
        """Ticks that belong to the next frame of the video: 0 where it is left out.

        The first of a video, and the first behind a gap, is never left out.
        """
        return self.at(frame.pts_s, frame.gap)

    def at(self, pts_s: float, gap: bool) -> int:
        """`looks`, by stamp and gap alone."""
        if self._given is None or gap:
            self._start_s, self._given = pts_s, -1
        reached = self._reached(pts_s)
        looks, self._given = max(reached - self._given, 0), max(reached, self._given)
        return min(looks, MOST)

    def resume(self, since: Since) -> None:
        """Go on in the middle of a video, as if all before had been counted."""
        self._start_s = since.begun_s
        self._given = self._reached(since.last_s)

    def _reached(self, pts_s: float) -> int:
        """The last tick that belongs to a frame or to one before it."""
        # Half a usual step further on, the frame to come would be nearer.
        return math.floor((pts_s + self._half_s - self._start_s) * self.fps + 1e-6)


def pacer(fps: float | None, info: SourceInfo) -> Pacer | None:
    """What brings a source to a rate; None where it has it, or where either is not known."""
    if fps is None or info.assumed or (info.steady and 1 / NEAR <= info.fps / fps <= NEAR):
        return None
    return Pacer(fps, info.fps)


def pacing_text(fps: float, info: SourceInfo) -> str:
    """What is done to footage of another rate, in words."""
    said = f"{info.name} has {info.fps:.3g} frames/s, the RUN learned at {fps:.3g}"
    if info.fps > fps:
        return f"{said}: of {info.fps / fps:.2g} frames one is looked at, the others keep its score"
    if info.fps < fps / NEAR:
        times = min(fps / info.fps, MOST)
        return (
            f"{said}: every frame is looked at {times:.2g} times and has the mean score. "
            f"That finds less than a RUN made for this rate (oddframe fit --fps {info.fps:.3g})"
        )
    return f"{said}, but not evenly: frames are chosen by their stamps"
