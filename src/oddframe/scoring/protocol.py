"""How scores become numbers: the protocol, one row per protocol, and its text beside every number.

The rule for every video, in this order: (1) as many scores as labels, else refused: nothing is
cut, padded or shifted; (2) the dropped frames are taken off the front of both, whatever they hold;
(3) every frame that is left needs a finite score; (4) smoothing, afresh in each video;
(5) normalisation; (6) the frames of all videos are pooled (micro), or AUCs averaged (macro).

Scores made elsewhere (`oddframe evaluate-scores`) drop the leading NaN frames of each video and no
others unless a number is given; the text says what was dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import (
    NORMALISATIONS,
    Array,
    Labels,
    check_finite,
    check_labels,
    check_lengths,
    check_vector,
    normalise_videos,
)
from oddframe.metrics.frame import (
    auc_of,
    average_precision,
    eer,
    frame_auc,
    macro_auc,
    one_class_videos,
)
from oddframe.metrics.rows import Row, format_table, load_npz, write_rows_json
from oddframe.metrics.smooth import smooth_video

__all__ = [
    "NOT_STATED",
    "PROTOCOLS",
    "Protocol",
    "Row",
    "evaluate_arrays",
    "evaluate_scores_files",
    "format_table",
    "parse_protocols",
    "per_video",
    "smooth_video",
    "write_rows_json",
]

_NO_DROP = "no frames dropped"
NOT_STATED = "not stated (scores made elsewhere)"

_NORMALISE_TEXT = {
    "none": "no normalisation",
    "per_video": "per-video min-max normalisation",
    "global": "min-max normalisation over all test videos",
}
_AVERAGE_TEXT = {"micro": "micro average (frames pooled)", "macro": "macro average over videos"}


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything between raw scores and an AUC. Raises ConfigError for a value out of range."""

    name: str
    """paper, deploy, or one's own."""
    normalise: Literal["none", "per_video", "global"] = "none"
    drop: int | None = 16
    """Frames left out at the start of every video; None: the leading NaN frames of each."""
    smooth: str = "none"
    """none | gaussian:SIGMA (frames; looks ahead) | ema:ALPHA | log-ema:ALPHA (causal)."""
    average: Literal["micro", "macro"] = "micro"
    select: str = "not stated"
    """How the checkpoint and alpha were chosen, in words."""

    def __post_init__(self) -> None:
        if self.normalise not in NORMALISATIONS or self.average not in _AVERAGE_TEXT:
            raise ConfigError(
                f"Protocol {self.name}: normalise is {self.normalise!r} (expected "
                f"{', '.join(NORMALISATIONS)}), average is {self.average!r} (micro, macro)."
            )
        if self.drop is not None and self.drop < 0:
            raise ConfigError(f"Protocol {self.name}: drop must be at least 0, not {self.drop}.")
        smooth_video(np.ones(1), self.smooth)

    @property
    def text(self) -> str:
        """The line printed beside every number made under this protocol."""
        if self.drop is None:
            dropped = "leading frames without a score (NaN) dropped"
        else:
            dropped = f"first {self.drop} frames of every video dropped" if self.drop else _NO_DROP
        return self._text(dropped)

    def _text(self, dropped: str, averaged: str = "") -> str:
        smooth, _, value = self.smooth.partition(":")
        smoothing = {
            "none": "no smoothing",
            "gaussian": f"Gaussian smoothing, sigma {value} frames",
            "ema": f"causal exponential smoothing, alpha {value}",
            "log-ema": f"causal exponential smoothing of log scores, alpha {value}",
        }[smooth]
        ahead = self.normalise != "none" or smooth == "gaussian"
        return "; ".join(
            [
                _NORMALISE_TEXT[self.normalise],
                dropped,
                smoothing,
                averaged or _AVERAGE_TEXT[self.average],
                "looks ahead (not causal)" if ahead else "causal post-processing",
                f"checkpoint and alpha: {self.select}",
            ]
        )


PROTOCOLS: dict[str, Protocol] = {
    "paper": Protocol(
        "paper", normalise="per_video", select="last epoch, alpha as printed in the paper"
    ),
    "deploy": Protocol("deploy", select="last epoch, nothing chosen on test clips"),
}
"""paper: what the papers print. deploy: what a camera gets, causal and without test statistics."""


def parse_protocols(text: str) -> list[Protocol]:
    """`paper`, `deploy`, a comma list of them, or `all` -> protocols. Raises ConfigError."""
    if text.strip() == "all":
        return list(PROTOCOLS.values())
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise ConfigError(
            f"Unknown protocol {unknown[0]!r}; expected {', '.join(PROTOCOLS)} or all."
        )
    return [PROTOCOLS[name] for name in dict.fromkeys(names)]


