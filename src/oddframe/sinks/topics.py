"""Names on an MQTT broker: `<prefix>/…`, as Frigate lays them out."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass


def safe(name: str) -> str:
    """A name as one level of a topic, and as Home Assistant allows it: [a-zA-Z0-9_-].

    What is changed gets a mark, so that "front/door" and "front_door" stay two cameras.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    if plain == name and name:
        return name
    mark = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=2).hexdigest()
    return f"{plain}_{mark}"


@dataclass(frozen=True, slots=True)
class Topics:
    """All that is published and heard below one prefix."""

    prefix: str

    @property
    def available(self) -> str:
        """online, offline (the broker says it when the connection dies) or stopped; retained."""
        return f"{self.prefix}/available"

    @property
    def events(self) -> str:
        """Every message, as JSON of Frigate's shape."""
        return f"{self.prefix}/events"

    def anomaly(self, camera: str) -> str:
        """ON while an event is open, else OFF; retained."""
        return f"{self.prefix}/{safe(camera)}/anomaly"

    def attributes(self, camera: str) -> str:
        """What is known of the newest event, as JSON; retained."""
        return f"{self.prefix}/{safe(camera)}/anomaly/attributes"

    def alarm(self, camera: str) -> str:
        """One message as an event begins, as Home Assistant's event entities take it."""
        return f"{self.prefix}/{safe(camera)}/event"

    def snapshot(self, camera: str) -> str:
        """The newest event's picture, a JPEG; retained."""
        return f"{self.prefix}/{safe(camera)}/snapshot"

    def status(self, camera: str) -> str:
        """online or offline; retained."""
        return f"{self.prefix}/{safe(camera)}/status"

    def score(self, camera: str) -> str:
        """{"level": …, "score": …}, once a second at most."""
        return f"{self.prefix}/{safe(camera)}/score"

    def armed(self, camera: str) -> str:
        """ON or OFF; retained. Is set by the same with /set for /state."""
        return f"{self.prefix}/{safe(camera)}/armed/state"

    def arm(self, camera: str) -> str:
        """Heard: ON or OFF."""
        return f"{self.prefix}/{safe(camera)}/armed/set"
