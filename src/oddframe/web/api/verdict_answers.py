"""What is asked and answered of verdicts, and of what they taught."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from oddframe.events.store import Exemplar, Record, Tally
from oddframe.events.store.record import Verdict
from oddframe.events.why import FLOOR, NEAR, WORDS
from oddframe.runtime.watch.recall import Recall
from oddframe.web.api.answers import Answer, Box, EventAnswer, event_answer, utc

MOST_NOTE = 2000
Note = Annotated[str, StringConstraints(max_length=MOST_NOTE, pattern=r"^[^\x00]*$")]
ALIKE = ((0.1, "looks the same"), (0.5, "looks alike"), (1.2, "looks a little alike"))
"""Up to which distance of looks (`scoring.spots.apart`) it is told how."""


class Said(BaseModel):
    """What somebody says of an event."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    verdict: Verdict | None
    """real, false_alarm; null takes it back, and what it taught."""
    note: Note | None = None
    """Free text; null leaves the one that there is."""


class VerdictAnswer(EventAnswer):
    """An event with what was said of it, and what that taught."""

    exemplar: int | None
    """Of what is normal now; null: nothing was learned to be silent."""
    learned: str
    """The same in words."""


class ExemplarAnswer(Answer):
    """Something that is normal at a camera: what is like it raises no alarm."""

    id: int
    event: str
    """Id of the event that it was; that may be gone."""
    created: datetime
    place: Box
    """Where it was at its peak, in pixels of the source's picture."""
    what: list[str]
    """What was odd about it, in words, the loudest first."""
    silenced: int
    """How often something like it came by; frames less than 10 s apart are one time."""
    last_silenced: datetime | None
    snapshot: str | None
    """Address of the event's picture; null once that is deleted."""
    in_force: bool
    """False: it is set aside, because it is of another RUN than the one that scores now."""


class Week(Answer):
    """What was said of the events that began in a week."""

    week: str
    """2026-W48: by ISO 8601, from Monday, 0:00 UTC."""
    real: int
    false_alarm: int
    open: int
    """Nobody has looked."""
    precision: float | None
    """real / (real + false_alarm); null where nothing was judged."""


class RecallAnswer(Answer):
    """A camera's own test: do its real events still ring?"""

    kept: int
    """That would ring with the exemplars and the threshold of now."""
    of: int
    """That can be told of: described, and scored by the RUN of now."""
    text: str


class JudgedAnswer(Answer):
    """What was said of events, and what came of it."""

    real: int
    false_alarm: int
    open: int
    """Nobody has looked."""
    by_week: list[Week]
    """Oldest first, a year at most."""
    recall: RecallAnswer


class StreamWhy(Answer):
    """What one stream said of an event at its peak."""

    name: str
    z: float
    """Deviations of normal footage."""
    words: str


class NearestAnswer(Answer):
    """The most alike of what was normal."""

    snapshot: str
    """Address of its picture."""
    t: datetime
    level: float
    kind: Literal["no_alarm", "false_alarm"]
    """It never rang; or it did, and somebody said that it was normal."""
    same_place: bool
    words: str


class WhyAnswer(Answer):
    """Why an event rang."""

    streams: list[StreamWhy]
    """The loudest first."""
    level: list[tuple[float, float]]
    """(seconds since 1970, level) around it, the highest of some frames each."""
    nearest: NearestAnswer | None
    """Null: nothing was kept yet that it could be held against."""


def verdict_answer(record: Record, exemplar: Exemplar | None, run: str) -> VerdictAnswer:
    """An event that was just judged.

    Args:
        record: as it is now.
        exemplar: what it became.
        run: hash of the weights that score its camera now; "" where there is no such camera.
    """
    known = event_answer(record).model_dump()
    number = None if exemplar is None else exemplar.id
    return VerdictAnswer(**known, exemplar=number, learned=_learned(record, exemplar, run))


def _learned(record: Record, exemplar: Exemplar | None, run: str) -> str:
    if record.verdict is None:
        return "Nobody has said anything of it, and nothing is learned from it."
    if record.verdict == "real":
        return "Whatever is learned is held against it: it has to ring."
    peak = "For the threshold its peak is a normal one."
    if exemplar is None:
        return (
            f"{peak} Nothing is silenced: of this event it is not kept what was odd where, as of "
            "those that were raised before there was any learning."
        )
    if exemplar.run != run:
        return f"{peak} What is like it is silent with the RUN that scored it, not with this one."
    return f"{peak} What is like it, at that place and no stronger, raises no alarm from now on."


def exemplar_answer(exemplar: Exemplar, run: str) -> ExemplarAnswer:
    """One exemplar; run: hash of the weights of now."""
    e = exemplar
    box = Box(x=e.place.x, y=e.place.y, w=e.place.w, h=e.place.h)
    picture = f"/api/events/{e.event_id}/snapshot.jpg" if e.snapshot else None
    return ExemplarAnswer(
        id=e.id, event=e.event_id, created=utc(e.created_utc), place=box, what=list(e.reasons),
        silenced=e.silenced, snapshot=picture, in_force=e.run == run,
        last_silenced=None if e.silenced_utc is None else utc(e.silenced_utc),
    )  # fmt: skip


def week_answer(tally: Tally) -> Week:
    """One week."""
    year, week, _ = datetime.fromtimestamp(tally.t_utc, UTC).isocalendar()
    judged = tally.real + tally.false_alarm
    return Week(
        week=f"{year}-W{week:02d}", real=tally.real, false_alarm=tally.false_alarm,
        open=tally.open, precision=tally.real / judged if judged else None,
    )  # fmt: skip


def recall_answer(recall: Recall, real: int) -> RecallAnswer:
    """Of real events; real: how many there are, whether or not it can be told."""
    parts = [
        f"{recall.kept} of {recall.of} real events would ring with what is known now"
        if recall.of
        else "No real event is kept that could be held against what is known now"
    ]
    if real > recall.of:
        parts.append(
            f"of {real - recall.of} more it cannot be told: scored by another RUN, not described, "
            "or of a camera that is not watched"
        )
    return RecallAnswer(kept=recall.kept, of=recall.of, text=f"{'; '.join(parts)}.")


def stream_answers(streams: Mapping[str, float]) -> list[StreamWhy]:
    """What the streams said, the loudest first."""
    known = {name: z for name, z in streams.items() if math.isfinite(z)}
    loud = max(known.values(), default=0.0)

    def words(name: str, z: float) -> str:
        if z <= FLOOR:
            return "as usual"
        text = WORDS.get(name, "something is out of the usual")
        return text if z >= NEAR * loud else f"a little: {text}"

    return [
        StreamWhy(name=name, z=round(z, 3), words=words(name, z))
        for name, z in sorted(known.items(), key=lambda each: -each[1])
    ]


def alike_words(apart: float, same_place: bool) -> str:
    """How like two places are."""
    how = next((text for most, text in ALIKE if apart <= most), "looks different")
    return f"{how}, {'at the same place' if same_place else 'elsewhere in the picture'}"
