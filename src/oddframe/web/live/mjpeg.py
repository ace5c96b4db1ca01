"""Pictures of a camera as multipart/x-mixed-replace: what browsers and players take as MJPEG."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from oddframe.web.live.hub import STALLED_S, TICK_S, Hub

if TYPE_CHECKING:
    from oddframe.runtime.watch.view import View

log = logging.getLogger("oddframe.web")

BOUNDARY = "oddframe-picture"
NEWEST = {"Cache-Control": "private, no-store"}


class Mjpeg(Response):
    """Pictures one after the other, each as soon as the one before is taken."""

    media_type = f"multipart/x-mixed-replace; boundary={BOUNDARY}"

    def __init__(self, hub: Hub, camera: str, fps: float, width: int, heat: bool) -> None:
        super().__init__(headers=NEWEST)
        del self.headers["content-length"]
        self._hub, self._camera, self._fps = hub, camera, fps
        self._width, self._heat = width, heat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until somebody hangs up, takes nothing, or the camera is gone."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        sending = asyncio.create_task(self._pictures(send))
        gone = asyncio.create_task(_gone(receive))
        with self._hub.other():
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, gone):
                task.cancel()
            await asyncio.wait((sending, gone))
        error = None if sending.cancelled() else sending.exception()
        if isinstance(error, TimeoutError):
            log.info("a viewer that took nothing for %g s was closed", STALLED_S)
        elif error is not None and not isinstance(error, ClientDisconnect):
            raise error

    async def _pictures(self, send: Send) -> None:
        shown: View | None = None
        hub = self._hub
        while self._camera in hub.known:
            view = hub.view(self._camera)
            if view is None or view is shown:
                await asyncio.sleep(TICK_S)
                continue
            began_s, shown = time.monotonic(), view
            make = hub.encoder.both if self._heat else hub.encoder.picture
            for one in await hub.encoded(self._camera, make(self._camera, view, self._width)):
                body = _part(one.data)
                async with asyncio.timeout(STALLED_S):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            left_s = 1 / min(self._fps, hub.fps) - (time.monotonic() - began_s)
            await asyncio.sleep(max(left_s, 0.0))
        await send({"type": "http.response.body", "body": f"--{BOUNDARY}--\r\n".encode()})


def _part(jpeg: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return b"".join((head.encode(), jpeg, b"\r\n"))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
