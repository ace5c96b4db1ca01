"""The store: what was put is there once, whole, and after whatever happened."""

import os
import threading
import time
from dataclasses import fields, replace

import numpy as np
import pytest
from storing import T0, Clock, an_event, end, told, update

from oddframe.events.event import Box, Event
from oddframe.events.store import Calibration, Store, StoreError


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as opened:
        yield opened


# ---- events


def test_an_event_comes_back_as_it_went_in(store):
    event = an_event()
    assert store.put(event)
    assert store.event(event.id) == event
    done = end(update(event, 2.5))
    assert store.put(done)
    assert store.event(event.id) == done
    assert store.event("1.0-none") is None


def test_numbers_of_numpy_are_stored_as_numbers(store):
    event = an_event(
        peak_level=np.float32(1.5), peak_score=np.float32(6), boxes=(Box(*np.int64([1, 2, 3, 4])),),
        streams={"motion": np.float32(2.5)}, width=np.int64(640),
    )  # fmt: skip
    store.put(event, ["mqtt"])
    found = store.event(event.id)
    assert (found.peak_level, found.streams, found.boxes[0].w) == (1.5, {"motion": 2.5}, 3)
    assert store.due("mqtt").event == found


def test_the_same_again_does_nothing(store):
    event = an_event()
    louder = update(event, 2.0)
    for told_again, new in [
        (event, True), (event, False), (louder, True), (louder, False), (event, False),
        (update(event, 3.0), True), (end(event), True), (end(event), False),
    ]:  # fmt: skip
        assert store.put(told_again, ["mqtt"]) is new, told_again.state
    assert [e.id for e in store.events()] == [event.id]
    assert told(store, "mqtt") == ["start", "update/2", "end"]


def test_an_event_that_has_ended_is_never_opened_again(store):
    event = an_event()
    store.put(event)
    store.put(end(event, 3.0))
    assert not store.put(update(event, 9.0))
    assert not store.put(end(event, 99.0))
    store.touch(event.id, T0 + 1e6)
    found = store.event(event.id)
    assert (found.state, found.end_utc, found.peak_level) == ("end", T0 + 3.0, 1.25)


def test_files_are_entered_and_stay(store):
    event = an_event()
    store.put(event, ["mqtt"])
    assert store.attach(event.id, snapshot="snapshots/gate/a.jpg")
    store.put(end(event))
    assert store.attach(event.id, clip="clips/gate/a.webm")
    found = store.event(event.id)
    assert (found.snapshot, found.clip) == ("snapshots/gate/a.jpg", "clips/gate/a.webm")
    assert store.due("mqtt").event.clip == "clips/gate/a.webm"  # what waits takes it along
    assert not store.attach("1.0-none", clip="x")


def test_pages_of_events_newest_first(store):
    for index in range(25):
        store.put(end(an_event(index)))
    first = store.events(limit=10)
    second = store.events(limit=10, before=first[-1].id)
    third = store.events(limit=10, before=second[-1].id)
    starts = [e.start_utc for e in first + second + third]
    assert starts == [T0 + 10 * i for i in reversed(range(25))]


def test_events_are_found_by_camera_time_and_verdict(store):
    gate, yard, late = an_event(0), an_event(1, camera="yard"), an_event(100)
    for event in (gate, yard, late):
        store.put(event)
    store.put(end(gate, 8.0))
    store.verdict(yard.id, "real")

    def ids(**wanted):
        return [e.id for e in store.events(**wanted)]

    assert ids(camera="yard") == [yard.id]
    assert ids(since=T0 + 8.1) == [late.id, yard.id]  # open ones reach into any time
    assert ids(since=T0 + 8.0, until=T0 + 5.0 + 0.1) == [gate.id]
    assert ids(until=T0 + 10.0) == [gate.id]
    assert ids(verdict="real") == [yard.id]
    assert ids(verdict="none") == [late.id, gate.id]
    assert ids(verdict="false_alarm") == []


