"""A calibration that goes on: it stays where days stay, follows slowly, and never runs away."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from oddframe.calibration.calibrate import LOWEST, calibrate, threshold_of
from oddframe.calibration.promise import expected_counts
from oddframe.calibration.running import BOUNDS, DAILY, Running
from oddframe.calibration.seen import MOST_PEAKS

STEP_S = 20.0
"""Between scores: each is a peak of its own."""
DAY = round(86400 / STEP_S)


def normal_day(rng, level=1.0):
    """Scores of a day: busier at noon than at midnight, and no day quite like another."""
    hour = np.arange(DAY) * STEP_S / 3600
    busy = 1 + 0.15 * np.cos(2 * np.pi * (hour - 14) / 24)
    return level * rng.lognormal(0, 0.04) * busy * rng.gamma(2, 0.5, DAY) - 0.5


def begun(seed=0, per_day=1.0, days=2):
    rng = np.random.default_rng(seed)
    footage = [normal_day(rng) for _ in range(days)]
    return calibrate(footage, 1 / STEP_S, per_day, days=range(days)), rng


@dataclass
class Watch:
    """A camera watched: every score above the threshold is an event."""

    running: Running
    review: bool = False
    """Somebody looks at every event."""
    policy: str = "censored"
    """`left out`: nobody tells of events. `learned`: all are told to be false."""
    pts_s: float = 0.0
    thresholds: list[float] = field(default_factory=list)
    false: list[int] = field(default_factory=list)
    """Per day."""
    drifted: list[str | None] = field(default_factory=list)

    def day(self, scores, real=()):
        """A day of scores, some of which are real events."""
        scores, running, false = scores.copy(), self.running, 0
        known = dict(real)
        for i, height in known.items():
            scores[i] = height
        for i, score in enumerate(scores.tolist()):
            alarmed = score >= running.threshold()
            running.seen.take(score, self.pts_s, alarmed=alarmed, above=alarmed)
            if alarmed:
                self.event(f"{len(self.thresholds)}-{i}", score, i in known)
                false += i not in known
            self.pts_s += STEP_S
            if i % 1080 == 1079:
                running.proposal()
        self.thresholds.append(running.threshold())
        self.false.append(false)
        self.drifted.append(running.drift())

    def event(self, id, score, real):
        if self.policy != "left out":
            self.running.alarm(id)
        if self.policy == "learned" or (self.review and not real):
            self.running.seen.add_peak(score, None, id)
        elif self.review:
            self.running.seen.confirm(id)


def watched(days, seed=0, rise=0.0, real=0.0, per_day=1.0, **how):
    """Days watched, whose level rises by a share each day, with so many real events a day."""
    calibration, rng = begun(seed, per_day)
    watch, first = Watch(Running(calibration), **how), calibration["threshold"]
    for i in range(days):
        events = {
            int(rng.integers(DAY)): first * rng.uniform(1.5, 3) for _ in range(rng.poisson(real))
        }
        watch.day(normal_day(rng, 1 + rise * i), events)
    return watch, np.array(watch.thresholds) / first


@pytest.mark.parametrize("review", [False, True])
def test_where_days_stay_the_threshold_stays(review):
    watch, moved = watched(16, review=review)
    assert (np.abs(moved - 1) < 0.15).all()
    assert 0.2 < np.mean(watch.false) < 4
    assert not any(watch.drifted)
    assert watch.running.calibration["hours"] > 24 * 13
    assert watch.running.changes


def test_a_short_calibration_grows_up():
    """Six hours about midnight, then days: it ends where days would have begun."""
    rng = np.random.default_rng(4)
    calibration = calibrate([normal_day(rng)[:1080]], 1 / STEP_S, 1)
    assert calibration["provisional"]
    watch = Watch(Running(calibration))
    for _ in range(8):
        watch.day(normal_day(rng))
    want = begun(5, days=10)[0]["threshold"]
    assert watch.thresholds[-1] == pytest.approx(want, rel=0.2)
    found = watch.running.calibration
    assert not found["provisional"]
    before, after = (expected_counts(c, 7) for c in (calibration, found))
    assert after[2] < before[2]  # and says more narrowly what may be counted
    assert (found["count_low"], found["count_high"]) == (after[0] / 7, after[2] / 7)


@pytest.mark.slow
def test_to_leave_alarms_out_runs_down_and_to_learn_them_runs_up():
    """Why they are censored, and why no more than were promised."""
    left_out, down = watched(20, policy="left out")
    assert down[-1] < 0.9
    assert np.mean(left_out.false[-5:]) > 2.5
    _, up = watched(20, policy="learned", real=1.0)
    assert up.max() > 1.3
    _, censored = watched(20, real=1.0)
    assert (np.abs(censored - 1) < 0.15).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("per_day", [1.0, 5.0])
def test_a_month_of_days_that_stay(seed, per_day):
    watch, moved = watched(30, seed, per_day=per_day)
    assert (np.abs(moved - 1) < 0.2).all()
    assert 0.3 * per_day < np.mean(watch.false[-10:]) < 3 * per_day
    assert sum(map(bool, watch.drifted)) <= 1


def test_real_events_that_nobody_looks_at_do_not_raise_it():
    watch, moved = watched(14, real=3.0)
    assert moved.max() < 1.15
    assert any("in the last 7 days" in text for text in watch.drifted if text)


def test_with_many_alarms_a_day_it_does_not_run_down():
    """As many events have to be known of as there are in all days that count."""
    watch, moved = watched(12, per_day=40.0)
    assert (moved > 0.95).all()
    assert np.mean(watch.false[-5:]) < 2 * 40
    assert len(watch.running.seen.alarms) > 300


def test_nothing_is_found_below_what_is_kept():
    """The calibration's days are known down to their 200th peak, and it would lie lower."""
    calibration, rng = begun(per_day=40.0)
    running, least = Running(calibration), calibration["evidence"]["peaks"][199]
    for day in range(8):
        feed(running, 0.2 * normal_day(rng), begin_s=86400.0 * day)
        running.proposal()
    assert running.changes
    assert all(change.sought[""] >= least for change in running.changes)


