"""A RUN that knows what is usual: kept, read again, scored live as in a file, self-tested."""

import json
import shutil

import cv2
import numpy as np
import pytest
from stub_run import CONFIG, write_stub

import oddframe
from encoded import encode
from oddframe.cli import main
from oddframe.data.blobs import Sizes
from oddframe.errors import DatasetError, RunError
from oddframe.models.m2s2l import M2S2L
from oddframe.runs import load_run, save_run
from oddframe.runtime.selftest import selftest_of
from oddframe.scoring.usual import fit_usual
from pieces import Some


def people(t, row=60, step=1):
    """(192, 256, 3): somebody crosses a still, structured ground."""
    rng = np.random.default_rng(7)
    image = rng.integers(90, 130, (192, 256, 3), np.uint8)
    x = (30 + step * t) % 230
    image[row : row + 44, x : x + 18] = rng.integers(0, 60, (44, 18, 3), np.uint8)
    return image


def piece():
    """120 frames of it."""
    return Some([
        cv2.resize(people(t), (256, 256), interpolation=cv2.INTER_AREA) for t in range(120)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_stub(tmp_path_factory.mktemp("usual") / "RUN")
    old, fitted = load_run(folder), fit_usual([piece(), piece()], Sizes(60, 0, 60, 60), 25)
    scene = {**old.scene, **fitted.scene}
    configs = old.card["config"]
    save_run(folder, old.name, old.model(), configs, scene, old.calibration, {}, fitted.usual)
    return folder


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("normal")
    for name, first in (("a", 0), ("b", 50)):
        encode(folder / f"{name}.mkv", 120, 25, "ffv1", size=(256, 192),
               pictures=lambda t, at=first: people(t + at))  # fmt: skip
    return folder


def test_its_streams_are_in_the_terms_and_in_the_score(run, footage):
    detector = oddframe.load(run)
    assert detector.model.config == CONFIG
    result = detector.score(footage / "a.mkv")
    z = np.stack([result.terms[f"z_{s}"] for s in ("frame", "motion", "flow", "way", "stay")])
    known = ~np.isnan(result.score)
    assert known[CONFIG.history :].all()
    assert (result.score[known] <= z.max(0)[known] + 1e-9).all()
    assert np.isfinite(z[:, known]).all()
    heat = result.heat(60)
    assert heat.shape == (192, 256)
    assert np.isfinite(heat).all()


def test_somebody_who_comes_back_is_odd_and_the_heat_map_shows_him(run, footage, tmp_path):
    detector = oddframe.load(run)
    encode(tmp_path / "odd.mkv", 60, 25, "ffv1", size=(256, 192),
           pictures=lambda t: people(100 - t))  # fmt: skip
    odd, normal = (detector.score(p) for p in (tmp_path / "odd.mkv", footage / "a.mkv"))
    assert np.nanmedian(odd.terms["z_way"]) > np.nanmedian(normal.terms["z_way"]) + 3
    heat = odd.heat(40)
    row, column = np.unravel_index(np.argmax(heat), heat.shape)
    assert 50 < row < 115
    assert abs(column - (30 + 60 + 9)) < 40


def test_stream_step_and_file_are_one(run, footage):
    detector = oddframe.load(run)
    want = detector.score(footage / "a.mkv", heat=False).score
    with oddframe.open_source(footage / "a.mkv") as source:
        streamed = [s.score for s in detector.stream(source)]
        state, stepped = detector.init_state(), []
        for frame in source:
            state, score = detector.step(state, frame)
            stepped.append(score.score)
    np.testing.assert_array_equal(streamed, want)
    np.testing.assert_array_equal(stepped, want)


def test_a_run_without_what_it_needs_is_refused(run, tmp_path):
    broken = shutil.copytree(run, tmp_path / "RUN")
    (broken / "usual.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"usual.safetensors cannot be read: it does not hold"):
        oddframe.load(broken)
    (broken / "usual.safetensors").unlink()
    with pytest.raises(RunError, match=r"usual.safetensors cannot be read: .*No such file"):
        oddframe.load(broken)


def test_the_self_test_is_told_and_shown(run, footage, tmp_path, capsys):
    words = ["selftest", str(run), str(footage), "--clips", "3", "--out", str(tmp_path / "s.png"),
             "--json", str(tmp_path / "s.json")]  # fmt: skip
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "made anomalies in 3 clips of normal footage" in told
    assert "somebody running: " in told
    values = json.loads((tmp_path / "s.json").read_text())
    assert set(values["kinds"]) == {"normal", "running", "wrong way", "large", "standing", "left"}
    assert 0 <= values["mean_auc"] <= 1
    assert cv2.imread(str(tmp_path / "s.png")).shape[1] == 720


def test_footage_in_which_nothing_moves_is_refused(run, tmp_path, capsys):
    encode(tmp_path / "still.mkv", 80, 25, "ffv1", size=(256, 192), pictures=lambda _: people(0))
    assert main(["selftest", str(run), str(tmp_path / "still.mkv")]) == 1
    assert "Nothing in the footage can be followed" in capsys.readouterr().err
    videos = oddframe.data.open_dataset(tmp_path).train
    with pytest.raises(DatasetError, match="Nothing in the footage can be followed"):
        selftest_of(oddframe.load(run), videos)


def test_the_model_is_the_same_as_without(run):
    assert isinstance(load_run(run).model(), M2S2L)
    assert load_run(run).card["format"] == 3