def test_verdicts(tmp_path):
    utc = Clock(T0 + 77)
    with Store(tmp_path, utc=utc) as store:
        event = an_event()
        store.put(event)
        assert store.verdict(event.id, "false_alarm", "a spider")
        store.put(update(event, 2.0))  # what goes on does not take it back
        record = store.record(event.id)
        assert (record.verdict, record.verdict_utc, record.note) == (
            "false_alarm", T0 + 77, "a spider",
        )  # fmt: skip
        store.verdict(event.id, None)
        record = store.record(event.id)
        assert (record.verdict, record.verdict_utc, record.note) == (None, None, "a spider")
        assert not store.verdict("1.0-none", "real")
        with pytest.raises(StoreError, match=r"real or false_alarm.*'maybe'"):
            store.verdict(event.id, "maybe")


# ---- what a kill leaves


def test_events_left_open_end_where_they_were_last_seen(tmp_path):
    clock = Clock()
    quiet, seen, over = an_event(0), an_event(1), an_event(2)
    with Store(tmp_path, clock=clock) as store:
        for event in (quiet, seen, over):
            store.put(event, ["mqtt", "webhook"])
        store.put(end(over), ["mqtt", "webhook"])
        for second in range(21):
            store.touch(seen.id, seen.start_utc + second)
            clock += 1.0
    with Store(tmp_path) as store:
        closed = store.close_left_open()
        assert [(e.id, e.state, e.ended) for e in closed] == [
            (quiet.id, "end", "killed"), (seen.id, "end", "killed"),
        ]  # fmt: skip
        assert store.event(quiet.id).end_utc == quiet.peak_utc
        assert store.event(seen.id).end_utc == seen.start_utc + 20
        assert store.event(over.id).ended == "calm"
        assert told(store, "webhook").count("end") == 3
        assert store.close_left_open() == []


def test_signs_of_an_open_event_are_written_every_five_seconds(store):
    event = an_event()
    store.put(event)
    clock = Clock(1000.0)
    store._clock = clock
    writes = []
    store._db._writer.set_trace_callback(lambda sql: writes.append(sql) if "seen" in sql else None)
    for tenth in range(200):
        store.touch(event.id, T0 + tenth / 10)
        clock += 0.1
    assert 3 <= len(writes) <= 5


# ---- minutes, gaps, notes


def test_minutes_are_counted_and_long_timelines_are_coarse(store):
    for second in range(0, 180):
        if second // 60 == 1:
            continue  # a minute without score
        store.minute("gate", T0 + second, 0.5 + (second == 130), dropped=2)
    store.minute("gate", T0 + 179.5, float("nan"), dropped=50)
    store.minute("yard", T0, 0.1)
    store.flush()
    first = T0 // 60 * 60
    found = store.minutes("gate", T0 - 60, T0 + 600)
    assert sum(m.frames for m in found) == 120
    assert sum(m.dropped for m in found) == 240
    assert [m.t_utc - first for m in found] == [0, 60, 120, 180]  # T0 lies in a minute
    assert max(m.level_max for m in found) == 1.5
    hour = store.minutes("gate", T0 - 3600, T0 + 3600, step_s=3600)
    assert sum(m.frames for m in hour) == 120
    mean = sum(m.frames * m.level_mean for m in hour) / 120
    assert mean == pytest.approx((119 * 0.5 + 1.5) / 120)
    assert store.left_off("gate") == first + 240
    assert store.left_off("roof") is None


def test_a_minute_that_two_processes_saw_is_one_row(tmp_path):
    for level in (0.2, 0.8):
        with Store(tmp_path) as store:
            for _ in range(30):
                store.minute("gate", T0, level, dropped=1)
    with Store(tmp_path) as store:
        (minute,) = store.minutes("gate", T0 - 60, T0 + 60)
    assert (minute.frames, minute.dropped, minute.level_max) == (60, 60, 0.8)
    assert minute.level_mean == pytest.approx(0.5)


def test_gaps_begin_once_and_end_once(store):
    store.gap_begins("gate", T0, "lost")
    store.gap_begins("gate", T0 + 5, "moved")
    store.gap_begins("yard", T0 + 1, "stopped")
    store.gap_ends("gate", T0 + 60)
    store.gap_ends("gate", T0 + 90)
    store.gap_begins("gate", T0 + 100, "moved")
    store.gap_ends("gate", T0 + 40)  # the clock was set back meanwhile
    found = [(g.start_utc - T0, g.end_utc - T0, g.why) for g in store.gaps("gate")]
    assert found == [(0, 60, "lost"), (100, 100, "moved")]
    assert [g.camera for g in store.gaps(since=T0 + 70)] == ["yard", "gate"]
    assert [g.camera for g in store.gaps(until=T0 + 1)] == ["gate"]


