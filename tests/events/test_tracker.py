"""What begins, goes on, gets worse and ends; every number by hand, or as a slow twin has it."""

import copy
import math
import pickle
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.calibration.calibrate import GAP_S, separate_peaks
from oddframe.errors import ConfigError
from oddframe.events.event import Box, Event, new_id
from oddframe.events.rules import Rules
from oddframe.events.schedule import Schedule
from oddframe.events.tracker import Moment, Tracker, events_of
from oddframe.events.where import MOST
from oddframe.events.zones import Zone

T0 = 1_789_000_000.0
"""Wall clock at 0 s of the stream: a Thursday, 2026-09-10 00:26:40 UTC."""
NAN = math.nan


def moment(t, level, heat=None, t_utc=None, streams=None, **more):
    streams = {"flow": 3 * level} if streams is None else streams
    wall = T0 + t if t_utc is None else t_utc
    return Moment(wall, t, level, 3 * level, 3.0, streams, heat, 640, 480, **more)


def told(tracker, levels, start=0.0, step=1.0):
    """[(second of the stream, event)] of levels that come at even steps."""
    out = []
    for i, level in enumerate(levels):
        out += [(start + i * step, e) for e in tracker.take(moment(start + i * step, level))]
    return out


def states(found):
    return [(t, e.state) for t, e in found]


def tracker(rules=None, zones=(), **more):
    ids = (lambda n: lambda start: f"{start:.0f}-{next(n)}")(count())
    return Tracker("gate", rules or Rules(), zones, "abc", ids=ids, **more)


def spot(row, column, heat=4.0, rest=0.0, size=64):
    """A heat map with one hot place of 8 x 8 cells."""
    out = np.full((size, size), rest, np.float32)
    out[row : row + 8, column : column + 8] = heat
    return out


LEFT = Zone(name="left", points=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
RIGHT = Zone(name="right", points=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))


def test_an_event_is_told_at_its_first_frame_and_when_the_gap_has_passed():
    camera = tracker()
    levels = [0, 0.9, 1.2, 0.9, 0.5, *[0.1] * 20]
    found = told(camera, levels)
    assert states(found) == [(2, "start"), (14, "end")]  # the last in alarm at 3, 10 s are over
    start, end = (e for _, e in found)
    assert (start.start_utc, start.end_utc, start.ended) == (T0 + 2, None, None)
    assert (end.start_utc, end.end_utc, end.ended) == (T0 + 2, T0 + 3, "calm")
    assert (end.peak_utc, end.peak_level, end.peak_score) == (T0 + 2, 1.2, pytest.approx(3.6))
    assert (end.id, end.camera, end.run, end.severity) == (start.id, "gate", "abc", "alert")
    assert camera.open is None


def test_what_may_become_an_event_has_a_beginning():
    camera = tracker(Rules(min_duration_s=3))
    seen = []
    for t, level in enumerate([0, 1.2, 1.2, 0.1, 1.2, 1.2, 1.2, 1.2, *[0.1] * 11]):
        camera.take(moment(float(t), level))
        seen.append((camera.since_s, camera.open is not None))
    assert seen[:4] == [(None, False), (1.0, False), (1.0, False), (None, False)]
    assert seen[4:8] == [(4.0, False), (4.0, False), (4.0, False), (4.0, True)]
    assert seen[-1] == (None, False)


def test_it_goes_on_between_keep_and_raise_but_does_not_begin_there():
    assert told(tracker(), [0.99] * 50) == []
    found = told(tracker(), [1.0, *[0.8] * 50, *[0.79] * 11])
    assert states(found) == [(0, "start"), (61, "end")]
    assert found[-1][1].end_utc == T0 + 50


@pytest.mark.parametrize(("calm", "events"), [(8, 1), (9, 1), (10, 2), (11, 2)])
def test_bursts_that_are_closer_than_the_gap_are_one(calm, events):
    """So many frames a second apart between them: one more second from frame to frame."""
    camera = tracker()
    found = told(camera, [1.5, *[0.2] * calm, 1.5])
    found += [(0, e) for e in camera.close("stopped")]
    assert [e.state for _, e in found].count("start") == events
    ends = [e for _, e in found if e.state == "end"]
    assert [e.ended for e in ends] == ["calm", "stopped"][-events:]


