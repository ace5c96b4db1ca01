"""What people say of events, at work: its like is silent, anything else rings, and it is kept."""

import logging
import math
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stub_run import street, write_stub

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "events"))
from storing import T0, an_event, end

from encoded import encode
from oddframe.events.store import Store
from oddframe.pictures import Plain
from oddframe.runtime.watch import album as album_module
from oddframe.runtime.watch.album import MOST_POINTS, Album, Glance, Trace
from oddframe.runtime.watch.at_work import AtWork
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.runtime.watch.pardons import Pardons
from oddframe.runtime.watch.recall import Recall, recall_of
from oddframe.runtime.watch.site import SiteConfig
from oddframe.scoring.spots import Sight, Spots
from oddframe.scoring.ways import GRID

RUN, THRESHOLD = "a1b2c3", 5.0
GREY = np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8)
PICTURE = Plain(np.zeros((90, 160, 3), np.uint8))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as opened:
        yield opened


def sight(*places, z=6.0):
    """Something fast at each (row, column), of 8 x 8 cells."""
    flow = np.zeros((GRID, GRID), np.float32)
    for row, column in places:
        flow[row : row + 8, column : column + 8] = z
    return Sight({"flow": flow, "way": np.zeros_like(flow)}, GREY)


class Watching:
    """A camera's pardons and album, as its desk has them, without a camera."""

    def __init__(self, store, run=RUN):
        self.store = store
        self.pardons = Pardons("gate", run, store, 0.8)
        self.now = 0.0
        self.album = Album("gate", run, store, 0.8, lambda: self.now)
        self.pts_s = 0.0

    def frame(self, seen, score, alarmed=False):
        """One frame; the cells that are left out of its score."""
        frame = LiveFrame(0, self.pts_s, PICTURE, t_utc=T0 + self.pts_s)
        self.pts_s += 0.1
        self.pardons.interest = self.album.interest
        self.pardons.expect(frame, THRESHOLD)
        cells = self.pardons.spared(seen, score) if score >= self.pardons.limit else None
        level = 0.1 if cells is not None else score / THRESHOLD
        self.album.take(Glance(frame.t_utc, level, PICTURE, self.pardons.taken()), alarmed)
        return cells

    def event(self, seen, index=0, score=6.0):
        """Three frames of it make an event, which is over then."""
        event = replace(an_event(index, at=T0 + self.pts_s), run=RUN, peak_score=score)
        self.frame(seen, score)
        self.store.put(event)
        self.album.told(event)
        for _ in range(2):
            self.frame(seen, score, alarmed=True)
        over = end(event)
        self.store.put(over)
        self.album.told(over)
        self.frame(sight(), 0.5)
        return over


@pytest.fixture
def watching(store):
    return Watching(store)


# ---- one camera


def test_a_false_alarm_silences_its_like_and_nothing_else(store, watching):
    event = watching.event(sight((20, 30)))
    assert watching.frame(sight((20, 30)), 6.0) is None, "nobody has said anything yet"
    store.verdict(event.id, "false_alarm")
    assert watching.frame(sight((20, 30)), 6.0) is None, "nobody has looked yet"
    watching.pardons.tend()
    cells = watching.frame(sight((20, 30)), 6.0)
    assert cells.sum() == 64
    assert cells[20:28, 30:38].all()
    assert watching.frame(sight((45, 5)), 6.0) is None
    assert watching.frame(sight((20, 30), z=9.0), 9.0) is None
    both = watching.frame(sight((20, 30), (45, 5)), 6.0)
    assert both.sum() == 64
    assert len(watching.pardons.taken()) == 1, "what is left is what the event would be of"


def test_undo_brings_it_back(store, watching):
    event = watching.event(sight((20, 30)))
    store.verdict(event.id, "false_alarm")
    watching.pardons.tend()
    assert watching.frame(sight((20, 30)), 6.0) is not None
    store.verdict(event.id, None)
    watching.pardons.tend()
    assert watching.frame(sight((20, 30)), 6.0) is None
    assert len(watching.pardons) == 0


