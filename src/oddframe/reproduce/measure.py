"""From files of results to rows: means over seeds, intervals, paired differences.

The mean AUC of several seeds is the AUC of their mean matrix of won pairs, so one bootstrap over
the videos serves both (`metrics.pairs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from oddframe.errors import ProtocolError
from oddframe.metrics.pairs import Wins, bootstrap, bootstrap_difference
from oddframe.models import MODELS, entry
from oddframe.models.papers import PAPER_TABLES, Published
from oddframe.reproduce.results import Result, differing, in_words
from oddframe.reproduce.tables import Line, Table, resized

PRINTED = {"avenue-part": "avenue"}
"""Whose printed figures stand beside those of a part."""


@dataclass(frozen=True, slots=True)
class Auc:
    """Micro AUC in % of some seeds under one protocol."""

    mean: float
    low: float | None
    high: float | None
    seeds: tuple[tuple[int, float], ...]
    """Seed and its AUC in %."""
    wins: Wins
    """Mean over the seeds."""


@dataclass(frozen=True, slots=True)
class Difference:
    """AUC of a row minus that of another, in points, on the same resampled videos."""

    points: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One row of a table on one data set."""

    line: Line
    results: tuple[Result, ...]
    """One per seed."""
    aucs: dict[tuple[str, str], Auc]
    """By protocol and kind of score: "" the model's, "own" without optical flow."""
    printed: float | None
    """AUC in % that the paper prints of this row on this data set."""

    @property
    def cost(self) -> dict[str, Any]:
        """`parameters` and `gmac_per_frame`."""
        found: dict[str, Any] = self.results[0]["cost"]
        return found


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that may be compared: one data set, size, budget and recipe."""

    data: str
    size: str
    """Name of the model's size; in a table of several models whose sizes they are."""
    budget: str
    recipe: str
    rows: tuple[Measured, ...]
    floors: tuple[dict[str, Any], ...]
    """Rows of the floors, as `evaluate` gives them, on the frames of the first row."""
    several: bool = False
    """The rows are several models."""


def groups(table: Table, results: Sequence[Result]) -> list[Group]:
    """All groups of a table's results, each with its rows in the table's order.

    Raises:
        ProtocolError: results of one row are not seeds of one configuration on the same footage.
    """
    one = len({entry(line.model).module for line in table.lines}) == 1
    found: dict[tuple[str, ...], list[Result]] = {}
    for r in results:
        paper = r["model"] == resized(r["model"], "paper")
        size = r["model"] if one else ("the papers' sizes" if paper else "sizes for a CPU")
        found.setdefault((r["data"]["name"], size, _budget(r), r["recipe"]), []).append(r)
    return [_group(table, key, rs, not one) for key, rs in sorted(found.items())]


def _budget(result: Result) -> str:
    ((clock, minutes),) = result["budget"].items()
    of = "of one core's time" if clock == "core_minutes" else "by the clock"
    return f"{minutes:g} minutes {of}"


def _group(table: Table, key: tuple[str, ...], results: Sequence[Result], several: bool) -> Group:
    data, size, budget, recipe = key
    rows = []
    for line in table.lines:
        of = [r for r in results if _is(line, r, several)]
        if of:
            of.sort(key=lambda r: r["seed"])
            _check_seeds(line, of)
            rows.append(Measured(line, tuple(of), _aucs(line, of), printed(line, data)))
    first = rows[0].results if rows else results  # whose frames the page names
    floors = [row for row in first[0]["rows"] if row["floor"]]
    return Group(data, size, budget, recipe, tuple(rows), tuple(floors), several)


def _check_seeds(line: Line, results: Sequence[Result]) -> None:
    """Results that are averaged differ in their seed, and in nothing else.

    results: by seed.
    """
    first = results[0]
    for before, r in pairwise(results):
        if r["seed"] == before["seed"]:
            raise ProtocolError(
                f"{before['file']} and {r['file']} are both seed {r['seed']} of row {line.name}: "
                "expected one result a seed. Move one of them away."
            )
        differences = differing(_same(r), _same(first))
        if differences:
            raise ProtocolError(
                f"{first['file']} and {r['file']} are no seeds of one row ({line.name}): in the "
                f"latter {in_words(differences)}. Move one of them away."
            )


def _same(result: Result) -> dict[str, Any]:
    """What all seeds of a row have in common."""
    return {"config": result["config"], "data": {"manifest": result["data"].get("manifest")}}


def _is(line: Line, result: Result, several: bool) -> bool:
    if line.rescored:
        return line.name in result["variants"]
    if several:  # another size answers to the same line
        return entry(line.model).module == entry(result["model"]).module
    return line.name in result["rows_of"]


def _aucs(line: Line, results: Sequence[Result]) -> dict[tuple[str, str], Auc]:
    found: dict[tuple[str, str], list[tuple[int, Wins]]] = {}
    for r in results:
        pairs = r["variants"][line.name]["pairs"] if line.rescored else r["pairs"]
        for protocol, kept in pairs.items():
            counts = [np.array(kept[k], np.int64) for k in ("abnormal", "normal")]
            if line.rescored:
                methods = {"": kept["wins"]}
            else:
                methods = {m.partition(":")[2]: w for m, w in kept["wins"].items()}
            for kind, wins in methods.items():
                made = Wins(np.array(wins, np.float64), counts[0], counts[1])
                found.setdefault((protocol, kind), []).append((r["seed"], made))
    return {key: mean_auc(seeds) for key, seeds in found.items()}


def mean_auc(seeds: Sequence[tuple[int, Wins]]) -> Auc:
    """The mean over seeds with its interval over videos.

    Raises:
        ProtocolError: seeds were judged on different frames.
    """
    first = seeds[0][1]
    for _, wins in seeds:
        if not (
            np.array_equal(wins.abnormal, first.abnormal)
            and np.array_equal(wins.normal, first.normal)
        ):
            raise ProtocolError(
                "Seeds of one row were judged on different frames, so they have no mean: has the "
                "data set changed between the runs? Move the older results away."
            )
    mean = Wins(np.mean([w.wins for _, w in seeds], 0), first.abnormal, first.normal)
    span = bootstrap(mean)
    return Auc(
        100 * mean.auc, None if span is None else 100 * span.low,
        None if span is None else 100 * span.high,
        tuple((seed, 100 * wins.auc) for seed, wins in seeds), mean,
    )  # fmt: skip


def difference(a: Auc, b: Auc) -> Difference | None:
    """a minus b, paired over videos; None where they were judged on different frames."""
    try:
        span = bootstrap_difference(a.wins, b.wins)
    except ProtocolError:
        return None
    return Difference(
        a.mean - b.mean, None if span is None else 100 * span.low,
        None if span is None else 100 * span.high,
    )  # fmt: skip


def printed(line: Line, data: str) -> float | None:
    """AUC in % that the paper prints of a row; of a model without row, its own."""
    name = PRINTED.get(data, data)
    if line.ablation is None:
        return None if line.rescored or line.settings else published(line.model).auc.get(name)
    for table in PAPER_TABLES.get(entry(line.model).module, ()):
        if line.ablation in table.rows:
            return table.rows[line.ablation].get(name)
    return None


def published(model: str) -> Published:
    """What is printed of a model, whatever its size here."""
    return MODELS[resized(model, "paper")].published
