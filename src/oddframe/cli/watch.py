"""`oddframe watch`: cameras scored live, events into a store and to whoever is to be told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from oddframe.cli.console import RUN
from oddframe.cli.options import many

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.site import SiteConfig


@dataclass(frozen=True, slots=True)
class Telling:
    """Where events go."""

    out: Path = typer.Option(
        Path("watched"), "--out", help="Folder for events, pictures, clips and events.jsonl."
    )
    sinks: list[str] = many(
        "--sink", metavar="'{kind: mqtt, host: broker}'",
        help="Also tell this: webhook, mqtt, frigate, zoneminder, notify, jsonl; repeatable. "
        "Settings as in a site's YAML, docs/live.md.",
    )  # fmt: skip
    log: str = typer.Option("text", "--log", help="Lines on stderr: text, or json (one object).")


@dataclass(frozen=True, slots=True)
class Cameras:
    """How sources are read."""

    names: list[str] = many("--name", help="Name of the next camera, in the order of SOURCE.")
    realtime: bool = typer.Option(
        False, "--realtime", help="Play files at their own speed, as a camera would send them."
    )
    rules: list[str] = many(
        "--set", metavar="A=B",
        help="A rule of events: raise_level=1.2, min_duration_s=2, merge_gap_s=30 …; repeatable.",
    )  # fmt: skip


def command(
    run: Path = RUN,
    sources: list[str] = typer.Argument(
        metavar="SOURCE...", show_default=False,
        help="Cameras: rtsp:// or http:// address, index of a webcam, video file or folder.",
    ),
    device: str = typer.Option("cpu", "--device", help="cpu, cuda, cuda:N, or auto."),
    *,
    cameras: Cameras,
    telling: Telling,
) -> None:  # fmt: skip
    """Watch cameras until Ctrl-C, or files until they are over.

    All cameras are scored with one RUN; for several use a site's YAML (oddframe serve).
    """
    import logging

    from oddframe.cli.console import check_order
    from oddframe.cli.logs import log_to_stderr
    from oddframe.errors import ConfigError
    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.signals import stopping

    if telling.log not in ("text", "json"):
        raise ConfigError(f"--log is text or json, found {telling.log!r}.")
    check_order("watch", run, sources)
    _check_files(sources)
    site = site_of(run, sources, cameras, telling)
    log_to_stderr(telling.log)
    with stopping() as stop, AtWork(site, device) as work:
        for line in promises(work):
            logging.getLogger("oddframe.cli.watch").info("%s", line)
        work.run(stop)
    for line in summary(work):
        print(line)
    print(f"events in {site.store.path}")


def _check_files(sources: list[str]) -> None:
    """Refuse files that are not there; a camera may come later, and is waited for.

    Raises:
        SourceError: as said.
    """
    from oddframe.errors import SourceError
    from oddframe.sources.urls import is_address, safe

    for source in sources:
        file = not (is_address(source) or source.isdecimal() or source.startswith("/dev/"))
        if file and not Path(source).exists():
            raise SourceError(
                f"{safe(source)} does not exist. Expected an address such as rtsp://…, the number "
                "of a webcam, a video file or a folder."
            )


def site_of(run: Path, sources: Sequence[str], cameras: Cameras, telling: Telling) -> SiteConfig:
    """The site that a command line is.

    Raises:
        ConfigError: more names than sources, an unknown rule, a sink's settings.
    """
    from oddframe.config import parsed
    from oddframe.errors import ConfigError
    from oddframe.runtime.watch.site import SiteConfig

    if len(cameras.names) > len(sources):
        raise ConfigError(
            f"{len(cameras.names)} names for {len(sources)} sources: give one --name per SOURCE."
        )
    names = [*cameras.names, *(name_of(s) for s in sources[len(cameras.names) :])]
    jsonl = {"kind": "jsonl", "path": str(telling.out / "events.jsonl")}
    values: dict[str, Any] = {
        "store": {"path": telling.out},
        "sinks": [jsonl, *map(_sink, telling.sinks)],
        "detect": {"model": str(run), **parsed(cameras.rules)},
        "cameras": {
            name: {"source": source, "realtime": cameras.realtime}
            for name, source in zip(_apart(names), sources, strict=True)
        },
    }
    return SiteConfig.read(values)


def name_of(source: str) -> str:
    """What a camera is called that was given no name: its file's stem, or its host."""
    from urllib.parse import urlsplit

    from oddframe.sources.urls import is_address

    if source.isdecimal() and not Path(source).exists():
        return f"camera{source}"
    text = (urlsplit(source).hostname or "camera") if is_address(source) else Path(source).stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:48] or "camera"


def promises(work: AtWork) -> list[str]:
    """How often each camera will be wrong, by its threshold of now, a line each."""
    cameras = work.engine.cameras.items()
    return [f"{name}: {camera.threshold.text}" for name, camera in cameras if camera.fitted]


def summary(work: AtWork) -> list[str]:
    """What there was of each camera, a line each."""
    lines = []
    for name, camera in work.engine.cameras.items():
        m, status = work.meters.cameras[name], camera.reader.status()
        events = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in sorted(m.events.items()))
        lost = sum(status.dropped.values())
        reasons = ", ".join(f"{n} {why}" for why, n in sorted(status.dropped.items()))
        dropped = f", {lost} not ({reasons})" if lost else ""
        lines.append(f"{name}: {m.looked} frames scored{dropped}; {events or 'no events'}")
    return lines


def _sink(text: str) -> dict[str, Any]:
    import yaml

    from oddframe.errors import ConfigError
    from oddframe.sinks.secrets import filled

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            "--sink expects settings in braces, as '{kind: webhook, url: \"https://…\"}'."
        )
    values: dict[str, Any] = filled(found, "--sink")
    return values


def _apart(names: Sequence[str]) -> list[str]:
    """Names that occur twice with a number behind, the first that no other has."""
    found: list[str] = []
    for name in names:
        own, n = name, 1
        while own in found or (n > 1 and own in names):
            n += 1
            own = f"{name}-{n}"
        found.append(own)
    return found
