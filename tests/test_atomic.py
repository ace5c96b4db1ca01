"""Files that are written whole or not at all."""

import os
import stat

import pytest

from oddframe import atomic
from oddframe.errors import RunError


def full(path):
    path.write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_files_that_belong_together_stay_as_they_were_where_one_finds_no_room(tmp_path):
    (tmp_path / "weights").write_text("old")
    with pytest.raises(RunError, match=r"Cannot write .*card: No space left.*Nothing was changed"):
        atomic.write_together(
            {tmp_path / "weights": lambda p: p.write_text("new"), tmp_path / "card": full}
        )
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("weights", "old")]


def test_what_is_renamed_is_on_the_disk(tmp_path, monkeypatch):
    seen, real = [], os.fsync

    def fsync(handle):
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        seen.append((folder, sorted(p.name for p in tmp_path.iterdir())[-1]))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic.write_json(tmp_path / "a.json", {"b": 1})
    (file, before), (folder, after) = seen
    assert (file, folder, after) == (False, True, "a.json")
    assert before.startswith(".a.json.")


def test_a_disk_that_tells_only_then_that_it_is_full_leaves_the_file_of_before(
    tmp_path, monkeypatch
):
    (tmp_path / "a.json").write_text("old")
    monkeypatch.setattr(os, "fsync", lambda handle: full(tmp_path / ".a.json.full"))
    with pytest.raises(RunError, match="No space left"):
        atomic.write_json(tmp_path / "a.json", {"b": 1})
    assert (tmp_path / "a.json").read_text() == "old"
