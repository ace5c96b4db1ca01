"""What events looked like, what a verdict teaches, and the pictures of what raised no alarm."""

import time
from dataclasses import replace

import pytest
from storing import T0, an_event, end

from oddframe.events.event import Box
from oddframe.events.store import Normal, Store, StoreError
from oddframe.events.store import exemplars as module
from oddframe.events.store.keep import DAY_S, KeepConfig, Keeper, sweep

RUN = an_event().run


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as opened:
        yield opened


def described(store, index=0, spots=b"spots", **more):
    event = end(an_event(index, **more))
    store.put(event)
    assert store.describe(event.id, spots, [(T0, 0.5), (T0 + 0.2, 1.25)])
    return event


# ---- descriptions


def test_an_event_is_described_and_described_anew(store):
    event = described(store)
    assert store.described(event.id).trace == ((T0, 0.5), (T0 + 0.2, 1.25))
    assert store.describe(event.id, b"more")
    assert store.described(event.id).spots == b"more"
    assert store.described(event.id).trace == ()


def test_what_is_not_known_is_not_described(store):
    assert not store.describe("1-a", b"spots")
    assert store.described("1-a") is None
    assert store.database.read("SELECT * FROM described") == []


def test_a_description_goes_with_its_event(store):
    event = described(store)
    with store.database.write() as con:
        con.execute("DELETE FROM events")
    assert store.described(event.id) is None


# ---- verdicts


def test_a_false_alarm_becomes_an_exemplar_and_no_other_word_does(store):
    event = described(store)
    store.verdict(event.id, "real")
    assert store.exemplars("gate") == []
    store.verdict(event.id, "false_alarm")
    (found,) = store.exemplars("gate")
    assert (found.event_id, found.run, found.spots) == (event.id, RUN, b"spots")
    assert (found.place, found.reasons) == (Box(10, 20, 300, 200), event.reasons)
    assert (found.silenced, found.silenced_utc) == (0, None)
    assert found.created_utc == pytest.approx(time.time(), abs=60)
    assert store.exemplars("yard") == store.exemplars("gate", "another") == []
    assert store.exemplars("gate", RUN) == [found]


@pytest.mark.parametrize("word", ["real", None])
def test_another_word_takes_it_back(store, word):
    event = described(store)
    store.verdict(event.id, "false_alarm")
    store.verdict(event.id, word)
    assert store.exemplars("gate") == []


def test_the_same_word_again_leaves_it_as_it_is(store):
    event = described(store)
    store.verdict(event.id, "false_alarm")
    (before,) = store.exemplars("gate")
    store.silenced({before.id: (3, T0)})
    store.verdict(event.id, "false_alarm", "the postman")
    (after,) = store.exemplars("gate")
    assert after == replace(before, silenced=3, silenced_utc=T0)


def test_an_event_without_a_description_teaches_nothing(store):
    store.put(end(an_event()))
    store.verdict(an_event().id, "false_alarm")
    store.put(end(an_event(1)))
    store.describe(an_event(1).id, b"")  # nothing was hot in any of its frames
    store.verdict(an_event(1).id, "false_alarm")
    assert store.exemplars("gate") == []


def test_an_event_that_is_judged_while_it_is_open_teaches_what_it_becomes(store):
    store.put(an_event())
    store.verdict(an_event().id, "false_alarm")  # before it was described at all
    store.describe(an_event().id, b"first")
    assert [e.spots for e in store.exemplars("gate")] == [b"first"]
    store.describe(an_event().id, b"whole")
    assert [e.spots for e in store.exemplars("gate")] == [b"whole"]


def test_an_exemplar_can_be_taken_back_by_itself(store):
    event = described(store)
    store.verdict(event.id, "false_alarm")
    (found,) = store.exemplars("gate")
    assert store.forget(found.id)
    assert not store.forget(found.id)
    assert store.record(event.id).verdict == "false_alarm"
    store.describe(event.id, b"more")  # and it does not come again by itself
    assert store.exemplars("gate") == []


def test_an_exemplar_outlives_its_event(store):
    event = described(store)
    store.attach(event.id, snapshot="s.jpg")
    store.verdict(event.id, "false_alarm")
    assert store.exemplars("gate")[0].snapshot == "s.jpg"
    with store.database.write() as con:
        con.execute("DELETE FROM events")
    (found,) = store.exemplars("gate")
    assert (found.snapshot, found.spots) == (None, b"spots")


def test_of_too_many_the_one_goes_that_silenced_nothing_for_the_longest(store, monkeypatch):
    monkeypatch.setattr(module, "MOST_EXEMPLARS", 3)
    now = iter(range(100))
    store._utc = lambda: T0 + next(now)
    events = [described(store, i) for i in range(4)]
    yard = described(store, 9, camera="yard")
    for event in (yard, *events[:3]):
        store.verdict(event.id, "false_alarm")
    oldest = store.exemplars("gate")[-1]
    store.silenced({oldest.id: (1, T0 + 50)})
    store.verdict(events[3].id, "false_alarm")
    assert [e.event_id for e in store.exemplars("gate")] == [events[i].id for i in (3, 2, 0)]
    assert len(store.exemplars("yard")) == 1


