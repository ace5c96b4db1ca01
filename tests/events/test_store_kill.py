"""kill -9 at any moment: what was acknowledged is there, once and whole."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from storing import T0

import oddframe
from oddframe.events.store import Store

SINKS = ("mqtt", "webhook")

WATCHER = """
import os, sys, threading
sys.path[:0] = {paths!r}
from dataclasses import replace
from pathlib import Path
from oddframe.events.store import Store
from storing import an_event, end, update

folder, first = Path(sys.argv[1]), int(sys.argv[2])
store = Store(folder)
for event in store.close_left_open():
    os.write(1, f"killed {{event.id}}\\n".encode())

def courier(sink):
    out = os.open(folder / sink, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        waiting = store.due(sink)
        if waiting is None:
            store.news(-1, 0.01)
        elif len(waiting.key) % 5 == waiting.tries:     # now and then it has to be tried again
            store.later(waiting, "no answer")
            store.hurry(sink)
        else:
            os.write(out, f"{{waiting.key}}\\n".encode())
            store.done(waiting, {{waiting.event.state: waiting.id}})

for sink in {sinks!r}:
    threading.Thread(target=courier, args=(sink,), daemon=True).start()
for index in range(first, first + 100_000):
    event = an_event(index, camera=f"c{{index % 3}}")
    steps = [event, update(event, 2.0), update(event, 3.0), end(update(event, 3.0))]
    for step in steps:
        store.put(step, {sinks!r})
        store.touch(event.id, event.start_utc + 2.0)
        store.minute(event.camera, event.start_utc, 0.5)
        os.write(1, f"{{step.state}} {{event.id}}\\n".encode())
"""


@pytest.mark.parametrize(
    "kills", [20, pytest.param(100, marks=pytest.mark.slow)], ids=lambda n: f"{n} kills"
)
def test_nothing_acknowledged_is_lost(tmp_path, kills):
    moments = random.Random(kills)
    acknowledged = defaultdict(list)
    for kill in range(kills):
        for state, event in watched_and_killed(tmp_path, 10_000 * kill, moments.uniform(0, 0.25)):
            acknowledged[event].append(state)
        check(tmp_path, acknowledged)
    assert len(acknowledged) > kills / 2  # it got somewhere in between

    with Store(tmp_path) as store:
        closed = {e.id for e in store.close_left_open()}
        assert len(closed) <= 1
        every = store.events(limit=10**6)
        assert all(e.state == "end" for e in every)
        ended = defaultdict(int)
        for event in every:
            ended[event.ended] += 1
            if event.ended == "killed":
                assert event.start_utc < event.end_utc <= event.start_utc + 2.0
                assert acknowledged[event.id].count("end") == 0
        assert ended["killed"] > 0
        assert ended["calm"] > 0
        for sink in SINKS:
            deliver(store, sink, tmp_path / sink)
            check_delivered((tmp_path / sink).read_text().split(), every, kills)


def watched_and_killed(folder, first, after_s):
    """[(state, event)] that were acknowledged by a process that was killed."""
    paths = [str(Path(__file__).parent), str(Path(oddframe.__file__).parents[1])]
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHER.format(paths=paths, sinks=SINKS), str(folder), str(first)],
        stdout=subprocess.PIPE,
    )
    try:
        assert select.select([child.stdout], [], [], 30)[0], "it never began"
        time.sleep(after_s)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    lines = child.stdout.read().decode().splitlines()
    child.stdout.close()
    return [tuple(line.split()) for line in lines]


def check(folder, acknowledged):
    """Every acknowledged event is there once, as far as it was told, with its messages."""
    with Store.read_only(folder) as store:
        assert store.database.read("PRAGMA integrity_check")[0][0] == "ok"
        assert store.database.read("PRAGMA foreign_key_check") == []
        found = {e.id: e for e in store.events(limit=10**6)}
        rows = store.database.read("SELECT event_id, sink, state, fate FROM outbox ORDER BY id")
    messages = defaultdict(list)
    for row in rows:
        messages[row["event_id"], row["sink"]].append(row["state"])
    order = {"start": 0, "update": 1, "end": 2, "killed": 2}
    for event, states in acknowledged.items():
        assert order[found[event].state] >= max(order[s] for s in states), event
        for sink in SINKS:
            told = messages[event, sink]
            assert told[0] == "start"
            assert told.count("start") == 1
            assert told.count("update") >= states.count("update")
            assert told.count("end") >= ("end" in states or "killed" in states)
    for event in found.values():  # and nothing is half there: one not acknowledged is whole or not
        for sink in SINKS:
            told = messages[event.id, sink]
            assert told.count("start") == 1
            assert told.count("end") == (event.state == "end")
            assert told == sorted(told, key=order.__getitem__)
        assert event.zones == ("door", "yard")
        assert event.start_utc >= T0


def deliver(store, sink, path):
    with path.open("a") as out:
        while waiting := store.due(sink):
            out.write(f"{waiting.key}\n")
            assert waiting.event.state in waiting.key
            store.done(waiting)


def check_delivered(keys, events, kills):
    """Each message at least once, again only after a kill, and each event's in their order."""
    seen = list(dict.fromkeys(keys))
    assert len(keys) - len(seen) <= kills
    by_event = defaultdict(list)
    for key in seen:
        event, what = key.split("/", 1)
        by_event[event].append(what)
    assert set(by_event) == {e.id for e in events}
    for told in by_event.values():
        assert told[0] == "start"
        assert told[-1] == "end"
        assert told[1:-1] in ([], ["update/1"], ["update/2"], ["update/1", "update/2"])
