"""What a scene looks like when nothing is odd: by plain recomputation, and on real clips."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from encoded import encode
from oddframe.data import frame_labels, open_dataset
from oddframe.data.dataset import Video
from oddframe.errors import DatasetError, RunError
from oddframe.judging.floors import OF_SCENE, floor_scores
from oddframe.metrics import frame_auc
from oddframe.scoring import ground as module
from oddframe.scoring.ground import fit_ground


def walking(i, step=2):
    """(96, 160, 3): something that crosses an even picture, again and again."""
    image = np.full((96, 160, 3), 90, np.uint8)
    x = (step * i) % 140
    image[40:70, x : x + 20] = (200, 40, 250)
    image[44:50, x + 4 : x + 10] = 20
    return image


@pytest.fixture
def videos(tmp_path):
    for name, first in (("a", 0), ("b", 25)):
        encode(
            tmp_path / f"{name}.mkv", 70, 25, "ffv1", pictures=lambda i, at=first: walking(i + at)
        )
    return open_dataset(tmp_path).train


def _frames(video: Video):
    with video.open() as source:
        return [frame.at(256) for frame in source]


def test_the_picture_is_the_median_and_the_range_that_of_all_frames(videos):
    ground = fit_ground(videos)
    greys = [cv2.cvtColor(f, cv2.COLOR_BGR2GRAY) for v in videos for f in _frames(v)]
    np.testing.assert_array_equal(ground.picture, np.median(greys, axis=0).astype(np.uint8))
    scores = [floor_scores(_frames(v), ground=ground) for v in videos]
    for name in ("scenespeed", "background"):  # z of the logarithms, of the frames with a speed
        z = np.concatenate([s[name][2:] for s in scores])
        assert z.mean() == pytest.approx(0, abs=0.15)
        assert 0.1 < z.std() < 1.3
    assert ground.background.top == ground.background.bottom == 1.0


def test_odd_things_stand_out_each_in_its_stream(videos):
    ground = fit_ground(videos)
    fast = floor_scores([walking(i, 8) for i in range(6)], ground=ground)
    left = walking(0)
    left[5:30, 100:130] = np.random.default_rng(0).integers(0, 255, (25, 30, 3))
    thing = floor_scores([left] * 6, ground=ground)
    assert fast["scenespeed"][-1] > 3
    assert thing["background"][-1] > 3
    assert thing["scenespeed"][-1] < 0
    assert min(fast["unlearned"][-1], thing["unlearned"][-1]) > 2


def test_long_footage_is_looked_at_in_stretches_of_all_of_it(tmp_path, monkeypatch):
    """Of three videos of other greys the median is the middle one: all were looked at."""
    monkeypatch.setattr(module, "MOST", 60)
    monkeypatch.setattr(module, "STRETCH", 10)
    for name, level in (("a", 40), ("b", 90), ("c", 160)):
        encode(
            tmp_path / f"{name}.mkv", 100, 25, "ffv1",
            pictures=lambda i, at=level: walking(i) // 2 + np.uint8(at // 2),
        )  # fmt: skip
    seen = []
    ground = fit_ground(
        open_dataset(tmp_path).train, lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (120, 120)
    assert abs(int(ground.picture[0, 0]) - 90) < 4


def test_no_footage_and_too_little_of_it_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="normal footage"):
        fit_ground(())
    encode(tmp_path / "a.mkv", 6, 25, "ffv1", pictures=walking)
    with pytest.raises(RunError, match="at least 8"):
        fit_ground(open_dataset(tmp_path).train)


# Micro AUC in %, frames after the first 16 of each clip: (per-video min-max, no normalisation).
FIGURES = {
    "ped2": {
        "scenespeed": (95.85, 97.12), "background": (70.30, 62.65), "unlearned": (96.66, 96.81),
    },
    "avenue-part": {
        "scenespeed": (65.76, 50.49), "background": (51.96, 65.02), "unlearned": (62.41, 69.37),
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", FIGURES)
def test_real_clips_give_the_stated_figures(real_data, name):
    data = open_dataset(real_data(name))
    ground, labels = fit_ground(data.train), frame_labels(data)
    scores = {v.name: floor_scores(v.open(), list(OF_SCENE), ground=ground) for v in data.test}
    truth = [labels[v.name][16:] for v in data.test]
    for floor, (per_video, none) in FIGURES[name].items():
        found = [scores[v.name][floor][16:] for v in data.test]
        got = 100 * frame_auc(found, truth, normalise="per_video")
        assert got == pytest.approx(per_video, abs=0.15), floor
        assert 100 * frame_auc(found, truth) == pytest.approx(none, abs=0.15), floor
