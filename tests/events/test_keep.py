"""Retention: what goes by age and by disk, what never goes, and what a kill leaves lying about."""

import logging

import pytest
from storing import T0, Clock, an_event, end

from oddframe.events.store import Store, StoreError
from oddframe.events.store.files import (
    UNFINISHED,
    all_files,
    event_of,
    place,
    plain_of,
    write_whole,
)
from oddframe.events.store.keep import KeepConfig, Keeper, Swept, sweep

DAY = 86400.0
CLIP, PICTURE = 200_000, 10_000
EACH = CLIP + 2 * PICTURE


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as opened:
        yield opened


def with_files(store, index, *, days=0.0, verdict=None, **more):
    """An event of `days` after T0 that is over, with its files."""
    event = end(an_event(index, at=T0 + days * DAY + index, **more))
    store.put(event)
    snapshot = place("snapshots", event.camera, event.id, ".jpg")
    film = place("clips", event.camera, event.id, ".webm")
    write_whole(store.folder / snapshot, bytes(PICTURE))
    write_whole(store.folder / plain_of(snapshot), bytes(PICTURE))
    write_whole(store.folder / film, bytes(CLIP))
    store.attach(event.id, snapshot=snapshot, clip=film)
    if verdict:
        store.verdict(event.id, verdict)
    return event


def left(store):
    """Indices of the events that still have files, by the files themselves."""
    return sorted({int(event_of(p.name).split("-")[1], 16) for p, _ in all_files(store.folder)})


def keeper(store, **config):
    return Keeper(store, KeepConfig(**config), Clock())


def test_files_go_after_their_days_and_rows_stay(store):
    old = with_files(store, 0, verdict="real")
    young = with_files(store, 1, days=5, verdict="real")
    kept = keeper(store, keep_days=30).run(T0 + 31 * DAY)
    assert (kept.by_age, kept.by_disk, kept.overdue, kept.full) == (1, 0, 0, False)
    assert left(store) == [1]
    assert (store.event(old.id).snapshot, store.event(old.id).clip) == (None, None)
    assert store.record(old.id).verdict == "real"
    assert store.event(young.id).clip is not None
    assert kept.words() == ""


def test_an_alert_that_nobody_has_looked_at_stays_and_is_said_once(store, caplog):
    with_files(store, 0)
    with_files(store, 1, severity="detection")
    with_files(store, 2, verdict="false_alarm")
    keeping = keeper(store, keep_days=30)
    with caplog.at_level(logging.WARNING):
        kept = keeping.run(T0 + 31 * DAY)
        keeping.run(T0 + 31 * DAY + 600)
    assert left(store) == [0]
    assert (kept.by_age, kept.overdue) == (2, 1)
    assert caplog.text.count("1 alerts are older than keep_days") == 1
    store.verdict(an_event(0, at=T0).id, "real")
    assert keeping.run(T0 + 31 * DAY + 1200).by_age == 1
    assert left(store) == []


def test_over_the_cap_the_oldest_of_what_may_go_goes(store, caplog):
    alerts = {0, 3}
    for index in range(8):
        with_files(store, index, severity="alert" if index in alerts else "detection")
    own = keeper(store).run(T0).used - 8 * EACH
    cap = (own + 5.5 * EACH) / 1e9
    with caplog.at_level(logging.WARNING):
        kept = keeper(store, disk_gb=cap).run(T0)
    assert left(store) == [0, 3, 5, 6, 7]
    assert (kept.by_disk, kept.full) == (3, False)
    assert kept.used <= kept.cap
    assert "pictures and clips of 3 events deleted before their 30 days" in caplog.text


def test_where_only_unseen_alerts_are_left_recording_ends(store, caplog):
    for index in range(4):
        with_files(store, index)
    with_files(store, 4, verdict="real")
    keeping = keeper(store, disk_gb=1e-4)
    with caplog.at_level(logging.WARNING):
        kept = keeping.run(T0)
        keeping.run(T0 + 600)
    assert left(store) == [0, 1, 2, 3]
    assert (kept.full, kept.by_disk) == (True, 1)
    assert caplog.text.count("no new clips are recorded. Give the alerts a verdict") == 1
    for event in store.events():
        store.verdict(event.id, "false_alarm")
    after = keeping.run(T0 + 1200)
    assert left(store) == []
    assert after.by_disk == 4


def test_unseen_alerts_go_where_somebody_said_so(store):
    with_files(store, 0)
    kept = keeper(store, keep_days=30, unreviewed_days=60).run(T0 + 59 * DAY)
    assert (kept.overdue, left(store)) == (1, [0])
    kept = keeper(store, keep_days=30, unreviewed_days=60).run(T0 + 61 * DAY)
    assert (kept.overdue, kept.by_age, left(store)) == (0, 1, [])


