"""JSONL: a line is there once, whole, whatever happens between writing and being believed."""

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from overthere import START, told

from oddframe.errors import ConfigError
from oddframe.events.event import Event
from oddframe.sinks import make_sink
from oddframe.sinks.base import Later


def sink(path, **settings):
    made = make_sink({"kind": "jsonl", "path": path, **settings})
    made.start()
    return made


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_line_holds_key_time_and_event(tmp_path):
    path = tmp_path / "a" / "events.jsonl"
    s = sink(path)
    messages = [told(state) for state in ("start", "update", "end")]
    for message in messages:
        assert s.send(message) is None
    s.close()
    found = lines(path)
    assert [line["key"] for line in found] == [m.key for m in messages]
    assert Event.read(found[0]) == messages[0].event
    assert found[0]["sent_utc"] > START


def test_no_line_twice_after_a_kill_between_write_and_receipt(tmp_path):
    path = tmp_path / "events.jsonl"
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from oddframe.sinks import make_sink
from overthere import told
s = make_sink({{"kind": "jsonl", "path": {str(path)!r}}})
s.start()
s.send(told("start"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    s = sink(path)
    s.send(told("start"))  # the outbox doesn't know that it was taken
    s.send(told("end"))
    s.close()
    assert [line["key"] for line in lines(path)] == [told("start").key, told("end").key]


@pytest.mark.parametrize("kept", [1, 40, -2], ids=["one byte", "half", "all but its brace"])
def test_a_torn_last_line_is_taken_off_and_said_again(tmp_path, kept):
    path = tmp_path / "events.jsonl"
    s = sink(path)
    s.send(told("start"))
    whole = path.read_bytes()
    s.send(told("end"))
    s.close()
    last = path.read_bytes()[len(whole) :].rstrip(b"\n")
    path.write_bytes(whole + last[:kept])
    s = sink(path)
    assert path.read_bytes() == whole
    s.send(told("start"))
    s.send(told("end"))
    s.close()
    assert [line["state"] for line in lines(path)] == ["start", "end"]


def test_a_whole_last_line_without_its_end_is_kept(tmp_path):
    path = tmp_path / "events.jsonl"
    s = sink(path)
    s.send(told("start"))
    s.close()
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    s = sink(path)
    s.send(told("start"))
    s.send(told("end"))
    s.close()
    assert [line["state"] for line in lines(path)] == ["start", "end"]


def test_full_files_are_moved_on_and_their_keys_remembered(tmp_path):
    path = tmp_path / "events.jsonl"
    s = sink(path, most_mb=0.002, keep=2)
    messages = [told(at=START + i) for i in range(20)]
    for message in messages:
        s.send(message)
    s.close()
    sizes = {p.name: p.stat().st_size for p in tmp_path.iterdir()}
    assert set(sizes) == {"events.jsonl", "events.jsonl.1", "events.jsonl.2"}
    assert max(sizes.values()) <= 2000
    kept = [line["key"] for n in (".2", ".1", "") for line in lines(tmp_path / f"events.jsonl{n}")]
    assert kept == [m.key for m in messages][-len(kept) :]
    before = len(lines(path))
    s = sink(path, most_mb=0.002, keep=2)
    s.send(messages[-1 - before])  # stands in the file before
    s.close()
    assert len(lines(path)) == before


def test_a_file_that_somebody_else_moves_is_begun_anew(tmp_path):
    path = tmp_path / "events.jsonl"
    s = sink(path)
    s.send(told("start"))
    path.rename(tmp_path / "rotated")
    s.send(told("end"))
    (tmp_path / "rotated").unlink()
    s.close()
    assert [line["state"] for line in lines(path)] == ["end"]


@contextmanager
def no_more_than(size):
    """No file may grow beyond: a write goes halfway, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_line_and_passes(tmp_path):
    path = tmp_path / "events.jsonl"
    s = sink(path)
    s.send(told("start"))
    size = path.stat().st_size
    with no_more_than(size + 100), pytest.raises(Later, match=r"cannot be written.*waits") as error:
        s.send(told("end"))
    assert str(path) in str(error.value)
    assert path.stat().st_size == size
    s.send(told("end"))
    s.close()
    assert [line["state"] for line in lines(path)] == ["start", "end"]


def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path):
    (tmp_path / "file").write_text("")
    s = make_sink({"kind": "jsonl", "path": tmp_path / "file" / "events.jsonl"})
    with pytest.raises(Later):
        s.start()
    (tmp_path / "file").unlink()
    s.send(told())
    assert len(lines(tmp_path / "file" / "events.jsonl")) == 1


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        make_sink({"kind": "jsonl", "path": tmp_path})


def test_a_line_is_on_the_disk_before_it_is_believed(tmp_path, monkeypatch):
    s = sink(tmp_path / "events.jsonl")
    calls = []
    write, sync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda *a: (calls.append("write"), write(*a))[1])
    monkeypatch.setattr(os, "fsync", lambda *a: (calls.append("sync"), sync(*a))[1])
    s.send(told())
    assert calls == ["write", "sync"]
    s.close()
