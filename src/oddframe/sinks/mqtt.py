"""MQTT: events in Frigate's shape, and per camera what home automation wants to know.

    retained  <prefix>/available                    online | offline | stopped
              <prefix>/events                       {"type": "new|update|end", "before": {…},
                                                     "after": {…}, "key": "…"}
    retained  <prefix>/<camera>/anomaly             ON | OFF
    retained  <prefix>/<camera>/anomaly/attributes  what is known of the newest event, JSON
              <prefix>/<camera>/event               one message as an event begins, JSON
    retained  <prefix>/<camera>/snapshot            JPEG
    retained  <prefix>/<camera>/status              online | offline
              <prefix>/<camera>/score               {"level": …, "score": …}, each second at most
    heard     <prefix>/<camera>/armed/set           ON | OFF
    retained  <prefix>/<camera>/armed/state         ON | OFF

Times are seconds since 1970, boxes [x1, y1, x2, y2] in pixels, as Frigate has them. A message
counts as taken when the broker has acknowledged all that it consists of. What was retained is said
again after each connect: a broker may have forgotten it.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator

from oddframe.sinks.base import Message, Sink, SinkConfig
from oddframe.sinks.broker import Address, Broker, Say
from oddframe.sinks.homeassistant import EVENT_TYPE, discovery
from oddframe.sinks.http import trust
from oddframe.sinks.secrets import Secret, opened
from oddframe.sinks.shape import shape
from oddframe.sinks.topics import Topics
from oddframe.sinks.words import as_json, reasons, sentence

SCORE_EVERY_S = 1.0


class MqttConfig(SinkConfig):
    """Which broker, and what is said there."""

    kind: str = "mqtt"
    host: str = "localhost"
    """Name or address of the broker."""
    port: int = Field(0, ge=0, le=65535)
    """0: 1883, or 8883 with TLS."""
    user: str = ""
    password: Secret = SecretStr("")
    """For `user`."""
    password_file: Path | None = None
    """A file that holds it instead."""
    tls: bool = False
    """Encrypt, and check the broker's certificate."""
    ca_file: Path | None = None
    """PEM of whom to trust instead of the system's authorities."""
    prefix: str = "oddframe"
    """First part of all topics. Two programs on one broker need two."""
    client_id: str = ""
    """How the broker knows the connection; by default a new one each start."""
    timeout_s: float = Field(10.0, gt=0, le=300)
    """The broker has so long to acknowledge a message."""
    snapshots: bool = True
    """Publish pictures."""
    homeassistant: bool = False
    """Make a device of each camera in Home Assistant, by discovery."""
    homeassistant_prefix: str = "homeassistant"
    """Where Home Assistant listens for that."""

    @field_validator("prefix", "homeassistant_prefix")
    @classmethod
    def _topic(cls, value: str) -> str:
        if not value.strip("/") or set(value) & set("+#\0") or value != value.strip("/ "):
            raise ValueError(
                "a topic without + and #, that doesn't begin or end with / is expected"
            )
        return value


@dataclass(frozen=True, slots=True)
class Around:
    """What a sink is told of the program that it speaks for."""

    cameras: tuple[str, ...] = ()
    """All that may have events."""
    arm: Callable[[str, bool], bool] | None = None
    """Switch a camera's alarms on or off; gives what holds then. Called by the sink's threads, and
    mustn't take long."""
    armed: Callable[[str], bool] | None = None
    """Whether a camera's alarms are on; None: all are."""
    gone: tuple[str, ...] = ()
    """Cameras that were spoken of before, and are watched no more."""


