"""A camera's threshold: by its light, and as live footage goes on with it."""

from dataclasses import replace

import numpy as np
import pytest

from oddframe.calibration.calibrate import calibrate
from oddframe.calibration.light import HOLD_S
from oddframe.events.event import Event
from oddframe.events.store import Store
from oddframe.pictures import Plain
from oddframe.runtime.watch import threshold as module
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.runtime.watch.threshold import Threshold

GREY = Plain(np.full((48, 64, 3), 90, np.uint8))
COLOURED = Plain(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))


def scores(rng, hours, level=1.0):
    """One score a second."""
    return level * rng.gamma(2.0, 0.5, int(3600 * hours))


@pytest.fixture(scope="module")
def known():
    """A calibration of two lights, of which infrared is louder."""
    rng = np.random.default_rng(1)
    clips = [scores(rng, 12), scores(rng, 12, 3.0)]
    lights = [np.full(len(clips[0]), "colour"), np.full(len(clips[1]), "infrared")]
    return calibrate(clips, 1.0, 2.0, modes=lights)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as found:
        yield found


def frame(picture, pts_s):
    return LiveFrame(0, pts_s, picture)


def test_each_light_has_its_threshold(known, store):
    threshold = Threshold("gate", known, "abc", store)
    day = threshold.of(frame(COLOURED, 0.0))
    assert day == pytest.approx(known["modes"]["colour"]["threshold"])
    dusk = [threshold.of(frame(GREY, t)) for t in np.arange(1, HOLD_S + 4)]
    assert dusk[0] == day, "a flash of grey is no night"
    assert dusk[-1] == pytest.approx(known["modes"]["infrared"]["threshold"])
    assert dusk[-1] > 2 * day
    assert threshold.now == dusk[-1]


def test_a_run_of_before_keeps_its_threshold(store):
    threshold = Threshold("gate", {"threshold": 3.0}, "abc", store)
    assert threshold.running is None
    assert threshold.of(frame(COLOURED, 0.0)) == 3.0
    threshold.take(1.0, 0.0, alarmed=False)
    threshold.tend()
    threshold.keep()
    assert not threshold.undo()


def test_of_more_alarms_than_can_be_kept_nothing_goes_on_and_it_is_said(store):
    known = calibrate([scores(np.random.default_rng(4), 2)], 1.0, 101.0)
    threshold = Threshold("gate", known, "abc", store)
    assert threshold.running is None
    assert threshold.text.endswith("It stays until somebody sets another one.")


def test_what_is_learned_moves_it_is_kept_and_undone(store, monkeypatch):
    monkeypatch.setattr(module, "KEEP_S", 0.0)
    rng = np.random.default_rng(2)
    first = calibrate([scores(rng, 26)], 1.0, 1.0)
    threshold = Threshold("gate", first, "abc", store)
    for t, score in enumerate(scores(rng, 50, 0.7)):  # it has become calmer
        threshold.take(float(score), float(t), alarmed=False)
        if t % 3600 == 0:
            threshold.tend()
    assert threshold.now < 0.97 * first["threshold"]
    assert threshold.now > 0.5 * first["threshold"]
    rows = store.calibrations("gate")
    assert rows
    assert rows[0].threshold == pytest.approx(threshold.now)
    again = Threshold("gate", first, "abc", store)
    assert again.now == pytest.approx(threshold.now)
    while threshold.undo():
        pass
    assert threshold.now == first["threshold"]
    assert store.calibrations("gate")[0].why.startswith("undone")


def test_the_thresholds_of_both_lights_are_recorded_as_they_move(known, store):
    threshold, rng = Threshold("gate", known, "abc", store), np.random.default_rng(5)
    for t in range(4 * 3600):
        grey = t >= 2 * 3600
        if t % 60 == 0 or 7190 < t < 7220:
            threshold.of(frame(GREY if grey else COLOURED, float(t)))
        score = 2.0 * (3.0 if grey else 1.0) * rng.gamma(2.0, 0.5)
        threshold.take(score, 1.8 * t, alarmed=False)
    threshold.take(0.0, 1.8 * t + 1, alarmed=False)
    threshold.tend()
    rows = {row.light: row.threshold for row in store.calibrations("gate")}
    assert rows == {light: threshold.at(light) for light in ("colour", "infrared")}
    assert threshold.undo()
    rows = {row.light: row.threshold for row in store.calibrations("gate", limit=2)}
    assert rows == {light: known["modes"][light]["threshold"] for light in rows}
    assert len(rows) == 2


