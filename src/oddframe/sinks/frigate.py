"""Frigate: our events in its review timeline, through its API for manual events.

    start    POST /api/events/<camera>/anomaly/create   duration null: open until it is ended
    update   POST /api/events/<id>/sub_label
    end      POST /api/events/<id>/description, PUT /api/events/<id>/end

What Frigate does, by its own source, and what follows from it:

- Picture and start are of the moment at which it gets the POST. So it is sent at once. Of a start
  that comes late (over `late_s`) the picture is a wrong one: the description says so, and
  `pre_capture` moves the start back to where it was, which Frigate does since 0.18. One that is
  older than `skip_older_s` isn't posted.
- It answers with an id before the event is in its database: for some seconds the id is unknown
  (404), which is waited for.
- An end before its start is refused (400), and its clock may differ from ours: the end is counted
  from its own time of receipt, which is in the id.
- Nothing keeps it from making an event twice. After an answer that was lost, in this process or in
  one that was killed, its list is searched for the mark that ours have (`draw.oddframe`; before
  0.18, which doesn't keep it, score and sub label) before anything is posted again.
- Severity: an alert, unless `anomaly` stands in the camera's `review.detections.labels`.
- Port 5000 asks for no password; 8971 does, and wants the role admin.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr

from oddframe.errors import ConfigError
from oddframe.events.event import Event
from oddframe.sinks.base import Later, Message, Refused, Sink, SinkConfig
from oddframe.sinks.http import Answer, Server, header
from oddframe.sinks.secrets import Secret, opened
from oddframe.sinks.words import as_json, reasons, sentence, share

LABEL = "anomaly"
MARK = "oddframe"
"""Key in `draw` that holds our event's id."""
MOST_LABEL = 100
"""Characters of a sub label."""
SETTLE_S = 60.0
"""An id may be unknown for so long; longer, and Frigate has deleted the event."""
BEFORE_S = 5
"""Recorded before a late start, as Frigate does by default before all others."""
REST_S = 60.0
"""So long after the start, any message may be one that was on its way when we were killed."""
COLOUR = (0, 0, 255)
"""Of the boxes, B G R."""


class FrigateConfig(SinkConfig):
    """Which Frigate, and how its cameras are called there."""

    kind: str = "frigate"
    url: Secret = SecretStr("")
    """http://frigate:5000, or https://frigate:8971 with a token."""
    url_file: Path | None = None
    """A file that holds it instead."""
    token: Secret = SecretStr("")
    """Of a user with the role admin, for port 8971."""
    token_file: Path | None = None
    """A file that holds it instead; read again for every request, since tokens run out."""
    ca_file: Path | None = None
    """PEM of who signed its certificate."""
    cameras: dict[str, str] = Field(default_factory=dict)
    """Its name by ours, where they differ: {gate: front_door}."""
    include_recording: bool = True
    """Keep the recording of an event's time."""
    late_s: float = Field(30.0, ge=0)
    """A start that is told later says so in its description."""
    skip_older_s: float = Field(3600.0, gt=0)
    """A start that is told later still isn't posted: in a timeline it would stand at a wrong place,
    with a wrong picture."""
    timeout_s: float = Field(10.0, gt=0, le=300)
    """For a request, in seconds."""


