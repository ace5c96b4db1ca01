"""What every sink offers: events go in one by one, in their order, until each was taken.

A sink does nothing but say one event to one place. Queue, patience and memory of what was taken
are the courier's (`runtime.courier`), so that a sink is a screenful of code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oddframe.config import Config
from oddframe.errors import OddframeError
from oddframe.events.event import Event, Severity


class SinkConfig(Config):
    """What all kinds of sink may be told."""

    kind: str
    """Which kind, a key of `oddframe.sinks.SINKS`."""
    name: str = ""
    """Names the sink in the store and in messages; by default its kind."""
    severity: tuple[Severity, ...] = ("alert", "detection")
    """Which events it is told of."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way to one sink."""

    key: str
    """Names event and state (`<id>/start`, `<id>/update/2`, `<id>/end`): the same when it is sent
    again after an answer that was lost, so that the other side can tell."""
    event: Event
    folder: Path
    """Of the store; snapshots and clips lie below it."""
    receipts: Mapping[str, Any] = field(default_factory=dict)
    """What `send` returned for this event before, kept over restarts (an id over there)."""
    number: int = 0
    """Grows from message to message in the order in which they were put, whatever the clock."""

    @property
    def picture(self) -> bytes | None:
        """The snapshot's JPEG, None where there is none (any more)."""
        if self.event.snapshot is None:
            return None
        path = self.folder / self.event.snapshot
        return path.read_bytes() if path.is_file() else None


class Later(OddframeError):
    """The other side could not be reached or has a trouble that passes: try again later."""

    def __init__(self, text: str, after_s: float | None = None) -> None:
        super().__init__(text)
        self.after_s = after_s
        """Not before so many seconds, where the other side said so; whoever heard it caps it."""


class Refused(OddframeError):
    """The other side will never take this message: it is put aside, and said."""


class Sink(ABC):
    """Tells one place of events.

    Made by the courier's thread and used by no other. `send` returns what has to be known to say
    more of the same event, or nothing; it raises `Later` or `Refused`.
    """

    def __init__(self, config: SinkConfig) -> None:
        self.name = config.name or config.kind

    def start(self) -> None:  # noqa: B027 - most have nothing to open
        """Connect; raises `Later` where that has to be tried again."""

    @abstractmethod
    def send(self, message: Message) -> Mapping[str, Any] | None:
        """Say it, and return when it was taken.

        Raises:
            Later: try again after a while.
            Refused: never try this one again.
        """

    def close(self) -> None:  # noqa: B027
        """Let go; may be called twice."""
