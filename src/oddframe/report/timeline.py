"""Score over time: one chart per test video, all on one scale where the scores allow it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from oddframe.events.rules import Rules
from oddframe.events.tracker import events_of
from oddframe.report.content import Moment, VideoTimeline
from oddframe.report.plot import Axis, Band, Line, Mark, chart, clock, flag_spans, span_axis

_OPEN = 12
"""Charts shown at once; the rest of a large test set is folded away."""
_TOLD = 4
"""Alarms of a video that are named."""
_SHARED_UP_TO = 6.0
"""A peak above this many typical video peaks would flatten every other chart on a shared scale."""


def _finite(values: np.ndarray) -> np.ndarray:
    v = np.asarray(values, np.float64)
    return v[np.isfinite(v)]


def _limit(video: VideoTimeline) -> float | None:
    """The threshold where it is a usable number."""
    t = video.threshold
    return t if t is not None and math.isfinite(t) else None


def _extent(video: VideoTimeline) -> tuple[float, float]:
    """Lowest and highest value to show: scores, zero and the threshold."""
    marks = [0.0, *([limit] if (limit := _limit(video)) is not None else [])]
    v = np.concatenate([_finite(video.score), marks])
    return float(v.min()), float(v.max())


def shared_axis(videos: Sequence[VideoTimeline]) -> Axis | None:
    """One score axis for all videos, None where one peak would flatten the others."""
    lows, highs = zip(*(_extent(v) for v in videos), strict=True)
    if max(highs) > _SHARED_UP_TO * max(float(np.median(highs)), 1e-12):
        return None
    return span_axis(min(lows), max(highs), pad=0.06)


def shares(video: VideoTimeline) -> tuple[float | None, float | None]:
    """Share of abnormal and of normal scored frames with an alarm, None where undefined."""
    limit = _limit(video)
    if limit is None or video.labels is None:
        return None, None
    score = np.asarray(video.score, np.float64)
    scored = np.isfinite(score)
    truth = np.asarray(video.labels).astype(bool)
    alarm = np.where(scored, score, -np.inf) >= limit
    hit, false = scored & truth, scored & ~truth
    return (
        float(alarm[hit].mean()) if hit.any() else None,
        float(alarm[false].mean()) if false.any() else None,
    )


def share_text(share: float) -> str:
    """Per cent, never rounded to a "0" or "100" that is not exact: rare alarms are the point."""
    v = 100 * share
    if 0 < v < 10:
        return f"{v:.2g}" if v >= 0.01 else "<0.01"
    return ">99" if 99.5 <= v < 100 else f"{v:.0f}"


def _summary(video: VideoTimeline) -> str:
    """What the chart shows, in one line of words."""
    caught, false = shares(video)
    parts = []
    if video.labels is None:
        parts.append("no truth given")
    if caught is not None:
        parts.append(f"alarm in {share_text(caught)}\u202f% of abnormal frames")
    if false is not None:
        parts.append(f"in {share_text(false)}\u202f% of normal frames")
    elif caught is not None:
        parts.append("no normal frames")
    if caught is None and false is not None:
        parts.append("no abnormal frames")
    if not parts and _limit(video) is None:
        parts.append("no threshold: not calibrated")
    return escape("; ".join([", ".join(parts), *_alarms(video)]))


def _alarms(video: VideoTimeline) -> list[str]:
    """The alarms as somebody would have been told them: what is less than 10 s apart is one."""
    limit = _limit(video)
    if limit is None or limit <= 0:
        return []
    found = events_of(video.score, video.time_s, limit, Rules())
    told = [f"{clock(a)} to {clock(b)} (level {peak / limit:.2f})" for a, b, peak in found[:_TOLD]]
    more = [f"{len(found) - _TOLD} more"] if len(found) > _TOLD else []
    count = f"{len(found)} alarm{'s' * (len(found) != 1)}" if found else "no alarm"
    return [f"{count}: {', '.join(told + more)}" if found else count]


def _time_axis(video: VideoTimeline) -> Axis:
    t = _finite(video.time_s)
    return span_axis(*((float(t.min()), float(t.max())) if t.size else (0.0, 1.0)), time=True)


def _terms(video: VideoTimeline, x_axis: Axis, bands: Sequence[Band], ident: str) -> str:
    """The raw terms as small charts, folded away; each has units, hence a scale, of its own."""
    if not video.terms:
        return ""
    charts = []
    for i, (name, values) in enumerate(video.terms.items()):
        v = _finite(values)
        low, high = (min(0.0, float(v.min())), float(v.max())) if v.size else (0.0, 1.0)
        line = Line(name, video.time_s, np.asarray(values, np.float64))
        drawn = chart(
            [line],
            x_axis,
            span_axis(low, high, pad=0.06),
            label=f"{name} over time in {video.name}",
            ident=f"{ident}-t{i}",
            css="small",
            bands=bands,
            columns=300,
        )
        charts.append(f"<p>{escape(name)}</p>{drawn}")
    return f"<details><summary>raw terms</summary>{''.join(charts)}</details>"


def _paper(video: VideoTimeline, x_axis: Axis, bands: Sequence[Band], ident: str, name: str) -> str:
    """The curve of the model's paper below the causal one."""
    if video.paper is None:
        return ""
    values = np.asarray(video.paper, np.float64)
    v = _finite(values)
    low, high = (min(0.0, float(v.min())), max(1.0, float(v.max()))) if v.size else (0.0, 1.0)
    drawn = chart(
        [Line(name, video.time_s, values, "paper")],
        x_axis,
        span_axis(low, high, pad=0.06),
        label=f"{name} by the model's paper, over time in {video.name}",
        ident=f"{ident}-p",
        css="low",
        bands=bands,
    )
    return f'<p class="sub">{escape(name)} of the paper</p>{drawn}'


