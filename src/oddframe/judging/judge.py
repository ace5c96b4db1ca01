"""From scores to rows: one method under one protocol, every number with its protocol's text."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oddframe.errors import ProtocolError
from oddframe.judging.protocol import NO_DROP, Protocol
from oddframe.metrics.check import (
    Array,
    Labels,
    check_finite,
    check_labels,
    check_lengths,
    check_vector,
    normalise_videos,
)
from oddframe.metrics.frame import auc_of, curve, macro_auc, one_class_videos
from oddframe.metrics.pairs import Wins, bootstrap, pair_wins
from oddframe.metrics.rows import Row
from oddframe.metrics.smooth import smooth_video
from oddframe.sources.names import naturally

FALSE_RATE = 0.01
"""False-positive rate at which a row gives the true-positive rate."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores after steps 1 to 5 of a protocol's rule, ready to be compared with their labels.

    Whatever is told of a method under a protocol is drawn from one of these: `row_of`, `roc_of`,
    `per_video`, and differences between two methods from their `wins`.
    """

    protocol: Protocol
    label_source: str
    names: tuple[str, ...]
    scores: tuple[Array, ...]
    """Per video (n,): smoothed and normalised."""
    labels: tuple[Labels, ...]
    frames: tuple[NDArray[np.intp], ...]
    """Per video (n,): which frames of the video these are."""
    dropped: tuple[int, ...]
    """Frames of each video that were left out or, under `fill`, filled."""
    text: str
    """The protocol in words, with the frames that were dropped."""

    @functools.cached_property
    def wins(self) -> Wins:
        """Won pairs of frames by video, from which AUC and its interval follow."""
        return pair_wins(self.scores, self.labels)

    def over(self, frames: Mapping[str, int]) -> dict[str, Array]:
        """Per video (n,) the scores at the frames that they are of, NaN at those left out.

        frames: n of each video.
        """
        whole = {name: np.full(frames[name], np.nan) for name in self.names}
        for name, at, scores in zip(self.names, self.frames, self.scores, strict=True):
            whole[name][at] = scores
        return whole


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """The ROC curve of one method under one protocol, as fine as a picture can show it."""

    method: str
    protocol: str
    floor: bool
    auc: float
    """Of the whole curve, all frames pooled (also under a `macro` protocol)."""
    fpr: Array
    """(k,) false-positive rates, from 0 to 1."""
    tpr: Array
    """(k,) true-positive rates, from 0 to 1."""
    macro: bool = False
    """The protocol's own AUC is a mean over videos and not that of this curve."""


ROC_CELLS = 250
"""A thinned curve is less than 1 / ROC_CELLS from the whole one, in either rate."""


def roc_of(method: str, judged: Judged, *, floor: bool = False) -> Roc:
    """The curve behind a row of `row_of`; at most 2 `ROC_CELLS` + 2 points.

    floor: the method learns nothing. Raises ProtocolError where a class is missing.
    """
    whole = curve(judged.scores, judged.labels)
    fpr, tpr = whole.fpr, whole.tpr
    # Both only rise, so a cell that was left is never entered again: its first point stands for it.
    cell = np.floor(fpr * ROC_CELLS) * (ROC_CELLS + 1) + np.floor(tpr * ROC_CELLS)
    keep = np.flatnonzero(np.diff(cell, prepend=-1))
    keep = np.union1d(keep, [fpr.size - 1])
    macro = judged.protocol.average == "macro"
    return Roc(method, judged.protocol.name, floor, whole.auc, fpr[keep], tpr[keep], macro)


def evaluate_arrays(
    method: str,
    scores: Mapping[str, ArrayLike],
    labels: Mapping[str, ArrayLike],
    protocol: Protocol,
    label_source: str = "",
    train: ArrayLike | None = None,
) -> Row:
    """Evaluate one method under one protocol; returns one JSON row (`row_of`).

    scores: video -> (n,) larger = more anomalous; labels: video -> (n,) 0/1; same keys and lengths.
    label_source: which label set, for data sets with several (Avenue has two, 0.5-2 points apart).
    train: (k,) scores of training video, for protocols that scale by them.

    Raises ProtocolError: see the head of `judging.protocol` for the rule.
    """
    return row_of(method, judge(scores, labels, protocol, label_source, train))


