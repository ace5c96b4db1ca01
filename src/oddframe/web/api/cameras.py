"""The small API: cameras, events with their pictures and clips, gaps.

GET /api/cameras, /api/cameras/{camera}          as they are now
PUT /api/cameras/{camera}/armed                  {"armed": false}
GET /api/events, /api/events/{id}                newest first, a page at a time
GET /api/events/{id}/snapshot.jpg, …/clip        files; a clip can be asked for in ranges
GET /api/gaps                                    when nobody looked

Everything here runs in a thread of the server and reads what the engine leaves: none of it waits
for a frame, or makes one wait.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse
from pydantic import AwareDatetime

from oddframe.events.event import Severity
from oddframe.events.store import Record, Verdict
from oddframe.events.store.files import plain_of
from oddframe.web.api.answers import (
    Arm,
    Armed,
    CameraAnswer,
    EventAnswer,
    EventsAnswer,
    GapAnswer,
    Problem,
    camera_answer,
    event_answer,
    gap_answer,
)

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.camera import Camera

MOST = 1000
"""Events of one page."""
GAPS_S = 7 * 86400.0
"""Gaps are given of so long, where nothing is said of `since`."""
KINDS = {".jpg": "image/jpeg", ".webm": "video/webm", ".mp4": "video/mp4"}
"""Content types of what a store holds; nothing else is given out."""
FRESH = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
"""A snapshot is replaced while its event gets worse."""

OfCamera = Annotated[str | None, Query(description="Only of this camera.")]
Since = Annotated[
    AwareDatetime | None, Query(description="What was not over by then: 2026-01-31T18:00:00Z.")
]
Until = Annotated[AwareDatetime | None, Query(description="What began before then.")]
OfVerdict = Annotated[
    Verdict | Literal["none"] | None,
    Query(description="Only those with this verdict; none: nobody has looked."),
]
OfSeverity = Annotated[Severity | None, Query(description="Only those of this severity.")]


def router(work: AtWork) -> APIRouter:
    """The API of a site."""
    api, found = Api(work), APIRouter(prefix="/api")
    lacks: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
    files = {**lacks, 200: {"content": {"image/jpeg": {}}}}
    films = {**lacks, 200: {"content": {"video/webm": {}, "video/mp4": {}}}, 206: {}}
    for path, answer in (
        ("/cameras", api.cameras),
        ("/events", api.events),
        ("/gaps", api.gaps),
    ):
        found.add_api_route(path, answer)
    found.add_api_route("/cameras/{camera}", api.camera, responses=lacks)
    found.add_api_route("/cameras/{camera}/armed", api.arm, methods=["PUT"], responses=lacks)
    found.add_api_route("/events/{event_id}", api.event, responses=lacks)
    found.add_api_route(
        "/events/{event_id}/snapshot.jpg", api.snapshot, responses=files,
        response_class=FileResponse,
    )  # fmt: skip
    for name in ("clip", "clip.webm"):  # whatever it is stored as; a player wants a name
        found.add_api_route(
            f"/events/{{event_id}}/{name}", api.clip, responses=films,
            response_class=FileResponse, include_in_schema=name == "clip",
        )  # fmt: skip
    return found


class Api:
    """The answers, by their routes."""

    def __init__(self, work: AtWork) -> None:
        self._work = work

    def cameras(self) -> list[CameraAnswer]:
        """All cameras that are watched, as they are now."""
        work, now = self._work, time.monotonic()
        found = [camera_answer(work, name, now) for name in work.engine.cameras]
        return [answer for answer in found if answer is not None]

    def camera(self, camera: str) -> CameraAnswer:
        """One camera as it is now."""
        found = camera_answer(self._work, camera, time.monotonic())
        if found is None:
            raise no_camera(self._work, camera)
        return found

    def arm(self, camera: str, wanted: Arm) -> Armed:
        """Switch a camera's alarms on or off; kept over restarts. Scores go on either way."""
        known(self._work, camera)
        return Armed(camera=camera, armed=self._work.arm(camera, wanted.armed))

    def events(
        self,
        camera: OfCamera = None,
        since: Since = None,
        until: Until = None,
        verdict: OfVerdict = None,
        severity: OfSeverity = None,
        limit: Annotated[int, Query(ge=1, le=MOST, description="Of one page.")] = 100,
        cursor: Annotated[str | None, Query(description="As the page before gave it.")] = None,
    ) -> EventsAnswer:
        """Events that reach into a period, the newest first."""
        found = self._work.store.records(
            camera, _seconds(since), _seconds(until), verdict, limit + 1, cursor, severity
        )  # fmt: skip
        page, more = found[:limit], len(found) > limit
        last = page[-1].event.id if more else None
        return EventsAnswer(events=[event_answer(record) for record in page], cursor=last)

    def event(self, event_id: str) -> EventAnswer:
        """One event."""
        return event_answer(record_of(self._work, event_id))

    def snapshot(
        self,
        event_id: str,
        plain: Annotated[bool, Query(description="Without the boxes.")] = False,
    ) -> FileResponse:
        """The picture of an event's peak, with boxes around what was not normal."""
        path = record_of(self._work, event_id).event.snapshot
        return self._file(plain_of(path) if path and plain else path, "picture")

    def clip(self, event_id: str) -> FileResponse:
        """The video of an event, from before to after; WebM or MP4, in ranges where asked for."""
        return self._file(record_of(self._work, event_id).event.clip, "clip")

    def gaps(
        self, camera: OfCamera = None, since: Since = None, until: Until = None
    ) -> list[GapAnswer]:
        """Periods without score, the oldest first; of seven days where `since` is not given."""
        end = until.timestamp() if until else time.time()
        begin = since.timestamp() if since else end - GAPS_S
        found = self._work.store.gaps(camera, begin, _seconds(until))
        return [gap_answer(gap) for gap in found]

    def _file(self, name: str | None, what: str) -> FileResponse:
        """A file of the store, by its path relative to it."""
        path = None if name is None else inside(self._work.store.folder, name)
        if path is None:
            raise HTTPException(
                404, f"There is no {what}: it is not written yet, or was deleted by its age."
            )
        kind = KINDS[path.suffix]
        return FileResponse(path, media_type=kind, headers=FRESH, stat_result=path.stat())


