"""What is answered where something is wrong: always `{"detail": …}`, never more than is meant.

What nobody thought of is 500 with a short mark; the log has the same mark, and the rest.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from oddframe.errors import OddframeError
from oddframe.web.api.answers import Problem
from oddframe.web.guard.hidden import within

log = logging.getLogger("oddframe.web")

WHAT = {
    400: "The body cannot be read.",
    401: "A token is needed.",
    403: "The token may not do that, or another page asks.",
    411: "A body without its length.",
    413: "The body is too large.",
    414: "The address is too long.",
    422: "A value is not what it should be.",
    429: "Too much at once.",
    431: "The headers are too large.",
    503: "The store cannot be read or written now.",
}
"""What can be wrong with any request; 404 and 409 are said by the routes that can answer so."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text} for status, text in WHAT.items()
}
"""The same as FastAPI takes it, for all routes of an application."""
BEGINNINGS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


def explain_errors(app: FastAPI) -> None:
    """Let an application answer what is wrong in this form."""
    app.add_exception_handler(OddframeError, _trouble)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_middleware(Caught)


class Caught:
    """An ASGI application of which no error comes out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask it; where it fails, answer 500 (an answer that has begun is broken off)."""
        begun = False

        async def sends(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] in BEGINNINGS
            await send(message)

        try:
            await self._app(scope, receive, sends)
        except (ClientDisconnect, WebSocketDisconnect):
            return  # nobody is there any more
        except Exception:
            mark = secrets.token_hex(4)
            log.exception("%s failed, error %s", within(scope["path"])[:200], mark)
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011, "reason": f"error {mark}"})
            elif not begun:
                text = f"Something unexpected went wrong: the log says more at error {mark}."
                await JSONResponse({"detail": text}, 500)(scope, receive, send)


def _trouble(request: Request, error: Exception) -> JSONResponse:
    """A store that cannot be read now: full, broken, or closed because this is the end."""
    log.warning("%s: %s", within(request.url.path)[:200], error)
    return JSONResponse({"detail": str(error)}, 503)


def _misunderstood(request: Request, error: Exception) -> JSONResponse:
    """A value that is not what it should be, named; what was sent is not said again."""
    del request
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = "; ".join(f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in found)
    return JSONResponse({"detail": told or "The request was not understood."}, 422)
