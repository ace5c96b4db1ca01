"""Every route of an application, whoever wrote it: for tests that leave none out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.routing import Mount, WebSocketRoute

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
VALUES = {"camera": "gate", "event_id": "1780000000.000000-abcdef"}
"""What stands for a path's parameters; "1" for all others."""


def routes(app: Any) -> Iterator[Any]:
    """Of a guarded application, those that are included in it, and so on."""
    inner = getattr(app, "_app", app)
    for route in inner.routes:
        own = getattr(route, "original_router", None)
        if own is None:
            yield route
        else:
            yield from routes(own)


def addresses(app: Any) -> list[str]:
    """An address for each HTTP route."""
    found = ["/openapi.json"]
    for route in routes(app):
        if isinstance(route, WebSocketRoute):
            continue
        path = f"{route.path}/x.js" if isinstance(route, Mount) else route.path
        found.append(re.sub(r"\{(\w+)(:\w+)?\}", lambda m: VALUES.get(m[1], "1"), path))
    return sorted(set(found))


def sockets(app: Any) -> list[str]:
    """The addresses of its WebSockets."""
    return [route.path for route in routes(app) if isinstance(route, WebSocketRoute)]


async def asked(
    app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer, straight from the application: sweeps are long."""
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    sent = [(k.lower().encode(), v.encode()) for k, v in {"Host": "box.lan", **headers}.items()]
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": sent,
        "query_string": b"", "client": ("10.0.0.1", 5000), "root_path": "", "scheme": "http",
        "http_version": "1.1", "server": ("box.lan", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    got = {k.decode(): v.decode() for k, v in said[0]["headers"]}
    return said[0]["status"], got, b"".join(m.get("body", b"") for m in said[1:])