def row_of(method: str, judged: Judged) -> Row:
    """What a method reached, as one JSON row.

    Row: method, protocol, auc, auc_low, auc_high (95 % interval by bootstrap over videos, micro
    only, None where there are too few), ap, eer, tpr (at a false-positive rate of 1 %); all
    fractions 0-1, ap, eer and tpr over pooled frames; macro_auc (None where no video holds both
    classes), frames and abnormal (evaluated), videos, one_class_videos (without an AUC, left out
    of macro_auc), dropped_frames, labels, protocol_text.

    Raises ProtocolError where a class is missing.
    """
    protocol = judged.protocol
    macro = macro_auc(judged.scores, judged.labels)
    pooled = np.concatenate(judged.labels)
    roc = curve(judged.scores, judged.labels)
    if protocol.average == "macro" and macro.auc is None:
        raise ProtocolError(
            f"Macro AUC is undefined: all {len(judged.names)} videos hold one class only. Use the "
            "micro average."
        )
    interval = bootstrap(judged.wins) if protocol.average == "micro" else None
    return {
        "method": method,
        "protocol": protocol.name,
        "auc": macro.auc if protocol.average == "macro" else roc.auc,
        "auc_low": None if interval is None else interval.low,
        "auc_high": None if interval is None else interval.high,
        "macro_auc": macro.auc,
        "ap": roc.average_precision,
        "eer": roc.eer,
        "tpr": roc.tpr_at_fpr(FALSE_RATE),
        "frames": int(pooled.size),
        "abnormal": int(np.count_nonzero(pooled)),
        "videos": len(judged.names),
        "one_class_videos": len(macro.left_out),
        "dropped_frames": int(sum(judged.dropped)),
        "labels": judged.label_source,
        "protocol_text": judged.text,
    }


def per_video(judged: Judged) -> list[Row]:
    """Which videos the method is worst at; rows sorted by cost, largest first.

    Row: video, frames, abnormal, auc (of the video alone; None for one class), cost and points.
    A pair of an abnormal and a normal frame of any video is lost where the normal one scores
    higher (half where they tie); points = lost pairs of the video's abnormal frames / all pairs,
    so points sum to 1 - micro AUC. cost = points / (1 - AUC), the share of what is missing: sums
    to 1, or all 0 for a perfect AUC. Raises ProtocolError where a class is missing.
    """
    wins = judged.wins
    normal = int(wins.normal.sum())
    pairs = normal * int(wins.abnormal.sum())
    if not pairs:
        raise ProtocolError("Videos cannot be compared: all frames are of one class.")
    lost = wins.abnormal * normal - wins.wins.sum(axis=1)
    single = set(one_class_videos(judged.labels))
    rows: list[Row] = []
    for i, (name, values, y) in enumerate(
        zip(judged.names, judged.scores, judged.labels, strict=True)
    ):
        rows.append(
            {
                "video": name,
                "frames": y.size,
                "abnormal": int(np.count_nonzero(y)),
                "auc": None if i in single else auc_of(values, y),
                "cost": float(lost[i] / lost.sum()) if lost.sum() > 0 else 0.0,
                "points": float(lost[i] / pairs),
            }
        )
    return sorted(rows, key=lambda row: -float(row["points"]))


def judge(
    scores: Mapping[str, ArrayLike],
    labels: Mapping[str, ArrayLike],
    protocol: Protocol,
    label_source: str = "",
    train: ArrayLike | None = None,
) -> Judged:
    """Steps 1 to 5 of the rule; arguments and errors as in `evaluate_arrays`."""
    _check_keys(scores, labels)
    names = naturally(labels)
    kept: list[Array] = []
    truth: list[Labels] = []
    frames: list[NDArray[np.intp]] = []
    dropped: list[int] = []
    left_out = 0
    for name in names:
        values = check_vector(scores[name], f"scores of video '{name}'")
        y = check_labels(labels[name], f"labels of video '{name}'")
        check_lengths(values.size, y.size, f"'{name}'")
        start, stop = _bounds(values, protocol, name)
        at = np.arange(start, stop)
        if protocol.holes:
            at = at[~np.isnan(values[at])]
            left_out += stop - start - at.size
            if not at.size:
                raise ProtocolError(
                    f"video '{name}': none of its {y.size} frames has a score behind the first "
                    f"{start}: it is too short for the model, or full of gaps. Leave the video out."
                )
        check_finite(values[at], f"scores of video '{name}'", first_frame=start)
        if protocol.fill:
            kept.append(values[_nearest(at, y.size)])
            truth.append(y)
            frames.append(np.arange(y.size))
        else:
            kept.append(values[at])
            truth.append(y[at])
            frames.append(at)
        dropped.append(start + y.size - stop)
    gone = _dropped_text(protocol, dropped)
    if left_out:
        what = "dropped" if protocol.fill else "left out"  # `words` says what became of the former
        gone += f"; {left_out} frames without a score {what} (behind gaps, or too early)"
    text = protocol.words(gone, _averaged_text(protocol, truth))
    return Judged(
        protocol,
        label_source,
        tuple(names),
        tuple(_post(kept, protocol, train)),
        tuple(truth),
        tuple(frames),
        tuple(dropped),
        f"{text}; labels: {label_source}" if label_source else text,
    )


