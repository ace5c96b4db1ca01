"""The guard: an ASGI application behind its door.

    app = Guard(app, Door(access, sessions, tries), Limits(), keep=store.audit)

Every request and every WebSocket comes by here first: who asks (`door`), how often, how large it
is; what changes something is written down (`trail`), and every answer gets its headers (`headers`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from functools import partial

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oddframe.events.store.audit import Audit
from oddframe.web.guard.auth import VISIT, Visit
from oddframe.web.guard.door import LOOKS, Door, Refusal
from oddframe.web.guard.headers import dressed
from oddframe.web.guard.limits import Buckets, Limits
from oddframe.web.guard.login import page_for, wants_page
from oddframe.web.guard.trail import MOST_BODY, Trail, refused_row

log = logging.getLogger("oddframe.web")

MOST_TARGET = 4096
"""Bytes of a path and its query."""
MOST_HEADERS = 16384
"""Bytes of all headers."""
POLICY = 1008
"""Code of a WebSocket that is closed for what it is."""
DENIAL = "websocket.http.response"
"""What a server can do that answers a WebSocket with more than 403."""


class Guard:
    """Lets requests in, or answers them."""

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        limits: Limits | None = None,
        keep: Callable[[Audit], None] | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            app: what is guarded.
            door: who may ask.
            limits: how often.
            keep: writes a row of who changed what; called in a thread. None: nowhere.
        """
        limits = limits or Limits()
        self._app, self._door, self._keep = app, door, keep
        self._rate = Buckets(limits.per_s, limits.burst, limits.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = dressed(send)
        found = self._counted(self._door.asked(scope))
        if isinstance(found, Visit):
            found = _too_large(scope) or found
        if isinstance(found, Refusal):
            if found.wrong:
                await self._kept(partial(refused_row, scope, found))
            await _refuse(found, scope, receive, send)
            return
        scope[VISIT] = found
        if scope["type"] == "websocket":
            await self._app(scope, receive, self._socket(scope, found, receive, send))
        elif scope["method"] in LOOKS:
            await self._app(scope, receive, self._stream(found, send))
        else:
            trail = Trail(scope, found)
            try:
                await self._app(scope, trail.receiving(receive), trail.sending(send))
            finally:
                await self._kept(trail.row)

    def _counted(self, found: Visit | Refusal) -> Visit | Refusal:
        """The same, unless its caller asks too often."""
        who = found.who if isinstance(found, Visit) else ""
        wait_s = self._rate.take(f"{who} {found.address}")
        if not wait_s:
            return found
        return Refusal(429, "That is too much at once: ask less often.", found.address, wait_s)

    async def _kept(self, row: Callable[[], Audit | None]) -> None:
        """Write a row down; that it cannot be written is no reason to refuse anything."""
        try:
            await asyncio.to_thread(self._write, row)
        except Exception as error:
            log.warning("who changed what could not be written down: %s", error)

    def _write(self, row: Callable[[], Audit | None]) -> None:
        if self._keep is not None and (made := row()) is not None:
            self._keep(made)

    def _socket(self, scope: Scope, visit: Visit, receive: Receive, send: Send) -> Send:
        """A `send` of a WebSocket: it ends with its session, and is refused with headers."""
        state = {"accepted": False, "over": False}

        async def sends(message: Message) -> None:
            if state["over"]:
                return
            kind = message["type"]
            if kind == "websocket.accept":
                state["accepted"] = True
            elif kind == "websocket.close":
                state["over"] = True
                if not state["accepted"] and DENIAL in scope.get("extensions", {}):
                    refusal = Refusal(403, "There is no WebSocket here, or not for you.")
                    await _refuse(refusal, scope, receive, send)
                    return
            elif kind == "websocket.send" and not self._lives(visit):
                state["over"] = True
                message = {"type": "websocket.close", "code": POLICY, "reason": "logged out"}
            await send(message)

        return sends

    def _stream(self, visit: Visit, send: Send) -> Send:
        """A `send` of an answer: one that has no end ends with its session."""
        if not visit.session:
            return send

        async def sends(message: Message) -> None:
            if message.get("more_body") and not self._lives(visit):
                raise ClientDisconnect
            await send(message)

        return sends

    def _lives(self, visit: Visit) -> bool:
        """Whether a visitor's session is still there; to use it is to look at it."""
        return not visit.session or self._door.sessions.of(visit.session) is not None


def _too_large(scope: Scope) -> Refusal | None:
    """What no request of a person or a program of ours has."""
    headers = Headers(scope=scope)
    if sum(len(name) + len(value) for name, value in headers.raw) > MOST_HEADERS:
        return Refusal(431, f"The headers have more than {MOST_HEADERS} bytes.")
    target = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    if len(target) + len(scope.get("query_string", b"")) > MOST_TARGET:
        return Refusal(414, f"The address has more than {MOST_TARGET} bytes.")
    if scope["type"] != "http" or scope["method"] in LOOKS:
        return None
    if "transfer-encoding" in headers:
        return Refusal(411, "Send the body with a Content-Length.")
    length = headers.get("content-length", "0")
    # Not by isdecimal: it takes digits of other scripts, and int() of thousands of them.
    if not (length.isascii() and length.isdecimal()) or len(length) > 9 or int(length) > MOST_BODY:
        return Refusal(413, f"The body has more than {MOST_BODY} bytes.")
    return None


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and DENIAL not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": POLICY})
        return
    await _answer(refusal, scope)(scope, receive, send)


def _answer(refusal: Refusal, scope: Scope) -> Response:
    headers = dict[str, str]()
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
        if wants_page(scope):
            return page_for(scope, headers)
    if refusal.wait_s:
        headers["Retry-After"] = str(math.ceil(refusal.wait_s))
    return JSONResponse({"detail": refusal.detail}, refusal.status, headers)
