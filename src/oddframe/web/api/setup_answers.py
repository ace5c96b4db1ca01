"""What the setup of cameras takes and answers: cameras, jobs, RUNs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from oddframe.runs import WEIGHTS, Run
from oddframe.setup import shown
from oddframe.setup.footage import Kept
from oddframe.setup.job import FitSettings, Job, Kind, State
from oddframe.setup.known import Runs
from oddframe.web.api.answers import Answer, utc


class Wanted(BaseModel):
    """Base of what is sent."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class NewCamera(Wanted):
    """A camera that is to be watched."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$")]
    """Letters, digits, _ and -."""
    source: (
        Annotated[StrictInt, Field(ge=0, le=63)]
        | Annotated[StrictStr, Field(min_length=1, max_length=2048)]
    )
    """An address (rtsp://, http://, …), the number of a webcam, or a video file or folder, whose
    relative paths begin in the folder that the server was started in. What an address holds of
    passwords is kept, and never given back."""
    realtime: StrictBool = True
    """Play a file at its own speed, as a camera would."""
    anyway: StrictBool = False
    """Add an address or webcam that cannot be opened now: it will be when it is there."""


class AddedCamera(Answer):
    """A camera that is watched from now on."""

    camera: str
    source: str
    """Without anything that may be a password."""
    stage: Literal["unfitted"]
    """It has no RUN yet: it can be seen and recorded, and is not scored."""
    width: int
    """Of its picture, in pixels; 0 where it could not be opened."""
    height: int
    words: str
    """Why it could not be opened; "" where it could."""


class RemovedCamera(Answer):
    """A camera that is watched no more."""

    camera: str
    removed: Literal[True]


class FootageAnswer(Answer):
    """What is recorded of a camera, to learn from."""

    camera: str
    minutes: float
    files: int
    bytes: int
    newest: datetime | None
    """When the newest file was written."""


class FitWanted(Wanted):
    """Fit a model to what is recorded of a camera."""

    minutes: float = Field(gt=0, le=2880, strict=True)
    """Time for all of it."""
    model: Annotated[StrictStr, Field(min_length=1, max_length=64, pattern="^[a-z0-9-]+$")] = (
        "m2s2l-edge"
    )
    """As `oddframe models` lists them."""

    def settings(self) -> dict[str, Any]:
        """As jobs take them."""
        return FitSettings(minutes=self.minutes, model=self.model).model_dump(mode="json")


class ModelWanted(Wanted):
    """The RUN that is to score a camera."""

    run: Annotated[StrictStr, Field(min_length=1, max_length=128)]
    """A name of /api/runs."""


class ModelAnswer(Answer):
    """The RUN that scores a camera from now on."""

    camera: str
    run: str


class JobAnswer(Answer):
    """One job as it is now."""

    id: str
    camera: str
    kind: Kind
    state: State
    done: float
    """Share of it, 0 to 1."""
    text: str
    """What it does now, waits for, or did."""
    left_s: float | None
    """Seconds that it will take, about; null where nobody knows."""
    created: datetime
    started: datetime | None
    ended: datetime | None
    problem: str | None
    """What went wrong, or is odd, and what to do."""
    run: str | None
    """Name of the RUN that it makes, or works on."""
    minutes: float
    """That were asked for: of footage to record, of time for the others."""
    alarms_per_day: float | None
    """Of a calibration: false alarms to accept in 24 hours."""


class RunAnswer(Answer):
    """One RUN."""

    run: str
    """Its name."""
    name: str
    """The same."""
    model: str
    created: datetime | None
    frames: int | None
    """Frames of the footage that it was trained on."""
    minutes: float | None
    """That its training took."""
    fps: float | None
    """Frames per second that it learned at."""
    threshold: float | None
    """Score of the alarm; null before it is calibrated."""
    alarms_per_day: float | None
    """False alarms in 24 hours that its threshold is for."""
    provisional: bool | None
    """Its threshold rests on less than 8 hours; null where there is none."""
    text: str
    """How often it will be wrong, in words."""
    cameras: list[str]
    """That it scores."""
    finished: bool
    """False: it is still learned."""


class RunDetails(RunAnswer):
    """One RUN, with what there is to see of it."""

    loss: list[tuple[int, float]]
    """Step and loss, 400 points at most."""
    selftest: dict[str, Any] | None
    """Made anomalies in its own footage, in words (`text`) and numbers."""
    selftest_picture: str | None
    """Address of a picture of them."""
    calibration: dict[str, Any] | None
    """What its threshold rests on."""
    tables: list[dict[str, Any]]
    """Rows of evaluations that lie in it, each with its protocol in words."""


def footage_answer(camera: str, kept: Kept) -> FootageAnswer:
    """What is recorded of a camera."""
    return FootageAnswer(
        camera=camera, minutes=round(kept.seconds / 60, 2), files=kept.files, bytes=kept.bytes,
        newest=_at(kept.newest_utc),
    )  # fmt: skip


def job_answer(job: Job) -> JobAnswer:
    """A job."""
    return JobAnswer(
        id=job.id, camera=job.camera, kind=job.kind, state=job.state, done=round(job.done, 4),
        text=job.text, left_s=None if job.left_s is None else round(job.left_s, 1),
        created=utc(job.created_utc), started=_at(job.started_utc), ended=_at(job.ended_utc),
        problem=job.problem, run=job.run, minutes=float(job.settings.get("minutes", 0.0)),
        alarms_per_day=job.settings.get("alarms_per_day"),
    )  # fmt: skip


def run_answer(runs: Runs, name: str, run: Run) -> RunAnswer:
    """A finished RUN."""
    training, known = run.card.get("training") or {}, run.calibration or {}
    try:
        made = _at((run.path / WEIGHTS).stat().st_mtime)
    except OSError:  # deleted just now
        made = None
    return RunAnswer(
        run=name, name=name, model=run.name, created=made, frames=training.get("frames"),
        minutes=shown.plain(training.get("minutes")), fps=run.fps, threshold=run.threshold,
        alarms_per_day=known.get("alarms_per_day"),
        provisional=bool(known.get("provisional", False)) if known else None,
        text=str(known.get("text", "")), cameras=runs.cameras(run.path), finished=True,
    )  # fmt: skip


def fit_answer(job: Job) -> RunAnswer:
    """A RUN that is still learned."""
    name = str(job.run)
    return RunAnswer(
        run=name, name=name, model=str(job.settings.get("model", "")),
        created=_at(job.started_utc), frames=None, minutes=None, fps=None, threshold=None,
        alarms_per_day=None, provisional=None, text=job.text, cameras=[], finished=False,
    )  # fmt: skip


def details(answer: RunAnswer, path: Any, run: Run | None) -> RunDetails:
    """A RUN with what there is to see of it; run: None of one that is still learned."""
    tested = None if run is None else shown.selftest(run)
    picture = bool(tested and tested.pop("picture"))
    address = f"/api/runs/{answer.run}/selftest.png" if picture else None
    return RunDetails(
        **answer.model_dump(), loss=shown.loss(path), selftest=tested, selftest_picture=address,
        calibration=None if run is None else shown.calibration(run),
        tables=[] if run is None else shown.tables(path),
    )  # fmt: skip


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else utc(seconds)
