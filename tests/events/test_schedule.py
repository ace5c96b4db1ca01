"""Windows of local time: over midnight, over the weekend, over changes of the clock."""

import copy
import pickle
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.errors import ConfigError
from oddframe.events.schedule import DAYS, Schedule, Window

BERLIN = ZoneInfo("Europe/Berlin")


def schedule(*windows, timezone="Europe/Berlin", **more):
    return Schedule.read({"windows": windows, "timezone": timezone, **more})


def at(text, zone=BERLIN, fold=0):
    """Seconds since 1970 of a local time; 2026-03-02 is a Monday."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def test_without_windows_it_is_always_armed():
    assert Schedule().armed(0.0)
    assert Schedule().outside == "detection"


@pytest.mark.parametrize(
    ("when", "armed"),
    [
        ("2026-03-02 17:59:59", False),
        ("2026-03-02 18:00", True),
        ("2026-03-03 06:59:59", True),
        ("2026-03-03 07:00", False),
        ("2026-03-07 03:00", True),  # Saturday: Friday's window
        ("2026-03-07 18:30", False),
        ("2026-03-02 03:00", False),  # Monday: Sunday has none
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_begins(when, armed):
    night = schedule({"days": "mon-fri", "from": "18:00", "to": "07:00"})
    assert night.armed(at(when)) is armed


def test_several_windows_and_whole_days():
    plan = schedule(
        {"days": "sat, Sunday"}, {"days": ["wed"], "from": "6:30", "to": "24:00"},
        {"days": "wed", "from": "01:00", "to": "02:00"},
    )  # fmt: skip
    assert plan.windows[0].days == ("sat", "sun")
    armed = ["07 00:00", "08 23:59", "04 06:30", "04 23:59", "04 01:30"]
    assert all(plan.armed(at(f"2026-03-{t}")) for t in armed)
    quiet = ["09 00:00", "04 06:29", "05 00:00", "04 02:00"]
    assert not any(plan.armed(at(f"2026-03-{t}")) for t in quiet)


def test_days_run_over_the_end_of_the_week():
    assert Window.read({"days": "fri-mon"}).days == ("mon", "fri", "sat", "sun")
    assert Window.read({"days": "tue-tue"}).days == ("tue",)
    assert Window.read({}).days == DAYS


def test_times_may_stand_in_yaml_without_quotes():
    """PyYAML reads 18:00 as 1080, and 07:00 as text."""
    read = yaml.safe_load("windows: [{days: mon-fri, from: 18:00, to: 07:00}]")
    assert read["windows"][0]["from"] == 1080
    window = Schedule.read(read).windows[0]
    assert (window.start, window.end) == (18 * 60, 7 * 60)


@pytest.mark.parametrize("hours", ["from: 18, to: 7", "from: 8, to: 17", "from: 0, to: 24"])
def test_hours_alone_are_no_minutes(hours):
    with pytest.raises(ConfigError, match='expected a time of day as "18:00", in quotes'):
        Schedule.read(yaml.safe_load(f"windows: [{{{hours}}}]"))


def test_what_was_read_is_read_again():
    """Minutes below an hour too, which nobody writes as a number."""
    for begin, end in (("00:30", "00:59"), ("23:00", "00:00"), ("00:00", "24:00")):
        plan = schedule({"days": "tue", "from": begin, "to": end})
        assert Schedule.read(plan.model_dump()) == plan
        assert Schedule.read(plan.model_dump(mode="json", by_alias=True)) == plan


def test_the_hour_that_is_there_twice_is_armed_once_and_whole():
    """25 October 2026: at 03:00 clocks go back to 02:00."""
    to, begin = (
        schedule({"from": "22:00", "to": "02:30"}),
        schedule({"from": "02:30", "to": "04:00"}),
    )
    begins = at("2026-10-25 01:00")
    armed = [[plan.armed(begins + 60 * m) for m in range(240)] for plan in (to, begin)]
    # 01:00, 02:00 summer, 02:00 winter, 03:00: until the second 02:30, from the first 02:30 on.
    assert armed[0] == [True] * 150 + [False] * 90
    assert armed[1] == [False] * 90 + [True] * 150


def test_the_hour_that_is_not_there_makes_no_hole():
    """29 March 2026: at 02:00 clocks go on to 03:00."""
    begins = at("2026-03-29 01:00")
    through = schedule({"from": "22:00", "to": "06:00"})
    assert all(through.armed(begins + 60 * m) for m in range(180))
    until = schedule({"from": "22:00", "to": "02:30"})
    assert until.armed(at("2026-03-29 01:59"))
    assert not until.armed(at("2026-03-29 04:00"))


def test_nights_are_as_long_as_the_clock_makes_them():
    night = schedule({"from": "22:00", "to": "06:00"})

    def hours(start):
        return sum(night.armed(at(start) + 60 * m) for m in range(24 * 60)) / 60

    assert hours("2026-03-02 12:00") == 8
    assert hours("2026-03-28 12:00") == 7
    assert hours("2026-10-24 12:00") == 9


@given(
    st.sets(st.sampled_from(DAYS), min_size=1), st.integers(0, 1439), st.integers(0, 1440),
    st.integers(0, 14 * 1440),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_in_a_zone_without_changes_it_is_arithmetic(days, start, end, minute):
    if start == end:
        return
    begins, ends = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (start, end))
    plan = schedule({"days": sorted(days), "from": begins, "to": ends}, timezone="UTC")
    begin = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
    armed = set()
    for day in range(-7, 15):
        if DAYS[day % 7] in days:
            length = (end - start) % 1440 or 1440
            armed.update(range(day * 1440 + start, day * 1440 + start + length))
    assert plan.armed((begin + timedelta(minutes=minute)).timestamp()) is (minute in armed)


def test_by_default_it_is_the_machine_s_time(monkeypatch):
    plan = schedule({"from": "18:00", "to": "19:00"}, timezone=None)
    try:
        for zone, armed in (("Europe/Berlin", True), ("UTC", False)):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert plan.armed(at("2026-07-01 18:30")) is armed
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        twice = schedule({"from": "22:00", "to": "02:30"}, timezone=None)
        assert twice.armed(at("2026-10-25 02:29", fold=1))
        assert not twice.armed(at("2026-10-25 02:30", fold=1))
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"timezone": "Mars/Base"}, "IANA name.*found 'Mars/Base'"),
        ({"timezone": "Europe"}, "IANA name"),
        ({"timezone": "../etc/passwd"}, "IANA name"),
        ({"windows": [{"days": "mon-noday"}]}, "expected days as mon, mon-fri.*'mon-noday'"),
        ({"windows": [{"days": ""}]}, "expected days"),
        ({"windows": [{"days": "mon-tue-wed"}]}, "expected days"),
        ({"windows": [{"from": "25:00"}]}, "expected a time of day.*'25:00'"),
        ({"windows": [{"to": "18"}]}, "expected a time of day"),
        ({"windows": [{"to": 64800}]}, 'as "18:00", in quotes; found 64800'),
        ({"windows": [{"to": True}]}, "expected a time of day"),
        ({"windows": [{"from": "24:00", "to": "07:00"}]}, "from"),
        ({"windows": [{"from": "07:00", "to": "7:00"}]}, "the same time"),
        ({"windows": [{"until": "07:00"}]}, "until"),
        ({"outside": "quiet"}, "'detection' or 'nothing'"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(values, words):
    with pytest.raises(ConfigError, match=words):
        Schedule.read(values)


def test_it_is_written_down_and_read_again():
    plan = schedule({"days": "mon-fri", "from": "18:00", "to": "07:00"}, outside="nothing")
    assert Schedule.read(plan.model_dump()) == plan
    assert Schedule.read(plan.model_dump(mode="json", by_alias=True)) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan == copy.deepcopy(plan)
    assert Schedule.model_validate([{"days": "sat"}]).windows[0].days == ("sat",)
