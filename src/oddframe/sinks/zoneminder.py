"""ZoneMinder: an event makes a monitor record, through zmtrigger.pl (TCP 6802, OPT_TRIGGERS).

    <monitor>|on+600|180|oddframe|something is here that was never here|
    <monitor>|cancel|0|||

Its answer is none. But it closes a connection that was closed on this side only after it has read
what was sent there, so that is waited for: a line that was sent into a dead connection isn't taken
for said. `on` ends by itself after `most_s`, which an `update` prolongs: a program that was killed
doesn't make it record for ever. `cancel` ends what `on` began and nothing else (`off` would also
end what the monitor found by itself, and makes zmtrigger.pl wait).
"""

from __future__ import annotations

import re
import socket
import time

from pydantic import Field

from oddframe.errors import ConfigError
from oddframe.events.event import Event
from oddframe.sinks.base import Later, Message, Refused, Sink, SinkConfig
from oddframe.sinks.words import reasons

CAUSE = "oddframe"
TEXT_CHARS, SHOWN_CHARS, MOST_SCORE = 256, 32, 255
"""What ZoneMinder keeps of a line."""


class ZoneMinderConfig(SinkConfig):
    """Which server, and which of its monitors see what our cameras see."""

    kind: str = "zoneminder"
    host: str
    """Name or address of the server."""
    port: int = Field(6802, ge=1, le=65535)
    """Of zmtrigger.pl."""
    monitors: dict[str, int]
    """Monitor's number by our camera's name: {gate: 1, yard: 4}."""
    most_s: int = Field(600, ge=10, le=86400)
    """An event that isn't told to be over ends after so many seconds."""
    latest_s: float = Field(60.0, gt=0)
    """An event that began longer ago isn't told: it would record what comes now."""
    timeout_s: float = Field(5.0, gt=0, le=60)
    """For a line, in seconds."""


class ZoneMinder(Sink):
    """Says one line a message, each over a connection of its own."""

    def __init__(self, config: ZoneMinderConfig) -> None:
        super().__init__(config)
        if not config.monitors:
            raise ConfigError("zoneminder needs monitors: {our camera: number of the monitor}.")
        self._config = config

    def send(self, message: Message) -> dict[str, bool]:
        """Say it, and wait until it was read.

        Raises:
            Later: the server can't be reached.
            Refused: no monitor for that camera, or too late.
        """
        event = message.event
        monitor = self._config.monitors.get(event.camera)
        if monitor is None:
            known = ", ".join(self._config.monitors)
            raise Refused(f"No monitor is given for camera {event.camera}: monitors has {known}.")
        if event.state == "end":
            if message.receipts.get("on"):
                self._say(f"{monitor}|cancel|0|||")
            return {"on": False}
        late_s = time.time() - event.start_utc
        if event.state == "start" and late_s > self._config.latest_s:
            raise Refused(f"It began {late_s:.0f} s ago: ZoneMinder would record what comes now.")
        self._say(line(monitor, event, self._config.most_s))
        return {"on": True}

    def _say(self, text: str) -> None:
        c = self._config
        where = f"ZoneMinder at {c.host}:{c.port}"
        until = time.monotonic() + c.timeout_s
        try:
            with socket.create_connection((c.host, c.port), timeout=c.timeout_s) as link:
                link.sendall(f"{text}\n".encode())
                link.shutdown(socket.SHUT_WR)
                while link.recv(4096):  # it tells everybody of its own alarms
                    if (left := until - time.monotonic()) <= 0:
                        raise TimeoutError
                    link.settimeout(left)
        except TimeoutError:
            raise Later(f"{where} didn't read the message within {c.timeout_s:g} s.") from None
        except OSError as error:
            raise Later(
                f"{where} cannot be reached: {error.strerror or type(error).__name__}. Check that "
                "OPT_TRIGGERS is on and zmtrigger.pl runs."
            ) from None


def line(monitor: int, event: Event, most_s: int) -> str:
    """What switches a monitor on: `id|on+N|score|cause|text|showtext`."""
    score = min(MOST_SCORE, max(1, round(100 * event.peak_level)))
    text = _plain(reasons(event), TEXT_CHARS)
    shown = _plain(f"{event.severity} {event.peak_level:.1f}", SHOWN_CHARS)
    return f"{monitor}|on+{most_s}|{score}|{CAUSE}|{text}|{shown}"


def _plain(text: str, most_bytes: int) -> str:
    """Without what parts the fields (and quotes at the ends, which zmtrigger.pl takes off)."""
    plain = re.sub(r'[|"\x00-\x1f\x7f\u2028\u2029]+', " ", text).strip()
    return plain.encode()[:most_bytes].decode("utf-8", "ignore")
