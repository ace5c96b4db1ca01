"""From normal footage to an alarm threshold with a stated rate of false alarms.

    scores -> separate peaks -> tail of the largest -> score that is passed N times a day

Neighbouring frames say the same thing, so what is counted are separate peaks: the largest score,
then the largest at least `gap_s` away from it, and so on. Above a high enough level u such peaks
follow a generalised Pareto law; its shape and scale come from probability-weighted moments, which
stay sane for 30 values where maximum likelihood does not (J. R. M. Hosking and J. R. Wallis,
"Parameter and quantile estimation for the generalized Pareto distribution", Technometrics 29(3),
1987, eq. 6; peaks over a threshold: S. Coles, "An Introduction to Statistical Modeling of Extreme
Values", 2001, chapter 4). The interval is a bootstrap over the peaks.

What it cannot know: other weather, other days. Footage of under 8 hours gives a provisional
threshold, and half a minute is off by a factor of ten in alarms.

Letters: n separate peaks, m of them in the tail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError
from oddframe.sources.stamps import is_pause

Floats = NDArray[np.float64]

GAP_S = 10.0
"""Peaks further apart than this are separate alarms."""
TAIL = 30
"""Peaks that the tail is fitted on, at most."""
FEWEST_PEAKS = 10
"""With fewer, nothing is fitted: the threshold is the largest normal score and a margin."""
MARGIN = 1.05
PROVISIONAL_H = 8.0
"""Hours of footage below which a threshold is called provisional."""
LOWEST = 0.5
"""No threshold is below this: scores lie about 0 on normal footage, in standard deviations."""
SHAPE_LIMIT = 0.5
"""Shapes beyond +-this are noise at 30 peaks; above 0.5 the law has no variance."""
RESAMPLES = 400
CONFIDENCE = 0.9


def calibrate(
    scores: Sequence[NDArray[np.floating]],
    clock: float | Sequence[float] | Sequence[Floats],
    alarms_per_day: float,
    *,
    gap_s: float = GAP_S,
    seed: int = 0,
) -> dict[str, Any]:
    """Find the score that held-out normal footage passes `alarms_per_day` times a day.

    Args:
        scores: one (n,) array per clip, in order of time; NaN where there is no score.
        clock: when its frames were shown: per clip the seconds (n,), growing; or frames per
            second, of all clips or one number per clip.
        alarms_per_day: separate false alarms to accept in 24 hours.
        gap_s: see `GAP_S`.
        seed: of the bootstrap; the same seed gives the same interval.

    Returns:
        Plain values for model.json: `threshold`, `alarms_per_day`, `low` and `high` (interval of
        the threshold at `confidence`; high is None where it is unknown), `hours` of scored
        footage, `peaks` (separate ones), `above` (of them, above the threshold), `method`
        ("tail"; "count": so many alarms are wanted that they are counted off; "maximum": too
        little footage to fit anything), `shape` and `scale` of the tail (None without one),
        `gap_s`, `provisional`, `text` (all of it in words).

    Raises:
        ConfigError: a rate, fps or gap that is not above 0, or no scored frame at all.
    """
    clips = [np.asarray(clip, np.float64) for clip in scores]
    _check(clips, alarms_per_day, gap_s)
    times = _times(clips, clock)
    hours = sum(seen_s(c, t) for c, t in zip(clips, times, strict=True)) / 3600
    found = [separate_peaks(c, t, gap_s) for c, t in zip(clips, times, strict=True)]
    peaks = np.sort(np.concatenate([np.zeros(0), *found]))[::-1]
    if not peaks.size:
        raise ConfigError(
            "Nothing to calibrate on: no frame of the footage has a score. Give normal videos "
            "longer than the model's history."
        )
    wanted = alarms_per_day * hours / 24
    low: float
    high: float | None
    shape = scale = None
    if peaks.size < FEWEST_PEAKS:
        method, threshold = "maximum", float(peaks[0]) * MARGIN
        low, high = float(peaks[0]), None
    else:
        threshold, method, shape, scale = _level(peaks, wanted)
        low, high = _interval(peaks, wanted, seed)
    threshold, low = max(threshold, LOWEST), max(low, LOWEST)
    out: dict[str, Any] = {
        "threshold": threshold,
        "alarms_per_day": float(alarms_per_day),
        "low": min(low, threshold),
        "high": None if high is None else max(high, threshold),
        "confidence": CONFIDENCE,
        "hours": hours,
        "peaks": int(peaks.size),
        "above": int(np.count_nonzero(peaks > threshold)),
        "method": method,
        "shape": shape,
        "scale": scale,
        "gap_s": float(gap_s),
        "provisional": bool(hours < PROVISIONAL_H or method == "maximum"),
    }
    return {**out, "text": describe(out)}


def seen_s(scores: Floats, time_s: Floats) -> float:
    """Seconds of a clip that were looked at: of every scored frame the step that led to it.

    Behind a pause of the recording it is the usual step: nobody saw what was not recorded.
    """
    if len(time_s) < 2:
        return 0.0
    steps = np.diff(time_s, prepend=np.nan)
    usual = float(np.nanmedian(steps))
    steps[np.isnan(steps) | is_pause(steps, usual)] = usual
    return float(steps[~np.isnan(scores)].sum())


def separate_peaks(scores: Floats, time_s: Floats, gap_s: float) -> Floats:
    """The separate peaks of one clip, largest first: each more than `gap_s` from the rest.

    Greedy: the largest score counts and hides those within the gap, then the largest that is
    left, and so on. NaN frames are none.
    """
    reach = gap_s + 1e-6  # stamps are rounded
    order = np.argsort(-scores, kind="stable")  # NaN last
    order = order[: np.count_nonzero(~np.isnan(scores))]
    hidden = bytearray(len(scores))
    kept = []
    for i in order.tolist():
        if not hidden[i]:
            kept.append(i)
            start, stop = np.searchsorted(time_s, (time_s[i] - reach, time_s[i] + reach))
            hidden[start:stop] = b"\1" * (stop - start)
    return scores[kept]


def fit_tail(excess: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto law from excesses (m,) by weighted moments.

    Shape > 0 means a heavy tail, < 0 an end. Beyond `SHAPE_LIMIT` it is cut off, and the scale is
    then the one that keeps the mean.
    """
    ordered = np.sort(excess)
    place = (np.arange(1, ordered.size + 1) - 0.35) / ordered.size
    first, second = ordered.mean(), ((1 - place) * ordered).mean()  # E[x], E[x (1 - F)]
    if first <= 0:
        return 0.0, 0.0
    spread = first - 2 * second
    shape = 2 - first / spread if spread > 0 else SHAPE_LIMIT
    shape = float(np.clip(shape, -SHAPE_LIMIT, SHAPE_LIMIT))
    return shape, float(first * (1 - shape))