def _bounds(values: Array, protocol: Protocol, name: str) -> tuple[int, int]:
    """First and last (excluded) frame of a video that count."""
    start = _leading_nan(values) if protocol.drop is None else protocol.drop
    stop = values.size - protocol.drop_end
    if start >= stop:
        end = f" and the last {protocol.drop_end}" if protocol.drop_end else ""
        raise ProtocolError(
            f"video '{name}': of its {values.size} frames the first {start}{end} are dropped, none "
            "is left to evaluate. Leave the video out, or drop fewer frames."
        )
    return start, stop


def _nearest(at: NDArray[np.intp], frames: int) -> NDArray[np.intp]:
    """Per frame (n,) that of `at` (rising) which is nearest; of two the earlier."""
    every = np.arange(frames)
    after = np.minimum(np.searchsorted(at, every), at.size - 1)
    before = np.maximum(after - 1, 0)
    earlier = np.abs(every - at[before]) <= np.abs(at[after] - every)
    return at[np.where(earlier, before, after)]


def _post(videos: list[Array], protocol: Protocol, train: ArrayLike | None) -> list[Array]:
    """Smoothing and normalisation, in the protocol's order."""
    if protocol.smooth_last:
        return _smoothed(_normalised(videos, protocol, train), protocol)
    return _normalised(_smoothed(videos, protocol), protocol, train)


def _smoothed(videos: list[Array], protocol: Protocol) -> list[Array]:
    if not protocol.across:
        return [smooth_video(s, protocol.smooth) for s in videos]
    whole = smooth_video(np.concatenate(videos), protocol.smooth)
    return np.split(whole, np.cumsum([s.size for s in videos])[:-1])


def check_scale(protocols: Sequence[Protocol], train: ArrayLike | None) -> None:
    """Refuse protocols that scale by training scores where there are none, before any work.

    Raises:
        ProtocolError: names the protocol.
    """
    for protocol in protocols:
        if protocol.normalise == "train" and train is None:
            raise ProtocolError(
                f"Protocol {protocol.name} scales by scores of training video, and there are none: "
                "give them (evaluate-scores --train), or take another normalisation."
            )


def _normalised(videos: list[Array], protocol: Protocol, train: ArrayLike | None) -> list[Array]:
    if protocol.scaled:
        return videos
    if protocol.normalise != "train":
        return normalise_videos(videos, protocol.normalise)
    check_scale([protocol], train)
    assert train is not None
    known = check_vector(train, "training scores")
    check_finite(known, "training scores")
    low, high = np.quantile(known, [0.01, 0.99])
    if not high > low:
        raise ProtocolError(
            f"Training scores are constant ({low:g}) between their 1 % and 99 % quantiles, so they "
            "give no scale. Take another normalisation."
        )
    return [(s - low) / (high - low) for s in videos]


def _check_keys(scores: Mapping[str, ArrayLike], labels: Mapping[str, ArrayLike]) -> None:
    without_labels, without_scores = set(scores) - set(labels), set(labels) - set(scores)
    if not without_labels and not without_scores:
        if not scores:
            raise ProtocolError("There is no video to evaluate.")
        return
    parts = [
        f"{len(keys)} without {what}: {', '.join(sorted(keys)[:8])}{' …' * (len(keys) > 8)}"
        for keys, what in ((without_labels, "labels"), (without_scores, "scores"))
        if keys
    ]
    raise ProtocolError(
        f"Scores and labels must name the same videos; {'; '.join(parts)}. Rename or leave out."
    )


def _leading_nan(values: Array) -> int:
    scored = np.flatnonzero(~np.isnan(values))
    return int(scored[0]) if scored.size else values.size


def _dropped_text(protocol: Protocol, dropped: Sequence[int]) -> str:
    if protocol.drop is not None:
        return protocol.dropped_text()
    if not any(dropped):
        return NO_DROP
    few, many = min(dropped), max(dropped)
    each = f"{few}" if few == many else f"{few} to {many}"
    end = f" and last {protocol.drop_end} frames" if protocol.drop_end else ""
    what = f"leading frames without a score (NaN){end}"
    return f"{what} dropped: {each} per video, {sum(dropped)} in all"


def _averaged_text(protocol: Protocol, truth: Sequence[Labels]) -> str:
    left_out = len(one_class_videos(truth))
    if protocol.average != "macro" or not left_out:
        return ""
    return f"macro average over {len(truth) - left_out} of {len(truth)} videos (others: one class)"
