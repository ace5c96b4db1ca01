"""The headers of every answer: what a browser may do with it.

An answer that says something else of one of them keeps that; nothing else is put in anybody's way.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With no-referrer a browser would send `Origin: null` with a form of our own pages.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), "
        "display-capture=()"
    ),
    "Cache-Control": "no-store",
}
"""What is said where the route says nothing."""
BEGINNINGS = ("http.response.start", "websocket.http.response.start")


def dressed(send: Send) -> Send:
    """A `send` that puts the headers on."""

    async def sends(message: Message) -> None:
        if message["type"] in BEGINNINGS:
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sends
