"""What a person changes of a camera: zones, masks, the threshold; and what that would cost.

GET /api/cameras/{camera}/places                zones and masks, as they are drawn
PUT /api/cameras/{camera}/zones, …/mask         others from the next frame on; kept over restarts
GET /api/cameras/{camera}/rate                  alarms a day to expect at any threshold
PUT /api/cameras/{camera}/threshold             another one from the next frame on
POST /api/cameras/{camera}/threshold/undo       the one before, whoever changed it
GET /api/cameras/{camera}/thresholds            those that were in force, and why
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from oddframe.calibration.light import Mode as Light
from oddframe.calibration.rate import rate_at
from oddframe.errors import ConfigError
from oddframe.events.event import Severity
from oddframe.events.store import Calibration
from oddframe.events.zones import Mask, Zone
from oddframe.runtime.watch.camera import without_run
from oddframe.runtime.watch.threshold import HIGHEST
from oddframe.web.api.answers import Answer, Problem, utc
from oddframe.web.api.cameras import known, no_camera

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.camera import Camera

MOST_PLACES, MOST_POINTS = 64, 128
LARGEST_PX = 65536
"""No picture is larger."""

Part = Annotated[float, Field(ge=0, le=LARGEST_PX, allow_inf_nan=False)]
Point = tuple[Part, Part]
Named = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""What people call a place: one line."""
Score = Annotated[float, Field(gt=0, le=HIGHEST, allow_inf_nan=False)]


class MaskDrawn(BaseModel):
    """A place that is never scored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Named = ""
    points: tuple[Point, ...] = Field(min_length=3, max_length=MOST_POINTS)
    """Its corners in turn, [x, y] from the upper left."""
    unit: Literal["relative", "pixels"] = "relative"
    """What they count in: parts of the picture's width and height from 0 to 1, or its pixels."""


class ZoneDrawn(MaskDrawn):
    """A place with a name."""

    name: Annotated[Named, Field(min_length=1)]
    """What an event says that it touched."""
    severity: Severity = "alert"
    """What an event is by touching it; detection: it only gets the name."""
    alert_level: float | None = Field(None, gt=0, le=100, allow_inf_nan=False)
    """Alert from this level on; null: from the one of the rules."""


class Zones(BaseModel):
    """All zones of a camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zones: tuple[ZoneDrawn, ...] = Field(max_length=MOST_PLACES)


class Masks(BaseModel):
    """All masks of a camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mask: tuple[MaskDrawn, ...] = Field(max_length=MOST_PLACES)


class ThresholdWanted(BaseModel):
    """Another threshold."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    threshold: Score
    """Score of the alarm."""
    light: Light | None = None
    """Of which light, where each has its own; by default the one that the camera sees by."""


class ZoneAnswer(Answer):
    """A zone as it is drawn."""

    name: str
    points: list[tuple[float, float]]
    unit: Literal["relative", "pixels"]
    severity: Severity
    alert_level: float | None


class MaskAnswer(Answer):
    """A mask as it is drawn."""

    name: str
    points: list[tuple[float, float]]
    unit: Literal["relative", "pixels"]


class PlacesAnswer(Answer):
    """What is drawn on a camera's picture."""

    camera: str
    width: int
    """Of its picture, in pixels; 0 before the first."""
    height: int
    zones: list[ZoneAnswer]
    mask: list[MaskAnswer]


class RateAnswer(Answer):
    """What is to be expected of a threshold."""

    threshold: float
    light: str | None
    """That it is of; null: of all."""
    alarms_per_day: float | None
    """False alarms in 24 hours (of that light), the median of what may be; null: nobody knows."""
    low: float | None
    """Nine weeks of ten have a mean from this one ..."""
    high: float | None
    """... to this one."""
    provisional: bool
    """It rests on less than eight hours of footage."""
    text: str
    """All of it in words."""


class ThresholdAnswer(Answer):
    """The threshold that is in force."""

    camera: str
    threshold: float
    light: str | None
    """That it is of; null: of all."""
    text: str
    """What is to be expected of it, and how far it moves by itself."""
    undoable: bool
    """There is a change that can be undone."""


class ThresholdRow(Answer):
    """A threshold that was in force, since it was changed."""

    threshold: float
    light: str | None
    """That it is of; null: of all."""
    created: datetime
    why: str
    """What made it."""
    hours: float
    """Of footage behind it."""
    low: float
    """Alarms a day that were to be counted over a week, nine times of ten, from ..."""
    high: float | None
    """... to; null: nobody knew."""
    run: str
    """Hash of the weights that it was of."""


