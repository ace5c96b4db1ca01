"""`oddframe bench` as a user types it."""

from __future__ import annotations

import json

import pytest

from oddframe.cli import main


def test_bench_prints_a_table_and_writes_what_it_printed(tmp_path, capsys):
    picture = tmp_path / "new" / "b.svg"
    files = ["--json", str(tmp_path / "new" / "b.json"), "--picture", str(picture)]
    assert main(["bench", "train", "--quick", *files]) == 0
    assert "chunked" in picture.read_text("utf8")
    out, err = capsys.readouterr()
    found = json.loads((tmp_path / "new" / "b.json").read_text("utf8"))
    assert found["bench"] == "train"
    assert found["quick"]
    rows = {row["name"]: row for row in found["tables"][0]["rows"]}
    assert rows["chunked"]["ratio_chunked"] == 1
    assert all(name in out for name in rows)
    assert "trust" in out or found["machine"]["load"] is None or found["machine"]["load"] <= 0.5
    assert "train: one step" in err  # progress, and nothing of it on stdout
    assert "train: one step" not in out


@pytest.mark.parametrize("name", ["sacn", ""])
def test_an_unknown_bench_is_one_paragraph(name, capsys):
    assert main(["bench", name]) == 1
    err = capsys.readouterr().err
    assert err == f"error: bench knows scan, stream, train, found {name!r}.\n"


def test_a_file_that_cannot_be_written_is_said_before_the_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["bench", "train", "--quick", "--json", str(tmp_path / "file" / "b.json")]) == 1
    assert "Cannot write to" in capsys.readouterr().err
