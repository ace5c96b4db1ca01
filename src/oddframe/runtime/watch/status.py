"""What a camera's reader is doing, in the words of metrics and in those of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from oddframe.runtime.watch import upheaval
from oddframe.runtime.watch.feed import Dropped
from oddframe.sources.why import Why


class State(Enum):
    """Where a reader is in its life."""

    NOT_STARTED = "not_started"
    OPENING = "opening"
    """For the first time: neither a picture nor an error came yet."""
    RUNNING = "running"
    DOWN = "down"
    """No living picture; it goes on trying."""
    ENDED = "ended"
    """Files: all was read, or cannot be (`why`)."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a camera at one moment."""

    camera: str
    source: str
    """Without passwords."""
    state: State
    why: Why | None
    """Of DOWN, and of ENDED where it is not the end of all files."""
    words: str
    """The same for people: what was found, what to do."""
    since_s: float
    """Since when it is in this state, by `time.monotonic`."""
    since_utc: float
    """The same in seconds since 1970."""
    unsettled: upheaval.Kind | None = None
    """What became of the picture, until it is steady again."""
    frames: int = 0
    """That came, scored or not."""
    fps: float = 0.0
    """At which they came of late, by their stamps; 0 before the second."""
    width: int = 0
    height: int = 0
    """Of the last picture; 0 before the first."""
    reconnects: int = 0
    """Tries to connect after the first."""
    left: int = 0
    """Reads that hang and were left behind, and have not come back."""
    dropped: Mapping[Dropped, int] = field(default_factory=dict)
    """Frames that were not handed on, by reason."""
