"""Pauses, damage, other rates: what footage that is no even row of frames does to scores."""

import itertools
import json
import math
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from stub_run import HISTORY, street

import oddframe
from encoded import break_bytes, encode
from oddframe.data import open_dataset
from oddframe.errors import ConfigError, OddframeWarning
from oddframe.evaluation.compare import compare
from oddframe.evaluation.evaluate import evaluate
from oddframe.evaluation.memories import watching
from oddframe.evaluation.methods import collect as collect_methods
from oddframe.evaluation.scored import holes
from oddframe.judging.named import parse_protocols
from oddframe.sources import Source
from oddframe.sources.rate import Pacer
from oddframe.types import SourceInfo

PART = 14
JUDGED = {"paper": 80 - 2 * HISTORY - HISTORY, "deploy": 80 - 2 * 16 - HISTORY}
"""Frames of `paused_set` that a protocol judges."""


class Paused(Source):
    """Two stretches of a street with an hour between."""

    def __init__(self):
        super().__init__(SourceInfo("paused", 64, 48, 25.0, 2 * PART))

    def _frames(self):
        for i in range(2 * PART):
            later = 3600 * (i >= PART)
            yield oddframe.Frame(i, i / 25 + later, street(7 * i + later), gap=i == PART)


@pytest.fixture(scope="module")
def detector(shared_run):
    return oddframe.load(shared_run)


def test_behind_a_gap_scores_are_those_of_a_video_that_begins_there(detector):
    whole = detector.score(Paused())
    frames = list(Paused())
    state, alone = detector.init_state(), []
    for frame in frames[PART:]:
        state, score = detector.step(state, frame.image)
        alone.append(score.score)
    assert len(whole) == 2 * PART
    np.testing.assert_array_equal(whole.score[PART:], alone)
    assert np.isnan(whole.score[PART : PART + HISTORY]).all()
    assert not np.isnan(whole.score[PART + HISTORY :]).any()
    assert not np.isnan(whole.score[HISTORY:PART]).any()
    np.testing.assert_allclose(
        whole.time_s[PART:] - whole.time_s[0], [f.pts_s for f in frames[PART:]]
    )


def test_step_takes_frames_and_their_gaps(detector):
    state, got = detector.init_state(), []
    for frame in Paused():
        state, score = detector.step(state, frame)
        got.append((score.index, score.pts_s, score.score))
    want = [(s.index, s.pts_s, s.score) for s in detector.stream(Paused())]
    np.testing.assert_array_equal(got, want)
    assert [g[0] for g in got] == list(range(2 * PART))


@pytest.fixture(scope="module")
def paused_set(tmp_path_factory):
    """A data set whose test video pauses, and one that does not."""
    root = tmp_path_factory.mktemp("paused")
    (root / "normal").mkdir()
    (root / "test").mkdir()
    encode(root / "normal" / "n.mp4", 30)
    stamps = [i / 25 + 100 * (i >= 20) for i in range(40)]
    encode(root / "test" / "a.mp4", stamps=stamps, rate=25, frames=40)
    encode(root / "test" / "b.mp4", 40, first=100)
    labels = {"a": np.arange(40) % 10 > 4, "b": np.arange(40) > 30}
    np.savez(root / "labels.npz", **{k: v.astype(np.uint8) for k, v in labels.items()})
    return root


def test_frames_behind_a_gap_are_judged_for_nobody(detector, paused_set):
    found = evaluate(detector, open_dataset(paused_set), parse_protocols("all"), regions=False)
    blind = holes(found.videos[0].score, HISTORY)
    assert np.flatnonzero(blind).tolist() == list(range(20, 20 + HISTORY))
    assert not holes(found.videos[1].score, HISTORY).any()
    for values in found.videos[0].floors.values():
        assert np.isnan(values[blind]).all()
    for row in found.rows:
        assert row["frames"] == JUDGED[row["protocol"]]
        assert f"{HISTORY} frames without a score left out (behind gaps" in row["protocol_text"]


def test_the_effect_of_memories_is_measured_up_to_the_gap(detector, paused_set):
    dataset = open_dataset(paused_set)
    with watching(detector, dataset) as effect:
        found = evaluate(detector, dataset, parse_protocols("deploy"), floors=(), regions=False)
    assert max(effect._frames[0]) < 20
    assert max(effect._frames[1]) > 30
    assert effect.result(found.videos)["with"]["normal"]


