"""What people say of events, what is learned from it, and why an event rang.

POST /api/events/{id}/verdict                   real, a false alarm, or taken back
GET /api/cameras/{camera}/exemplars             what is normal there, and how often it came by
DELETE /api/exemplars/{id}                      it is not normal any more
GET /api/judged                                 how many were right, week by week; its own test
GET /api/events/{id}/why, …/nearest.jpg         what it was, and the most alike that was normal

What is said is learned from before it is answered, by who scores and by the threshold.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi import Path as InPath

from oddframe.events.store import Record, Store
from oddframe.events.store.exemplars import MOST_REAL
from oddframe.events.store.files import plain_of
from oddframe.runtime.watch.pardons import spots_of
from oddframe.runtime.watch.recall import Recall, recall_of
from oddframe.scoring.exemplars import nearest
from oddframe.scoring.spots import Spots
from oddframe.web.api.answers import Problem, utc
from oddframe.web.api.cameras import FRESH, inside, known, no_event, record_of
from oddframe.web.api.verdict_answers import (
    ExemplarAnswer,
    JudgedAnswer,
    NearestAnswer,
    Said,
    VerdictAnswer,
    WhyAnswer,
    alike_words,
    exemplar_answer,
    recall_answer,
    stream_answers,
    verdict_answer,
    week_answer,
)

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

KEPT_S = 30.0
"""What was found most alike is given again for so long."""
WEEKS = 53
"""That are told of."""
AROUND_S, LONGEST_S = 1800.0, 86400.0
"""Where no levels were kept of an event, the minutes so long before and after it; of one that
lasted for longer, its beginning."""
Number = Annotated[int, InPath(ge=1, le=2**53)]
OfCamera = Annotated[
    str | None, Query(max_length=200, description="Only of this camera; of all that are watched.")
]


def router(work: AtWork) -> APIRouter:
    """Its part of the API of a site."""
    found, verdicts = APIRouter(prefix="/api"), Verdicts(work)
    lacks: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
    picture: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
    add = found.add_api_route
    add("/events/{event_id}/verdict", verdicts.say, methods=["POST"], responses=lacks)
    add("/events/{event_id}/why", verdicts.why, responses=lacks)
    add("/events/{event_id}/nearest.jpg", verdicts.picture, responses={**lacks, **picture},
        response_class=Response)  # fmt: skip
    add("/cameras/{camera}/exemplars", verdicts.exemplars, responses=lacks)
    add("/exemplars/{exemplar}", verdicts.forget, methods=["DELETE"], status_code=204,
        responses=lacks, response_class=Response)  # fmt: skip
    add("/judged", verdicts.judged)
    return found


@dataclass(frozen=True, slots=True)
class Nearest:
    """The most alike of what was normal."""

    answer: NearestAnswer
    picture: Path


class Verdicts:
    """The answers, by their routes."""

    def __init__(self, work: AtWork) -> None:
        self._work = work
        self._found: dict[tuple[str, float], tuple[float, Nearest | None]] = {}
        """The most alike of events and their peaks, and until when that is given again."""

    def say(self, event_id: str, said: Said) -> VerdictAnswer:
        """Say what an event was; what is said last holds, and null takes it back.

        Of a false alarm it is learned what it looked like and where: its like raises no alarm from
        now on. What is elsewhere, clearly stronger or of another kind does, and so does whatever
        else is in the picture at that moment.
        """
        store = self._work.store
        if not store.verdict(event_id, said.verdict, said.note):
            raise no_event(event_id)
        self._found = {}
        record = record_of(self._work, event_id)
        self._work.heard(record.event.camera)
        camera = self._work.engine.cameras.get(record.event.camera)
        made = store.exemplars(record.event.camera)
        own = next((e for e in made if e.event_id == event_id), None)
        return verdict_answer(record, own, camera.run if camera else "")

    def exemplars(self, camera: str) -> list[ExemplarAnswer]:
        """What is normal at a camera, by what was said of its events; the newest first."""
        run = known(self._work, camera).run
        return [exemplar_answer(e, run) for e in self._work.store.exemplars(camera)]

    def forget(self, exemplar: Number) -> Response:
        """Take an exemplar back: its like raises alarms again. What was said of its event stays."""
        camera = self._work.store.forget(exemplar)
        if camera is None:
            raise HTTPException(404, f"There is no exemplar {exemplar}: it was taken back already.")
        self._found = {}
        self._work.heard(camera)
        return Response(status_code=204)

    def judged(self, camera: OfCamera = None) -> JudgedAnswer:
        """How many events were real and how many not, and whether the real ones would still ring.

        The events that were real are a camera's own test of all that is learned: each is held
        against the exemplars and the threshold of now, as far as what is kept of it tells.
        """
        weeks = self._work.store.tally(camera)
        real = sum(week.real for week in weeks)
        recall = Recall(0, 0)
        for one in list(self._work.engine.cameras.values()):
            if one.fitted and camera in (None, one.name):
                recall += recall_of(one, self._work.store)
        return JudgedAnswer(
            real=real, false_alarm=sum(week.false_alarm for week in weeks),
            open=sum(week.open for week in weeks),
            by_week=[week_answer(week) for week in weeks[-WEEKS:]],
            recall=recall_answer(recall, real),
        )  # fmt: skip

    def why(self, event_id: str) -> WhyAnswer:
        """Why an event rang: what each stream said, the levels around it, and the most alike of
        what was normal at its camera."""
        record, store = record_of(self._work, event_id), self._work.store
        event, kept = record.event, store.described(event_id)
        level = list(kept.trace) if kept else []
        if not level:
            start, end = event.start_utc - AROUND_S, (event.end_utc or event.peak_utc) + AROUND_S
            minutes = store.minutes(event.camera, start, min(end, start + LONGEST_S))
            level = [(m.t_utc, m.level_max) for m in minutes]
        found = self._nearest(record, spots_of(kept.spots) if kept else None)
        return WhyAnswer(
            streams=stream_answers(event.streams or {}),
            level=[(t, value) for t, value in level if math.isfinite(value)],
            nearest=found.answer if found else None,
        )  # fmt: skip

    def picture(self, event_id: str) -> Response:
        """The picture of the most alike of what was normal; see `why`."""
        record = record_of(self._work, event_id)
        kept = self._work.store.described(event_id)
        found = self._nearest(record, spots_of(kept.spots) if kept else None)
        if found is None:
            raise HTTPException(404, "There is nothing normal that it could be held against yet.")
        try:
            data = found.picture.read_bytes()
        except OSError:
            raise HTTPException(404, "Its picture was deleted just now, by its age.") from None
        return Response(data, media_type="image/jpeg", headers=FRESH)

    def _nearest(self, record: Record, spots: Spots | None) -> Nearest | None:
        """Kept for a moment: an event's reasons and their picture are asked for one after the
        other, and to find it takes hundreds of pictures' spots."""
        if spots is None:
            return None
        now, event = time.monotonic(), record.event
        kept = {key: known for key, known in self._found.items() if known[0] > now}
        known = kept.get((event.id, event.peak_utc))
        if known is None or (known[1] is not None and not known[1].picture.is_file()):
            known = now + KEPT_S, self._look(record, spots)
        self._found = {**kept, (event.id, event.peak_utc): known}
        return known[1]

    def _look(self, record: Record, spots: Spots) -> Nearest | None:
        others = _normal(self._work.store, record)
        found = nearest(spots, [other.spots for other in others])
        if found is None:
            return None
        number, apart, same_place = found
        other, event_id = others[number], record.event.id
        answer = NearestAnswer(
            snapshot=f"/api/events/{event_id}/nearest.jpg", t=utc(other.t_utc), level=other.level,
            kind=other.kind, same_place=same_place, words=alike_words(apart, same_place),
        )  # fmt: skip
        return Nearest(answer, other.picture)


@dataclass(frozen=True, slots=True)
class _Other:
    """Something normal, with a picture that is there."""

    spots: Spots
    t_utc: float
    level: float
    kind: Literal["no_alarm", "false_alarm"]
    picture: Path


def _normal(store: Store, record: Record) -> list[_Other]:
    """What was normal at the camera of an event, by the same weights."""
    camera, run = record.event.camera, record.event.run
    others = list[_Other]()
    for n in store.normals(camera, run):
        picture = inside(store.folder, n.picture)
        if picture is not None:
            others.append(_Other(spots_of(n.spots), n.t_utc, n.level, "no_alarm", picture))
    for described in store.judged(camera, run, "false_alarm", MOST_REAL):
        event = store.event(described.event_id)
        if event is None or event.snapshot is None or event.id == record.event.id:
            continue
        names = plain_of(event.snapshot), event.snapshot
        picture = next(filter(None, (inside(store.folder, name) for name in names)), None)
        if picture is not None:
            spots, level = spots_of(described.spots), event.peak_level
            others.append(_Other(spots, event.peak_utc, level, "false_alarm", picture))
    return others
