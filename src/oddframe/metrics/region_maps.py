"""RBDC and TBDC for detectors that give heat maps, and tracks for data sets that have only masks.

At each threshold the detections are the bounding boxes of the connected components (8 neighbours)
of map >= threshold; the rest is as in `oddframe.metrics.regions`. A lower threshold joins
components, which can lose a region and can spare a false positive: unlike that of boxes with
scores, the curve may turn back. At each FPR it counts with the best rate of any threshold with no
more false positives.

At a threshold below the whole map the only box is the picture, one false positive per frame at
most; with beta = 0.1 it finds whatever covers a tenth of the picture. Where regions are that large,
a constant map has an RBDC above 0: look at it before trusting one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import Array, least_count
from oddframe.metrics.regions import (
    ALPHA,
    BETA,
    RegionScore,
    Track,
    check_shares,
    check_tracks,
    check_videos,
    iou,
    score_of,
)

POINTS = 40
"""Thresholds that are tried where none are given."""
Maps = Iterable[NDArray[Any]]
"""The maps of one video in order: (n, h, w), or anything that gives (h, w) one after the other."""


def map_criteria(
    maps: Mapping[str, Maps],
    tracks: Mapping[str, Sequence[Track]],
    frames: Mapping[str, int],
    size: tuple[int, int],
    *,
    thresholds: ArrayLike | None = None,
    alpha: float = ALPHA,
    beta: float = BETA,
) -> RegionScore:
    """RBDC and TBDC of maps; see the module's head.

    maps: video -> its maps, each (h, w) finite, of any resolution, covering the whole picture;
    read one at a time. tracks, frames, alpha, beta: as in `region_criteria`. size: (height, width)
    of the picture in pixels, to which boxes are scaled. thresholds: values of the maps, in any
    order; None takes those of `map_thresholds`, for which every video is gone through twice.

    Raises ProtocolError: videos that do not fit, another number of maps than frames, maps that are
    not 2-D and finite, unfit tracks. ConfigError: thresholds, size, alpha, beta, or iterators that
    can be gone through only once where no thresholds are given.
    """
    check_shares(alpha, beta)
    if min(size) < 1:
        raise ConfigError(f"size is (height, width) of the picture in pixels, not {size}.")
    checked = check_tracks(tracks, frames)
    check_videos(maps, frames, "maps")
    if thresholds is None:
        once = [name for name, video in maps.items() if iter(video) is video]
        if once:
            raise ConfigError(
                f"The maps of video '{once[0]}' can be gone through only once, but the thresholds "
                "are taken from them first. Give arrays or lists, or thresholds."
            )
        thresholds = map_thresholds(maps)
    levels = _levels(thresholds)
    false, hits, whole = (np.zeros(levels.size, dtype=np.int64) for _ in range(3))
    for name, total in frames.items():
        pictures = _pictures(maps[name], name, total)
        more_false, found = _judge_video(pictures, checked[name], levels, size, beta)
        false += more_false
        hits += found.sum(axis=0)
        least = [least_count(alpha, track.frame.size) for track in checked[name]]
        whole += np.sum(found >= np.array(least, dtype=np.int64)[:, None], axis=0)
    false, hits, whole = (np.append(0, count) for count in (false, hits, whole))
    every = [track for video in checked.values() for track in video]
    regions = sum(track.frame.size for track in every)
    return score_of(false, hits, whole, regions, len(every), sum(frames.values()))


def map_thresholds(maps: Mapping[str, Maps], points: int = POINTS) -> Array:
    """Thresholds for a test set, falling: at most `points` values that occur in its maps.

    They are quantiles, equally far apart, of a pool that holds each map's largest, 2nd, 4th, 8th,
    ... largest value and its smallest: values near the top, where the boxes of single things lie,
    come more often than background. Raises ProtocolError as `map_criteria` does.
    """
    if points < 1:
        raise ConfigError(f"map_thresholds needs at least 1 point, not {points}.")
    pool: list[Array] = []
    for name, video in maps.items():
        for picture in _pictures(video, name, None):
            ranked = np.sort(picture, axis=None)
            places = 2 ** np.arange(ranked.size.bit_length())
            pool.append(ranked[np.append(-places, 0)])
    if not pool:
        raise ProtocolError("There is no map to take thresholds from.")
    shares = np.linspace(0, 1, points)
    return np.unique(np.quantile(np.concatenate(pool), shares, method="inverted_cdf"))[::-1]


def boxes_of(picture: NDArray[Any], thresholds: ArrayLike) -> list[Array]:
    """Bounding boxes of the connected components of picture >= t, for every threshold t.

    picture: (h, w) finite. Returns one (k, 4) of x1, y1, x2, y2 per threshold, in cells of the
    picture, x2 and y2 exclusive, ordered by corner. Components hold together over 8 neighbours.
    """
    return [_boxes(picture >= t) for t in np.atleast_1d(np.asarray(thresholds, np.float64))]


def tracks_of(masks: NDArray[np.bool_], *, min_area_px: int = 1) -> list[Track]:
    """Tracks made from masks (n, h, w), 1 = abnormal, for data sets without released tracks.

    A region is the bounding box of a connected component (8 neighbours) of at least `min_area_px`
    pixels. It continues the track of the region of the frame before that has the largest IoU above
    0 with it, one to one, largest first; else it begins a track. So a thing behind a post becomes
    two tracks, and things that touch become one: figures hold for these tracks and do not compare
    with those for tracks drawn by people. State how the tracks were made beside every number.

    Raises ProtocolError for another shape, ConfigError for min_area_px < 1.
    """
    if masks.ndim != 3:
        raise ProtocolError(
            f"tracks_of: expected masks of one video, (frames, h, w); found shape {masks.shape}."
        )
    if min_area_px < 1:
        raise ConfigError(f"tracks_of: min_area_px must be at least 1, not {min_area_px}.")
    tracks: list[tuple[list[int], list[Array]]] = []
    before: list[int] = []  # the tracks that the regions of the frame before belong to
    for number, mask in enumerate(masks):
        boxes = _boxes(mask != 0, min_area_px)
        old = np.array([tracks[i][1][-1] for i in before]).reshape(-1, 4)
        links = _links(iou(old[:, None], boxes[None]))
        now: list[int] = []
        for k, box in enumerate(boxes):
            if k in links:
                now.append(before[links[k]])
            else:
                now.append(len(tracks))
                tracks.append(([], []))
            tracks[now[-1]][0].append(number)
            tracks[now[-1]][1].append(box)
        before = now
    return [Track(np.array(at, dtype=np.int64), np.stack(boxes)) for at, boxes in tracks]


def _links(overlap: Array) -> dict[int, int]:
    """Which old region (row) each new one (column) continues; largest first, one to one."""
    rows, columns = np.nonzero(overlap > 0)
    found: dict[int, int] = {}
    for place in np.argsort(-overlap[rows, columns], kind="stable"):
        row, column = int(rows[place]), int(columns[place])
        if column not in found and row not in found.values():
            found[column] = row
    return found


def _boxes(mask: NDArray[np.bool_], min_area: int = 1) -> Array:
    import cv2  # here, so that frame-level metrics do without it

    picture = np.ascontiguousarray(mask, dtype=np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(picture, connectivity=8)
    stats = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= min_area]
    x, y, w, h = stats[:, :4].T.astype(np.float64)
    boxes = np.stack([x, y, x + w, y + h], axis=1)
    # OpenCV does not say in which order it numbers components.
    return boxes[np.lexsort(boxes.T)]


def _levels(thresholds: ArrayLike) -> Array:
    levels = np.unique(np.asarray(thresholds, dtype=np.float64))[::-1]
    if not levels.size or not np.isfinite(levels).all():
        raise ConfigError(
            f"thresholds must be finite numbers, at least one; found {levels.tolist()[:5]}."
        )
    return levels


def _pictures(video: Maps, name: str, total: int | None) -> Iterator[Array]:
    """The maps of a video as float64; as many as it has frames, each 2-D and finite."""
    count = 0
    for given in video:
        picture = np.asarray(given, dtype=np.float64)
        if picture.ndim != 2 or not picture.size:
            raise ProtocolError(
                f"map of frame {count} of video '{name}': expected one value per cell, (h, w); "
                f"found shape {picture.shape}."
            )
        if not np.isfinite(picture).all():
            raise ProtocolError(
                f"map of frame {count} of video '{name}' holds NaN or infinite values; every cell "
                "needs a finite one."
            )
        yield picture
        count += 1
    if total is not None and count != total:
        raise ProtocolError(
            f"video '{name}' has {count} maps, but {total} frames ({abs(count - total)} apart). "
            "They are not lined up by guessing: give one map per frame."
        )


def _judge_video(
    pictures: Iterator[Array],
    tracks: Sequence[Track],
    levels: Array,
    size: tuple[int, int],
    beta: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """False positives at each level (l,), and each track's regions that are found (tracks, l)."""
    false = np.zeros(levels.size, dtype=np.int64)
    found = np.zeros((len(tracks), levels.size), dtype=np.int64)
    regions: dict[int, list[tuple[int, Array]]] = {}
    for owner, track in enumerate(tracks):
        for frame, box in zip(track.frame, track.box, strict=True):
            regions.setdefault(int(frame), []).append((owner, box))
    for number, picture in enumerate(pictures):
        height, width = size[0] / picture.shape[0], size[1] / picture.shape[1]
        truth = regions.get(number, [])
        owners = np.array([owner for owner, _ in truth], dtype=np.int64)
        outlines = np.array([box for _, box in truth]).reshape(-1, 4)
        reached = int(np.count_nonzero(levels > picture.max()))  # nothing is as high as those
        for i, boxes in enumerate(boxes_of(picture, levels[reached:]), start=reached):
            scaled = boxes * [width, height, width, height]
            match = iou(scaled[:, None], outlines[None]) >= beta
            false[i] += np.count_nonzero(~match.any(axis=1))
            found[owners, i] += match.any(axis=0)  # a track has one region per frame
    return false, found
