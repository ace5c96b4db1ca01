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


def test_bench_stream_takes_models_by_name(tmp_path, capsys):
    file = tmp_path / "b.json"
    names = ["--model", "conv-ae-128", "--model", "mnad"]
    assert main(["bench", "stream", "--quick", "--clip", *names, "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "published fps: M2S2L, Table I (mnad)" in out
    (table,) = json.loads(file.read_text("utf8"))["tables"]
    rows = {row["name"]: row for row in table["rows"]}
    assert rows["mnad, new frame"]["published_fps"] == 65
    assert {"mnad, clip", "conv-ae-128, new frame", "conv-ae-128, clip"} <= rows.keys()
    assert not any(name.startswith("m2s2l") for name in rows)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["stream", "--model", "mnads"], "Unknown model 'mnads'. Did you mean mnad?"),
        (["stream", "--model", "mnad", "--device", "cuda"], "Device cuda is not there"),
        (["stream", "--device", "tpu"], "Unknown device 'tpu'"),
        (["stream", "--runtime", "jax"], "bench stream --runtime is torch or onnx, found 'jax'"),
        (["scan", "--device", "cuda"], "bench scan takes no choice of models, device, clip"),
        (["scan", "--runtime", "onnx"], "bench scan takes no choice of models, device, clip"),
    ],
)
def test_a_choice_that_cannot_be_had_is_one_paragraph(asked, said, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert main(["bench", *asked]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1
    assert not out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_onnx_runtime_stands_beside_torch(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "stream.json"
    asked = ["--model", "mnad-128", "--runtime", "onnx", "--json", str(file)]
    assert main(["bench", "stream", "--quick", *asked]) == 0
    (table,) = json.loads(file.read_text())["tables"]
    rows = {row["name"]: row for row in table["rows"]}
    assert rows["mnad-128, onnx"]["ms"] > 0
    assert rows["mnad-128, onnx"].keys() <= rows["mnad-128, new frame"].keys()
    assert any(note.startswith("onnx: the exported step") for note in table["notes"])