def test_compare_leaves_the_same_frames_out_of_all(shared_run, paused_set, tmp_path):
    dataset, protocols = open_dataset(paused_set), parse_protocols("all")
    methods = collect_methods(
        [shared_run], {}, dataset, protocols, tmp_path, lambda title: lambda done, total: None
    )
    labels = dict(np.load(paused_set / "labels.npz"))
    found = compare(methods, labels, protocols)
    assert all(row["frames"] == JUDGED[row["protocol"]] for row in found.rows)
    assert all("behind gaps" in row["protocol_text"] for row in found.rows)


def test_a_history_that_is_full_late_is_no_error(shared_run, tmp_path, monkeypatch):
    """Frames are left out by their stamps: the first score comes late, and later in one video."""
    root = tmp_path / "set"
    (root / "test").mkdir(parents=True)
    (root / "normal").mkdir()
    encode(root / "normal" / "n.mp4", 30)
    encode(root / "test" / "fast.mp4", 60, 25)
    slow = [i / 25 if i < 40 else 40 / 25 + (i - 40) / 5 for i in range(60)]
    encode(root / "test" / "uneven.mp4", stamps=slow, rate=25, frames=60)
    labels = {name: np.arange(60) % 12 > 6 for name in ("fast", "uneven")}
    np.savez(root / "labels.npz", **{k: v.astype(np.uint8) for k, v in labels.items()})
    card = shared_run / "model.json"
    run = tmp_path / "RUN"
    shutil.copytree(shared_run, run)
    (run / "model.json").write_text(
        json.dumps({**json.loads(card.read_text()), "fps": 5.0}), "utf8"
    )
    dataset, protocols = open_dataset(root), parse_protocols("all")
    with pytest.warns(OddframeWarning, match="the RUN learned at 5"):
        found = evaluate(oddframe.load(run), dataset, protocols, regions=False)
    late = [int(np.flatnonzero(~np.isnan(v.score))[0]) for v in found.videos]
    assert min(late) > 16
    counts = {r["method"]: r["frames"] for r in found.rows if r["protocol"] == "deploy"}
    assert set(counts.values()) == {120 - 2 * min(late) - (max(late) - min(late))}
    with pytest.warns(OddframeWarning, match="the RUN learned at 5"):
        methods = collect_methods(
            [run], {}, dataset, protocols, tmp_path / "kept", lambda title: lambda *_: None
        )
    rows = compare(methods, labels, protocols).rows
    assert {r["frames"] for r in rows if r["protocol"] == "deploy"} == set(counts.values())


def test_nothing_of_broken_pictures_is_scored(detector, tmp_path):
    path = break_bytes(encode(tmp_path / "a.mp4", 200, gop=25), 0.45, 0.5)
    with oddframe.open_source(path) as source:
        result = detector.score(source)
        ill = np.array([f.gap for f in source])
        lost = source.lost
    assert len(result) == len(ill)
    assert lost.damaged > 0
    assert np.isnan(result.score[ill]).all()
    assert not np.isnan(result.score[-20:]).any()


# ---- the rate of the RUN


class Street(Source):
    """The street at so many frames a second, of 25 there would be."""

    def __init__(self, fps, seconds=2.4):
        self.at = [i / fps for i in range(round(seconds * fps))]
        super().__init__(SourceInfo("street", 64, 48, fps, len(self.at)))

    def _frames(self):
        for i, t in enumerate(self.at):
            yield oddframe.Frame(i, t, street(round(25 * t)))


@pytest.fixture
def at_25(shared_run, tmp_path):
    """The stub, of which it is known that it learned at 25 frames/s."""
    run = tmp_path / "run"
    shutil.copytree(shared_run, run)
    card = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(card | {"fps": 25.0}))
    return oddframe.load(run)


def test_faster_footage_has_the_scores_of_its_frames_at_the_runs_rate(at_25):
    plain = at_25.score(Street(25))
    with pytest.warns(OddframeWarning, match="street has 50 frames/s, the RUN learned at 25"):
        fast = list(at_25.stream(Street(50)))
    assert [s.index for s in fast] == list(range(120))
    taken = [s for s in fast if not s.held]
    assert len(taken) == 60
    np.testing.assert_allclose([s.score for s in taken], plain.score)
    for before, score in itertools.pairwise(fast):
        if score.held:  # between two of its frames it keeps the score
            np.testing.assert_equal((score.score, score.level), (before.score, before.level))
            assert score.pts_s == pytest.approx(before.pts_s + 0.02)


