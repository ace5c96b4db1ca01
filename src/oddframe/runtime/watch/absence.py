"""A camera that gives no picture for long is an event too: nobody looks at a page all day.

    absence = Absence("gate", 600)
    event = absence.look(reader.status(), threshold, size)      # now and then: mostly None
    event = absence.end("stopped")                              # its camera is watched no more

One event from when the picture was lost to when it came back. A camera that is away for less is
told nobody of (the record has it as a gap all the same): cameras restart, and cables are loose.
"""

from __future__ import annotations

import time
from dataclasses import replace

from oddframe.events.event import Ended, Event, new_id
from oddframe.runtime.watch.status import State, Status


class Absence:
    """Of one camera."""

    def __init__(self, camera: str, after_s: float) -> None:
        """after_s: seconds without a picture from which on it is told; 0: never."""
        self._camera, self._after_s = camera, after_s
        self._open: Event | None = None

    def look(self, status: Status, threshold: float, size: tuple[int, int]) -> Event | None:
        """What is to be told now: that it is away, that it is back, or (mostly) nothing.

        Args:
            status: of its reader.
            threshold: of the camera, for the record.
            size: width and height of its last picture; 0 of one that never came.
        """
        if status.state is State.DOWN:
            away_s = time.monotonic() - status.since_s
            if self._open is None and self._after_s and away_s >= self._after_s:
                self._open = self._begun(status, away_s, threshold, size)
                return self._open
            return None
        return self.end("back") if status.state is State.RUNNING else None

    def end(self, why: Ended) -> Event | None:
        """It is over, where it was told; what is to be told of that."""
        if self._open is None:
            return None
        begun, self._open = self._open, None
        passed_s = max(0.0, time.time() - begun.start_utc)
        return replace(begun, state="end", end_utc=begun.start_utc + passed_s, ended=why)

    def _begun(
        self, status: Status, away_s: float, threshold: float, size: tuple[int, int]
    ) -> Event:
        start_utc = time.time() - away_s
        said = status.words.rstrip(". ")
        return Event(
            id=new_id(start_utc), camera=self._camera, state="start", severity="detection",
            start_utc=start_utc, end_utc=None, peak_utc=start_utc, peak_level=0.0, peak_score=0.0,
            threshold=threshold, width=size[0], height=size[1],
            reasons=(f"no picture for {away_s / 60:.0f} min" + (f": {said}" if said else ""),),
        )  # fmt: skip