def _level(peaks: Floats, wanted: float) -> tuple[float, str, float | None, float | None]:
    """The score that `wanted` of the peaks (n,), largest first, pass; method, shape, scale."""
    m = min(TAIL, peaks.size - 1)
    if wanted >= m:
        ranks = np.arange(1, peaks.size + 1)
        return float(np.interp(wanted, ranks, peaks)), "count", None, None
    start = float(peaks[m])
    shape, scale = fit_tail(peaks[:m] - start)
    share = wanted / m
    if abs(shape) < 1e-6:
        above = -scale * math.log(share)
    else:
        above = scale / shape * (share**-shape - 1)
    return start + above, "tail", shape, scale


def _interval(peaks: Floats, wanted: float, seed: int) -> tuple[float, float]:
    """Ends of the middle 90 % of the thresholds that resampled peaks give."""
    rng = np.random.default_rng(seed)
    drawn = -np.sort(-rng.choice(peaks, (RESAMPLES, peaks.size)), axis=1)
    levels = [_level(row, wanted)[0] for row in drawn]
    low, high = np.quantile(levels, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def describe(calibration: Mapping[str, Any]) -> str:
    """A calibration in words: what it rests on and how far to trust it."""
    c = calibration
    footage = f"{_span(c['hours'])} of normal footage with {c['peaks']} separate peaks"
    text = f"threshold {c['threshold']:.3g}"
    if c["threshold"] <= LOWEST:
        text += ", the lowest allowed (normal scores lie about 0)"
    rate = f"{c['alarms_per_day']:g} false alarm{'s' * (c['alarms_per_day'] != 1)} a day"
    if c["method"] == "maximum":
        return (
            f"{text}: at least {100 * (MARGIN - 1):.0f} % above the largest score of {footage}, "
            f"too little to say how often it will be passed, let alone {rate}; provisional. Give "
            "some hours."
        )
    text += f" (90 % interval {c['low']:.3g} to {c['high']:.3g}) for {rate}, from {footage}"
    wanted = c["alarms_per_day"] * c["hours"] / 24
    if wanted < 1:
        text += f"; reaches beyond the footage, in which {wanted:.2g} alarms are expected"
    if c["provisional"]:
        text += f"; provisional, because it is less than {PROVISIONAL_H:g} hours"
    return text + "."


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
