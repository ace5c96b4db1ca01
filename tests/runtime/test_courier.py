"""Couriers with the real store: what a sink does wrong stays that sink's trouble."""

import itertools
import threading
import time

import pytest

from oddframe.errors import ConfigError
from oddframe.events.event import Event
from oddframe.events.store import Store, StoreError
from oddframe.runtime import courier as courier_module
from oddframe.runtime.courier import Courier, stop_all
from oddframe.sinks.base import Later, Refused, Sink, SinkConfig

START = 1_789_000_000.0


def event(number=0, state="start"):
    at = START + number
    return Event(
        id=f"{at:.6f}-a1b2c3", camera="gate", state=state, severity="alert", start_utc=at,
        end_utc=at + 5 if state == "end" else None, peak_utc=at + 1, peak_level=2.0,
        peak_score=0.2, threshold=0.1, width=64, height=48,
    )  # fmt: skip


class Stub(Sink):
    """Does with each message what `does` says: an exception is raised, a function called."""

    def __init__(self, *does, start=()):
        super().__init__(SinkConfig(kind="stub"))
        self.does, self.starts = list(does), list(start)
        self.tried, self.taken, self.closed = [], [], 0
        self.receipts, self.numbers = [], []
        self.thread = None

    def start(self):
        if self.starts:
            raise self.starts.pop(0)

    def send(self, message):
        self.tried.append(message.key)
        self.receipts.append(dict(message.receipts))
        self.numbers.append(message.number)
        self.thread = threading.current_thread()
        step = self.does.pop(0) if self.does else None
        if isinstance(step, Exception):
            raise step
        out = step(message) if step else None
        self.taken.append(message.key)
        return out

    def close(self):
        self.closed += 1


def until(true, seconds=5.0):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.005)
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(courier_module, "FIRST_S", 0.02)
    monkeypatch.setattr(courier_module, "IDLE_S", 0.02)
    monkeypatch.setattr(courier_module, "GLANCE_S", 0.02)
    monkeypatch.setattr("oddframe.events.store.outbox.FIRST_S", 0.02)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as opened:
        yield opened


@pytest.fixture
def run(store):
    """`run(sink or function, name="s")`: a courier that was started, stopped at the end."""
    made = []

    def start(sink, name="s"):
        courier = Courier(sink if callable(sink) else lambda: sink, store, name)
        made.append(courier)
        courier.start()
        return courier

    yield start
    stop_all(made, 0.5)


def counts(store, name="s"):
    return {f: n for f in ("waiting", "done", "refused") if (n := store.count(name, f))}


def test_messages_are_said_in_order_by_one_thread_as_they_come(store, run):
    sink = Stub()
    courier = run(sink)
    until(lambda: courier.sink is sink)
    time.sleep(0.1)  # it waits for news by now
    put = time.monotonic()
    store.put(event(), ["s"])
    until(lambda: sink.taken)
    assert time.monotonic() - put < 0.2
    store.put(event(0, "end"), ["s"])
    store.put(event(1), ["s"])
    until(lambda: counts(store) == {"done": 3})
    assert sink.taken == [f"{event().id}/start", f"{event().id}/end", f"{event(1).id}/start"]
    assert sink.numbers == sorted(set(sink.numbers))
    assert sink.thread.name == "oddframe-s"
    assert sink.thread.daemon
    stats = courier.stats
    assert (stats.sent, stats.failed, stats.refused, stats.backlog) == (3, 0, 0, 0)
    assert (stats.error, stats.failing_s, stats.busy_s) == ("", None, None)


def test_what_was_left_by_another_process_is_said(store, run):
    store.put(event(), ["s"])
    sink = Stub()
    run(sink)
    until(lambda: sink.taken)


def test_receipts_come_back_with_the_next_message_of_an_event(store, run):
    sink = Stub(lambda m: {"id": "theirs"})
    run(sink)
    store.put(event(), ["s"])
    store.put(event(0, "end"), ["s"])
    until(lambda: len(sink.taken) == 2)
    assert sink.receipts == [{}, {"id": "theirs"}]