def evaluate_arrays(
    method: str,
    scores: Mapping[str, ArrayLike],
    labels: Mapping[str, ArrayLike],
    protocol: Protocol,
    label_source: str = "",
) -> Row:
    """Evaluate one method under one protocol; returns one JSON row.

    scores: video -> (n,) larger = more anomalous; labels: video -> (n,) 0/1; same keys and lengths.
    label_source: which label set, for data sets with several (Avenue has two, 0.5-2 points apart).

    Row: method, protocol, auc, ap, eer (fractions 0-1; ap and eer over pooled frames), macro_auc
    (None where no video holds both classes), frames and abnormal (evaluated), videos,
    one_class_videos (without an AUC, left out of macro_auc), dropped_frames, labels, protocol_text.

    Raises ProtocolError: see the module's head for the rule.
    """
    names, kept, truth, dropped = _prepare(scores, labels, protocol)
    macro = macro_auc(kept, truth)
    averaged = ""
    if protocol.average == "macro" and macro.left_out:
        averaged = f"macro average over {macro.videos} of {len(names)} videos (others: one class)"
    text = protocol._text(_dropped_text(protocol, dropped), averaged)
    return {
        "method": method,
        "protocol": protocol.name,
        "auc": frame_auc(kept, truth, average=protocol.average),
        "macro_auc": macro.auc,
        "ap": average_precision(kept, truth),
        "eer": eer(kept, truth),
        "frames": int(sum(y.size for y in truth)),
        "abnormal": int(sum(np.count_nonzero(y) for y in truth)),
        "videos": len(names),
        "one_class_videos": len(macro.left_out),
        "dropped_frames": int(sum(dropped)),
        "labels": label_source,
        "protocol_text": f"{text}; labels: {label_source}" if label_source else text,
    }


def per_video(
    scores: Mapping[str, ArrayLike], labels: Mapping[str, ArrayLike], protocol: Protocol
) -> list[Row]:
    """Which videos the method is worst at; rows sorted by cost, largest first.

    Row: video, frames, abnormal, auc (of the video alone; None for one class), cost and points.
    A pair of an abnormal and a normal frame of any video is lost where the normal one scores
    higher (half where they tie); points = lost pairs of the video's abnormal frames / all pairs,
    so points sum to 1 - micro AUC. cost = points / (1 - AUC), the share of what is missing: sums
    to 1, or all 0 for a perfect AUC. Errors as in `evaluate_arrays`.
    """
    names, kept, truth, _ = _prepare(scores, labels, protocol)
    missing = 1 - frame_auc(kept, truth)
    normal = np.sort(np.concatenate([s[~y] for s, y in zip(kept, truth, strict=True)]))
    pairs = normal.size * int(sum(np.count_nonzero(y) for y in truth))
    single = set(one_class_videos(truth))
    rows: list[Row] = []
    for i, (name, values, y) in enumerate(zip(names, kept, truth, strict=True)):
        below = np.searchsorted(normal, values[y], side="left")
        up_to = np.searchsorted(normal, values[y], side="right")
        points = float(np.sum(2 * normal.size - below - up_to)) / (2 * pairs)
        rows.append(
            {
                "video": name,
                "frames": y.size,
                "abnormal": int(np.count_nonzero(y)),
                "auc": None if i in single else auc_of(values, y),
                "cost": points / missing if missing > 0 else 0.0,
                "points": points,
            }
        )
    return sorted(rows, key=lambda row: -float(row["points"]))


def _prepare(
    scores: Mapping[str, ArrayLike], labels: Mapping[str, ArrayLike], protocol: Protocol
) -> tuple[list[str], list[Array], list[Labels], list[int]]:
    """Names, prepared scores, labels and dropped frames per video: steps 1 to 5 of the rule."""
    _check_keys(scores, labels)
    kept: list[Array] = []
    truth: list[Labels] = []
    dropped: list[int] = []
    names = sorted(labels)
    for name in names:
        values = check_vector(scores[name], f"scores of video '{name}'")
        y = check_labels(labels[name], f"labels of video '{name}'")
        check_lengths(values.size, y.size, f"'{name}'")
        drop = _leading_nan(values) if protocol.drop is None else protocol.drop
        if drop >= values.size:
            raise ProtocolError(
                f"video '{name}': of its {values.size} frames the first {drop} are dropped, none "
                "is left to evaluate. Leave the video out, or drop fewer frames."
            )
        check_finite(values[drop:], f"scores of video '{name}'", first_frame=drop)
        kept.append(smooth_video(values[drop:], protocol.smooth))
        truth.append(y[drop:])
        dropped.append(drop)
    return names, normalise_videos(kept, protocol.normalise), truth, dropped


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
    if protocol.drop:
        return f"first {protocol.drop} frames of every video dropped"
    if not any(dropped):
        return _NO_DROP
    few, many = min(dropped), max(dropped)
    each = f"{few}" if few == many else f"{few} to {many}"
    return f"leading frames without a score (NaN) dropped: {each} per video, {sum(dropped)} in all"


def evaluate_scores_files(
    scores_npz: Path | str,
    labels_npz: Path | str,
    protocols: Sequence[Protocol],
    *,
    drop: int | None = None,
    method: str | None = None,
    select: str = NOT_STATED,
    label_source: str | None = None,
) -> list[Row]:
    """Evaluate scores made elsewhere: one row per protocol.

    Both files: npz with one 1-D array per video under the same keys, larger = more anomalous.
    drop: frames to leave out at the start of every video; None leaves out the leading NaN frames
    of each and nothing else (the protocols' own 16 is for detectors that look 16 frames back).
    method, label_source: default to the names of the two files.

    Raises ProtocolError for files that are no npz, pickled objects, differing keys, unfit arrays.
    """
    scores, labels = load_npz(Path(scores_npz)), load_npz(Path(labels_npz))
    name = method if method is not None else Path(scores_npz).stem
    source = label_source if label_source is not None else Path(labels_npz).name
    return [
        evaluate_arrays(name, scores, labels, replace(p, drop=drop, select=select), source)
        for p in protocols
    ]