def router(work: AtWork) -> APIRouter:
    """What a person changes of a site."""
    change, found = Change(work), APIRouter(prefix="/api/cameras/{camera}")
    lacks: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
    runless = {**lacks, 409: {"model": Problem}}
    for path, answer, methods, responses in (
        ("/places", change.places, ["GET"], lacks),
        ("/zones", change.zones, ["PUT"], lacks),
        ("/mask", change.mask, ["PUT"], lacks),
        ("/rate", change.rate, ["GET"], runless),
        ("/threshold", change.threshold, ["PUT"], runless),
        ("/threshold/undo", change.undo, ["POST"], runless),
        ("/thresholds", change.thresholds, ["GET"], lacks),
    ):
        found.add_api_route(path, answer, methods=methods, responses=responses)
    return found


class Change:
    """The answers, by their routes."""

    def __init__(self, work: AtWork) -> None:
        self._work = work

    def places(self, camera: str) -> PlacesAnswer:
        """Zones and masks of a camera."""
        status = known(self._work, camera).reader.status()
        config = self._work.config.cameras.get(camera)
        if config is None:  # taken away just now
            raise no_camera(self._work, camera)
        return PlacesAnswer(
            camera=camera, width=status.width, height=status.height,
            zones=[ZoneAnswer(**zone.model_dump()) for zone in config.zones],
            mask=[MaskAnswer(**mask.model_dump()) for mask in config.mask],
        )  # fmt: skip

    def zones(self, camera: str, drawn: Zones) -> PlacesAnswer:
        """Give a camera other zones, in the place of all that there were."""
        known(self._work, camera)
        with _understood():
            zones = [Zone.read(zone.model_dump()) for zone in drawn.zones]
            self._work.redraw(camera, zones=zones)
        return self.places(camera)

    def mask(self, camera: str, drawn: Masks) -> PlacesAnswer:
        """Give a camera other masks, in the place of all that there were."""
        known(self._work, camera)
        with _understood():
            masks = [Mask.read(mask.model_dump()) for mask in drawn.mask]
            self._work.redraw(camera, mask=masks)
        return self.places(camera)

    def rate(
        self,
        camera: str,
        threshold: Annotated[Score, Query(description="Score of the alarm.")],
        light: Annotated[
            Light | None, Query(description="Of which light; by default the one of now.")
        ] = None,
    ) -> RateAnswer:
        """How many alarms a day are to be expected at a threshold, by what is known now."""
        own = self._fitted(camera).threshold
        found = rate_at(own.calibration, threshold, light or own.light)
        return RateAnswer(
            threshold=found.threshold, light=found.light, alarms_per_day=found.per_day,
            low=found.low, high=found.high, provisional=found.provisional, text=found.text,
        )  # fmt: skip

    def threshold(self, camera: str, wanted: ThresholdWanted) -> ThresholdAnswer:
        """Set the threshold of a camera by hand. It holds at once, is kept, and can be undone;
        what live footage learns goes on from it."""
        self._fitted(camera)
        with _understood():
            self._work.set_threshold(camera, wanted.threshold, wanted.light)
        return self._threshold(camera, wanted.light)

    def undo(self, camera: str) -> ThresholdAnswer:
        """Take the last change of a camera's threshold back, by hand or by what was learned."""
        self._fitted(camera)
        if not self._work.undo(camera):
            raise HTTPException(409, f"The threshold of {camera} was not changed: nothing to undo.")
        return self._threshold(camera)

    def thresholds(
        self, camera: str, limit: Annotated[int, Query(ge=1, le=500)] = 50
    ) -> list[ThresholdRow]:
        """Changes of a camera's threshold, the newest first."""
        known(self._work, camera)
        return [_row(c) for c in self._work.store.calibrations(camera, limit=limit)]

    def _threshold(self, camera: str, light: Light | None = None) -> ThresholdAnswer:
        own = known(self._work, camera).threshold
        return ThresholdAnswer(
            camera=camera,
            threshold=own.at(light),
            light=light or own.light,
            text=own.text,
            undoable=own.undoable,
        )

    def _fitted(self, camera: str) -> Camera:
        """A camera that has a threshold."""
        found = known(self._work, camera)
        if not found.fitted:
            raise HTTPException(409, str(without_run(camera)))
        return found


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """What is at odds with the rest of the site is no failure of the server."""
    try:
        yield
    except ConfigError as error:
        raise HTTPException(422, str(error)) from None


def _row(calibration: Calibration) -> ThresholdRow:
    c = calibration
    return ThresholdRow(
        threshold=c.threshold, light=c.light or None, created=utc(c.created_utc), why=c.why,
        hours=c.hours, low=c.low, high=c.high if math.isfinite(c.high) else None, run=c.model_hash,
    )  # fmt: skip
