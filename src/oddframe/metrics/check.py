"""What may be evaluated: one 1-D array of scores and one of 0/1 labels per video, equally long.

Everything that does not fit is refused by name. Nothing is padded, cut or shifted into place: an
offset of one clip length moves an AUC by points and leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oddframe.errors import ConfigError, ProtocolError

Array = NDArray[np.float64]
Labels = NDArray[np.bool_]
Normalise = Literal["none", "per_video", "global"]
NORMALISATIONS: tuple[Normalise, ...] = ("none", "per_video", "global")


def check_vector(values: ArrayLike, what: str) -> Array:
    """Return `values` as float64 (n,), n >= 1; NaN and inf pass, other shapes and kinds do not.

    Raises ProtocolError, which begins with `what` ("scores of video '03'").
    """
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of unequal lengths
        raise ProtocolError(f"{what}: expected one number per frame ({error}).") from error
    if array.ndim != 1:
        raise ProtocolError(
            f"{what}: expected one number per frame, a 1-D array; found shape {array.shape}. "
            "Give a list with one 1-D array per video; a single video is [scores], [labels]."
        )
    if array.dtype.kind not in "biuf":
        raise ProtocolError(f"{what}: expected numbers, found the type {array.dtype}.")
    if array.size == 0:
        raise ProtocolError(f"{what}: there is no frame in it. Leave empty videos out.")
    return array.astype(np.float64)


def check_labels(values: ArrayLike, what: str) -> Labels:
    """Return labels as bool (n,); every one must be exactly 0 (normal) or 1 (abnormal).

    Raises ProtocolError naming the first frame that is neither.
    """
    array = check_vector(values, what)
    wrong = np.flatnonzero((array != 0) & (array != 1))
    if wrong.size:
        first = int(wrong[0])
        raise ProtocolError(
            f"{what} must be 0 (normal) or 1 (abnormal); frame {first} is {array[first]:g} "
            f"({wrong.size} of {array.size} frames are neither)."
        )
    truth: Labels = array == 1
    return truth


def check_finite(scores: Array, what: str, first_frame: int = 0) -> None:
    """Raise ProtocolError naming the first NaN or inf; `first_frame` is the number of scores[0]."""
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise ProtocolError(
            f"{what}: frame {int(bad[0]) + first_frame} is {scores[bad[0]]}; every evaluated frame "
            f"needs a finite score ({bad.size} of {scores.size} have none)."
        )


def check_lengths(scores: int, labels: int, name: str) -> None:
    """Raise ProtocolError with both numbers unless a video has as many scores as labels."""
    if scores != labels:
        raise ProtocolError(
            f"video {name}: {scores} scores, but {labels} labels ({abs(scores - labels)} apart). "
            "They are not lined up by guessing: give one score per labelled frame, NaN in leading "
            "frames that have none."
        )


def check_pairs(
    scores: Sequence[ArrayLike], labels: Sequence[ArrayLike], names: Sequence[str] | None = None
) -> tuple[list[Array], list[Labels]]:
    """Check a whole test set and return it as float64 and bool arrays, one pair per video.

    names: what messages call the videos; their place in the list, from 0, where not given.
    Raises ProtocolError: no videos, unequal numbers of videos or frames, bad values.
    """
    if len(scores) != len(labels):
        raise ProtocolError(f"{len(scores)} videos have scores, but {len(labels)} have labels.")
    if len(scores) == 0:
        raise ProtocolError("There is no video to evaluate.")
    ids = [f"'{n}'" for n in names] if names is not None else [str(i) for i in range(len(scores))]
    kept_scores: list[Array] = []
    kept_labels: list[Labels] = []
    for name, one_scores, one_labels in zip(ids, scores, labels, strict=True):
        values = check_vector(one_scores, f"scores of video {name}")
        truth = check_labels(one_labels, f"labels of video {name}")
        check_lengths(values.size, truth.size, name)
        check_finite(values, f"scores of video {name}")
        kept_scores.append(values)
        kept_labels.append(truth)
    return kept_scores, kept_labels


def least_count(share: float, total: int) -> int:
    """Smallest whole number k >= 1 with k / total >= share; share in (0, 1], total >= 1.

    Not ceil(share * total), which 0.07 * 100 = 7.000000000000001 would make 8.
    """
    count = max(1, math.ceil(share * total) - 1)
    while count / total < share:
        count += 1
    return count


def min_max(values: Array) -> Array:
    """Stretch (n,) to 0..1; a constant array becomes all 0 (it orders nothing, and is no 0/0)."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros_like(values)
    if not np.isfinite(high - low):  # the span of -1e308..1e308 overflows, half of it does not
        values, low, high = values / 2, low / 2, high / 2
    return (values - low) / (high - low)


def normalise_videos(scores: Sequence[Array], normalise: str) -> list[Array]:
    """Apply one of NORMALISATIONS to the videos of a test set.

    none: as they are. per_video: min-max of each video, as most papers do; it reads the video's
    end, and a video without any anomaly gets a 1 all the same. global: one min-max over all videos,
    which orders frames as none does. Raises ConfigError for another name.
    """
    if normalise == "none":
        return list(scores)
    if normalise == "per_video":
        return [min_max(s) for s in scores]
    if normalise == "global":
        stretched = min_max(np.concatenate(scores))
        return np.split(stretched, np.cumsum([s.size for s in scores])[:-1])
    raise ConfigError(f"normalise is {normalise!r}; expected one of {', '.join(NORMALISATIONS)}.")
