"""The outbox: every sink is told everything, in order, however long it was away."""

import logging
import sqlite3
import threading
import time

import pytest
from storing import T0, Clock, an_event, end, told, update

from oddframe.events.store import OutboxConfig, Store, StoreError
from oddframe.events.store.outbox import FILM_S, FIRST_S, JITTER, LONGEST_S

DAY = 86400.0


@pytest.fixture
def clock():
    return Clock(500.0)


@pytest.fixture
def store(tmp_path, clock):
    with Store(tmp_path, clock=clock, utc=Clock(T0)) as opened:
        yield opened


def keys(store, sink):
    """Of all that waits, in the order of `due` if everything is taken."""
    return [w.key for w in drain(store, sink)]


def drain(store, sink):
    found = []
    while waiting := store.due(sink):
        found.append(waiting)
        store.done(waiting)
    return found


def test_a_message_says_what_was_known_then(store):
    event = an_event()
    store.put(event, ["mqtt", "webhook"])
    store.put(update(event, 2.0), ["mqtt", "webhook"])
    store.put(end(update(event, 2.0)), ["mqtt", "webhook"])
    for sink in ("mqtt", "webhook"):
        start, louder, over = drain(store, sink)
        assert [start.key, louder.key, over.key] == [
            f"{event.id}/start", f"{event.id}/update/1", f"{event.id}/end",
        ]  # fmt: skip
        assert start.event == event
        assert (louder.event.state, louder.event.peak_level) == ("update", 2.0)
        assert over.event == end(update(event, 2.0))
    assert store.due("nobody") is None


def test_it_stays_due_until_something_was_said_of_it(store):
    store.put(an_event(), ["mqtt"])
    first = store.due("mqtt")
    assert store.due("mqtt") == first
    assert store.backlog("mqtt") == (1, T0)
    store.done(first)
    assert store.due("mqtt") is None
    assert store.backlog("mqtt") == (0, None)


def test_receipts_come_back_with_later_messages_of_the_event(tmp_path):
    event, other = an_event(0), an_event(1)
    with Store(tmp_path) as store:
        store.put(event, ["frigate"])
        store.put(other, ["frigate"])
        store.put(end(event), ["frigate"])
        start = store.due("frigate")
        assert start.receipts == {}
        store.done(start, {"id": "1-xy"})
    with Store(tmp_path) as store:
        assert store.due("frigate").receipts == {}  # of the other one
        store.done(store.due("frigate"), {"id": "2-ab"})
        over = store.due("frigate")
        assert (over.event.state, over.receipts) == ("end", {"id": "1-xy"})
        store.done(over, {"ended": True})
        store.put(an_event(2), ["frigate"])
        rows = store.database.read("SELECT values_json FROM receipts ORDER BY event_id")
        assert rows[0][0] == '{"id":"1-xy","ended":true}'


def test_an_event_that_waits_for_a_retry_holds_itself_up_and_no_other(store, clock):
    one, two = an_event(0), an_event(1)
    for event in (one, two):
        store.put(event, ["mqtt"])
    store.put(end(one), ["mqtt"])
    store.later(store.due("mqtt"), "no answer")
    seen = []
    while waiting := store.due("mqtt"):
        seen.append(waiting.key)
        store.done(waiting)
    assert seen == [f"{two.id}/start"]  # and not the end of the first one
    clock += 2.0
    assert keys(store, "mqtt") == [f"{one.id}/start", f"{one.id}/end"]


def test_delays_double_up_to_five_minutes(store, clock):
    store.put(an_event(), ["mqtt"])
    expected = FIRST_S
    for tries in range(14):
        waiting = store.due("mqtt")
        assert waiting.tries == tries
        delay = store.later(waiting, "no answer")
        assert expected * (1 - JITTER) <= delay <= expected * (1 + JITTER)
        clock += delay - 0.01
        assert store.due("mqtt") is None
        clock += 0.02
        expected = min(LONGEST_S, 2 * expected)
    assert expected == LONGEST_S


def test_delays_are_not_all_alike(store):
    delays = []
    for index in range(20):
        store.put(an_event(index), ["mqtt"])
        delays.append(store.later(store.due("mqtt"), ""))
    assert len(set(delays)) > 15


def test_after_a_restart_all_is_due_and_tries_are_remembered(tmp_path, clock):
    with Store(tmp_path, clock=clock) as store:
        store.put(an_event(), ["mqtt"])
        for _ in range(6):
            store.later(store.due("mqtt", clock() + 1e6), "no answer")
        assert store.due("mqtt") is None
    with Store(tmp_path, clock=clock) as store:
        waiting = store.due("mqtt")
        assert waiting.tries == 6
        assert store.later(waiting, "") > 60 * (1 - JITTER)


