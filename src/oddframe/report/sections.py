"""The parts of the page that are no plots of scores: summary, moments, training, notes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

import cv2
import numpy as np

from oddframe.report import heat as heat_maps
from oddframe.report.content import Curve, Moment, ReportData
from oddframe.report.plot import Line, chart, log_axis, number, span_axis
from oddframe.report.table import Row, best_floor, headline, percent, value_of
from oddframe.report.words import PROTOCOLS
from oddframe.types import Image

_KINDS = {"hit": "caught", "false-alarm": "false alarm", "miss": "missed"}
_WIDEST = 640
"""Pixels: wider pictures only make the file heavy, a third of the page is narrower than that."""
_NARROWEST = 400
"""Pixels: narrower pictures are doubled before anything is drawn on them, for finer outlines."""
_SLIGHT = 1.0
"""AUC points: about what another seed moves, so a smaller lead is not called one."""
_SMOOTH_FROM = 150
"""Points from which a curve gets a running mean beside its raw values."""


# ---- summary strip ---------------------------------------------------------------------------


def tile(label: str, value: str, unit: str, note: str, css: str = "") -> str:
    """A headline number with what it is above and a remark below."""
    return (
        f'<div class="tile {css}"><p class="label">{escape(label)}</p>'
        f'<p class="value">{escape(value)}<small>{escape(unit)}</small></p>'
        f'<p class="note">{escape(note)}</p></div>'
    )


def _auc_tiles(data: ReportData) -> list[str]:
    row = headline(data)
    if row is None:
        return []
    auc, protocol = value_of(row, "auc") or 0.0, str(row.get("protocol", "no protocol"))
    floor = best_floor(data, row.get("protocol"))
    # The whole text stands above the rows; where there is none, nothing can be compared.
    text = PROTOCOLS.get(protocol, "as the text below the results says")
    text = text if row.get("protocol_text") else "protocol text missing: do not compare it"
    label = f"AUC under {protocol}"
    if floor is None:
        return [tile(label, percent(auc), "\u202f%", f"{text}. No floor beside it.")]
    bar = value_of(floor, "auc") or 0.0
    gap = 100 * (auc - bar)
    name = str(floor.get("method"))
    side = f"{abs(gap):.1f} points {'above' if gap > 0 else 'below'} it"
    return [
        tile(label, percent(auc), "\u202f%", text, "good" if gap > 0 else "weak"),
        tile(
            "Best that learns nothing",
            percent(bar),
            "\u202f%",
            f"the floor {name}; the model is {side}",
        ),
    ]


def tiles(data: ReportData) -> str:
    """The strip of headline numbers; what is not known is left out."""
    shown = _auc_tiles(data)
    if data.localisation is not None and np.isfinite(data.localisation):
        note = "of flagged abnormal frames have their highest heat inside the anomaly"
        shown.append(tile("Localisation", percent(data.localisation), "\u202f%", note))
    if data.frames_per_s is not None and np.isfinite(data.frames_per_s):
        note = data.speed_note or "frames scored per second"
        shown.append(tile("Speed", f"{data.frames_per_s:.3g}", " frames/s", note))
    return (
        f'<section class="tiles" aria-label="Summary">{"".join(shown)}</section>' if shown else ""
    )


# ---- moments ---------------------------------------------------------------------------------


def _picture(image: Image, alt: str, caption: str, css: str) -> str:
    """One picture as a data URI with its caption."""
    h, w = image.shape[:2]
    if w > _WIDEST:
        size = (_WIDEST, max(1, round(h * _WIDEST / w)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        h, w = image.shape[:2]
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 86])
    if not ok:
        raise ValueError(f"the picture {alt!r} of shape {image.shape} cannot be encoded as JPEG")
    text = base64.b64encode(data.tobytes()).decode("ascii")
    return (
        f'<figure class="{css}"><img src="data:image/jpeg;base64,{text}" width="{w}" height="{h}" '
        f'alt="{escape(alt)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _moment(index: int, moment: Moment, low: float, high: float) -> str:
    image = moment.image_bgr
    if image.shape[1] < _NARROWEST:
        doubled = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        image = np.asarray(doubled, np.uint8)
    # Of five pictures of "Found" each is another one to those who only hear of them.
    named = f"{index}. {moment.title}, {moment.caption}"
    pictures = [_picture(image, f"{named}: the frame", "frame", "frame")]
    if moment.heat is not None:
        hot = heat_maps.overlay(image, moment.heat, low=low, high=high)
        pictures.append(
            _picture(hot, f"{named}: where it is odd", "what the model finds odd", "heat")
        )
    if moment.truth is not None:
        truth = heat_maps.draw_truth(image, moment.truth)
        words = "truth" if np.any(moment.truth) else "truth: nothing abnormal here"
        pictures.append(_picture(truth, f"{named}: {words}", words, "outline"))
    kind = _KINDS.get(moment.kind, "")
    tag = f'<span class="kind {escape(moment.kind)}">{kind}</span>' if kind else ""
    return (
        f'<article class="moment" id="moment-{index}"><h3><span class="flag">{index}</span>'
        f"{escape(moment.title)}{tag}</h3><p>{escape(moment.caption)}</p>"
        f'<div class="pictures n{len(pictures)}">{"".join(pictures)}</div></article>'
    )


def moments(data: ReportData) -> str:
    """The pictures, all on one heat scale, with its legend."""
    heats = [m.heat for m in data.moments if m.heat is not None]
    low, high = data.heat_range or heat_maps.heat_range(heats)
    legend = ""
    if heats:
        stops = ", ".join(heat_maps.legend_colours())
        legend = (
            f'<p class="legend"><span class="item">heat {escape(f"{low:.3g}")}<i class="ramp" '
            f'style="background:linear-gradient(90deg, {stops})"></i>{escape(f"{high:.3g}")} '
            "and above</span> in units of the score; one scale for all pictures, low heat is "
            "transparent</p>"
        )
    return legend + "".join(_moment(i, m, low, high) for i, m in enumerate(data.moments, 1))


# ---- training --------------------------------------------------------------------------------


def facts(values: Mapping[str, object]) -> str:
    """Names and values in a grid."""
    cells = "".join(
        f"<div><dt>{escape(str(k))}</dt><dd>{escape(_fact(v))}</dd></div>"
        for k, v in values.items()
    )
    return f'<dl class="facts">{cells}</dl>'


def _fact(value: object) -> str:
    plain = isinstance(value, bool) or not hasattr(value, "__float__")
    return str(value) if plain else number(value)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over a fortieth of the curve, NaN ignored; shorter windows at the ends."""
    width = max(len(values) // 40, 3) | 1
    good = np.isfinite(values)
    kernel = np.ones(width)
    total = np.convolve(np.where(good, values, 0.0), kernel, mode="same")
    count = np.convolve(good.astype(float), kernel, mode="same")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(good, total / count, np.nan))