def test_any_program_may_say_it(store, tmp_path):
    event = described(store)
    before = store.learned_mark("gate")
    with Store(tmp_path, lock=False) as other:
        other.verdict(event.id, "false_alarm")
    assert len(store.exemplars("gate")) == 1
    assert store.learned_mark("gate") != before


def test_the_mark_changes_with_all_that_is_learned_and_with_nothing_else(store):
    event, other = described(store), described(store, 1)
    marks = [store.learned_mark("gate")]

    def changed():
        marks.append(store.learned_mark("gate"))
        return marks[-1] != marks[-2]

    store.verdict(event.id, "false_alarm")
    assert changed()
    store.silenced({store.exemplars("gate")[0].id: (1, T0)})
    assert not changed()
    store.put(end(an_event(2)))
    assert not changed()
    store.describe(event.id, b"longer than it was")
    assert changed()
    store.verdict(other.id, "real")
    assert changed()
    store.forget(store.exemplars("gate")[0].id)
    assert changed()
    store.verdict(other.id, None)
    assert changed()
    assert store.learned_mark("yard") == (0, None, None, 0, None, None)


def test_what_was_judged_comes_with_its_description(store):
    events = [described(store, i) for i in range(4)]
    store.verdict(events[0].id, "real")
    store.verdict(events[1].id, "false_alarm")
    store.verdict(events[2].id, "real")
    found = store.judged("gate", RUN, "real", 10)
    assert [d.event_id for d in found] == [events[2].id, events[0].id]
    assert len(store.judged("gate", RUN, "real", 1)) == 1
    assert store.judged("gate", "another", "real", 10) == []


def test_the_tally_goes_by_weeks_that_begin_on_monday(store):
    monday = 1_790_553_600.0  # 2026-09-28, 0:00 UTC
    for i, at in enumerate((monday - 1, monday, monday + 6.9 * DAY_S, monday + 8 * DAY_S)):
        store.put(end(an_event(i, at=at)))
        store.verdict(an_event(i, at=at).id, ("real", "false_alarm", "real", None)[i])
    rows = [(t.t_utc - monday, t.real, t.false_alarm, t.open) for t in store.tally()]
    week = 7 * DAY_S
    assert rows == [(-week, 1, 0, 0), (0, 1, 1, 0), (week, 0, 0, 1)]
    assert store.tally("yard") == []


# ---- pictures of what raised no alarm


def normal(index=0, level=0.7, camera="gate"):
    return Normal(camera, RUN, T0 + 60 * index, level, b"spots")


def test_the_most_unusual_are_kept_with_their_pictures(store, monkeypatch):
    monkeypatch.setattr(module, "MOST_NORMALS", 2)
    for i, level in enumerate((0.6, 0.9, 0.7)):
        store.keep_normal(normal(i, level), b"jpeg%d" % i)
    found = store.normals("gate")
    assert [n.level for n in found] == [0.9, 0.7]
    assert [(store.folder / n.picture).read_bytes() for n in found] == [b"jpeg1", b"jpeg2"]
    assert len(list(store.folder.glob("normals/gate/*"))) == 2
    assert store.normals("gate", "another") == store.normals("yard") == []


def test_they_go_by_their_age_and_count_for_the_disk(store):
    store.keep_normal(normal(), bytes(50_000))
    clock = iter((0.0, 2 * DAY_S, 3.5 * DAY_S))
    keeper = Keeper(store, KeepConfig(keep_days=3), lambda: next(clock))
    kept = keeper.run(T0 + 2 * DAY_S)
    assert kept.used > 50_000
    assert len(store.normals("gate")) == 1
    keeper.run(T0 + 3.5 * DAY_S)
    assert store.normals("gate") == []
    assert not list(store.folder.glob("normals/*/*"))


def test_what_a_kill_left_of_them_is_swept_away(store):
    store.keep_normal(normal(), b"jpeg")
    stray = store.folder / "normals" / "gate" / ".unfinished-1"
    stray.write_bytes(b"")
    lost = store.folder / "normals" / "gate" / "1.jpg"
    lost.write_bytes(b"")
    assert sweep(store).orphans == 2
    assert [p.read_bytes() for p in store.folder.glob("normals/gate/*")] == [b"jpeg"]


def test_a_full_disk_keeps_neither_row_nor_picture(store):
    con = store._db._writer
    con.execute(f"PRAGMA max_page_count = {con.execute('PRAGMA page_count').fetchone()[0]}")
    failed = 0
    for i in range(50):
        try:
            store.keep_normal(replace(normal(i), spots=bytes(20_000)), b"jpeg")
        except StoreError:
            failed += 1
    assert failed > 40
    con.execute("PRAGMA max_page_count = 1000000")
    assert len(list(store.folder.glob("normals/gate/*"))) == len(store.normals("gate"))