def test_it_goes_on_where_no_peak_of_the_days_left_was_kept():
    """Of a loud day and a quiet one all peaks kept are the first's, which is forgotten first."""
    rng = np.random.default_rng(0)
    footage = [3 * normal_day(rng), normal_day(rng)]
    calibration = calibrate(footage, 1 / STEP_S, 1, days=range(2))
    running = Running(calibration, every_h=1.0)
    for day in range(13):
        feed(running, np.minimum(3 * normal_day(rng), 11), begin_s=86400.0 * day)
        running.proposal()
    left, live = running.seen._parts("")
    assert (left.days, len(left.peaks), left.depth) == (1, 0, math.inf)
    assert running.seen.depth("") == live.depth
    assert running._fitted("") is not None


@pytest.mark.parametrize("level", [0.7, 1.0, 1.5])
def test_what_is_counted_goes_by_the_threshold_and_not_by_the_rules(level):
    """Five false alarms a day; events begin at another level, and last for their minutes."""
    calibration, rng = begun(per_day=5.0)
    running, moved = Running(calibration), []
    for day in range(8):
        for i, score in enumerate(normal_day(rng).tolist()):
            at, pts_s = score / running.threshold(), 86400.0 * day + i * STEP_S
            running.seen.take(score, pts_s, alarmed=at >= level, above=at >= 1)
            if at >= level:
                running.alarm(f"{day}-{i}", None, at)
            if i % 1080 == 1079:
                running.proposal()
        moved.append(running.threshold() / calibration["threshold"])
    assert running.drift() is None
    assert 0.87 < min(moved) <= max(moved) < 1.15


def test_what_stays_above_is_one():
    calibration, _ = begun()
    running = Running(calibration)
    for t in (0, 5, 10, 25, 26, 1, 2, 30):  # the clock went back
        running.seen.take(9.0, float(t), above=True)
    assert running.seen.of_a_week() == 4
    back = Running.read(calibration, json.loads(json.dumps(running.plain())))
    assert back.seen.of_a_week() == 4


