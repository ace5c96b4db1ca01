"""What a mask hides is never scored, and what it leaves is scored as before."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from oddframe.errors import ConfigError
from oddframe.models.base import Prediction, VADModel
from oddframe.scoring.masks import blanked, cells_of, largest, lowered
from oddframe.scoring.scene import SceneFit
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.seen import Observation
from oddframe.scoring.settings import ScoreConfig

SIZE, HISTORY = 64, 3
BLOCK = ScoreConfig(block_px=32)  # 8 px of 64: local means reach 4 px over an edge
NOISY = (slice(8, 24), slice(36, 56))


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


def walk(n=16, seed=0, noise=None):
    """A bright square that crosses a textured picture below a place that flickers by `noise`."""
    ground = np.random.default_rng(seed).integers(0, 60, (SIZE, SIZE, 3), np.uint8)
    flicker = np.random.default_rng(noise)
    frames = []
    for t in range(n):
        image = ground.copy()
        image[44:54, 2 + 2 * t : 10 + 2 * t] = 120
        if noise is not None:
            image[NOISY] = flicker.integers(0, 40) + 200 * (t % 2)
        frames.append(image)
    return frames


@pytest.fixture(scope="module")
def scorer():
    fit, learner = SceneFit(), Scorer(Copy(), BLOCK)
    state = learner.init_state()
    for image in walk(seed=1):
        state, seen = learner.observe(state, image)
        if seen is not None:
            fit.add(seen.local)
    return Scorer(Copy(), BLOCK, fit.fit(), threshold=2.0)


def run(scorer, frames, hidden=None):
    state, scores = scorer.init_state(), []
    for i, image in enumerate(frames):
        state, score = scorer.step(state, image, i / 10, hidden)
        scores.append(score)
    return scores


def around(margin, size=SIZE):
    """A mask over the place that flickers, and `margin` pixels (of 64) about it."""
    mask = np.zeros((size, size), bool)
    scale = size // SIZE
    rows, columns = (slice((p.start - margin) * scale, (p.stop + margin) * scale) for p in NOISY)
    mask[rows, columns] = True
    return mask


def own_terms(score):
    """All but those that are of the whole picture."""
    return {k: v for k, v in score.terms.items() if not k.startswith("psnr")}


@pytest.mark.parametrize("size", [64, 96, 256])
def test_noise_in_hidden_cells_changes_nothing(scorer, size):
    """Bit for bit: score, terms and heat, of maps of several grids."""
    rng, mask = np.random.default_rng(0), np.zeros((size, size), bool)
    mask[size // 4 : size // 2, : size // 3] = True
    shapes = {"frame": (64, 64), "motion": (64, 64), "flow": (32, 32)}
    local = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    noisy = {name: m.copy() for name, m in local.items()}
    for m in noisy.values():
        cells = cells_of(mask, m.shape)
        m[cells] = 1000 * rng.random(cells.sum(), np.float32)
    state = scorer.init_state()
    bare, want, got = (
        scorer.score(state, Observation(maps, None, 30.0, 30.0), 0.0, hidden=hidden)[1]
        for maps, hidden in ((noisy, None), (local, mask), (noisy, mask))
    )
    assert bare.score > want.score + 1
    assert math.isfinite(got.score)
    np.testing.assert_equal(
        (got.score, got.level, got.terms, got.heat),
        (want.score, want.level, want.terms, want.heat),
    )


@pytest.mark.parametrize("size", [64, 128, 256])
def test_what_flickers_under_a_mask_is_not_seen(scorer, size):
    """From pictures to scores. Flow and local means reach over the edge, so the mask does too."""
    mask = around(8, size)
    quiet, loud, other = (run(scorer, walk(noise=noise), mask) for noise in (None, 3, 4))
    bare = run(scorer, walk(noise=3))
    for i in range(HISTORY, len(quiet)):
        assert bare[i].score > loud[i].score + 1  # without the mask it is
        # Box filters keep running sums: the last bits of a value depend on its whole row.
        assert loud[i].score == pytest.approx(other[i].score, abs=1e-4)
        assert own_terms(loud[i]) == pytest.approx(own_terms(other[i]), abs=1e-3)
        assert loud[i].score == pytest.approx(quiet[i].score, abs=1e-3)


def test_what_local_means_carry_over_the_edge_is_scored(scorer):
    """As the module says: half a window of it, so a mask is drawn wider."""
    tight = run(scorer, walk(noise=3), around(0))
    quiet = run(scorer, walk(), around(0))
    assert tight[-1].terms["z_frame"] > quiet[-1].terms["z_frame"]


def test_a_mask_over_nothing_changes_no_bit(scorer):
    frames = walk(noise=3)
    for mask in (np.zeros((SIZE, SIZE), bool), np.zeros((7, 7), bool)):
        for got, want in zip(run(scorer, frames, mask), run(scorer, frames), strict=True):
            np.testing.assert_equal(
                (got.score, got.level, got.alarm, got.terms, got.heat),
                (want.score, want.level, want.alarm, want.terms, want.heat),
            )


def test_outside_a_mask_all_is_as_before(scorer):
    """The walker is the worst of the picture: a mask elsewhere changes neither score nor heat."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:16] = True
    for got, want in zip(run(scorer, walk(), mask), run(scorer, walk()), strict=True):
        np.testing.assert_equal((got.score, own_terms(got)), (want.score, own_terms(want)))
        if want.heat is not None:
            np.testing.assert_array_equal(got.heat[16:], want.heat[16:])
            assert not got.heat[:16].any()


