"""Heat maps over pictures, outlines of the truth, and a readout strip below videos.

Pictures are (h, w, 3) BGR uint8; nothing here changes its input.

The colours are the upper part of OpenCV's inferno: its lightness rises evenly, also for
colour-blind eyes and in grey print. Its black lower end is left out, because over a picture it
reads as a shadow; low heat is transparent instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.types import Image, Map

INFERNO_FROM = 0.35
"""Part of inferno that is left out: up to here it is darker than most footage."""
TRUTH_BGR = (0, 190, 255)
"""Amber outlines, the colour of the abnormal spans in the plots."""
_LINEAR, _AREA = cv2.INTER_LINEAR, cv2.INTER_AREA
_ALARM_BGR = (60, 110, 255)
_STRIP_BGR = (24, 24, 24)
_TEXT_BGR = (240, 240, 240)
_DIM_BGR = (165, 165, 165)


def _colours() -> NDArray[np.float64]:
    """The heat colours from low to high, (256, 3) BGR."""
    index = np.linspace(INFERNO_FROM * 255, 255, 256).round().astype(np.uint8)
    return cv2.applyColorMap(index[:, None], cv2.COLORMAP_INFERNO)[:, 0].astype(np.float64)


def legend_colours(count: int = 9) -> list[str]:
    """The heat colours from low to high as `#rrggbb`, for a legend."""
    table = _colours()[np.linspace(0, 255, count).round().astype(int)].astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for b, g, r in table.tolist()]


@lru_cache(maxsize=8)
def _tables(alpha: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Colour times opacity, and one minus opacity: two (256, 1, 3) tables over quantised heat."""
    share = np.linspace(0.0, 1.0, 256)
    # Smoothstep keeps the everyday lower third nearly clear: .26 of full opacity at one third.
    opacity = (alpha * share * share * (3 - 2 * share))[:, None]
    colour = (_colours() * opacity).round().astype(np.uint8)
    keep = np.repeat((255 * (1 - opacity)).round(), 3, axis=1).astype(np.uint8)
    return colour[:, None, :], keep[:, None, :]


def overlay(image_bgr: Image, heat: Map, *, low: float, high: float, alpha: float = 0.85) -> Image:
    """The picture with the heat laid over it: `low` and below unseen, `high` and above brightest.

    The heat may have any size. Places without heat keep their exact pixels. 1.1 ms
    at 640x360 for a 64x64 map, 1.9 for a full-size one (one busy core of a server).
    """
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        raise ValueError(f"overlay needs finite low < high, found low {low}, high {high}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is a share between 0 and 1, found {alpha}")
    h, w = image_bgr.shape[:2]
    scaled = (np.asarray(heat, np.float32) - low) * (255.0 / (high - low))
    scaled = np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    index = np.clip(scaled, 0, 255).astype(np.uint8)
    if index.shape != (h, w):
        # Quantised before the resize: on the full picture that alone takes 0.8 ms.
        index = np.asarray(cv2.resize(index, (w, h)), np.uint8)
    colour, keep = _tables(float(alpha))
    kept = cv2.multiply(image_bgr, cv2.applyColorMap(index, keep), scale=1 / 255)
    return np.asarray(cv2.add(kept, cv2.applyColorMap(index, colour)), np.uint8)


def heat_range(heats: Iterable[Map]) -> tuple[float, float]:
    """A (low, high) for showing several heat maps on one scale: pooled 75 and 99.8 percentiles.

    One scale for all keeps pictures comparable; a scale per picture would light up every one.
    Low is never below 0, where the score of normal footage lies, unless all of the heat is.
    """
    values = [np.asarray(heat, np.float64).ravel() for heat in heats]
    pooled = np.concatenate(values) if values else np.zeros(0)
    pooled = pooled[np.isfinite(pooled)]
    if pooled.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(pooled, [75, 99.8]))
    if high > 0:
        low = max(low, 0.0) if low < high else 0.0
    return (low, high) if high > low else (low, low + 1.0)


