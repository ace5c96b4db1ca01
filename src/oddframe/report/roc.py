"""ROC curves: one chart per protocol, the learned methods and the floors over one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from oddframe.judging.judge import Roc
from oddframe.report.plot import Line, chart, span_axis
from oddframe.report.table import percent

DRAWN = 6
"""Curves in one chart: as many as there are colours."""
_CHANCE = Line("chance", np.array([0.0, 1.0]), np.array([0.0, 1.0]), "chance", hover=False)


def roc_charts(curves: Sequence[Roc]) -> str:
    """The section's inside: a chart with its legend for every protocol; "" without curves."""
    if not curves:
        return ""
    named: dict[str, list[Roc]] = {}
    for one in curves:
        named.setdefault(one.protocol, []).append(one)
    # One order, hence one colour per method, in all charts; the last floor is the one to clear.
    learned = [one.method for one in curves if not one.floor]
    order = list(dict.fromkeys(learned + [one.method for one in reversed(curves) if one.floor]))
    colour = {method: i for i, method in enumerate(order)}
    drawn = [
        _chart(name, members, colour, f"roc{i}") for i, (name, members) in enumerate(named.items())
    ]
    return (
        '<p class="hint">Share of abnormal frames found (up) against share of normal frames '
        "falsely called (right), over all thresholds, the frames of all videos pooled. The thin "
        "diagonal is chance. In brackets the area, AUC in %.</p>"
        f'<div class="rocs">{"".join(drawn)}</div>'
    )


def _chart(protocol: str, members: Sequence[Roc], colour: Mapping[str, int], ident: str) -> str:
    members = sorted(members, key=lambda one: colour[one.method])
    shown = [(one, f"s{colour[one.method]}") for one in members if colour[one.method] < DRAWN]
    rest = members[len(shown) :]
    lines = [Line(one.method, one.fpr, one.tpr, css) for one, css in shown]
    areas = ", ".join(f"{one.method} {percent(one.auc)} %" for one in members)
    drawn = chart(
        [_CHANCE, *lines], span_axis(0, 1), span_axis(0, 1),
        label=f"ROC curves under {protocol}", ident=ident, css="square",
        desc=f"Area under the curve: {areas}.",
    )  # fmt: skip
    keys = "".join(
        f'<span class="item"><i class="key line {css}"></i>{escape(one.method)} '
        f"({percent(one.auc)}){_floor(one)}</span>"
        for one, css in shown
    )
    notes = []
    if rest:
        others = ", ".join(f"{one.method} ({percent(one.auc)})" for one in rest)
        notes.append(f"Not drawn: {others}.")
    if members[0].macro:
        notes.append("The tables average the videos' own AUCs under this protocol.")
    below = f'<p class="hint">{escape(" ".join(notes))}</p>' if notes else ""
    return (
        f'<article class="roc"><h3>{escape(protocol)}</h3>{drawn}'
        f'<p class="axis">false-positive rate</p><p class="legend">{keys}</p>{below}</article>'
    )


def _floor(one: Roc) -> str:
    return ' <span class="tag">floor</span>' if one.floor else ""
