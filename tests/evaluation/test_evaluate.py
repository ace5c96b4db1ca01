"""Rows, floors and localisation on a made data set whose answer is known."""

from __future__ import annotations

import json
import shutil
import tempfile
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from stub_run import HISTORY

import oddframe
from oddframe.data import frame_labels, open_dataset, pixel_masks
from oddframe.errors import DatasetError, OddframeError, OddframeWarning
from oddframe.evaluation.evaluate import evaluate
from oddframe.evaluation.places import Heats, hottest
from oddframe.judging.floors import FLOORS, PLAIN, floor_scores
from oddframe.judging.named import PROTOCOLS, parse_protocols
from oddframe.metrics import frame_auc, pixel_auc, pixel_criterion_auc
from oddframe.metrics.pairs import bootstrap_difference, pair_wins
from oddframe.scoring.ground import fit_ground
from oddframe.sources import open_source

NAME = "m2s2l-edge"


@pytest.fixture(scope="module")
def found(shared_run, labelled):
    seen = []
    detector = oddframe.load(shared_run)
    dataset = open_dataset(labelled)
    result = evaluate(detector, dataset, parse_protocols("all"), lambda *at: seen.append(at))
    done, total = seen[-1]  # the scene's footage twice, then the 88 frames of the test videos
    assert done == total > 88
    return result


def row(found, method, protocol):
    return next(r for r in found.rows if (r["method"], r["protocol"]) == (method, protocol))


def test_rows_are_the_model_its_parts_and_the_floors(found):
    floors = list(FLOORS)
    got = [(r["method"], r["protocol"]) for r in found.rows]
    parts = [NAME, f"{NAME}:own", f"{NAME}:frame", f"{NAME}:motion", f"{NAME}:flow"]
    assert got == [(m, "paper") for m in [NAME, *floors]] + [
        (m, "deploy") for m in [*parts, *floors]
    ]
    assert [r["method"] for r in found.rows if r["floor"]] == floors * 2
    for r in found.rows:
        assert "labels.npz" in r["protocol_text"]
    assert "averaged over training" in row(found, NAME, "paper")["protocol_text"]
    assert "alpha 0.5 fixed beforehand" in row(found, NAME, "paper")["protocol_text"]


def test_a_roc_curve_for_the_model_and_every_floor_under_every_protocol(found):
    got = [(c.method, c.protocol, c.floor, c.auc) for c in found.rocs]
    assert got == [
        (r["method"], r["protocol"], r["floor"], r["auc"])
        for r in found.rows
        if ":" not in r["method"]
    ]


def test_scores_and_floors_are_those_of_separate_passes(found, shared_run, labelled):
    detector = oddframe.load(shared_run)
    ground = fit_ground(open_dataset(labelled).train)
    for video in found.videos:
        path = labelled / "test" / video.name
        np.testing.assert_array_equal(detector.score(path).score, video.score)
        with open_source(path) as source:
            separate = floor_scores((frame.image for frame in source), ground=ground)
        assert set(video.floors) == set(FLOORS)
        for name, values in separate.items():
            np.testing.assert_array_equal(video.floors[name], values)


def test_what_learning_added_is_said_with_a_paired_interval(found, labelled):
    truth = frame_labels(open_dataset(labelled))
    labels = [truth[v.name][16:] for v in found.videos]
    scores, floors = [v.score[16:] for v in found.videos], []
    floors = [v.floors["unlearned"][16:] for v in found.videos]
    gain = next(r for r in found.gains if (r["method"], r["protocol"]) == (NAME, "deploy"))
    assert gain["against"] == "unlearned"
    learned = {NAME, *(f"{NAME}:{part}" for part in ("own", "frame", "motion"))}
    assert {r["method"] for r in found.gains if r["protocol"] == "deploy"} == learned
    assert gain["difference"] == pytest.approx(
        frame_auc(scores, labels) - frame_auc(floors, labels)
    )
    wins = [pair_wins(x, labels) for x in (scores, floors)]
    interval = bootstrap_difference(*wins)
    assert (gain["low"], gain["high"]) == (interval.low, interval.high)
    assert {r["method"] for r in found.gains if r["protocol"] == "paper"} == {NAME}


