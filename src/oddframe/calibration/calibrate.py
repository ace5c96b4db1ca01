"""From normal footage to an alarm threshold with a stated rate of false alarms.

    scores -> separate peaks -> tail of the largest -> score that is passed N times a day

The peaks are those of `calibration.peaks`, their tail's law that of `calibration.tail`. The
interval of the threshold (`low`, `high`) is a bootstrap over the peaks: narrow, because
neighbouring peaks are alike. How many alarms may be counted on other days is another question;
`calibration.promise` answers it, and `count_low` to `count_high` are its.

Where the footage shows several lights (`calibration.light`) for half an hour or more each, each has
a threshold of its own, so that each raises the wanted alarms in 24 hours *of that light*:
together they raise as many a day as wanted, whatever the share of each. Nothing goes by the clock.

What it cannot know: other weather, other days. Footage of under 8 hours gives a provisional
threshold, and half a minute is off by a factor of ten in alarms.

Letters: n frames of a clip, or separate peaks.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.calibration.light import modes_of
from oddframe.calibration.peaks import (
    GAP_S,
    Floats,
    Footage,
    seen_s,
    separate_peaks,
    stays_above,
)
from oddframe.calibration.promise import counts_text, per_day, promised
from oddframe.calibration.tail import TAIL, fit_tail, level_of
from oddframe.errors import ConfigError

__all__ = [
    "GAP_S",
    "LOWEST",
    "PROVISIONAL_H",
    "calibrate",
    "describe",
    "fit_tail",
    "seen_s",
    "separate_peaks",
    "threshold_of",
]

FEWEST_PEAKS = 10
"""With fewer, nothing is fitted: the threshold is the largest normal score and a margin."""
MARGIN = 1.05
PROVISIONAL_H = 8.0
"""Hours of footage below which a threshold is called provisional."""
LOWEST = 0.5
"""No threshold is below this: scores lie about 0 on normal footage, in standard deviations."""
RESAMPLES = 400
CONFIDENCE = 0.9
MODE_H = 0.5
"""Hours of one light from which it has a threshold of its own, where there is another such one."""
KEPT = 200
"""Largest peaks that are kept, at least: what goes on from a calibration needs them."""
MOST_KEPT = 2000


def calibrate(
    scores: Sequence[NDArray[np.floating]],
    clock: float | Sequence[float] | Sequence[Floats],
    alarms_per_day: float,
    *,
    gap_s: float = GAP_S,
    seed: int = 0,
    modes: Sequence[NDArray[Any]] | None = None,
    days: Sequence[Hashable] | None = None,
) -> dict[str, Any]:
    """Find the score that held-out normal footage passes `alarms_per_day` times a day.

    Args:
        scores: one (n,) array per clip, in order of time; NaN where there is no score.
        clock: when its frames were shown: per clip the seconds (n,), growing; or frames per
            second, of all clips or one number per clip.
        alarms_per_day: separate false alarms to accept in 24 hours.
        gap_s: see `GAP_S`.
        seed: of the bootstrap; the same seed gives the same interval.
        modes: per clip which light each frame was in (n,), any names or numbers.
        days: per clip the day that it is of, any names; without, each 24 hours are a day.

    Returns:
        Plain values for model.json: `threshold`, `alarms_per_day`, `low` and `high` (interval of
        the threshold at `confidence`; high is None where it is unknown), `hours` of scored
        footage, `days` that it is of, `peaks` (separate ones), `above` (of them, alarms: at or
        above the threshold), `method` ("tail"; "count": so many alarms are wanted that they are
        counted off; "maximum": too little footage to fit anything), `shape` and `scale` of the
        tail (None without one), `gap_s`, `provisional`, `text` (all of it in words);
        `count_low`, `count_high` (alarms a day that may be counted over the next week, nine times
        of ten) and `promise` (what they rest on; `promise.expected_counts` reads it), `evidence`
        (what `calibration.running` goes on from), all None of the method "maximum".
        Where `modes` hold several lights of half an hour or more, under this name also per light
        the same values and its `share` of the time; `count_low` and `count_high` are then of these
        thresholds, all else of one for all light.

    Raises:
        ConfigError: a rate, fps or gap that is not above 0, or no scored frame at all; modes or
            days that do not fit the clips.
    """
    clips = [np.asarray(clip, np.float64) for clip in scores]
    _check(clips, alarms_per_day, gap_s)
    _check_beside(clips, modes, days)
    times = _times(clips, clock)
    out = _calibrated(clips, times, alarms_per_day, gap_s, seed, days)
    if modes is not None:
        found = dict[str, dict[str, Any]]()
        for name in sorted({str(m) for light in modes for m in np.unique(light)}):
            own = [
                np.where(np.asarray(light).astype(str) == name, c, np.nan)
                for light, c in zip(modes, clips, strict=True)
            ]
            hours = sum(seen_s(c, t) for c, t in zip(own, times, strict=True)) / 3600
            if hours >= MODE_H:
                found[name] = _calibrated(own, times, alarms_per_day, gap_s, seed, days)
        in_all = sum(mode["hours"] for mode in found.values())
        out["modes"] = {n: {"share": m["hours"] / in_all, **m} for n, m in found.items()}
    return finished(out)


def finished(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """A calibration with what follows from the rest of it: what may be counted, and its text.

    One light alone is left out (`light.modes_of`): its threshold is in force nowhere.
    """
    low, high = per_day(calibration)
    out = {**calibration, "count_low": low, "count_high": high}
    if not modes_of(out):
        out.pop("modes", None)
    return {**out, "text": describe(out)}


def in_force(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """A calibration as it was kept; where it states what one light alone promised, as once they
    did, with what holds instead."""
    stale = calibration.get("modes") and not modes_of(calibration)
    return finished(calibration) if stale else dict(calibration)


def threshold_of(calibration: Mapping[str, Any], mode: object = None) -> float:
    """The threshold for a light; level = score / threshold.

    The one for all where the light is None or there is no other (`light.modes_of`); for a light
    that it has not seen the largest that there is: rather late than wrong.
    """
    known = modes_of(calibration)
    if mode is None or not known:
        return float(calibration["threshold"])
    if str(mode) in known:
        return float(known[str(mode)]["threshold"])
    return float(max(calibration["threshold"], *(m["threshold"] for m in known.values())))


def kept(wanted: float) -> int:
    """How many of the largest peaks are kept where so many are wanted above the threshold."""
    return int(min(MOST_KEPT, max(KEPT, 2 * wanted)))


def _calibrated(
    clips: Sequence[Floats],
    times: Sequence[Floats],
    wanted_per_day: float,
    gap_s: float,
    seed: int,
    days: Sequence[Hashable] | None,
) -> dict[str, Any]:
    """The values of all clips, or of one light in them, without those of `finished`."""
    hours = sum(seen_s(c, t) for c, t in zip(clips, times, strict=True)) / 3600
    footage = Footage.of(clips, times, gap_s, days)
    peaks = footage.peaks
    if not peaks.size:
        raise ConfigError(
            "Nothing to calibrate on: no frame of the footage has a score. Give normal videos "
            "longer than the model's history."
        )
    wanted = wanted_per_day * hours / 24
    low: float
    high: float | None
    shape = scale = promise = evidence = None
    if peaks.size < FEWEST_PEAKS:
        method, threshold = "maximum", float(peaks[0]) * MARGIN
        low, high = float(peaks[0]), None
    else:
        threshold, method, shape, scale = level_of(peaks, wanted)
        low, high = _interval(peaks, wanted, seed)
    threshold, low = max(threshold, LOWEST), max(low, LOWEST)
    if method != "maximum":
        deep = min(float(peaks[min(TAIL, peaks.size - 1)]), threshold)
        alarms = sum(stays_above(c, t, deep, gap_s) for c, t in zip(clips, times, strict=True))
        merged = min(1.0, alarms / max(1, int(np.count_nonzero(peaks > deep))))
        promise = promised(footage, wanted_per_day, threshold, merged, seed)
        evidence = footage.largest(kept(wanted)).plain()
    return {
        "threshold": threshold,
        "alarms_per_day": float(wanted_per_day),
        "low": min(low, threshold),
        "high": None if high is None else max(high, threshold),
        "confidence": CONFIDENCE,
        "hours": hours,
        "days": footage.days,
        "peaks": int(peaks.size),
        "above": int(np.count_nonzero(peaks >= threshold)),
        "method": method,
        "shape": shape,
        "scale": scale,
        "gap_s": float(gap_s),
        "provisional": bool(hours < PROVISIONAL_H or method == "maximum"),
        "promise": promise,
        "evidence": evidence,
    }


def _interval(peaks: Floats, wanted: float, seed: int) -> tuple[float, float]:
    """Ends of the middle 90 % of the thresholds that resampled peaks give."""
    rng, n = np.random.default_rng(seed), peaks.size
    deep = max(TAIL, math.ceil(wanted)) + 1  # of each draw, what a level is made of
    draws = (np.sort(rng.integers(0, n, n))[:deep] for _ in range(RESAMPLES))
    levels = [level_of(peaks[drawn], wanted)[0] for drawn in draws]
    low, high = np.quantile(levels, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def describe(calibration: Mapping[str, Any]) -> str:
    """A calibration in words: what it rests on and how far to trust it."""
    c = calibration
    peaks = f"{c['peaks']} separate peak{'' if c['peaks'] == 1 else 's'}"
    footage = f"{_span(c['hours'])} of normal footage with {peaks}"
    text = f"threshold {c['threshold']:.3g}"
    if c["threshold"] <= LOWEST:
        text += ", the lowest allowed (normal scores lie about 0)"
    rate = f"{c['alarms_per_day']:g} false alarm{'s' * (c['alarms_per_day'] != 1)} a day"
    if c.get("by_hand"):
        text += f", set by hand; there are {footage}"
    elif c["method"] == "maximum":
        return (
            f"{text}: at least {100 * (MARGIN - 1):.0f} % above the largest score of {footage}, "
            f"too little to say how often it will be passed, let alone {rate}; provisional. Give "
            "some hours."
        )
    else:
        text += f" (90 % interval {c['low']:.3g} to {c['high']:.3g}) for {rate}, from {footage}"
        wanted = c["alarms_per_day"] * c["hours"] / 24
        if wanted < 1:
            text += f"; {_beyond(c.get('above'))}, in which {wanted:.2g} alarms are expected"
    if c["provisional"]:
        text += f"; provisional, because it is less than {PROVISIONAL_H:g} hours"
    if modes := modes_of(c):
        said = {n: "by hand" if m.get("by_hand") else _span(m["hours"]) for n, m in modes.items()}
        lights = (f"{m['threshold']:.3g} in {n} ({said[n]})" for n, m in modes.items())
        other = threshold_of(c, object())
        text += f"; by light: {', '.join(lights)}, and {other:.3g} in any that was not seen"
    counts = counts_text(c)
    return f"{text}. {counts[:1].upper()}{counts[1:]}." if counts else text + "."


def _beyond(above: int | None) -> str:
    """Where a threshold lies of which less than one alarm is expected in the footage."""
    if not above:
        return "reaches beyond the footage"
    return f"{above} peak{'s' * (above != 1)} of the footage reach{'es' * (above == 1)} above it"


def _span(hours: float) -> str:
    """Hours in the unit that reads best."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"