def test_later_is_tried_again_and_the_trouble_is_said(store, run, caplog):
    caplog.set_level("INFO", "oddframe.runtime.courier")
    gate = threading.Event()
    sink = Stub(Later("no broker"), Later("no broker"), lambda m: gate.wait(5) and None)
    courier = run(sink)
    store.put(event(), ["s"])
    until(lambda: len(sink.tried) == 3)
    stats = courier.stats
    assert (stats.failed, stats.error, stats.backlog) == (2, "no broker", 1)
    assert stats.failing_s > 0
    assert stats.busy_s > 0
    gate.set()
    until(lambda: counts(store) == {"done": 1})
    until(lambda: courier.stats.error == "")
    said = [r.message for r in caplog.records if r.name == "oddframe.runtime.courier"]
    assert len([s for s in said if "no broker" in s]) == 1  # once, not at every try
    assert len([s for s in said if "works again" in s]) == 1


def test_pauses_grow_and_a_sink_may_ask_for_more(store, run, monkeypatch):
    monkeypatch.setattr(courier_module, "JITTER", 0.0)
    monkeypatch.setattr(courier_module, "LONGEST_S", 0.1)
    at = []
    sink = Stub(*[Later("x")] * 4, Later("x", after_s=0.4))
    sink.send = lambda m, send=sink.send: (at.append(time.monotonic()), send(m))[1]
    monkeypatch.setattr("oddframe.events.store.outbox.FIRST_S", 0.0)  # its own pause: none
    run(sink)
    store.put(event(), ["s"])
    until(lambda: len(at) >= 6)
    pauses = [b - a for a, b in itertools.pairwise(at)]
    assert pauses[0] >= 0.02
    assert pauses[1] >= 0.04
    assert pauses[2] >= 0.08
    assert 0.1 <= pauses[3] < 0.3
    assert pauses[4] >= 0.4


def test_what_is_new_is_told_although_another_cannot_be(store, run, monkeypatch):
    """One wrong address of three held all alarms up, one pause after the other."""
    monkeypatch.setattr(courier_module, "FIRST_S", 30.0)
    sink, at = Stub(), {}

    def send(message):
        sink.tried.append(message.key)
        at.setdefault(message.event.id, time.monotonic())
        if message.event.id == event().id:
            raise Later("address 2 did not take it")
        sink.taken.append(message.key)

    sink.send = send
    run(sink)
    store.put(event(), ["s"])
    until(lambda: sink.tried)
    for number in (1, 2, 3):
        began = time.monotonic()
        store.put(event(number), ["s"])
        until(lambda number=number: event(number).id in at)
        assert at[event(number).id] - began < 2
    until(lambda: len(sink.taken) == 3)


def test_trouble_after_a_pause_that_was_cut_short_is_trouble_again(store, run, monkeypatch):
    monkeypatch.setattr(courier_module, "FIRST_S", 30.0)
    sink = Stub(Later("away"), None, Later("away again"))
    courier = run(sink)
    store.put(event(), ["s"])
    until(lambda: courier.stats.error == "away")
    store.put(event(1), ["s"])
    until(lambda: sink.taken and not courier.stats.error)
    store.put(event(2), ["s"])
    until(lambda: courier.stats.error == "away again")


def test_nobody_new_disturbs_a_sink_that_asked_to_be_left_alone(store, run):
    sink = Stub(Later("too many requests", after_s=60))
    courier = run(sink)
    store.put(event(), ["s"])
    until(lambda: courier.stats.error)
    for number in (1, 2):
        store.put(event(number), ["s"])
    time.sleep(0.6)
    assert len(sink.tried) == 1


def test_a_sink_that_is_away_is_tried_once_for_each_that_is_new(store, run, monkeypatch):
    monkeypatch.setattr(courier_module, "FIRST_S", 30.0)
    sink = Stub(*[Later("away")] * 50)
    courier = run(sink)
    store.put(event(), ["s"])
    until(lambda: courier.stats.error)
    for number in (1, 2, 3):
        store.put(event(number), ["s"])
        until(lambda number=number: len(sink.tried) == 1 + number)
    time.sleep(0.6)
    assert len(sink.tried) == 4


