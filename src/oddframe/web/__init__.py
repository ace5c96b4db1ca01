"""The HTTP side of a site at work: health, metrics, and what it knows as JSON.

    health  /healthz, /readyz        is it alive, are all cameras known
    metrics /metrics                 for Prometheus
    api     /api/...                 cameras, events with pictures and clips, gaps
    me      /api/me, /api/session    who somebody is
    system  /api/system, ...         how busy it is, settings, log, who changed what
    auth    who may ask              a token, or this machine alone
    door, guard                      who asks, by what he sends; what stands before all of it
    app, server                      put together; a thread that serves it

Its packages come with the extra `serve`; nothing of them is imported before `require` was called.
"""

from __future__ import annotations

from importlib.util import find_spec

from oddframe.errors import ConfigError

PACKAGES = ("fastapi", "uvicorn", "websockets", "prometheus_client")


def require() -> None:
    """See whether the packages of the HTTP side are installed.

    Raises:
        ConfigError: one is not.
    """
    lacking = [name for name in PACKAGES if find_spec(name) is None]
    if lacking:
        raise ConfigError(
            f"Serving needs packages that are not installed ({', '.join(lacking)}): "
            "pip install 'oddframe[serve]'."
        )
