"""When alarms are armed: weekly windows of local time.

    schedule = Schedule.read({
        "windows": [{"days": "mon-fri", "from": "18:00", "to": "07:00"}, {"days": "sat, sun"}],
        "timezone": "Europe/Berlin",
    })
    schedule.armed(time.time())

A window that ends before it begins goes over midnight and belongs to the day on which it begins.
Ends of windows are moments, worked out with the zone's own rules: where the clock is set back a
window does not open twice, and where a window begins or ends at a time that the clock shows twice
or never, it is the longer one.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, field_serializer, field_validator, model_validator

from oddframe.config import Config

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY_MIN = 24 * 60
"""Minutes of a day."""


class Window(Config):
    """Some hours of some days of the week."""

    # `from` is a word of Python: settings say it, the field has another name.
    model_config = ConfigDict(populate_by_name=True)

    days: tuple[str, ...] = DAYS
    """`mon` … `sun`: one, several with commas, or from one to another (`mon-fri`)."""
    start: int = Field(0, alias="from", ge=0, lt=DAY_MIN)
    """`from`: the local time at which it begins, "HH:MM"; kept in minutes."""
    end: int = Field(DAY_MIN, alias="to", ge=0, le=DAY_MIN)
    """`to`: the local time before which it ends, "HH:MM" to "24:00"; of the next day where it is
    not after `from`."""

    @field_validator("days", mode="before")
    @classmethod
    def _days(cls, value: Any) -> tuple[str, ...]:
        words = value if isinstance(value, (list, tuple)) else [value]
        parts = [part.strip() for word in words for part in str(word).lower().split(",")]
        found = {day for part in parts for day in _range(part, value)}
        return tuple(day for day in DAYS if day in found)

    @field_validator("start", "end", mode="before")
    @classmethod
    def _minutes(cls, value: Any) -> int:
        # YAML reads 18:00 without quotation marks as a number to the base of 60: the minutes.
        # Below 60 there are none of these (0:30 is text): who writes 18 means the hour.
        number = isinstance(value, int) and not isinstance(value, bool)
        if number and (value == 0 or 60 <= value <= DAY_MIN):
            return int(value)
        clock = re.fullmatch(r" *(\d{1,2}):([0-5]\d) *", value) if isinstance(value, str) else None
        if clock is None or (minutes := int(clock[1]) * 60 + int(clock[2])) > DAY_MIN:
            raise ValueError(f'expected a time of day as "18:00", in quotes; found {value!r}')
        return minutes

    @field_serializer("start", "end")
    def _clock(self, minutes: int) -> str:
        return f"{minutes // 60:02}:{minutes % 60:02}"

    @model_validator(mode="after")
    def _some(self) -> Window:
        if self.start == self.end:
            raise ValueError(
                "from and to are the same time; for a whole day leave both out, or take 00:00 to "
                "24:00"
            )
        return self

    def holds(self, t_utc: float, day: date, zone: ZoneInfo | None) -> bool:
        """Whether a moment lies in the window that begins on a local day."""
        if DAYS[day.weekday()] not in self.days:
            return False
        last = day if self.end > self.start else day + timedelta(1)
        begins = min(_moments(day, self.start, zone))
        return begins <= t_utc < max(_moments(last, self.end, zone))


class Schedule(Config):
    """When alarms are armed."""

    windows: tuple[Window, ...] = ()
    """Armed in any of these; empty: always. A bare list in place of the schedule is this."""
    timezone: str | None = None
    """IANA name of the zone whose time is meant, as Europe/Berlin; by default this machine's."""
    outside: Literal["detection", "nothing"] = "detection"
    """What comes of events outside: they are detections, recorded but quiet; or there are none.
    Scores go on either way."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, values: Any) -> Any:
        return {"windows": values} if isinstance(values, (list, tuple)) else values

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            return value and ZoneInfo(value).key
        except (KeyError, ValueError, OSError):  # OSError: the name of a folder of zones
            raise ValueError(
                f"expected the IANA name of a time zone, as Europe/Berlin or UTC; found {value!r} "
                "(where every name is refused this system lacks the zones: pip install tzdata)"
            ) from None

    def armed(self, t_utc: float) -> bool:
        """Whether alarms are armed at a moment, in seconds since 1970."""
        if not self.windows:
            return True
        zone = ZoneInfo(self.timezone) if self.timezone else None
        today = datetime.fromtimestamp(t_utc, zone).date()
        days = (today, today - timedelta(1))
        return any(window.holds(t_utc, day, zone) for window in self.windows for day in days)


def _range(part: str, value: Any) -> tuple[str, ...]:
    """The days of `mon`, `Monday` or `fri-mon`."""
    ends = [end.strip() for end in part.split("-")]
    at = [next((i for i in range(7) if end in (DAYS[i], NAMES[i])), -1) for end in ends]
    if len(at) > 2 or -1 in at:
        raise ValueError(
            f"expected days as mon, mon-fri or sat, sun (of {', '.join(DAYS)}); found {value!r}"
        )
    return tuple(DAYS[(at[0] + i) % 7] for i in range((at[-1] - at[0]) % 7 + 1))


def _moments(day: date, minutes: int, zone: ZoneInfo | None) -> tuple[float, float]:
    """When the clock shows this, in seconds since 1970: the same twice but where it is set.

    A zone of None is this machine's, which naive times are taken to be of."""
    shown = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)
    first, second = (shown.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return first, second