def test_an_event_may_begin_with_the_frame_that_ends_the_one_before():
    found = told(tracker(), [1.5, 0, 1.5], step=6.0)
    assert states(found) == [(0, "start"), (12, "end"), (12, "start")]
    assert found[0][1].id == found[1][1].id != found[2][1].id


def test_what_does_not_last_is_not_told():
    rules = Rules(min_duration_s=2)
    assert told(tracker(rules), [1.5, 1.5, 0.7, 1.5, 1.5, 0.1, *[0] * 20]) == []
    found = told(tracker(rules), [0.9, 1.1, 1.6, 0.85, *[0] * 12])
    assert states(found) == [(3, "start"), (14, "end")]
    assert found[0][1].start_utc == T0 + 1  # the first at the raise level
    assert (found[0][1].peak_level, found[0][1].peak_utc) == (1.6, T0 + 2)


def test_without_a_score_time_passes_and_nothing_else():
    found = told(tracker(), [1.5, *[NAN] * 9, 0.9, *[NAN] * 12])
    assert states(found) == [(0, "start"), (21, "end")]
    assert found[-1][1].end_utc == T0 + 10
    rules = Rules(min_duration_s=2)
    assert told(tracker(rules), [1.5, NAN, NAN, NAN]) == []  # nobody saw that it lasted
    assert states(told(tracker(rules), [1.5, NAN, NAN, 0.9])) == [(3, "start")]
    assert told(tracker(rules), [1.5, *[NAN] * 11, 0.9, 0.9, 0.9]) == []
    assert told(tracker(), [NAN] * 30) == []


def test_a_gap_ends_an_event_with_its_last_frame_in_alarm():
    camera = tracker()
    told(camera, [1.5, 0.9, 0.2, 0.1])
    (end,) = camera.gap("changed")
    assert (end.state, end.ended, end.end_utc) == ("end", "changed", T0 + 1)
    assert camera.gap("lost") == camera.close("stopped") == []
    assert states(told(camera, [1.5], start=5)) == [(5, "start")]  # no merging over it


def test_a_gap_drops_what_was_not_yet_an_event():
    camera = tracker(Rules(min_duration_s=2))
    assert told(camera, [1.5, 1.5]) == camera.gap("lost") == []
    assert states(told(camera, [1.5, 1.5, 1.5], start=2)) == [(4, "start")]


def test_stamps_that_go_backwards_are_a_gap():
    camera = tracker()
    told(camera, [1.5, 1.4], start=100)
    end, start = camera.take(moment(0.0, 1.2, t_utc=T0 + 103))
    assert (end.ended, end.end_utc) == ("lost", T0 + 101)
    assert (start.state, start.start_utc, start.peak_level) == ("start", T0 + 103, 1.2)
    assert camera.take(moment(0.0, 1.2, t_utc=T0 + 103)) == []  # the same again is none


@pytest.mark.parametrize("jump", [-86400.0, 3600.0])
def test_a_clock_that_is_set_moves_no_event_in_progress(jump):
    camera = tracker()
    (start,) = camera.take(moment(0, 1.2))
    camera.take(moment(1, 1.9, t_utc=T0 + 1 + jump))
    camera.take(moment(2, 1.3, t_utc=T0 + 2 + jump))
    (end,) = camera.close("stopped")
    assert (end.start_utc, end.peak_utc, end.end_utc) == (T0, T0 + 1, T0 + 2)
    assert end.id == start.id


def test_switched_off_an_event_ends_and_none_begins():
    camera = tracker()
    told(camera, [1.5])
    (end,) = camera.armed(False)
    assert (end.ended, end.end_utc) == ("disarmed", T0)
    assert camera.armed(False) == told(camera, [2.0, 2.0], start=1) == []
    assert camera.armed(True) == []
    assert states(told(camera, [2.0], start=3)) == [(3, "start")]


def test_worse_is_told_again_but_not_often():
    rules = Rules(update_s=10, update_by=1.25)
    levels = [1.0, 1.24, 1.3, 2.0, *[0.9] * 8, 2.4, *[0.9] * 9, 2.6, 0.9]
    found = told(tracker(rules), levels)
    assert states(found) == [(0, "start"), (10, "update"), (22, "update")]
    peaks = [(e.peak_level, e.peak_utc - T0) for _, e in found]
    assert peaks == [(1.0, 0), (2.0, 3), (2.6, 22)]  # 2.4 is less than 1.25 times 2
    assert len({e.id for _, e in found}) == 1