def test_floors_of_the_scene_want_its_normal_footage(shared_run, labelled):
    data = replace(open_dataset(labelled), train=())
    found = evaluate(oddframe.load(shared_run), data, [PROTOCOLS["deploy"]])
    assert set(found.videos[0].floors) == set(PLAIN)
    assert {r["against"] for r in found.gains} == {"flowspeed"}


def test_footage_that_says_nothing_of_the_scene_costs_its_floors_alone(
    shared_run, labelled, tmp_path
):
    data = open_dataset(labelled)
    short = shutil.copytree(data.train[0].path, tmp_path / "short")
    for path in sorted(short.iterdir())[5:]:
        path.unlink()
    data = replace(data, train=(replace(data.train[0], path=short),))
    with pytest.warns(OddframeWarning, match=r"left out: the floors scenespeed.* at least 8"):
        found = evaluate(oddframe.load(shared_run), data, [PROTOCOLS["deploy"]])
    assert set(found.videos[0].floors) == set(PLAIN)


def test_numbers_are_those_of_the_metrics(found, labelled):
    truth = frame_labels(open_dataset(labelled))
    labels = [truth[v.name][16:] for v in found.videos]
    deploy = frame_auc([v.score[16:] for v in found.videos], labels)
    own_clip = [truth[v.name][HISTORY:] for v in found.videos]  # the model's own clip length
    paper = frame_auc(
        [-v.terms["psnr"][HISTORY:] for v in found.videos], own_clip, normalise="per_video"
    )
    own = frame_auc([v.terms["own"][16:] for v in found.videos], labels)
    assert row(found, NAME, "deploy")["auc"] == deploy
    assert row(found, NAME, "paper")["auc"] == paper
    assert row(found, f"{NAME}:own", "deploy")["auc"] == own
    assert deploy > 0.9  # the blinking box is easy


def test_the_hottest_place_of_flagged_frames_is_counted(found):
    where = found.localisation
    assert where is not None
    assert where.abnormal == 14 + 20
    assert 0 < where.flagged <= where.abnormal
    assert where.flagged_exact <= where.flagged_inside <= where.flagged
    assert where.flagged_inside / where.flagged > 0.5
    assert where.chance == pytest.approx(12 * 12 / (48 * 64))


@pytest.mark.parametrize(
    ("at", "size", "expected"),
    [((0, 0), (48, 64), (3, 4)), ((7, 7), (48, 64), (45, 60)), ((2, 5), (4, 4), (1, 2))],
)
def test_the_hottest_cell_maps_to_the_middle_of_its_place(at, size, expected):
    heat = np.zeros((8, 8), np.float32)
    heat[at] = 1
    assert hottest(heat, size) == expected


def test_worst_clips_and_plain_values(found):
    assert found.worst_of == f"{NAME}, deploy"
    assert {r["video"] for r in found.worst} == {"01", "02"}
    assert sum(r["points"] for r in found.worst) == pytest.approx(
        1 - row(found, NAME, "deploy")["auc"]
    )
    plain = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert set(plain) == {"rows", "gains", "worst", "localisation", "regions", "events"}
    assert plain["localisation"]["flagged"]["share"] > 0.5
    assert plain["regions"]["rbdc"] == found.regions.rbdc