def test_a_restart_keeps_it_and_another_run_sets_it_aside(store, watching, caplog):
    event = watching.event(sight((20, 30)))
    store.verdict(event.id, "false_alarm")
    assert Watching(store).frame(sight((20, 30)), 6.0) is not None
    with caplog.at_level(logging.WARNING):
        other = Watching(store, "another")
    assert "1 times it was said that something is normal, of scores of another RUN" in caplog.text
    assert (len(other.pardons), other.pardons.aside) == (0, 1)
    assert other.frame(sight((20, 30)), 6.0) is None
    assert len(store.exemplars("gate")) == 1
    assert Watching(store).frame(sight((20, 30)), 6.0) is not None, "it holds again"


def test_something_real_at_that_place_rings(store, watching):
    event, other = watching.event(sight((20, 30))), watching.event(sight((20, 31)), 1)
    store.verdict(event.id, "false_alarm")
    store.verdict(other.id, "real")
    watching.pardons.tend()
    assert watching.frame(sight((20, 31)), 6.0) is None
    assert watching.frame(sight((20, 30)), 6.0) is not None


def test_what_is_silenced_is_counted_by_times_not_by_frames(store, watching, caplog):
    event = watching.event(sight((20, 30)))
    store.verdict(event.id, "false_alarm")
    watching.pardons.tend()
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            watching.frame(sight((20, 30)), 6.0)
        watching.pts_s += 60
        last = T0 + watching.pts_s
        watching.frame(sight((20, 30)), 6.0)
    assert caplog.text.count(f"no alarm, it is like {event.id}") == 2
    watching.pardons.tend()
    (found,) = store.exemplars("gate")
    assert (found.silenced, found.silenced_utc) == (2, last)
    watching.pardons.tend()
    assert store.exemplars("gate") == [found]


def test_a_silenced_frame_is_of_no_event_and_a_frame_far_below_costs_nothing(store, watching):
    event = watching.event(sight((20, 30)))
    store.verdict(event.id, "false_alarm")
    watching.pardons.tend()
    watching.frame(sight((20, 30)), 6.0)
    assert len(watching.pardons.taken()) == 0
    watching.pardons.spared = None  # it must not be asked
    watching.frame(sight((20, 30), z=1.0), 1.0)


def test_most_of_the_picture_is_no_place(store, watching):
    everywhere = Sight({"flow": np.full((GRID, GRID), 6.0, np.float32)}, GREY)
    event = watching.event(everywhere)
    store.verdict(event.id, "false_alarm")
    watching.pardons.tend()
    assert watching.frame(everywhere, 6.0) is None


def test_without_a_run_or_a_threshold_nobody_is_asked(store):
    pardons = Pardons("gate", "", store, 0.8)
    pardons.tend()
    assert pardons.limit == math.inf
    pardons.expect(LiveFrame(0, 0.0, PICTURE), math.nan)
    assert not pardons.limit <= 100


def test_damaged_spots_are_passed_over(store, watching):
    event = watching.event(sight((20, 30)))
    store.verdict(event.id, "false_alarm")
    with store.database.write() as con:
        con.execute("UPDATE exemplars SET spots = x'0102'")
    watching.pardons.tend()
    assert len(watching.pardons) == 0
    assert watching.frame(sight((20, 30)), 6.0) is None


# ---- what is kept of an event


def test_an_event_is_described_as_it_goes_on(store, watching):
    event = replace(an_event(at=T0), run=RUN)
    watching.frame(sight((20, 30)), 6.0)
    store.put(event)
    watching.album.told(event)
    watching.frame(sight((20, 40)), 6.0, alarmed=True)
    first = Spots.from_bytes(store.described(event.id).spots)
    assert len(first) == 2
    watching.frame(sight((45, 40)), 7.0, alarmed=True)
    over = end(event)
    store.put(over)
    watching.album.told(over)
    kept = store.described(event.id)
    assert len(Spots.from_bytes(kept.spots)) == 3
    assert [level for _, level in kept.trace] == pytest.approx([1.2, 1.4])  # two to a fifth
    watching.frame(sight(), 0.5)
    watching.event(sight((5, 5)), 1)
    assert len(Spots.from_bytes(store.described(an_event(1, at=T0 + 0.4).id).spots)) == 1


def test_a_description_waits_for_its_event(store, watching):
    event = replace(end(an_event(at=T0)), run=RUN)
    watching.frame(sight((20, 30)), 6.0)
    watching.album.told(event)  # a full disk keeps it back
    assert store.described(event.id) is None
    watching.album.tend()
    store.put(event)
    watching.album.tend()
    assert len(Spots.from_bytes(store.described(event.id).spots)) == 1


