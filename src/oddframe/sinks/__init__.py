"""Where events go: one file a kind, in an explicit table, imported when one is made.

sink = make_sink({"kind": "webhook", "url": "https://example.org/hook"})
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from oddframe.errors import ConfigError

if TYPE_CHECKING:
    from oddframe.sinks.base import Sink, SinkConfig
    from oddframe.sinks.mqtt import Around

__all__ = ["SINKS", "Entry", "make_sink", "sink_config"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of sink."""

    module: str
    """Holds both classes."""
    sink: str
    config: str
    needs: str = ""
    """A package that isn't installed with oddframe; the extra is called as the kind."""
    around: bool = False
    """The sink is told of the program around it (`mqtt.Around`)."""


SINKS: dict[str, Entry] = {
    "jsonl": Entry("oddframe.sinks.jsonl", "Jsonl", "JsonlConfig"),
    "webhook": Entry("oddframe.sinks.webhook", "Webhook", "WebhookConfig"),
    "mqtt": Entry("oddframe.sinks.mqtt", "Mqtt", "MqttConfig", needs="paho.mqtt", around=True),
    "frigate": Entry("oddframe.sinks.frigate", "Frigate", "FrigateConfig"),
    "zoneminder": Entry("oddframe.sinks.zoneminder", "ZoneMinder", "ZoneMinderConfig"),
    "notify": Entry("oddframe.sinks.notify", "Notify", "NotifyConfig", needs="apprise"),
}
"""Every kind that a configuration may name."""
_CALLED = {
    "homeassistant": "mqtt with homeassistant: true", "home_assistant": "mqtt with homeassistant: "
    "true", "apprise": "notify", "http": "webhook", "json": "jsonl", "file": "jsonl",
}  # fmt: skip
"""What people call a kind that has another name here."""


def sink_config(values: Mapping[str, Any]) -> SinkConfig:
    """Read the settings of a sink: `kind`, and what that kind knows.

    Raises:
        ConfigError: no or an unknown kind, an unknown key (both name the nearest), a value out of
            range, or a package that isn't installed.
    """
    entry = _entry(values)
    config: type[SinkConfig] = getattr(import_module(entry.module), entry.config)
    try:
        return config.read(values)
    except ConfigError as error:
        raise ConfigError(f"Sink {values.get('name') or values['kind']}: {error}") from None


def make_sink(values: Mapping[str, Any] | SinkConfig, around: Around | None = None) -> Sink:
    """Make a sink of its settings; it connects with `start`.

    Args:
        values: As `sink_config` reads them, or what that gave.
        around: The cameras and how to arm them, for kinds that let these be seen over there.

    Raises:
        ConfigError: as `sink_config`; a secret that can't be read.
    """
    config = sink_config(values) if isinstance(values, Mapping) else values
    entry = SINKS[config.kind]
    make = getattr(import_module(entry.module), entry.sink)
    try:
        sink: Sink = make(config, around) if entry.around else make(config)
    except ConfigError as error:
        raise ConfigError(f"Sink {config.name or config.kind}: {error}") from None
    return sink


def _entry(values: Mapping[str, Any]) -> Entry:
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in SINKS:
        near = difflib.get_close_matches(str(kind), [*SINKS, *_CALLED], 1, 0.5)
        hint = f" Did you mean {_CALLED.get(near[0], near[0])}?" if near else ""
        found = "no kind" if kind is None else f"kind {kind!r}"
        raise ConfigError(f"A sink with {found}.{hint} There are {', '.join(SINKS)}.")
    entry = SINKS[kind]
    if entry.needs and not _installed(entry.needs):
        raise ConfigError(
            f"Sinks of kind {kind} need a package that isn't installed: "
            f"pip install 'oddframe[{kind}]'."
        )
    return entry


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of what stands before a dot
        return False
