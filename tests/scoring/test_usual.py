"""What is usual: by plain recomputation, and on things that go as nobody goes there."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from safetensors.numpy import load, save

from oddframe.data.blobs import Sizes
from oddframe.errors import RunError
from oddframe.scoring.look import Grey
from oddframe.scoring.usual import Past, Usual, fit_usual
from oddframe.scoring.ways import (
    FASTER,
    GRID,
    NOTHING,
    SLOWEST,
    WAYS,
    Cells,
    Ways,
    count,
    rarity_of,
    ways_of,
)
from pieces import Some


def walk(n, row=100, step=3, first=0, tall=40, wide=20, stop=None):
    """n pictures (256, 256, 3): a textured thing that goes to the right in one lane."""
    rng = np.random.default_rng(5)
    ground = rng.integers(80, 120, (256, 256, 3), np.uint8)
    thing = rng.integers(0, 255, (tall, wide, 3), np.uint8)
    images = []
    for t in range(n):
        image = ground.copy()
        x = (first + step * (t if stop is None else min(t, stop))) % (256 - wide)
        image[row : row + tall, x : x + wide] = thing
        images.append(image)
    return images


@pytest.fixture(scope="module")
def fitted():
    pieces = [Some(walk(60, first=at)) for at in (0, 40, 90, 130)]
    return fit_usual(pieces, Sizes(40, 0, 40, 40), 25)


def z(fitted, images, usual=None):
    """{stream: z of the last frame}."""
    past = Past()
    for image in images:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        past, maps = (usual or fitted.usual).step(past, grey)
    return {name: float(fitted.scene[name].unusual(m).max()) for name, m in maps.items()}


def test_what_happens_there_all_the_time_is_not_unusual(fitted):
    found = z(fitted, walk(12, first=60))
    assert set(found) == {"flow", "way", "stay"}
    assert all(abs(value) < 3 for value in found.values())


def test_each_stream_sees_what_it_is_for(fitted):
    normal = z(fitted, walk(12, first=60))
    faster = z(fitted, walk(12, first=20, step=9))
    back = z(fitted, walk(12, first=120, step=-3))
    stands = z(fitted, walk(60, first=60, row=180, stop=3))
    assert faster["flow"] > normal["flow"] + 2
    assert faster["way"] > normal["way"] + 2
    assert back["way"] > normal["way"] + 2
    assert back["flow"] < normal["flow"] + 2
    assert stands["way"] < normal["way"]
    assert stands["stay"] > normal["stay"] + 3
    assert faster["stay"] < normal["stay"] + 1


def test_a_place_where_nobody_went_is_no_anomaly_but_another_way_there_is(fitted):
    normal = z(fitted, walk(12, first=60))
    elsewhere = z(fitted, walk(12, first=60, row=200))
    other_way = z(fitted, walk(12, first=120, row=200, step=-3))
    assert elsewhere["way"] < normal["way"] + 2
    assert other_way["way"] > elsewhere["way"] + 3


def cells(speed, right, down):
    return Cells(*(np.asarray(x, np.float32) for x in (speed, right, down)))


def test_the_usual_speed_grows_with_what_stands_at_a_row():
    sizes = Sizes(0.0, 1 / 3, 20, 80)
    near, far = walk(60, row=180, step=4, tall=60), walk(60, row=60, step=2, tall=30, wide=10)
    for image, other in zip(near, far, strict=True):
        image[:128] = other[:128]
    found = fit_usual([Some(near)], sizes, 25)
    pace = found.usual.ways.pace
    assert pace.shape == (GRID, 1)
    np.testing.assert_allclose(pace / pace[-1], found.scene["flow"].rows(GRID) /
                               found.scene["flow"].rows(GRID)[-1], rtol=1e-5)  # fmt: skip
    assert 1 < pace[58, 0] < 6  # near the 4 px of what walks there
    assert np.diff(pace[:, 0]).min() >= 0


def test_ways_are_eight_directions_at_sixteen_speeds_and_nothing():
    pace = np.full((1, 1), 2.0, np.float32)
    turn = np.arange(8) * np.pi / 4
    right, down = np.cos(turn)[None], np.sin(turn)[None]
    for speed, kind in ((1.41, 0), (1.7, 1), (2.1, 2), (90.0, 15)):
        ways = ways_of(cells(np.full((1, 8), speed), right, down), pace)
        assert ways.tolist() == [[kind * 8 + d for d in range(8)]]
    assert SLOWEST * 2 * FASTER < 1.7 < SLOWEST * 2 * FASTER**2
    still = ways_of(cells([[1.39, 0.0]], [[1.39, 0.0]], [[0, 0]]), pace)
    assert still.tolist() == [[NOTHING, NOTHING]]
    slow = np.full((1, 1), 0.1, np.float32)  # whatever is usual, noise is no motion
    assert ways_of(cells([[0.09]], [[0.09]], [[0]]), slow).tolist() == [[NOTHING]]


def test_counts_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    ways = rng.integers(0, NOTHING + 1, (5, 3, 4))
    want = np.zeros((3, 4, WAYS))
    for n, row, column in np.ndindex(ways.shape):
        if ways[n, row, column] != NOTHING:
            want[row, column, ways[n, row, column]] += 1
    np.testing.assert_array_equal(count(ways), want)


def test_rarity_falls_from_the_commonest_with_distance_speed_and_turn():
    ways = np.full((400, GRID, GRID), NOTHING, np.int64)
    ways[:, 28:37, 28:37] = 5 * 8 + 2  # one direction at one speed, in one region
    known = rarity_of(count(ways))
    assert known.shape == (GRID, GRID, WAYS)
    assert (known >= 0).all()
    at = known[32, 32].reshape(16, 8)
    assert at[5, 2] == known[32, 32].min() == 0
    assert 0 < at[6, 2] < at[7, 2] < at[9, 2]  # a little faster, faster, much faster
    assert 0 < at[5, 3] < at[5, 6]  # the direction beside, the opposite
    assert at[5, 6] > known[0, 0].reshape(16, 8)[5, 6] - 0.5
    never = rarity_of(np.zeros((GRID, GRID, WAYS), np.float32))
    np.testing.assert_allclose(never, 0, atol=1e-5)  # nothing is known: nothing is rare


def test_only_what_goes_is_rare():
    known = Ways(np.full((GRID, GRID, WAYS), np.log(100), np.float32),
                 np.ones((GRID, 1), np.float32))  # fmt: skip
    none = np.zeros((GRID, GRID), np.float32)
    np.testing.assert_allclose(known.local(Cells(none, none, none)), 1)
    speed = none.copy()
    speed[20:30, 20:30] = 2
    found = known.local(Cells(speed, speed, none))
    assert found[25, 25] == pytest.approx(100, rel=1e-3)
    assert found[0, 0] == 1


def test_every_part_is_compared_with_the_others_alone():
    """The one clip in which something goes back is odd to the others, and not to the whole."""
    pieces = [Some(walk(40, first=at)) for at in (0, 60, 120)] + [Some(walk(40, step=-3))]
    fitted = fit_usual(pieces, None, 25)
    seen = (*fitted.parts, fitted.usual)
    way = [z(fitted, walk(12, first=120, step=-3), u)["way"] for u in seen]
    assert way[3] > way[4] + 1
    assert way[0] == pytest.approx(way[4], abs=0.5)


def test_held_against_itself_nothing_is_as_rare():
    pieces = [Some(walk(40, first=at)) for at in (0, 60, 120)] + [Some(walk(40, step=-3))]
    crossed, plain = (fit_usual(pieces, None, 25, cross=x) for x in (True, False))
    longest = [x.scene["way"].mean + 2.326 * x.scene["way"].std for x in (crossed, plain)]
    assert longest[0] > longest[1] + 0.5
    np.testing.assert_array_equal(crossed.usual.ways.rarity, plain.usual.ways.rarity)
    np.testing.assert_array_equal(plain.parts[3].ways.rarity, plain.usual.ways.rarity)


def flag(n, row=60, column=150, seed=0):
    """n pictures in which something in one place is another all the time, as a tree in the wind."""
    rng, images = np.random.default_rng(seed), walk(n, stop=0)
    for image in images:
        image[row : row + 24, column : column + 24] = rng.integers(150, 255, (24, 24, 1))
    return images


def test_a_place_where_something_always_stands_does_not_speak_for_the_others():
    """Its like there is usual, and a bag elsewhere is seen; without that one hides the other."""
    pieces = [Some(flag(60, seed=i) if i % 2 else walk(60, stop=0)) for i in range(10)]
    fitted = fit_usual(pieces, None, 10)
    usual = fitted.usual.stay.usual
    assert usual.max() > 1
    far = np.hypot(*(np.indices((GRID, GRID)) - np.array([18, 40])[:, None, None])) > 12
    assert usual[far].max() < 0.6

    def stays(images):
        past = Past()
        for image in images:
            past, maps = fitted.usual.step(past, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        return float(fitted.scene["stay"].unusual(maps["stay"]).max())

    with_bag = flag(60, seed=9)
    for image in with_bag:
        image[170:190, 60:76] = 240
    assert stays(flag(60, seed=9)) < 2.5
    assert stays(with_bag) > 4
    again = Usual.from_bytes(fitted.usual.to_bytes())
    np.testing.assert_array_equal(again.stay.usual, usual)


def test_runs_of_before_know_no_place_where_something_always_stands(fitted):
    known = load(fitted.usual.to_bytes())
    del known["stays"]
    again = Usual.from_bytes(save(known))
    assert not again.stay.usual.any()


def test_one_piece_alone_is_compared_by_quarters():
    assert len(fit_usual([Some(walk(60))], None, 25).parts) == 4


def test_too_little_is_said():
    with pytest.raises(RunError, match="at least 8 frames of normal video with a past, found 5"):
        fit_usual([Some(walk(7))], None, 25)


def test_it_is_stored_and_read_again(fitted):
    again, was = Usual.from_bytes(fitted.usual.to_bytes()), fitted.usual
    np.testing.assert_allclose(again.ways.rarity, was.ways.rarity, atol=0.01)
    np.testing.assert_array_equal(again.ways.pace, was.ways.pace)
    np.testing.assert_array_equal(again.stay.picture, was.stay.picture)
    assert again.stay.fps == 25
    for wrong in (b"", b"not this", fitted.usual.to_bytes()[:-100]):
        with pytest.raises(ValueError, match="does not hold what is usual"):
            Usual.from_bytes(wrong)
    other = {**load(fitted.usual.to_bytes()), "pace": np.ones((2, 1), np.float32)}
    with pytest.raises(ValueError, match="arrays of shapes"):
        Usual.from_bytes(save(other))


def test_frames_that_were_left_out_make_nothing_faster():
    """Every second frame, said to be two steps apart, has the speeds of all frames."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (256, 400), np.uint8)
    wide = np.asarray(cv2.GaussianBlur(wide, (0, 0), 3), np.uint8)

    def frame(i):
        return np.ascontiguousarray(wide[:, 2 * i : 2 * i + 256])

    every, second = Past(), Past()
    for i in range(9):
        every = every.seen(frame(i))
        if i % 2 == 0:
            second = second.seen(frame(i), 2.0)
    (all_right, _), (some_right, _) = every.motion, second.motion
    middle = np.s_[64:192, 64:192]
    assert np.median(all_right[middle]) == pytest.approx(-2, abs=0.1)
    assert np.median(some_right[middle]) == pytest.approx(-2, abs=0.1)


