"""From frames to scores, with a model whose predictions are known in advance."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from oddframe.data import to_model
from oddframe.metrics import psnr
from oddframe.models.base import Prediction, VADModel
from oddframe.scoring.fuse import fuse
from oddframe.scoring.local import box_mean
from oddframe.scoring.look import FLOW_BLOCK_PX, FLOW_LAG, SIZE_PX, motion_of
from oddframe.scoring.scene import SceneFit
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig

SIZE, HISTORY = 64, 3


class Copy(VADModel):
    """Predicts the last frame again, and that nothing has moved."""

    history, size = HISTORY, SIZE

    def init_state(self):
        return 0

    def step(self, state, frame):
        seen = state + 1
        if seen < self.history:
            return seen, None
        return seen, Prediction(frame[:, None], torch.zeros_like(frame)[:, None])


def walk(n=24, seed=0, size=SIZE):
    """A bright square that crosses a textured picture: (size, size, 3) BGR frames."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 60, (size, size, 3), np.uint8)
    frames = []
    for t in range(n):
        image = ground.copy()
        x = 2 + (2 * t) % (size - 12)
        image[20:30, x : x + 8] = rng.integers(150, 255)
        frames.append(image)
    return frames


def fitted(config=None, **options):
    config = config or ScoreConfig(block_px=32)
    fit, scorer = SceneFit(), Scorer(Copy(), config)
    state = scorer.init_state()
    for image in walk(seed=1):
        state, seen = scorer.observe(state, image)
        if seen is not None:
            fit.add(seen.local)
    return Scorer(Copy(), config, fit.fit(), **options)


def run(scorer, frames):
    state, scores = scorer.init_state(), []
    for i, image in enumerate(frames):
        state, score = scorer.step(state, image, i / 10)
        scores.append(score)
    return scores


def test_the_first_k_frames_have_no_score_and_every_later_one_has():
    scores = run(fitted(), walk())
    assert [math.isnan(s.score) for s in scores] == [i < HISTORY for i in range(24)]
    assert [s.index for s in scores] == list(range(24))
    assert scores[5].pts_s == 0.5
    assert scores[0].heat is None
    assert scores[5].heat.shape == (SIZE, SIZE)


