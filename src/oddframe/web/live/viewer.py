"""One viewer of /api/live: what it wants to see, and what waits to be sent to it.

What is sent slower than it comes does not queue: of each camera the newest frame waits, of each
event, job and list of cameras the newest word.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    field_validator,
)

from oddframe.runtime.watch.view import View

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]

STILL_S = 0.25
"""So much later than its turn a frame is sent that came before it."""
MOST_TEXTS = 500
"""Words that wait for a viewer; of more, the oldest go."""


class Subscription(BaseModel):
    """What a viewer sends to say what it wants; each replaces the one before."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    cameras: tuple[Name, ...] = Field((), max_length=64)
    """Whose pictures; none: only words."""
    width: int = Field(640, ge=32, le=3840)
    """Pixels across; pictures may be somewhat wider, and are never larger than the camera's."""
    fps: float = Field(8.0, ge=0.1, le=30, allow_inf_nan=False)
    """Pictures a second of each camera, at most."""
    heat: StrictBool = False
    """Also send where it is unusual."""

    @field_validator("cameras")
    @classmethod
    def _each_once(cls, value: tuple[Name, ...]) -> tuple[Name, ...]:
        return tuple(dict.fromkeys(value))


NOTHING = Subscription()


def read(text: str) -> Subscription:
    """A subscription of what somebody sent.

    Raises:
        ValueError: what is wrong with it; what was sent is not said again.
    """
    try:
        return Subscription.model_validate_json(text)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)[:5]
        )
        raise ValueError(
            f"{told[:500]}. Expected as "
            '{"cameras": ["gate"], "width": 640, "fps": 8, "heat": false}.'
        ) from None


class Viewer:
    """Of the server's loop alone."""

    def __init__(self) -> None:
        self.wants = NOTHING
        self._wake = asyncio.Event()
        self._views: OrderedDict[str, View] = OrderedDict()
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._early: dict[str, View] = {}
        self._due: dict[str, float] = {}

    def subscribe(self, wants: Subscription) -> None:
        """Want something else from now on."""
        self.wants = wants
        kept = set(wants.cameras)
        self._early.clear()
        self._due = {c: s for c, s in self._due.items() if c in kept}
        self._views = OrderedDict((c, v) for c, v in self._views.items() if c in kept)

    def offer(self, camera: str, view: View, now_s: float, fps: float) -> None:
        """A new frame: it waits in the place of the one before, unless it comes too soon.

        fps: that it has at most; of a steady rhythm, so that of 10 frames a second 8 are sent.
        """
        step_s, due_s = 1 / min(self.wants.fps, fps), self._due.get(camera, 0.0)
        if now_s < due_s - 1e-3:
            self._early[camera] = view
            return
        self._due[camera] = (due_s if due_s > now_s - step_s else now_s) + step_s
        self._early.pop(camera, None)
        self._views[camera] = view
        self._wake.set()

    def release(self, now_s: float) -> None:
        """Frames that came too soon, and that no other came after: cameras that stand still."""
        for camera in [c for c in self._early if now_s >= self._due.get(c, 0.0) + STILL_S]:
            self._views[camera] = self._early.pop(camera)
            self._wake.set()

    def tell(self, key: str, text: str) -> None:
        """Words to be sent; what still waits under the same key is replaced."""
        self._texts[key] = text
        while len(self._texts) > MOST_TEXTS:
            self._texts.popitem(last=False)
        self._wake.set()

    async def next(self) -> str | tuple[str, View]:
        """What is to be sent now: words, or else a camera and its frame."""
        while not self._texts and not self._views:
            self._wake.clear()
            await self._wake.wait()
        return (
            self._texts.popitem(last=False)[1] if self._texts else self._views.popitem(last=False)
        )