def test_no_higher_than_told_is_not_worse():
    assert states(told(tracker(Rules(update_by=1, update_s=0)), [1.5] * 40)) == [(0, "start")]


def test_an_alert_is_told_at_once():
    rules = Rules(alert_level=2)
    found = told(tracker(rules), [1.0, 1.9, 2.0, 1.0, 3.0])
    assert states(found) == [(0, "start"), (2, "update")]
    assert [e.severity for _, e in found] == ["detection", "alert"]


def test_so_soon_after_an_alert_there_are_detections_alone():
    rules = Rules(cool_down_s=60)
    camera = tracker(rules)
    found = told(camera, [2, *[0] * 29, 2, 5, *[0] * 29, 2, *[0] * 11])
    starts = [(t, e.severity) for t, e in found if e.state == "start"]
    assert starts == [(0, "alert"), (30, "detection"), (61, "alert")]  # by the last alert's end
    assert {e.severity for t, e in found if 30 <= t < 61} == {"detection"}  # however high
    assert max(e.peak_level for t, e in found if 30 <= t < 61) == 5
    again = tracker(rules)
    assert [e.severity for _, e in told(again, [1.5] * 70 + [0] * 12 + [2])] == [
        "alert", "alert", "detection",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("away", "severity"),
    [
        (30.0, "detection"),
        (58.9, "detection"),
        (59.1, "alert"),
        (-9e6, "detection"),
        (9e6, "alert"),
    ],
)
def test_the_cool_down_goes_on_over_a_gap_by_the_wall_clock(away, severity):
    camera = tracker(Rules(cool_down_s=60))
    told(camera, [2, 0])
    camera.gap("lost")
    (start,) = camera.take(moment(5000, 2, t_utc=T0 + 1 + away))
    assert start.severity == severity


def test_a_clock_set_back_in_a_gap_makes_no_camera_quiet_for_longer_than_asked():
    camera = tracker(Rules(cool_down_s=60))
    told(camera, [2, 0])
    camera.gap("lost")
    for t in range(59):  # and again while the stream goes on, where it says nothing at all
        assert camera.take(moment(t, 0.0, t_utc=T0 - 9e6 + t - 500 * (t > 30))) == []
    assert camera.take(moment(59.5, 2, t_utc=T0 - 9e6 - 440))[0].severity == "alert"


def test_the_peak_says_where_and_why():
    camera = tracker()
    camera.take(moment(0, 1.1, spot(0, 0)))
    camera.take(moment(1, 2.0, spot(40, 56), streams={"stay": 9.0, "way": NAN, "flow": 8.0}))
    camera.take(moment(2, 1.5, spot(20, 20)))
    event = camera.open
    assert event.state == "start"
    assert event.boxes == (Box(560, 300, 80, 60),)
    assert event.reasons[0] == "something stands here that was not there (right, near)"
    assert event.reasons[1] == "something moves faster than things do here"
    assert event.streams == {"stay": 9.0, "flow": 8.0}
    assert (event.width, event.height, event.threshold) == (640, 480, 3.0)
    assert Event.read(event.plain()) == event


def test_boxes_are_what_is_at_the_keep_level():
    heat = spot(0, 0, heat=6.0)
    heat[32:40, 32:48] = 2.41  # the keep level is 0.8 x 3
    heat[50:60, 0:10] = 2.39
    camera = tracker()
    (start,) = camera.take(moment(0, 2.0, heat, factors={"flow": 2.0}))
    assert start.boxes == (Box(320, 240, 160, 60), Box(0, 0, 80, 60))
    # Where: of the hottest, not the largest.
    assert start.reasons == (
        "something moves 2 times as fast as the fastest usually does here (left, far)",
    )


