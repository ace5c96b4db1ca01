"""An event: what a camera saw that was not normal, as everything behind the tracker is told of it.

One event is told several times under one id: when it starts, when it gets worse, when it ends.
Times are of the wall clock, in seconds since 1970 (UTC), but only the start was read off it: all
others are that plus what passed on the stream's own clock, so that no event ends before it began
when somebody sets the clock.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

State = Literal["start", "update", "end"]
Severity = Literal["alert", "detection"]
"""An alert wants somebody to look now; a detection is kept for who looks later."""
Ended = Literal["calm", "long", "lost", "changed", "disarmed", "stopped", "killed", "back"]
"""Why an event is over: levels fell; it had lasted long, and another one began elsewhere; the
source was lost; the picture became another (a moved camera, a switch to infrared); alarms were
switched off; oddframe was told to stop; it was killed, and the next start closed what it had left
open; a camera that was away gives pictures again."""


@dataclass(frozen=True, slots=True)
class Box:
    """A place in the source's picture, in its pixels."""

    x: int
    """Of the left edge."""
    y: int
    """Of the upper edge."""
    w: int
    h: int

    def overlaps(self, other: Box) -> bool:
        """Whether both share some area, not an edge or a corner alone."""
        across = min(self.x + self.w, other.x + other.w) > max(self.x, other.x)
        return across and min(self.y + self.h, other.y + other.h) > max(self.y, other.y)


@dataclass(frozen=True, slots=True)
class Event:
    """What is known of an event at one moment."""

    id: str
    """`<epoch seconds>.<6 digits>-<6 letters>`, as Frigate's: in order of time, and never twice."""
    camera: str
    state: State
    severity: Severity
    start_utc: float
    """The first frame in alarm."""
    end_utc: float | None
    """The last frame in alarm, None while the event is open."""
    peak_utc: float
    """The frame with the highest level so far; snapshot, boxes and reasons are of it."""
    peak_level: float
    """score / threshold, 1 or more; 0 where nothing was seen (`away`)."""
    peak_score: float
    threshold: float
    width: int
    """Of the source's picture, in pixels: what boxes count in."""
    height: int
    zones: tuple[str, ...] = ()
    """Names of the zones that boxes of this event touched, in the order of the configuration."""
    boxes: tuple[Box, ...] = ()
    """Largest first."""
    reasons: tuple[str, ...] = ()
    """Which stream spoke, in words, the loudest first."""
    streams: Mapping[str, float] | None = None
    """Per stream its highest unusualness at the peak, in deviations of normal footage."""
    snapshot: str | None = None
    """JPEG of the peak; a path relative to the store's folder."""
    clip: str | None = None
    """Video from before to after; a path relative to the store's folder, once it is written."""
    ended: Ended | None = None
    """Why it is over, None while it is open."""
    run: str = ""
    """Hash of the weights that scored."""

    @property
    def away(self) -> bool:
        """It is that a camera gave no picture, and nothing that one saw."""
        return self.peak_level <= 0

    def plain(self) -> dict[str, Any]:
        """As JSON, the same for every sink; `Event.read` gives it back."""
        values = asdict(self)
        return {**values, "streams": dict(self.streams or {})}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """An event from its plain values; keys that are not known are passed over."""
        known = {k: v for k, v in values.items() if k in cls.__slots__}
        lists = {k: tuple(known.get(k, ())) for k in ("zones", "reasons")}
        boxes = tuple(b if isinstance(b, Box) else Box(**b) for b in known.get("boxes", ()))
        return cls(**{**known, **lists, "boxes": boxes})


def new_id(start_utc: float) -> str:
    """An id that sorts by time: 1789000000.123456-a1b2c3."""
    return f"{start_utc:.6f}-{secrets.token_hex(3)}"