def test_slower_footage_has_the_mean_of_its_looks(at_25):
    with pytest.warns(OddframeWarning, match="is looked at 2.5 times and has the mean"):
        slow = at_25.score(Street(10))
    state, wanted, pace = at_25.init_state(), [], Pacer(25, 10)
    for frame in Street(10):
        looks = []
        for _ in range(pace.looks(frame)):
            state, score = at_25.step(state, frame.image)
            looks.append(score.score)
        wanted.append(np.mean(looks))
    np.testing.assert_allclose(slow.score, wanted)
    assert len(slow) == 24
    level = np.maximum(slow.score, 0) / at_25.info.threshold
    np.testing.assert_allclose(slow.level, level)
    np.testing.assert_array_equal(slow.alarm, level >= 1)


class Camera(Source):
    """The street as a camera sends it, to somebody who is so many seconds further each time."""

    live = True

    def __init__(self, fps):
        super().__init__(SourceInfo("camera", 64, 48, fps, None))
        self.now_s = 0.0

    def _frames(self):
        index = 0
        while True:
            index = max(index + 1, int(self.now_s * self.info.fps))
            self.now_s = max(self.now_s, index / self.info.fps)
            yield oddframe.Frame(index, index / self.info.fps, street(index), index == 1)


def slowly(detector, monkeypatch, camera, look_s, frames=30):
    """(looks, steps of each, gap) of frames of a camera where a look takes so long."""
    preprocess, steps, out = detector.scorer.preprocess, [], []

    def slow(picture, past=None, carried=None, passed=1.0):
        camera.now_s += look_s
        steps.append(passed)
        return preprocess(picture, past, carried, passed)

    monkeypatch.setattr(detector.scorer, "preprocess", slow)
    for frame, looks in itertools.islice(detector.looks(camera), frames):
        out.append((len(looks), *set(steps), frame.gap))
        steps.clear()
    return out


@pytest.mark.filterwarnings("ignore::oddframe.errors.OddframeWarning")
@pytest.mark.parametrize(
    ("fps", "look_s", "step"), [(25, 0.1, 2.5), (60, 0.2, 5), (10, 0.2, 6), (25, 0.04, 1)]
)
def test_a_camera_that_is_faster_than_the_box_has_longer_steps_not_more_looks(
    at_25, monkeypatch, fps, look_s, step
):
    found = slowly(at_25, monkeypatch, Camera(fps), look_s)
    assert {times for times, *_ in found} <= set(range(1, math.ceil(25 / fps) + 1))
    assert np.mean([steps for _, steps, _ in found[5:]]) == pytest.approx(step, rel=0.25)
    assert [gap for *_, gap in found] == [True] + 29 * [False]


def test_what_a_box_left_out_for_seconds_is_a_gap(at_25, monkeypatch):
    assert all(gap for *_, gap in slowly(at_25, monkeypatch, Camera(25), 1.2, frames=5))


@pytest.mark.filterwarnings("ignore::oddframe.errors.OddframeWarning")
def test_a_camera_is_looked_at_as_often_as_its_frames_come_and_not_as_its_driver_says(
    at_25, monkeypatch
):
    camera = Camera(12.5)
    camera.info = replace(camera.info, fps=25.0)
    camera._frames = lambda: (oddframe.Frame(i, i / 12.5, street(i), i == 0) for i in range(10**6))
    found = slowly(at_25, monkeypatch, camera, 0.0, frames=60)
    assert np.mean([times for times, *_ in found[20:]]) == pytest.approx(2, abs=0.1)


def test_it_is_said_once(at_25):
    with pytest.warns(OddframeWarning):
        at_25.score(Street(50))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at_25.score(Street(50))
        at_25.score(Street(24))


def test_floors_look_at_the_frames_that_the_model_looks_at(at_25, tmp_path):
    root = tmp_path / "set"
    (root / "normal").mkdir(parents=True)
    (root / "test").mkdir()
    encode(root / "normal" / "n.mp4", 30)
    encode(root / "test" / "a.mp4", 100, 50)
    np.savez(root / "labels.npz", a=(np.arange(100) > 60).astype(np.uint8))
    with pytest.warns(OddframeWarning, match="50 frames/s"):
        found = evaluate(at_25, open_dataset(root), parse_protocols("deploy"), regions=False)
    floor = found.videos[0].floors["persistence"]
    held = np.flatnonzero(np.diff(found.videos[0].score[20:]) == 0)
    assert len(held) > 30
    np.testing.assert_array_equal(floor[20:][held], floor[20:][held + 1])
    with (
        pytest.raises(ConfigError, match="measured frame by frame"),
        watching(at_25, open_dataset(root)),
    ):
        pass
