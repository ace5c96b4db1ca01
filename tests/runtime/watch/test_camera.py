"""One camera by hand: frames and scores go in, and what it makes of them is looked at."""

import json
import math
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from stub_run import street, write_stub

from oddframe.calibration.calibrate import calibrate
from oddframe.events.store import Store, StoreError
from oddframe.pictures import Plain
from oddframe.runs import load_run, write_calibration
from oddframe.runtime.watch.at_work import AtWork
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.runtime.watch.site import SiteConfig
from oddframe.runtime.watch.status import State
from oddframe.sinks.words import sentence, title
from oddframe.sources.why import Trouble
from oddframe.types import Score

T0 = 1_789_000_000.0
PICTURE = Plain(street(0))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A RUN with all that a calibration says."""
    path = write_stub(tmp_path_factory.mktemp("stub") / "RUN")
    scores = np.random.default_rng(0).gamma(2.0, 0.5, 26 * 3600)
    write_calibration(load_run(path), calibrate([scores], 1.0, 1.0))
    return path


@pytest.fixture
def camera(tmp_path, run):
    """`camera(fps=None, lag_s=0, **detect)`: of a site that nobody runs; what its RUN says."""
    opened = []

    def make(fps=None, lag_s=0.0, **detect):
        known = shutil.copytree(run, tmp_path / "RUN")
        card = json.loads((known / "model.json").read_text())
        card["fps"], card["config"]["score"]["lag_s"] = fps, lag_s
        (known / "model.json").write_text(json.dumps(card))
        still = {"frozen_s": 0, "upheaval": False}
        config = SiteConfig.read({
            "store": {"path": tmp_path / "store"}, "detect": {"model": str(known), **detect},
            "cameras": {"gate": {"source": "rtsp://gate.local/1", "reading": still}},
        })  # fmt: skip
        opened.append(AtWork(config))
        return opened[-1].engine.cameras["gate"]

    make.opened = opened
    yield make
    for work in opened:
        work.close()


def frame(pts_s, why=None):
    return LiveFrame(round(pts_s * 100), pts_s, PICTURE, why is not None, None, T0 + pts_s, why)


def scored(camera, pts_s, value, t_utc=None):
    """A frame with a score that was made elsewhere."""
    seen = frame(pts_s) if t_utc is None else replace(frame(pts_s), t_utc=t_utc)
    assert camera.begins(seen)
    camera.scored(seen, [Score(0, pts_s, value, math.nan, False)])


def learned(camera):
    """Peaks and hours of what it took for normal."""
    known = camera.threshold.running.plain()
    peaks = [p for part in known["live"].values() for p in part["peaks"]]
    return peaks, known["seen_h"]


def looked(camera, monkeypatch, times_s, taken=lambda i: True):
    """(looks, steps of each) of the frames that a camera sends at these times and are taken."""
    scorer, out = camera.detector.scorer, []

    def preprocess(picture, past, steps):
        found.append(steps)
        return SimpleNamespace(past=past)

    monkeypatch.setattr(scorer, "preprocess", preprocess)
    for i, at_s in enumerate(times_s):
        seen = camera.reader._intake.take((PICTURE, at_s, False), at_s, T0 + at_s)
        camera.reader.feed.put(seen)
        if taken(i):
            seen = camera.reader.feed.take()
            assert camera.begins(seen)
            found = []
            camera.ready(seen)
            out.append((len(found), *set(found)))
    return out


@pytest.mark.parametrize(("learned", "fps"), [(25, 20), (30, 24), (15, 12), (12.5, 10)])
def test_a_rate_at_the_edge_of_near_is_no_burst_of_looks(camera, monkeypatch, learned, fps):
    noise = np.random.default_rng(0).uniform(-5e-4, 5e-4, 1000)
    found = looked(camera(fps=learned), monkeypatch, np.arange(1000) / fps + noise)
    assert max(times for times, *_ in found[20:]) <= 2


def test_a_rate_that_changes_every_night_is_no_burst_of_looks(camera, monkeypatch):
    steps = np.concatenate([np.full(200, 1 / fps) for fps in (25, 12, 25, 12, 25)])
    found = looked(camera(fps=25.0), monkeypatch, np.cumsum(steps))
    assert max(times for times, *_ in found) <= 3
    assert np.mean([times for times, *_ in found[250:380]]) == pytest.approx(25 / 12, abs=0.1)


def test_time_that_there_was_none_to_look_in_is_no_more_looks_but_longer_steps(camera, monkeypatch):
    times_s = np.arange(400) / 8
    found = looked(camera(fps=15.0), monkeypatch, times_s, lambda i: i < 100 or i % 4 == 0)
    assert {times for times, *_ in found[20:]} <= {1, 2}
    assert [steps for _, steps in found[20:100]] == [1.0] * 80
    assert [steps for _, steps in found[110:]] == pytest.approx([4.0] * len(found[110:]))


@pytest.mark.parametrize(("learned", "fps"), [(0.5, 25), (25, 0.5), (1, 1)])
def test_low_rates_are_no_row_of_gaps(camera, monkeypatch, learned, fps):
    gate, rate = camera(fps=learned), min(learned, fps)
    times_s, whys = np.arange(60 / rate * fps) / fps, []
    begins = gate.begins
    monkeypatch.setattr(gate, "begins", lambda seen: whys.append(seen.why) or begins(seen))

    def taken(i):  # as the engine does: news first, then who is due
        gate.reader._is_news() and gate.reader._tell()
        gate.listen()
        return i % round(fps / rate) == 0

    looked(gate, monkeypatch, times_s, taken)
    assert len(whys) == 60
    assert not any(whys[20:])
    seen = gate.reader._intake.take((PICTURE, times_s[-1] + 7 / rate, False), 0.0, T0)
    gate.reader.feed.put(seen)
    assert gate.reader.feed.take().gap, "so long a pause is one"


def test_frames_that_there_was_no_time_for_are_on_record(camera):
    gate = camera()
    for i in range(40):
        gate.reader.feed.put(frame(i / 10))
        if i % 4 == 3:
            gate.begins(seen := gate.reader.feed.take())
            gate.scored(seen, [Score(i, seen.pts_s, 1.0, math.nan, False)])
    store = gate.desk._office.store
    store.flush()
    (minute,) = store.minutes("gate", T0 - 60, T0 + 60)
    assert (minute.frames, minute.dropped) == (10, 30)


@pytest.mark.parametrize("full", [True, False])
def test_what_waits_for_the_disk_is_written_or_said_as_a_camera_is_replaced(
    camera, monkeypatch, caplog, full
):
    gate, put = camera(), Store.put

    def refuse(*_, **__):
        raise StoreError("No space left on device.")

    monkeypatch.setattr(Store, "put", refuse)
    scored(gate, 1.0, 1e3)
    assert gate.desk.waiting == 1
    if not full:
        monkeypatch.setattr(Store, "put", put)
    camera.opened[-1].reassign("gate", None)
    assert gate.desk.waiting == 0
    assert ("an event is lost" in caplog.text) == full
    states = [e.state for e in gate.desk._office.store.events()]
    assert states == ([] if full else ["end"])


# ---- a delay


def test_what_waits_for_its_score_gets_it_as_the_camera_goes_away(camera):
    gate = camera(fps=10.0, lag_s=0.8)
    began = time.time() - 100
    for i in range(30):  # alarm from the last half second on
        scored(gate, i / 10, 1e3 if i >= 24 else 1.0, began + i / 10)
    assert gate.desk.tracker.open is None
    gate.reader._to(State.RUNNING)
    gate.reader._to(State.DOWN, Trouble("silent", "It sends nothing."))
    gate.listen()
    store = gate.desk._office.store
    (event,) = store.events()
    assert (event.state, event.ended) == ("end", "lost")
    back = replace(frame(4000.0, "lost"), t_utc=began + 7200)
    gate.begins(back)
    gate.scored(back, [Score(30, 4000.0, math.nan, math.nan, False)])
    scored(gate, 4000.1, 1.0, began + 7200.1)
    scored(gate, 4001.0, 1.0, began + 7201)
    gate.end("stopped")
    away = [g for g in store.gaps("gate") if g.why == "silent"]
    assert [round(g.end_utc - g.start_utc, -2) for g in away] == [7100]


@pytest.mark.parametrize("why", [State.DOWN, "unsettled"])
def test_a_camera_that_is_away_keeps_nothing_of_the_frames_before(camera, why):
    gate = camera()
    for i in range(3):
        seen = frame(i / 10)
        gate.begins(seen)
        gate.state, _ = gate.detector.scorer.step(gate.state, gate.ready(seen).looks[0])
    assert gate.state.model.frames
    gate.reader._to(State.RUNNING)
    if why == "unsettled":
        gate.reader._intake.unsettled = "moved"
        gate.reader._tell()
    else:
        gate.reader._to(why, Trouble("silent", "It sends nothing."))
    gate.listen()
    assert not gate.state.model.frames
    assert gate.state.last is gate.state.expected is None
    assert gate.state.index == 3


def test_a_delay_is_of_the_frames_that_come(camera):
    gate = camera(fps=25.0, lag_s=0.8)
    assert gate._lag.frames == 20
    for i in range(40):
        gate.reader._intake.take((PICTURE, i / 5, False), i / 5, T0)
    gate.reader._tell()
    gate.listen()
    assert gate._lag.frames == 4


@pytest.mark.parametrize("how", ["switched off", "outside the schedule", "on"])
def test_what_is_shown_while_alarms_are_off_says_nothing_of_what_is_normal(camera, how):
    never = {"days": ["mon"], "from": "05:00", "to": "06:00"}  # T0 is a Thursday
    schedule = {"schedule": {"windows": [never], "outside": "nothing"}}
    gate = camera(**(schedule if how == "outside the schedule" else {}))
    gate.desk.armed(how != "switched off")
    for i in range(120):
        scored(gate, 10.0 * i, 1e3 if 60 <= i < 63 else 1.0)
    gate.desk.armed(True)
    peaks, hours = learned(gate)
    if how == "on":
        assert hours == pytest.approx(1 / 3, rel=0.05)
        assert gate.threshold.running.seen.alarms
    else:
        assert hours == 0
        assert not gate.threshold.running.seen.alarms
    assert max(peaks, default=0) <= 1.0


def test_what_an_event_was_before_it_was_told_is_not_normal(camera):
    gate = camera(min_duration_s=60)
    for i in range(400):
        scored(gate, float(i), 1e3 if 100 <= i < 200 else 1.0)
    peaks, hours = learned(gate)
    assert len(gate.threshold.running.seen.alarms) == 1
    assert max(peaks) == 1.0
    assert hours * 3600 == pytest.approx(400, abs=2)


# ---- a camera that is away


@pytest.fixture
def away(camera, monkeypatch):
    """`away(**detect)`: a camera, and `say(state, since_s)` what its reader is doing."""

    def make(**detect):
        found = camera(**detect)

        def say(state, since_s=0.0, words=""):
            known = found.reader.status()
            now = replace(known, state=state, since_s=time.monotonic() - since_s, words=words)
            monkeypatch.setattr(found.reader, "status", lambda: now)
            found.tend()

        return found, say

    return make


def events(camera):
    return camera.desk._office.store.events()


def test_who_is_away_for_long_is_told_of_once_and_when_it_is_back(camera, away):
    gate, say = away(offline_s=300)
    scored(gate, 0.0, 0.1)
    say(State.RUNNING, 1000)
    say(State.DOWN, 299, "it refuses the connection")
    assert events(gate) == []
    for since_s in (301, 302, 900):
        say(State.DOWN, since_s, "it refuses the connection")
    (event,) = events(gate)
    assert (event.state, event.severity, event.ended) == ("start", "detection", None)
    assert event.reasons == ("no picture for 5 min: it refuses the connection",)
    assert event.start_utc == pytest.approx(time.time() - 301, abs=5)
    assert event.away
    assert sentence(event).startswith("No picture for 5 min: it refuses the connection. Since 20")
    assert title(event) == "No picture: gate"
    say(State.RUNNING)
    (over,) = events(gate)
    assert (over.state, over.ended, over.id) == ("end", "back", event.id)
    assert over.end_utc - event.start_utc == pytest.approx(301, abs=5)
    assert learned(gate)[0] == []  # it says nothing of scores
    assert not gate.desk.meters.events.total()
    say(State.DOWN, 400)
    assert len(events(gate)) == 2


def test_absences_may_be_left_to_the_record(away):
    gate, say = away(offline_s=0)
    say(State.DOWN, 90_000)
    assert events(gate) == []


@pytest.mark.parametrize("state", [State.ENDED, State.STOPPED, State.OPENING])
def test_what_is_over_or_begins_is_not_away(away, state):
    gate, say = away(offline_s=1)
    say(state, 90_000)
    assert events(gate) == []


def test_who_is_away_as_oddframe_stops_is_so_no_more(camera, away):
    gate, say = away(offline_s=1)
    say(State.DOWN, 60)
    gate.end("stopped")
    (event,) = events(gate)
    assert (event.state, event.ended) == ("end", "stopped")


def test_an_absence_that_a_full_disk_kept_back_is_written_later(camera, away, monkeypatch):
    gate, say = away(offline_s=1)
    store = gate.desk._office.store

    def full(*_, **__):
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "put", full)
        say(State.DOWN, 60)
        assert gate.desk.waiting == 1
    gate.desk.tend()
    assert [event.away for event in events(gate)] == [True]