def test_waking_ends_a_pause(store, run):
    sink = Stub(Later("x", after_s=60))
    courier = run(sink)
    store.put(event(), ["s"])
    until(lambda: courier.stats.error)
    time.sleep(0.1)
    courier.wake()
    until(lambda: sink.taken)


def test_what_is_refused_is_put_aside_and_blocks_nothing(store, run):
    sink = Stub(Refused("no such camera"))
    courier = run(sink)
    store.put(event(), ["s"])
    store.put(event(1), ["s"])
    until(lambda: counts(store) == {"done": 1, "refused": 1})
    assert store.aside("s")[0].why == "no such camera"
    stats = courier.stats
    assert (stats.sent, stats.refused, stats.error) == (1, 1, "")


def test_what_waited_is_said_in_order_once_the_sink_is_back(store, run, monkeypatch):
    """The newest was tried least, and would be due first; the oldest by its own pause alone."""
    monkeypatch.setattr(courier_module, "LONGEST_S", 0.02)
    monkeypatch.setattr("oddframe.events.store.outbox.FIRST_S", 0.05)
    sink, down = Stub(), threading.Event()
    down.set()

    def send(message):
        sink.tried.append(message.key)
        if down.is_set():
            raise Later("down")
        sink.taken.append(message.key)

    sink.send = send
    run(sink)
    store.put(event(), ["s"])
    until(lambda: len(sink.tried) == 3)
    for number in (1, 2, 3):
        store.put(event(number), ["s"])
    until(lambda: len(set(sink.tried)) == 4)
    down.clear()
    until(lambda: counts(store) == {"done": 4})
    assert sink.taken[1:] == sorted(sink.taken[1:])


def test_a_message_that_waits_costs_no_looking(store, run, monkeypatch):
    monkeypatch.setattr(courier_module, "IDLE_S", 1.0)
    monkeypatch.setattr("oddframe.events.store.outbox.FIRST_S", 60)
    looks, due = [], store.due
    monkeypatch.setattr(store, "due", lambda sink: looks.append(sink) or due(sink))
    store.put(event(), ["s"])
    courier = run(Stub(Later("down")))
    until(lambda: courier.stats.error)
    time.sleep(0.2)  # longer than the courier's own pause
    assert len(looks) < 5


def test_only_surprises_count_as_such(store, run, monkeypatch):
    monkeypatch.setattr("oddframe.events.store.outbox.LONGEST_S", 0.02)
    monkeypatch.setattr(courier_module, "LONGEST_S", 0.02)
    sink = Stub(*[Later("down")] * 8, ValueError("x"))
    run(sink)
    store.put(event(), ["s"])
    until(lambda: counts(store) == {"done": 1})
    assert len(sink.tried) == 10


def test_a_token_that_is_away_for_long_loses_nothing(store, run, monkeypatch):
    """Its file is read for every message, and may be written anew just then."""
    monkeypatch.setattr("oddframe.events.store.outbox.LONGEST_S", 0.02)
    monkeypatch.setattr(courier_module, "LONGEST_S", 0.02)
    sink = Stub(*[ConfigError("token_file cannot be read")] * 12)
    courier = run(sink)
    store.put(event(), ["s"])
    until(lambda: "token_file" in courier.stats.error)
    until(lambda: counts(store) == {"done": 1})
    assert len(sink.tried) == 13


def test_a_mistake_in_a_sink_ends_no_thread_and_blocks_not_for_ever(store, run, caplog):
    sink = Stub(*[ValueError("http://me:hunter2@h/")] * 8)
    sink.send = lambda m, send=sink.send: send(m) if m.event.id == event().id else None
    courier = run(sink)
    store.put(event(), ["s"])
    store.put(event(1), ["s"])
    until(lambda: counts(store) == {"done": 1, "refused": 1}, 10)
    assert len(sink.tried) == 8
    assert "ValueError at test_courier.py" in store.aside("s")[0].why
    assert "hunter2" not in store.aside("s")[0].why + caplog.text + courier.stats.error


