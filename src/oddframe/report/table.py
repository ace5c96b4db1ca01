"""The results: which row is the model's, which the best floor, and the table of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from oddframe.report.content import ReportData
from oddframe.report.plot import number
from oddframe.scoring.floors import FLOORS

Row = Mapping[str, object]

_TITLES = {"auc": "AUC", "ap": "AP", "eer": "EER", "macro_auc": "macro AUC", "rbdc": "RBDC"}
_TITLES |= {"tbdc": "TBDC", "pixel_auc": "pixel AUC", "micro_auc": "micro AUC"}
_SHARES = frozenset({*_TITLES, "localisation", "recall", "precision", "fpr", "tpr"})
_TEXTS = frozenset({"method", "protocol", "protocol_text", "floor", "note"})
_MOST_EXTRAS = 5
"""Columns beside AUC, AP and EER; more do not fit on paper."""


def value_of(row: Row, key: str) -> float | None:
    """A finite number of the row, else None."""
    v = row.get(key)
    if isinstance(v, bool) or not hasattr(v, "__float__"):
        return None
    v = float(v)
    return v if math.isfinite(v) else None


def is_floor(row: Row) -> bool:
    """Whether the row is a method without learning."""
    return row.get("floor") is True or str(row.get("method", "")).lower() in FLOORS


def percent(share: float | None) -> str:
    """A share as per cent with one decimal."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f}"


def headline(data: ReportData) -> Row | None:
    """The model's row under `deploy`, or its first row with an AUC where there is none."""
    own = [r for r in data.rows if not is_floor(r) and value_of(r, "auc") is not None]
    named = [r for r in own if data.method is not None and r.get("method") == data.method]
    pool = named or ([] if data.method is not None else own)
    return next((r for r in pool if r.get("protocol") == "deploy"), pool[0] if pool else None)


def best_floor(data: ReportData, protocol: object) -> Row | None:
    """The strongest floor under the protocol."""
    floors = [
        r
        for r in data.rows
        if is_floor(r) and r.get("protocol") == protocol and value_of(r, "auc") is not None
    ]
    return max(floors, key=lambda r: value_of(r, "auc") or 0.0, default=None)


def _columns(rows: Sequence[Row]) -> list[str]:
    """The number columns that some row fills, the known ones first."""
    filled = {k for r in rows for k in r if k not in _TEXTS and value_of(r, k) is not None}
    known = [k for k in ("auc", "ap", "eer") if k in filled or k == "auc"]
    order = dict.fromkeys(k for r in rows for k in r if k in filled and k not in known)
    return [*known, *list(order)[:_MOST_EXTRAS]]


def _cell(row: Row, key: str) -> str:
    v = value_of(row, key)
    if key != "auc":
        text = percent(v) if key in _SHARES else number(v)
        return f"<td>{escape(text)}</td>"
    if v is None:
        return '<td class="auc" title="undefined or not measured">–</td>'
    width = f"{100 * min(max(v, 0.0), 1.0):.1f}%"
    return (
        f'<td class="auc"><b>{percent(v)}</b><i class="bar"><i style="width:{width}"></i></i></td>'
    )


def _row(row: Row, columns: Sequence[str]) -> str:
    floor = is_floor(row)
    tag = ' <span class="tag">floor</span>' if floor else ""
    note = f"<small>{escape(str(row['note']))}</small>" if row.get("note") else ""
    name = escape(str(row.get("method", "–")))
    cells = "".join(_cell(row, key) for key in columns)
    kind = "floor" if floor else "model"
    return f'<tr class="{kind}"><th scope="row">{name}{tag}{note}</th>{cells}</tr>'


def results_table(rows: Sequence[Row]) -> str:
    """One block per protocol, headed by the protocol's full text, best AUC first."""
    columns = _columns(rows)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        key = (str(row.get("protocol", "")), str(row.get("protocol_text") or ""))
        groups.setdefault(key, []).append(row)
    head = "".join(f'<th scope="col">{escape(_title(key))}</th>' for key in columns)
    body = []
    for (protocol, text), members in groups.items():
        words = escape(text or "The protocol's text is missing: do not compare these numbers.")
        name = escape(protocol or "no protocol named")
        body.append(
            f'<tbody><tr class="protocol"><th colspan="{len(columns) + 1}" scope="rowgroup">'
            f"<b>{name}</b> <span>{words}</span></th></tr>"
        )
        members.sort(key=lambda r: -1.0 if (v := value_of(r, "auc")) is None else v, reverse=True)
        body.extend(_row(row, columns) for row in members)
        body.append("</tbody>")
    return (
        f'<div class="scroll"><table><thead><tr><th scope="col">method</th>{head}</tr></thead>'
        f"{''.join(body)}</table></div>"
    )


def _title(key: str) -> str:
    name = _TITLES.get(key, key.replace("_", " "))
    return f"{name} %" if key in _SHARES else name