@dataclass
class Led(Some):
    """A piece of which the seconds before are kept, or are not."""

    seconds: Sequence[tuple[Grey, float]] | None = None

    def before(self):
        return self.seconds


def standing(n, level=200):
    """Somebody who stands there for all of n pictures."""
    images = walk(n, stop=0)
    for image in images:
        image[180:220, 200:216] = level
    return images


def test_who_stood_before_a_piece_began_stands_longer():
    walks = [Some(walk(60, first=at)) for at in (0, 40, 90, 130)]
    greys = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in standing(16)]
    led = fit_usual([*walks, Led(standing(20), [(g, 0.25) for g in greys])], None, 25)
    cut = fit_usual([*walks, Led(standing(20), ())], None, 25)
    longest = lambda scene: scene.mean + 2.326 * scene.std  # noqa: E731
    assert longest(led.scene["stay"]) > 4  # 16 pictures of a quarter of a second each
    assert longest(cut.scene["stay"]) < 1  # 20 frames


def test_pieces_whose_past_nobody_kept_count_only_where_all_are_so():
    walks = [Some(walk(60, first=at)) for at in (0, 40, 90, 130)]
    plain = fit_usual(walks, None, 25).scene["stay"]
    alone = fit_usual([*walks, Led(standing(90), None)], None, 25).scene["stay"]
    known = fit_usual([*walks, Led(standing(90), ())], None, 25).scene["stay"]
    assert alone.mean == pytest.approx(plain.mean, abs=0.05)
    assert known.mean > plain.mean + 0.3
    cut = fit_usual([Led(standing(90), None)], None, 25).scene["stay"]
    assert cut == fit_usual([Led(standing(90), ())], None, 25).scene["stay"]


@pytest.mark.parametrize("walks", [1, 2])
def test_who_comes_by_rarely_makes_neither_nothing_nor_everything_odd(walks):
    """One or two passages in ten clips: the range is of a few frames."""
    pieces = [
        Some(walk(40, first=at)) if at < walks else Some(walk(40, stop=0)) for at in range(10)
    ]
    found = fit_usual(pieces, None, 25).scene["way"]
    assert 0.5 <= found.std <= 2.0
