"""Messages to people, by apprise: mail, Telegram, ntfy, Pushover and a hundred more by one address.

Told are starts, and events that become alerts: nobody wants to be woken for an end. Who can't be
reached is tried again, alone: the others aren't told twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from oddframe.errors import ConfigError
from oddframe.sinks.base import Later, Message, Refused, Sink, SinkConfig
from oddframe.sinks.secrets import Secret, filled
from oddframe.sinks.words import sentence, title

if TYPE_CHECKING:
    from apprise import Apprise


class NotifyConfig(SinkConfig):
    """Whom to tell."""

    kind: str = "notify"
    urls: tuple[Secret, ...] = ()
    """Addresses as apprise has them, e.g. `ntfy://${TOKEN}@ntfy.sh/gate`; never shown."""
    urls_file: Path | None = None
    """A file with more, one a line; lines that begin with # are left out."""
    picture: bool = True
    """Attach the snapshot, where the service takes pictures."""
    latest_s: float = Field(3600.0, gt=0)
    """An event that began longer ago isn't told any more."""


class Notify(Sink):
    """Tells every address of starts and of what becomes an alert."""

    def __init__(self, config: NotifyConfig) -> None:
        """Nothing is sent yet.

        Raises:
            ConfigError: no address, or one that apprise doesn't know.
        """
        super().__init__(config)
        import apprise

        # Its own messages may hold an address with its token; ours say which one failed.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        self._config = config
        self._services: list[tuple[str, Apprise]] = []
        for number, url in enumerate(_addresses(config), 1):
            service = apprise.Apprise()
            name = f"address {number} ({url.partition('://')[0][:20]}://…)"
            if not service.add(url):
                raise ConfigError(
                    f"notify: apprise doesn't know what {name} is. Look its form up in apprise's "
                    "list of services."
                )
            self._services.append((name, service))
        if not self._services:
            raise ConfigError("notify needs urls (or urls_file), addresses as apprise has them.")
        self._told: dict[str, set[str]] = {}  # by key: who was told of a message under way

    def send(self, message: Message) -> Mapping[str, Any] | None:
        """Tell all of them.

        Raises:
            Later: at least one wasn't reached.
            Refused: the event began too long ago.
        """
        event = message.event
        worse = event.severity == "alert" and message.receipts.get("told") != "alert"
        if event.state == "end" or (event.state == "update" and not worse):
            return None
        late_s = time.time() - event.start_utc
        if late_s > self._config.latest_s:
            self._told.pop(message.key, None)
            raise Refused(
                f"It began {late_s / 60:.0f} min ago: nobody is told any more (latest_s)."
            )
        told = self._told.setdefault(message.key, set())
        for name, service in self._services:
            if name not in told and self._tell(service, message):
                told.add(name)
        missing = [name for name, _ in self._services if name not in told]
        if missing:
            raise Later(
                f"notify: {', '.join(missing)} did not take the message. Check the address and its "
                "token, and that the service can be reached."
            )
        del self._told[message.key]
        return {"told": event.severity}

    def _tell(self, service: Apprise, message: Message) -> bool:
        event = message.event
        kind = "warning" if event.severity == "alert" else "info"
        path = None if event.snapshot is None else message.folder / event.snapshot
        attached = str(path) if self._config.picture and path and path.is_file() else None
        return bool(service.notify(sentence(event), title(event), kind, attach=attached))


def _addresses(config: NotifyConfig) -> list[str]:
    found = [url.get_secret_value() for url in config.urls]
    if config.urls_file is not None:
        try:
            lines = config.urls_file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it isn't text"
            raise ConfigError(f"urls_file {config.urls_file} cannot be read: {why}.") from None
        stripped = (line.strip() for line in lines)
        found += [filled(line, "urls_file") for line in stripped if line and line[0] != "#"]
    return found