def test_a_slow_rise_is_told_and_followed_within_bounds():
    watch, moved = watched(26, rise=0.03)
    told = [i for i, text in enumerate(watch.drifted) if text and "Normal scores" in text]
    assert told
    assert told[0] < 16
    assert "higher than they did" in watch.drifted[-1]
    assert moved[-1] > 1.15
    assert moved.max() <= BOUNDS[1]


def test_scores_just_below_the_threshold_cannot_raise_it_beyond_its_bounds():
    """Somebody who feeds it anomalies that never alarm, a little higher every day."""
    calibration, rng = begun()
    running, pts_s, first = Running(calibration), 0.0, calibration["threshold"]
    before = first
    for _ in range(12):
        scores, begin = normal_day(rng), running.threshold()
        for i, score in enumerate(scores.tolist()):
            threshold = running.threshold()
            attack = 0.999 * threshold if i % 40 == 0 else min(score, 0.99 * threshold)
            running.seen.take(attack, pts_s)
            pts_s += STEP_S
            if i % 270 == 0:
                running.proposal()
        assert running.threshold() <= DAILY * begin * (1 + 1e-9)
        assert LOWEST <= running.threshold() <= BOUNDS[1] * first * (1 + 1e-9)
    assert running.threshold() > before  # it does move: that is what the bounds are for
    wild = running.changes[-1]
    assert wild.after[""] <= BOUNDS[1] * first * (1 + 1e-9)


def feed(running, scores, light=None, begin_s=0.0):
    for i, score in enumerate(scores):
        running.seen.take(float(score), begin_s + i * STEP_S, light)


def test_bounds_hold_whatever_comes():
    for factor, bound, days in ((10.0, BOUNDS[1], 5), (0.01, BOUNDS[0], 19)):
        calibration, rng = begun()
        running = Running(calibration, every_h=5.0)
        for day in range(days):
            at_s, begin = day * 86400.0, running.threshold()
            for hour in range(24):
                part = factor * normal_day(rng)[:180]
                feed(running, part, begin_s=at_s + hour * 3600)
                running.proposal()
            assert 1 / DAILY - 1e-9 <= running.threshold() / begin <= DAILY + 1e-9
        assert running.threshold() == pytest.approx(
            max(LOWEST, bound * calibration["threshold"]), rel=0.02
        )
        assert "further than allowed" in running.changes[-1].text