def test_zones_are_collected_in_their_order_and_a_new_one_is_told():
    camera = tracker(Rules(update_s=5), (LEFT, RIGHT))
    at = [50, 50, 50, 4, 4, 4, 4]
    found = [(t, e) for t, x in enumerate(at) for e in camera.take(moment(t, 1.2, spot(9, x)))]
    assert [(t, e.state, e.zones) for t, e in found] == [
        (0, "start", ("right",)), (5, "update", ("left", "right")),
    ]  # fmt: skip
    assert camera.close("stopped")[0].zones == ("left", "right")
    assert found[-1][1].boxes == (Box(500, 67, 80, 61),)  # still those of the peak


def test_what_an_event_touched_it_has_touched_whatever_is_drawn_meanwhile():
    camera = tracker(Rules(update_s=5), (LEFT, RIGHT))
    camera.take(moment(0, 1.2, spot(9, 50)))
    camera.zones = (LEFT,)  # the other one is taken away while it is open
    camera.take(moment(1, 1.2, spot(9, 4)))
    assert camera.close("stopped")[0].zones == ("right", "left")


def test_with_zones_an_alert_is_what_touches_one():
    yard = LEFT.model_copy(update={"severity": "detection"})
    gate = RIGHT.model_copy(update={"alert_level": 2.0})
    camera = tracker(Rules(), (yard, gate))
    steps = [(1.9, 40), (9.0, 4), (2.0, 40)]
    found = [camera.take(moment(t, x, spot(9, at))) for t, (x, at) in enumerate(steps)]
    assert [[(e.state, e.severity) for e in f] for f in found] == [
        [("start", "detection")], [], [("update", "alert")],
    ]  # fmt: skip
    nowhere = Zone(name="roof", points=((0, 0), (1, 0), (0.5, 0.05)))
    assert tracker(Rules(), (nowhere,)).take(moment(0, 9, spot(30, 30)))[0].severity == "detection"
    assert tracker(Rules(), (LEFT,)).take(moment(0, 9, None))[0].severity == "detection"


def test_what_is_loud_outside_a_zone_does_not_count_for_it():
    """A quiet place in the zone beside a loud one outside: the zone has the quiet one's level."""
    heat = spot(9, 4, heat=9.0)
    heat[40:48, 50:58] = 2.7
    (start,) = tracker(Rules(), (RIGHT,)).take(moment(0, 3.0, heat))
    assert (start.severity, start.zones) == ("detection", ("right",))  # 3.0 x 2.7 / 9 = 0.9
    (start,) = tracker(Rules(), (RIGHT,)).take(moment(0, 3.4, heat))
    assert start.severity == "alert"


def test_what_is_in_a_zone_counts_however_much_is_hot_outside():
    heat = spot(20, 90, heat=4.9, size=128)  # somebody at the gate
    for row in range(5):  # headlights in the rain
        heat[25 * row : 25 * row + 20, 4:24] = 5.0
    (start,) = tracker(Rules(), (RIGHT,)).take(moment(0, 2.5, heat))
    assert (start.severity, start.zones) == ("alert", ("right",))
    assert len(start.boxes) == MOST


def test_zones_at_odds_with_the_rules_are_refused():
    with pytest.raises(ConfigError, match="Two zones"):
        tracker(Rules(), (LEFT, LEFT))


NIGHT = {"windows": [{"from": "00:27", "to": "05:00"}], "timezone": "UTC"}
"""Armed from the 20th second of the made streams on."""


def test_out_of_hours_events_are_quiet_until_alarms_are_armed():
    camera = tracker(schedule=Schedule.read(NIGHT))
    found = told(camera, [0, 0, *[1.5] * 30, *[0] * 12])
    assert [(t, e.state, e.severity) for t, e in found] == [
        (2, "start", "detection"), (20, "update", "alert"), (42, "end", "alert"),
    ]  # fmt: skip


def test_out_of_hours_there_may_be_no_events_at_all():
    plan = Schedule.read({**NIGHT, "outside": "nothing"})
    camera = tracker(schedule=plan)
    assert states(told(camera, [1.5] * 25)) == [(20, "start")]
    late = tracker(schedule=plan)
    hours = 4 * 3600 + 33 * 60 + 20.0  # to 05:00
    found = told(late, [1.5] * 5, start=hours - 2)
    assert [(t - hours, e.state, e.ended) for t, e in found] == [
        (-2, "start", None), (0, "end", "disarmed"),
    ]  # fmt: skip