def _bands(video: VideoTimeline) -> list[Band]:
    """Abnormal stretches, and the stretch before the first score."""
    bands = []
    if video.labels is not None:
        bands += [Band(a, b) for a, b in flag_spans(video.time_s, video.labels)]
    scored = np.flatnonzero(np.isfinite(video.score))
    if len(video.time_s) and (not scored.size or scored[0] > 0):
        until = scored[0] if scored.size else -1
        bands.append(Band(float(video.time_s[0]), float(video.time_s[until]), "unscored"))
    return bands


def _video(
    video: VideoTimeline, y_axis: Axis | None, marks: Sequence[Mark], ident: str, name: str
) -> str:
    x_axis = _time_axis(video)
    bands = _bands(video)
    if y_axis is None:
        y_axis = span_axis(*_extent(video), pad=0.06)
    drawn = chart(
        [Line("score", video.time_s, np.asarray(video.score, np.float64), "score")],
        x_axis,
        y_axis,
        label=f"Score over time in {video.name}",
        ident=ident,
        bands=bands,
        marks=marks,
        threshold=_limit(video),
    )
    if _finite(video.score).size == 0:
        drawn += '<p class="empty">No frame of this video has a score.</p>'
    below = _paper(video, x_axis, bands, ident, name) + _terms(video, x_axis, bands, ident)
    return (
        f'<article class="video"><h3>{escape(video.name)}</h3><p class="sum">{_summary(video)}</p>'
        f"{drawn}{below}</article>"
    )


def _marks(video: VideoTimeline, moments: Sequence[Moment]) -> list[Mark]:
    return [
        Mark(m.time_s, str(i), f"#moment-{i}", f"{m.title}, {clock(m.time_s)}")
        for i, m in enumerate(moments, 1)
        if m.video == video.name and m.video and m.time_s is not None and math.isfinite(m.time_s)
    ]


def timelines(
    videos: Sequence[VideoTimeline], moments: Sequence[Moment], name: str = "the paper's curve"
) -> str:
    """The section's inside: legend and one chart per video, two where a paper's curve is known.

    name: what `VideoTimeline.paper` is, in words.
    """
    y_axis = shared_axis(videos)
    scale = (
        "All videos share one score scale."
        if y_axis is not None
        else "Each video has its own score scale: one peak would flatten the others."
    )
    numbered = " Numbers lead to the moments above." if moments else ""
    key, hint = "", ""
    if any(v.paper is not None for v in videos):
        key = f'<span class="item"><i class="key paper"></i>{escape(name)} of the paper</span>'
        hint = (
            f" Below each score the {escape(name)} that the model's paper plots, rescaled by the "
            "video's own extremes: it looks ahead, the score does not."
        )
    legend = (
        '<p class="legend"><span class="item"><i class="key score"></i>score</span>'
        '<span class="item"><i class="key over"></i>score above the threshold</span>'
        '<span class="item"><i class="key limit"></i>threshold (level 1)</span>'
        '<span class="item"><i class="key truth"></i>abnormal by the truth</span>'
        f'<span class="item"><i class="key unscored"></i>no score yet</span>{key}</p>'
        f'<p class="hint">{scale}{numbered}{hint}</p>'
    )
    drawn = [_video(v, y_axis, _marks(v, moments), f"v{i}", name) for i, v in enumerate(videos)]
    shown, folded = drawn[:_OPEN], drawn[_OPEN:]
    page = f'{legend}<div class="videos">{"".join(shown)}</div>'
    if folded:
        page += (
            f'<details class="more"><summary>{len(folded)} more videos</summary>'
            f'<div class="videos">{"".join(folded)}</div></details>'
        )
    return page