def test_regions_and_pixels_are_those_of_the_maps(found, shared_run, labelled):
    detector = oddframe.load(shared_run)
    dataset = open_dataset(labelled)
    masks = pixel_masks(dataset)
    maps, truth = [], []
    for video in dataset.test:
        state, kept, frames = detector.init_state(), [], []
        with open_source(video.path) as source:
            for frame in source:
                state, score = detector.step(state, frame.image, frame.pts_s)
                if score.heat is not None:
                    kept.append(score.heat.astype(np.float16))
                    frames.append(frame.index)
        maps.append(np.stack(kept))
        truth.append(masks[video.name][frames])
    assert found.regions.pixel_auc == pixel_auc(maps, truth)
    assert found.regions.pixel_criterion_auc == pixel_criterion_auc(maps, truth)
    assert (found.regions.regions, found.regions.tracks) == (14 + 20, 2)
    assert 0.5 < found.regions.rbdc <= 1


def test_heat_maps_wait_on_the_disk():
    heats, kept, rng = Heats(), {"01": [], "02": []}, np.random.default_rng(0)
    tracemalloc.start()
    for name in kept:
        for frame in range(3, 43):
            heats.add(name, frame, rng.normal(size=(128, 128)).astype(np.float32))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 20 * 128 * 128 * 2  # of 80 maps
    rng = np.random.default_rng(0)
    for name, maps in heats.maps().items():
        kept = [rng.normal(size=(128, 128)).astype(np.float32) for _ in range(40)]
        np.testing.assert_array_equal(maps, np.float16(kept))
        assert heats.frames[name] == list(range(3, 43))


def test_a_full_disk_costs_the_regions_alone(monkeypatch):
    heats, heat = Heats(), np.zeros((128, 128), np.float32)
    with open("/dev/full", "r+b", 0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
        with pytest.warns(OddframeWarning, match="left out: regions, tracks and pixels.*No space"):
            heats.add("01", 3, heat)
    heats.add("01", 4, heat)
    assert heats.judge({"01": np.ones((44, 48, 64), bool)}) is None


def test_events_are_judged_at_the_runs_own_threshold(found):
    events = found.events
    assert (events.events, events.found) == (2, 2)
    assert events.alarms == events.true_alarms
    assert events.false_alarms_per_hour == 0
    normal = np.concatenate([v.labels[HISTORY:] == 0 for v in found.videos])
    alarm = np.concatenate([v.alarm[HISTORY:] for v in found.videos])
    assert events.false_frame_share == alarm[normal].mean()


def test_nothing_is_said_of_regions_where_they_are_not_asked_for(shared_run, labelled):
    found = evaluate(
        oddframe.load(shared_run), open_dataset(labelled), [PROTOCOLS["deploy"]], regions=False
    )
    assert found.regions is None
    assert found.localisation is not None


def test_without_masks_there_is_no_localisation(shared_run, labelled, tmp_path):
    root = shutil.copytree(labelled, tmp_path / "set")
    (root / "pixel_masks.npz").unlink()
    detector = oddframe.load(shared_run)
    found = evaluate(detector, open_dataset(root), [PROTOCOLS["paper"]])
    assert found.localisation is None
    assert found.worst_of == f"{NAME}, paper"
    assert {r["protocol"] for r in found.rows} == {"paper"}


def test_labels_of_another_length_are_found_before_scoring(shared_run, labelled, tmp_path):
    root = shutil.copytree(labelled, tmp_path / "set")
    labels = dict(np.load(root / "labels.npz"))
    labels["02"] = labels["02"][:-1]
    np.savez(root / "labels.npz", **labels)
    seen = []
    with pytest.raises(DatasetError, match="02 has 44 frames and 43 labels"):
        evaluate(
            oddframe.load(shared_run), open_dataset(root), [PROTOCOLS["deploy"]],
            lambda *at: seen.append(at),
        )  # fmt: skip
    assert not seen


def test_a_data_set_without_test_videos_is_refused(shared_run, labelled):
    dataset = open_dataset(labelled / "normal")
    with pytest.raises(OddframeError, match="no test videos"):
        evaluate(oddframe.load(shared_run), dataset, [PROTOCOLS["deploy"]])
