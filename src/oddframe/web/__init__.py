"""The HTTP side of a site at work: health, metrics, and what it knows as JSON.

    app, server                      put together; a thread that serves it
    guard/                           who may ask: what every request comes by first
    pages, static/                   the dashboard
    api/     /api/...                cameras, events, changes, verdicts, setup, system
    live/    /api/live               pictures and scores for as many as look
    health   /healthz, /readyz       is it alive, are all cameras known
    metrics  /metrics                for Prometheus
    docs     /docs                   what the API takes

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