def _times(
    clips: Sequence[Floats], clock: float | Sequence[float] | Sequence[Floats]
) -> list[Floats]:
    """When the frames of all clips were shown."""
    clocks: list[float | Floats] = (
        [clock] * len(clips) if isinstance(clock, int | float) else list(clock)
    )
    if len(clocks) != len(clips):
        raise ConfigError(f"{len(clips)} clips need as many fps, found {len(clocks)}.")
    times = []
    for clip, known in zip(clips, clocks, strict=True):
        if isinstance(known, np.ndarray):
            time_s = np.asarray(known, np.float64)
            if time_s.shape != clip.shape or not (np.diff(time_s) > 0).all():
                raise ConfigError(
                    f"A clip of {len(clip)} frames needs as many times in seconds, each later than "
                    f"the one before; found {len(time_s)}."
                )
        elif not (math.isfinite(known) and known > 0):
            raise ConfigError(f"fps must be above 0, found {known:g}.")
        else:
            time_s = np.arange(len(clip)) / known
        times.append(time_s)
    return times


def _check(scores: Sequence[Floats], per_day: float, gap_s: float) -> None:
    if not (math.isfinite(per_day) and per_day > 0):
        raise ConfigError(f"--alarms-per-day must be above 0, found {per_day:g}.")
    if not (math.isfinite(gap_s) and gap_s > 0):
        raise ConfigError(f"gap_s must be above 0, found {gap_s:g}.")
    if any(np.isinf(clip).any() for clip in scores):
        raise ConfigError("The scores hold infinite values; there is no threshold above them.")


def _check_beside(
    clips: Sequence[Floats],
    modes: Sequence[NDArray[Any]] | None,
    days: Sequence[Hashable] | None,
) -> None:
    if modes is not None and [len(m) for m in modes] != [len(c) for c in clips]:
        raise ConfigError(
            f"Every frame has a light: of clips of {[len(c) for c in clips]} frames there are "
            f"{[len(m) for m in modes]}."
        )
    if days is not None and len(days) != len(clips):
        raise ConfigError(f"Each of {len(clips)} clips is of one day, found {len(days)} days.")