def test_what_lasts_long_hides_nothing_elsewhere():
    """A car parks and stays; somebody walks by it at once, somebody else comes at night."""
    camera, car, person = tracker(), spot(9, 4), spot(40, 50)
    seen = {60: (1.9, person), 359: (0.9, person), 600: (1.9, person)}
    seen |= {1199: (0.9, person), 1200: (1.9, person)}  # it grows from frame to frame
    found = []
    for t in range(1300):
        level, heat = seen.get(t, (1.0, car))
        found += [(t, e) for e in camera.take(moment(t, level, heat))]
    assert [(t, e.state, e.ended) for t, e in found] == [
        (0, "start", None), (60, "update", None),
        (1200, "end", "long"), (1200, "start", None),
    ]  # fmt: skip
    end, start = (e for _, e in found[2:])
    assert (end.end_utc, start.start_utc) == (T0 + 1199, T0 + 1200)
    assert start.id != end.id
    assert start.boxes == (Box(500, 300, 80, 60),)


def test_where_nobody_knows_where_it_is_an_event_lasts():
    assert states(told(tracker(), [1.5] * 700)) == [(0, "start")]


def test_it_can_be_copied_and_pickled_at_any_moment():
    rng = np.random.default_rng(3)
    levels = np.repeat(rng.choice([0, 0.9, 1.1, 2.0, NAN], 60), 3)
    moments = [moment(float(t), x, spot(9, t % 56)) for t, x in enumerate(levels)]
    rules = Rules(min_duration_s=1, cool_down_s=40, update_s=3, alert_level=1.5)
    plan = Schedule.read({**NIGHT, "outside": "nothing"})
    camera = Tracker("gate", rules, (LEFT, RIGHT), "abc", plan, ids=fixed)
    whole = [e for m in moments for e in copy.deepcopy(camera).take(m)]
    assert whole == []  # a copy that is thrown away remembers nothing
    one, other = copy.deepcopy(camera), camera
    first, second = [], []
    for m in moments:
        one = pickle.loads(pickle.dumps(one))
        first += one.take(m)
        second += other.take(m)
    assert first == second
    assert {e.state for e in first} == {"start", "update", "end"}
    assert {e.severity for e in first} == {"alert", "detection"}


def fixed(start):
    return f"{start:.6f}"


def test_ids_are_frigate_s_by_default():
    (start,) = Tracker("gate", Rules()).take(moment(0, 2))
    assert start.id.startswith(f"{T0:.6f}-")
    assert len(start.id) == len(new_id(T0))


LEVELS = st.lists(
    st.tuples(
        st.sampled_from([0.1, 0.5, 1.0, 3.0, 4.0, 9.0, 10.0, 10.5]),
        st.sampled_from([0.0, 0.5, 0.79, 0.8, 0.9, 0.99, 1.0, 1.1, 1.5, 3.0, NAN]),
    ),
    max_size=60,
)
"""(seconds since the frame before, level)"""
RULES = st.builds(
    Rules,
    merge_gap_s=st.sampled_from([1.0, 3.0, 10.0]), min_duration_s=st.sampled_from([0.0, 0.5, 4.0]),
    keep_level=st.sampled_from([0.5, 0.8, 1.0]),
)  # fmt: skip


def slow_events(pts, levels, rules):
    """Twin: (start, end, peak) of all events, from whole arrays."""
    known = ~np.isnan(levels)
    t, x = pts[known], levels[known]
    kept, begins, gap = x >= rules.keep_level, x >= rules.raise_level, rules.merge_gap_s + 1e-6
    out, i = [], 0
    while begins[i:].any():
        first = i + int(begins[i:].argmax())
        broken = ~kept[first:]  # it must last without a frame below, and without a hole
        broken[1:] |= np.diff(t[first:]) > gap
        stretch = t[first:][: broken.argmax() if broken.any() else None]
        if stretch[-1] - stretch[0] < rules.min_duration_s - 1e-6:
            i = first + len(stretch)
            continue
        alarm = first + np.flatnonzero(kept[first:])
        apart = np.diff(t[alarm]) > gap
        last = alarm[apart.argmax() if apart.any() else -1]
        out.append((t[first], t[last], x[first : last + 1].max()))
        i = last + 1
    return out


