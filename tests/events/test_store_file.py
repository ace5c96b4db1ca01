"""The file of the store: older, newer, of others, damaged; and a disk that is full."""

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from storing import T0, an_event, end, told

import oddframe.events.store.database as database
from oddframe.events.store import Store, StoreError


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as opened:
        yield opened


# ---- the file


NOW = database.VERSION


def test_a_step_brings_an_older_file_up_to_date(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        store.put(an_event(), ["mqtt"])
    steps = {NOW: "ALTER TABLE events ADD COLUMN weather TEXT NOT NULL DEFAULT 'dry'"}
    monkeypatch.setattr(database, "STEPS", steps)
    monkeypatch.setattr(database, "VERSION", NOW + 1)
    with pytest.raises(StoreError, match=f"of an older oddframe: version {NOW} "):
        Store.read_only(tmp_path)
    with Store(tmp_path) as store:
        assert store.event(an_event().id) == an_event()
        assert told(store, "mqtt") == ["start"]
        assert store.database.read("SELECT weather FROM events")[0][0] == "dry"
        assert store.database.read("PRAGMA user_version")[0][0] == NOW + 1


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        store.put(an_event())
    steps = {NOW: "ALTER TABLE events ADD COLUMN weather TEXT; INSERT INTO nowhere VALUES (1)"}
    monkeypatch.setattr(database, "STEPS", steps)
    monkeypatch.setattr(database, "VERSION", NOW + 1)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Store(tmp_path)
    monkeypatch.setattr(database, "VERSION", NOW)
    with Store(tmp_path) as store:
        assert store.event(an_event().id) == an_event()
        names = [r["name"] for r in store.database.read("PRAGMA table_info(events)")]
    assert "weather" not in names


def layout(folder):
    """Every table and index, as SQLite has it, but for comments and spaces."""
    rows = raw(folder, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name")
    return [(*row[:3], re.sub(r"--.*|\s", "", row[3] or "")) for row in rows]


def test_a_file_of_version_1_becomes_one_of_now(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    first = (Path(__file__).parent / "store_version_1.sql").read_text("utf-8")
    con = sqlite3.connect(old / "events.db")
    con.executescript(
        f"PRAGMA application_id = {database.APPLICATION}; PRAGMA user_version = 1; {first}"
        "INSERT INTO events VALUES ('1-a', 'gate', 'end', 'alert', 1, 3, 3, 2, 1.25, 5, 4, 64, 48,"
        " '[]', '[[1,2,3,4]]', '[\"it moves\"]', '{\"flow\":5.0}', 's.jpg', NULL, 'calm', 'abc', 0,"
        " 'real', 9, 'a note');"
    )
    con.close()
    with Store(old) as store:
        record = store.record("1-a")
        assert (record.verdict, record.note, record.event.boxes[0].w) == ("real", "a note", 3)
        assert store.describe("1-a", b"spots")
        assert store.verdict("1-a", "false_alarm")
        assert [e.event_id for e in store.exemplars("gate")] == ["1-a"]
    with Store(new):
        pass
    assert layout(old) == layout(new)


def test_there_is_a_step_from_every_version():
    assert sorted(database.STEPS) == list(range(1, database.VERSION))


def test_a_file_of_a_newer_oddframe_is_left_alone(tmp_path):
    with Store(tmp_path) as store:
        store.put(an_event())
    raw(tmp_path, "PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=rf"newer oddframe: version 99.*knows up to {NOW}\b"):
        Store(tmp_path)
    raw(tmp_path, f"PRAGMA user_version = {NOW}")
    with Store(tmp_path) as store:
        assert store.event(an_event().id)


def test_a_file_of_another_program_is_left_alone(tmp_path):
    raw(tmp_path, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="but not oddframe's"):
        Store(tmp_path)
    assert raw(tmp_path, "SELECT name FROM sqlite_master") == [("recipes",)]


def test_an_empty_file_is_a_store_that_was_not_begun(tmp_path):
    (tmp_path / "events.db").touch()  # what a power cut at the first start leaves
    with Store(tmp_path) as store:
        store.put(an_event())


@pytest.mark.parametrize("where", ["head", "middle"])
def test_a_damaged_file_is_named_and_kept(tmp_path, where):
    with Store(tmp_path) as store:
        for index in range(300):
            store.put(end(an_event(index)), ["mqtt"])
    path = tmp_path / "events.db"
    data = bytearray(path.read_bytes())
    at = 0 if where == "head" else len(data) // 3
    data[at : at + 20000] = b"\xa5" * 20000
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"is damaged: .*Nothing was deleted\. Move it away"):
        Store(tmp_path)
    assert path.read_bytes() == data
    path.rename(tmp_path / "events.db.damaged")
    with Store(tmp_path) as store:  # what the message says helps
        assert store.events() == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Cannot make the folder"):
        Store(tmp_path / "file" / "store")


def raw(folder, sql):
    con = sqlite3.connect(folder / "events.db")
    try:
        return con.execute(sql).fetchall()
    finally:
        con.commit()
        con.close()


# ---- a full disk


def test_a_full_file_raises_and_goes_on(store):
    store.put(an_event(), ["mqtt"])
    con = store._db._writer
    pages = con.execute("PRAGMA page_count").fetchone()[0]
    con.execute(f"PRAGMA max_page_count = {pages}")
    lost = fill(store)
    before = [e.id for e in store.events(limit=10_000)]
    assert lost.id not in before
    assert store.backlog("mqtt").messages == len(before)  # no message without its event
    con.execute("PRAGMA max_page_count = 1000000")
    assert store.put(lost, ["mqtt"])
    assert store.backlog("mqtt").messages == len(before) + 1


def fill(store, most=2000):
    """Put until it raises; the event that could not be put."""
    for index in range(1, most):
        event = an_event(index)
        try:
            store.put(event, ["mqtt"])
        except StoreError as error:
            said = str(error)
            break
    else:
        raise AssertionError("it never was full")
    assert re.search(r"cannot be written.*goes on once there is space", said)
    return event


def test_minutes_of_a_full_disk_are_written_later(store):
    con = store._db._writer
    con.execute(f"PRAGMA max_page_count = {con.execute('PRAGMA page_count').fetchone()[0]}")
    fill(store)
    begun = failed = 0
    for minute in range(1000):  # until the table needs another page
        begun += 1
        try:
            store.minute("gate", T0 + 60 * minute, 0.5)
        except StoreError:
            failed += 1
            if failed == 3:
                break
    assert failed == 3
    con.execute("PRAGMA max_page_count = 1000000")
    store.flush()
    found = store.minutes("gate", T0 - 60, T0 + 60 * begun)
    assert [m.frames for m in found] == [1] * begun


FILLED = """
import resource, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from oddframe.events.store import Store, StoreError
from storing import an_event
store = Store(Path(sys.argv[1]))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
put, failed = 0, 0
for index in range(1000):
    try:
        store.put(an_event(index), ["mqtt"])
        put += 1
    except StoreError as error:
        failed += 1
        if failed == 1: print(error)
        if failed == 20: break
print(put, failed, len(store.events(limit=10_000)), store.backlog("mqtt").messages)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.put(an_event(index), ["mqtt"])
print(len(store.events(limit=10_000)), store.backlog("mqtt").messages)
store.close()
"""


def test_writes_that_the_system_refuses(tmp_path):
    """No file may grow over 600 kB for a while: the real error from below, and its end."""
    paths = [str(Path(__file__).parent), str(Path(database.__file__).parents[3])]
    done = subprocess.run(
        [sys.executable, "-c", FILLED.format(paths=paths), str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    message, during, after = done.stdout.splitlines()
    assert "cannot be written" in message
    put, failed, events, messages = map(int, during.split())
    assert failed == 20
    assert put == events == messages > 5
    assert after.split() == [str(put + 1)] * 2
    with Store(tmp_path) as store:
        assert len(store.events(limit=10_000)) == put + 1


def test_a_disk_that_is_really_full(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("may not mount a small disk here")
    try:
        with Store(tmp_path) as store:
            ballast = tmp_path / "ballast"
            ballast.write_bytes(bytes(100_000))
            lost = fill(store)
            before = len(store.events(limit=10_000))
            ballast.unlink()
            assert store.put(lost, ["mqtt"])
            assert len(store.events(limit=10_000)) == before + 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
