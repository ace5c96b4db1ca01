"""Frame-level detection metrics: AUC, average precision, equal error rate, ROC curve.

All of them are read off one `Curve`, which sorts the frames once; `curve` builds it for whoever
wants several.

Own code in float64, because ready-made ones bite here: torchmetrics squashes scores above 1
through a sigmoid, which ties most raw errors. Scores: larger = more anomalous; labels: 1 =
abnormal. Lists hold one 1-D array per video. An AUC here is a fraction, 0..1.

Sources: AUC as the Mann-Whitney statistic with half a point per tie (Hanley and McNeil, 1982);
average precision as the step sum that scikit-learn uses, without interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The step ROC curve of one pooled set of frames: every number of it from one sort.

    A point is a threshold: the frames at or above it are called abnormal. `curve` builds it from
    lists of videos, `curve_of` from pooled arrays.
    """

    threshold: Array
    """(k,) the distinct scores, falling."""
    hits: NDArray[np.int64]
    """(k + 1,) abnormal frames at or above each threshold, after a 0 for none."""
    false: NDArray[np.int64]
    """(k + 1,) normal frames at or above each threshold, after a 0 for none."""

    @property
    def fpr(self) -> Array:
        """(k + 1,) false-positive rates, rising from 0 to 1."""
        rates: Array = self.false / self.false[-1]
        return rates

    @property
    def tpr(self) -> Array:
        """(k + 1,) true-positive rates, rising from 0 to 1."""
        rates: Array = self.hits / self.hits[-1]
        return rates

    @property
    def auc(self) -> float:
        """Area under the ROC curve, 0..1; ties count half."""
        # Twice the pairs in order is a whole number, so nothing is rounded before the division:
        # exact up to about a thousand million frames.
        twice_wins = int(np.sum(np.diff(self.false) * (self.hits[1:] + self.hits[:-1])))
        return twice_wins / (2 * int(self.hits[-1]) * int(self.false[-1]))

    @property
    def average_precision(self) -> float:
        """Sum of precision times gained recall, 0..1; equal scores enter together."""
        gained = np.diff(self.hits) / self.hits[-1]
        return float(np.sum(gained * self.hits[1:] / (self.hits[1:] + self.false[1:])))

    @property
    def eer(self) -> float:
        """Equal error rate, 0..1, with straight lines between the points."""
        fpr = self.fpr
        gap = fpr + self.tpr - 1  # false alarms minus misses: rises from -1 to 1
        after = int(np.argmax(gap >= 0))
        share = -gap[after - 1] / (gap[after] - gap[after - 1])
        return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))

    def tpr_at_fpr(self, fpr: float) -> float:
        """Largest TPR, 0..1, of a threshold whose false-positive rate is at most `fpr`.

        Nothing is interpolated. fpr: 0..1; ConfigError beyond.
        """
        if not 0 <= fpr <= 1:
            raise ConfigError(f"tpr_at_fpr: fpr is a false-positive rate from 0 to 1, not {fpr}.")
        # Rates and not counts are compared: 29 / 100 <= 0.29 holds, 29 <= 0.29 * 100 does not.
        last = int(np.searchsorted(self.fpr, fpr, side="right")) - 1
        return float(self.hits[last] / self.hits[-1])


def curve(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, normalise: str = "none"
) -> Curve:
    """The `Curve` of the pooled frames; arguments and errors as in `frame_auc`, micro.

    >>> found = curve([[0.1, 0.9, 0.2]], [[0, 1, 1]])
    >>> found.auc, found.average_precision, found.eer, found.tpr_at_fpr(0.01)
    (1.0, 1.0, 0.0, 1.0)
    """
    return curve_of(*_pooled(scores, labels, normalise))


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
    single = set(left_out)
    aucs = [
        auc_of(s, y) for i, (s, y) in enumerate(zip(shown, truth, strict=True)) if i not in single
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
    return curve(scores, labels, normalise=normalise).average_precision


def roc_curve(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, normalise: str = "none"
) -> tuple[Array, Array]:
    """Return (fpr, tpr) over the pooled frames: both (k,), rising from 0 to 1.

    One point per distinct score, from the largest down, after the point (0, 0).
    Arguments and errors as in `frame_auc`, micro.
    """
    found = curve(scores, labels, normalise=normalise)
    return found.fpr, found.tpr


def eer(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, normalise: str = "none"
) -> float:
    """Equal error rate over the pooled frames, 0..1: where false alarms equal misses.

    Read off the ROC curve with straight lines between its points; 0.5 for constant scores.
    Arguments and errors as in `frame_auc`, micro.
    """
    return curve(scores, labels, normalise=normalise).eer


def tpr_at_fpr(
    scores: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    fpr: float,
    *,
    normalise: str = "none",
) -> float:
    """Largest true-positive rate, 0..1, that a threshold with a false-positive rate <= fpr has.

    fpr: 0..1 (ConfigError beyond). The ROC curve is taken as steps, without interpolation: the
    threshold exists; it is 0 where even the largest score is shared by too many normal frames.
    Other arguments and errors as in `frame_auc`, micro.

    >>> tpr_at_fpr([[0.1, 0.9, 0.2, 0.3]], [[0, 1, 1, 0]], 0.4)
    0.5
    """
    return curve(scores, labels, normalise=normalise).tpr_at_fpr(fpr)


def auc_of(scores: Array, labels: Labels) -> float:
    """AUC of one array of finite scores (n,) against bool labels (n,) that hold both classes."""
    return curve_of(scores, labels).auc


def curve_of(scores: Array, labels: Labels) -> Curve:
    """`Curve` of one array of finite scores (n,) against bool labels (n,) of both classes."""
    # Ties may come in any order, so the fastest sort will do.
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
    hits = np.cumsum(labels[order], dtype=np.int64)[ends]
    return Curve(ranked[ends], np.append(0, hits), np.append(0, ends + 1 - hits))


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