def test_small_things_and_calibrations_survive_a_restart(tmp_path):
    first = Calibration("gate", "a1", 4.5, 0.5, 2.5, 48.0, T0, "fitted")
    with Store(tmp_path) as store:
        assert store.recall("gate", "armed", True) is True
        store.remember("gate", "armed", False)
        store.remember("yard", "armed", True)
        one = store.calibrate(first)
        two = store.calibrate(replace(first, threshold=5.0, why="drift"))
        store.calibrate(replace(first, model_hash="b2", light="infrared"))
    with Store(tmp_path) as store:
        assert store.recall("gate", "armed") is False
        found = store.calibrations("gate", "a1")
        assert [(c.id, c.threshold, c.why) for c in found] == [
            (two, 5.0, "drift"), (one, 4.5, "fitted"),
        ]  # fmt: skip
        assert found[1] == replace(first, id=one)
        assert [c.light for c in store.calibrations("gate")] == ["infrared", "", ""]


# ---- threads and processes


def test_threads_put_and_read_at_once(store):
    errors = []

    def work(number):
        try:
            for i in range(25):
                event = an_event(100 * number + i, camera=f"c{number}")
                store.put(event, ["mqtt"])
                store.put(end(event), ["mqtt"])
                assert store.event(event.id).state == "end"
                store.minute(f"c{number}", T0 + i, 0.5)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(t.is_alive() for t in threads):
        found = store.events(limit=1000)
        assert len(found) >= seen
        seen = len(found)
        time.sleep(0.01)
    assert not errors
    assert len(store.events(limit=1000)) == 100
    assert store.backlog("mqtt").messages == 200


def test_one_process_holds_a_store_and_others_read(tmp_path):
    with Store(tmp_path) as store:
        store.put(an_event())
        with pytest.raises(
            StoreError, match=rf"in use by another oddframe \(process {os.getpid()}"
        ):
            Store(tmp_path)
        with Store.read_only(tmp_path) as reader:
            assert [e.id for e in reader.events()] == [an_event().id]
            store.put(an_event(1))
            assert len(reader.events()) == 2
            for write in (
                lambda: reader.put(an_event(2)), lambda: reader.verdict(an_event().id, "real"),
                lambda: reader.gap_begins("gate", T0, "x"),
            ):  # fmt: skip
                with pytest.raises(StoreError, match="for reading only"):
                    write()
        with Store(tmp_path, lock=False) as other:  # a verdict from the command line
            other.verdict(an_event().id, "real")
        assert store.record(an_event().id).verdict == "real"
    with Store(tmp_path):
        pass  # the lock went with the one that held it


def test_a_reader_needs_a_store(tmp_path):
    with pytest.raises(StoreError, match=r"events\.db is missing"):
        Store.read_only(tmp_path)


def test_a_closed_store_says_so(tmp_path):
    store = Store(tmp_path)
    store.close()
    store.close()
    for use in (lambda: store.put(an_event()), store.events, lambda: store.due("mqtt")):
        with pytest.raises(StoreError, match="closed"):
            use()


def test_what_is_acknowledged_is_synced_and_minutes_are_not(store):
    seen = []
    store._db._writer.set_trace_callback(seen.append)
    store.put(an_event())
    store.minute("gate", T0, 0.5)
    store.flush()
    store.put(an_event(1))
    modes = [s for s in seen if "synchronous" in s]
    assert modes == ["PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL"]


def test_every_field_of_an_event_is_kept(store):
    """One that is added to Event needs a column, or it is lost at the next restart."""
    event = end(an_event(snapshot="a.jpg", clip="a.webm"))
    for field in fields(Event):
        assert getattr(event, field.name) not in (field.default, None), f"{field.name} is not set"
    store.put(event)
    assert store.event(event.id) == event
