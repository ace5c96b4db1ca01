"""`oddframe serve`: a site of cameras, watched for months, with its HTTP side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from oddframe.runtime.watch.site import CameraConfig, SiteConfig
    from oddframe.web.guard.auth import Access


def command(
    site: Path = typer.Argument(
        metavar="SITE.yaml", show_default=False,
        help="Store, sinks, cameras: deploy/site.example.yaml shows every key.",
    ),
    device: str = typer.Option("cpu", "--device", help="cpu, cuda, cuda:N, or auto."),
    log: str = typer.Option("text", "--log", help="Lines on stderr: text, or json (one object)."),
    check: bool = typer.Option(
        False, "--check", help="Only load all of it, say what would be watched, and end."
    ),
) -> None:  # fmt: skip
    """Watch all cameras of a site until SIGTERM or Ctrl-C.

    Health is at /healthz and /readyz, metrics at /metrics, cameras and events at /api, what these
    answer at /docs.
    """
    from oddframe.cli.logs import log_to_stderr
    from oddframe.errors import ConfigError
    from oddframe.runtime.watch.site import load_site
    from oddframe.web import require

    if log not in ("text", "json"):
        raise ConfigError(f"--log is text or json, found {log!r}.")
    require()
    log_to_stderr(log)
    config = load_site(site)

    from oddframe.web.guard.auth import access_of

    access = access_of(config.web)
    if check:
        for line in checked(config, access, device):
            print(line)
    else:
        serve(config, access, device)


def serve(config: SiteConfig, access: Access, device: str = "cpu") -> None:
    """Watch until told to stop, or until all cameras are files that are over.

    Raises:
        ConfigError: the port is taken; a sink's settings; no camera is enabled.
        OddframeError: as `AtWork`.
    """
    import logging

    from oddframe.cli.systemd import supervised
    from oddframe.cli.watch import promises, summary
    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.signals import stopping
    from oddframe.setup.jobs import Jobs
    from oddframe.web.app import make_app
    from oddframe.web.health import Pulse
    from oddframe.web.server import Server, listening

    log = logging.getLogger("oddframe.cli.serve")
    with stopping() as stop, listening(config.web) as sockets:
        with AtWork(config, device) as work, Jobs(work):
            for line in promises(work):
                log.info("%s", line)
            with Server(make_app(work, access), sockets) as server:
                where = server.addresses
                log.info("serving on %s", ", ".join(where), extra={"addresses": where})
                pulse = Pulse(work)
                with supervised(lambda: pulse.turns):
                    work.run(stop)
            log.info("stopping" if stop.is_set() else "all cameras are files that are over")
        for line in summary(work):
            log.info("%s", line)


def checked(config: SiteConfig, access: Access, device: str = "cpu") -> list[str]:
    """Make all of a site but in a folder that is thrown away, and say what it would be, with what
    was changed by hand.

    Nothing is connected to, and a process that watches is left alone. That the store's folder can
    be written is seen at the start.

    Raises:
        ConfigError, RunError, SourceError: as `AtWork`; a secret of a sink that cannot be read.
    """
    import tempfile

    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.edits import Edits
    from oddframe.sinks import make_sink

    config = Edits(config.store.path).apply(config)
    for values in config.sinks:
        make_sink(values).close()
    with tempfile.TemporaryDirectory(prefix="oddframe-check-") as folder:
        store = config.store.model_copy(update={"path": Path(folder)})
        with AtWork(config.model_copy(update={"store": store}), device) as work:
            found = {path: d.info.calibration or {} for path, d in work.detectors.items()}
    lines = [
        f"store {config.store.path}: pictures and clips of {config.store.keep_days:g} days, "
        f"{config.store.disk_gb:g} GB at most",
        f"web {config.web.host}:{config.web.port}, {'with a token' if access.guarded else 'open'}"
        f"{' to this machine alone' if access.loopback else ''}",
        *(f"sink {v.get('name') or v['kind']}" for v in config.sinks),
        *(f"RUN {path}: {known.get('text', '')}" for path, known in found.items()),
        *(_camera(name, camera) for name, camera in config.cameras.items()),
    ]
    return lines


def _camera(name: str, camera: CameraConfig) -> str:
    """What is watched of one camera."""
    from oddframe.sources.urls import is_address, safe

    source = str(camera.source)
    if not camera.enabled:
        return f"camera {name}: {safe(source)}, not watched (enabled: false)"
    parts = [safe(source)]
    if not is_address(source) and not source.isdecimal() and not Path(source).exists():
        parts.append("which is not there now")
    model = camera.detect.model
    parts.append("shown, and not scored: it has no RUN" if model is None else f"scored by {model}")
    if camera.zones:
        parts.append(f"zones {', '.join(zone.name for zone in camera.zones)}")
    if camera.mask:
        parts.append(f"{len(camera.mask)} masks")
    if camera.detect.schedule.windows:
        parts.append("armed by its schedule")
    return f"camera {name}: {', '.join(parts)}"
