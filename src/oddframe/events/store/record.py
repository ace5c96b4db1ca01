"""What the store gives back, and how an event becomes a row of plain values and an event again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from oddframe.events.event import Box, Event

Verdict = Literal["real", "false_alarm"]
"""What somebody said of an event who looked at it."""


@dataclass(frozen=True, slots=True)
class Record:
    """An event with what people said of it."""

    event: Event
    verdict: Verdict | None
    """None: nobody has looked yet, or it was taken back."""
    verdict_utc: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits for one sink."""

    id: int
    sink: str
    key: str
    """`<event>/start`, `<event>/update/2`, `<event>/end`; the same at every try."""
    event: Event
    """As it was then; snapshot and clip as they are now."""
    receipts: Mapping[str, Any]
    """What the sink returned for this event before."""
    tries: int
    """That failed so far."""
    put_utc: float


class Backlog(NamedTuple):
    """What one sink was not told yet."""

    messages: int
    oldest_utc: float | None
    """When the oldest was put there; None where nothing waits."""


@dataclass(frozen=True, slots=True)
class Aside:
    """A message that a sink will not be told."""

    key: str
    fate: Literal["refused", "dropped"]
    put_utc: float
    why: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A period without score."""

    camera: str
    start_utc: float
    end_utc: float | None
    """None while it lasts."""
    why: str


@dataclass(frozen=True, slots=True)
class Minute:
    """A step of a timeline with at least one score in it."""

    t_utc: float
    """Its first second."""
    frames: int
    """Scored."""
    dropped: int
    """Frames that came and were not scored, because newer ones had come."""
    level_mean: float
    level_max: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold of one camera and where it came from."""

    camera: str
    model_hash: str
    threshold: float
    low: float
    """Alarms a day that may be expected with it, from ..."""
    high: float
    """... to."""
    hours: float
    """Of footage behind it."""
    created_utc: float
    why: str
    """What made it, in words."""
    light: str = ""
    """That it is of; "": of all."""
    id: int | None = None
    """In the store; None before it is there."""


@dataclass(frozen=True, slots=True)
class Described:
    """What an event looked like."""

    event_id: str
    spots: bytes
    """Of `scoring.spots.Spots`."""
    trace: tuple[tuple[float, float], ...] = ()
    """(time, level) around it."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """Something that is normal at a camera, by what somebody said of an event."""

    id: int
    camera: str
    event_id: str
    run: str
    """Hash of the weights that it holds for."""
    created_utc: float
    place: Box
    """Where the event was at its peak, in pixels."""
    reasons: tuple[str, ...]
    """What was odd about it, in words."""
    spots: bytes = field(repr=False)
    silenced: int = 0
    """How often something was like it, and raised no alarm."""
    silenced_utc: float | None = None
    """The last time."""
    snapshot: str | None = None
    """Of the event, relative to the folder of the store; None once that is deleted."""


@dataclass(frozen=True, slots=True)
class Normal:
    """A frame that raised no alarm, though it was the most unusual of its hour."""

    camera: str
    run: str
    """Hash of the weights that scored."""
    t_utc: float
    level: float
    spots: bytes = field(repr=False)
    picture: str = ""
    """Relative to the folder of the store; set there."""
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What was said of the events of a week."""

    t_utc: float
    """Its Monday, 0:00 UTC."""
    real: int
    false_alarm: int
    open: int
    """Nobody has looked."""


def to_json(value: Any) -> str:
    """Compact JSON; numbers of numpy as the plain ones that they stand for."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=lambda v: v.item())


def to_row(event: Event) -> dict[str, Any]:
    """The columns of an event, by name.

    Numbers are made plain: SQLite would store a numpy float32 as four bytes of nothing.
    """
    return {
        "id": event.id, "camera": event.camera, "state": event.state, "severity": event.severity,
        "start_utc": float(event.start_utc),
        "end_utc": None if event.end_utc is None else float(event.end_utc),
        "peak_utc": float(event.peak_utc), "peak_level": float(event.peak_level),
        "peak_raw": float(event.peak_score), "threshold": float(event.threshold),
        "width": int(event.width), "height": int(event.height),
        "zones_json": to_json(list(event.zones)),
        "boxes_json": to_json([[b.x, b.y, b.w, b.h] for b in event.boxes]),
        "reasons_json": to_json(list(event.reasons)),
        "streams_json": to_json(dict(event.streams or {})),
        "snapshot": event.snapshot, "clip": event.clip, "ended": event.ended,
        "model_hash": event.run,
    }  # fmt: skip


def to_event(row: sqlite3.Row) -> Event:
    """The event of a row."""
    return Event(
        id=row["id"], camera=row["camera"], state=row["state"], severity=row["severity"],
        start_utc=row["start_utc"], end_utc=row["end_utc"], peak_utc=row["peak_utc"],
        peak_level=row["peak_level"], peak_score=row["peak_raw"], threshold=row["threshold"],
        width=row["width"], height=row["height"], zones=tuple(json.loads(row["zones_json"])),
        boxes=tuple(Box(*b) for b in json.loads(row["boxes_json"])),
        reasons=tuple(json.loads(row["reasons_json"])), streams=json.loads(row["streams_json"]),
        snapshot=row["snapshot"], clip=row["clip"], ended=row["ended"], run=row["model_hash"],
    )  # fmt: skip


def to_record(row: sqlite3.Row) -> Record:
    """Event and verdict of a row."""
    return Record(to_event(row), row["verdict"], row["verdict_utc"], row["note"])