def test_proposals_come_every_so_often_and_every_change_is_a_record():
    calibration, rng = begun()
    running = Running(calibration, every_h=6.0)
    assert running.proposal() is None
    feed(running, 1.3 * normal_day(rng)[:900])  # five hours
    assert running.proposal() is None
    feed(running, 1.3 * normal_day(rng), begin_s=18000)
    found = running.proposal()
    assert found is running.calibration
    assert running.proposal() is None
    [change] = running.changes
    assert change.before == {"": calibration["threshold"]}
    assert change.after == {"": found["threshold"]}
    assert change.text.startswith(f"threshold {found['threshold']:.3g} instead of")
    assert found["low"] <= found["threshold"] <= found["high"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert calibration["threshold"] == change.before[""]  # what was given is left alone


def test_a_change_can_be_undone_and_is_not_made_again_at_once():
    calibration, rng = begun()
    running = Running(calibration)
    for day in range(3):
        feed(running, 1.5 * normal_day(rng), begin_s=day * 86400)
        running.proposal()
    assert len(running.changes) >= 2
    last = running.changes[-1]
    back = running.undo()
    assert back["threshold"] == running.threshold() == last.before[""]
    feed(running, normal_day(rng)[:1200], begin_s=3 * 86400)
    running.proposal()
    assert running.threshold() < last.after[""]
    while running.changes:
        running.undo()
    assert running.calibration == calibration
    assert running.undo() == calibration
    assert running.proposal() is None


def test_what_somebody_said_of_an_alarm_counts():
    """Five alarms on each of six days: real ones are nothing, false ones are peaks."""
    calibration, rng = begun(per_day=5.0)
    first, found = calibration["threshold"], {}
    days = [normal_day(rng) for _ in range(6)]
    for said in ("nothing", "real", "false"):
        running = Running(calibration)
        for number, day in enumerate(days):
            feed(running, np.where(day < first, day, 0.0), begin_s=86400.0 * number)
            for i in range(5):
                id = f"{number}-{i}"
                running.alarm(id)
                if said == "real":
                    running.seen.confirm(id)
                elif said == "false":
                    running.seen.add_peak(1.5 * first, None, id)
        assert len(running.seen.alarms) == (30 if said == "nothing" else 0)
        running.seen.take(0.0, 6 * 86400.0)
        found[said] = (running.proposal() or running.calibration)["threshold"]
    assert found["real"] < 0.97 * found["nothing"]
    assert found["false"] > 1.03 * found["nothing"]
    running.seen.confirm("never heard of")
    running.seen.add_peak(1.5 * first, None, "never heard of")


def test_somebody_sets_a_threshold_amid_alarms_of_the_first_hour():
    """Nothing is known of the live footage then."""
    calibration, _ = begun()
    running = Running(calibration)
    for i in range(9):
        running.alarm(str(i))
    before = running.threshold()
    assert running.set(1.2 * before).after == {"": pytest.approx(1.2 * before)}
    assert running.threshold() == pytest.approx(1.2 * before)


def test_lights_go_on_apart():
    rng = np.random.default_rng(0)
    lights = np.where(np.arange(DAY) < DAY // 3, "infrared", "colour")
    days = [np.where(lights == "infrared", 0.5, 1.0) * normal_day(rng) for _ in range(2)]
    calibration = calibrate(days, 1 / STEP_S, 5, modes=[lights] * 2, days=["a", "b"])
    running = Running(calibration)
    for day in range(2):
        scores = np.where(lights == "infrared", 0.8, 1.0) * normal_day(rng)
        for i, score in enumerate(scores.tolist()):
            running.seen.take(score, day * 86400 + i * STEP_S, lights[i])
    found = running.proposal()
    for name in ("infrared", "colour"):
        assert running.threshold(name) == threshold_of(found, name)
    old, new = (threshold_of(c, "infrared") for c in (calibration, found))
    assert new == pytest.approx(DAILY * old)
    assert threshold_of(found, "colour") < 1.1 * threshold_of(calibration, "colour")
    assert found["threshold"] == calibration["threshold"]
    assert sum(m["share"] for m in found["modes"].values()) == pytest.approx(1)
    assert found["modes"]["infrared"]["hours"] > 1.9 * calibration["modes"]["infrared"]["hours"]


def one_light(calibration):
    """As it was once kept of footage in one light."""
    alone = {name: calibration[name] for name in ("threshold", "hours", "peaks", "promise")}
    return {**calibration, "modes": {"colour": {"share": 1.0, **alone}}, "text": "by light"}


def test_what_one_light_states_goes_on_with_the_footage():
    """Six hours in colour, as days of footage are calibrated, then days."""
    rng = np.random.default_rng(3)
    calibration = calibrate(
        [normal_day(rng)[:1080]], 1 / STEP_S, 1, modes=[np.full(1080, "colour")]
    )
    for first in (calibration, one_light(calibration)):
        running = Running(first)
        assert "by light" not in running.calibration["text"]
        running = Running.read(first, json.loads(json.dumps(running.plain())))
        for day in range(3):
            feed(running, np.minimum(normal_day(rng), 4), begin_s=day * 86400)
            running.proposal()
        found = running.calibration
        assert found["hours"] > 50
        assert expected_counts(found, 7) == expected_counts(found, 7, by_light=False)
        assert expected_counts(found, 7)[2] < expected_counts(first, 7)[2]
        assert "by light" not in found["text"]
        back = Running.read(first, {**running.plain(), "calibration": one_light(found)})
        assert back.seen.hours > 50, "it goes on from what was kept"
        assert "by light" not in back.calibration["text"]


def test_a_light_that_was_not_seen_before_gets_a_threshold_of_its_own():
    rng = np.random.default_rng(0)
    noon = [normal_day(rng) for _ in range(2)]
    two = np.where(np.arange(DAY) < DAY // 2, "colour", "dusk")
    calibration = calibrate(noon, 1 / STEP_S, 5, modes=[two] * 2)
    running = Running(calibration)
    larger = threshold_of(calibration, "infrared")
    assert running.threshold("infrared") == larger
    feed(running, 0.3 * normal_day(rng), "infrared")
    running.seen.take(0.0, 86400.0, "infrared")
    found = running.proposal()
    assert threshold_of(found, "infrared") == pytest.approx(larger / DAILY)
    assert found["modes"]["infrared"]["share"] == pytest.approx(1 / 3, abs=0.02)
    assert expected_counts(found, 7) is not None


def test_state_outlives_a_restart_and_stays_small():
    calibration, rng = begun(per_day=5.0)
    watch = Watch(Running(calibration))
    for _ in range(3):
        watch.day(normal_day(rng))
    feed(watch.running, normal_day(rng)[:100], begin_s=3 * 86400)  # half an hour is open
    text = json.dumps(watch.running.plain(), allow_nan=False)
    assert json.dumps(watch.running.plain(), allow_nan=False) == text  # and asking changes nothing
    back = Running.read(calibration, json.loads(text))
    assert back.threshold() == watch.running.threshold()
    assert back.changes == watch.running.changes
    assert back.seen.alarms == watch.running.seen.alarms
    assert back.seen.hours == pytest.approx(
        watch.running.seen.hours + 100 * STEP_S / 3600, abs=0.02
    )
    again = normal_day(rng)
    for running in (back, watch.running):
        feed(running, again, begin_s=4 * 86400)
    one, other = back.proposal(), watch.running.proposal()
    assert (one is None) == (other is None)
    assert back.threshold() == pytest.approx(watch.running.threshold(), rel=0.02)


@pytest.mark.slow
def test_state_is_bounded_over_forty_days():
    calibration, rng = begun(per_day=5.0)
    watch, sizes = Watch(Running(calibration)), []
    for _ in range(40):
        watch.day(normal_day(rng))
        state = watch.running.plain()
        assert len(state["live"][""]["peaks"]) <= MOST_PEAKS
        sizes.append(len(json.dumps(state)))
    assert max(sizes[20:]) < 150_000
    assert max(sizes[30:]) < 1.2 * max(sizes[16:24])


def test_state_of_another_calibration_is_passed_over():
    calibration, rng = begun()
    running = Running(calibration)
    feed(running, 1.5 * normal_day(rng))
    running.seen.take(0.0, 86400.0)
    assert running.proposal() is not None
    other, _ = begun(seed=1)
    fresh = Running.read(other, running.plain())
    assert (fresh.threshold(), fresh.changes, fresh.seen.hours) == (other["threshold"], [], 0)


def test_a_calibration_of_too_little_to_fit_goes_on_too():
    rng = np.random.default_rng(0)
    calibration = calibrate([rng.normal(size=100)], 25.0, 1)
    assert calibration["evidence"] is None
    running = Running(calibration)
    feed(running, rng.normal(size=DAY))
    running.seen.take(0.0, 86400.0)
    found = running.proposal()
    assert found["method"] == "tail"
    assert expected_counts(found, 7) is not None
    assert found["threshold"] == pytest.approx(DAILY * calibration["threshold"])
    assert math.isfinite(found["low"])


def test_a_camera_that_shows_nothing_teaches_nothing():
    calibration, _ = begun()
    running = Running(calibration)
    feed(running, np.full(2 * DAY, np.nan))
    assert running.proposal() is None
    assert running.seen.hours == 0
    assert running.drift() is None