def known(work: AtWork, camera: str) -> Camera:
    """A camera that is watched.

    Raises:
        HTTPException: 404, there is no such.
    """
    found = work.engine.cameras.get(camera)
    if found is None:
        raise no_camera(work, camera)
    return found


def no_camera(work: AtWork, camera: str) -> HTTPException:
    """What is answered where there is no such camera."""
    there = ", ".join(work.engine.cameras) or "none"
    return HTTPException(404, f"There is no camera {camera[:64]!r}: watched are {there}.")


def record_of(work: AtWork, event_id: str) -> Record:
    """An event and what was said of it.

    Raises:
        HTTPException: 404, there is no such.
    """
    found = work.store.record(event_id)
    if found is None:
        raise no_event(event_id)
    return found


def no_event(event_id: str) -> HTTPException:
    """What is answered where there is no such event."""
    return HTTPException(404, f"There is no event {event_id[:64]!r}.")


def inside(folder: Path, name: str) -> Path | None:
    """A picture or film below a folder; None where it is no such, whatever the name says."""
    try:
        folder = folder.resolve()
        path = (folder / name).resolve()
        there = path.is_relative_to(folder) and path.suffix in KINDS and path.is_file()
    except (OSError, ValueError, RuntimeError):  # a zero byte, links in a circle, too long
        return None
    return path if there else None


def _seconds(at: datetime | None) -> float | None:
    """Since 1970."""
    return None if at is None else at.timestamp()
