"""When an event begins, goes on, gets worse and ends: the settings of `events.tracker`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from oddframe.config import Config


class Rules(Config):
    """What makes an event of levels; a level is score / threshold, 1 at the alarm threshold."""

    raise_level: float = Field(1.0, gt=0, le=100)
    """An event starts at this level. The alarms per day that a RUN states are those at 1."""
    keep_level: float = Field(0.8, gt=0, le=100)
    """It goes on while levels are at or above this one; at most `raise_level`."""
    alert_level: float | None = Field(None, gt=0, le=100)
    """At or above it the event is an `alert`, below a `detection`; at least `raise_level`. None:
    the higher of 1 and `raise_level`."""
    min_duration_s: float = Field(0.0, ge=0, le=600)
    """For so long levels must stay at or above `keep_level`, from the frame that reached
    `raise_level` on, before the event is told; its start is that frame. 0: told at once."""
    merge_gap_s: float = Field(10.0, ge=1, le=3600)
    """When no level was at or above `keep_level` for longer than this, the event is over; two
    bursts that are closer are one event.

    The alarms per day that a RUN states count peaks 10 s apart as separate: below 10 there may be
    more events than were promised."""
    cool_down_s: float = Field(0.0, ge=0, le=86400)
    """An event that starts so soon after the end of the camera's last alert is a detection
    whatever its level: recorded, but quiet. No more than `merge_gap_s` changes little: so soon
    after an event that calmed down nothing starts."""
    longest_s: float = Field(300.0, ge=30, le=86400)
    """An event that has lasted longer hides no other one: where a level reaches `raise_level` and
    it is hottest where it was not for so long, that event is over and another one begins. Where
    nobody knows where it is hot, as in an archive, an event lasts as long as it lasts."""
    update_s: float = Field(10.0, ge=0, le=3600)
    """An open event that got worse is told again at most so often; at once where it becomes an
    alert."""
    update_by: float = Field(1.25, ge=1, le=100)
    """Worse is a peak that is higher by this factor than the last one told, or a new zone."""

    @property
    def alert_from(self) -> float:
        """`alert_level`, or what stands for it."""
        return max(1.0, self.raise_level) if self.alert_level is None else self.alert_level

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.keep_level > self.raise_level:
            raise ValueError(
                f"keep_level {self.keep_level:g} is above raise_level {self.raise_level:g}, so "
                "that an event could end with the frame that begins it; give keep_level at most "
                "raise_level"
            )
        if self.alert_level is not None and self.alert_level < self.raise_level:
            raise ValueError(
                f"alert_level {self.alert_level:g} is below raise_level {self.raise_level:g}, "
                "where events begin; give alert_level at least raise_level"
            )
        return self