class Frigate(Sink):
    """Makes an event there for every one of ours, and ends it."""

    def __init__(self, config: FrigateConfig) -> None:
        """Nothing is sent yet.

        Raises:
            ConfigError: no address, or a secret that can't be read.
        """
        super().__init__(config)
        url = opened(config.url, config.url_file, "url")
        if not url:
            raise ConfigError("frigate needs url (or url_file), e.g. http://frigate:5000.")
        self._server = Server(
            url.rstrip("/").removesuffix("/api"), config.timeout_s, config.ca_file
        )
        self._config = config
        self._began = time.monotonic()
        self._tried: dict[str, float] = {}  # of events: when something was first tried for them
        self._headers()

    def send(self, message: Message) -> Mapping[str, Any] | None:
        """Create, describe or end an event there.

        Raises:
            Later: not reached, not let in, or the event isn't in its database yet.
            Refused: it doesn't know the camera or the event (any more), or the start is too old.
        """
        event, there = message.event, message.receipts.get("id")
        if event.state == "end":
            if there is not None:
                self._end(event, str(there), float(message.receipts.get("late_s", 0.0)))
            self._tried.pop(event.id, None)
            return None
        if there is None:
            return self._create(event)
        label = {"subLabel": reasons(event, MOST_LABEL), "subLabelScore": share(event.peak_level)}
        self._about(event, str(there), "POST", "sub_label", label)
        return None

    def _create(self, event: Event) -> Mapping[str, Any]:
        camera = self._config.cameras.get(event.camera, event.camera)
        late_s = time.time() - event.start_utc
        there = self._find(event, camera) if self._may_be_there(event, late_s) else None
        if there is None:
            if late_s > self._config.skip_older_s:
                raise Refused(
                    f"It began {late_s / 60:.0f} min ago: Frigate would show a wrong picture at a "
                    "wrong time (skip_older_s)."
                )
            self._tried.setdefault(event.id, time.monotonic())
            path = f"/events/{quote(camera, safe='')}/{LABEL}/create"
            answer = self._call("POST", path, created(event, late_s, self._config))
            if answer.status == 404:
                raise Refused(
                    f"Frigate has no camera {camera!r} (ours: {event.camera!r}). Give its name "
                    f"there: cameras: {{{event.camera}: …}}."
                )
            self._server.expect_fine(answer, "a new event")
            there = str(_json(answer).get("event_id") or "")
            if not there:
                raise Later(f"{self._server.where} answered without an event_id: is it Frigate?")
        return {"id": there, "late_s": round(max(0.0, late_s), 3)}

    def _may_be_there(self, event: Event, late_s: float) -> bool:
        """Whether an answer may have been lost, of this process or of one before."""
        young = time.monotonic() - self._began < REST_S
        return young or event.id in self._tried or not -1 <= late_s <= self._config.late_s

    def _find(self, event: Event, camera: str) -> str | None:
        """The id of an event over there that is ours already."""
        values = {
            "cameras": camera, "labels": LABEL, "after": f"{event.start_utc - 86400:.3f}",
            "limit": "200", "include_thumbnails": "0",
        }  # fmt: skip
        answer = self._call("GET", f"/events?{urlencode(values)}")
        self._server.expect_fine(answer, "the question for its events")
        for there in _json(answer, list):
            if _is(there, event):
                return str(there["id"])
        return None

    def _end(self, event: Event, there: str, late_s: float) -> None:
        self._tried.setdefault(event.id, time.monotonic())
        said = sentence(event)
        if late_s > self._config.late_s:
            said += f" Told {late_s:.0f} s after it began: the picture is of that moment."
        self._about(event, there, "POST", "description", {"description": said})
        received = _received(there)
        lasted_s = max(0.0, (event.end_utc or event.start_utc) - event.start_utc)
        end = None if received is None else received - late_s + lasted_s
        answer = self._about(event, there, "PUT", "end", {"end_time": end}, (400,))
        if answer.status == 400:  # Frigate before 0.18 began it at the receipt
            self._about(event, there, "PUT", "end", {"end_time": received})

    def _about(
        self, event: Event, there: str, method: str, what: str, body: Mapping[str, Any],
        allowed: tuple[int, ...] = (),
    ) -> Answer:  # fmt: skip
        """Say something of an event that was created."""
        answer = self._call(method, f"/events/{quote(there, safe='')}/{what}", body)
        if answer.status == 404:
            first = self._tried.setdefault(event.id, time.monotonic())
            if time.monotonic() - first < SETTLE_S:
                raise Later(f"Frigate doesn't have its event {there} in its database yet.")
            raise Refused(f"Frigate doesn't know its event {there} any more: it was deleted there.")
        if answer.status not in allowed:
            self._server.expect_fine(answer, f"the {event.state} of an event")
        return answer

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        sent = None if body is None else as_json(body).encode()
        target = f"{self._server.path}/api{path}"
        answer = self._server.call(method, target, sent, self._headers())
        if answer.status in (401, 403):
            raise Later(
                f"{self._server.where} doesn't let us in ({answer.status}). Port 8971 wants a "
                "token of a user with the role admin (token or token_file; they run out); port "
                "5000, which only Frigate's own network should reach, wants none."
            )
        return answer

    def _headers(self) -> Mapping[str, str]:
        token = opened(self._config.token, self._config.token_file, "token").strip()
        bearer = {"Authorization": header("Authorization", f"Bearer {token}")} if token else {}
        return {"Content-Type": "application/json", **bearer}


def created(event: Event, late_s: float, config: FrigateConfig) -> dict[str, Any]:
    """The body that makes an event; `late_s` seconds after it began."""
    boxes = [
        {
            "box": [
                b.x / event.width, b.y / event.height, b.w / event.width, b.h / event.height,
            ],
            "color": list(COLOUR),
            "score": round(100 * share(event.peak_level)),
            "label": LABEL,
        }
        for b in event.boxes
    ]  # fmt: skip
    late = late_s > config.late_s
    return {
        "sub_label": reasons(event, MOST_LABEL),
        "score": share(event.peak_level),
        "duration": None,
        "include_recording": config.include_recording,
        "draw": {"boxes": boxes, MARK: event.id},
        **({"pre_capture": round(late_s) + BEFORE_S} if late else {}),
    }


def _is(there: Any, event: Event) -> bool:
    """Whether an event in Frigate's list was made of this one."""
    if not isinstance(there, dict) or not there.get("id"):
        return False
    data = there.get("data")
    data = data if isinstance(data, dict) else {}
    draw = data.get("draw")
    if isinstance(draw, dict) and MARK in draw:
        return bool(draw[MARK] == event.id)
    alike = _same(data.get("score"), share(event.peak_level))
    return alike and there.get("sub_label") == reasons(event, MOST_LABEL)


def _received(there: str) -> float | None:
    """When Frigate made an event, by its clock: its ids begin with it."""
    try:
        return float(there.split("-")[0])
    except ValueError:
        return None


def _json(answer: Answer, kind: type = dict) -> Any:
    try:
        values = json.loads(answer.body)
    except ValueError:
        values = None
    if not isinstance(values, kind):
        raise Later("The answer isn't what Frigate gives: check that url leads to Frigate itself.")
    return values


def _same(one: Any, other: float) -> bool:
    return isinstance(one, (int, float)) and abs(one - other) < 1e-9