def test_open_events_keep_their_pictures(store):
    event = an_event(severity="detection")
    path = place("snapshots", event.camera, event.id, ".jpg")
    write_whole(store.folder / path, bytes(100))
    store.put(event)
    store.attach(event.id, snapshot=path)
    keeper(store, keep_days=1, disk_gb=1e-9).run(T0 + 100 * DAY)
    assert store.event(event.id).snapshot == path
    assert left(store) == [0]


def test_a_file_that_somebody_else_deleted_is_no_trouble(store):
    event = with_files(store, 0, verdict="real")
    (store.folder / store.event(event.id).clip).unlink()
    assert keeper(store, keep_days=1).run(T0 + 2 * DAY).by_age == 1
    assert left(store) == []


def test_rows_go_after_400_days_but_not_what_is_still_owed(store):
    seen, unseen, owed = (
        with_files(store, i, verdict=v) for i, v in enumerate(["real", None, "real"])
    )
    store.put(an_event(9, at=T0 + 9), ["mqtt"])
    store.put(end(an_event(9, at=T0 + 9)))
    store.verdict(an_event(9, at=T0 + 9).id, "real")
    store.minute("gate", T0, 0.5)
    store.minute("gate", T0 + 400 * DAY, 0.5)
    store.gap_begins("gate", T0, "lost")
    store.gap_ends("gate", T0 + 60)
    store.gap_begins("gate", T0 + 70, "lost")
    store.flush()
    kept = keeper(store).run(T0 + 401 * DAY)
    assert kept.forgotten == 2
    assert {e.id for e in store.events()} == {unseen.id, an_event(9, at=T0 + 9).id}
    assert len(store.minutes("gate", 0, T0 + 500 * DAY)) == 1
    assert [g.start_utc - T0 for g in store.gaps()] == [70]
    assert store.event(seen.id) is store.event(owed.id) is None
    assert store.due("mqtt").event.id == an_event(9, at=T0 + 9).id


def test_a_clock_that_is_set_ahead_deletes_nothing_by_age(store, caplog):
    with_files(store, 0, verdict="real")
    clock = Clock()
    keeping = Keeper(store, KeepConfig(), clock)
    keeping.run(T0)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            clock += 600.0
            assert keeping.run(T0 + 3650 * DAY + clock()).by_age == 0
    assert caplog.text.count("clock was set ahead") == 1
    assert left(store) == [0]
    clock += DAY
    assert keeping.run(T0 + 3650 * DAY + clock()).by_age == 1  # it seems to be right


# ---- after a kill


def test_what_a_kill_left_is_cleared_up(store):
    known = with_files(store, 5)
    late = end(an_event(6, at=T0 + 6))
    store.put(late)  # its clip was written, and not entered any more
    film = place("clips", late.camera, late.id, ".webm")
    write_whole(store.folder / film, bytes(10))
    unborn = an_event(7, at=T0 + 7)  # its snapshot was written, and it was not put any more
    for suffix in (".jpg", ".plain.jpg"):
        write_whole(store.folder / place("snapshots", "gate", unborn.id, suffix), bytes(10))
    (store.folder / "clips" / "gate" / f"{UNFINISHED}abc").write_bytes(b"half")
    assert sweep(store) == Swept(unfinished=1, orphans=2, entered=1)
    assert store.event(late.id).clip == film
    assert left(store) == [5, 6]
    assert store.event(known.id).clip is not None
    assert sweep(store) == Swept(0, 0, 0)


def test_files_of_a_store_that_was_moved_away_stay(tmp_path):
    with Store(tmp_path) as store:
        with_files(store, 0)
    (tmp_path / "events.db").rename(tmp_path / "events.db.damaged")
    (tmp_path / "clips" / "gate" / "holiday.webm").write_bytes(b"not ours")
    with Store(tmp_path) as store:
        assert sweep(store) == Swept(0, 0, 0)
        with_files(store, 1, days=1)
        assert sweep(store) == Swept(0, 0, 0)
        assert (tmp_path / "clips" / "gate" / "holiday.webm").exists()
        assert len(list(all_files(tmp_path))) == 7


# ---- files


@pytest.mark.parametrize("camera", ["gate", "../../etc", "a/b", ".hidden", "Tür 1", "x" * 500, ""])
def test_any_name_of_a_camera_makes_one_folder(store, camera):
    path = place("clips", camera, an_event().id, ".webm")
    assert path.count("/") == 2
    write_whole(store.folder / path, b"x")
    assert (store.folder / path).resolve().parent.parent == store.folder.resolve() / "clips"
    assert [event_of(p.name) for p, _ in all_files(store.folder)] == [an_event().id]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "clips" / "a.webm"
    write_whole(path, b"one")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"Cannot write .*a\.webm: No space left"):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert [p.name for p in path.parent.iterdir()] == ["a.webm"]
