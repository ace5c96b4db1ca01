"""The page of a comparison: one table of methods by protocols, what differs, where and on what.

Letters: n frames of one video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from oddframe.data import Dataset, Video, pixel_masks
from oddframe.evaluation.compare import Comparison, Disagreement
from oddframe.report import sections
from oddframe.report.content import Moment, ReportData
from oddframe.report.page import document
from oddframe.report.plot import Band, Line, chart, flag_spans, span_axis
from oddframe.report.roc import roc_charts
from oddframe.report.scores import ranks
from oddframe.report.table import Row, percent, scroll, value_of
from oddframe.report.words import PROTOCOLS, glossary, method_in_words
from oddframe.types import Image

_DRAWN = 6
"""Methods whose curves are drawn over one another: as many as there are colours."""
_OPEN = 12
"""Charts shown at once."""


def render_comparison(found: Comparison, dataset: Dataset) -> str:
    """The whole page as HTML."""
    count = sum(len(y) for y in found.labels.values())
    learned = [m for m in found.methods if not m.floor]
    parts = [
        ("table", "AUC by method and protocol", _table(found.rows)),
        ("differences", "Do they differ?", _differences(found.differences)),
        ("roc", "ROC curves", roc_charts(found.rocs)),
        ("protocols", "What the protocols do", _protocols(found.rows)),
        ("moments", "Where they disagree most", _disagreements(found, dataset)),
        ("scores", "Scores over one another", _curves(found)),
        ("words", "What the words mean", glossary(found.rows)),
    ]
    subtitle = (
        f"{len(learned)} methods and {len(found.methods) - len(learned)} floors without learning "
        f"on {len(found.labels)} test videos, {count:,} frames; every method is judged on the "
        "same frames."
    )
    foot = (
        "Intervals: 95 %, bootstrap over the test videos (2000 resamples, paired where methods are "
        "compared). With few videos they are too narrow."
    )
    shown = [part for part in parts if part[2]]
    return document(f"Comparison on {dataset.name}", subtitle, shown, foot)


def _table(rows: Sequence[Row]) -> str:
    """Rows are methods, columns protocols; the best of a column is bold."""
    methods = list(dict.fromkeys(str(r["method"]) for r in rows))
    protocols = list(dict.fromkeys(str(r["protocol"]) for r in rows))
    cells = {(str(r["method"]), str(r["protocol"])): r for r in rows}
    best = {p: max(value_of(r, "auc") or 0 for r in rows if r["protocol"] == p) for p in protocols}
    head = "".join(
        f'<th scope="col">{escape(p)}<small>{escape(PROTOCOLS.get(p, ""))}</small></th>'
        for p in protocols
    )
    body = []
    for name in methods:
        floor = any(r.get("floor") for r in rows if r["method"] == name)
        tag = ' <span class="tag">floor</span>' if floor else ""
        said = f"<small>{escape(method_in_words(name, '', True))}</small>" if floor else ""
        line = "".join(_cell(cells.get((name, p)), best[p]) for p in protocols)
        kind = "floor" if floor else "model"
        body.append(f'<tr class="{kind}"><th scope="row">{escape(name)}{tag}{said}</th>{line}</tr>')
    return (
        '<p class="hint">AUC in %, with its 95 % interval over videos below; the largest of each '
        "column is bold.</p>"
        f'{scroll("AUC by method and protocol")}<table><thead><tr><th scope="col">method</th>{head}'
        "</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(row: Row | None, best: float) -> str:
    auc = None if row is None else value_of(row, "auc")
    if row is None or auc is None:
        return "<td>–</td>"
    low, high = value_of(row, "auc_low"), value_of(row, "auc_high")
    interval = "" if low is None or high is None else f"{percent(low)} – {percent(high)}"
    text = f"<b>{percent(auc)}</b>" if auc == best else percent(auc)
    return f"<td>{text}<small>{interval}</small></td>"


def _differences(rows: Sequence[Row]) -> str:
    """AUC against the first method, with the paired interval and what it says."""
    if not rows:
        return ""
    body = []
    for row in rows:
        low, high = value_of(row, "low"), value_of(row, "high")
        better = value_of(row, "better")
        known = low is not None and high is not None
        apart = known and (low > 0 or high < 0)  # type: ignore[operator]
        verdict = "differs" if apart else ("not told apart" if known else "too few videos")
        points = f"{100 * (value_of(row, 'difference') or 0):+.1f}"
        span = f"{100 * (low or 0):+.1f} … {100 * (high or 0):+.1f}" if known else "–"
        body.append(
            f'<tr><th scope="row">{escape(str(row["method"]))}</th>'
            f"<td>{escape(str(row['protocol']))}</td><td>{points}</td><td>{span}</td>"
            f"<td>{percent(better)}</td><td>{verdict}</td></tr>"
        )
    against = escape(str(rows[0]["against"]))
    titles = ("method", "protocol", "points of AUC", "95 %", "better in % of resamples", "")
    head = "".join(f'<th scope="col">{t}</th>' for t in titles)
    return (
        f'<p class="hint">Against {against}, on the same resampled videos: what makes a video hard '
        "for both cancels out.</p>"
        f"{scroll('Differences')}<table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _protocols(rows: Sequence[Row]) -> str:
    """Each protocol's text once, and how the checkpoint of each method was chosen."""
    texts: dict[str, list[str]] = {}
    chosen: dict[str, dict[str, list[str]]] = {}  # how -> method -> protocols
    for row in rows:
        select = str(row["select"])
        chosen.setdefault(select, {}).setdefault(str(row["method"]), []).append(
            str(row["protocol"])
        )
        text = str(row["protocol_text"]).replace(f"checkpoint and alpha: {select}; ", "")
        known = texts.setdefault(str(row["protocol"]), [])
        if text not in known:
            known.append(text)
    items = [(name, ". Or: ".join(known)) for name, known in texts.items()]
    for select, methods in chosen.items():
        # The paper's score of a run has weights that its causal score lacks.
        of = ", ".join(
            method if sum(method in m for m in chosen.values()) == 1
            else f"{method} ({', '.join(protocols)})"
            for method, protocols in methods.items()
        )  # fmt: skip
        items.append((f"checkpoint and alpha of {of}", select))
    return (
        "<ul>"
        + "".join(f"<li><b>{escape(name)}</b>: {escape(text)}</li>" for name, text in items)
        + "</ul>"
    )


