"""What the API answers: plain models, made of what a site knows.

Times are ISO 8601 in UTC with a Z, durations seconds, boxes pixels of the source's picture. Files
are named by the address that gives them, never by a path; sources without passwords.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, StrictBool

from oddframe.calibration.light import Mode as Light
from oddframe.events.event import Ended, Severity, State
from oddframe.events.store import Gap, Record
from oddframe.events.store.record import Verdict
from oddframe.runtime.watch import upheaval
from oddframe.sources.why import Why
from oddframe.web.health import Pulse
from oddframe.web.metrics import sees

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

STANDS = "Nothing is scored: the engine hangs, or fails each time. /healthz and the log say more."
"""What every camera says meanwhile; pictures may stand still too."""
SourceState = Literal["not_started", "opening", "running", "down", "ended", "stopped"]
Stage = Literal["watching", "unfitted"]


class Answer(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Problem(Answer):
    """The answer where there is an error."""

    detail: str
    """What is wrong, and what to do."""


class Box(Answer):
    """A place in the source's picture, in its pixels."""

    x: int
    """Of the left edge."""
    y: int
    """Of the upper edge."""
    w: int
    h: int


class CameraAnswer(Answer):
    """One camera as it is now."""

    camera: str
    """Its name."""
    source: str
    """Where its pictures come from, without anything that may be a password."""
    added: bool
    """It was added over HTTP, and may be taken away so; the others are of SITE.yaml."""
    stage: Stage
    """unfitted: it has no RUN yet; its pictures can be seen, and nothing of it is scored."""
    state: SourceState
    why: Why | None
    """Why it is down, in one word that never changes."""
    words: str
    """The same for people, with what to do; also why it cannot be scored though pictures come."""
    since: datetime
    """Since when it is in this state."""
    unsettled: upheaval.Kind | None
    """The picture became another one and is not steady yet: there is no score meanwhile."""
    width: int
    """Of its picture, in pixels; 0 before the first."""
    height: int
    fps: float
    """Frames per second that it gives."""
    scored_fps: float
    """Frames per second that are scored, over the last ten seconds."""
    wanted_fps: float
    """Frames per second that should be."""
    frames: int
    """That came since the start."""
    dropped: dict[str, int]
    """Of these, how many were not scored, by reason."""
    reconnects: int
    """Tries to connect after the first."""
    latency_p95_s: float | None
    """From the arrival of a frame to its score: 95 % of the last five to ten minutes' took no
    longer. Null: there was none, or over 10."""
    score: float | None
    """The last one; null where there is none now."""
    level: float | None
    """score / threshold."""
    threshold: float | None
    """Score of the alarm, in the light that it sees by; null without a RUN."""
    threshold_text: str
    """What is to be expected of that threshold, and how far it moves by itself; "" without one."""
    threshold_undoable: bool
    """It was changed, by hand or by itself, and that can be undone."""
    light: Light | None
    """That it sees by, where each has a threshold of its own."""
    provisional: bool
    """The threshold rests on less than eight hours of footage."""
    anomaly: bool
    """An event is open."""
    armed: bool
    """Alarms are on."""
    zones: list[str]
    """Their names."""
    model: str
    """"" without a RUN."""
    run_name: str
    """Of the RUN's folder; "" without one."""
    run: str
    """Hash of the weights that score; events carry it too."""
    promise: str
    """How often it will be wrong, in words, by its RUN; `threshold_text` is of now."""


class Armed(Answer):
    """Whether a camera's alarms are on."""

    camera: str
    armed: bool


class Arm(BaseModel):
    """Switch a camera's alarms on or off."""

    model_config = ConfigDict(extra="forbid")

    armed: StrictBool


class EventAnswer(Answer):
    """What was not normal."""

    id: str
    camera: str
    state: State
    severity: Severity
    start: datetime
    """The first frame in alarm."""
    end: datetime | None
    """The last frame in alarm; null while the event is open."""
    peak: datetime
    """The frame with the highest level; snapshot, boxes and reasons are of it."""
    peak_level: float
    peak_score: float
    threshold: float
    width: int
    """Of the source's picture, in pixels."""
    height: int
    boxes: list[Box]
    zones: list[str]
    reasons: list[str]
    """What was not normal about it, in words, the loudest first."""
    streams: dict[str, float]
    """Per stream its highest unusualness, in deviations of normal footage."""
    snapshot: str | None
    """Address of its picture."""
    clip: str | None
    """Address of its video, once it is written."""
    ended: Ended | None
    """Why it is over."""
    run: str
    """Hash of the weights that scored."""
    verdict: Verdict | None
    """What somebody said of it."""
    verdict_time: datetime | None
    note: str


