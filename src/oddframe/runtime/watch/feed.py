"""The newest frame of a camera, handed from the thread that reads to the one that scores.

    feed.put(frame)             # the reader's thread: an older frame that nobody took is dropped
    bell.wait(0.1)              # the engine's: somebody has a frame
    feed.take()                 # that frame, or None; never waits

Whatever is dropped is counted by reason. A gap before a dropped frame is before the next one.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from oddframe.sources.stamps import PAUSE_STEPS
from oddframe.types import Frame

Break = Literal["start", "lost", "damage", "size", "changed", "skipped"]
"""Why a frame cannot be compared with those before: it is the first; the source was lost, paused
or goes on in another file; data was broken; the size of the picture changed; it became another
picture (`upheaval`); so much was left out that no motion can be followed."""
Dropped = Literal["newer", "stale", "duplicate", "frozen", "unsettled", "late"]
"""Why a frame was not scored: a newer one came; it was too old when its turn came; it was given
before; the picture is frozen; the picture became another and is not steady yet; a file that is
played in real time could not be decoded in time."""


@dataclass(frozen=True, slots=True)
class LiveFrame(Frame):
    """A frame of a camera that is watched."""

    t_utc: float = 0.0
    """Seconds since 1970 at its arrival; of files that are not played in real time, as if they had
    been."""
    why: Break | None = None
    """Why there is a gap before it; None where there is none."""


class Bell:
    """Wakes the one thread that waits for any of many feeds."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung = False

    def ring(self) -> None:
        """Something is there."""
        with self._changed:
            self._rung = True
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it rings, or rang since the last wait; whether it did."""
        with self._changed:
            if not self._rung:
                self._changed.wait(timeout_s)
            rung, self._rung = self._rung, False
            return rung


class Feed:
    """One camera's newest frame; any thread may call."""

    def __init__(self, bell: Bell | None = None, pause_s: float = 1.0, live: bool = True) -> None:
        """bell: rung for every frame. pause_s: seconds between two frames that are taken, from
        which on there is a gap. live: frames come in their own time, and may be dropped."""
        self.live = live
        self._bell = bell or Bell()
        self._least_pause_s = self._pause_s = pause_s
        self._changed = threading.Condition()
        self._newest: LiveFrame | None = None
        self._break: Break | None = None
        """Before the next frame that comes."""
        self._taken_s: float | None = None
        self._dropped: Counter[Dropped] = Counter()
        self._taken = 0
        self._closed = False

    def expect(self, fps: float) -> None:
        """So many frames a second are to be taken: where they are few, a gap is `PAUSE_STEPS` of
        them."""
        self._pause_s = max(self._least_pause_s, PAUSE_STEPS / fps)

    def put(self, frame: LiveFrame) -> None:
        """Hand a frame on; one that was not taken is dropped."""
        with self._changed:
            self._drop_waiting("newer")
            self._place(frame)
        self._bell.ring()

    def offer(self, frame: LiveFrame, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Hand a frame on once the one before is taken.

        given_up: asked a few times a second; True ends the waiting.

        Returns False where it was given up, or the feed is closed.
        """
        with self._changed:
            while self._newest is not None and not self._closed:
                if given_up():
                    return False
                self._changed.wait(0.2)
            if self._closed:
                return False
            self._place(frame)
        self._bell.ring()
        return True

    def take(self) -> LiveFrame | None:
        """The newest frame, if there is one that was not taken."""
        with self._changed:
            frame, self._newest = self._newest, None
            if frame is None:
                return None
            before, self._taken_s = self._taken_s, frame.pts_s
            self._taken += 1
            self._changed.notify_all()
        if before is not None and frame.pts_s - before > self._pause_s and not frame.gap:
            return replace(frame, gap=True, why="skipped")
        return frame

    def waiting_s(self) -> float | None:
        """When the frame that waits to be taken arrived, by `time.monotonic`; None: there is none.

        Minus infinity of files, whose frames never get old.
        """
        with self._changed:
            if self._newest is None:
                return None
            arrived_s = self._newest.arrived_s
        return float("-inf") if arrived_s is None else arrived_s

    def skip(self, reason: Dropped) -> None:
        """Drop the frame that waits, if there is one."""
        with self._changed:
            self._drop_waiting(reason)
            self._changed.notify_all()

    def count(self, reason: Dropped) -> None:
        """Count a frame that was dropped before it came here."""
        with self._changed:
            self._dropped[reason] += 1

    def mark(self, why: Break) -> None:
        """There is a gap before the next frame that is put."""
        with self._changed:
            self._break = self._break or why

    def close(self) -> None:
        """End all waiting; frames that come after are not kept."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def dropped(self) -> dict[Dropped, int]:
        """Frames that were dropped so far, by reason."""
        with self._changed:
            return dict(self._dropped)

    @property
    def left_out(self) -> int:
        """Frames that were dropped so far because it was not their turn, or too late for them."""
        with self._changed:
            return sum(self._dropped[why] for why in ("newer", "stale", "late"))

    @property
    def taken(self) -> int:
        """Frames that were taken so far."""
        return self._taken

    def _drop_waiting(self, reason: Dropped) -> None:
        if self._newest is not None:
            self._dropped[reason] += 1
            self._break = self._break or self._newest.why
            self._newest = None

    def _place(self, frame: LiveFrame) -> None:
        if self._closed:
            return
        why = self._break or frame.why or ("damage" if frame.gap else None)
        self._break = None
        known = frame.gap == (why is not None) and frame.why == why
        self._newest = frame if known else replace(frame, gap=why is not None, why=why)
