"""Files: an exported RUN in ONNX Runtime and in torch alone, against the RUN itself."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from exporting import picture, write_run, write_video

import oddframe
from oddframe.cli import main
from oddframe.errors import ConfigError, RunError
from oddframe.export.card import EXTRA, Card, fingerprint
from oddframe.export.plan import plan_run
from oddframe.export.write import export_run
from oddframe.pictures import Plain
from oddframe.runs import load_run, write_calibration
from oddframe.runtime.onnx_scorer import OnnxStep
from oddframe.scoring.settings import ScoreConfig
from oddframe.types import Frame

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

REPO = Path(__file__).resolve().parents[2]
WITHIN = 1e-4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A RUN whose score has a stream of OpenCV's; no test changes it."""
    return write_run(tmp_path_factory.mktemp("export") / "RUN", "mnad-128")


@pytest.fixture(scope="module")
def file(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_run(load_run(run), out, "onnx")
    return out


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "clip")


def test_a_video_in_onnx_runtime_scores_as_in_torch(run, file, video):
    want = oddframe.load(run).score(video)
    found = oddframe.load(run, onnx=file).score(video)
    assert int(np.isnan(want.score).sum()) == 4
    np.testing.assert_allclose(found.score, want.score, atol=WITHIN)
    np.testing.assert_allclose(found.level, want.level, atol=WITHIN)
    assert list(found.terms) == list(want.terms)
    assert {"z_flow", "own", "distance"} <= set(found.terms)
    for name, values in want.terms.items():
        np.testing.assert_allclose(found.terms[name], values, rtol=1e-4, atol=WITHIN, err_msg=name)
    np.testing.assert_allclose(found.heat(10), want.heat(10), atol=1e-3)


def test_the_pictures_behind_a_score_are_the_same(run, file, video):
    for (_, _, a), (_, _, b) in zip(
        oddframe.load(run).observe(video), oddframe.load(run, onnx=file).observe(video), strict=True
    ):
        assert (a is None) == (b is None)
        if a is not None:
            assert torch.equal(a.shown, b.shown)
            torch.testing.assert_close(a.predicted, b.predicted, rtol=0, atol=1e-5)


def test_behind_a_gap_the_history_starts_anew(run, file):
    detectors = oddframe.load(run), oddframe.load(run, onnx=file)
    scores = []
    for detector in detectors:
        state, own = detector.init_state(), []
        for i in range(16):
            frame = Frame(i, i / 25, Plain(picture(i, 48, 64)), gap=i == 8)
            state, score = detector.step(state, frame)
            own.append(score.score)
        scores.append(own)
    assert np.isnan(scores[0]).tolist() == 2 * (4 * [True] + 4 * [False])
    np.testing.assert_allclose(scores[1], scores[0], atol=WITHIN)


def test_a_user_of_the_file_alone_gets_the_term_own(run, file):
    detector, step = oddframe.load(run), OnnxStep(file)
    state, known = detector.init_state(), step.init_state()
    for i in range(12):
        image = picture(i, 32, 32)
        state, score = detector.step(state, image)
        known, out = step(known, {"picture": image})
        np.testing.assert_allclose(
            out["score"], score.terms.get("own", np.nan), atol=WITHIN, equal_nan=True
        )


def test_pictures_of_any_size_go_in(run, file):
    detector, step = oddframe.load(run), OnnxStep(file)
    state, known = detector.init_state(), step.init_state()
    for i in range(8):
        image = picture(i, 97, 130)
        state, score = detector.step(state, image)
        known, out = step(known, {"picture": image})
    np.testing.assert_allclose(out["score"], score.terms["own"], atol=0.05)


def test_the_file_says_what_it_is(run, file):
    card = OnnxStep(file).card
    assert (card.model, card.size, card.history, card.fps) == ("mnad-128", 32, 4, 25.0)
    assert (card.score, card.threshold, card.threshold_of_full) == ("own", None, 2.0)
    assert (card.streams, card.left_out) == (("frame",), ("flow",))
    assert card.run == fingerprint(load_run(run))
    assert Card.read(card.text(), "here") == card
    with pytest.raises(RunError, match="no file that `oddframe export`"):
        Card.read({"model": "mnad"}, "here")


def test_the_file_tells_nothing_of_the_machine(file):
    data = file.read_bytes()
    for place in (str(REPO), str(Path(torch.__file__).parent), "site-packages", "stack_trace"):
        assert place.encode() not in data


@pytest.mark.parametrize("late", [{"lag_s": 0.8}, {"smooth": 0.9}], ids=str)
def test_a_threshold_found_for_a_score_that_is_not_in_the_file_is_not_handed_on(tmp_path, late):
    run = write_run(tmp_path / "RUN", "mnad-128", ScoreConfig(flow=False, **late))
    card = plan_run(load_run(run), "clip").card
    assert (card.score, card.threshold, card.threshold_of_full) == ("full", None, 2.0)
    step = plan_run(load_run(run), "step").card
    assert step.threshold == (2.0 if "smooth" in late else None)  # a step's state smooths


