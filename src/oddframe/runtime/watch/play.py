"""Files in real time: each frame when a camera would have sent it."""

from __future__ import annotations

import threading
import time

LATE_S = 0.5
"""A frame that is later is left out, as a camera's would be lost."""
LATE_STEP_S = 0.1
"""But not where none came for so long: what cannot be decoded in time is played as it can be."""


class Player:
    """Waits for each frame of one source. Pauses between stamps are not waited for."""

    def __init__(self, stopping: threading.Event) -> None:
        """stopping: ends every wait."""
        self._stopping = stopping
        self._anchor: tuple[float, float] | None = None
        self._given_s = 0.0

    def in_time(self, pts_s: float, gap: bool) -> bool:
        """Wait until a frame would have come; False: it is too late, or all is to stop."""
        now_s = time.monotonic()
        if self._anchor is None or gap:
            self._anchor = now_s, pts_s
        early_s = self._anchor[0] + pts_s - self._anchor[1] - now_s
        if early_s > 0 and self._stopping.wait(early_s):
            return False
        if early_s < -LATE_S and now_s - self._given_s < LATE_STEP_S:
            return False
        self._given_s = time.monotonic()
        return True
