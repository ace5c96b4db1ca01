"""A stand-in for a site, to see the pages with: their real router, and an API that makes things up.

    python tests/web/pages/stand.py PORT

Tests tell it what to be by POST /stand/STATE: reset, lock, read, drop, back, empty, hostile,
alarm, busy (a hundred and fifty detections more), many (cameras).
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys

import stand_site as made
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from stand_pictures import film, heat, jpeg, pictures
from stand_routes import add_routes
from stand_site import Json, z
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oddframe.web import pages
from oddframe.web.guard.headers import HEADERS


class Stand:
    """All that it is now."""

    def __init__(self) -> None:
        self.images = {name: pictures(i) for i, name in enumerate(made.NAMES)}
        self.film = film(self.images["gate"])
        self.reset()

    def reset(self) -> None:
        self.cameras, self.jobs, self.runs = made.cameras(), made.jobs(), made.runs()
        self.events = made.EVENTS = made.events()
        self.locked, self.role, self.dropped = False, "admin", False
        self.asked: list[Json] = []
        self.history = [
            made.past(3.0, made.AT - 86400, "set by hand"),
            made.past(3.2, made.AT - 4 * 86400, "calibrated anew"),
        ]
        points = [[96, 81], [259, 81], [259, 216], [96, 216]]
        self.zones = [
            {"name": "stairs", "points": points, "unit": "pixels", "severity": "alert",
             "alert_level": None},
        ]  # fmt: skip
        self.mask = [{"name": "clock", "points": [[0.7, 0], [1, 0], [1, 0.1], [0.7, 0.1]],
                      "unit": "relative"}]  # fmt: skip
        self.exemplars = [
            {"id": 7, "event": next(iter(self.events)), "created": z(made.AT - 90000),
             "place": {"x": 1, "y": 2, "w": 30, "h": 40}, "what": ["fast motion at the left, near"],
             "in_force": True,
             "silenced": 12, "last_silenced": z(made.AT - 4000),
             "snapshot": f"/api/events/{next(iter(self.events))}/snapshot.jpg"},
        ]  # fmt: skip
        self.fresh: Json | None = None
        """An event that the socket tells of."""

    def state(self, what: str) -> None:
        if what == "reset":
            self.reset()
        elif what == "lock":
            self.locked = True
        elif what == "read":
            self.role = "read"
        elif what in ("drop", "back"):
            self.dropped = what == "drop"
        elif what == "empty":
            self.cameras, self.jobs, self.runs, self.events = {}, {}, {}, {}
            made.EVENTS = {}
        elif what == "hostile":
            bad = "<img src=x onerror=alert(1)><script>alert(2)</script>"
            for event in self.events.values():
                event.update(reasons=[bad], zones=[bad], note=bad)
            self.cameras["lobby"]["words"] = bad
            for job in self.jobs.values():
                job.update(text=bad, problem=bad)
        elif what == "busy":
            more = [
                made.event(200 + n, made.AT - 60 - n, severity="detection", verdict=None)
                for n in range(150)
            ]
            self.events |= {e["id"]: e for e in more}
        elif what == "many":
            names = [f"c{n:02}" for n in range(100)]
            self.cameras = {name: made.camera(name) for name in names}
            self.images |= dict.fromkeys(names, self.images["yard"])
        elif what == "alarm":
            event = made.event(
                99, made.now() - 1, "dock", state="start", end=None, severity="alert",
                verdict=None, clip=None,
            )  # fmt: skip
            self.events = {event["id"]: event, **self.events}
            self.cameras["dock"].update(anomaly=True, level=1.8, score=5.4)
            self.fresh = event


class Dressed:
    """The headers that the real application puts on, what is locked, and who may only look."""

    def __init__(self, app: ASGIApp, stand: Stand) -> None:
        self._app, self._stand = app, stand

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sends(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {k.lower() for k, _ in message["headers"]}
                more = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message["headers"] = [*message["headers"], *(m for m in more if m[0] not in there)]
            await send(message)

        api = scope["type"] == "http" and scope["path"].startswith("/api/")
        if api and scope["path"] != "/api/session":
            if self._stand.locked:
                return await JSONResponse({"detail": "Send a token."}, 401)(scope, receive, sends)
            if self._stand.role == "read" and scope["method"] != "GET":
                words = "The token may look, but not change anything."
                return await JSONResponse({"detail": words}, 403)(scope, receive, sends)
        await self._app(scope, receive, sends)


def make() -> tuple[FastAPI, Stand]:
    app, stand = FastAPI(), Stand()
    app.include_router(pages.router(None))  # type: ignore[arg-type]
    app.add_middleware(Dressed, stand=stand)
    add_routes(app, stand)
    _live(app, stand)
    return app, stand


def _live(app: FastAPI, stand: Stand) -> None:
    @app.websocket("/api/live")
    async def live(socket: WebSocket) -> None:
        if stand.locked or stand.dropped:
            return await socket.close(1008)
        await socket.accept()
        wanted: Json = {"cameras": []}
        told = ""

        async def listens() -> None:
            while True:
                wanted.update(await socket.receive_json())

        listening = asyncio.create_task(listens())
        turn = 0
        try:
            while not (listening.done() or stand.dropped):
                if turn % 5 == 0:
                    now = list(stand.cameras.values())
                    said = {"kind": "cameras", "t_utc": made.now(), "cameras": now}
                    await socket.send_json(said)
                for name in wanted["cameras"]:
                    await _show(socket, stand, name, wanted, turn)
                if stand.fresh and stand.fresh["id"] != told:
                    told = stand.fresh["id"]
                    await socket.send_json({"kind": "event", "event": stand.fresh})
                turn += 1
                await asyncio.sleep(0.2)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            listening.cancel()
        if stand.dropped:
            await socket.close(1013)


async def _show(socket: WebSocket, stand: Stand, name: str, wanted: Json, turn: int) -> None:
    camera = stand.cameras.get(name)
    if camera is None or camera["state"] != "running":
        return
    images = stand.images[name]
    body = jpeg(images[turn % len(images)], wanted.get("width", 0))
    head = {
        "kind": "picture", "camera": name, "pts_s": turn / 5, "t_utc": made.now(),
        "level": camera["level"], "raw": camera["score"], "threshold": camera["threshold"],
        "event": None, "width": 480, "height": 270,
    }  # fmt: skip
    await socket.send_bytes(_message(head, body))
    if wanted.get("heat") and camera["level"] is not None:
        body = heat(0.42, 0.5, camera["level"])
        await socket.send_bytes(_message({**head, "kind": "heat"}, body))


def _message(head: Json, body: bytes) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<I", len(text)) + text + body


if __name__ == "__main__":
    uvicorn.run(make()[0], port=int(sys.argv[1]), log_level="warning", ws="websockets-sansio")
