"""Webhook: each message is a POST of JSON, signed where a secret is shared.

The body is `Event.plain()` with

    key        the message's name; also in the header Idempotency-Key. Who has seen it drops it
    topic      tns1:RuleEngine/oddframe/Anomaly, as ONVIF names events
    active     whether the event is still open
    utc_time   2026-11-29T21:55:14.250Z: when what is told happened (start, peak or end)
    picture    the snapshot's JPEG in base64 with `picture: true`, null where there is none

`state` is start, update or end. With `secret` the header

    X-Oddframe-Signature: t=1789000000,v1=<hex>

holds the HMAC-SHA256 of `<t>.<body>`: who checks it also checks that t is of the last minutes, so
that no old message can be played again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from oddframe.errors import ConfigError
from oddframe.sinks.base import Message, Sink, SinkConfig
from oddframe.sinks.http import Server, header
from oddframe.sinks.secrets import Secret, opened
from oddframe.sinks.words import as_json, iso

TOPIC = "tns1:RuleEngine/oddframe/Anomaly"


class WebhookConfig(SinkConfig):
    """Where to POST to."""

    kind: str = "webhook"
    url: Secret = SecretStr("")
    """http(s)://…; shown without anything that may be a password."""
    url_file: Path | None = None
    """A file that holds it instead."""
    secret: Secret = SecretStr("")
    """Shared with the receiver, who can then tell that a message is ours. Empty: unsigned."""
    secret_file: Path | None = None
    """A file that holds it instead."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More headers, e.g. `Authorization: Bearer ${TOKEN}`."""
    picture: bool = False
    """Send the snapshot along, in base64: a third more bytes than the JPEG has."""
    ca_file: Path | None = None
    """PEM of whom to trust instead of the system's authorities, for a certificate of one's own."""
    timeout_s: float = Field(10.0, gt=0, le=300)
    """For a whole request, in seconds."""


class Webhook(Sink):
    """Posts every message; 2xx is taken, what passes is tried again, all else is refused."""

    def __init__(self, config: WebhookConfig) -> None:
        """Nothing is sent yet.

        Raises:
            ConfigError: no address, a secret that can't be read, a header that can't be sent.
        """
        super().__init__(config)
        url = opened(config.url, config.url_file, "url")
        if not url:
            raise ConfigError("A webhook needs url (or url_file).")
        self._server = Server(url, config.timeout_s, config.ca_file)
        self._secret = opened(config.secret, config.secret_file, "secret")
        self._picture = config.picture
        self._headers = {
            header(name, name): header(name, value.get_secret_value())
            for name, value in config.headers.items()
        }

    def send(self, message: Message) -> None:
        """POST it.

        Raises:
            Later: not reached, 408, 425, 429 or 5xx.
            Refused: any other status.
        """
        body = as_json(payload(message, self._picture)).encode()
        headers = {
            "Content-Type": "application/json",
            **self._headers,
            "Idempotency-Key": message.key,
        }
        if self._secret:
            headers["X-Oddframe-Signature"] = signature(self._secret, int(time.time()), body)
        answer = self._server.call("POST", body=body, headers=headers)
        self._server.expect_fine(answer, f"the {message.event.state} of an event")


def signature(secret: str, t: int, body: bytes) -> str:
    """What stands in X-Oddframe-Signature; `t` is in seconds since 1970."""
    code = hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={t},v1={code}"


def payload(message: Message, picture: bool) -> Mapping[str, Any]:
    """The body of a message, as this module's head describes it."""
    event = message.event
    when = {"start": event.start_utc, "update": event.peak_utc}
    told: dict[str, Any] = {
        "key": message.key,
        "topic": TOPIC,
        "active": event.state != "end",
        "utc_time": iso(when.get(event.state, event.end_utc or event.peak_utc)),
        **event.plain(),
    }
    if picture:
        jpeg = message.picture
        told["picture"] = None if jpeg is None else base64.b64encode(jpeg).decode()
    return told
