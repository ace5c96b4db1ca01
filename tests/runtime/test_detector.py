"""One code path: score, stream, segments and interleaved streams give the same numbers."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from stub_run import HISTORY, street, write_stub

import oddframe
from oddframe.data import to_model
from oddframe.errors import ConfigError, RunError, SourceError
from oddframe.metrics import psnr
from oddframe.runtime.alarms import Alarms
from oddframe.runtime.detector import AHEAD
from oddframe.runtime.result import write_csv
from oddframe.scoring.lag import centred_median
from oddframe.sources import Source

ODD = 20


class Live(Source):
    """Frames as a camera gives them: nobody reads ahead."""

    live = True

    def __init__(self, frames, info):
        super().__init__(info)
        self._given = frames

    def _frames(self):
        return self._given()


@pytest.fixture(scope="session")
def detector(shared_run):
    return oddframe.load(shared_run)


def test_a_result_holds_one_value_per_frame_and_nan_before_the_history(
    detector, write_street, tmp_path
):
    seen = []
    folder = write_street(tmp_path / "clip", odd_from=ODD)
    result = detector.score(folder, progress=lambda done, total: seen.append((done, total)))
    assert result.name == "clip"
    for values in (result.score, result.level, result.time_s, result.alarm, *result.terms.values()):
        assert values.shape == (30,)
    assert np.isnan(result.score[:HISTORY]).all()
    assert np.isfinite(result.score[HISTORY:]).all()
    assert all(np.isnan(term[:HISTORY]).all() for term in result.terms.values())
    assert result.time_s[-1] == pytest.approx(29 / 25)
    assert {"psnr", "own", "z_frame", "z_motion", "z_flow"} <= set(result.terms)
    np.testing.assert_allclose(
        result.level[HISTORY:], np.maximum(result.score[HISTORY:], 0) / detector.info.threshold
    )
    assert result.alarm.dtype == bool
    assert not result.alarm[:ODD].any()
    assert result.alarm[ODD + 2 :].any()
    assert seen[-1] == (30, 30)


def test_stream_equals_score_bit_for_bit(detector, write_street, tmp_path):
    folder = write_street(tmp_path / "clip", odd_from=ODD)
    result = detector.score(folder)
    with oddframe.open_source(folder) as source:
        streamed = list(detector.stream(source))
    assert [s.index for s in streamed] == list(range(30))
    np.testing.assert_array_equal([s.score for s in streamed], result.score)
    np.testing.assert_array_equal([s.alarm for s in streamed], result.alarm)


def readers():
    return [t for t in threading.enumerate() if t.name == "oddframe-ahead"]


class Made(oddframe.sources.Source):
    """Pictures of the street, and a note of every one that was asked for."""

    def __init__(self, frames=8, live=False, odd_from=10**6, pause_s=0.0):
        super().__init__(oddframe.types.SourceInfo("made", 64, 48, 25.0, None))
        self.frames, self.live, self.odd_from, self.pause_s = frames, live, odd_from, pause_s
        self.given, self.ended, self.closed_in_use = [], True, False

    def _frames(self):
        self.ended = False
        try:
            for index in range(self.frames):
                self.given.append(index)
                time.sleep(self.pause_s)
                yield oddframe.Frame(index, index / 25, street(index, odd_from=self.odd_from))
        finally:
            self.ended = True

    def close(self):
        super().close()
        self.closed_in_use = not self.ended


def test_what_was_held_against_what_comes_with_the_same_scores(detector, write_street, tmp_path):
    folder = write_street(tmp_path / "v", frames=range(14), odd_from=8)
    plain = list(detector.follow(folder))
    seen = list(detector.observe(folder))
    assert len(plain) == 14
    for (_, one), (_, other, pictures) in zip(plain, seen, strict=True):
        assert one.terms == other.terms
        assert (pictures is None) == (one.index < HISTORY)
        if pictures is not None:
            for name, x, y in (
                ("psnr_frame", pictures.shown, pictures.predicted),
                ("psnr_motion", pictures.moved, pictures.motion),
            ):
                assert psnr(y.numpy(), x.numpy(), max_value=2.0) == pytest.approx(one.terms[name])
    frame, _, pictures = seen[-1]
    size = detector.info.size
    np.testing.assert_array_equal(pictures.shown, to_model(frame.at(size), size))


def test_a_live_score_comes_before_the_next_frame_is_read(detector):
    camera = Made(live=True)
    for score in detector.stream(camera):
        assert camera.given[-1] == score.index
        assert not readers()


def test_a_file_is_read_a_few_frames_ahead_and_no_more(detector):
    source = Made(frames=20)
    lead = [source.given[-1] - score.index for score in detector.stream(source)]
    assert 1 <= max(lead) <= AHEAD


def everything(score):
    """All of a score, so that equal means equal in every bit (and NaN equals itself)."""
    heat = None if score.heat is None else score.heat.tobytes()
    return repr(
        (score.index, score.pts_s, score.score, score.level, score.alarm, score.terms)
    ), heat


def test_reading_ahead_changes_no_bit_of_what_step_gives(detector):
    source = Made(frames=30, odd_from=ODD)
    state, one_by_one = detector.init_state(), []
    for frame in source:
        state, score = detector.step(state, frame.image, frame.pts_s)
        one_by_one.append(everything(score))
    assert any(heat for _, heat in one_by_one)
    assert [everything(s) for s in detector.stream(source)] == one_by_one
    assert [everything(s) for s in detector.stream(Made(30, live=True, odd_from=ODD))] == one_by_one


def test_two_interleaved_sources_do_not_touch_each_other(detector):
    alone = [[everything(s) for s in detector.stream(Made(20, odd_from=o))] for o in (8, ODD)]
    pairs = zip(*(detector.stream(Made(20, odd_from=o)) for o in (8, ODD)), strict=True)
    both = [list(side) for side in zip(*pairs, strict=True)]
    assert [[everything(s) for s in side] for side in both] == alone
    assert alone[0] != alone[1]


def test_a_damaged_frame_is_an_error_after_the_scores_before_it(detector, write_street, tmp_path):
    folder = write_street(tmp_path / "clip", range(12))
    (folder / "0007.png").write_bytes(b"")
    seen = []
    with pytest.raises(SourceError, match=r"0007\.png"):
        seen.extend(score.index for score in detector.stream(folder))
    assert seen == list(range(7))
    assert not readers()


def test_a_source_that_gives_no_picture_is_refused(detector, monkeypatch):
    monkeypatch.setattr("test_detector.street", lambda *_, **__: np.zeros((4, 4), np.uint8))
    with pytest.raises(ConfigError, match="BGR uint8"):
        list(detector.stream(Made()))


@pytest.mark.parametrize("verb", ["score", "stream", "follow"])
def test_a_source_is_not_closed_while_it_is_read(detector, monkeypatch, verb):
    source = Made(frames=50, pause_s=0.01)
    monkeypatch.setattr("oddframe.runtime.detector.open_as", lambda *_: source)

    def enough(done, _):
        if done == 3:
            raise KeyboardInterrupt

    if verb == "score":
        with pytest.raises(KeyboardInterrupt):
            detector.score("clip", progress=enough)
    else:
        scores = getattr(detector, verb)("clip")
        for _ in range(3):
            next(scores)
        assert len(readers()) == 1
        scores.close()
    assert len(source.given) < 50
    assert source.ended
    assert not source.closed_in_use
    assert not readers()


def test_streams_in_one_call_get_what_each_gets_alone(detector):
    """One older than the others, one of another picture size, one that has just begun."""
    sizes, ages = ((64, 48), (96, 80), (64, 48)), (7, 3, 0)
    videos = [
        [cv2.resize(street(i, odd_from=8), size) for i in range(age + 15)]
        for size, age in zip(sizes, ages, strict=True)
    ]
    alone = [[], [], []]
    states = []
    for video, age, scores in zip(videos, ages, alone, strict=True):
        state = detector.init_state()
        for i, image in enumerate(video):
            if i == age:
                states.append(state)
            state, score = detector.step(state, image, i / 25)
            scores.append(score)
    for i in range(15):
        images = [video[age + i] for video, age in zip(videos, ages, strict=True)]
        times = [(age + i) / 25 for age in ages]
        states, scores = detector.step_batch(states, images, times)
        for score, own, age in zip(scores, alone, ages, strict=True):
            want = own[age + i]
            assert (score.index, score.pts_s, score.alarm) == (want.index, want.pts_s, want.alarm)
            np.testing.assert_allclose(score.score, want.score, rtol=1e-4, atol=1e-4)
            assert score.terms.keys() == want.terms.keys()


def test_streams_that_do_not_match_their_pictures_are_refused(detector):
    state, image = detector.init_state(), street(0)
    with pytest.raises(ConfigError, match="found 2 states, 1 images"):
        detector.step_batch([state, state], [image])
    with pytest.raises(ConfigError, match="BGR uint8"):
        detector.step_batch([state], [image[..., 0]])
    assert detector.step_batch([], []) == ([], [])


def test_bfloat16_moves_the_scores_a_little(detector, shared_run):
    fast = oddframe.load(shared_run, precision="bfloat16")
    assert (detector.info.precision, fast.info.precision) == ("float32", "bfloat16")
    images = [street(i, odd_from=ODD) for i in range(30)]
    whole, moved = ([], [])
    for each, scores in ((detector, whole), (fast, moved)):
        state = each.init_state()
        for image in images:
            state, score = each.step(state, image)
            scores.append(score.terms.get("psnr_frame", np.nan))
    known = np.isfinite(whole)
    assert not np.array_equal(np.array(whole)[known], np.array(moved)[known])
    np.testing.assert_allclose(np.array(moved)[known], np.array(whole)[known], atol=1.0)


def test_an_unknown_precision_names_the_known_ones(shared_run):
    with pytest.raises(ConfigError, match="float32 or bfloat16, found 'half'"):
        oddframe.load(shared_run, precision="half")


def test_compiling_without_a_compiler_is_one_sentence(shared_run, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler"):
        oddframe.load(shared_run, compiled=True)


@pytest.mark.slow
def test_a_compiled_model_gives_the_same_scores(detector, shared_run, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiled = oddframe.load(shared_run, compiled=True)
    states, found = [detector.init_state(), compiled.init_state()], ([], [])
    for i in range(HISTORY + 6):
        for which, each in enumerate((detector, compiled)):
            states[which], score = each.step(states[which], street(i))
            found[which].append(score.score)
    assert any(tmp_path.iterdir())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-3)


def test_segments_with_k_frames_of_overlap_give_the_same_scores(detector, write_street, tmp_path):
    whole = detector.score(write_street(tmp_path / "whole", range(36), odd_from=ODD)).score
    k = detector.info.overlap
    assert k == HISTORY
    for start, stop in ((0, 13), (13, 25), (25, 36)):
        early = max(0, start - k)
        folder = write_street(tmp_path / f"{start}", range(early, stop), odd_from=ODD)
        part = detector.score(folder, heat=False).score
        np.testing.assert_array_equal(part[start - early :], whole[start:stop])


def test_smoothing_leaves_no_exact_overlap(tmp_path):
    assert oddframe.load(write_stub(tmp_path / "RUN", smooth=0.5)).info.overlap is None


def test_two_interleaved_streams_do_not_touch_each_other(detector):
    one = [street(i) for i in range(14)]
    two = [street(i + 50, odd_from=55) for i in range(14)]

    def alone(images):
        state, found = detector.init_state(), []
        for image in images:
            state, score = detector.step(state, image)
            found.append(score.score)
        return found

    states = [detector.init_state(), detector.init_state()]
    found = [[], []]
    for pair in zip(one, two, strict=True):
        for camera, image in enumerate(pair):
            states[camera], score = detector.step(states[camera], image)
            found[camera].append(score.score)
    np.testing.assert_array_equal(found[0], alone(one))
    np.testing.assert_array_equal(found[1], alone(two))


def test_an_old_state_can_be_used_again(detector):
    state = detector.init_state()
    for i in range(6):
        state, _ = detector.step(state, street(i))
    first = detector.step(state, street(6))[1]
    detector.step(state, street(90))
    again = detector.step(state, street(6))[1]
    assert first.score == again.score


@pytest.mark.parametrize(("width", "height"), [(64, 48), (90, 40), (33, 71)])
def test_heat_lies_on_the_source_picture(detector, write_street, tmp_path, width, height):
    folder = write_street(tmp_path / "clip", range(26), ODD, width, height)
    result = detector.score(folder)
    heat = result.heat(23)
    assert heat.shape == (height, width)
    assert heat.dtype == np.float32
    row, col = divmod(int(np.argmax(heat)), width)
    assert row < 26  # the box is at rows 4-16; flow is a mean over 24 of 64 rows
    assert col > width / 2
    assert np.isnan(result.heat(0)).all()
    assert result.maps[23].dtype == np.float16
    with pytest.raises(IndexError):
        result.heat(26)


def test_heat_that_was_not_kept_is_an_error(detector, write_street, tmp_path):
    result = detector.score(write_street(tmp_path / "clip", range(8)), heat=False)
    with pytest.raises(ConfigError, match="heat=True"):
        result.heat(0)


def test_each_light_has_its_threshold_as_when_it_is_watched(run_copy, shared_run, tmp_path):
    """By day 3, by infrared 9; of all light together 5."""
    card = json.loads((run_copy / "model.json").read_text())
    lights = {"colour": {"threshold": 3.0}, "infrared": {"threshold": 9.0}}
    card["calibration"] |= {"threshold": 5.0, "modes": lights}
    (run_copy / "model.json").write_text(json.dumps(card))
    detector, plain = oddframe.load(run_copy), oddframe.load(shared_run)
    grey = [np.repeat(street(i, odd_from=7)[..., :1], 3, 2) for i in range(12)]
    bright = [image.copy() for image in grey]
    for image in bright:
        image[:, :30] = (200, 60, 40)
    for name, images, limit in (("night", grey, 9.0), ("day", bright, 3.0)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images):
            cv2.imwrite(str(tmp_path / name / f"{i:03d}.png"), image)
        found, alarms = detector.score(tmp_path / name), Alarms({})
        assert np.nanmax(found.score) > limit
        np.testing.assert_array_equal(found.level, np.maximum(found.score, 0) / limit)
        np.testing.assert_array_equal(found.score, plain.score(tmp_path / name).score)
        for score in detector.stream(tmp_path / name):
            assert score.threshold == limit
            alarms.take(score, oddframe.open_source(tmp_path / name).info)
        assert alarms.finish()[0].level == pytest.approx(np.nanmax(found.level))
    states, dusk = [detector.init_state()] * 2, []
    for i, (night, day) in enumerate(zip(grey, bright, strict=True)):
        before = states
        states, scores = detector.step_batch(states, [night, day], [float(i)] * 2)
        assert [s.threshold for s in scores] == [9.0, 3.0]
        _, again = detector.step(before[0], night, float(i))
        assert again.level == pytest.approx(scores[0].level, nan_ok=True)
    for i in range(12, 18):  # a lamp goes on
        states[0], score = detector.step(states[0], bright[0], float(i))
        dusk.append(score.threshold)
    assert dusk == [9.0] * 3 + [3.0] * 3


def test_a_run_without_calibration_has_no_levels_and_no_alarms(write_street, tmp_path):
    detector = oddframe.load(write_stub(tmp_path / "RUN", threshold=None))
    result = detector.score(write_street(tmp_path / "clip", odd_from=ODD))
    assert np.isnan(result.level).all()
    assert not result.alarm.any()
    assert detector.info.threshold is None


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
    ids=["grey", "float", "empty"],
)
def test_what_is_no_picture_is_refused(detector, image):
    with pytest.raises(ConfigError, match="BGR uint8"):
        detector.step(detector.init_state(), image)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_an_unknown_device_is_refused(shared_run, device):
    with pytest.raises(ConfigError, match=device):
        oddframe.load(shared_run, device)


def test_csv_holds_the_contract_columns_and_every_number(detector, write_street, tmp_path):
    result = detector.score(write_street(tmp_path / "clip", odd_from=ODD))
    write_csv(tmp_path / "out" / "clip.csv", result)
    with (tmp_path / "out" / "clip.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["frame", "time_s", "score", "level", "alarm"]
    terms = list(rows[0])[5:]
    assert [name.removeprefix("term_") for name in terms] == list(result.terms)
    assert len(set(rows[0])) == 5 + len(result.terms)  # a term called "frame" must not hide it
    assert [int(r["frame"]) for r in rows] == list(range(30))
    for row in rows[:HISTORY]:
        assert row["score"] == row["level"] == row["psnr"] == ""
        assert row["alarm"] == "0"
    for i, row in enumerate(rows[HISTORY:], HISTORY):
        assert float(row["score"]) == pytest.approx(result.score[i], rel=1e-8)
        assert float(row["level"]) == pytest.approx(result.level[i], rel=1e-8)
        assert row["alarm"] == str(int(result.alarm[i]))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["clip.csv"]


def test_csv_holds_the_papers_curve_last(detector, write_street, tmp_path):
    result = detector.score(write_street(tmp_path / "clip", odd_from=ODD))
    curve = detector.paper_curve(result.terms)
    write_csv(tmp_path / "clip.csv", result, curve)
    with (tmp_path / "clip.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-1] == "paper_curve"
    assert len(rows[0]) == 5 + len(result.terms) + 1
    found = [float(row["paper_curve"] or "nan") for row in rows]
    np.testing.assert_allclose(found, curve, rtol=1e-8)
    assert (np.nanmin(found), np.nanmax(found)) == (0, 1)


def test_csv_of_a_video_shorter_than_the_history(detector, write_street, tmp_path):
    result = detector.score(write_street(tmp_path / "clip", range(3)))
    write_csv(tmp_path / "clip.csv", result)
    lines = (tmp_path / "clip.csv").read_text().splitlines()
    assert lines == [
        "frame,time_s,score,level,alarm", "0,0.000000,,,0", "1,0.040000,,,0", "2,0.080000,,,0",
    ]  # fmt: skip


def test_csv_into_a_place_that_is_a_file(detector, write_street, tmp_path):
    (tmp_path / "out").write_text("")
    result = detector.score(write_street(tmp_path / "clip", range(3)))
    with pytest.raises(RunError, match="Cannot write"):
        write_csv(tmp_path / "out" / "clip.csv", result)


_QUICK = """
import sys, time
start = time.perf_counter()
import oddframe
print(time.perf_counter() - start)
heavy = {"torch", "cv2", "numpy", "typer", "rich"} & set(sys.modules)
assert not heavy, heavy
"""
_NAMES = """
import oddframe
assert len(oddframe.__all__) <= 15
assert oddframe.ops.selective_scan is oddframe.selective_scan
assert oddframe.metrics.frame_auc([[0.1, 0.9]], [[0, 1]]) == 1.0
for name in oddframe.__all__:
    getattr(oddframe, name)
