"""Who may ask: programs of this machine, or whoever sends the token.

    access = access_of(config.web)          # says at the start what is missing
    app = Guard(app, access)

Bound to this machine alone (127.0.0.1, the default) no token is needed. A web page that somebody
on this machine looks at could still ask: its name would have to be made to point here (DNS
rebinding), so a request that is not for localhost by name or number is refused; there is no CORS,
and what changes something is refused where it comes from another page's origin.

Bound to anything else a token is needed, for everything but health. That a request comes from
127.0.0.1 proves nothing then: behind a proxy all of them do.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from oddframe.errors import ConfigError
from oddframe.runtime.watch.site import WebConfig

log = logging.getLogger("oddframe.web")

OPEN = frozenset({"/healthz", "/readyz"})
"""Paths that need no token: they say nothing but yes or no and why."""
OPEN_HERE = frozenset({"/metrics"})
"""Paths that need none where the server is for this machine alone."""
SHORT = 16
"""Characters of a token below which it could be guessed."""
MOST_BODY = 65536
"""Bytes of a request's body."""
MAKE_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(24))"'


@dataclass(frozen=True, slots=True)
class Access:
    """What a request must bring."""

    loopback: bool
    """The server is for this machine alone."""
    host: str
    """The name that it is bound to."""
    token: str = field(default="", repr=False)
    """What callers must send; "": nothing."""


def access_of(config: WebConfig) -> Access:
    """Read the token, and see whether one is needed.

    Raises:
        ConfigError: none where one is needed, two of them, one that cannot be read or sent.
    """
    loopback = is_loopback(config.host)
    token = _token(config)
    if not token and not loopback:
        raise ConfigError(
            f"web.host {config.host} can be reached from other machines, so it needs a token. "
            f"Make one: {MAKE_ONE} > token; chmod 600 token; and give web.token_file: token. Or "
            "leave web.host at 127.0.0.1, where no token is needed."
        )
    if token and len(token) < SHORT:
        log.warning("web's token has %d characters and could be guessed: %s", len(token), MAKE_ONE)
    return Access(loopback, config.host, token)


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone."""
    name = _bare(host)
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


class Guard:
    """An ASGI application behind its door."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refused(scope, receive, send)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        access, headers = self._access, Headers(scope=scope)
        host = headers.get("host", "")
        if access.loopback and not self._meant(host):
            return _answer(
                403,
                f"This server is for this machine alone, and was asked for as {host[:100]!r}: ask "
                "for it as 127.0.0.1 or localhost. Behind a proxy: let it send that as Host.",
            )
        if not self._known(scope["path"], headers):
            return _answer(
                401,
                "Send the header Authorization: Bearer TOKEN, with the token of the site's "
                "web.token or web.token_file.",
                {"WWW-Authenticate": "Bearer"},
            )
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        return _change_refused(headers, host) if changes else None

    def _meant(self, host: str) -> bool:
        name = re.sub(r":\d*$", "", host)
        return is_loopback(name) or _bare(name) == _bare(self._access.host)

    def _known(self, path: str, headers: Headers) -> bool:
        access = self._access
        if not access.token or path in OPEN or (access.loopback and path in OPEN_HERE):
            return True
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        # Both sides as bytes: text that is not ASCII is refused by compare_digest.
        same = hmac.compare_digest(sent.strip().encode(), access.token.encode())
        return same and scheme.lower() == "bearer"


def _change_refused(headers: Headers, host: str) -> JSONResponse | None:
    """What changes something: from no other page, and small."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return _answer(403, "Pages of other origins may not change anything here.")
    if "transfer-encoding" in headers:
        return _answer(411, "Send the body with a Content-Length.")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BODY:
        return _answer(413, f"The body has more than {MOST_BODY} bytes.")
    return None


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def _bare(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _token(config: WebConfig) -> str:
    """The token, "" where none is given."""
    if config.token is not None and config.token_file is not None:
        raise ConfigError("Give web.token or web.token_file, not both.")
    where, text = "web.token", None
    if config.token is not None:
        text = config.token.get_secret_value()
    if config.token_file is not None:
        where = f"web.token_file {config.token_file}"
        try:
            text = config.token_file.read_text("utf-8").strip("\r\n")
            mode = config.token_file.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise ConfigError(f"{where} cannot be read: {why}. Make one: {MAKE_ONE}") from None
        if mode & 0o006:
            log.warning("%s is open to every user of this machine: chmod o-rw it", where)
    if text is None:
        return ""
    if not re.fullmatch(r"[!-~]+", text):
        raise ConfigError(
            f"{where} must hold letters, digits and signs without spaces, one line of them, and "
            f"does not. Make one: {MAKE_ONE}"
        )
    return text
