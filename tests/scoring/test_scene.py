"""Scale and range of a scene: made footage with a known perspective, against slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oddframe.data.blobs import Sizes
from oddframe.errors import RunError
from oddframe.scoring.scene import (
    FLOOR,
    LEAST_SIZE,
    SceneFit,
    StreamScene,
    fit_level,
    fit_range,
    fit_stream,
    from_json,
    scene_line,
    to_json,
)


def footage(n=200, h=64, w=48, top=0.4, bottom=1.0, seed=0):
    """Local maps of walkers whose activity grows in a straight line from far to near."""
    rng = np.random.default_rng(seed)
    scale = np.linspace(top, bottom, h)
    maps = np.full((n, h, w), 1e-4, np.float32)
    for t in range(n):
        for r in rng.integers(h, size=h // 2):
            c = rng.integers(w)
            maps[t, r, max(0, c - w // 8) : c + w // 8] = scale[r] * rng.uniform(0.8, 1.2)
    return maps


def test_the_line_finds_the_perspective():
    top, bottom = scene_line(footage())
    assert bottom == 1
    assert top == pytest.approx(0.4, abs=0.08)


def test_a_row_without_motion_has_no_say():
    maps = footage(top=0.4)
    maps[:, :20] = 1e-4  # sky
    top, _ = scene_line(maps)
    assert top == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("value", [0.0, 3.0], ids=["nothing moves", "everything is the same"])
def test_flat_footage_has_a_flat_scale_and_finite_numbers(value):
    scene = fit_stream(list(np.full((20, 16, 16), value, np.float32)))
    assert (scene.top, scene.bottom) == pytest.approx((1, 1))
    assert np.isfinite(scene.unusual(np.full((16, 16), 5.0, np.float32))).all()
    assert scene.std > 0


def test_the_scale_never_falls_below_its_floor():
    rows = StreamScene(-0.5, 1.0, 0.0, 1.0, 1e-6).rows(100)
    assert rows.min() == pytest.approx(FLOOR)
    assert rows.max() == 1


def test_body_sizes_are_half_of_the_scale():
    """The geometric mean of both lines, row by row; a body far away has a least size too."""
    sizes = Sizes(-20.0, 0.5, 4, 100)
    rows = StreamScene(0.4, 1.0, 0.0, 1.0, 1e-6, sizes).rows(64)[:, 0]
    for row in (0, 20, 40, 63):
        line = 0.4 + 0.6 * row / 63
        body = max(sizes.at((row + 0.5) * 4) / 100, LEAST_SIZE)
        assert rows[row] == pytest.approx(math.sqrt(line * body), rel=1e-5)
    assert sizes.at(2) / 100 < LEAST_SIZE
    again = from_json(to_json({"flow": StreamScene(0.4, 1.0, 0.0, 1.0, 1e-6, sizes)}))["flow"]
    assert again.sizes == sizes


def test_the_range_is_that_of_values_over_sizes_too():
    sizes = Sizes(10.0, 0.3, 20, 80)
    scene = fit_stream(list(footage()), sizes=sizes)
    assert scene.sizes == sizes
    assert (scene.top, scene.bottom) == scene_line(footage())  # the line is that of the activity
    logs = np.log((footage() / scene.rows(64)).max((1, 2)) + scene.tiny)
    assert scene.mean == pytest.approx(logs.mean(), abs=1e-4)
    level = SceneFit()
    for local in footage():
        level.add({"flow": np.repeat(np.repeat(local, 4, 0), 4, 1)})
    assert level.fit(level=("flow",), sizes=sizes)["flow"].sizes is None
    assert level.fit(sizes=sizes)["flow"].sizes == sizes


def test_a_stream_of_seconds_counts_as_it_is():
    worst = np.array([0.0, 0.0, 1.0, 3.0])
    scene = fit_level(worst, 0.1)
    local = np.array([[0.0, 1.0], [8.0, 3.0]], np.float32)
    np.testing.assert_allclose(scene.unusual(local), (local - 1) / worst.std(), rtol=1e-5)
    assert fit_level(np.zeros(9), 0.1).std == 0.1  # nothing ever stood there
    assert from_json(to_json({"stay": scene}))["stay"] == scene


def test_unusual_against_a_plain_computation():
    scene = fit_stream(list(footage()))
    local = footage(1, seed=3)[0]
    got = scene.unusual(local)
    for r, c in ((0, 0), (10, 7), (63, 47)):
        line = scene.top + (scene.bottom - scene.top) * r / 63
        scaled = local[r, c] / max(line, FLOOR)
        want = (math.log(scaled + scene.tiny) - scene.mean) / scene.std
        assert got[r, c] == pytest.approx(want, rel=1e-4, abs=1e-4)


def test_held_out_frames_have_mean_0_and_deviation_1():
    busy = np.random.default_rng(1).lognormal(0, 0.5, 200).astype(np.float32)
    maps = [m * b for m, b in zip(footage(), busy, strict=True)]
    scene = fit_stream(maps, tail=False)
    worst = [scene.unusual(m).max() for m in maps]
    assert np.mean(worst) == pytest.approx(0, abs=1e-3)
    assert np.std(worst) == pytest.approx(1, abs=1e-3)


def test_a_far_tail_widens_the_range_and_a_short_one_does_not():
    rng = np.random.default_rng(2)
    plain = np.exp(rng.normal(0, 1, 4000))
    assert fit_range(plain).std == pytest.approx(1, abs=0.05)
    assert fit_range(np.exp(rng.uniform(-1, 1, 4000))).std == pytest.approx(3**-0.5, abs=0.02)
    far = np.exp(np.where(np.arange(4000) % 50, rng.normal(0, 1, 4000), 6.0))  # 2 % at 6
    scene = fit_range(far)
    assert scene.mean + 2.326 * scene.std == pytest.approx(6, abs=0.05)  # one frame of 100
    assert fit_range(far, tail=False).std == pytest.approx(np.log(far).std(), abs=0.01)
    level = fit_level(np.where(np.arange(4000) % 50, 0.0, 8.0), 0.1)
    assert (8 - level.mean) / level.std == pytest.approx(2.326, abs=0.01)


@pytest.mark.parametrize("every", [2, 5])
def test_pictures_that_repeat_do_not_widen_the_range(every):
    """25 frames a second of which a camera fills but some: nothing moves between the others."""
    rng = np.random.default_rng(7)
    moving = np.exp(rng.normal(0, 0.3, 600))
    repeated = np.where(np.arange(600 * every) % every, 0.0, np.repeat(moving, every))
    whole, thinned = fit_range(repeated), fit_range(moving)
    assert (whole.mean, whole.std) == pytest.approx((thinned.mean, thinned.std), abs=1e-6)
    nothing = fit_range(np.zeros(100))
    assert (nothing.std, np.isfinite(nothing.mean)) == (0.05, True)


def test_frames_kept_aside_and_frames_that_trained_each_may_widen_the_range():
    rng = np.random.default_rng(3)
    aside, trained = rng.normal(1, 0.2, 300), rng.normal(-1, 0.2, 300)
    worst, flags = np.exp(np.concatenate([aside, trained])), np.arange(600) >= 300
    learned_by_heart = fit_range(worst, flags)
    assert learned_by_heart.mean == pytest.approx(1, abs=0.05)  # that of those kept aside
    assert learned_by_heart.std == pytest.approx(1, abs=0.05)  # that of both
    alike = fit_range(np.exp(np.concatenate([trained, aside])), flags)
    assert alike.mean == pytest.approx(0, abs=0.05)  # the moment kept aside was an easy one
    for one in (np.zeros(600, bool), np.ones(600, bool)):
        assert fit_range(worst, one) == fit_range(worst)


def test_which_frames_trained_is_known_when_they_are_thinned_out():
    def fitted(limit):
        fit = SceneFit(limit)
        for i, m in enumerate(footage(400, 256, 256)):
            fit.add({"frame": m * (1 if i < 200 else 0.2)}, trained=i >= 200)
        return fit.fit()["frame"]

    whole, thin = fitted(4096), fitted(50)
    assert thin.mean == pytest.approx(whole.mean, abs=0.1)
    assert thin.std == pytest.approx(whole.std, rel=0.15)


def test_collecting_in_one_go_or_thinned_out():
    fit = SceneFit(limit=50)
    for m in footage(400, 256, 256):
        fit.add({"flow": m})
    assert fit.frames == 400
    assert fit.fit()["flow"].top == pytest.approx(0.4, abs=0.15)


def test_too_little_footage_says_so():
    fit = SceneFit()
    for m in footage(7):
        fit.add({"flow": m})
    with pytest.raises(RunError, match="at least 8"):
        fit.fit()


def test_json_round_trip():
    scene = {"flow": fit_stream(list(footage()))}
    assert from_json(to_json(scene)) == scene
