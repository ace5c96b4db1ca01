"""Several methods on one data set: the same frames for all, and whether they truly differ.

Letters: n frames of one video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError
from oddframe.evaluation.methods import Method
from oddframe.evaluation.scored import holes, leave_out
from oddframe.judging.judge import Judged, Roc, judge, roc_of, row_of
from oddframe.judging.named import for_missing, for_short
from oddframe.judging.protocol import Protocol
from oddframe.metrics.pairs import difference
from oddframe.metrics.rows import Row

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A frame that two methods rank differently among all frames judged."""

    video: str
    frame: int
    abnormal: bool
    first: tuple[str, float]
    """Method and the share of frames that it ranks below this one."""
    second: tuple[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found."""

    methods: tuple[Method, ...]
    labels: Mapping[str, NDArray[np.uint8]]
    rows: list[Row]
    """One per method and protocol."""
    differences: list[Row]
    """One per method after the first and micro protocol: AUC minus that of the first method."""
    disagreements: list[Disagreement]
    shown: Protocol
    """Of disagreements and curves: `deploy`, or the first protocol where it was not asked for."""
    judged: Mapping[str, Judged]
    """By method, under `shown`."""
    rocs: Sequence[Roc]

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"rows": self.rows, "differences": self.differences}


def compare(
    methods: Sequence[Method],
    labels: Mapping[str, NDArray[np.uint8]],
    protocols: Sequence[Protocol],
    source: str = "",
) -> Comparison:
    """Judge all methods on the same frames: those for which each of them has a score.

    Videos that one of them has none for at all are left out, with a warning.

    Raises:
        ProtocolError: scores and labels that do not fit.
        ConfigError: two methods of one name, or none.
    """
    names = [m.name for m in methods]
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            f"A comparison needs methods of different names, found {', '.join(names) or 'none'}. "
            "Name scores with NAME=FILE, and runs by their folders."
        )
    methods, labels = _with_scores(methods, labels)
    methods = _seeing_alike(methods)
    rows, differences, rocs = list[Row](), list[Row](), list[Roc]()
    first = next((p for p in protocols if p.name == "deploy"), protocols[0])
    for protocol in protocols:
        shared = _shared(protocol, methods)
        found = [judge(m.under(protocol), labels, m.stated(shared), source) for m in methods]
        for method, one in zip(methods, found, strict=True):
            row = row_of(method.name, one)
            rows.append({**row, "floor": method.floor, "select": one.protocol.select})
            rocs.append(roc_of(method.name, one, floor=method.floor))
        if protocol.average == "micro":
            differences += [
                difference(m.name, names[0], protocol.name, one.wins, found[0].wins)
                for m, one in zip(methods[1:], found[1:], strict=True)
            ]
        if protocol is first:
            shown, judged = shared, dict(zip(names, found, strict=True))
    apart = _disagreements(methods, judged)
    return Comparison(tuple(methods), labels, rows, differences, apart, shown, judged, rocs)


def _with_scores(
    methods: Sequence[Method], labels: Mapping[str, NDArray[np.uint8]]
) -> tuple[Sequence[Method], Mapping[str, NDArray[np.uint8]]]:
    """Methods and labels without the videos that some method has no score for at all."""
    without = {v for m in methods for v, x in m.scores.items() if np.isnan(x).all()}
    if not leave_out(sorted(without), len(labels)):
        return methods, labels
    kept = [
        replace(m, scores={v: x for v, x in m.scores.items() if v not in without},
                terms={v: x for v, x in m.terms.items() if v not in without})
        for m in methods
    ]  # fmt: skip
    return kept, {v: y for v, y in labels.items() if v not in without}


def _seeing_alike(methods: Sequence[Method]) -> Sequence[Method]:
    """The methods, none of which is judged on frames that a run is blind for (`holes`)."""
    runs = [
        {v: holes(x, m.usual) for v, x in m.scores.items()} for m in methods if m.paper is not None
    ]
    if not any(blind.any() for run in runs for blind in run.values()):
        return methods
    blind = {video: np.logical_or.reduce([run[video] for run in runs]) for video in runs[0]}
    return [replace(m, blind=blind) for m in methods]


def _shared(protocol: Protocol, methods: Sequence[Method]) -> Protocol:
    """The protocol over the frames that all methods have scores for."""
    first = max(m.usual for m in methods)
    last = max(m.missing_end for m in methods)
    shortest = min(len(values) for values in methods[0].scores.values())
    protocol = for_short(protocol, shortest, first)
    return for_missing(replace(protocol, drop=protocol.drop or 0), first, last)


SHOWN = 6
"""Frames shown of those that methods disagree about."""
APART = 25
"""Frames of one video between two that are shown."""


def _disagreements(methods: Sequence[Method], judged: Mapping[str, Judged]) -> list[Disagreement]:
    """Where the first method and each other learned one (else the best floor) differ most."""
    learned = [m for m in methods if not m.floor]
    others = [m for m in learned if m is not methods[0]] or [m for m in methods[1:]][-1:]
    if not others:
        return []
    base = judged[methods[0].name]
    ranks = _ranks(base)
    each = max(1, SHOWN // len(others))
    found: list[Disagreement] = []
    for other in others[:SHOWN]:
        theirs = _ranks(judged[other.name])
        place = [(i, t) for i, y in enumerate(base.labels) for t in range(y.size)]
        order = np.argsort(-np.abs(np.concatenate(ranks) - np.concatenate(theirs)), kind="stable")
        taken: list[tuple[int, int]] = []
        for k in order:
            i, t = place[int(k)]
            if all(i != j or abs(t - u) >= APART for j, u in taken):
                taken.append((i, t))
                found.append(
                    Disagreement(
                        base.names[i], int(base.frames[i][t]), bool(base.labels[i][t]),
                        (methods[0].name, float(ranks[i][t])), (other.name, float(theirs[i][t])),
                    )
                )  # fmt: skip
            if len(taken) == each:
                break
    return found


def _ranks(judged: Judged) -> list[Floats]:
    """Share of all judged frames that score lower (ties half), per video."""
    whole = np.concatenate(judged.scores)
    ordered = np.sort(whole)
    both = np.searchsorted(ordered, whole) + np.searchsorted(ordered, whole, side="right")
    return np.split(both / (2 * whole.size), np.cumsum([s.size for s in judged.scores])[:-1])
