"""Frame-level detection metrics: AUC, average precision, equal error rate, ROC curve.

Own code in float64, because ready-made ones bite here: torchmetrics squashes scores above 1
through a sigmoid, which ties most raw errors. Scores: larger = more anomalous; labels: 1 =
abnormal. Lists hold one 1-D array per video. An AUC here is a fraction, 0..1.

Sources: AUC as the Mann-Whitney statistic with half a point per tie (Hanley and McNeil, 1982);
average precision as the step sum that scikit-learn uses, without interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import Array, Labels, check_pairs, normalise_videos


class MacroAuc(NamedTuple):
    """The mean of per-video AUCs, and what could not take part in it."""

    auc: float | None
    """Mean over the videos that hold both classes, 0..1; None where no video does."""
    videos: int
    """Number of videos in that mean."""
    left_out: list[int]
    """Places, from 0, of the videos with one class only: their AUC is undefined."""


def frame_auc(
    scores: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    *,
    normalise: Literal["none", "per_video", "global"] = "none",
    average: Literal["micro", "macro"] = "micro",
) -> float:
    """Area under the ROC curve over frames, 0..1: 0.5 for constant scores, ties count half.

    scores, labels: lists of (n_i,) arrays, one per video, finite and 0/1.
    normalise: `none`, `per_video` (min-max; a constant video becomes all 0) or `global`.
    average: `micro` pools the frames of all videos; `macro` is the mean of the videos' own AUCs,
    without videos of one class, which have none. They are never padded; `macro_auc` names them.

    Raises ProtocolError where frames, lengths or labels are unfit, or where no AUC is defined
    (micro: one class in all frames; macro: one class in every video).

    >>> frame_auc([[0.1, 0.9, 0.2]], [[0, 1, 1]])
    1.0
    >>> frame_auc([[5, 5, 5]], [[0, 1, 1]])
    0.5
    """
    if average == "macro":
        found = macro_auc(scores, labels, normalise=normalise)
        if found.auc is None:
            raise ProtocolError(
                f"Macro AUC is undefined: all {len(found.left_out)} videos hold one class only "
                "(all normal or all abnormal). Use the micro average."
            )
        return found.auc
    if average != "micro":
        raise ConfigError(f"average is {average!r}; expected micro or macro.")
    return auc_of(*_pooled(scores, labels, normalise))


def macro_auc(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, normalise: str = "none"
) -> MacroAuc:
    """Mean of the videos' own AUCs, with the places of the one-class videos that have none.

    Arguments and errors as in `frame_auc`, except that no defined AUC at all gives None.
    """
    checked, truth = check_pairs(scores, labels)
    shown = normalise_videos(checked, normalise)
    left_out = one_class_videos(truth)
    aucs = [
        auc_of(s, y) for i, (s, y) in enumerate(zip(shown, truth, strict=True)) if i not in left_out
    ]
    return MacroAuc(float(np.mean(aucs)) if aucs else None, len(aucs), left_out)


def one_class_videos(labels: Sequence[NDArray[np.generic]]) -> list[int]:
    """Places, from 0, of the videos whose frames are all normal or all abnormal."""
    return [i for i, y in enumerate(labels) if np.all(y) or not np.any(y)]


def average_precision(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, normalise: str = "none"
) -> float:
    """Average precision over the pooled frames, 0..1: the sum of precision times gained recall.

    Frames with equal scores enter together, so constant scores give the share of abnormal frames.
    Arguments and errors as in `frame_auc`, micro.
    """
    hits, false = _counts(*_pooled(scores, labels, normalise))
    gained = np.diff(hits) / hits[-1]
    return float(np.sum(gained * hits[1:] / (hits[1:] + false[1:])))


def roc_curve(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, normalise: str = "none"
) -> tuple[Array, Array]:
    """Return (fpr, tpr) over the pooled frames: both (k,), rising from 0 to 1.

    One point per distinct score, from the largest down, after the point (0, 0).
    Arguments and errors as in `frame_auc`, micro.
    """
    hits, false = _counts(*_pooled(scores, labels, normalise))
    return false / false[-1], hits / hits[-1]


def eer(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, normalise: str = "none"
) -> float:
    """Equal error rate over the pooled frames, 0..1: where false alarms equal misses.

    Read off the ROC curve with straight lines between its points; 0.5 for constant scores.
    Arguments and errors as in `frame_auc`, micro.
    """
    fpr, tpr = roc_curve(scores, labels, normalise=normalise)
    gap = fpr + tpr - 1  # false alarms minus misses: rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))


def auc_of(scores: Array, labels: Labels) -> float:
    """AUC of one array of finite scores (n,) against bool labels (n,) that hold both classes."""
    _, place, size = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(size, dtype=np.int64)
    # Twice the mean rank of each group of ties is a whole number, so nothing is rounded before the
    # division: exact up to about a thousand million frames.
    twice_rank = 2 * last - size + 1
    abnormal = int(np.count_nonzero(labels))
    normal = labels.size - abnormal
    twice_wins = int(twice_rank[place][labels].sum()) - abnormal * (abnormal + 1)
    return twice_wins / (2 * abnormal * normal)


def _counts(scores: Array, labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Abnormal and normal frames at or above each distinct score, largest first, from (0, 0)."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
    hits = np.cumsum(labels[order], dtype=np.int64)[ends]
    return np.append(0, hits), np.append(0, ends + 1 - hits)


def _pooled(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], normalise: str
) -> tuple[Array, Labels]:
    """All frames of all videos after normalisation; refuses data of one class."""
    checked, truth = check_pairs(scores, labels)
    pooled = np.concatenate(truth)
    if pooled.all() or not pooled.any():
        kind = "abnormal (1)" if pooled.all() else "normal (0)"
        raise ProtocolError(
            f"The metric is undefined: all {pooled.size} frames are labelled {kind}, and it "
            "compares abnormal frames with normal ones. Evaluate footage that holds both."
        )
    return np.concatenate(normalise_videos(checked, normalise)), pooled