def test_another_calibration_begins_anew(store):
    rng = np.random.default_rng(3)
    first, second = (calibrate([scores(rng, 26)], 1.0, 1.0) for _ in range(2))
    threshold = Threshold("gate", first, "abc", store)
    for t, score in enumerate(scores(rng, 5)):
        threshold.take(float(score), float(t), alarmed=False)
    threshold.keep()
    assert Threshold("gate", first, "abc", store).running.seen.hours > 4
    assert Threshold("gate", second, "abc", store).running.seen.hours == 0


@pytest.mark.parametrize(("verdict", "learned"), [("real", 0), ("false_alarm", 1)])
def test_events_wait_for_somebody_to_look(store, monkeypatch, verdict, learned):
    monkeypatch.setattr(module, "JUDGED_S", 0.0)
    rng = np.random.default_rng(4)
    threshold = Threshold("gate", calibrate([scores(rng, 26)], 1.0, 1.0), "abc", store)
    began = Event("1-a", "gate", "start", "alert", 1.0, None, 1.0, 1.5, 9.0, 6.0, 64, 48)
    over = replace(began, state="end", end_utc=2.0, ended="calm")
    for event in (began, over):
        store.put(event)
        threshold.told(event)
    threshold.tend()
    assert [a.id for a in threshold.running.seen.alarms] == ["1-a"]
    store.verdict("1-a", verdict)  # whoever says it, in whatever process
    threshold.tend()
    assert threshold.running.seen.alarms == []
    peaks = [p for part in threshold.running.plain()["live"].values() for p in part["peaks"]]
    assert peaks.count(9.0) == learned


def test_what_passes_the_threshold_counts_though_no_event_is_told(store):
    known = calibrate([scores(np.random.default_rng(4), 26)], 1.0, 1.0)
    threshold = Threshold("gate", known, "abc", store)
    for t, share in ((0, 0.99), (60, 1.01), (120, np.nan), (180, 1.2)):
        threshold.take(share * known["threshold"], float(t), alarmed=False)
    assert threshold.running.seen.of_a_week() == 2
    threshold.told(
        Event("1-a", "gate", "end", "alert", 1.0, 2.0, 1.0, 0.8, 4.8, 6.0, 64, 48, ended="calm")
    )
    [alarm] = threshold.running.seen.alarms
    assert alarm.above == pytest.approx(0.8 * known["threshold"])


def test_who_has_just_looked_is_heard_before_it_is_due(store):
    known = calibrate([scores(np.random.default_rng(4), 26)], 1.0, 1.0)
    threshold = Threshold("gate", known, "abc", store)
    over = Event("1-a", "gate", "end", "alert", 1.0, 2.0, 1.0, 1.5, 9.0, 6.0, 64, 48, ended="calm")
    store.put(over)
    threshold.told(over)
    store.verdict("1-a", "real")
    threshold.tend()
    assert len(threshold.running.seen.alarms) == 1, "it is not due"
    threshold.hear()
    assert threshold.running.seen.alarms == []


@pytest.mark.parametrize("other", [None, "real", "false_alarm"])
@pytest.mark.parametrize("verdict", ["real", "false_alarm"])
def test_what_was_said_can_be_taken_back(store, monkeypatch, verdict, other):
    monkeypatch.setattr(module, "JUDGED_S", 0.0)
    known = calibrate([scores(np.random.default_rng(4), 26)], 1.0, 1.0)
    threshold = Threshold("gate", known, "abc", store)
    over = Event("1-a", "gate", "end", "alert", 1.0, 2.0, 1.0, 1.5, 9.0, 6.0, 64, 48, ended="calm")
    store.put(over)
    threshold.told(over)
    store.verdict("1-a", verdict)
    threshold.tend()
    threshold.keep()
    threshold = Threshold("gate", known, "abc", store)  # over a restart as well
    store.verdict("1-a", other)
    threshold.tend()
    threshold.tend()
    waiting = [a.id for a in threshold.running.seen.alarms]
    assert waiting == (["1-a"] if other is None else [])
    live = threshold.running.plain()["live"].values()
    peaks = [p for part in live for p in part["peaks"]]
    assert peaks.count(9.0) == (other == "false_alarm")
    assert sum(sum(part["count"]) for part in live) == len(peaks)
