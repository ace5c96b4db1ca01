"""Names of files: order, other alphabets, and what systems leave in folders."""

import os
import random
import unicodedata

import pytest

from oddframe.sources.names import (
    LARGE,
    LeftOut,
    is_junk,
    is_system,
    left_out,
    naturally,
    same_text,
)


@pytest.mark.parametrize(
    "wanted",
    [
        ["1", "2", "9", "10", "11", "100"],
        ["a1", "a2", "a10", "b1"],
        ["1.1", "1.2", "1.9", "1.10", "1.11"],  # versions: 1.10 is no decimal anybody writes
        ["12.25", "12.3", "12.5", "13.0"],  # stamps in seconds
        ["t0.5", "t0.75", "t1.125"],
        ["2024.01", "2024.02", "2024.10"],
        ["cam1_2", "cam1_10", "cam2_1"],
        ["frame-9", "frame-10"],
    ],
)
def test_numbers_go_by_their_value(wanted):
    mixed = wanted.copy()
    for seed in range(5):
        random.Random(seed).shuffle(mixed)
        assert naturally(mixed) == wanted


def test_one_name_in_two_forms_of_unicode_is_one():
    two = [unicodedata.normalize(form, "entrée") for form in ("NFC", "NFD")]
    assert two[0] != two[1]
    assert same_text(two[0]) == same_text(two[1])
    lone = "entr\udce9e"  # not UTF-8 at all
    assert same_text(lone) == lone


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "._a.mp4", "System Volume Information",
     "Thumbs.db", "#snapshot"],
)  # fmt: skip
def test_what_systems_leave_is_no_footage(tmp_path, name):
    assert is_system(tmp_path / name)
    assert is_junk(tmp_path / name)
    assert not is_system(tmp_path / ".hidden")
    assert not is_junk(tmp_path / "recycle.mp4")


def test_it_is_counted_and_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    for name in ("a/@eaDir/x", "a/b/#recycle", "c", ".git/y", "d.jpg"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a/._v.mp4", "a/._0.jpg", "a/1.JPG", "a/notes.txt"):
        (tmp_path / name).touch()
    for name in ("a/v.mp4", "d.jpg/v.odd"):
        (tmp_path / name).write_bytes(bytes(LARGE))
    closed = tmp_path / "c"
    real, asked = os.access, []
    monkeypatch.setattr(
        "oddframe.sources.names.os.access",
        lambda p, how: asked.append(p.name) or (p != closed and real(p, how)),
    )
    found = left_out(tmp_path, 4, {".jpg"}, {".mp4", ".txt"})
    assert {p.name for p in found.system} == {"._v.mp4", "._0.jpg", "@eaDir", "#recycle"}
    assert found.unreadable == (closed,)
    assert found.unknown == (tmp_path / "d.jpg/v.odd",)
    assert "1.JPG" not in asked  # of pictures there are too many
    assert left_out(tmp_path / "nothing", 4, set(), set()) == LeftOut((), (), ())
