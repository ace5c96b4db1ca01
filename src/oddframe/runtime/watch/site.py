"""One site, one YAML: store, sinks, what to detect, and the cameras with what differs for each.

    store:  {path: watched, keep_days: 30, disk_gb: 10}
    sinks:  [{kind: mqtt, host: broker}, {kind: jsonl, path: events.jsonl}]
    detect: {model: runs/gate, merge_gap_s: 10}
    cameras:
      gate:  {source: "rtsp://gate.local/1"}
      lobby: {source: 0, detect: {model: runs/lobby}, mask: [[0, 0], [1, 0], [1, .06], [0, .06]]}

What a camera does not say of `detect` is said by the site. One whose `detect.model` is null, or
that has none from anywhere, is only shown until it gets one. Secrets stand in `${NAME}` of the
environment, or in files that a key ending in `_file` names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from oddframe.config import Config
from oddframe.errors import ConfigError
from oddframe.events.ring import ClipConfig
from oddframe.events.rules import Rules
from oddframe.events.schedule import Schedule
from oddframe.events.store.keep import KeepConfig
from oddframe.events.zones import Mask, Zone
from oddframe.runtime.watch.settings import ReadConfig
from oddframe.sinks.secrets import Secret, filled
from oddframe.sources.urls import is_address, safe

CAMERA = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names that topics of MQTT, file names and labels of Prometheus all take."""
TOKEN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
TOKEN_HASH = re.compile(r"sha256:[0-9a-fA-F]{64}")
RESERVED = frozenset({"here", "token"})
"""Who asks without a token, and who asks with `web.token`."""


class StoreConfig(KeepConfig):
    """Where events, their pictures and films stay, and for how long."""

    path: Path = Path("watched")
    """Folder; relative to the site's file."""
    clip: ClipConfig = ClipConfig()


