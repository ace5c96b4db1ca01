"""Made anomalies: a detector that looks at one thing alone sees that thing, and says so."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from oddframe.data.blobs import Sizes
from oddframe.data.made.cuts import cut_out
from oddframe.data.made.plant import KINDS, ODD, Planting
from oddframe.errors import RunError
from oddframe.models.base import Prediction, VADModel
from oddframe.scoring.scene import StreamScene
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.seen import ScorerState
from oddframe.scoring.selftest import FRAMES, STOOD_S, _stood, frames_of_a_clip, selftest
from oddframe.scoring.selftest_picture import png, sheet
from oddframe.scoring.settings import ScoreConfig
from oddframe.scoring.usual import Past

SIZE = 64


class Still(VADModel):
    """Says that everything stays as it is: what moves fast is what it draws worst."""

    history, size = 4, SIZE
    config = None

    def init_state(self):
        return 0

    def step_batch(self, states, frames):
        made = [
            Prediction(f[:, None, :3], None, {}) if s >= 3 else None
            for s, f in zip(states, frames, strict=True)
        ]
        return [s + 1 for s in states], made

    def forward(self, clip, detach_context=False):
        raise NotImplementedError

    def losses(self, prediction, clip):
        raise NotImplementedError


def people(n, seed=0):
    """Two lanes of walkers on a still, structured ground: (256, 256, 3) each."""
    rng = np.random.default_rng(7)
    ground = rng.integers(90, 130, (256, 256, 3), np.uint8)
    body = rng.integers(0, 60, (44, 18, 3), np.uint8)
    images = []
    for t in range(n):
        image = ground.copy()
        for row, first, step in ((60, 30, 1), (150, 180, -1)):
            x = (first + 40 * seed + step * t) % 230
            image[row : row + 44, x : x + 18] = body
        images.append(image)
    return images


@pytest.fixture(scope="module")
def pieces():
    return [people(80, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def found(pieces):
    scene = {"frame": StreamScene(1.0, 1.0, math.log(0.01), 0.3, 1e-6)}
    scorer = Scorer(Still(), ScoreConfig(flow=False), scene, threshold=5.0)
    return selftest(scorer, pieces, cut_out(pieces), clips=9)


def test_it_orders_kinds_as_the_detector_sees_them(found):
    assert found.auc("running") > found.auc("normal") + 0.05
    assert found.auc("running") > 0.75
    for still in ("standing", "left"):  # nothing moves, so it sees nothing
        assert found.auc(still) == pytest.approx(0.5, abs=0.06)
    assert found.mean_auc == pytest.approx(np.mean([found.auc(k) for k in ODD]))


def test_each_is_tried_far_in_the_middle_and_near(found):
    assert len(found.tried) == 9 * len(KINDS)
    for kind in KINDS:
        assert [t.zone for t in found.of(kind)] == [0, 1, 2] * 3
        assert all(len(t.score) == len(t.plain) <= FRAMES for t in found.of(kind))
        assert sum(t.picture is not None for t in found.of(kind)) == 3


def test_seen_counts_clips_that_are_quiet_by_themselves(found):
    for kind in KINDS:
        clean = [t for t in found.of(kind) if not t.without]
        if clean:
            assert found.seen(kind) == np.mean([t.score.max() >= 5 for t in clean])
    assert found.seen("running") >= found.seen("standing")


def test_what_is_seen_goes_by_the_threshold_of_the_light(pieces):
    scene = {"frame": StreamScene(1.0, 1.0, math.log(0.01), 0.3, 1e-6)}
    scorer, cuts = Scorer(Still(), ScoreConfig(flow=False), scene), cut_out(pieces)
    same = selftest(scorer, pieces, cuts, clips=3, threshold=lambda _: 5.0)
    assert any(one.seen for one in same.tried)
    none = selftest(scorer, pieces, cuts, clips=3, threshold=lambda image: 5.0 * image.max())
    assert not any(one.seen for one in none.tried)


def test_it_is_told_in_words_in_figures_and_in_a_picture(found):
    assert "somebody running: " in found.text
    assert "somebody put back where and as they went: " in found.text
    values = json.loads(json.dumps(found.to_json()))
    assert values["clips"] == 9
    assert set(values["kinds"]) == set(KINDS)
    assert values["kinds"]["running"]["auc"] == pytest.approx(found.auc("running"))
    picture = sheet(found, aspect=4 / 3)
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 3 * 240
    assert png(found).startswith(b"\x89PNG")
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_the_same_seed_gives_the_same_and_nothing_is_left_in_the_footage(pieces):
    before = [np.stack(p) for p in pieces]
    scene = {"frame": StreamScene(1.0, 1.0, math.log(0.01), 0.3, 1e-6)}
    scorer = Scorer(Still(), ScoreConfig(flow=False), scene, threshold=5.0)
    cuts = cut_out(pieces)
    a, b, c = (selftest(scorer, pieces, cuts, clips=3, seed=s) for s in (1, 1, 2))
    same = [np.array_equal(x.score, y.score) for x, y in zip(a.tried, b.tried, strict=True)]
    assert all(same)
    other = [np.array_equal(x.score, y.score) for x, y in zip(a.tried, c.tried, strict=True)]
    assert not all(other)
    for piece, was in zip(pieces, before, strict=True):
        np.testing.assert_array_equal(np.stack(piece), was)


def test_what_stands_has_stood_there_before(pieces):
    cuts, image = cut_out(pieces), pieces[0][0]
    past = Past(stayed=np.zeros((64, 64), np.float32))
    state = ScorerState(None, past=past)
    bag, runs = (
        Planting(kind, 1, cuts, 30, np.random.default_rng(0)) for kind in ("left", "running")
    )
    stood = _stood(state, image, bag).past.stayed
    changed = np.abs(bag.into(image, 0).astype(int) - image).max(2)[::4, ::4] > 0
    assert set(np.unique(stood)) == {0, STOOD_S}
    assert (stood[changed] == STOOD_S).all()
    assert (stood > 0).mean() < 0.1
    assert _stood(state, image, runs) is state
    assert _stood(ScorerState(None), image, bag).past.stayed is None  # RUNs of before


def test_a_thing_too_large_for_the_picture_is_left_out(pieces):
    cuts = cut_out(pieces)
    # A door: people are higher than their feet are deep in the picture.
    door = replace(cuts, sizes=Sizes(110.0, 0.0, 110.0, 110.0), feet=(95.0, 98.0, 101.0, 104.0))
    scene = {"frame": StreamScene(1.0, 1.0, math.log(0.01), 0.3, 1e-6)}
    scorer = Scorer(Still(), ScoreConfig(flow=False), scene, threshold=5.0)
    found = selftest(scorer, pieces, door, clips=3)
    shown = {kind: [t.score.size for t in found.of(kind)] for kind in KINDS}
    assert shown["large"] == [0, 0, 0]
    assert math.isnan(found.auc("large"))
    assert math.isnan(found.seen("large"))
    assert found.mean_auc == np.mean([found.auc(k) for k in ODD if any(shown[k])])
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert values["kinds"]["large"]["auc"] is None
    assert "no clip shows it" in found.text
    assert png(found).startswith(b"\x89PNG")


def test_too_short_footage_is_said(pieces):
    scene = {"frame": StreamScene(1.0, 1.0, 0.0, 1.0, 1e-6)}
    scorer = Scorer(Still(), ScoreConfig(flow=False), scene)
    with pytest.raises(RunError, match=r"needs stretches of 30 frames .* longest has 29"):
        selftest(scorer, [pieces[0][:29]], cut_out(pieces))
    assert frames_of_a_clip() > FRAMES * len(KINDS)
    assert torch.is_grad_enabled()


def test_each_clip_is_held_against_what_the_others_say(monkeypatch):
    """Of three pieces the first is too short: the others keep theirs."""
    pieces = [people(20), people(60), people(60, seed=1)]
    told = [object(), object(), object()]
    seen = []

    def shown(scorer, images, warm, plans):
        seen.append(scorer.usual)
        return np.zeros((1 + len(plans), FRAMES))

    monkeypatch.setattr("oddframe.scoring.selftest._shown", shown)
    scorer = Scorer(Still(), ScoreConfig(flow=False), {}, 1.0, usual=None)
    selftest(scorer, pieces, cut_out(pieces), clips=4, others=told)
    assert seen == [told[1], told[1], told[2], told[2]]
    seen.clear()
    selftest(scorer, pieces, cut_out(pieces), clips=2)
    assert seen == [None, None]
