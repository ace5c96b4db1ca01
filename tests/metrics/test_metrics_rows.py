"""Result files are whole or absent; tables carry every protocol in full."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

from oddframe.errors import ProtocolError, RunError
from oddframe.metrics.rows import format_table, load_npz, write_rows_json

ROW = {"method": "m", "protocol": "deploy", "auc": 0.5, "macro_auc": None, "protocol_text": "how"}


def test_rows_come_back_and_folders_are_made(tmp_path):
    path = tmp_path / "new" / "rows.json"
    write_rows_json(path, [{**ROW, "auc": np.float64(0.25), "frames": np.int64(3)}])
    assert json.loads(path.read_text()) == {"rows": [{**ROW, "auc": 0.25, "frames": 3}]}
    assert [p.name for p in path.parent.iterdir()] == ["rows.json"]


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "rows.json"
    path.write_text("before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        write_rows_json(path, [ROW])
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["rows.json"]


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Cannot write"):
        write_rows_json(tmp_path / "file" / "rows.json", [ROW])
    with pytest.raises(RunError, match="Cannot write"):
        write_rows_json(tmp_path, [ROW])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_values_that_json_has_not_are_refused_before_writing(tmp_path, value):
    with pytest.raises(RunError, match="do not fit JSON"):
        write_rows_json(tmp_path / "rows.json", [{**ROW, "auc": value}])
    assert not list(tmp_path.iterdir())


def test_table_shows_percent_and_every_protocol_text():
    other = {**ROW, "method": "floor", "macro_auc": 0.98765, "protocol_text": "otherwise"}
    text = format_table([ROW, other, {**ROW, "protocol": "paper", "protocol_text": "third"}])
    assert "50.00" in text
    assert "98.77" in text
    assert "deploy/a: how" in text
    assert "deploy/b: otherwise" in text
    assert "paper: third" in text
    assert format_table([ROW]).endswith("deploy: how")


def test_files_that_are_no_plain_npz_are_refused(tmp_path):
    def write(name: str, content: bytes):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "good.npz", a=np.ones(300))
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    np.savez(tmp_path / "none.npz")
    good = (tmp_path / "good.npz").read_bytes()
    for path, message in [
        (tmp_path / "absent.npz", "cannot be read"),
        (tmp_path, "cannot be read"),
        (tmp_path / "one.npy", "no npz"),
        (tmp_path / "objects.npz", "Python objects"),
        (tmp_path / "none.npz", "empty"),
        (write("empty.npz", b""), "no npz"),
        (write("text.npz", b"hello"), "no npz"),
        (write("cut.npz", good[: len(good) // 2]), "cannot be read"),
        (write("bent.npz", good.replace(b"NUMPY", b"NUMBY")), "Expected an .npz"),
    ]:
        with pytest.raises(ProtocolError, match=message):
            load_npz(path)