class Mqtt(Sink):
    """Publishes to one broker. `observe`, `armed` and `follow` may be called by any thread."""

    def __init__(self, config: MqttConfig, around: Around | None = None) -> None:
        """Nothing is connected yet.

        Raises:
            ConfigError: a password or a certificate that can't be read.
        """
        super().__init__(config)
        self._config, self._around = config, around or Around()
        self._cameras = self._around.cameras
        self._gone = set(self._around.gone)  # cameras that left
        self._topics = Topics(config.prefix)
        address = Address(
            config.host,
            config.port or (8883 if config.tls else 1883),
            config.client_id or f"oddframe-{secrets.token_hex(3)}",
            config.user,
            opened(config.password, config.password_file, "password"),
            trust(config.ca_file) if config.tls else None,
        )
        will = Say(self._topics.available, "offline", True)
        self._broker = Broker(address, will, self._connected, self._heard)
        self._lock = threading.Lock()
        self._kept = {s.topic: s.payload for s in self._at_rest(self._cameras)}
        # Who left while nobody ran is said to be gone at each start: a broker keeps it for ever.
        self._kept |= {topic: "" for c in self._around.gone for topic in self._retained(c)}
        self._newest: dict[str, int] = {}  # of each camera: number of its newest event's first word
        self._under_way: tuple[str, set[int]] | None = None
        self._taken = ""  # key of the message before, where it was acknowledged after its time
        self._loudest: dict[str, tuple[float, float]] = {}
        self._scored: dict[str, float] = {}

    def _at_rest(self, cameras: Sequence[str]) -> list[Say]:
        """What is retained of cameras that nothing is known of yet."""
        t = self._topics
        calm = [Say(t.anomaly(c), "OFF", True) for c in cameras]
        on = self._around.armed or (lambda camera: True)
        armed = [Say(t.armed(c), "ON" if on(c) else "OFF", True) for c in cameras]
        if not self._config.homeassistant:
            return calm + armed
        root = self._config.homeassistant_prefix
        made = (discovery(c, t, root) for c in cameras)
        return [Say(topic, as_json(payload), True) for topic, payload in made] + calm + armed

    def start(self) -> None:
        """Connect.

        Raises:
            Later: the broker isn't there or doesn't let us in.
        """
        self._broker.start()

    def send(self, message: Message) -> Mapping[str, Any]:
        """Publish all that a message consists of, and wait until the broker has it.

        Raises:
            Later: no connection, or not acknowledged in time.
        """
        self._broker.start()
        self._settle()
        after = shape(message.event)
        if message.key != self._taken:
            self._broker.expect()
            said = {self._broker.say(s) for s in self._told(message, after)}
            self._under_way = (message.key, said)
            self._settle()
        return {"told": after, "first": _first(message)}

    def _settle(self) -> None:
        """Wait for what is under way; the library sends it again by itself after a reconnect."""
        if self._under_way is not None:
            key, numbers = self._under_way
            self._broker.settled(numbers, self._config.timeout_s)
            self._taken, self._under_way = key, None

    def _told(self, message: Message, after: Mapping[str, Any]) -> list[Say]:
        event, t = message.event, self._topics
        before = message.receipts.get("told")
        kind = "end" if event.state == "end" else "update" if before else "new"
        told = {"type": kind, "before": before or after, "after": after, "key": message.key}
        out = [Say(t.events, as_json(told))]
        # By the order in which events began, not by their ids: those hold a clock that may be set.
        if _first(message) < self._newest.get(event.camera, 0):
            return out  # of an event before the newest: what holds now is known better
        if event.camera in self._gone or event.away:
            return out  # `status` says that one is away
        self._newest[event.camera] = _first(message)
        known = {**after, "reason": reasons(event), "message": sentence(event)}
        state = "OFF" if kind == "end" else "ON"
        now = [Say(t.attributes(event.camera), as_json(known), True)]
        if self._config.snapshots and (jpeg := message.picture) is not None:
            now.append(Say(t.snapshot(event.camera), jpeg, True))
        now.append(Say(t.anomaly(event.camera), state, True))
        with self._lock:
            self._kept.update({s.topic: s.payload for s in now})
        louder = before is not None and before["severity"] != after["severity"]
        if kind == "new" or (louder and after["severity"] == "alert"):
            out.append(Say(t.alarm(event.camera), as_json({"event_type": EVENT_TYPE, **known})))
        return now + out

    def observe(self, camera: str, score: float, level: float, up: bool) -> None:
        """Tell of a camera, as often as one likes: of each second the loudest frame is published.

        Args:
            camera: Its name.
            score: Of a frame; NaN where there is none.
            level: score / threshold; NaN where there is none.
            up: Whether its source is there.
        """
        status = "online" if up else "offline"
        self._keep(Say(self._topics.status(camera), status, True))
        with self._lock:
            before = self._loudest.get(camera)
            if before is None or math.isnan(before[1]) or level > before[1]:
                self._loudest[camera] = (score, level)
            now = time.monotonic()
            if now - self._scored.get(camera, -SCORE_EVERY_S) < SCORE_EVERY_S:
                return
            self._scored[camera] = now
            score, level = self._loudest.pop(camera)
        if self._broker.up:
            payload = as_json({"level": _number(level), "score": _number(score)})
            self._broker.say(Say(self._topics.score(camera), payload), qos=0)

    def armed(self, camera: str, on: bool) -> None:
        """Tell that a camera's alarms are switched on or off."""
        self._keep(Say(self._topics.armed(camera), "ON" if on else "OFF", True))

    def follow(self, cameras: Sequence[str]) -> None:
        """Speak of these cameras from now on; nothing happens where they are those of before.

        One that joins becomes a device in Home Assistant, one that leaves is one no more.
        """
        with self._lock:
            before, self._cameras = self._cameras, tuple(cameras)
            self._gone = (self._gone | set(before)) - set(cameras)
        joined = [c for c in cameras if c not in before]
        for say in self._at_rest(joined):
            self._keep(say)
        if joined and self._broker.up:
            self._broker.hear([self._topics.arm(c) for c in joined])
        for camera in before:
            if camera not in cameras:
                self._forget(camera)

    def _forget(self, camera: str) -> None:
        """Nothing is retained of a camera any more: to say nothing is how a broker is told."""
        for topic in self._retained(camera):
            self._keep(Say(topic, "", True))

    def _retained(self, camera: str) -> list[str]:
        """All topics of a camera that a broker keeps."""
        t = self._topics
        topics = [t.anomaly(camera), t.attributes(camera), t.snapshot(camera), t.status(camera),
                  t.armed(camera)]  # fmt: skip
        if self._config.homeassistant:
            topics.append(discovery(camera, t, self._config.homeassistant_prefix)[0])
        return topics

    def close(self) -> None:
        """Say that we stopped, and disconnect."""
        self._broker.stop(Say(self._topics.available, "stopped", True))

    def _keep(self, say: Say) -> None:
        """Publish what holds from now on, if it is new; after a reconnect it is said again."""
        with self._lock:
            if self._kept.get(say.topic) == say.payload:
                return
            self._kept[say.topic] = say.payload
        if self._broker.up:
            self._broker.say(say, qos=0)

    def _connected(self) -> None:
        self._broker.hear([self._topics.arm(c) for c in self._cameras])
        if self._config.homeassistant:
            self._broker.hear([f"{self._config.homeassistant_prefix}/status"])
        self._broker.say(Say(self._topics.available, "online", True), qos=0)
        self._say_again()

    def _say_again(self) -> None:
        with self._lock:
            kept = [Say(topic, payload, True) for topic, payload in self._kept.items()]
        for say in kept:
            self._broker.say(say, qos=0)

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:
        if topic == f"{self._config.homeassistant_prefix}/status":
            if payload == b"online" and not retained:
                self._say_again()
            return
        if retained or self._around.arm is None:  # a command that was kept is one of another day
            return
        wanted = {b"ON": True, b"OFF": False}.get(payload.strip().upper())
        for camera in self._cameras:
            if wanted is not None and topic == self._topics.arm(camera):
                self.armed(camera, self._around.arm(camera, wanted))


def _first(message: Message) -> int:
    """Number of the message that an event was told by first."""
    return int(message.receipts.get("first", message.number))


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