def test_a_new_threshold_leaves_the_file_good_and_new_weights_do_not(run, file, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "RUN"))
    write_calibration(load_run(copy), {"threshold": 7.0})
    assert oddframe.load(copy, onnx=file).info.threshold == 7.0
    card = json.loads((copy / "model.json").read_text())
    card["scene"]["frame"]["mean"] += 1
    (copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(RunError, match="exported from another RUN"):
        oddframe.load(copy, onnx=file)


def test_what_is_no_export_is_refused(run, tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        oddframe.load(run, onnx=tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(RunError, match="cannot be loaded by ONNX Runtime"):
        oddframe.load(run, onnx=tmp_path / "bad.onnx")


def test_onnx_is_float32_on_the_cpu(run, file):
    for choice in ({"precision": "bfloat16"}, {"compiled": True}):
        with pytest.raises(ConfigError, match="float32 on the CPU"):
            oddframe.load(run, onnx=file, **choice)


def test_without_the_extra_it_is_said(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"oddframe\[onnx\]"):
        export_run(load_run(run), tmp_path / "model.onnx", "onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"oddframe\[onnx\]"):
        OnnxStep(tmp_path / "model.onnx")


ALONE = """
import json, sys
import numpy as np, torch
sys.modules["oddframe"] = None  # what is imported nevertheless fails
extra = {"card.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra)
step, state, scores = program.module(), program.example_inputs[0][1], []
pictures = np.load(sys.argv[2])
card = json.loads(extra["card.json"])
for picture in pictures:
    out = step(torch.from_numpy(picture), state)
    state = out["state"]
    scores.append(float(out["score"]))
print(json.dumps({"scores": scores, "model": card["model"]}))
"""


def test_torch_runs_its_file_without_oddframe(run, tmp_path):
    export_run(load_run(run), tmp_path / "model.pt2", "torch")
    pictures = [picture(i, 32, 32) for i in range(10)]
    np.save(tmp_path / "pictures.npy", np.stack(pictures))
    files = [str(tmp_path / name) for name in ("model.pt2", "pictures.npy")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE, *files], capture_output=True, text=True,
        check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    detector = oddframe.load(run)
    state, want = detector.init_state(), []
    for image in pictures:
        state, score = detector.step(state, image)
        want.append(score.terms.get("own", np.nan))
    np.testing.assert_allclose(found["scores"], want, atol=WITHIN)
    assert found["model"] == "mnad-128"
    assert EXTRA == "card.json"
    with zipfile.ZipFile(tmp_path / "model.pt2") as parts:
        for name in parts.namelist():
            assert str(REPO).encode() not in parts.read(name), name


def test_the_script_of_the_docs_runs(run, file, make_video, tmp_path):
    text = (REPO / "docs" / "export.md").read_text("utf8")
    (script,) = re.findall(r"```python\n# alone\.py\n(.*?)```", text, re.DOTALL)
    assert len(script.strip().splitlines()) <= 15
    (tmp_path / "alone.py").write_text(script)
    clip = make_video(tmp_path / "clip.avi", frames=8)
    done = subprocess.run(
        [sys.executable, "alone.py", str(file), str(clip)], cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = [float(line) for line in done.stdout.splitlines()[1:]]
    assert np.isnan(scores).tolist() == 4 * [True] + 4 * [False]


def test_the_command_line_scores_with_a_file(run, file, video, tmp_path, capsys):
    words = ["score", str(run), str(video), "--fps", "25"]
    assert main([*words, "--out", str(tmp_path / "torch")]) == 0
    told = ["--runtime", "onnx", "--onnx", str(file), "--out", str(tmp_path / "onnx")]
    assert main([*words, *told]) == 0
    a, b = (
        np.genfromtxt(tmp_path / name / "clip.csv", delimiter=",", names=True)
        for name in ("torch", "onnx")
    )
    np.testing.assert_allclose(b["score"], a["score"], atol=WITHIN)
    assert main([*words, "--out", str(tmp_path), "--onnx", str(file)]) == 2
    assert main([*words, "--out", str(tmp_path), "--runtime", "jax"]) == 2


def test_the_command_line_refuses_in_words(run, tmp_path, capsys):
    out = ["--out", str(tmp_path / "x")]
    assert main(["export", str(run), "--to", "tflite", *out]) == 2
    assert main(["export", str(run), "--to", "onnx", "--scan", "loop", *out]) == 2
    assert main(["export", str(run), "--to", "onnx", "--scan", "linear-attention", *out]) == 1
    assert "no selective scan" in capsys.readouterr().err
    assert main(["export", str(run), "--to", "torch", "--scan", "linear-attention", *out]) == 1
    assert "operator of ONNX" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
