"""Where, not only when: the region-based and the track-based detection criterion, RBDC and TBDC.

Frame-level AUC rewards a detector that looks at the wrong place of the right frame. These do not.

Ground truth is tracks: one box per frame that a thing is seen in, a *region*. Detections are boxes
with scores. At a threshold t, of the detections with score >= t:

- a region is found if one of its frame has IoU >= beta with it (0.1),
- a track is found if at least the share alpha (0.1) of its regions is found,
- one is a false positive if its IoU is < beta with every region of its frame.

FPR is false positives per frame, so it can exceed 1. RBDC is the area under the share of regions
found, TBDC under the share of tracks found, over FPR from 0 to 1.

The area, which the paper leaves open: one point per distinct score, after (0, 0), joined by
straight lines; the line that crosses FPR 1 is cut there; a curve that ends before keeps its last
rate up to 1.

There is no loop over thresholds: a region is found from the largest score of its matching
detections downward, a track from the k-th largest of its regions' scores, k = alpha x regions
rounded up. Counting these and the scores of the false positives is all.

Source: Ramachandra and Jones, Street Scene, WACV 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import Array, least_count

ALPHA = 0.1
"""Share of a track's regions that must be found."""
BETA = 0.1
"""Least IoU of a detection with a region that it finds."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """All detections of one video, in any order; none is no error."""

    frame: NDArray[np.int64]
    """(n,) frame numbers from 0."""
    box: Array
    """(n, 4) x1, y1, x2, y2 in pixels of the picture; x2 and y2 are exclusive."""
    score: Array
    """(n,) larger = more anomalous, finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One anomalous thing through one video: a region in each frame that shows it."""

    frame: NDArray[np.int64]
    """(k,) frame numbers from 0, each once; gaps are allowed."""
    box: Array
    """(k, 4) x1, y1, x2, y2 in pixels of the picture; x2 and y2 are exclusive."""


@dataclass(frozen=True, slots=True, eq=False)
class RegionScore:
    """RBDC and TBDC of a test set with the curves that they are the areas of."""

    rbdc: float
    """Area under `rbdr` over FPR 0 to 1, 0..1."""
    tbdc: float
    """Area under `tbdr` over FPR 0 to 1, 0..1."""
    regions: int
    tracks: int
    frames: int
    fpr: Array
    """(k,) false positives per frame at falling thresholds, from 0; may exceed 1."""
    rbdr: Array
    """(k,) share of regions found, 0..1."""
    tbdr: Array
    """(k,) share of tracks found, 0..1."""


def region_criteria(
    detections: Mapping[str, Detections],
    tracks: Mapping[str, Sequence[Track]],
    frames: Mapping[str, int],
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
) -> RegionScore:
    """RBDC and TBDC of detections with scores; see the module's head for the definition.

    frames: video -> number of frames, of all videos of the test set. detections: every one of
    these videos, if only with empty arrays. tracks: the videos that have any. alpha, beta: 0 <
    share <= 1.

    Raises ProtocolError: videos that do not fit, no track at all, boxes that are empty, not finite
    or outside the video's frames, two regions of a track in one frame. ConfigError: alpha, beta.
    """
    check_shares(alpha, beta)
    checked = check_tracks(tracks, frames)
    check_videos(detections, frames, "detections")
    region_scores: list[Array] = []
    track_scores: list[float] = []
    false_scores: list[Array] = []
    for name, total in frames.items():
        found = _check_detections(detections[name], total, f"detections of video '{name}'")
        truth = checked[name]
        best, hit = _matches(found, truth, beta)
        false_scores.append(found.score[~hit])
        region_scores.append(best)
        for one in np.split(best, np.cumsum([track.frame.size for track in truth])[:-1]):
            if one.size:  # a video without tracks splits into one empty part
                track_scores.append(float(np.sort(one)[-least_count(alpha, one.size)]))
    scores = [np.concatenate(false_scores), np.concatenate(region_scores), np.array(track_scores)]
    every = np.unique(np.concatenate(scores))
    thresholds = every[np.isfinite(every)][::-1]
    false, hits, whole = (np.append(0, _at_or_above(s, thresholds)) for s in scores)
    return score_of(false, hits, whole, scores[1].size, scores[2].size, sum(frames.values()))


def iou(a: Array, b: Array) -> Array:
    """Intersection over union, 0..1, of boxes (..., 4) and (..., 4) that broadcast."""
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    inter = np.prod(np.maximum(high - low, 0), axis=-1)
    area_a, area_b = (np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in (a, b))
    out: Array = inter / (area_a + area_b - inter)
    return out


def score_of(
    false: NDArray[np.int64],
    found_regions: NDArray[np.int64],
    found_tracks: NDArray[np.int64],
    regions: int,
    tracks: int,
    frames: int,
) -> RegionScore:
    """Counts at falling thresholds, each (k,) and beginning with a 0, as rates and areas."""
    fpr, rbdr, tbdr = false / frames, found_regions / regions, found_tracks / tracks
    return RegionScore(
        rbdc=area_to_one(fpr, rbdr),
        tbdc=area_to_one(fpr, tbdr),
        regions=regions,
        tracks=tracks,
        frames=frames,
        fpr=fpr,
        rbdr=rbdr,
        tbdr=tbdr,
    )


def area_to_one(fpr: Array, rate: Array) -> float:
    """Area under straight lines through the points (fpr, rate), both (k,), for fpr from 0 to 1.

    The points hold fpr 0. Where a point has more false positives than another one and a lower rate
    (box detections cannot, maps can), it counts with the other one's rate.
    """
    order = np.lexsort((rate, fpr))
    x, y = fpr[order], np.maximum.accumulate(rate[order])
    inside = int(np.searchsorted(x, 1.0, side="right"))
    last = y[inside - 1]
    if inside < x.size:
        share = (1 - x[inside - 1]) / (x[inside] - x[inside - 1])
        last += share * (y[inside] - y[inside - 1])
    x, y = np.append(x[:inside], 1.0), np.append(y[:inside], last)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)


def check_shares(alpha: float, beta: float) -> None:
    """Raise ConfigError unless both lie in (0, 1]."""
    if not (0 < alpha <= 1 and 0 < beta <= 1):
        raise ConfigError(f"alpha and beta are shares above 0 up to 1, not {alpha} and {beta}.")


def check_videos(given: Mapping[str, object], frames: Mapping[str, int], what: str) -> None:
    """Raise ProtocolError unless `given` has the videos of `frames`, every one and no other."""
    extra, missing = sorted(set(given) - set(frames)), sorted(set(frames) - set(given))
    if extra or missing:
        parts = [
            f"{len(names)} {text}: {', '.join(names[:8])}{' …' * (len(names) > 8)}"
            for names, text in (
                (missing, f"videos have no {what}"),
                (extra, f"have {what}, but no number of frames"),
            )
            if names
        ]
        raise ProtocolError(
            f"The videos of `frames` and those with {what} must be the same; {'; '.join(parts)}. "
            "Rename, or give empty arrays for a video in which nothing was detected."
        )


def check_tracks(
    tracks: Mapping[str, Sequence[Track]], frames: Mapping[str, int]
) -> dict[str, list[Track]]:
    """Return the tracks of every video of `frames`, int64 and float64; none: an empty list.

    Raises ProtocolError as `region_criteria` does.
    """
    strange = sorted(set(tracks) - set(frames))
    if strange:
        raise ProtocolError(
            f"{len(strange)} videos have tracks, but no number of frames: "
            f"{', '.join(strange[:8])}. The videos with frames are {', '.join(sorted(frames)[:8])}."
        )
    empty = [name for name, total in frames.items() if total < 1]
    if empty:
        raise ProtocolError(
            f"video '{empty[0]}' has {frames[empty[0]]} frames; expected at least 1. Leave empty "
            "videos out."
        )
    out: dict[str, list[Track]] = {}
    for name, total in frames.items():
        out[name] = []
        for i, track in enumerate(tracks.get(name, ())):
            what = f"track {i} of video '{name}'"
            frame, box = _check_boxes(track.frame, track.box, total, what)
            if not frame.size:
                raise ProtocolError(f"{what} has no region. Leave it out.")
            values, times = np.unique(frame, return_counts=True)
            if times.max() > 1:
                raise ProtocolError(
                    f"{what} has {times.max()} regions in frame {values[times.argmax()]}; expected "
                    "one box per frame. Things apart are tracks of their own."
                )
            out[name].append(Track(frame, box))
    if not any(out.values()):
        raise ProtocolError(
            f"RBDC and TBDC are undefined: none of the {len(frames)} videos has a track. Evaluate "
            "footage that holds anomalies."
        )
    return out


def _check_detections(found: Detections, total: int, what: str) -> Detections:
    frame, box = _check_boxes(found.frame, found.box, total, what)
    score = np.asarray(found.score, dtype=np.float64)
    if score.shape != frame.shape:
        raise ProtocolError(f"{what}: {frame.size} boxes, but scores of shape {score.shape}.")
    bad = np.flatnonzero(~np.isfinite(score))
    if bad.size:
        raise ProtocolError(
            f"{what}: row {bad[0]} (frame {frame[bad[0]]}) has the score {score[bad[0]]}; every "
            "detection needs a finite one."
        )
    return Detections(frame, box, score)


def _check_boxes(
    given: NDArray[Any], corners: NDArray[Any], total: int, what: str
) -> tuple[NDArray[np.int64], Array]:
    frame, box = np.asarray(given), np.asarray(corners, dtype=np.float64)
    if not frame.size and not box.size:
        return np.zeros(0, np.int64), np.zeros((0, 4))
    if frame.ndim != 1 or frame.dtype.kind not in "iu" or box.shape != (frame.size, 4):
        raise ProtocolError(
            f"{what}: expected whole frame numbers (n,) and boxes (n, 4); found {frame.dtype} of "
            f"shape {frame.shape} and boxes of shape {box.shape}."
        )
    outside = np.flatnonzero((frame < 0) | (frame >= total))
    if outside.size:
        raise ProtocolError(
            f"{what}: row {outside[0]} is in frame {frame[outside[0]]}, but the video has frames 0 "
            f"to {total - 1}. Frames are counted from 0."
        )
    bad = np.flatnonzero(
        ~np.isfinite(box).all(axis=1) | (box[:, 0] >= box[:, 2]) | (box[:, 1] >= box[:, 3])
    )
    if bad.size:
        raise ProtocolError(
            f"{what}: row {bad[0]} (frame {frame[bad[0]]}) is the box {box[bad[0]].tolist()}; "
            "expected finite x1 < x2 and y1 < y2, x2 and y2 exclusive."
        )
    return frame.astype(np.int64), box


def _matches(
    found: Detections, truth: Sequence[Track], beta: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Best matching score of each region, -inf where none (r,), and which detections match (n,)."""
    hit = np.zeros(found.frame.size, dtype=np.bool_)
    if not truth:
        return np.zeros(0), hit
    frame = np.concatenate([track.frame for track in truth])
    box = np.concatenate([track.box for track in truth])
    # Every pair of a region and a detection of one frame, as two lists of places.
    order = np.argsort(found.frame, kind="stable")
    ranked = found.frame[order]
    first = np.searchsorted(ranked, frame, side="left")
    count = np.searchsorted(ranked, frame, side="right") - first
    region = np.repeat(np.arange(frame.size), count)
    within = np.arange(region.size) - np.repeat(np.cumsum(count) - count, count)
    detection = order[np.repeat(first, count) + within]
    match = iou(found.box[detection], box[region]) >= beta
    region, detection = region[match], detection[match]
    best = np.full(frame.size, -np.inf)
    np.maximum.at(best, region, found.score[detection])
    hit[detection] = True
    return best, hit


def _at_or_above(scores: Array, thresholds: Array) -> NDArray[np.int64]:
    ranked = np.sort(scores)
    above: NDArray[np.int64] = scores.size - np.searchsorted(ranked, thresholds, side="left")
    return above
