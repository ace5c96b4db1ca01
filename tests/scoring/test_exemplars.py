"""What was said to be normal stays silent; what is elsewhere, stronger or of another kind rings."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.models.base import VADModel
from oddframe.scoring.exemplars import (
    INSIDE,
    JITTER,
    MOST,
    REACH,
    Exemplars,
    Gathered,
    nearest,
    reach_of,
    rings,
)
from oddframe.scoring.fuse import STREAMS
from oddframe.scoring.scene import StreamScene
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.seen import Observation, ScorerState
from oddframe.scoring.settings import ScoreConfig
from oddframe.scoring.spots import (
    LOOK,
    NO_SPOTS,
    Sight,
    Spots,
    apart,
    found,
    off_grid,
    on_grid,
    shares,
    without,
)
from oddframe.scoring.usual import Past
from oddframe.scoring.ways import GRID, Cells

LIMIT = 4.0
QUIET = 2.0
SIZE = 128
OLD = np.random.default_rng(7).integers(90, 130, (256, 256)).astype(np.uint8)
"""The picture while nothing odd is in it."""


@dataclass
class Thing:
    """Something odd, in cells of the grid."""

    row: int = 20
    column: int = 30
    size: int = 8
    z: dict[str, float] = field(default_factory=lambda: {"flow": 6.0, "frame": 3.0})
    seed: int = 1
    way: tuple[float, float] = (2.0, 0.0)

    @property
    def at(self):
        return np.s_[self.row : self.row + self.size, self.column : self.column + self.size]


def made(*things, light=1.0, size=SIZE):
    """Maps, picture and motion of a frame with these things."""
    maps = {
        s: np.full((size, size) if s in ("frame", "motion") else (GRID, GRID), 0.5, np.float32)
        for s in STREAMS
    }
    grey, right, down = OLD.astype(float), *np.zeros((2, GRID, GRID), np.float32)
    for thing in things:
        patch = np.random.default_rng(thing.seed).integers(0, 256, (4, 4))
        pixels = np.kron(patch, np.ones((thing.size, thing.size)))
        grey[thing.row * 4 :, thing.column * 4 :][: len(pixels), : len(pixels)] = pixels
        right[thing.at], down[thing.at] = thing.way
        for name, value in thing.z.items():
            scale = maps[name].shape[0] // GRID
            cells = np.zeros((GRID, GRID), bool)
            cells[thing.at] = True
            maps[name][np.kron(cells, np.ones((scale, scale), bool))] = value
    picture = np.clip(grey * light, 0, 255).astype(np.uint8)
    return maps, picture, Cells(np.hypot(right, down), right, down)


def sight(*things, **more):
    maps, grey, cells = made(*things, **more)
    return Sight(maps, grey, cells)


def spots(*things, **more):
    return found(sight(*things, **more), LIMIT)[0]


class Told:
    """What a camera would ask."""

    def __init__(self, normal, real=(), limit=LIMIT):
        self.known, self.limit, self.asked = Exemplars(normal, real), limit, 0

    def spared(self, sight, score):
        self.asked += 1
        odd, where = found(sight, self.limit)
        cells = np.isin(where, np.flatnonzero(self.known.like(odd, QUIET) >= 0))
        return cells if cells.any() else None


class Nothing(VADModel):
    history, size = 1, SIZE

    def init_state(self):
        return 0


PLAIN = StreamScene(1.0, 1.0, 0.0, 1.0, 0.0, linear=True)


def scored(*things, pardon=None, config=None, smooth=None, hidden=None, **more):
    """The score of a frame with these things: a value is a deviation in every stream."""
    maps, grey, cells = made(*things, **more)
    scorer = Scorer(Nothing(), config or ScoreConfig(), dict.fromkeys(STREAMS, PLAIN), 5.0)
    past = Past((grey,), cells=cells)
    state = ScorerState(None, 5, past=past, pardon=pardon, smooth=smooth)
    return scorer.score(state, Observation(maps, None, 30.0, 30.0), 0.5, hidden=hidden)


def value(*things, **more):
    return scored(*things, **more)[1].score


POSTMAN = Thing()
NORMAL = [spots(POSTMAN)]


# ---- what rings and what does not


def test_the_same_again_at_the_same_place_is_silent():
    assert value(POSTMAN) > LIMIT
    assert value(POSTMAN, pardon=Told(NORMAL)) < LIMIT


@pytest.mark.parametrize(
    ("thing", "light"),
    [
        (Thing(row=21, column=29), 1.0),
        (POSTMAN, 0.8),
        (Thing(z={"flow": 7.2, "frame": 3.9}), 1.0),
        (Thing(z={"flow": 4.5}), 1.0),
        (Thing(way=(1.2, 0.1)), 1.0),
    ],
    ids=["a step beside", "in other light", "a little stronger", "weaker", "slower"],
)
def test_its_like_is_silent(thing, light):
    assert value(thing, light=light) > LIMIT - 0.5
    assert value(thing, light=light, pardon=Told(NORMAL)) < LIMIT


@pytest.mark.parametrize(
    "thing",
    [
        Thing(z={"way": 6.0}),
        Thing(z={"flow": 6.0, "stay": 6.0}),
        Thing(seed=2),
        Thing(way=(-2.0, 0.0)),
        Thing(row=40),
        Thing(column=36),
        Thing(row=14, column=24, size=20),
        Thing(z={"flow": 9.0, "frame": 3.0}),
    ],
    ids=[
        "odd in another way", "odd in one more way", "looks different", "goes the other way",
        "elsewhere", "beside", "much larger", "clearly stronger",
    ],
)  # fmt: skip
def test_anything_else_rings(thing):
    got = value(thing, pardon=Told(NORMAL))
    assert got == value(thing)
    assert got > LIMIT


def test_something_else_at_the_same_moment_rings():
    other = Thing(row=45, column=8, seed=3)
    both = scored(POSTMAN, other, pardon=Told(NORMAL))[1]
    assert both.score == pytest.approx(value(other), abs=1e-5)
    assert both.alarm
    scale = SIZE // GRID
    assert both.heat[both.heat > LIMIT].size
    assert both.heat[20 * scale : 28 * scale, 30 * scale : 38 * scale].max() < 1
    assert both.terms["z_flow"] == pytest.approx(6.0)


def test_two_that_touch_are_not_the_one_that_is_known():
    beside = Thing(row=20, column=38, seed=3)
    assert value(POSTMAN, beside, pardon=Told(NORMAL)) == value(POSTMAN, beside)


def test_what_was_real_at_a_place_rings_though_something_normal_is_not_far():
    thief = Thing(seed=1, way=(1.5, 0.9))
    assert value(thief, pardon=Told(NORMAL)) < LIMIT
    assert value(thief, pardon=Told(NORMAL, [spots(thief)])) > LIMIT
    assert value(POSTMAN, pardon=Told(NORMAL, [spots(thief)])) < LIMIT
    elsewhere = spots(replace_thing(thief, row=45))
    assert value(thief, pardon=Told(NORMAL, [elsewhere])) < LIMIT


def replace_thing(thing, **more):
    return Thing(**{**thing.__dict__, **more})


def test_what_an_event_showed_on_its_way_is_normal_all_along():
    gathered = Gathered()
    for column in range(4, 50, 2):
        gathered.add(spots(Thing(column=column)))
    for column in (5, 21, 40, 48):
        assert value(Thing(column=column), pardon=Told([gathered.spots])) < LIMIT


# ---- the scorer


def test_without_exemplars_no_bit_changes_and_far_from_an_alarm_nobody_asks():
    for thing in (POSTMAN, Thing(z={"flow": 3.0})):
        told = Told([])
        (state, got), (_, want) = scored(thing, pardon=told), scored(thing)
        np.testing.assert_equal(
            (got.score, got.level, got.terms), (want.score, want.level, want.terms)
        )
        np.testing.assert_array_equal(got.heat, want.heat)
        assert state.pardon is told
        assert told.asked == (thing is POSTMAN)


def test_a_pardon_outlives_a_gap_and_the_next_frame():
    scorer = Scorer(Nothing(), ScoreConfig())
    told = Told([])
    assert scorer.restart(ScorerState(None, 5, pardon=told)).pardon is told


def test_smoothing_goes_on_from_what_was_left():
    config = ScoreConfig(smooth=0.5)
    state, got = scored(POSTMAN, pardon=Told(NORMAL), config=config, smooth=1.0)
    rest = value(POSTMAN, pardon=Told(NORMAL))
    assert got.score == state.smooth == pytest.approx(0.5 + 0.5 * rest)


def test_what_a_mask_hides_is_no_place_of_its_own():
    hidden = np.zeros((SIZE, SIZE), bool)
    hidden[: SIZE // 2, SIZE * 5 // 8 :] = True
    other = Thing(row=4, column=42, seed=3)
    asked = Told(NORMAL)
    assert value(other, pardon=asked, hidden=hidden) < LIMIT
    assert not asked.asked
    assert value(POSTMAN, other, pardon=asked) > LIMIT
    assert value(POSTMAN, other, pardon=asked, hidden=hidden) < LIMIT


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([32, 48, 64, 100, 128]), st.integers(1, 6))
def test_without_its_hot_places_a_frame_scores_below_the_limit(seed, size, things):
    rng = np.random.default_rng(seed)
    local = {
        s: rng.normal(0, 1, (size, size) if s in ("frame", "motion") else (GRID, GRID))
        .astype(np.float32) for s in STREAMS
    }  # fmt: skip
    for _ in range(things):
        m = local[STREAMS[rng.integers(5)]]
        r, c, n = rng.integers(0, len(m), 3)
        m[r : r + n // 3 + 1, c : c + n // 4 + 1] += 12 * rng.random()
    _, where = found(Sight(local, OLD), LIMIT)
    cells = where >= 0
    if cells.all():
        return
    rest = without(local, cells)
    assert max(float(m.max()) for m in rest.values()) < LIMIT
    for name, m in local.items():
        kept = ~off_grid(cells, m.shape)
        np.testing.assert_array_equal(rest[name][kept], m[kept])


@settings(deadline=None)
@given(st.sampled_from([16, 40, 64, 96, 128, 250]), st.integers(0, 99))
def test_cells_go_to_the_grid_and_back(size, seed):
    values = np.random.default_rng(seed).random((size, size)).astype(np.float32)
    grid = on_grid(values)
    assert grid.max() == values.max()
    for level in (0.5, 0.9, 0.99):
        assert (values >= level)[~off_grid(grid >= level, values.shape)].sum() == 0


# ---- spots


def test_a_spot_says_where_what_and_how_it_looks():
    (odd, where) = found(sight(POSTMAN, Thing(row=50, column=2, z={"stay": 9.0})), LIMIT)
    assert len(odd) == 2
    np.testing.assert_allclose(odd.places[1], np.array([30, 20, 38, 28]) / GRID)
    assert dict(zip(STREAMS, odd.streams[1].tolist(), strict=True)) == {
        "frame": 3.0, "motion": 0.5, "flow": 6.0, "way": 0.5, "stay": 0.5
    }  # fmt: skip
    assert odd.streams[0, STREAMS.index("stay")] == 9  # the loudest comes first
    assert (where[20:28, 30:38] == 1).all()
    assert (where >= 0).sum() == 128
    assert odd.looks.shape == (2, LOOK)


def test_a_speck_is_looked_at_with_what_is_around_it():
    odd = spots(Thing(row=0, column=63, size=1))
    left, top, right, bottom = odd.places[0] * GRID
    assert (left, top, right, bottom) == (GRID - 8, 0, GRID, 8)


def test_streams_that_are_not_there_say_nothing():
    maps, grey, _ = made(POSTMAN)
    odd, _ = found(Sight({"flow": maps["flow"]}, grey), LIMIT)
    assert np.isneginf(odd.streams[0]).sum() == 4
    assert (odd.looks[0, -2:] == 0).all()
    assert Exemplars([odd]).like(odd, QUIET).tolist() == [0]
    assert Exemplars([odd]).like(spots(POSTMAN), QUIET).tolist() == [-1]  # z of 3 is not quiet


def test_only_so_many_are_described():
    crowd = [Thing(row=16 * r, column=16 * c, size=4) for r in range(4) for c in range(4)]
    odd, where = found(sight(*crowd), LIMIT)
    assert len(odd) == 8
    assert len(np.unique(where)) == 17


def test_bytes_and_back():
    odd = spots(POSTMAN, Thing(row=50))
    back = Spots.from_bytes(odd.to_bytes())
    for name in ("places", "streams", "looks"):
        np.testing.assert_allclose(getattr(back, name), getattr(odd, name), atol=2e-3)
    assert len(odd.to_bytes()) < 600
    none = Spots.from_bytes(NO_SPOTS.to_bytes())
    assert len(none) == 0


@pytest.mark.parametrize("data", [b"", b"nonsense", NO_SPOTS.to_bytes()[:-3], b"\0" * 100])
def test_what_are_no_spots(data):
    with pytest.raises(ValueError, match="no spots"):
        Spots.from_bytes(data)


def test_spots_of_another_kind():
    from safetensors.numpy import save

    data = save({n: np.zeros((2, 3), np.float32) for n in ("places", "streams", "looks")})
    with pytest.raises(ValueError, match="shapes"):
        Spots.from_bytes(data)


# ---- by the rules, slowly


def some(rng, n):
    low = rng.random((n, 2)) * 0.8
    return Spots(
        np.concatenate((low, low + 0.1 + 0.2 * rng.random((n, 2))), 1).astype(np.float32),
        (6 * rng.random((n, 5))).astype(np.float32),
        (0.12 * rng.normal(size=(n, LOOK))).astype(np.float32),
    )


def slowly(normal, real, odd, quiet):
    """`Exemplars.like`, one pair after the other."""
    out = []
    for place, streams, look in zip(odd.places, odd.streams, odd.looks, strict=True):

        def inside(other, grown, place=place):
            x = min(place[2], other[2] + grown) - max(place[0], other[0] - grown)
            y = min(place[3], other[3] + grown) - max(place[1], other[1] - grown)
            area = (place[2] - place[0]) * (place[3] - place[1])
            return x > 0 and y > 0 and x * y / area >= INSIDE

        nearest_real = min(
            (((look - o) ** 2).sum() for e in real for p, o in zip(e.places, e.looks, strict=True)
             if inside(p, 0)), default=np.inf,
        )  # fmt: skip
        best = (np.inf, -1)
        for number, e in enumerate(normal):
            for p, s, o in zip(e.places, e.streams, e.looks, strict=True):
                d = ((look - o) ** 2).sum()
                may = [max(1.25 * z, z + 1, quiet) for z in s]
                fits = inside(p, JITTER) and all(z <= m for z, m in zip(streams, may, strict=True))
                if fits and d <= reach_of(e) and d < nearest_real:
                    best = min(best, (d, number))
        out.append(best[1])
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 4), st.integers(0, 3))
def test_like_is_what_the_rules_say(seed, normal, real):
    rng = np.random.default_rng(seed)
    normal = [some(rng, int(rng.integers(1, 6))) for _ in range(normal)]
    real = [some(rng, 3) for _ in range(real)]
    odd = some(rng, 6)
    if normal:  # one that is like something
        odd = Spots.joined([odd, replace(normal[0], looks=normal[0].looks + np.float32(0.01))])
    got = Exemplars(normal, real).like(odd, 2.5)
    assert got.tolist() == slowly(normal, real, odd, 2.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 90))
def test_what_is_gathered_is_bounded_and_keeps_the_loudest(seed, n):
    rng = np.random.default_rng(seed)
    gathered, odd = Gathered(), some(rng, n)
    gathered.add(odd)
    kept = gathered.spots
    assert 1 <= len(kept) <= min(n, MOST)
    assert kept.most.max() == odd.most.max()
    assert REACH[0] <= reach_of(kept) <= REACH[1]
    assert (kept.streams.max(0) <= odd.streams.max(0)).all()


def test_frames_that_are_alike_are_one_spot_with_the_most_of_each_stream():
    gathered = Gathered()
    for flow in (5.0, 7.0, 6.0):
        gathered.add(spots(Thing(z={"flow": flow, "way": 11 - flow})))
    assert len(gathered.spots) == 1
    assert gathered.spots.streams[0, STREAMS.index("flow")] == 7
    assert gathered.spots.streams[0, STREAMS.index("way")] == 6


def test_the_reach_is_that_of_the_events_own_frames():
    one = spots(POSTMAN)
    assert reach_of(one) == REACH[0]
    assert reach_of(NO_SPOTS) == REACH[0]
    looks = one.looks.repeat(3, 0)
    looks[1:] += np.sqrt(np.float32(0.4) / LOOK)
    streams = one.streams.repeat(3, 0)
    streams[0] += 1
    event = Spots(one.places.repeat(3, 0), streams, looks)
    assert reach_of(event) == pytest.approx(0.4, abs=1e-3)


@settings(deadline=None)
@given(st.integers(0, 999))
def test_distances_and_shares(seed):
    rng = np.random.default_rng(seed)
    a, b = some(rng, 3), some(rng, 4)
    want = ((a.looks[:, None] - b.looks[None]) ** 2).sum(-1)
    np.testing.assert_allclose(apart(a.looks, b.looks), want, atol=1e-4)
    inside = shares(a.places, b.places)
    assert ((inside >= 0) & (inside <= 1 + 1e-5)).all()
    np.testing.assert_allclose(np.diag(shares(a.places, a.places)), 1, atol=1e-5)


# ---- what was real, and what is nearest


def test_what_was_real_still_rings_or_does_not():
    config, known, none = ScoreConfig(), Exemplars(NORMAL), Exemplars([])

    def still(odd, score, exemplars=known):
        return rings(odd, score, exemplars.like(odd, QUIET), 5.0, config)

    thief = spots(Thing(seed=2))
    assert still(thief, 6.0)
    assert not still(thief, 4.9)  # the threshold has risen
    assert not still(NORMAL[0], 6.0)
    assert still(NORMAL[0], 6.0, none)
    assert still(NO_SPOTS, 6.0)
    both = Spots.joined([NORMAL[0], thief])
    assert still(both, 6.0)


def test_something_real_is_held_against_the_others_alone():
    thief = spots(Thing(way=(1.5, 0.9)))
    known = Exemplars(NORMAL, [spots(Thing(row=40)), thief])
    assert known.like(thief, QUIET).tolist() == [-1]
    assert known.like(thief, QUIET, but=0).tolist() == [-1]
    assert known.like(thief, QUIET, but=1).tolist() == [0]


def test_the_nearest_is_at_the_place_before_it_looks_like_it():
    there, alike = spots(Thing(seed=2)), spots(Thing(row=45))
    assert nearest(NORMAL[0], []) is None
    assert nearest(NO_SPOTS, [there]) is None
    assert nearest(NORMAL[0], [NO_SPOTS, alike, NORMAL[0]])[0] == 2
    number, look, same = nearest(NORMAL[0], [alike])
    assert (number, same) == (0, False)
    assert look < 0.1
    number, look, same = nearest(NORMAL[0], [there])
    assert same
    assert look > 1


# ---- what it costs


def test_two_hundred_exemplars_cost_two_milliseconds():
    rng = np.random.default_rng(0)
    told = Told([some(rng, MOST) for _ in range(200)])
    seen, took = sight(POSTMAN), []
    for _ in range(30):
        began = time.thread_time()
        told.spared(seen, 6.0)
        took.append(time.thread_time() - began)
    assert min(took) < 0.002, f"{1000 * min(took):.2f} ms"