# ---- pictures


def _disagreements(found: Comparison, dataset: Dataset) -> str:
    """The frames that two methods rank most differently, with the truth where there are masks."""
    masks = pixel_masks(dataset)
    opened = {v.name: v for v in dataset.test}
    moments = []
    for d in found.disagreements:
        if d.video not in opened:
            continue
        truth = masks[d.video][d.frame] if masks is not None and d.video in masks else None
        title = f"{d.video}, frame {d.frame}: {'abnormal' if d.abnormal else 'normal'}"
        moments.append(
            Moment(title, _caption(d), _frame(opened[d.video], d.frame), None,
                   truth if truth is not None and truth.any() else None)
        )  # fmt: skip
    if not moments:
        return ""
    hint = (
        '<p class="hint">Ranks: the share of all judged frames that a method scores below this '
        "one; high is right for an abnormal frame, low for a normal one.</p>"
    )
    return (
        f'{hint}<div class="grid">{sections.moments(ReportData(title="", moments=moments))}</div>'
    )


def _caption(d: Disagreement) -> str:
    (a, high), (b, low) = sorted((d.first, d.second), key=lambda p: -p[1])
    right = a if d.abnormal else b
    return (
        f"{a} ranks it above {100 * high:.0f} % of the frames, {b} above {100 * low:.0f} %; "
        f"{right} is nearer to the truth."
    )


def _frame(video: Video, index: int) -> Image:
    with video.open() as source:
        for frame in source:
            if frame.index == index:
                return frame.image
    raise IndexError(f"{video.path} has no frame {index}")


def _curves(found: Comparison) -> str:
    """One chart per video with the ranks of all methods; learned methods first."""
    learned = [m for m in found.methods if not m.floor]
    # The last floor, optical flow, is the one to clear.
    order = [*learned, *(m for m in reversed(found.methods) if m.floor)][:_DRAWN]
    lengths = {name: len(y) for name, y in found.labels.items()}
    shown = {m.name: ranks(found.judged[m.name].over(lengths)) for m in order}
    keys = "".join(
        f'<span class="item"><i class="key line s{i % 6}"></i>{escape(name)}</span>'
        for i, name in enumerate(shown)
    )
    legend = (
        f'<p class="legend">{keys}<span class="item"><i class="key truth"></i>abnormal by the truth'
        "</span></p>"
        f'<p class="hint">Scores as {escape(found.shown.name)} judges them, as ranks among all '
        "test frames (0 to 1): all that an AUC sees of them. Frames to the right.</p>"
    )
    drawn = [_video(v, y, shown, i) for i, (v, y) in enumerate(found.labels.items())]
    page = f'{legend}<div class="videos">{"".join(drawn[:_OPEN])}</div>'
    if drawn[_OPEN:]:
        page += (
            f'<details class="more"><summary>{len(drawn) - _OPEN} more videos</summary>'
            f'<div class="videos">{"".join(drawn[_OPEN:])}</div></details>'
        )
    return page


def _video(
    name: str,
    labels: NDArray[np.uint8],
    shown: Mapping[str, Mapping[str, NDArray[np.float64]]],
    place: int,
) -> str:
    x = np.arange(len(labels), dtype=np.float64)
    lines = [Line(m, x, s[name], f"s{i % 6}") for i, (m, s) in enumerate(shown.items())]
    drawn = chart(
        lines, span_axis(0, max(len(labels) - 1, 1)), span_axis(0, 1),
        label=f"Ranks over the frames of {name}", ident=f"v{place}",
        bands=[Band(a, b) for a, b in flag_spans(x, labels)],
    )  # fmt: skip
    share = f"{int(labels.sum())} of {len(labels)} frames abnormal"
    return (
        f'<article class="video"><h3>{escape(name)}</h3><p class="sum">{share}</p>{drawn}</article>'
    )
