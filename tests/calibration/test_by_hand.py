"""A threshold that somebody sets: it holds, follows the footage in bounds, and can be undone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_running import Watch, begun, normal_day

from oddframe.calibration.calibrate import calibrate
from oddframe.calibration.changes import (
    BOUNDS,
    DAILY,
    MOST_CHANGES,
    Change,
    newest,
    set_by_hand,
    since_hand,
)
from oddframe.calibration.fixed import Fixed
from oddframe.calibration.rate import rate_at
from oddframe.calibration.running import Running


def watch_of(seed=0):
    calibration, rng = begun(seed)
    return Watch(Running(calibration), review=True), rng, calibration["threshold"]


def test_it_holds_at_once_and_says_what_it_is_worth():
    watch, _, first = watch_of()
    change = watch.running.set(0.8 * first)
    assert watch.running.threshold() == pytest.approx(0.8 * first)
    assert change.by == "hand"
    known = watch.running.calibration
    assert known["by_hand"]
    assert known["count_high"] > 2 * begun()[0]["count_high"], "a lower one is passed more often"
    assert known["text"].startswith(f"threshold {0.8 * first:.3g}, set by hand")


def test_it_does_not_creep_back_to_what_the_footage_asks_for():
    watch, rng, first = watch_of(1)
    lower = 0.75 * first
    watch.running.set(lower)
    for _ in range(5):
        watch.day(normal_day(rng))
    assert 0.85 * lower < watch.running.threshold() < 1.15 * lower
    assert sum(watch.false) > 15, "who wants it lower has more alarms"


def test_it_follows_the_scores_slowly_and_within_its_own_bounds():
    watch, rng, first = watch_of(2)
    lower = 0.7 * first
    watch.running.set(lower)
    for level in (1.2, 1.4, *[1.5] * 4):
        watch.day(normal_day(rng, level))
    assert (np.array(watch.thresholds)[1:] / watch.thresholds[:-1]).max() <= DAILY + 1e-9
    assert 1.1 * lower < watch.running.threshold() < 1.8 * lower
    for _ in range(4):
        watch.day(normal_day(rng, 6.0))
    assert watch.running.threshold() <= BOUNDS[1] * lower + 1e-9


def test_a_very_low_one_promises_nothing_but_is_no_trouble():
    watch, rng, first = watch_of(8)
    watch.running.set(0.3 * first)
    known = watch.running.calibration
    assert known["count_high"] is None
    assert rate_at(known, 0.3 * first).text.startswith("more than ")
    watch.day(normal_day(rng))
    assert watch.running.threshold() == pytest.approx(0.3 * first, rel=0.3)


def test_what_was_before_it_does_not_hold_it_back():
    """A day may move a threshold by a quarter; what somebody sets is the new beginning."""
    watch, rng, first = watch_of(3)
    watch.running.set(0.4 * first)
    watch.day(normal_day(rng))
    assert watch.running.threshold() < 0.4 * first * DAILY + 1e-9


def test_it_is_undone_and_what_was_learned_stays():
    watch, rng, first = watch_of(4)
    for _ in range(3):
        watch.day(normal_day(rng))
    before = watch.running.threshold()
    live = watch.running.plain()["live"][""]["hours"]
    changes = len(watch.running.changes)
    watch.running.set(2 * first)
    watch.running.undo()
    assert watch.running.threshold() == pytest.approx(before)
    assert len(watch.running.changes) == changes
    assert watch.running.plain()["live"][""]["hours"] == live
    assert "by_hand" not in watch.running.calibration


def test_it_survives_a_restart():
    watch, rng, first = watch_of(5)
    watch.running.set(0.8 * first)
    watch.day(normal_day(rng))
    kept = json.loads(json.dumps(watch.running.plain()))
    again = Running.read(begun(5)[0], kept)
    assert again.threshold() == watch.running.threshold()
    assert since_hand("", again.changes)[0].after == {"": 0.8 * first}
    for change in kept["changes"]:
        del change["by"]  # as written before there was a hand
    assert Running.read(begun(5)[0], kept).changes[0].by == "footage"


def test_a_light_is_set_alone():
    rng = np.random.default_rng(6)
    clips = [rng.gamma(2, 0.5, 4320), rng.gamma(2, 1.5, 4320)]
    modes = [np.full(4320, "colour"), np.full(4320, "infrared")]
    known = calibrate(clips, 1 / 20, 1.0, modes=modes)
    running = Running(known)
    running.set(9.0, "infrared")
    assert running.threshold("infrared") == 9.0
    assert running.threshold("colour") == known["modes"]["colour"]["threshold"]
    running.undo()
    assert running.calibration == known


def test_what_was_set_by_hand_outlives_many_changes():
    hand = set_by_hand("", 3.0, 2.0, 3.0)
    others = [Change(float(i), {"": 2.0}, {"": 2.1}, {"": 2.1}, "") for i in range(300)]
    kept = newest([hand, *others])
    assert len(kept) == MOST_CHANGES + 1
    assert since_hand("", kept)[0] is hand
    assert since_hand("infrared", kept) == (None, kept)


def test_without_anything_that_learns_it_can_be_set_and_undone():
    for known in ({"threshold": 3.0}, begun()[0]):
        fixed = Fixed(known)
        fixed.set(5.0)
        fixed.set(6.0)
        assert fixed.calibration["threshold"] == 6.0
        assert "set by hand" in fixed.calibration["text"]
        again = Fixed.read(known, json.loads(json.dumps(fixed.plain())))
        assert again.calibration["threshold"] == 6.0
        again.undo()
        assert again.calibration["threshold"] == 5.0
        again.undo()
        assert again.calibration == known
        again.undo()
        other = Fixed.read({**known, "threshold": 4.0}, fixed.plain())
        assert other.calibration["threshold"] == 4.0, "somebody has calibrated again"


def test_the_rate_of_what_was_set_is_that_of_the_question():
    known, _ = begun(7)
    running = Running(known)
    asked = rate_at(known, 0.8 * known["threshold"])
    running.set(0.8 * known["threshold"])
    then = rate_at(running.calibration, 0.8 * known["threshold"])
    assert then.per_day == pytest.approx(asked.per_day)