class TokenConfig(Config):
    """One more token, as its hash: `oddframe token NAME` makes it and prints these keys."""

    name: str = Field("", validate_default=True)
    """Who it is, in the record of what was changed."""
    role: Literal["read", "admin"] = "read"
    """read: may look at everything that cameras show; admin: may change things as well."""
    # A default, so that no error about a key that is missing shows what stands beside it.
    hash: str = Field("", validate_default=True)
    """sha256: and 64 hexadecimal digits."""

    @field_validator("name", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if not isinstance(value, str) or not TOKEN_NAME.fullmatch(value):
            raise ValueError("a token's name is letters, digits, _ . and -, 64 at most")
        if value in RESERVED:
            raise ValueError(f"a token cannot be named {value}: that is what others are called")
        return value

    @field_validator("hash", mode="before")
    @classmethod
    def _hashed(cls, value: object) -> object:
        # What stands there by mistake may be the token itself: it is not said again.
        if not isinstance(value, str) or not TOKEN_HASH.fullmatch(value):
            raise ValueError(
                "sha256: and 64 hexadecimal digits are expected, as `oddframe token NAME` prints "
                "them (what was found isn't shown: it may be the token itself)"
            )
        return value.lower()


class WebConfig(Config):
    """The HTTP side: health, metrics, pages, an API."""

    host: str = "127.0.0.1"
    """Any other than this machine itself needs a token."""
    port: int = Field(8088, ge=0, le=65535)
    """0: any that is free."""
    token: Secret | None = None
    """What callers must send: `Authorization: Bearer TOKEN`. It may change everything."""
    token_file: Path | None = None
    tokens: tuple[TokenConfig, ...] = Field((), max_length=100)
    """More of them, each with a name and a role."""
    open_health: bool = False
    """Answer /healthz and /readyz to whoever asks, without a token. On this machine alone they are
    answered anyway."""

    @field_validator("tokens")
    @classmethod
    def _each_once(cls, value: tuple[TokenConfig, ...]) -> tuple[TokenConfig, ...]:
        for what in ("name", "hash"):
            if len({getattr(token, what) for token in value}) < len(value):
                raise ValueError(f"two tokens have the same {what}")
        return value


class DetectConfig(Rules):
    """What is an event: the rules, and which RUN scores."""

    model: str | None = None
    """A RUN folder, or the name of one that comes with oddframe; relative to the site's file. null:
    there is none yet."""
    alarms_per_day: float | None = Field(None, gt=0)
    """False alarms to accept in 24 hours, where that is another number than the RUN was calibrated
    for: the threshold is found anew from the peaks that it keeps."""
    offline_s: float = Field(600.0, ge=0, le=86400)
    """A camera that gives no picture for so long is told of as an event, until it does; 0: never.
    Shorter absences are gaps in the record alone."""
    goes_on: bool = True
    """Let live footage without alarms join what the threshold rests on, within bounds, for each
    camera by itself; every change is logged and can be undone."""
    schedule: Schedule = Schedule()
    """When alarms are armed; empty: always."""


class CameraConfig(Config):
    """One camera."""

    source: str | int
    """Address, index of a webcam, or a video file or folder (see `realtime`)."""
    enabled: bool = True
    realtime: bool = True
    """Play a file at its own speed, as a camera would, instead of as fast as it can be scored."""
    reading: ReadConfig = ReadConfig()
    """Limits and patience with the source."""
    detect: DetectConfig = DetectConfig()
    zones: tuple[Zone, ...] = ()
    """Also as {name: [[x, y], …]}."""
    mask: tuple[Mask, ...] = ()
    """Places that never score; also as one polygon [[x, y], …], or several."""

    @field_validator("zones", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return [
            {"name": name, **(z if isinstance(z, Mapping) else {"points": z})}
            for name, z in value.items()
        ]

    @field_validator("mask", mode="before")
    @classmethod
    def _polygons(cls, value: object) -> object:
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            return value
        many = value if _is_many(value) else [value]
        return [m if isinstance(m, Mapping | Mask) else {"points": m} for m in many]


class SiteConfig(Config):
    """All of a site."""

    store: StoreConfig = StoreConfig()
    web: WebConfig = WebConfig()
    sinks: tuple[dict[str, Any], ...] = ()
    """Each with its `kind`; see `oddframe.sinks.SINKS`."""
    detect: DetectConfig = DetectConfig()
    cameras: dict[str, CameraConfig]
    """None at all, {}: the first is to be added over HTTP."""

    @model_validator(mode="before")
    @classmethod
    def _inherited(cls, values: Any) -> Any:
        """What a camera does not say of `detect` is the site's."""
        cameras = values.get("cameras") if isinstance(values, Mapping) else None
        shared = values.get("detect") if isinstance(values, Mapping) else None
        if not isinstance(cameras, Mapping) or not isinstance(shared, Mapping):
            return values
        return {**values, "cameras": {name: _with(shared, c) for name, c in cameras.items()}}

    @field_validator("cameras")
    @classmethod
    def _fit(cls, value: dict[str, CameraConfig]) -> dict[str, CameraConfig]:
        for name in value:
            if not CAMERA.fullmatch(name):
                raise ValueError(
                    f"a camera's name is letters, digits, _ and -, 64 at most; found {safe(name)!r}"
                )
        return value

    def within(self, folder: Path) -> Self:
        """With paths that are relative to a folder made whole."""
        return type(self).read(_placed(self.model_dump(), folder))


def load_site(path: Path) -> SiteConfig:
    """Read a site's YAML.

    Raises:
        ConfigError: not there, no YAML, an unknown key (names the nearest), a value out of range, a
            variable that is not set.
    """
    try:
        text = path.read_text("utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}). Give a site's YAML file.") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {_where(error)}") from None
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} holds no keys: expected at least `cameras:`.")
    return SiteConfig.read(filled(values, str(path))).within(path.resolve().parent)


def _with(shared: Mapping[str, Any], camera: Any) -> Any:
    """What a person wrote of a camera, with what the site says of `detect`."""
    own = camera.get("detect") if isinstance(camera, Mapping) else None
    if not isinstance(camera, Mapping) or not isinstance(own, Mapping | None):
        return camera  # no such keys: refused in words
    found = {**shared, **(own or {})}
    site, its = shared.get("schedule"), found.get("schedule")
    its = {"windows": its} if isinstance(its, list) else its  # a bare list is this
    if isinstance(site, Mapping) and isinstance(its, Mapping):
        found["schedule"] = {**site, **its}
    return {**camera, "detect": found}


def _where(error: yaml.YAMLError) -> str:
    """What is wrong in which line; not the line itself, which may hold a password."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    # Of *name and !name without quotes YAML tells the name.
    problem = re.sub(r"(alias|handle|tag) '.*", r"\1", str(getattr(error, "problem", "")))
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}."


def _is_many(value: Sequence[Any]) -> bool:
    """Several polygons or masks, not the points of one."""
    first = value[0]
    if isinstance(first, Mapping | Mask):
        return True
    return bool(first) and isinstance(first, Sequence) and isinstance(first[0], Sequence)


def _file(folder: Path, name: Any) -> Any:
    return str(folder / name) if isinstance(name, str | Path) else name


def _placed(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    def run(name: str | None) -> str | None:
        return str(folder / name) if name is not None and (folder / name).exists() else name

    values["store"]["path"] = folder / values["store"]["path"]
    if values["web"]["token_file"] is not None:
        values["web"]["token_file"] = folder / values["web"]["token_file"]
    values["sinks"] = [
        {k: _file(folder, v) if k == "path" or k.endswith("_file") else v for k, v in sink.items()}
        for sink in values["sinks"]
    ]
    values["detect"]["model"] = run(values["detect"]["model"])
    for camera in values["cameras"].values():
        camera["detect"]["model"] = run(camera["detect"]["model"])
        source = camera["source"]
        if isinstance(source, str) and not is_address(source) and not source.isdecimal():
            camera["source"] = str(folder / source)
    return values
