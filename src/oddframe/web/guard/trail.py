"""What a request was, for the record of who changed what: kept while it is answered.

    trail = Trail(scope, visit)
    await app(scope, trail.receiving(receive), trail.sending(send))
    row = trail.row()                       # None where there is nothing to be written

The body is what the route read of it, so that nothing is read that nobody wants.
"""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from oddframe.events.store.audit import Audit
from oddframe.web.guard.auth import Visit
from oddframe.web.guard.door import SESSION, Refusal
from oddframe.web.guard.hidden import body_shown, within

MOST_BODY = 65536
"""Bytes of a request's body."""
BODY_S = 30.0
"""A body that does not come for so long is given up."""
SHOWN_BODY, SHOWN_PATH = 500, 200
"""Characters that are kept."""


class Trail:
    """One request on its way."""

    def __init__(self, scope: Scope, visit: Visit) -> None:
        self._scope, self._visit = scope, visit
        self._body = bytearray()
        self._whole = False
        self.status = 0
        """Of the answer; 0: it has not begun."""

    def receiving(self, receive: Receive) -> Receive:
        """A `receive` that remembers what came, and waits for a body for a while only."""

        async def receives() -> Message:
            if self._whole:  # a stream of pictures waits here for its viewer to go
                return await receive()
            try:
                async with asyncio.timeout(BODY_S):
                    message = await receive()
            except TimeoutError:
                return {"type": "http.disconnect"}
            self._whole = not message.get("more_body", False)
            # A server holds a body to its length; what is beyond is cut off all the same.
            message["body"] = message.get("body", b"")[: MOST_BODY - len(self._body)]
            self._body += message["body"]
            return message

        return receives

    def sending(self, send: Send) -> Send:
        """A `send` that remembers the status."""

        async def sends(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            await send(message)

        return sends

    def row(self) -> Audit | None:
        """What is to be written; nothing of nobody, but for wrong tokens."""
        if not self._visit.who and not self._visit.wrong:
            return None
        body = ""
        if self._scope["path"] != SESSION:  # there it is a token
            kind = Headers(scope=self._scope).get("content-type", "")
            body = body_shown(bytes(self._body), kind)
        return _row(self._scope, self._visit.who, self._visit.address, body, self.status)


def refused_row(scope: Scope, refusal: Refusal) -> Audit:
    """The row of a request that sent a wrong token."""
    return _row(scope, "", refusal.address, "", refusal.status)


def _row(scope: Scope, who: str, address: str, body: str, status: int) -> Audit:
    return Audit(
        t_utc=time.time(), who=who, address=address[:64],
        method=str(scope.get("method", "WEBSOCKET"))[:16],
        path=_plain(within(scope["path"]))[:SHOWN_PATH], body=_plain(body)[:SHOWN_BODY],
        status=status,
    )  # fmt: skip


def _plain(text: str) -> str:
    """Text that a file takes: no halves of characters."""
    return text.encode("utf-8", "replace").decode("utf-8")