def _lines(curves: Sequence[Curve]) -> list[Line]:
    lines = []
    for i, curve in enumerate(curves):
        y = np.asarray(curve.y, np.float64)
        if len(y) >= _SMOOTH_FROM:
            lines.append(Line(curve.name, curve.x, y, f"raw s{i % 6}", hover=False))
            y = _smooth(y)
        lines.append(Line(curve.name, curve.x, y, f"s{i % 6}"))
    return lines


def loss_chart(curves: Sequence[Curve]) -> str:
    """All columns of the training log in one chart, log y where any value is positive."""
    everything = np.concatenate([np.asarray(c.y, np.float64) for c in curves])
    steps = np.concatenate([np.asarray(c.x, np.float64) for c in curves])
    finite, steps = everything[np.isfinite(everything)], steps[np.isfinite(steps)]
    if not finite.size or not steps.size:
        return '<p class="empty">The training log holds no values.</p>'
    y_axis = log_axis(finite)
    hint = "Log scale."
    if y_axis is None:
        y_axis, hint = span_axis(float(finite.min()), float(finite.max()), pad=0.06), ""
    elif (finite <= 0).any():
        hint = "Log scale: values of zero and below cannot be shown on it."
    if any(len(c.y) >= _SMOOTH_FROM for c in curves):
        hint += " Pale: every logged value; bold: running mean over a fortieth of the run."
    x_axis = span_axis(float(steps.min()), float(steps.max()))
    keys = "".join(
        f'<span class="item"><i class="key line s{i % 6}"></i>{escape(c.name)}</span>'
        for i, c in enumerate(curves)
    )
    drawn = chart(_lines(curves), x_axis, y_axis, label="Training log", ident="loss", css="tall")
    return (
        f'<p class="legend">{keys}</p>{drawn}<p class="axis">{escape(curves[0].x_label)}</p>'
        f'<p class="hint">{hint}</p>'
    )


# ---- notes -----------------------------------------------------------------------------------


def own_notes(data: ReportData) -> list[str]:
    """Weaknesses that the data itself shows, whatever the caller wrote."""
    notes = []
    row = headline(data)
    if row is not None:
        floor = best_floor(data, row.get("protocol"))
        if floor is None:
            notes.append("No floor stands beside the headline AUC: it cannot be judged alone.")
        else:
            notes += _against_floor(row, floor)
    labelled = [np.asarray(v.labels).astype(bool) for v in data.timelines if v.labels is not None]
    single = sum(bool(lab.size) and (lab.all() or not lab.any()) for lab in labelled)
    if single:
        notes.append(
            f"{single} of {len(labelled)} test videos hold normal or abnormal frames only: they "
            "have no AUC of their own, and a mean over videos leaves them out."
        )
    if data.timelines and all(v.threshold is None for v in data.timelines):
        notes.append("The run is not calibrated: there is no threshold, so no alarm can be judged.")
    return notes


def _against_floor(row: Row, floor: Row) -> list[str]:
    gap = 100 * ((value_of(row, "auc") or 0.0) - (value_of(floor, "auc") or 0.0))
    name, protocol = floor.get("method"), row.get("protocol")
    if gap <= 0:
        return [
            f"Under {protocol} the model does not clear the floor {name}: "
            "as it stands it adds nothing over plain arithmetic."
        ]
    if gap < _SLIGHT:
        return [f"The lead over the floor {name} is {gap:.1f} points: another seed may turn it."]
    return []


def notes(data: ReportData) -> str:
    """The caller's notes and the data's own, as a list."""
    items = [*data.notes, *own_notes(data)]
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in items) + "</ul>" if items else ""
