"""Event-level metrics: what somebody who answers the alarms would see.

A true event is a run of abnormal frames. An alarm is a run of frames in alarm, together with the
runs that follow it within `merge_s`; between them it counts as on. An alarm touches an event where
they share a frame after the event is widened by `tolerance_s` on both sides; it is true if it
touches any event, and an event is found if any alarm touches it. So one long alarm may find many
events and many alarms may hit one event: recall counts events, precision counts alarms. An alarm
that never ends finds everything; `false_frame_share` tells it.

Seconds become frames at the video's own rate, rounded up: 0.28 s at 25 fps are 7 frames, 0.29 s
are 8. Two runs are joined where fewer than these many frames lie between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import Array, Labels, check_labels, check_pairs

Runs = NDArray[np.int64]
"""(k, 2): first frame and the frame after the last one, of separate runs in order of time."""
POINTS = 200
"""Most thresholds of a recall curve."""


@dataclass(frozen=True, slots=True)
class EventScore:
    """What the alarms of a test set found; what is undefined is None, never 0."""

    events: int
    """True events."""
    found: int
    """True events that an alarm touches."""
    recall: float | None
    """found / events, 0..1; None without events."""
    alarms: int
    """Alarms, after merging."""
    true_alarms: int
    """Alarms that touch an event."""
    precision: float | None
    """true_alarms / alarms, 0..1; None without alarms."""
    false_alarms_per_hour: float
    """Alarms that touch no event, per hour of all footage judged, abnormal frames included."""
    delays_s: tuple[float, ...]
    """Per found event, in order: seconds from its start to the first alarm that touches it; 0 where
    that alarm began before the event did, even if it ended before (within the tolerance)."""
    median_delay_s: float | None
    """Median of delays_s; None where no event is found."""
    false_frame_share: float | None
    """Frames in alarm, before merging, among the normal frames, 0..1; None without normal frames.
    """
    merge_s: float
    """Alarms less than so many seconds apart count as one."""


@dataclass(frozen=True, slots=True, eq=False)
class RecallCurve:
    """Event recall against false alarms, one point per threshold, from the largest down."""

    threshold: Array
    """(k,) falling; frames at or above it are in alarm."""
    recall: Array
    """(k,) 0..1, never falling."""
    false_alarms_per_hour: Array
    """(k,) may rise and fall: at low thresholds false alarms grow together or reach an event."""


def runs(mask: ArrayLike) -> list[tuple[int, int]]:
    """Return the runs of true in (n,) as (start, stop): stop is the frame after the last one.

    >>> runs([0, 1, 1, 0, 1])
    [(1, 3), (4, 5)]
    """
    return [(int(start), int(stop)) for start, stop in _runs(np.asarray(mask, dtype=np.bool_))]


def event_score(
    alarms: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    fps: float | Sequence[float],
    *,
    merge_s: float = 1.0,
    tolerance_s: float = 0.0,
    names: Sequence[str] | None = None,
) -> EventScore:
    """Judge alarms by events; see the module's head for the rule.

    alarms, labels: lists of (n_i,) arrays of 0/1 or bool, one per video, equally long; 1 = in
    alarm, abnormal. fps: frames per second, one number or one per video, > 0. merge_s, tolerance_s:
    seconds >= 0. names: what messages call the videos.

    Raises ProtocolError where videos, lengths or values are unfit, ConfigError for the numbers.
    """
    checked, truth = check_pairs(alarms, labels, names)
    ids = names if names is not None else range(len(checked))
    raised = [check_labels(a, f"alarms of video {i!r}") for i, a in zip(ids, checked, strict=True)]
    return _judge(raised, _footage(truth, fps, merge_s, tolerance_s), merge_s)


def events_at(
    scores: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    threshold: float,
    fps: float | Sequence[float],
    *,
    merge_s: float = 1.0,
    tolerance_s: float = 0.0,
    names: Sequence[str] | None = None,
) -> EventScore:
    """`event_score` of the frames whose score is at or above the threshold.

    scores: lists of (n_i,) finite arrays; the rest as in `event_score`. Raises ConfigError for a
    threshold that is NaN.
    """
    if math.isnan(threshold):
        raise ConfigError("events_at: the threshold is NaN; expected a number to compare with.")
    checked, truth = check_pairs(scores, labels, names)
    footage = _footage(truth, fps, merge_s, tolerance_s)
    return _judge([s >= threshold for s in checked], footage, merge_s)


def recall_curve(
    scores: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    fps: float | Sequence[float],
    *,
    merge_s: float = 1.0,
    tolerance_s: float = 0.0,
    points: int = POINTS,
    names: Sequence[str] | None = None,
) -> RecallCurve:
    """Event recall against false alarms per hour over thresholds.

    points: most thresholds, >= 2. Where there are more distinct scores, thresholds are quantiles of
    the pooled scores whose distances from the top grow by one factor: 1 frame in alarm, ... , all.
    Every threshold is a score that occurs. Other arguments as in `events_at`.

    Raises ProtocolError as `event_score` does, or without any event; ConfigError for the numbers.
    """
    if points < 2:
        raise ConfigError(f"recall_curve needs at least 2 points, not {points}.")
    checked, truth = check_pairs(scores, labels, names)
    footage = _footage(truth, fps, merge_s, tolerance_s)
    if not any(len(video.events) for video in footage):
        raise ProtocolError(
            f"Event recall is undefined: none of the {len(truth)} videos has an abnormal frame. "
            "Evaluate footage that holds an event."
        )
    thresholds = _thresholds(np.concatenate(checked), points)
    found = [_judge([s >= t for s in checked], footage, merge_s) for t in thresholds]
    return RecallCurve(
        thresholds,
        np.array([one.found / one.events for one in found]),
        np.array([one.false_alarms_per_hour for one in found]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Video:
    """What does not depend on the alarms: labels, events, and the settings in frames."""

    labels: Labels
    events: Runs
    fps: float
    merge: int
    tolerance: int


def _footage(
    labels: Sequence[Labels], fps: float | Sequence[float], merge_s: float, tolerance_s: float
) -> list[_Video]:
    given = np.asarray(fps, dtype=np.float64)
    rates = [float(given)] * len(labels) if given.ndim == 0 else given.tolist()
    if len(rates) != len(labels):
        raise ConfigError(
            f"fps has {len(rates)} frame rates for {len(labels)} videos; give one number, or one "
            "per video."
        )
    wrong = [rate for rate in rates if not 0 < rate < math.inf]
    if wrong:
        raise ConfigError(f"fps must be above 0 frames per second and finite, not {wrong[0]}.")
    if not (0 <= merge_s < math.inf and 0 <= tolerance_s < math.inf):
        raise ConfigError(
            f"merge_s and tolerance_s are seconds of at least 0, not {merge_s} and {tolerance_s}."
        )
    return [
        _Video(y, _runs(y), rate, _frames(merge_s, rate), _frames(tolerance_s, rate))
        for y, rate in zip(labels, rates, strict=True)
    ]


def _frames(seconds: float, fps: float) -> int:
    """Seconds as whole frames, rounded up, but not for what multiplication alone adds."""
    return math.ceil(round(seconds * fps, 6))


def _runs(mask: Labels) -> Runs:
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    pairs: Runs = edges.reshape(-1, 2).astype(np.int64)
    return pairs


def _merged(found: Runs, gap: int) -> Runs:
    """Join runs with fewer than `gap` frames between them."""
    if len(found) < 2:
        return found
    apart = found[1:, 0] - found[:-1, 1] >= gap
    starts, stops = np.append(True, apart), np.append(apart, True)
    return np.stack([found[starts, 0], found[stops, 1]], axis=1)


def _judge(alarms: Sequence[Labels], footage: Sequence[_Video], merge_s: float) -> EventScore:
    events = raised = true = false_frames = 0
    delays: list[float] = []
    for mask, video in zip(alarms, footage, strict=True):
        rung = _merged(_runs(mask), video.merge)
        begin, end = video.events[:, 0] - video.tolerance, video.events[:, 1] + video.tolerance
        # Both are in order of time: what an interval touches lies between two places.
        first = np.searchsorted(rung[:, 1], begin, side="right")
        hit = first < np.searchsorted(rung[:, 0], end, side="left")
        late = rung[first[hit], 0] - video.events[hit, 0]
        delays += (np.maximum(late, 0) / video.fps).tolist()
        first_event = np.searchsorted(end, rung[:, 0], side="right")
        true += int(np.sum(first_event < np.searchsorted(begin, rung[:, 1], side="left")))
        events += len(video.events)
        raised += len(rung)
        false_frames += int(np.count_nonzero(mask & ~video.labels))
    hours = sum(v.labels.size / v.fps for v in footage) / 3600
    normal = sum(v.labels.size - int(np.count_nonzero(v.labels)) for v in footage)
    return EventScore(
        events=events,
        found=len(delays),
        recall=len(delays) / events if events else None,
        alarms=raised,
        true_alarms=true,
        precision=true / raised if raised else None,
        false_alarms_per_hour=(raised - true) / hours,
        delays_s=tuple(delays),
        median_delay_s=float(np.median(delays)) if delays else None,
        false_frame_share=false_frames / normal if normal else None,
        merge_s=merge_s,
    )


def _thresholds(scores: Array, points: int) -> Array:
    """At most `points` of the scores (n,), falling, dense near the top."""
    distinct = np.unique(scores)
    if distinct.size > points:
        ranked = np.sort(scores)[::-1]
        distinct = np.unique(ranked[np.geomspace(1, ranked.size, points).round().astype(int) - 1])
    return distinct[::-1]
