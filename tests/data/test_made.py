"""Things that move, cut out of normal footage and put back: against plain recomputation."""

import numpy as np
import pytest

from oddframe.data.blobs import Sizes, blobs, fit_sizes, median_picture, threshold_of
from oddframe.data.made.cuts import SHORTEST, cut_out, follow
from oddframe.data.made.plant import KINDS, ODD, Planting, paste

SIDE = 128


def scene(n, *movers, noise=2, seed=0):
    """n pictures (SIDE, SIDE, 3) of still ground and movers (top, left, height, width, step)."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(90, 110, (SIDE, SIDE, 3)).astype(np.int64)
    images = []
    for t in range(n):
        image = ground + rng.integers(-noise, noise + 1, ground.shape)
        for top, left, height, width, step in movers:
            x = left + step * t
            if x >= 0 and x + width <= SIDE:
                image[top : top + height, x : x + width] = (200, 40, 250)
        images.append(image.clip(0, 255).astype(np.uint8))
    return images


WALKER = (40, 4, 30, 12, 2)
FAR = (20, 100, 12, 6, -1)


def test_a_blob_is_where_the_thing_is():
    images = scene(50, WALKER)
    picture = median_picture(images)
    threshold = threshold_of(images, picture)
    for t in (5, 20, 40):
        (found,) = blobs(images[t], picture, threshold)
        assert abs(found.top - 40) <= 2
        assert abs(found.foot - 70) <= 2
        assert abs(found.middle - (4 + 2 * t + 6)) <= 2
        assert found.area == pytest.approx(30 * 12, rel=0.35)
    assert blobs(picture, picture, threshold) == []
    assert blobs(np.full_like(picture, 255), picture, threshold) == []  # the light was switched


def test_sizes_are_those_of_whole_things():
    """Fragments are many and small: a line of least squares would lie between."""
    images = scene(60, WALKER, FAR)
    picture = median_picture(images)
    threshold = threshold_of(images, picture)
    found = [b for image in images for b in blobs(image, picture, threshold)]
    legs = [b for b in blobs(scene(1, (64, 50, 6, 6, 0))[0], picture, threshold)] * 20
    sizes = fit_sizes([*found, *legs])
    assert sizes.at(70) == pytest.approx(30, abs=4)
    assert sizes.at(32) == pytest.approx(12, abs=4)
    assert sizes.at(1000) <= 34
    assert fit_sizes(found[:7]) is None


def test_a_thing_is_followed_until_it_meets_another():
    images = scene(50, WALKER, (40, 112, 30, 12, -2))  # towards each other
    picture = median_picture(images)
    threshold = threshold_of(images, picture)
    things = follow(images, [blobs(image, picture, threshold) for image in images])
    assert len(things) >= 2
    assert {round(thing.step[1]) for thing in things} == {2, -2}
    assert all(len(thing.blobs) < 30 for thing in things)
    assert all(abs(thing.step[0]) < 0.2 for thing in things)


def test_what_is_cut_out_is_the_thing():
    cuts = cut_out([scene(50, WALKER), scene(50, WALKER, seed=1)])
    thing = cuts.things[0]
    assert len(thing.blobs) >= SHORTEST
    alpha, image = thing.sprite(3, scale=2.0)
    assert alpha.shape == image.shape[:2]
    assert alpha.shape[0] == pytest.approx(2 * 32, abs=6)
    np.testing.assert_allclose(image[alpha > 0.99].mean(0), (200, 40, 250), atol=15)
    turned, mirrored = thing.sprite(3, scale=2.0, mirrored=True)
    np.testing.assert_array_equal(mirrored[:, ::-1], image)
    np.testing.assert_array_equal(turned[:, ::-1], alpha)
    last = len(thing.blobs) - 1  # beyond its end it is played backwards
    np.testing.assert_array_equal(thing.sprite(last + 2)[1], thing.sprite(last - 2)[1])


def test_where_nothing_moves_nothing_is_cut_out():
    assert cut_out([scene(60)]) is None
    assert cut_out([scene(SHORTEST - 1, WALKER)]) is None
    assert cut_out([]) is None


def test_a_pasted_sprite_is_mixed_by_its_alpha_and_cut_at_the_border():
    image = np.full((10, 10, 3), 100, np.uint8)
    alpha = np.array([[1.0, 0.5], [0.0, 1.0]], np.float32)
    sprite = np.full((2, 2, 3), 200, np.uint8)
    out = paste(image, alpha, sprite, foot=6, middle=5)
    assert out[4, 4, 0] == 200
    assert out[4, 5, 0] == 150
    assert out[5, 4, 0] == 100
    assert (image == 100).all()
    assert (paste(image, alpha, sprite, foot=1, middle=0) != image).any()
    np.testing.assert_array_equal(paste(image, alpha, sprite, foot=-5, middle=40), image)


@pytest.fixture(scope="module")
def cuts():
    return cut_out([scene(50, WALKER, FAR), scene(50, WALKER, FAR, seed=1)])


def shown(kind, cuts, zone=1, frames=20, seed=0):
    """Where the thing is in each frame until it leaves: (n, 4) top, foot, middle, pixels."""
    still = scene(1)[0]
    plan = Planting(kind, zone, cuts, frames, np.random.default_rng(seed))
    rows = []
    for k in range(frames):
        there = (plan.into(still, k) != still).any(2)
        if not there.any():  # it has left the picture
            break
        y, x = np.nonzero(there)
        rows.append((y.min(), y.max() + 1, x.mean(), there.sum()))
    return np.array(rows, float)


def test_kinds_do_what_they_say(cuts):
    normal, running, large, standing, bag = (
        shown(k, cuts) for k in ("normal", "running", "large", "standing", "left")
    )
    speed = lambda rows: np.abs(np.diff(rows[2:-2, 2])).mean()  # noqa: E731
    height = lambda rows: (rows[:, 1] - rows[:, 0]).mean()  # noqa: E731
    assert 0.5 < speed(normal) < 3
    assert 1.8 * speed(normal) < speed(running)
    assert speed(standing) == speed(bag) == 0
    assert height(large) > 1.5 * height(normal)
    assert height(bag) < 0.7 * height(standing)
    assert set(ODD) == set(KINDS) - {"normal"}


def test_the_control_is_what_was_there(cuts):
    """Put back into a picture of its own time, it changes next to nothing."""
    images = scene(50, WALKER, FAR)
    for zone in (0, 2):
        plan = Planting("normal", zone, cuts, 20, np.random.default_rng(2))
        for k in (0, 9):
            own = images[_when(plan, k)]
            assert plan.there(k, own)
            assert np.abs(plan.into(own, k).astype(int) - own).mean() < 0.3
    short = Planting("normal", 1, cuts, 500, np.random.default_rng(0))
    assert not short.there(400, images[0])
    np.testing.assert_array_equal(short.into(images[0], 400), images[0])


def _when(plan, k):
    """The frame in which the thing of a control was where it is now."""
    foot, middle = plan._places[k]
    left, width = (4, 12) if foot > 50 else (100, 6)
    step = 2 if foot > 50 else -1
    return round((middle - left - width / 2) / step)


def test_the_wrong_way_is_one_that_nothing_goes(cuts):
    """Here things go left and right alone."""
    rows = shown("wrong way", cuts)
    assert abs(np.diff(rows[2:-2, 1]).mean()) > 0.3


def test_the_same_seed_puts_the_same_thing_there(cuts):
    for kind in KINDS:
        np.testing.assert_array_equal(shown(kind, cuts, seed=3), shown(kind, cuts, seed=3))
    assert not np.array_equal(shown("running", cuts, seed=3), shown("running", cuts, seed=4))


def test_standing_is_where_the_least_was_seen(cuts):
    rows = shown("standing", cuts, zone=1)
    y, x = int((rows[0, 0] + rows[0, 1]) / 2), int(rows[0, 2])
    assert cuts.busy[y, x] < np.quantile(cuts.busy[cuts.busy > 0], 0.75)


def test_sizes_are_a_line_between_what_was_seen():
    sizes = Sizes(10.0, 0.5, 20.0, 60.0)
    assert [sizes.at(y) for y in (0, 40, 200)] == [20.0, 30.0, 60.0]
