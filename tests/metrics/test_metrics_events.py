"""Events against a twin that looks at every alarm and every event frame by frame."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics import event_score, events_at, recall_curve, runs

RATES = st.sampled_from([1.0, 2.0, 10.0, 25.0])
SECONDS = st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 1.1, 2.5])


@st.composite
def some_alarms(draw: st.DrawFn):
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))

    def masks():
        # Runs of random length: single frames alone would hardly ever merge or miss.
        out = []
        for n in lengths:
            parts = draw(st.lists(st.integers(1, 6), min_size=n, max_size=n))
            mask = np.repeat(np.arange(n) % 2 == draw(st.integers(0, 1)), parts)[:n]
            out.append(mask & (draw(st.integers(0, 5)) > 0))
        return out

    rates = [draw(RATES) for _ in lengths]
    return masks(), masks(), rates


def plain_runs(mask) -> list[tuple[int, int]]:
    found: list[list[int]] = []
    for i, on in enumerate(mask):
        if on and found and found[-1][1] == i:
            found[-1][1] = i + 1
        elif on:
            found.append([i, i + 1])
    return [(a, b) for a, b in found]


def plain(alarms, labels, rates, merge_s, tolerance_s):
    """All that EventScore holds, from sets of frames."""
    events = found = count = true = 0
    delays = []
    for mask, truth, fps in zip(alarms, labels, rates, strict=True):
        joined: list[tuple[int, int]] = []
        for start, stop in plain_runs(mask):
            if joined and (start - joined[-1][1]) / fps < merge_s:
                start = joined.pop()[0]
            joined.append((start, stop))
        wide = next(k for k in range(1000) if k / fps >= tolerance_s)
        areas = [(a, set(range(a - wide, b + wide))) for a, b in plain_runs(truth)]
        count += len(joined)
        true += sum(any(not area.isdisjoint(range(s, e)) for _, area in areas) for s, e in joined)
        for begin, area in areas:
            events += 1
            touching = [s for s, e in joined if not area.isdisjoint(range(s, e))]
            if touching:
                found += 1
                delays.append(max(0, min(touching) - begin) / fps)
    seconds = sum(y.size / fps for y, fps in zip(labels, rates, strict=True))
    normal = np.concatenate([a[~y] for a, y in zip(alarms, labels, strict=True)])
    return {
        "events": events,
        "found": found,
        "recall": found / events if events else None,
        "alarms": count,
        "true_alarms": true,
        "precision": true / count if count else None,
        "false_alarms_per_hour": (count - true) / seconds * 3600,
        "delays_s": delays,
        "median_delay_s": statistics.median(delays) if delays else None,
        "false_frame_share": normal.mean() if normal.size else None,
        "merge_s": merge_s,
    }


@settings(max_examples=300, deadline=None)
@given(some_alarms(), SECONDS, SECONDS)
def test_equals_the_twin_frame_by_frame(data, merge_s, tolerance_s):
    alarms, labels, rates = data
    found = event_score(alarms, labels, rates, merge_s=merge_s, tolerance_s=tolerance_s)
    for key, want in plain(alarms, labels, rates, merge_s, tolerance_s).items():
        value = getattr(found, key)
        assert (list(value) if key == "delays_s" else value) == pytest.approx(want), key
    for mask in alarms:
        assert runs(mask) == plain_runs(mask)


@settings(max_examples=100, deadline=None)
@given(some_alarms(), SECONDS, st.integers(0, 2**20))
def test_scores_at_a_threshold_and_along_the_curve(data, merge_s, seed):
    _, labels, rates = data
    labels[0][0] = True
    rng = np.random.default_rng(seed)
    scores = [rng.integers(0, 5, y.size) / 2 for y in labels]
    curve = recall_curve(scores, labels, rates, merge_s=merge_s, tolerance_s=0.3)
    assert curve.threshold.tolist() == sorted(set(np.concatenate(scores)), reverse=True)
    assert np.all(np.diff(curve.recall) >= 0)
    assert curve.recall[-1] == 1
    for i, threshold in enumerate(curve.threshold):
        alarms = [s >= threshold for s in scores]
        want = event_score(alarms, labels, rates, merge_s=merge_s, tolerance_s=0.3)
        at = events_at(scores, labels, threshold, rates, merge_s=merge_s, tolerance_s=0.3)
        assert at == want
        assert curve.recall[i] == want.recall
        assert curve.false_alarms_per_hour[i] == want.false_alarms_per_hour


def test_by_hand():
    #       event at 3..5, another at 9
    truth = [0, 0, 0, 1, 1, 1, 0, 0, 0, 1]
    alarm = [1, 0, 0, 0, 1, 0, 0, 1, 0, 0]
    found = event_score([alarm], [truth], 2.0, merge_s=0, tolerance_s=0)
    assert (found.events, found.found, found.recall) == (2, 1, 0.5)
    assert (found.alarms, found.true_alarms, found.precision) == (3, 1, 1 / 3)
    assert found.false_alarms_per_hour == pytest.approx(2 / (5 / 3600))
    assert found.delays_s == (0.5,)
    assert found.median_delay_s == 0.5
    assert found.false_frame_share == 2 / 6
    # One frame of tolerance reaches neither alarm; two reach 7 from the event at 9, before it.
    assert event_score([alarm], [truth], 2.0, merge_s=0, tolerance_s=0.5).found == 1
    wide = event_score([alarm], [truth], 2.0, merge_s=0, tolerance_s=1)
    assert wide.delays_s == (0.5, 0)
    assert (wide.alarms, wide.true_alarms) == (3, 2)
    # Two frames lie between 4 and 7: joined below 1.5 s, not below 1 s.
    assert event_score([alarm], [truth], 2.0, merge_s=1).alarms == 3
    assert event_score([alarm], [truth], 2.0, merge_s=1.5).alarms == 2


def test_seconds_are_frames_although_products_round_up():
    # Seven frames lie between; 0.28 * 25 = 7.000000000000001.
    alarm = [1, *[0] * 7, 1]
    assert event_score([alarm], [[0] * 9], 25, merge_s=0.28).alarms == 2
    assert event_score([alarm], [[0] * 9], 25, merge_s=0.29).alarms == 1


def test_an_alarm_already_on_has_no_delay_and_each_video_its_own_rate():
    found = event_score([[1, 1, 1], [0, 0, 1]], [[0, 1, 1], [1, 1, 1]], [1, 4])
    assert found.delays_s == (0, 0.5)
    assert found.false_alarms_per_hour == 0
    assert found.false_frame_share == 1


def test_alarms_do_not_reach_over_the_end_of_a_video():
    found = event_score([[0, 1], [1, 0]], [[0, 0], [0, 0]], 1.0, merge_s=9)
    assert found.alarms == 2


def test_undefined_is_none_and_never_zero():
    quiet = event_score([[0, 0]], [[0, 0]], 25)
    assert (quiet.recall, quiet.precision, quiet.median_delay_s) == (None, None, None)
    assert (quiet.false_alarms_per_hour, quiet.false_frame_share) == (0, 0)
    assert event_score([[0, 1]], [[1, 1]], 25).false_frame_share is None
    assert runs([]) == []


def test_many_scores_give_few_thresholds_dense_at_the_top():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=5000), np.arange(5000) % 100 == 0
    curve = recall_curve([scores], [labels], 25, points=50)
    assert 30 < curve.threshold.size <= 50
    assert set(curve.threshold) <= set(scores)
    assert (curve.threshold[0], curve.threshold[-1]) == (scores.max(), scores.min())
    assert np.count_nonzero(curve.threshold > np.quantile(scores, 0.9)) > 20


@pytest.mark.parametrize(
    ("fps", "more", "message"),
    [
        (0, {}, "above 0"),
        ([25, np.nan], {}, "above 0"),
        ([25], {}, "1 frame rates for 2 videos"),
        (25, {"merge_s": -1}, "at least 0"),
        (25, {"tolerance_s": np.inf}, "at least 0"),
    ],
)
def test_unfit_settings_are_refused(fps, more, message):
    with pytest.raises(ConfigError, match=message):
        event_score([[0, 1], [0]], [[0, 1], [0]], fps, **more)


def test_unfit_values_are_refused_by_name():
    with pytest.raises(ProtocolError, match=r"alarms of video 'b' .*frame 1 is 0\.5"):
        event_score([[0], [0, 0.5]], [[1], [0, 1]], 25, names=["a", "b"])
    for bad in (np.nan, np.inf):
        with pytest.raises(ProtocolError, match="video 'b': frame 1 is"):
            recall_curve([[0], [0, bad]], [[1], [0, 1]], 25, names=["a", "b"])
    with pytest.raises(ProtocolError, match="video 0: 1 scores, but 2 labels"):
        events_at([[0]], [[1, 0]], 0.5, 25)
    with pytest.raises(ProtocolError, match="none of the 1 videos has an abnormal"):
        recall_curve([[0, 1]], [[0, 0]], 25)
    with pytest.raises(ConfigError, match="NaN"):
        events_at([[0]], [[1]], np.nan, 25)
    with pytest.raises(ConfigError, match="2 points"):
        recall_curve([[0, 1]], [[0, 1]], 25, points=1)