def test_a_sink_that_cannot_be_made_is_made_later(store, run):
    sink = Stub(start=[Later("no network"), OSError("x")])
    steps = [ConfigError("token_file is missing"), RuntimeError("x")]

    def make():
        if steps:
            raise steps.pop(0)
        return sink

    courier = run(make)
    store.put(event(), ["s"])
    until(lambda: counts(store) == {"done": 1})
    assert courier.stats.failed == 4
    assert courier.stats.error == ""


def test_a_sink_that_hangs_delays_nobody_and_is_left_behind(store, run, caplog):
    free = threading.Event()
    hung, quick = Stub(lambda m: free.wait(20) and None), Stub()
    slow, fast = run(hung, "slow"), run(quick, "fast")
    store.put(event(), ["slow", "fast"])
    store.put(event(1), ["slow", "fast"])
    until(lambda: counts(store, "fast") == {"done": 2})
    assert counts(store, "slow") == {"waiting": 2}
    began = time.monotonic()
    assert stop_all([slow, fast], 0.6) == ["slow"]
    assert time.monotonic() - began < 0.9
    assert quick.closed == 1
    assert "slow hangs" in caplog.text
    free.set()
    until(lambda: hung.taken)
    time.sleep(0.1)
    assert counts(store, "slow") == {"waiting": 2}  # the store may be closed by then


def test_a_stop_says_what_is_left_and_closes(store, run):
    sink = Stub(*[lambda m: time.sleep(0.05)] * 3)
    courier = run(sink)
    for number in range(4):
        store.put(event(number), ["s"])
    until(lambda: sink.tried)
    assert courier.stop()
    assert counts(store) == {"done": 4}
    assert sink.closed == 1


def test_a_stop_in_trouble_doesnt_wait_for_the_pause(store, run):
    sink = Stub(*[Later("x", after_s=60)] * 9)
    courier = run(sink)
    store.put(event(), ["s"])
    until(lambda: courier.stats.error)
    began = time.monotonic()
    assert courier.stop()
    assert time.monotonic() - began < 0.5
    assert len(sink.tried) == 1
    assert counts(store) == {"waiting": 1}


def test_a_stop_before_the_sink_could_be_made(store, run):
    def make():
        raise Later("never")

    courier = run(make)
    until(lambda: courier.stats.error)
    assert courier.stop(1.0)


def test_a_full_disk_after_the_send_sends_nothing_twice(store, run, monkeypatch):
    sink = Stub()
    done, full = store.done, [True, True]

    def fails(waiting, receipts=None):
        if full:
            full.pop()
            raise StoreError("The store cannot be written: its disk is full.")
        done(waiting, receipts)

    monkeypatch.setattr(store, "done", fails)
    courier = run(sink)
    store.put(event(), ["s"])
    store.put(event(1), ["s"])
    until(lambda: counts(store) == {"done": 2})
    assert sink.tried == [f"{event().id}/start", f"{event(1).id}/start"]
    assert courier.stats.sent == 2


def test_the_messages_of_a_day_without_the_sink_are_said_when_it_is_back(store, run):
    for number in range(80):
        store.put(event(number), ["s"])
    sink = Stub(*[Later("down")] * 5)
    run(sink)
    until(lambda: counts(store) == {"done": 80}, 20)
    assert len(set(sink.taken)) == len(sink.taken) == 80


def test_a_message_holds_the_picture_that_came_after_it_was_put(store, run, tmp_path):
    store.put(event(), ["s"])
    (tmp_path / "x.jpg").write_bytes(b"jpeg")
    assert store.attach(event().id, snapshot="x.jpg")
    pictures = []
    run(Stub(lambda m: pictures.append(m.picture)))
    until(lambda: pictures)
    assert pictures == [b"jpeg"]