def test_every_stream_of_a_batch_has_a_mask_of_its_own(scorer):
    frames = walk(noise=3)
    states = [scorer.init_state()] * 3
    masks = [None, around(8), around(8, 128)]
    for image in frames:
        states, scores = scorer.step_batch(states, [image] * 3, [0.0] * 3, hidden=masks)
    alone = [run(scorer, frames, mask)[-1] for mask in masks]
    assert [s.score for s in scores] == pytest.approx([s.score for s in alone], rel=1e-5)
    assert scores[0].score > scores[1].score + 1
    assert scores[1].score == pytest.approx(scores[2].score, rel=1e-5)


@pytest.mark.parametrize("mask", [np.ones((64, 64), bool), np.ones((1, 1), bool)])
def test_a_mask_that_hides_everything_is_refused(scorer, mask):
    with pytest.raises(ConfigError, match="hides everything"):
        run(scorer, walk(), mask)


@pytest.mark.parametrize(
    "mask", [np.zeros((4, 5), bool), np.zeros((4, 4)), np.zeros((0, 0), bool), np.zeros(16, bool)]
)
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(ConfigError, match="square of true and false"):
        cells_of(mask, (8, 8))


def test_a_cell_is_hidden_where_half_of_it_is():
    mask = np.zeros((8, 8), bool)
    mask[:, :3] = True
    assert cells_of(mask, (8, 8)).sum() == 24
    assert cells_of(mask, (4, 4)).tolist() == [[True, True, False, False]] * 4  # 1, .5, 0, 0
    assert cells_of(mask, (2, 2)).tolist() == [[True, False]] * 2
    assert cells_of(mask, (16, 16)).sum() == 96
    assert cells_of(mask, (3, 5)).tolist() == [[True, True, False, False, False]] * 3  # .875 of one


@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (61, 17), (5, 90)])
def test_shares_are_areas(shape):
    """Against counting the pixels of a picture large enough for both grids."""
    rng = np.random.default_rng(0)
    mask = rng.random((12, 12)) < 0.3
    fine = np.kron(mask, np.ones((shape[0], shape[1])))  # 12 h x 12 w
    want = fine.reshape(shape[0], 12, shape[1], 12).mean((1, 3)) >= 0.5 - 1e-9
    np.testing.assert_array_equal(cells_of(mask, shape), want)


def test_what_is_hidden_gives_way_in_maps():
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    values = np.arange(16, dtype=np.float32).reshape(4, 4)[::-1].copy()
    assert largest(values, None) == 15
    assert largest(values, mask) == 11
    low = lowered(values, mask)
    assert low[0].tolist() == [0] * 4
    assert low.dtype == blanked(values, mask).dtype == np.float32
    np.testing.assert_array_equal(low[1:], values[1:])
    assert lowered(values, None) is values
    assert values[0].tolist() == [12, 13, 14, 15]  # left as it was