class EventsAnswer(Answer):
    """A page of events, the newest first."""

    events: list[EventAnswer]
    cursor: str | None
    """Give it as `cursor` for the next page; null: this is the last one."""


class GapAnswer(Answer):
    """A period without score: nobody looked."""

    camera: str
    start: datetime
    end: datetime | None
    """Null while it lasts."""
    why: str


def camera_answer(work: AtWork, name: str, now: float) -> CameraAnswer | None:
    """What is known of a camera that is watched; None where there is no such (any more).

    Args:
        work: the site.
        name: of one of its cameras.
        now: by `time.monotonic`.
    """
    camera, meters = work.engine.cameras.get(name), work.meters.cameras.get(name)
    config = work.config.cameras.get(name)
    if camera is None or meters is None or config is None:
        return None
    status, info = camera.reader.status(), camera.detector.info if camera.fitted else None
    turns = Pulse(work).turns
    sighted = turns and sees(camera, status)
    return CameraAnswer(
        camera=name, source=status.source, added=work.is_added(name),
        stage="watching" if camera.fitted else "unfitted", state=status.state.value, why=status.why,
        words=status.words or camera.fault or ("" if turns else STANDS),
        since=utc(status.since_utc), unsettled=status.unsettled, width=status.width,
        height=status.height, fps=round(status.fps, 3), scored_fps=round(meters.rate.read(now), 3),
        wanted_fps=round(work.engine.pace.wanted(name), 3), frames=status.frames,
        dropped={str(reason): n for reason, n in status.dropped.items()},
        reconnects=status.reconnects, latency_p95_s=_finite(meters.age.quantile(0.95)),
        score=_finite(meters.score) if sighted else None,
        level=_finite(meters.level) if sighted else None,
        threshold=_finite(camera.threshold_now),
        threshold_text=camera.threshold.text if info else "",
        threshold_undoable=camera.threshold.undoable, light=camera.threshold.light,
        provisional=camera.threshold.provisional, anomaly=sighted and meters.anomaly,
        armed=work.armed(name), zones=[zone.name for zone in config.zones],
        model=info.model if info else "", run_name=info.run.resolve().name if info else "",
        run=camera.run,
        promise=str((info.calibration or {}).get("text", "")) if info else "",
    )  # fmt: skip


def event_answer(record: Record) -> EventAnswer:
    """An event with what people said of it."""
    e, files = record.event, f"/api/events/{record.event.id}"
    return EventAnswer(
        id=e.id, camera=e.camera, state=e.state, severity=e.severity, start=utc(e.start_utc),
        end=None if e.end_utc is None else utc(e.end_utc), peak=utc(e.peak_utc),
        peak_level=e.peak_level, peak_score=e.peak_score, threshold=e.threshold, width=e.width,
        height=e.height, boxes=[Box(x=b.x, y=b.y, w=b.w, h=b.h) for b in e.boxes],
        zones=list(e.zones), reasons=list(e.reasons), streams=dict(e.streams or {}),
        snapshot=f"{files}/snapshot.jpg" if e.snapshot else None,
        clip=f"{files}/clip" if e.clip else None, ended=e.ended, run=e.run,
        verdict=record.verdict,
        verdict_time=None if record.verdict_utc is None else utc(record.verdict_utc),
        note=record.note,
    )  # fmt: skip


def gap_answer(gap: Gap) -> GapAnswer:
    """A gap."""
    end = None if gap.end_utc is None else utc(gap.end_utc)
    return GapAnswer(camera=gap.camera, start=utc(gap.start_utc), end=end, why=gap.why)


def utc(seconds: float) -> datetime:
    """Seconds since 1970 as a time; in JSON it ends in Z."""
    return datetime.fromtimestamp(seconds, UTC)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