@pytest.mark.parametrize("step", [-3e8, 3e8], ids=["set back ten years", "set ahead ten years"])
def test_a_clock_that_is_set_moves_no_retry_and_loses_nothing(tmp_path, step):
    clock, utc = Clock(), Clock(T0)
    with Store(tmp_path, clock=clock, utc=utc) as store:
        store.put(an_event(), ["mqtt"])
        delay = store.later(store.due("mqtt"), "no answer")
        utc += step
        assert store.due("mqtt") is None
        store.put(an_event(1), ["mqtt"])
        clock += delay
        assert keys(store, "mqtt") == [f"{an_event(i).id}/start" for i in range(2)]


def test_of_several_updates_that_wait_the_newest_is_sent(store):
    event = an_event()
    store.put(event, ["mqtt", "webhook"])
    store.done(store.due("webhook"))
    for level in (2.0, 3.0, 4.0):
        store.put(update(event, level), ["mqtt", "webhook"])
    assert store.backlog("mqtt").messages == 2
    assert store.count("mqtt", "superseded") == 2
    store.put(end(event), ["mqtt", "webhook"])
    assert told(store, "mqtt") == ["start", "update/3", "end"]
    assert told(store, "webhook") == ["update/3", "end"]


def test_an_update_that_is_under_way_may_be_overtaken(store):
    event = an_event()
    store.put(event, ["mqtt"])
    store.done(store.due("mqtt"))
    store.put(update(event, 2.0), ["mqtt"])
    under_way = store.due("mqtt")
    store.put(update(event, 3.0), ["mqtt"])
    store.later(under_way, "no answer")  # it need not be tried again
    assert store.due("mqtt").event.peak_level == 3.0
    assert told(store, "mqtt") == ["update/2"]
    store.put(update(event, 4.0), ["mqtt"])
    under_way = store.due("mqtt")
    store.put(update(event, 5.0), ["mqtt"])
    store.done(under_way)
    assert told(store, "mqtt") == ["update/4"]
    assert store._next["mqtt"] == {}  # nothing is remembered for ever


def test_a_refused_message_is_kept_aside_and_said(store, caplog):
    event = an_event()
    store.put(event, ["mqtt"])
    store.put(end(event), ["mqtt"])
    with caplog.at_level(logging.WARNING):
        store.refuse(store.due("mqtt"), "no such camera")
    assert "mqtt refused" in caplog.text
    assert "no such camera" in caplog.text
    (aside,) = store.aside("mqtt")
    assert (aside.key, aside.fate, aside.why) == (f"{event.id}/start", "refused", "no such camera")
    assert store.backlog("mqtt").messages == 1
    assert told(store, "mqtt") == ["end"]
    row = store.database.read("SELECT payload FROM outbox WHERE fate = 'refused'")
    assert event.id in row[0][0]  # what it was about can still be read


def test_whoever_hears_of_an_event_late_hears_its_start(store):
    event = an_event(severity="detection")
    store.put(event, ["jsonl"])
    store.put(update(event, 4.0), ["jsonl", "pager"])  # it became an alert
    first = store.due("pager")
    assert (first.key, first.event.state) == (f"{event.id}/start", "start")
    assert first.event.peak_level == 4.0
    store.put(update(event, 5.0), ["jsonl", "pager"])
    store.put(end(event), ["jsonl"])  # as a detection again, which the pager does not want
    assert told(store, "pager") == ["start", "update/2", "end"]


def test_a_start_that_met_a_full_disk_is_told_with_the_update(store):
    store.put(update(an_event(), 2.0), ["mqtt"])
    assert told(store, "mqtt") == ["start"]


def test_all_is_due_at_once_when_a_sink_is_back(store):
    for index in range(3):
        store.put(an_event(index), ["mqtt"])
        store.later(store.due("mqtt"), "down")
    assert store.due("mqtt") is None
    store.hurry("mqtt")
    assert len(drain(store, "mqtt")) == 3


# ---- limits


def test_too_many_messages_lose_the_oldest_counted_and_said(tmp_path, caplog):
    with Store(tmp_path, limits=OutboxConfig(most=5)) as store:
        with caplog.at_level(logging.WARNING):
            for index in range(8):
                store.put(an_event(index), ["mqtt"])
        assert store.backlog("mqtt").messages == 5
        assert store.count("mqtt", "dropped") == 3
        assert [a.key for a in store.aside("mqtt")] == [
            f"{an_event(i).id}/start" for i in (2, 1, 0)
        ]
        assert caplog.text.count("messages dropped") == 3
        assert keys(store, "mqtt")[0] == f"{an_event(3).id}/start"


def test_an_end_whose_start_was_told_is_never_dropped(tmp_path):
    with Store(tmp_path, limits=OutboxConfig(most=5)) as store:
        store.put(an_event(), ["mqtt"])
        store.done(store.due("mqtt"))
        store.put(end(an_event()), ["mqtt"])
        for index in range(1, 20):
            store.put(an_event(index), ["mqtt"])
        waiting = keys(store, "mqtt")
    assert waiting == [f"{an_event().id}/end"] + [f"{an_event(i).id}/start" for i in range(15, 20)]


