"""What changes of a site while it is watched: cameras, RUNs, zones, thresholds; what is kept."""

import json
import math
import stat
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from stub_run import street, write_stub

from encoded import encode
from oddframe.errors import ConfigError, OddframeError, RunError, SourceError
from oddframe.events.event import Event
from oddframe.events.store import Store, StoreError
from oddframe.events.zones import Mask, Zone
from oddframe.runtime.familiar import Familiar
from oddframe.runtime.watch import engine as engine_module
from oddframe.runtime.watch.at_work import AtWork
from oddframe.runtime.watch.camera import Camera
from oddframe.runtime.watch.changes import MODEL, REMOVED, UNFITTED
from oddframe.runtime.watch.edits import NAME, Edits
from oddframe.runtime.watch.site import CameraConfig, SiteConfig
from oddframe.scoring.fuse import STREAMS
from oddframe.scoring.spots import LOOK, Spots

FAST = Spots(
    np.array([[0.3, 0.3, 0.4, 0.4]], np.float32),
    np.array([[6.0 * (name == "flow") for name in STREAMS]], np.float32),
    np.zeros((1, LOOK), np.float32),
)
LEFT = Zone.read({"name": "left", "points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]})
TOP = Mask.read({"points": [[0, 0], [1, 0], [1, 0.2], [0, 0.2]]})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_stub(tmp_path_factory.mktemp("stub") / "RUN", threshold=8.0)


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    return write_stub(tmp_path_factory.mktemp("stub") / "OTHER", threshold=6.0)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Forty seconds of a street, at ten frames a second."""
    path = tmp_path_factory.mktemp("street") / "street.mp4"
    encode(path, frames=400, fps=10, size=(64, 48), pictures=lambda i: street(i % 60))
    return path


@pytest.fixture
def site(tmp_path, run, video):
    """`site(**cameras)`: the configuration of a site."""

    def make(cameras=None, **more):
        known = {"gate": {"source": str(video)}} if cameras is None else cameras
        return SiteConfig.read({
            "store": {"path": tmp_path / "store"}, "detect": {"model": str(run)},
            "cameras": known, **more,
        })  # fmt: skip

    return make


@contextmanager
def watched(config):
    """A site that is watched by a thread of its own."""
    stop = threading.Event()
    with AtWork(config) as work:
        thread = threading.Thread(target=work.run, args=(stop,))
        thread.start()
        try:
            yield work
        finally:
            stop.set()
            thread.join(10)
        assert not thread.is_alive()


def wait_for(what, seconds=10.0):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
    return found


def scored(work, name):
    _, score, _ = work.view(name)
    return score is not None and not math.isnan(score.score)


def gaps(work, name):
    return [(g.why, g.end_utc is None) for g in work.store.gaps(name)]


def test_a_camera_is_added_fitted_and_taken_away_while_another_is_watched(site, video, run):
    with watched(site()) as work:
        work.add("yard", CameraConfig(source=str(video)))
        frame, score, event = wait_for(lambda: work.view("yard")[0] and work.view("yard"))
        assert frame.image.shape == (48, 64, 3)
        assert score is None
        assert event is None
        assert not work.engine.cameras["yard"].fitted
        assert gaps(work, "yard") == [(UNFITTED, True)]
        assert work.engine.pace.wanted("yard") == 0
        reader = work.engine.cameras["yard"].reader

        work.reassign("yard", str(run))
        wait_for(lambda: scored(work, "yard"))
        assert work.engine.cameras["yard"].reader is reader, "it was connected to anew"
        assert work.engine.cameras["yard"].detector is work.engine.cameras["gate"].detector
        assert gaps(work, "yard") == [(UNFITTED, False)]
        assert work.engine.pace.wanted("yard") > 0
        assert work.meters.cameras["yard"].looked > 0
        assert len(work.engine.cameras["yard"].recent.since(60)) > 0

        work.remove("yard")
        assert list(work.engine.cameras) == list(work.meters.cameras) == ["gate"]
        assert reader.done
        assert gaps(work, "yard") == [(UNFITTED, False), (REMOVED, True)]
        assert not work.is_added("yard")
        looked = work.meters.cameras["gate"].looked
        wait_for(lambda: work.meters.cameras["gate"].looked > looked)
        with pytest.raises(ConfigError, match="no camera 'yard'"):
            work.view("yard")


def test_a_file_that_was_over_before_its_run_was_there_is_played_again(site, run, tmp_path):
    path = tmp_path / "short.mp4"
    encode(path, frames=30, fps=10, size=(64, 48), pictures=lambda i: street(i))
    with watched(site({})) as work:
        work.add("yard", CameraConfig(source=str(path)))
        wait_for(lambda: work.engine.cameras["yard"].reader.done)
        work.reassign("yard", str(run))
        wait_for(lambda: scored(work, "yard"))


def test_a_site_may_begin_with_nothing_and_goes_on_without_cameras(site, video):
    with watched(site({})) as work:
        assert work.ready
        turned = work.engine.turned_s
        wait_for(lambda: work.engine.turned_s > turned + 0.3)
        work.add("yard", CameraConfig(source=str(video)))
        wait_for(lambda: work.view("yard")[0])


def test_what_was_changed_lies_over_the_site_at_the_next_start(site, video, run, other_run):
    config = site()
    with AtWork(config) as work:
        work.add("yard", CameraConfig(source=str(video), realtime=False))
        work.reassign("yard", str(other_run))
        work.redraw("yard", zones=[LEFT])
        work.redraw("gate", mask=[TOP])
        path = work.edits.path
    assert path.name == NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with AtWork(config) as work:
        assert list(work.engine.cameras) == ["gate", "yard"]
        yard, gate = work.config.cameras["yard"], work.config.cameras["gate"]
        assert yard.zones == (LEFT,)
        assert yard.source == str(video)
        assert not yard.realtime
        assert yard.detect.model == str(other_run)
        assert gate.mask == (TOP,)
        assert gate.detect.model == str(run)
        assert set(work.detectors) == {str(run), str(other_run)}
        assert work.engine.cameras["yard"].desk.tracker.zones == (LEFT,)
        assert work.is_added("yard")
        assert not work.is_added("gate")
        with pytest.raises(ConfigError, match=r"in SITE\.yaml"):
            work.remove("gate")
        work.remove("yard")
        assert set(work.detectors) == {str(run)}, "nothing holds what nobody needs"
    with AtWork(config) as work:
        assert list(work.engine.cameras) == ["gate"]
        assert work.config.cameras["gate"].mask == (TOP,)


def test_another_run_ends_the_event_and_the_next_scores_are_its_own(site, run, other_run):
    with watched(site()) as work:
        wait_for(lambda: scored(work, "gate"))
        before = work.engine.cameras["gate"]
        work.reassign("gate", str(other_run))
        now = work.engine.cameras["gate"]
        assert now is not before
        assert now.run == before.run, "the same weights, another threshold"
        assert work.view("gate")[0] is not None, "its last picture stays until the next"
        wait_for(lambda: scored(work, "gate") and now.view.threshold == 6.0)
        assert (MODEL, False) in gaps(work, "gate")
        assert list(work.detectors) == [str(other_run)]
        work.reassign("gate", None)
        assert not work.engine.cameras["gate"].fitted
        frame = work.view("gate")[0]
        wait_for(lambda: work.view("gate")[0] is not frame)
        with pytest.raises(ConfigError, match="no RUN yet"):
            work.set_threshold("gate", 5.0)
        with pytest.raises(ConfigError, match="no RUN yet"):
            _ = work.engine.cameras["gate"].detector
    with pytest.raises(RunError):
        AtWork(site()).reassign("gate", "no/such/run")


def test_a_run_that_was_calibrated_anew_is_read_again(site, tmp_path):
    path = write_stub(tmp_path / "RUN", threshold=8.0)
    config = site(detect={"model": str(path)})
    with AtWork(config) as work:
        first = work.engine.cameras["gate"].detector
        work.reassign("gate", str(path))
        assert work.engine.cameras["gate"].detector is first
        card = json.loads((path / "model.json").read_text())
        card["calibration"]["threshold"] = 5.0
        (path / "model.json").write_text(json.dumps(card))
        work.reassign("gate", str(path))
        assert work.engine.cameras["gate"].threshold_now == 5.0
        assert work.engine.cameras["gate"].detector is not first


@pytest.mark.parametrize(
    ("name", "values", "error", "text"),
    [
        ("gate", {"source": 0}, ConfigError, "already"),
        ("a/b", {"source": 0}, ConfigError, "letters, digits"),
        ("yard", {"source": "gopher://x/y"}, SourceError, "gopher"),
        ("yard", {"source": 0, "detect": {"model": "no/such/run"}}, RunError, "no/such/run"),
    ],
    ids=["the name is taken", "no name", "an unknown kind of stream", "no RUN"],
)
def test_what_cannot_be_added_leaves_nothing_behind(site, name, values, error, text):
    with AtWork(site()) as work:
        with pytest.raises(error, match=text):
            work.add(name, CameraConfig.read(values))
        assert list(work.engine.cameras) == ["gate"]
        assert list(work.meters.cameras) == ["gate"]
        assert not work.edits.path.exists()


def test_what_fails_behind_the_note_is_taken_back(site, video, monkeypatch):
    with AtWork(site()) as work:
        work.redraw("gate", zones=[LEFT])
        before = work.edits.path.read_text()

        def full(*_):
            raise StoreError("No space left on device.")

        monkeypatch.setattr(Store, "gap_begins", full)
        with pytest.raises(StoreError):
            work.add("yard", CameraConfig(source=str(video)))
        assert work.edits.path.read_text() == before
        assert list(work.engine.cameras) == ["gate"]
        monkeypatch.undo()
        monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(StoreError, match=r"site\.json"):
            work.redraw("gate", mask=[TOP])
        assert work.config.cameras["gate"].mask == ()
        assert work.edits.path.read_text() == before
        assert not list(work.edits.path.parent.glob(".unfinished*"))


def test_zones_are_held_against_the_rules_and_the_picture(site):
    pixels = [[0, 0], [100, 0], [100, 40], [0, 40]]
    outside = Zone.read({"name": "a", "unit": "pixels", "points": pixels})
    low = LEFT.model_copy(update={"alert_level": 0.5})
    with watched(site()) as work:
        wait_for(lambda: work.view("gate")[0])
        with pytest.raises(ConfigError, match="64 x 48 pixels"):
            work.redraw("gate", zones=[outside])
        with pytest.raises(ConfigError, match="below raise_level"):
            work.redraw("gate", zones=[low])
        with pytest.raises(ConfigError, match="Two zones are named"):
            work.redraw("gate", zones=[LEFT, LEFT])
        assert work.config.cameras["gate"].zones == ()
        whole = Mask.read({"points": [[0, 0], [1, 0], [1, 1], [0, 1]]})
        with pytest.raises(ConfigError, match="mask hides everything"):
            work.redraw("gate", mask=[whole])
        assert work.config.cameras["gate"].mask == ()


def test_zones_that_lie_off_the_picture_are_a_gap_until_they_are_drawn_anew(site, video):
    pixels = {"unit": "pixels", "points": [[0, 0], [100, 0], [100, 40], [0, 40]]}
    camera = {"source": str(video), "zones": {"wide": pixels}}
    with watched(site({"gate": camera})) as work:
        wait_for(lambda: work.engine.cameras["gate"].fault)
        wait_for(lambda: ("zones", True) in gaps(work, "gate"))
        _, score, _ = wait_for(lambda: work.view("gate")[0] and work.view("gate"))
        assert score is None, "it can be seen all the same, to draw them anew"
        work.redraw("gate", zones=[LEFT])
        assert not work.engine.cameras["gate"].fault
        wait_for(lambda: scored(work, "gate"))
        assert gaps(work, "gate")[-1] == ("zones", False)


def test_a_mask_that_is_drawn_now_hides_from_the_next_frame_on(site):
    with watched(site()) as work:
        wait_for(lambda: scored(work, "gate"))
        camera = work.engine.cameras["gate"]
        assert camera.mask is None
        work.redraw("gate", mask=[TOP])
        assert camera.mask[0].all()
        assert not camera.mask[-1].any()
        _, score, _ = work.view("gate")
        wait_for(lambda: work.view("gate")[1] is not score)
        assert not work.view("gate")[1].heat[:10].any()


# ---- thresholds


def test_a_threshold_by_hand_holds_is_kept_and_undone(site):
    config = site()
    with watched(config) as work:
        wait_for(lambda: scored(work, "gate"))
        work.set_threshold("gate", 5.0)
        assert work.engine.cameras["gate"].threshold_now == 5.0
        wait_for(lambda: work.engine.cameras["gate"].view.threshold == 5.0)
        _, score, _ = work.view("gate")
        assert score.level == pytest.approx(max(score.score, 0) / 5.0)
        (row,) = work.store.calibrations("gate")
        assert row.threshold == 5.0
        assert "set by hand" in row.why
        with pytest.raises(ConfigError, match=r"from 0\.5"):
            work.set_threshold("gate", 0.1)
        with pytest.raises(ConfigError, match="one threshold for all light"):
            work.set_threshold("gate", 4.0, "infrared")
    with AtWork(config) as work:
        assert work.engine.cameras["gate"].threshold_now == 5.0
        assert work.undo("gate")
        assert work.engine.cameras["gate"].threshold_now == 8.0
        assert not work.undo("gate")
        assert work.store.calibrations("gate")[0].why.startswith("undone")
    with AtWork(config) as work:
        assert work.engine.cameras["gate"].threshold_now == 8.0


# ---- what people say


def test_what_is_said_is_learned_at_once_and_not_when_it_is_due(site, monkeypatch):
    monkeypatch.setattr(engine_module, "TEND_S", 1e9)
    with watched(site()) as work:
        wait_for(lambda: scored(work, "gate"))
        camera, heard = work.engine.cameras["gate"], list[int]()
        monkeypatch.setattr(camera.threshold, "hear", lambda: heard.append(threading.get_ident()))
        made = Event(
            "1-a", "gate", "end", "alert", 1.0, 2.0, 1.0, 1.5, 9.0, 6.0, 64, 48, ended="calm",
            run=camera.run,
        )  # fmt: skip
        work.store.put(made)
        work.store.describe(made.id, FAST.to_bytes(), [])
        work.store.verdict(made.id, "false_alarm")
        assert len(camera.desk.pardons) == 0
        work.heard("gate")
        assert len(camera.desk.pardons) == 1
        work.store.verdict(made.id, None)
        work.heard("gate")
        assert len(camera.desk.pardons) == 0
        assert len(heard) == 2
        assert threading.get_ident() not in heard, "by the engine's thread"
        work.heard("attic")  # a camera that is gone: nothing to do


def test_what_is_said_while_the_engine_hangs_is_learned_later(site, monkeypatch, caplog):
    monkeypatch.setattr(engine_module, "ASK_S", 0.2)
    go = threading.Event()
    with watched(site()) as work:
        wait_for(lambda: work.view("gate")[0])
        work.engine.order(lambda: go.wait(5))
        work.heard("gate")
        go.set()
    assert "learned from later" in caplog.text


# ---- the file


def test_a_file_that_is_broken_is_one_clear_error_and_stays(site):
    config = site()
    path = config.store.path / NAME
    path.parent.mkdir(parents=True)
    for text, said in (
        ('{"version": 1, "cameras": {', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"version": 7, "cameras": {}}', "version 7"),
        ('{"version": 1, "cameras": {"gate": 3}}', "NAME"),
        ('{"version": 1, "cameras": {"gate": {"zoness": []}}}', r"Did you mean zones\?"),
        ('{"version": 1, "cameras": {"a b": {"source": 0}}}', "letters, digits"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said) as caught:
            AtWork(config)
        assert str(path) in str(caught.value)
        assert "by hand" in str(caught.value)
        assert path.read_text() == text
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="no text"):
        AtWork(config)


def test_runs_below_the_store_move_with_it(site, tmp_path):
    config = site()
    run = write_stub(config.store.path / "runs" / "gate-1", threshold=4.0)
    with AtWork(config) as work:
        work.reassign("gate", str(run))
        assert json.loads(work.edits.path.read_text())["cameras"]["gate"] == {
            "detect": {"model": "runs/gate-1"}
        }
    config.store.path.rename(tmp_path / "moved")
    store = config.store.model_copy(update={"path": tmp_path / "moved"})
    with AtWork(config.model_copy(update={"store": store})) as work:
        assert work.engine.cameras["gate"].threshold_now == 4.0


def test_rules_are_merged_and_cameras_that_are_no_more_passed_over(site, tmp_path):
    edits = Edits(tmp_path)
    edits.camera("gate", detect={"merge_gap_s": 30})
    edits.camera("gate", detect={"keep_level": 0.7}, zones=[])
    edits.camera("gone", zones=[LEFT.model_dump(mode="json")])
    edits.camera("new", source=0)
    found = Edits(tmp_path).apply(site(detect={"model": "RUN", "raise_level": 1.0}))
    assert set(found.cameras) == {"gate", "new"}
    rules = found.cameras["gate"].detect
    assert (rules.merge_gap_s, rules.keep_level, rules.model) == (30, 0.7, "RUN")
    assert found.cameras["new"].detect.model is None, "the site's RUN is of other scenes"
    edits.drop("gate")
    edits.drop("never there")
    assert Edits(tmp_path).apply(site()).cameras["gate"].detect.merge_gap_s == 10
    # Now it is in SITE.yaml: its source is of there.
    both = site({"new": {"source": 7}})
    assert Edits(tmp_path).apply(both).cameras["new"].source == 7


# ---- the engine


def test_who_asks_gets_what_it_gives_and_what_it_raises(site):
    with watched(site()) as work:
        wait_for(lambda: work.view("gate")[0])
        ours = threading.get_ident()
        assert work.engine.ask(threading.get_ident) != ours
        assert work.engine.ask(lambda: work.engine.ask(lambda: 3)) == 3
        with pytest.raises(ZeroDivisionError):
            work.engine.ask(lambda: 1 / 0)
        work.engine.order(lambda: 1 / 0)
        assert work.engine.ask(lambda: 4) == 4, "an order that fails stops no other"
        assert work.meters.faults["engine"] == 1
    assert work.engine.ask(threading.get_ident) == ours


def test_an_engine_that_hangs_is_said(site, monkeypatch):
    monkeypatch.setattr(engine_module, "ASK_S", 0.2)
    done, go = [], threading.Event()
    with watched(site()) as work:
        wait_for(lambda: work.view("gate")[0])
        work.engine.order(lambda: go.wait(5))
        with pytest.raises(OddframeError, match="nothing was changed"):
            work.engine.ask(lambda: done.append(1))
        go.set()
        work.engine.ask(lambda: None)
    assert done == []


def test_another_place_than_the_run_learned_is_said_once(site, monkeypatch, caplog):
    class Elsewhere:
        said = ["9 % of the picture looks like what this RUN learned"]

        def take(self, picture):
            assert picture.at(8).shape == (8, 8, 3)
            return self.said.pop() if self.said else None

    monkeypatch.setattr(Familiar, "of", lambda usual: Elsewhere())
    with watched(site()) as work:
        wait_for(lambda: work.engine.cameras["gate"].desk.meters.looked > 3)
    (told,) = [r for r in caplog.records if "this RUN learned" in r.getMessage()]
    assert (told.levelname, told.camera) == ("WARNING", "gate")
    assert told.getMessage().startswith("gate: 9 %")


def test_what_is_recent_is_of_the_last_seconds_and_says_where_nobody_looked(site, monkeypatch):
    with watched(site()) as work:
        wait_for(lambda: scored(work, "gate"))
        camera = work.engine.cameras["gate"]
        rows = camera.recent.since(60)
        assert (np.diff(rows[:, 0]) >= 0).all()
        assert np.isfinite(rows[-1]).all()
        work.engine.ask(lambda: Camera._silent(camera, "lost", "silent", time.time()))
        assert any(np.isnan(row[1]) for row in camera.recent.since(60))
