"""Pixel-level metrics of heat maps that are coarser than the picture, exact and never enlarged.

A map (h, w) is laid over a mask (H, W): pixel row y belongs to cell row floor(y h / H), columns
alike, which is nearest enlargement. All pixels of a cell have one value, so a cell with its number
of abnormal and of normal pixels as weights stands for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import Array, Labels, least_count
from oddframe.metrics.frame import auc_of

Counts = NDArray[np.int64]


def pixel_auc(
    maps: Iterable[NDArray[Any]],
    masks: Iterable[NDArray[Any]],
    *,
    names: Sequence[str] | None = None,
) -> float:
    """Area under the ROC curve over all pixels of all frames, 0..1; ties count half.

    maps: per video (n, h, w), finite, larger = more anomalous. masks: per video (n, H, W), bool or
    0/1, 1 = abnormal. Both may be iterators: one video is in memory at a time, and of the maps as
    many values as are different, which in float16 are 64 thousand. names: what messages call the
    videos.

    Raises ProtocolError: videos, frames or values that do not fit, pixels of one class only.
    """
    parts = [_counted(cells, truth) for cells, truth in _videos(maps, masks, names)]
    return _weighted_auc(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def pixel_criterion_auc(
    maps: Iterable[NDArray[Any]],
    masks: Iterable[NDArray[Any]],
    *,
    share: float = 0.4,
    names: Sequence[str] | None = None,
) -> float:
    """Frame AUC, 0..1, where an abnormal frame counts only if enough of what is abnormal was seen.

    At a threshold an abnormal frame is detected if at least `share` of its abnormal pixels have
    map >= threshold; a normal frame is a false positive if any pixel has. So a frame has one score:
    the k-th largest value within the mask, k = share x its pixels rounded up, or the largest of a
    normal frame. False positives within abnormal frames do not count: a map that is high all over
    an abnormal frame is not punished for it (`region_criteria` does).

    Arguments and errors as in `pixel_auc`; share: 0 < share <= 1, else ConfigError.
    Source: Mahadevan et al., Anomaly detection in crowded scenes, CVPR 2010, which takes 0.4.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share is a share of the abnormal pixels above 0 up to 1, not {share}.")
    scores: list[float] = []
    labels: list[bool] = []
    for cells, truth in _videos(maps, masks, names):
        place, pixels = _cells(cells.shape[1:], truth.shape[1:])
        for picture, mask in zip(cells.reshape(len(cells), -1), truth, strict=True):
            odd = _counts(mask, place, pixels.size)
            total = int(odd.sum())
            labels.append(total > 0)
            if total:
                scores.append(_largest(picture, odd, least_count(share, total)))
            else:
                scores.append(float(picture[pixels > 0].max()))
    found = np.array(labels)
    _check_classes(int(found.sum()), int((~found).sum()), "frames")
    return auc_of(np.array(scores), found)


def _videos(
    maps: Iterable[NDArray[Any]], masks: Iterable[NDArray[Any]], names: Sequence[str] | None
) -> Iterator[tuple[NDArray[np.floating[Any]], Labels]]:
    """Each video's maps (n, h, w) and masks (n, H, W), checked."""
    count = 0
    for i, (given, truth) in enumerate(zip_longest(maps, masks)):
        if given is None or truth is None:
            less, more = ("maps", "masks") if given is None else ("masks", "maps")
            raise ProtocolError(f"{i} videos have {less}, but more have {more}.")
        name = f"video '{names[i]}'" if names is not None else f"video {i}"
        cells, mask = np.asarray(given), np.asarray(truth)
        if cells.ndim != 3 or mask.ndim != 3 or not cells.size or not mask.size:
            raise ProtocolError(
                f"{name}: expected maps (frames, h, w) and masks (frames, H, W) that are not "
                f"empty; found shapes {cells.shape} and {mask.shape}."
            )
        if len(cells) != len(mask):
            raise ProtocolError(
                f"{name}: {len(cells)} maps, but {len(mask)} masks ({abs(len(cells) - len(mask))} "
                "apart). They are not lined up by guessing: give one map per mask."
            )
        yield _check_maps(cells, name), _check_masks(mask, name)
        count += 1
    if not count:
        raise ProtocolError("There is no video to evaluate.")


