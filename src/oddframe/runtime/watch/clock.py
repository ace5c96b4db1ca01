"""One clock for a camera, over all its connections: it never goes back, and never stands still.

Stamps of a stream begin anew with every connection, and cameras set their clocks while they send.
So stamps count from where the stream began or broke, and that place is set by the time that has
passed here.
"""

from __future__ import annotations

LEAST_S = 1.5e-3
"""A stamp that is not behind the one before by more is the same stamp: the decoder makes stamps
grow by a thousandth where they do not."""
WINDOW_S = 30.0
"""Over which it is seen whether stamps run as time does."""
OFF = 1.25
"""By how much they may run faster or slower; frames that wait on the way come in bursts."""
WINDOWS = 2
"""Windows in a row in which they were off, from which on arrival counts instead."""


class Clock:
    """Of one camera. Seconds of the stream's and of our clock go in, the camera's come out."""

    def __init__(self) -> None:
        self.by_arrival = False
        """Stamps run at another speed than time: frames are stamped as they come."""
        self._at: tuple[float, float] | None = None
        """The camera's time and ours, at the last frame."""
        self._stamp_s: float | None = None
        """Of the last frame of this connection that was a new one."""
        self._seen_s = 0.0
        """Of the last one, new or not."""
        self._window: tuple[float, float] | None = None
        self._off = 0

    def connected(self) -> None:
        """The next stamp is of another connection."""
        self._stamp_s = self._window = None
        self._off, self.by_arrival = 0, False

    def read(self, stamp_s: float, now_s: float, gap: bool) -> float | None:
        """The camera's time of a frame, growing; None: its stamp is not a new one.

        Args:
            stamp_s: by the stream, from any start.
            now_s: when it arrived, by `time.monotonic`.
            gap: the stream broke before it; what its stamps say of that time does not count.
        """
        before, again = self._stamp_s, 0 <= stamp_s - self._seen_s < LEAST_S
        self._seen_s = stamp_s
        if before is not None and again:
            return None
        self._stamp_s = stamp_s
        if self._at is None:
            self._at = 0.0, now_s
            return 0.0
        at_s, then_s = self._at
        broken = before is None or gap or stamp_s < before
        passed_s = now_s - then_s if broken or self.by_arrival else stamp_s - before  # type: ignore[operator]
        self._watch(stamp_s, now_s, broken)
        at_s += max(passed_s, LEAST_S)
        self._at = at_s, now_s
        return at_s

    def _watch(self, stamp_s: float, now_s: float, broken: bool) -> None:
        """Whether stamps run as time does."""
        if broken or self._window is None:
            self._window = stamp_s, now_s
            return
        stamps_s, times_s = stamp_s - self._window[0], now_s - self._window[1]
        if max(stamps_s, times_s) >= WINDOW_S:
            near = 1 / OFF <= stamps_s / max(times_s, 1e-3) <= OFF
            self._off = 0 if near else self._off + 1
            self.by_arrival = self.by_arrival or self._off >= WINDOWS
            self._window = stamp_s, now_s