"""


def python(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_importing_the_package_is_quick_and_loads_nothing_heavy():
    assert min(float(python(_QUICK)) for _ in range(3)) < 0.2


def test_every_public_name_is_there_after_a_plain_import():
    python(_NAMES)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        oddframe.lod  # noqa: B018
    assert "load" in dir(oddframe)


def test_load_takes_a_path_as_text(shared_run):
    info = oddframe.load(str(shared_run)).info
    assert info.run == Path(shared_run)
    assert (info.model, info.size, info.history, info.device) == ("m2s2l-edge", 64, HISTORY, "cpu")
    assert info.parameters > 1000


def test_a_run_of_the_first_format_scores_as_it_did(run_copy):
    from safetensors.torch import load_file, save_file

    video = [street(i) for i in range(12)]

    def scores():
        detector = oddframe.load(run_copy)
        state, found = detector.init_state(), []
        for image in video:
            state, score = detector.step(state, image)
            found.append(score.score)
        return detector, found

    _, before = scores()
    # As it was written then: no settings of its memories but three, of each the items alone.
    card = json.loads((run_copy / "model.json").read_text())
    of_then = ("memory_items", "memory_read", "memory_momentum")
    kept = {k: v for k, v in card["config"]["model"].items() if k in of_then or "memory" not in k}
    kept.pop("literal", None)
    card |= {"format": 1, "config": {**card["config"], "model": kept}}
    del card["parts"]
    (run_copy / "model.json").write_text(json.dumps(card))
    weights = load_file(run_copy / "model.safetensors")
    lately = (".use", ".started", ".mean")
    save_file({k: v for k, v in weights.items() if not k.endswith(lately)},
              run_copy / "model.safetensors")  # fmt: skip
    detector, after = scores()
    assert np.array_equal(before, after, equal_nan=True)
    config = detector.model.config
    assert (config.memory_start, config.memory_revive) == ("random", False)


def test_a_run_of_before_is_fused_as_it_was_then(run_copy):
    """Its threshold was found for that score."""
    card = json.loads((run_copy / "model.json").read_text())
    score = {k: v for k, v in card["config"]["score"].items() if k in ("block_px", "flow")}
    scene = {n: {k: v for k, v in s.items() if k != "sizes"} for n, s in card["scene"].items()}
    card |= {"format": 2, "config": {**card["config"], "score": score}, "scene": scene}
    (run_copy / "model.json").write_text(json.dumps(card))
    run = oddframe.runs.load_run(run_copy)
    assert (run.score_config.sharpness, run.score_config.one_voice) == (2.0, False)
    assert run.threshold is not None
    assert run.usual() is None
    assert all(stream.sizes is None for stream in run.scene.values())
    detector, state = oddframe.load(run), oddframe.load(run).init_state()
    for i in range(12):
        state, score = detector.step(state, street(i))
    z = np.array([score.terms[f"z_{s}"] for s in run.scene])
    assert score.score == pytest.approx(np.log(np.exp(2 * z).mean()) / 2)


def test_weights_and_card_of_two_trainings_are_told_apart(run_copy, monkeypatch):
    run, real = oddframe.runs.load_run(run_copy), Path.replace
    net = run.model()

    def train_on(card):
        for value in net.parameters():
            value.data += 1
        oddframe.runs.save_run(
            run_copy, run.name, net, run.card["config"], run.scene, None, card, run.usual()
        )

    def killed(self, target):
        if target.name == "model.json":
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        train_on({})
    monkeypatch.undo()
    mixed = oddframe.runs.load_run(run_copy)
    assert not mixed.whole
    with pytest.raises(RunError, match=r"model\.safetensors and model\.json .*of two trainings"):
        oddframe.load(mixed)
    # Weights of before, which no card knows by their digest, are read.
    card = json.loads((run_copy / "model.json").read_text())
    del card["parts"]
    (run_copy / "model.json").write_text(json.dumps(card))
    of_before = oddframe.runs.load_run(run_copy)
    assert of_before.whole
    assert oddframe.load(of_before).info.parameters
    # Nor does a threshold go to weights that it was not found for.
    train_on({"training": {"steps": 7}})
    with pytest.raises(RunError, match=r"was trained on while .*calibrate it again"):
        oddframe.runs.write_calibration(of_before, {"threshold": 1.0, "alarms_per_day": 1.0})
    now = oddframe.runs.load_run(run_copy)
    assert (now.whole, now.threshold) == (True, None)
    assert [p.name for p in run_copy.glob(".*")] == []


def test_weights_of_another_width_are_refused_by_name(run_copy):
    card = json.loads((run_copy / "model.json").read_text())
    card["config"]["model"]["width"] *= 2
    (run_copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(RunError, match=r"m2s2l-edge: .*size mismatch for \S+: .* Fit") as error:
        oddframe.load(run_copy)
    assert len(str(error.value)) < 600


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux only")
def test_a_run_may_have_any_name(run_copy, tmp_path):
    named = run_copy.rename(tmp_path / "R\udce9")
    assert oddframe.load(named).info.parameters


@pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
def test_a_run_that_may_not_be_read_says_so(run_copy, monkeypatch, file):
    real = Path.read_bytes

    def refuse(self):
        if self.name == file:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(Path, "read_text", lambda self, *a: refuse(self).decode("utf8"))
    with pytest.raises(RunError, match="Permission denied"):
        oddframe.load(run_copy)


def test_a_delay_is_a_median_that_comes_later_and_keeps_frames_and_scores_together(
    run_copy, write_street, tmp_path
):
    folder = write_street(tmp_path / "clip", odd_from=ODD)
    raw = oddframe.load(run_copy).score(folder, heat=False)
    card = json.loads((run_copy / "model.json").read_text())
    card["config"]["score"]["lag_s"] = 0.12  # 3 frames of 25 a second
    (run_copy / "model.json").write_text(json.dumps(card))
    late = oddframe.load(run_copy)
    found = late.score(folder, heat=False)
    np.testing.assert_array_equal(found.score, centred_median(raw.score, 3))
    assert late.info.overlap is None
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(found.alarm, found.score >= late.info.threshold)
    for name, values in found.terms.items():
        np.testing.assert_array_equal(values, raw.terms[name])
    # Nothing is known before three more frames were read.
    read = []
    with oddframe.open_source(folder) as source:
        frames = [frame for frame in source]

    def counted():
        for frame in frames:
            read.append(frame.index)
            yield frame

    waits = {}
    live = Live(counted, oddframe.open_source(folder).info)
    for frame, score in late.follow(live):
        assert frame.index == score.index
        assert frame.pts_s == score.pts_s
        waits[score.index] = len(read) - 1 - score.index
    assert list(waits) == list(range(30))
    assert {waits[i] for i in range(HISTORY, 27)} == {3}
    assert [waits[i] for i in (27, 28, 29)] == [2, 1, 0]


def test_a_source_that_was_opened_elsewhere_is_scaled_as_the_run_learned_it(run_copy, tmp_path):
    card = json.loads((run_copy / "model.json").read_text())
    (run_copy / "model.json").write_text(json.dumps({**card, "used": [1000, 4000]}))
    detector = oddframe.load(run_copy)
    (tmp_path / "warm").mkdir()
    for i in range(HISTORY + 3):
        grey = 1500 + 5 * street(i)[..., 0].astype(np.uint16)
        cv2.imwrite(str(tmp_path / f"warm/{i:03d}.png"), grey)
    by_path = detector.score(tmp_path / "warm").score
    opened = oddframe.open_source(tmp_path / "warm")
    np.testing.assert_array_equal(detector.score(opened).score, by_path)
    assert np.isfinite(by_path[HISTORY:]).all()