def test_levels_around_an_event_are_few_and_hold_its_peak():
    trace = Trace()
    for i in range(1000):
        trace.add(i / 10, 0.1)
        trace.calm()
    assert trace.levels[0][0] >= 89.9
    for i in range(1000, 20_000):
        trace.add(i / 10, 9.0 if i == 7000 else 1.0)
    levels = trace.levels
    assert len(levels) <= MOST_POINTS
    assert max(level for _, level in levels) == 9
    assert levels[0][0] < 91
    assert levels[-1][0] > 1980
    assert [t for t, _ in levels] == sorted(t for t, _ in levels)


# ---- what raised no alarm


def test_once_an_hour_the_frame_nearest_to_an_alarm_is_kept(store, watching):
    for score in (2.6, 3.6, 3.0, 0.5):
        watching.frame(sight((20, 30), z=score), score)
    watching.album.tend()
    assert store.normals("gate") == []
    watching.now += album_module.HOUR_S
    watching.pts_s += 60
    watching.frame(sight(), 0.5)
    watching.album.tend()
    (found,) = store.normals("gate")
    assert (found.level, found.t_utc, found.run) == (pytest.approx(3.6 / 5), T0 + 0.1, RUN)
    spots = Spots.from_bytes(found.spots)
    np.testing.assert_allclose(spots.places[0] * GRID, (30, 20, 38, 28), atol=0.1)
    assert (store.folder / found.picture).read_bytes()[:2] == b"\xff\xd8"
    watching.now += album_module.HOUR_S
    watching.album.tend()
    assert len(store.normals("gate")) == 1, "nothing was near since"


def test_what_comes_just_before_an_event_or_in_it_is_not_kept(store, watching):
    watching.frame(sight((20, 30), z=3.6), 3.6)
    watching.event(sight((20, 30)))
    watching.pts_s += 60
    watching.frame(sight(), 0.5)
    watching.now += album_module.HOUR_S
    watching.album.tend()
    assert store.normals("gate") == []


def test_near_misses_are_looked_at_less_and_less(store, watching):
    asked = []
    real = watching.pardons.spared
    watching.pardons.spared = lambda *given: asked.append(1) or real(*given)
    for score in np.random.default_rng(0).uniform(0, 3.9, 500):
        watching.frame(sight((20, 30), z=score), float(score))
    assert 1 < len(asked) < 25


# ---- all of it


FRAMES, ODD = 45, range(20, 35)


def footage(path, turned=False):
    """A street on which a bright box blinks in some frames, at the right or at the left."""

    def picture(i):
        image = street(i, 128, 96, odd_from=i if i in ODD else 10**6)
        return np.ascontiguousarray(image[:, ::-1]) if turned else image

    encode(path, frames=FRAMES, fps=10, size=(128, 96), pictures=picture)
    return str(path)


def events_of(config):
    """What happens in the file of a site."""
    stop = threading.Event()
    timer = threading.Timer(60, stop.set)
    timer.start()
    with AtWork(config) as work:
        began = len(work.store.events())
        work.run(stop)
        assert not stop.is_set()
        recall = recall_of(work.engine.cameras["gate"], work.store)
    timer.cancel()
    with Store(config.store.path) as store:
        return store.events()[: len(store.events()) - began], recall


def test_a_site_learns_from_what_is_said_and_keeps_it(tmp_path):
    run = write_stub(tmp_path / "RUN", threshold=8.0)
    right, left = footage(tmp_path / "right.mp4"), footage(tmp_path / "left.mp4", turned=True)

    def site(source):
        return SiteConfig.read({
            "store": {"path": tmp_path / "store"}, "detect": {"model": str(run)},
            "cameras": {"gate": {"source": source, "realtime": False}},
        })  # fmt: skip

    (first,), _ = events_of(site(right))
    with Store(tmp_path / "store") as store:
        store.verdict(first.id, "false_alarm")
    (other,), _ = events_of(site(left))
    with Store(tmp_path / "store") as store:
        store.verdict(other.id, "real")
    again, recall = events_of(site(right))
    assert again == []
    assert recall == Recall(1, 1)
    with Store(tmp_path / "store") as store:
        (exemplar,) = store.exemplars("gate")
        assert (exemplar.silenced, exemplar.run) == (1, first.run)
        store.verdict(first.id, None)
    (back,), _ = events_of(site(right))
    assert back.peak_score == pytest.approx(first.peak_score, rel=1e-3)
