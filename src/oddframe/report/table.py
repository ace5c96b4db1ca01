"""The results: which row is the model's, which the best floor, and the table of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from oddframe.judging.floors import FLOORS
from oddframe.report.content import ReportData
from oddframe.report.plot import number
from oddframe.report.words import COLUMNS, PROTOCOLS, method_in_words

Row = Mapping[str, object]

_SHARES = frozenset({*COLUMNS, "localisation", "recall", "precision", "fpr"})
_TEXTS = frozenset({"method", "protocol", "protocol_text", "floor", "note", "labels"})
_COUNTS = {
    "frames": "frames", "abnormal": "abnormal", "videos": "videos",
    "one_class_videos": "of one class", "dropped_frames": "frames dropped",
}  # fmt: skip
"""Said once above the rows, where all rows of a protocol have them in common."""
_INTERVAL = ("auc_low", "auc_high")
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
    passed = {*_TEXTS, *_COUNTS, *_INTERVAL}
    filled = {k for r in rows for k in r if k not in passed and value_of(r, k) is not None}
    known = [k for k in ("auc", "macro_auc", "tpr", "ap", "eer") if k in filled or k == "auc"]
    order = dict.fromkeys(k for r in rows for k in r if k in filled and k not in known)
    return [*known, *list(order)[:_MOST_EXTRAS]]


def _counted(rows: Sequence[Row]) -> str:
    """What was judged, where all rows say the same."""
    parts = []
    for key, words in _COUNTS.items():
        found = {value_of(row, key) for row in rows}
        value = found.pop() if len(found) == 1 else None
        if value:
            parts.append(f"{value:,.0f} {words}")
    return ", ".join(parts)


def _cell(row: Row, key: str) -> str:
    v = value_of(row, key)
    if key != "auc":
        text = percent(v) if key in _SHARES else number(v)
        return f"<td>{escape(text)}</td>"
    if v is None:
        return '<td class="auc" title="undefined or not measured">–</td>'
    width = f"{100 * min(max(v, 0.0), 1.0):.1f}%"
    low, high = (value_of(row, k) for k in _INTERVAL)
    span = "" if low is None or high is None else f"{percent(low)} to {percent(high)}"
    return (
        f'<td class="auc"><b>{percent(v)}</b><i class="bar"><i style="width:{width}"></i></i>'
        f"<small>{span}</small></td>"
    )


def _row(row: Row, columns: Sequence[str]) -> str:
    floor, name = is_floor(row), str(row.get("method", "–"))
    tag = ' <span class="tag">floor</span>' if floor else ""
    said = method_in_words(name, str(row.get("protocol_text") or ""), floor)
    notes = [said, str(row["note"])] if row.get("note") else [said]
    note = "".join(f"<small>{escape(n)}</small>" for n in notes if n)
    cells = "".join(_cell(row, key) for key in columns)
    kind = "floor" if floor else "model"
    return f'<tr class="{kind}"><th scope="row">{escape(name)}{tag}{note}</th>{cells}</tr>'


def results_table(rows: Sequence[Row]) -> str:
    """A table per protocol, best AUC first; below each the protocol's full text."""
    columns = _columns(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row.get("protocol", "")), []).append(row)
    head = "".join(f'<th scope="col">{escape(_title(key))}</th>' for key in columns)
    parts = []
    for protocol, members in groups.items():
        name = escape(protocol or "no protocol named")
        short = escape(PROTOCOLS.get(protocol, ""))
        members.sort(key=lambda r: -1.0 if (v := value_of(r, "auc")) is None else v, reverse=True)
        body = "".join(_row(row, columns) for row in members)
        parts.append(
            f'<h3 class="protocol">{name} <span>{short}</span></h3>'
            f"{scroll(f'Results under {name}')}"
            f'<table><thead><tr><th scope="col">method</th>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
            f'<p class="hint">{escape(_counted(members))}</p>{_texts(members)}'
        )
    return "".join(parts)


def scroll(label: str) -> str:
    """The opening tag of what scrolls sideways: reached by keys, and with a name."""
    return f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">'


def _texts(rows: Sequence[Row]) -> str:
    """What was done to the scores of a protocol's rows: it may differ between them, in how weights
    were chosen at least."""
    texts: dict[str, list[Row]] = {}
    for row in sorted(rows, key=is_floor):  # the model's first
        texts.setdefault(str(row.get("protocol_text") or ""), []).append(row)
    parts = []
    for text, members in texts.items():
        words = text or "The protocol's text is missing: do not compare these numbers."
        names = ", ".join(str(row.get("method", "–")) for row in members)
        who = "floors" if all(map(is_floor, members)) else names
        of = f"<b>{escape(who)}</b>: " if len(texts) > 1 else ""
        parts.append(f'<p class="hint">{of}{escape(words)}</p>')
    return "".join(parts)


def _title(key: str) -> str:
    plain = key.replace("_", " ")
    return COLUMNS.get(key, f"{plain} %" if key in _SHARES else plain)
