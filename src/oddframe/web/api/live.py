"""What is to be seen now, and how it went: pictures, heat, scores.

WS  /api/live                                   pictures, events, cameras, jobs as they come
GET /api/cameras/{camera}/snapshot.jpg          the newest picture; ?heat=1 lays the heat over it
GET /api/cameras/{camera}/mjpeg                 the same again and again, for what takes MJPEG
GET /api/cameras/{camera}/recent                the scores of the last minutes
GET /api/scores                                 those of hours and days

A viewer of /api/live sends what it wants to see (`viewer.Subscription`), whenever it likes. It gets
bytes: the length of a header (u32, least byte first), the header (JSON), and a JPEG ("picture") or
a grey PNG ("heat", behind its picture); and text, JSON with a `kind`: "event", "cameras" (once a
second, with the server's clock as `t_utc`), "job", "problem" (what is wrong with what was sent, or
why the cameras cannot be told). Where nothing comes for some seconds the connection is lost.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query, WebSocket
from fastapi.responses import Response
from pydantic import AwareDatetime
from starlette.websockets import WebSocketDisconnect

from oddframe.events.store.timeline import MINUTE_S
from oddframe.web.api.answers import Answer, Problem, utc
from oddframe.web.api.cameras import known
from oddframe.web.live.hub import STALLED_S, Hub, text_of
from oddframe.web.live.mjpeg import NEWEST, Mjpeg
from oddframe.web.live.viewer import Viewer, read

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.view import View

log = logging.getLogger("oddframe.web")

LISTEN_S = 0.05
"""Between two messages of a viewer, at least."""
MOST_MESSAGE = 16384
"""Characters of one."""
AGAIN, POLICY = 1013, 1008
"""Codes of a WebSocket that is closed: try again later; it is not what is expected here."""
ENCODED_S = 10.0
POINTS = 600
"""Of recent scores, at most."""
STEPS = 2000
"""Of `scores`, at most: a longer period has longer steps."""
DAY_S = 86400.0

Width = Annotated[int, Query(ge=32, le=3840, description="Pixels across, about.")]
Heat = Annotated[bool, Query(description="Lay the heat over it.")]


class RecentAnswer(Answer):
    """The scores of the last seconds, oldest first; of several close ones the highest."""

    camera: str
    t_utc: list[float]
    """Seconds since 1970."""
    level: list[float | None]
    """Null where there is no score from then on."""
    raw: list[float | None]


class ScorePoint(Answer):
    """One step of a timeline; steps without a score are left out."""

    t: datetime
    """Its first second."""
    level_mean: float
    level_max: float
    frames: int
    """That were scored."""
    dropped: int
    """That came and were not, because newer ones had come."""


class ScoresAnswer(Answer):
    """How it went, by minutes or longer steps."""

    camera: str
    step_s: int
    """Of each point; longer than asked for where there would be too many."""
    points: list[ScorePoint]


def router(work: AtWork) -> APIRouter:
    """What is to be seen of a site."""
    live, found = Live(work), APIRouter(prefix="/api")
    lacks: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
    picture = {**lacks, 200: {"content": {"image/jpeg": {}}}}
    found.add_api_websocket_route("/live", live.live)
    found.add_api_route(
        "/cameras/{camera}/snapshot.jpg", live.snapshot, responses=picture, response_class=Response
    )
    # Not in the description: tools that try all that is described would wait for its end.
    found.add_api_route("/cameras/{camera}/mjpeg", live.mjpeg, include_in_schema=False)
    found.add_api_route("/cameras/{camera}/recent", live.recent, responses=lacks)
    found.add_api_route("/scores", live.scores)
    return found


class Live:
    """The answers, by their routes."""

    def __init__(self, work: AtWork) -> None:
        self._work, self.hub = work, Hub(work)

    async def live(self, socket: WebSocket) -> None:
        """One viewer, from its coming to its going."""
        await socket.accept()
        if self.hub.full:
            await socket.close(AGAIN, "too many look already")
            return
        viewer = Viewer()
        self.hub.join(viewer)
        both = [asyncio.create_task(f(socket, viewer)) for f in (self._hearing, self._sending)]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.hub.leave(viewer)
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, TimeoutError):
                log.info("a viewer that took nothing for %g s was closed", STALLED_S)
                await _closed(socket, AGAIN, "too slow")
            elif error is not None and not isinstance(error, WebSocketDisconnect):
                raise error

    async def _hearing(self, socket: WebSocket, viewer: Viewer) -> None:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                wants = read(_text_of(message))
            except ValueError as error:
                viewer.tell("problem", text_of("problem", detail=str(error)))
            else:
                viewer.subscribe(wants)
                for name in wants.cameras:
                    if name not in self.hub.known:
                        said = text_of("problem", detail=f"There is no camera {name!r} now.")
                        viewer.tell("problem", said)
                self.hub.show(viewer)
            await asyncio.sleep(LISTEN_S)  # who asks without end waits, and nobody else

    async def _sending(self, socket: WebSocket, viewer: Viewer) -> None:
        while True:
            found = await viewer.next()
            if isinstance(found, str):
                async with asyncio.timeout(STALLED_S):
                    await socket.send_text(found)
                continue
            camera, view = found
            for message in await self._messages(camera, view, viewer):
                async with asyncio.timeout(STALLED_S):
                    await socket.send_bytes(message)

    async def _messages(self, camera: str, view: View, viewer: Viewer) -> list[bytes]:
        """A frame as bytes: its picture, and its heat where that is wanted."""
        encoder, wants = self.hub.encoder, viewer.wants
        futures = [encoder.picture(camera, view, wants.width)]
        heat = encoder.heat(camera, view) if wants.heat else None
        futures += [heat] if heat is not None else []
        return [one.message for one in await self.hub.encoded(camera, *futures)]

    def snapshot(self, camera: str, heat: Heat = False, width: Width = 640) -> Response:
        """The newest picture of a camera; 404 while it has none. A frame that was scored, where it
        is scored."""
        view, encoder = self._view(camera), self.hub.encoder
        future = (encoder.both if heat else encoder.picture)(camera, view, width)
        try:
            data = future.result(ENCODED_S).data
        except TimeoutError:
            raise HTTPException(503, "The machine is too busy for pictures: try again.") from None
        return Response(data, media_type="image/jpeg", headers=NEWEST)

    def mjpeg(
        self,
        camera: str,
        fps: Annotated[float, Query(ge=0.1, le=30, allow_inf_nan=False)] = 5.0,
        width: Width = 640,
        heat: Heat = False,
    ) -> Response:
        """Pictures of a camera as multipart/x-mixed-replace, until somebody hangs up."""
        known(self._work, camera)
        if self.hub.full:
            raise HTTPException(503, "Too many look already: close other pages, or wait.")
        return Mjpeg(self.hub, camera, fps, width, heat)

    def recent(
        self,
        camera: str,
        seconds: Annotated[float, Query(gt=0, le=600, allow_inf_nan=False)] = 120.0,
    ) -> RecentAnswer:
        """The scores of the last seconds, at most 600 points; from memory, so not of before the
        start."""
        rows = known(self._work, camera).recent.since(seconds)
        kept = [_highest(part) for part in np.array_split(rows, min(POINTS, max(len(rows), 1)))]
        found = [row for row in kept if row is not None]
        return RecentAnswer(
            camera=camera,
            t_utc=[round(row[0], 3) for row in found],
            level=[_number(row[1]) for row in found],
            raw=[_number(row[2]) for row in found],
        )

    def scores(
        self,
        camera: Annotated[str, Query(max_length=64)],
        since: Annotated[
            AwareDatetime | None, Query(alias="from", description="By default a day before `to`.")
        ] = None,
        until: Annotated[
            AwareDatetime | None, Query(alias="to", description="By default now.")
        ] = None,
        step: Annotated[
            int, Query(ge=MINUTE_S, le=int(31 * DAY_S), description="Seconds; whole minutes count.")
        ] = MINUTE_S,
    ) -> ScoresAnswer:
        """How the levels of a camera were, step by step; nothing of steps without a score.

        /api/gaps says why there was none.
        """
        end = time.time() if until is None else until.timestamp()
        begin = end - DAY_S if since is None else since.timestamp()
        longest = max(step, (end - begin) / STEPS)
        step_s = math.ceil(longest / MINUTE_S) * MINUTE_S
        points = [
            ScorePoint(
                t=utc(m.t_utc), level_mean=m.level_mean, level_max=m.level_max, frames=m.frames,
                dropped=m.dropped,
            )
            for m in self._work.store.minutes(camera, begin, end, step_s)
        ]  # fmt: skip
        return ScoresAnswer(camera=camera, step_s=step_s, points=points)

    def _view(self, camera: str) -> View:
        found = known(self._work, camera)
        view = self.hub.view(camera)
        if view is None:
            words = found.reader.status().words or "it was not seen yet, or is over"
            raise HTTPException(404, f"There is no picture of {camera} now: {words}")
        return view


async def _closed(socket: WebSocket, code: int, reason: str) -> None:
    """Say goodbye to who may not listen."""
    try:
        async with asyncio.timeout(1.0):
            await socket.close(code, reason)
    except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
        return


def _text_of(message: Any) -> str:
    """What a viewer said.

    Raises:
        ValueError: bytes, or too much.
    """
    text = message.get("text")
    if text is None:
        raise ValueError("Bytes came where text was expected")
    if len(text) > MOST_MESSAGE:
        raise ValueError(f"A message has at most {MOST_MESSAGE} characters; found {len(text)}")
    return str(text)


def _highest(rows: np.ndarray[Any, np.dtype[np.float64]]) -> list[float] | None:
    """Of rows of (time, level, score) the one with the highest level; None of no rows."""
    if not len(rows):
        return None
    levels = np.nan_to_num(rows[:, 1], nan=-1.0)
    return [float(x) for x in rows[int(levels.argmax())]]


def _number(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None