@given(LEVELS, RULES)
@settings(max_examples=500, deadline=None)
def test_events_are_those_of_the_slow_twin(steps, rules):
    pts = np.cumsum([dt for dt, _ in steps])
    levels = np.array([x for _, x in steps], float)
    got = events_of(levels, pts, 1.0, rules)
    np.testing.assert_allclose(got, slow_events(pts, levels, rules), rtol=0, atol=1e-9)


SCORES = st.lists(
    st.tuples(
        st.sampled_from([0.1, 1.0, 2.5, 9.0, 10.0, 11.0]),
        st.floats(0, 4) | st.just(NAN) | st.sampled_from([1.6, 2.0]),
    ),
    max_size=80,
)


@given(SCORES, st.sampled_from([GAP_S, 25.0]), st.sampled_from([0.0, 2.0]))
@settings(max_examples=500, deadline=None)
def test_there_are_no_more_events_than_the_calibration_counts_peaks(steps, gap, lasts):
    """What the alarms per day that a RUN states rest on."""
    time_s = np.cumsum([dt for dt, _ in steps]).astype(float)
    scores = np.array([x for _, x in steps], float)
    threshold = 2.0
    rules = Rules(merge_gap_s=gap, min_duration_s=lasts)
    events = events_of(scores, time_s, threshold, rules)
    peaks = separate_peaks(scores, time_s, GAP_S)
    assert len(events) <= np.count_nonzero(peaks >= threshold)
    if gap == GAP_S and not lasts:
        assert bool(events) == bool((peaks >= threshold).any())


def test_with_a_shorter_gap_there_may_be_more_than_that():
    time_s, scores = np.arange(30.0), np.where(np.arange(30) % 6 == 0, 3.0, 0.0)
    peaks = np.count_nonzero(separate_peaks(scores, time_s, GAP_S) >= 2)
    assert len(events_of(scores, time_s, 2.0, Rules(merge_gap_s=3))) == 5 > peaks
    assert len(events_of(scores, time_s, 2.0, Rules())) == 1


@given(
    LEVELS,
    st.lists(st.sampled_from(["take", "take", "take", "gap", "back", "off", "on"]), max_size=60),
    st.sampled_from([0.0, 30.0]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_happens_each_event_is_told_in_order(steps, what, cool):
    """A start, then updates, then one end; times in order; never a severity that falls."""
    camera = tracker(Rules(cool_down_s=cool, alert_level=1.1, update_s=1, min_duration_s=0.4))
    found, t, wall = [], 0.0, T0
    for i, (dt, level) in enumerate(steps):
        act = what[i] if i < len(what) else "take"
        t, wall = t + dt, wall + (dt if i % 7 else -500.0)
        if act == "gap":
            found += camera.gap("lost")
        elif act in ("on", "off"):
            found += camera.armed(act == "on")
        t = 0.0 if act == "back" else t
        found += camera.take(moment(t, level, t_utc=wall))
        assert (camera.open is not None) == (found != [] and found[-1].state != "end")
    found += camera.close("stopped")
    last = None
    for event in found:
        if event.state == "start":
            assert last is None
            assert event.ended is event.end_utc is None
        else:
            assert last is not None
            assert (event.id, event.start_utc) == (last.id, last.start_utc)
            assert event.peak_level >= last.peak_level
            assert (last.severity, event.severity) != ("alert", "detection")
        assert event.start_utc <= event.peak_utc <= (event.end_utc or math.inf)
        assert event.peak_level >= 1
        assert (event.ended is None) == (event.end_utc is None) == (event.state != "end")
        last = None if event.state == "end" else event
    assert last is None


def test_events_of_a_recording_are_in_its_seconds_and_scores():
    scores = [NAN, 0, 3, 5, 1, -7, *[0] * 12, 2, 2.4]
    got = events_of(scores, np.arange(20) / 1.0, 2.0, Rules())
    assert got == [(2, 3, 5), (18, 19, 2.4)]
    assert events_of([], [], 2.0, Rules()) == []
    with pytest.raises(ConfigError, match="above 0, found 0"):
        events_of([1], [1], 0, Rules())
    with pytest.raises(ConfigError, match=r"shapes \(2,\) and \(1,\)"):
        events_of([1, 2], [1], 1, Rules())