def _check_maps(cells: NDArray[Any], name: str) -> NDArray[np.floating[Any]]:
    if cells.dtype.kind not in "biuf":
        raise ProtocolError(f"maps of {name}: expected numbers, found the type {cells.dtype}.")
    if cells.dtype.kind != "f":
        cells = cells.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(cells).all(axis=(1, 2)))
    if bad.size:
        raise ProtocolError(
            f"maps of {name}: frame {bad[0]} holds NaN or infinite values; every cell of an "
            f"evaluated frame needs a finite one ({bad.size} of {len(cells)} frames do not)."
        )
    return cells


def _check_masks(mask: NDArray[Any], name: str) -> Labels:
    if mask.dtype.kind == "b":
        return mask
    wrong = [i for i, one in enumerate(mask) if not np.isin(one, (0, 1)).all()]
    if wrong:
        raise ProtocolError(
            f"masks of {name} must be 0 (normal) or 1 (abnormal); frame {wrong[0]} holds others. "
            "Give mask > 0 for masks of 0 and 255."
        )
    truth: Labels = mask == 1
    return truth


def _cells(shape: tuple[int, ...], picture: tuple[int, ...]) -> tuple[NDArray[np.int64], Counts]:
    """Cell of every pixel (H, W), numbered row by row, and pixels of every cell (h w,)."""
    rows, columns = (
        np.arange(big) * small // big for small, big in zip(shape, picture, strict=True)
    )
    place = rows[:, None] * shape[1] + columns[None, :]
    return place, np.bincount(place.reshape(-1), minlength=shape[0] * shape[1])


def _counts(mask: Labels, place: NDArray[np.int64], cells: int) -> Counts:
    """Abnormal pixels of every cell, (cells,)."""
    return np.bincount(place[mask], minlength=cells)


def _counted(cells: NDArray[np.floating[Any]], truth: Labels) -> tuple[Array, Counts, Counts]:
    """The different values (k,) of a video's maps, with their abnormal and normal pixels.

    A test set has a cell for every few pixels of it: to keep them all takes gigabytes."""
    place, pixels = _cells(cells.shape[1:], truth.shape[1:])
    values, which = _distinct(cells)
    abnormal, whole = np.zeros(values.size, np.int64), np.zeros(values.size, np.int64)
    for found, mask in zip(which, truth, strict=True):
        np.add.at(whole, found, pixels)
        if mask.any():
            np.add.at(abnormal, found, _counts(mask, place, pixels.size))
    there = whole > 0
    return values[there], abnormal[there], (whole - abnormal)[there]


def _distinct(cells: NDArray[np.floating[Any]]) -> tuple[Array, NDArray[Any]]:
    """Different values (k,), and which of them every cell has, (n, h w)."""
    if cells.dtype == np.float16:  # by its bits, without sorting: 0.5 ms a frame instead of 32
        values = np.arange(2**16, dtype=np.uint16).view(np.float16)
        which = np.ascontiguousarray(cells).view(np.uint16)
    else:
        values, which = np.unique(cells, return_inverse=True)
    return values.astype(np.float64), which.reshape(len(cells), -1)


def _largest(values: NDArray[np.floating[Any]], weights: Counts, k: int) -> float:
    """The k-th largest of values (n,) that are each there `weights` times."""
    there = np.flatnonzero(weights)
    order = there[np.argsort(values[there])[::-1]]
    return float(values[order[np.searchsorted(np.cumsum(weights[order]), k)]])


def _weighted_auc(values: NDArray[np.floating[Any]], abnormal: Counts, normal: Counts) -> float:
    """AUC of values (n,) that stand for so many abnormal and normal pixels each, both (n,)."""
    _check_classes(int(abnormal.sum()), int(normal.sum()), "pixels")
    order = np.argsort(values)[::-1]
    ranked = values[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
    hits, false = (np.append(0, np.cumsum(w[order])[ends]) for w in (abnormal, normal))
    # As shares: pairs of pixels are too many for whole numbers.
    tpr: Array = hits / hits[-1]
    fpr: Array = false / false[-1]
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2)


def _check_classes(abnormal: int, normal: int, what: str) -> None:
    if not abnormal or not normal:
        kind = "abnormal" if abnormal else "normal"
        raise ProtocolError(
            f"The metric is undefined: all {abnormal + normal} {what} are {kind}, and it compares "
            "abnormal ones with normal ones. Evaluate footage that holds both."
        )