def test_old_messages_of_an_earlier_process_are_dropped(tmp_path, caplog):
    utc = Clock(T0)
    with Store(tmp_path, utc=utc) as store:
        store.put(an_event(), ["mqtt", "gone"])
    utc += 8 * DAY
    with Store(tmp_path, utc=utc) as store, caplog.at_level(logging.WARNING):
        store.put(an_event(1), ["mqtt"])
        assert store.count("mqtt", "dropped") == 1
        assert "1 messages dropped" in caplog.text
        assert keys(store, "mqtt") == [f"{an_event(1).id}/start"]


def test_old_messages_of_this_process_are_dropped_by_its_own_clock(tmp_path):
    clock, utc = Clock(), Clock(T0)
    with Store(tmp_path, clock=clock, utc=utc) as store:
        store.put(an_event(), ["mqtt"])
        for seconds in (6 * DAY, 1.5 * DAY):
            assert store.count("mqtt", "dropped") == 0
            clock += seconds
            utc += seconds
            store.put(an_event(int(seconds)), ["mqtt"])
        assert store.count("mqtt", "dropped") == 1


# ---- what it costs, and trouble


def test_ten_thousand_waiting_messages_are_looked_through_quickly(store):
    store.put(an_event(), ["mqtt"])
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)"
    columns = [r["name"] for r in store.database.read("PRAGMA table_info(events)")]
    others = ", ".join("id || i" if name == "id" else name for name in columns)
    with store.database.write() as con:
        con.execute(f"{numbers} INSERT INTO events SELECT {others} FROM events, n")
        con.execute(
            f"{numbers} INSERT INTO outbox (sink, event_id, state, key, payload, put_utc)"
            " SELECT sink, event_id || i, state, key || i, payload, put_utc FROM outbox, n"
        )
    assert store.backlog("mqtt").messages == 10_000
    store._next["mqtt"] = {r["id"]: 1e9 for r in store.database.read("SELECT id FROM outbox")}
    began = time.process_time()
    assert store.due("mqtt") is None
    assert time.process_time() - began < 0.3  # it takes 0.03
    began = time.process_time()
    store.put(an_event(1), ["mqtt"])
    assert time.process_time() - began < 0.1  # 0.002; 0.006 without an index of its own


def test_a_try_is_put_off_though_the_disk_is_full(store, monkeypatch):
    store.put(an_event(), ["mqtt"])
    waiting = store.due("mqtt")

    def full(durable=True):
        raise StoreError("full")

    with monkeypatch.context() as patch:
        patch.setattr(store._db, "write", full)
        assert store.later(waiting, "no answer") > 0
        assert store.due("mqtt") is None
        with pytest.raises(StoreError):
            store.done(waiting)
    store.hurry("mqtt")
    assert store.due("mqtt") == waiting


def test_a_courier_that_waits_for_news_is_woken(store):
    known = store.news(-1, 0)
    assert store.news(known, 0.05) == known
    threading.Timer(0.1, store.put, (an_event(), ["mqtt"])).start()
    began = time.monotonic()
    assert store.news(known, 5.0) == known + 1
    assert time.monotonic() - began < 2.0
    assert store.news(known, 5.0) == known + 1  # what came in between is not missed


def test_keys_are_unique_per_sink(store):
    store.put(an_event(), ["mqtt", "mqtt"])
    assert store.backlog("mqtt").messages == 1
    with pytest.raises(sqlite3.IntegrityError), store.database.write() as con:
        con.execute(
            "INSERT INTO outbox (sink, event_id, state, key, payload, put_utc)"
            " SELECT sink, event_id, state, key, payload, put_utc FROM outbox"
        )


def test_an_end_waits_for_its_clip_so_that_it_names_it(store, clock):
    event, other = an_event(0), an_event(1)
    store.put(event, ["mqtt"])
    assert told(store, "mqtt") == ["start"]
    store.put(end(event), ["mqtt"], film=True)
    store.put(other, ["mqtt"])
    assert told(store, "mqtt") == ["start"], "another event waits for a clip that is not its own"
    clock += FILM_S / 2
    assert store.due("mqtt") is None
    known = store.news(-1, 0)
    store.attach(event.id, clip="clips/gate/1.webm")
    assert store.news(known, 0) != known, "nobody was woken"
    assert [w.event.clip for w in drain(store, "mqtt")] == ["clips/gate/1.webm"]


@pytest.mark.parametrize("over", ["time", "no more clips", "there before", "not asked for"])
def test_an_end_waits_no_longer_than_it_has_to(store, clock, over):
    event = an_event()
    store.put(event, ["mqtt"])
    told(store, "mqtt")
    if over == "there before":
        store.attach(event.id, clip="clips/gate/1.webm")
    store.put(end(event), ["mqtt"], film=over != "not asked for")
    if over == "time":
        assert store.due("mqtt") is None
        clock += FILM_S
    elif over == "no more clips":
        assert store.due("mqtt") is None
        store.no_films()
    assert told(store, "mqtt") == ["end"]