def draw_truth(image_bgr: Image, mask: NDArray[np.bool_]) -> Image:
    """The picture with the border of the true anomaly drawn, amber on black to show anywhere."""
    out = image_bgr.copy()
    h, w = out.shape[:2]
    flags = np.ascontiguousarray(mask).astype(np.uint8)
    if flags.shape != (h, w):
        # Enlarged smoothly, or the outline gets stairs; shrunk so that no small spot is lost.
        larger = h * w > flags.size
        soft = cv2.resize(flags * 255, (w, h), interpolation=_LINEAR if larger else _AREA)
        flags = (np.asarray(soft) >= (128 if larger else 1)).astype(np.uint8)
    contours, _ = cv2.findContours(flags, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    width = max(2, round(min(h, w) / 180))
    cv2.drawContours(out, contours, -1, (0, 0, 0), width + 2, cv2.LINE_AA)
    cv2.drawContours(out, contours, -1, TRUTH_BGR, width, cv2.LINE_AA)
    return out


def strip_rows(height: int) -> int:
    """Rows of the readout below a picture of that height."""
    return max(18, round(height * 0.075))


def with_status(
    image_bgr: Image,
    score: float,
    level: float,
    alarm: bool,
    time_s: float,
    *,
    history: Sequence[float] | NDArray[np.floating] = (),
    threshold: float | None = None,
) -> Image:
    """The picture with a dark readout strip below it: `strip_rows` rows more.

    `history` holds the newest scores, oldest first, NaN where there is none; the strip draws them
    as a sparkline with the threshold as a line (by default worked out from score and level).
    """
    h, w = image_bgr.shape[:2]
    strip = strip_rows(h)
    out = np.full((h + strip, w, 3), _STRIP_BGR, np.uint8)
    out[:h] = image_bgr
    foot = out[h:]
    if alarm:
        foot[:2] = _ALARM_BGR
    if threshold is None and math.isfinite(level) and level != 0:
        threshold = score / level
    used = _draw_text(foot, score, level, alarm, time_s)
    room = w - used - strip
    if room >= 40 and len(history) > 1:
        left = max(w - room, w - round(0.45 * w))
        _draw_sparkline(foot[:, left : w - strip // 4], np.asarray(history, float), threshold)
    return out


def clock(time_s: float) -> str:
    """Seconds as m:ss.t, the form in which players show time."""
    if not math.isfinite(time_s):
        return "-:--"
    tenths = round(time_s * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _draw_text(foot: Image, score: float, level: float, alarm: bool, time_s: float) -> int:
    """Write what fits, most important first; give the pixels used."""
    strip, w = foot.shape[:2]
    scale = strip / 52
    items = [(clock(time_s), _DIM_BGR), (f"score {score:.2f}", _TEXT_BGR)]
    if not math.isfinite(score):
        items[1] = ("no score yet", _DIM_BGR)
    if math.isfinite(level):
        items.append((f"level {level:.2f}", _ALARM_BGR if alarm else _TEXT_BGR))
    if alarm:
        items.append(("ALARM", _ALARM_BGR))
    x = strip // 3
    for text, colour in items:
        (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        if x + wide > w:
            break
        at = (x, (strip + tall) // 2)
        cv2.putText(foot, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
        x += wide + strip // 2
    return int(x)


def _draw_sparkline(box: Image, values: NDArray[np.float64], threshold: float | None) -> None:
    """Draw values left to right into the box, in place; the newest stands at the right."""
    tall, wide = box.shape[:2]
    values = values[-wide:]
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return
    marks = [0.0, float(finite.min()), float(finite.max()), *([threshold] if threshold else [])]
    low, high = min(marks), max(marks)
    unit = (values - low) / ((high - low) or 1.0)
    y = (tall - 4 - np.nan_to_num(unit) * (tall - 8)).round().astype(np.int32)
    x = (wide - 1 - np.arange(len(values))[::-1] * (wide - 1) / max(len(values) - 1, 1)).astype(
        np.int32
    )
    if threshold is not None and math.isfinite(threshold):
        line = int(tall - 4 - (threshold - low) / ((high - low) or 1.0) * (tall - 8))
        cv2.line(box, (0, line), (wide - 1, line), _ALARM_BGR, 1)
    good = np.isfinite(values)
    # Runs of finite values become separate lines, so that a pause is not bridged.
    for run in np.split(np.arange(len(values)), np.flatnonzero(np.diff(good)) + 1):
        if good[run[0]]:
            points = np.stack([x[run], y[run]], axis=1)[:, None]
            cv2.polylines(box, [points], False, _TEXT_BGR, 1, cv2.LINE_AA)
