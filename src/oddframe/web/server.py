"""Serving from a thread of its own, on sockets that were bound before anything else began.

    with listening(config.web) as sockets:              # says at once that the port is taken
        with Server(make_app(...), sockets) as server:
            ...

It handles no signals: who runs it says when it is over, and then it is within two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from oddframe.errors import ConfigError
from oddframe.runtime.watch.site import WebConfig

log = logging.getLogger("oddframe.web")

BACKLOG = 128
AT_ONCE = 512
"""Connections; more are answered 503. A browser that looks at pictures holds seven."""
START_S, STOP_S = 10.0, 3.0
GRACE_S = 1
"""For answers that are under way, at the end."""
PING_S = 20.0
"""A WebSocket is asked so often whether somebody is there, and has as long to answer."""
REQUEST_S = 30.0
"""A connection on which a request, the first or a later one, is not whole after that is closed, or
after twice as long."""
ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Whether a silent one is still there is asked after a minute, and four times."""
MOST_MESSAGE = 16384
"""Bytes of what comes by a WebSocket: wishes, no pictures."""


@contextlib.contextmanager
def listening(config: WebConfig) -> Iterator[list[socket.socket]]:
    """Sockets that listen where the settings say: of `localhost` on all that it means.

    Who connects before a `Server` is there waits.

    Raises:
        ConfigError: the port is taken or not allowed, or the host is not one of this machine.
    """
    with contextlib.ExitStack() as stack:
        found = list[socket.socket]()
        lacking: OSError | None = None
        port = config.port
        for family, address in _addresses(config):
            try:
                opened = stack.enter_context(_bound(family, (address, port)))
            except OSError as error:
                # Names may mean an IPv6 address on a machine that has none.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise _refused(config, error) from None
                lacking = error
                continue
            port = opened.getsockname()[1]
            found.append(opened)
        if not found:
            raise _refused(config, lacking)
        yield found


class Server:
    """An application that is served while the block lasts."""

    def __init__(self, app: ASGIApp, sockets: Sequence[socket.socket]) -> None:
        self._sockets = list(sockets)
        _quiet()
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", server_header=False,
                proxy_headers=False, limit_concurrency=AT_ONCE, timeout_graceful_shutdown=GRACE_S,
                loop="asyncio", http=_Http, ws="websockets-sansio", ws_max_size=MOST_MESSAGE,
                ws_ping_interval=PING_S, ws_ping_timeout=PING_S,
                ws_per_message_deflate=False,  # pictures get no smaller
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="oddframe-web", daemon=True)

    @property
    def addresses(self) -> list[str]:
        """Where it is, as a browser takes it."""
        return [address_of(s) for s in self._sockets]

    def __enter__(self) -> Self:
        self._thread.start()
        until = time.monotonic() + START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        if not self._server.started:
            raise ConfigError(f"{', '.join(self.addresses)} could not be served; see the log.")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            log.warning("an answer hangs and was left")

    def _run(self) -> None:
        try:
            self._server.run(self._sockets)  # not of the main thread: it takes no signals
        except BaseException:  # uvicorn ends by SystemExit where it cannot start
            log.exception("serving HTTP ended by an error")


class _Http(H11Protocol):
    """A connection that waits for requests for `REQUEST_S`; uvicorn's waits for ever, and whoever
    opened `AT_ONCE` of them would have the server to himself.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._before = self.scope
        self._look = self.loop.call_later(REQUEST_S, self._looked)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def _looked(self) -> None:
        """Close it where no request came since the last look, and none is being answered."""
        if self.transport.get_protocol() is not self:  # a WebSocket by now
            return
        waits = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if waits and self.scope is self._before:  # that of the newest request
            self.transport.close()
            return
        self._before = self.scope
        self._look = self.loop.call_later(REQUEST_S, self._looked)


def address_of(bound: socket.socket) -> str:
    """http://HOST:PORT of a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"


def _addresses(config: WebConfig) -> list[tuple[socket.AddressFamily, str]]:
    host = config.host.strip("[]")
    try:
        found = socket.getaddrinfo(
            host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise ConfigError(
            f"web.host {config.host!r} is no name or address of this machine: give 127.0.0.1, or "
            "0.0.0.0 for all of its addresses."
        ) from None
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of a process just ended
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # For those that are accepted: a telephone that left the Wi-Fi says nothing.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in ALIVE:
            if hasattr(socket, name):
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _refused(config: WebConfig, error: OSError | None) -> ConfigError:
    where = f"web.host {config.host}, web.port {config.port}"
    if error is not None and error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"{where}: that port is in use by another program. Stop that one "
            f"(ss -ltnp 'sport = :{config.port}' names it), or give another web.port."
        )
    if error is not None and error.errno == errno.EACCES:
        return ConfigError(f"{where}: ports below 1024 are root's. Give another web.port.")
    why = "" if error is None else f" ({error.strerror})"
    return ConfigError(
        f"{where}: that is no address of this machine{why}. Give 127.0.0.1, or 0.0.0.0 for all."
    )


def _quiet() -> None:
    """What the server says goes where our log goes, from warnings on."""
    for name in ("uvicorn", "uvicorn.error"):
        theirs = logging.getLogger(name)
        theirs.handlers[:] = logging.getLogger("oddframe").handlers
        theirs.setLevel(logging.WARNING)
        theirs.propagate = False