def test_errors_are_those_of_the_window_that_predicted_the_frame():
    frames = walk()
    scorer = fitted()
    state = scorer.init_state()
    model = [to_model(f, SIZE) for f in frames]
    for image in frames[:10]:
        state, seen = scorer.observe(state, image)
    error = ((model[8] - model[9]) ** 2).mean(0)  # V_t again, against V_{t+1}
    missed = (((model[8] - model[7]) / 2) ** 2).mean(0)  # zero against M_t
    np.testing.assert_allclose(seen.local["frame"], box_mean(error, 8), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(seen.local["motion"], box_mean(missed, 8), rtol=1e-5, atol=1e-7)
    assert seen.psnr_frame == pytest.approx(psnr(model[8], model[9], max_value=2), rel=1e-5)
    zero = np.zeros_like(model[8])
    want = psnr(zero, (model[8] - model[7]) / 2, max_value=2)
    assert seen.psnr_motion == pytest.approx(want, rel=1e-5)
    pictures = seen.compared
    np.testing.assert_array_equal(pictures.shown, model[9])
    np.testing.assert_array_equal(pictures.predicted, model[8])
    np.testing.assert_array_equal(pictures.moved, (model[8] - model[7]) / 2)
    assert not pictures.motion.any()
    assert (pictures.frame_lag, pictures.motion_lag) == (0, 1)


class Next(Copy):
    """Says that nothing will move."""

    motion_is_next = True


def test_motion_to_come_is_held_against_the_motion_that_came():
    frames = walk()
    scorer = Scorer(Next(), ScoreConfig(flow=False))
    state = scorer.init_state()
    for image in frames[:10]:
        state, seen = scorer.observe(state, image)
    model = [to_model(f, SIZE) for f in frames]
    np.testing.assert_array_equal(seen.compared.moved, (model[9] - model[8]) / 2)
    assert seen.compared.motion_lag == 0


class Again(Copy):
    """Reconstructs the newest frame, a little darker; says what it thinks of the window."""

    reconstructs = True

    def step(self, state, frame):
        seen = state + 1
        if seen < self.history:
            return seen, None
        terms = {"clip_error": torch.tensor([[float(seen)]])}
        return seen, Prediction(frame[:, None] - 0.1, None, terms=terms)


def test_a_reconstruction_is_held_against_the_frame_it_was_made_of():
    frames = walk()
    scorer = Scorer(Again(), ScoreConfig(flow=False))
    state = scorer.init_state()
    for image in frames[: HISTORY + 1]:
        state, seen = scorer.observe(state, image)
    np.testing.assert_allclose(seen.local["frame"], 0.01, rtol=1e-4)
    assert seen.psnr_frame == pytest.approx(10 * math.log10(4 / 0.01), rel=1e-5)
    assert (seen.psnr_motion, seen.terms) == (None, {"clip_error": HISTORY})
    pictures = seen.compared
    np.testing.assert_array_equal(pictures.shown, to_model(frames[HISTORY - 1], SIZE))
    assert (pictures.frame_lag, pictures.moved, pictures.motion) == (1, None, None)


def test_score_terms_and_heat_belong_together():
    scorer = fitted(ScoreConfig(block_px=32, alpha=0.25))
    s = run(scorer, walk())[-1]
    z = {n: s.terms[f"z_{n}"] for n in ("frame", "motion", "flow")}
    assert s.score == pytest.approx(fuse(z))
    assert s.terms["own"] == pytest.approx(fuse({n: z[n] for n in ("frame", "motion")}))
    paper = 0.25 * s.terms["psnr_frame"] + 0.75 * s.terms["psnr_motion"]
    assert s.terms["psnr"] == pytest.approx(paper)
    assert s.heat.max() <= s.score + 1e-5  # all streams at one place, at most their worst places


def test_the_future_does_not_reach_back():
    scorer = fitted()
    whole = run(scorer, walk())
    cut = run(scorer, walk()[:12])
    assert [s.score for s in cut[HISTORY:]] == [s.score for s in whole[HISTORY:12]]


def test_a_state_can_be_used_twice():
    scorer = fitted()
    frames = walk()
    state = scorer.init_state()
    for image in frames[:8]:
        state, _ = scorer.step(state, image)
    first = scorer.step(state, frames[8])[1].score
    scorer.step(scorer.step(state, frames[3])[0], frames[1])
    assert scorer.step(state, frames[8])[1].score == first


def test_frames_prepared_elsewhere_give_the_same_scores_and_the_same_state():
    scorer, frames = fitted(), walk(size=96)
    want = [(s.score, s.terms, s.heat) for s in run(scorer, frames)]
    past, ready = None, []
    for image in frames[:15]:
        ready.append(scorer.preprocess(image, past))
        past = ready[-1].past
    state, found = scorer.init_state(), []
    for image in [*ready, *frames[15:]]:  # and `step` can go on where they end
        state, score = scorer.step(state, image)
        found.append((score.score, score.terms, score.heat))
    np.testing.assert_equal(found, want)


def test_prepare_is_flow_over_the_last_two_frames():
    scorer, frames = fitted(), walk(4, size=SIZE_PX)
    past, flows = None, []
    for image in frames:
        ready = scorer.preprocess(image, past)
        past = ready.past
        flows.append(ready.local.get("flow"))
        np.testing.assert_array_equal(ready.frame, to_model(image, SIZE))
    assert flows[:FLOW_LAG] == [None] * FLOW_LAG
    grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in frames]
    speed = box_mean(cv2.magnitude(*motion_of(grey[3], grey[1])), FLOW_BLOCK_PX)
    want = cv2.resize(speed, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(flows[3], want)
    assert len(past.greys) == FLOW_LAG + 1


def test_something_odd_scores_higher():
    frames = walk()
    frames[15][35:60, 5:50] = 255
    scores = [s.score for s in run(fitted(), frames)]
    # It comes, goes in the next frame, and the paper's M_t is judged with frame t + 1.
    assert np.nanargmax(scores) in (15, 16, 17)


def test_level_and_alarm_follow_the_threshold():
    found = run(fitted(), walk())
    assert all(math.isnan(s.level) and not s.alarm for s in found)
    at = int(np.nanargmax([s.score for s in found]))
    score = found[at].score
    assert score > 0
    below = run(fitted(threshold=2 * score), walk())[at]
    above = run(fitted(threshold=0.5 * score), walk())[at]
    assert below.level == pytest.approx(0.5)
    assert not below.alarm
    assert above.level == pytest.approx(2)
    assert above.alarm


def test_smoothing_is_an_exponential_mean_of_the_past():
    plain = [s.score for s in run(fitted(), walk())]
    smooth = [s.score for s in run(fitted(ScoreConfig(block_px=32, smooth=0.75)), walk())]
    want = plain[HISTORY]
    for i in range(HISTORY, 24):
        want = want if i == HISTORY else 0.75 * want + 0.25 * plain[i]
        assert smooth[i] == pytest.approx(want)


def test_without_flow_there_is_no_flow():
    config = ScoreConfig(block_px=32, flow=False)
    s = run(fitted(config), walk())[-1]
    assert not any("flow" in term for term in s.terms)
    assert s.score == pytest.approx(s.terms["own"])


def test_any_picture_size_is_taken():
    s = run(fitted(), walk(size=96))[-1]
    assert math.isfinite(s.score)
    assert s.heat.shape == (SIZE, SIZE)


def test_without_a_scene_there_is_no_score():
    scorer = Scorer(Copy(), ScoreConfig(block_px=32))
    state = scorer.init_state()
    for image in walk()[:HISTORY]:
        state, _ = scorer.step(state, image)
    with pytest.raises(ValueError, match="SceneFit"):
        scorer.step(state, walk()[HISTORY])
