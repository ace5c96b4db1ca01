"""How many alarms there may be on other days than those that the threshold was found on.

    threshold, and the hours it was found on -> rates that fit both -> alarms counted in D days

A threshold for one alarm a day raises none on one day and four on the next. What is between the
promise and the count:

- the rate at the threshold is not known: hours of the footage are drawn anew, each with all its
  peaks (neighbours are alike), and the tail's law is fitted to each draw; half of the laws are of
  bursts, peaks less than ten minutes apart being one: thirty peaks of three bursts are three pieces
  of news. What a law says counts as it goes with how many bursts were seen above the threshold;
- days differ. How much, shows on footage of several days; a deviation of `SPREAD` is taken to be
  known as well as `FREEDOM` + 1 days would tell it. Both the days seen and those to come differ;
- hours of the day that were not seen differ too (`UNSEEN`), where there is less than a day;
- alarms come at random, and in bursts.

`SPREAD`, `UNSEEN` and `ALONE` were chosen on made days of two kinds, of which the test makes some:
bursts, heavy and bounded tails, hours of the day, days that differ in rate and in level; weather
that lasts, weekends. On 1,000 others of the first kind, one, two and four days of footage each,
the 90 % interval held what was counted over one, two and seven days in 93, 92 and 92 % of them; on
400 of the second, up to seven days of footage, in 93, 92 and 89 %. A Poisson law about the promised
rate held it in 70, 64 and 44 % of the first kind.

What it cannot know: days of another kind than any that were seen (snow, a fair, a moved camera).

Letters: s draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.calibration.light import modes_of
from oddframe.calibration.peaks import Floats, Footage, Ints
from oddframe.calibration.tail import TAIL, fit_rows, passed_rows

BURST_H = 1 / 6
"""Peaks nearer to each other than this are of one burst."""
DEEPEST = 12
"""The tail of bursts is looked for in so many times as many peaks, at most."""
SPREAD = 0.7
"""How days differ where nothing is known of it: deviation of the logarithm of their rate."""
FREEDOM = 3.0
"""As many days less one as `SPREAD` counts for beside what the footage shows."""
ALONE = 0.5
"""The mean of d days lies as far from that of all days as the mean of d to this power days would
that know nothing of each other: weather lasts, weeks have ends."""
UNSEEN = 1.0
"""The same deviation between hours of the day, of footage that is next to nothing of a day."""
WIDEST = 2.0
"""No two days are taken to differ more than by this."""
HALF_A_DAY = 12.0
"""Hours from which a day is compared with others."""
RESAMPLES = 200
RATES = 40
"""Rates that are kept of them, evenly spread."""
DRAWS = 4000
CONFIDENCE = 0.9
COUNT_DAYS = 7.0
"""Days that `count_low` and `count_high` of a calibration are of."""


def promised(
    footage: Footage, per_day: float, threshold: float, merged: float = 1.0, seed: int = 0
) -> dict[str, Any]:
    """What is known of how often the threshold is passed, as plain values.

    Args:
        footage: what it was found on; at least two separate peaks.
        per_day: alarms a day that it was found for.
        threshold: score of the alarm.
        merged: alarms that one separate peak is, 0 to 1: less than 1 where scores stay high
            between peaks.
        seed: of the draws.

    Returns:
        `rates` (peaks a day at the threshold, `RATES` of them, growing), `burst` (peaks of one
        burst, on average), `merged`, `spread` and `freedom` (of the days' log rates), `hours`.
    """
    rng = np.random.default_rng(seed)
    wanted = per_day * footage.total_h / 24
    tail = min(TAIL, len(footage.peaks) - 1)
    near = int(min(len(footage.peaks), max(10, min(tail, 2 * wanted))))
    starts = bursts(footage.at_h[:near])
    size = near / np.count_nonzero(starts)
    heads = _heads(footage, tail)
    passed = _passed(footage, tail, wanted >= tail, threshold, rng)
    if heads is not None and wanted < tail:
        passed = np.concatenate((passed, size * _passed(heads, tail, False, threshold, rng)))
    spread, freedom = (SPREAD, FREEDOM) if heads is None else _between_days(heads)
    likely = np.ones(len(passed))
    if wanted < tail:  # else they are counted as it is, and so near that most are of one burst
        seen = int(np.count_nonzero(bursts(footage.at_h[footage.peaks >= threshold])))
        likely += 1e6 * _likely(passed / size * footage.total_h, seen)  # never nothing at all
    ranks = (np.arange(RATES) + 0.5) / RATES
    return {
        "rates": (24 * _weighted(passed, likely, ranks)).tolist(),
        "burst": float(size),
        "merged": float(merged),
        "spread": spread,
        "freedom": freedom,
        "hours": footage.total_h,
    }


def expected_counts(
    calibration: Mapping[str, Any],
    days: float,
    *,
    confidence: float = CONFIDENCE,
    by_light: bool = True,
) -> tuple[int, int, int] | None:
    """How many alarms may be counted in so many days: the middle 90 %, and the median.

    Args:
        calibration: as `calibration.calibrate` gives it.
        days: above 0.
        confidence: share of such days that the count lies in the interval.
        by_light: of the thresholds of its modes, where it has some; else of the one for all.

    Returns:
        (low, median, high), whole numbers; None where nothing can be said: too little footage, or
        a calibration of an oddframe that did not know how.
    """
    modes = modes_of(calibration) if by_light else {}
    known: list[tuple[Any, float]] = [
        (m.get("promise"), m["share"]) for m in modes.values() if m["share"]
    ]
    known = known or [(calibration.get("promise"), 1.0)]
    if any(promise is None for promise, _ in known):
        return None
    rng = np.random.default_rng(0)
    # What makes a day busy does so in any light: one draw for all modes.
    wide = max((p for p, _ in known), key=lambda p: p["spread"])
    seen_h = sum(p["hours"] for p, _ in known)
    differs = _days_to_come(wide, seen_h, days, rng)
    total = np.zeros(DRAWS)
    for promise, share in known:
        total += _drawn(promise, share * days * differs, rng)
    ends = ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
    low, middle, high = np.quantile(total, ends, method="inverted_cdf")
    return int(low), int(middle), int(high)


def rate_of(
    promise: Mapping[str, Any], days: float = COUNT_DAYS, *, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Alarms a day, the mean of so many days: the middle 90 %, and the median.

    It is what there is to expect; what is counted lies around it by chance (`expected_counts`).

    Args:
        promise: as `promised` gives it.
        days: above 0.
        confidence: share of such means that lie in the interval.

    Returns:
        (low, median, high), 0 or more.
    """
    rng = np.random.default_rng(0)
    differs = _days_to_come(promise, promise["hours"], days, rng)
    ranks = (np.arange(RATES) + 0.5) / RATES
    rate = np.interp(rng.random(DRAWS), ranks, promise["rates"])
    size = _burst_of(promise, rng)
    ends = ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
    low, middle, high = np.quantile(rate / promise["burst"] * size * differs, ends)
    return float(low), float(middle), float(high)


def counts_text(calibration: Mapping[str, Any]) -> str:
    """What may be counted, in words; nothing where nothing can be said."""
    day, week = (expected_counts(calibration, days) for days in (1, COUNT_DAYS))
    if day is None or week is None:
        return ""
    return (
        f"expect {day[0]} to {day[2]} alarms on nine days of ten, "
        f"{week[0]} to {week[2]} in nine weeks of ten"
    )


def bursts(at_h: Floats) -> NDArray[np.bool_]:
    """(n,) of peaks in any order, which of them begin a burst: the first in time of each."""
    order = np.argsort(at_h, kind="stable")
    begins = np.empty(len(at_h), bool)
    begins[order] = np.diff(at_h[order], prepend=-math.inf) > BURST_H
    return begins


def _heads(footage: Footage, tail: int) -> Footage | None:
    """The largest peak of each burst, of as many peaks as make more than `tail` bursts; None where
    those on hand do not."""
    deepest = min(len(footage.peaks), DEEPEST * tail)
    for n in np.unique(np.geomspace(tail + 1, max(deepest, tail + 1), 24).astype(int)):
        if n > deepest:
            return None
        begins = bursts(footage.at_h[:n])
        if np.count_nonzero(begins) > tail:
            break
    else:
        return None
    in_time = np.argsort(footage.at_h[:n], kind="stable")
    number = np.empty(n, np.int64)
    number[in_time] = np.cumsum(begins[in_time])
    _, largest = np.unique(number, return_index=True)  # peaks are sorted: the first is the largest
    kept = np.sort(largest)
    return Footage(
        footage.day, footage.hours, footage.median, footage.upper, footage.count,
        footage.peaks[kept], footage.block[kept], footage.at_h[kept],
    )  # fmt: skip


def _passed(
    footage: Footage, tail: int, counted: bool, threshold: float, rng: np.random.Generator
) -> Floats:
    """(s,) peaks an hour above the threshold, each by hours of the footage drawn anew.

    counted: so many are above that no law is needed.
    """
    if counted:
        times, hours = _hours_anew(footage, rng)
        above = footage.block[footage.peaks >= threshold]
        return np.asarray(times[:, above].sum(1) / hours)
    largest, hours = drawn_anew(footage, tail + 1, rng)
    start = largest[:, -1]
    shape, scale = fit_rows(largest[:, :-1] - start[:, None])
    return tail * passed_rows(threshold, start, shape, scale) / hours


def drawn_anew(footage: Footage, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(s, count) largest peaks, sorted, of its hours drawn anew, and (s,) how many hours."""
    times, hours = _hours_anew(footage, rng)
    ranks, upto = np.arange(count), np.cumsum(times[:, footage.block], 1)
    found = np.stack([np.searchsorted(row, ranks, side="right") for row in upto])
    return np.asarray(footage.peaks[np.minimum(found, len(footage.peaks) - 1)]), hours


def _hours_anew(footage: Footage, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """(s, b) how often each block was drawn, and (s,) the hours of all that were."""
    blocks = len(footage.hours)
    times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), RESAMPLES)
    return times, np.maximum(times @ footage.hours, 1e-9)


def _likely(expected: Floats, seen: int) -> Floats:
    """(s,) how well each expected number of bursts above the threshold goes with those seen there.

    Whatever the law, the number that is expected above the k-th largest of independent values is
    distributed as Gamma(k): the threshold lies between the k-th and the next.
    """
    number = np.arange(seen + 1)
    factorial = np.cumsum(np.log(np.maximum(number, 1)))
    known = np.maximum(expected, 1e-12)[:, None]
    chance = np.exp(number * np.log(known) - known - factorial)  # Poisson's, of each number
    more, upto = chance.sum(1), chance[:, :-1].sum(1)
    return np.asarray(more * (1 - upto) if seen else more)


def _weighted(values: Floats, weights: Floats, ranks: Floats) -> Floats:
    """Quantiles of values (s,) that count as their weights say."""
    order = np.argsort(values)
    upto = np.cumsum(weights[order])
    return np.asarray(np.interp(ranks * upto[-1], upto, values[order]))


def _between_days(heads: Footage) -> tuple[float, float]:
    """How days differ: deviation of their log rates, and the days less one that it rests on."""
    hours = np.bincount(heads.day, heads.hours)
    known = hours >= HALF_A_DAY
    days = int(np.count_nonzero(known))
    if days < 2:
        return SPREAD, FREEDOM
    found = np.bincount(heads.day[heads.block], minlength=len(hours))[known]
    mean = found.sum() * hours[known] / hours[known].sum()
    if not mean.all():
        return SPREAD, FREEDOM
    excess = ((found - mean) ** 2 / mean).sum() / (days - 1) - 1  # beyond that of chance
    own = math.log1p(max(0.0, excess) / float(mean.mean()))
    freedom = FREEDOM + days - 1
    return math.sqrt((FREEDOM * SPREAD**2 + (days - 1) * own) / freedom), freedom


def _days_to_come(
    promise: Mapping[str, Any], seen_h: float, days: float, rng: np.random.Generator
) -> Floats:
    """(s,) how much busier the days to come are than those that were seen were."""
    freedom, seen_days = promise["freedom"], seen_h / 24
    spread2 = freedom * promise["spread"] ** 2 / rng.chisquare(freedom, DRAWS)
    spread2 = np.minimum(spread2, WIDEST**2)
    unseen2 = UNSEEN**2 * max(0.0, 1 - seen_days)
    before = rng.normal(0, np.sqrt(spread2 / max(seen_days, 1.0) ** ALONE + unseen2))
    # The mean of several days is nearer to the mean of all; half a day is as one.
    mean2 = np.log1p(np.expm1(spread2) / max(days, 1.0) ** ALONE)
    return np.asarray(np.exp(before + rng.normal(0, np.sqrt(mean2)) - mean2 / 2))


def _drawn(promise: Mapping[str, Any], days: Floats, rng: np.random.Generator) -> Floats:
    """(s,) alarms in so many days (s,), each of its own length by how busy it is."""
    ranks = (np.arange(RATES) + 0.5) / RATES
    rate = np.interp(rng.random(DRAWS), ranks, promise["rates"])
    size = _burst_of(promise, rng)
    begun = rng.poisson(np.minimum(rate / promise["burst"] * days, 1e9))
    more = rng.negative_binomial(np.maximum(begun, 1), 1 / size)
    return np.asarray(begun + np.where(begun > 0, more, 0), np.float64)


def _burst_of(promise: Mapping[str, Any], rng: np.random.Generator) -> Floats:
    """(s,) alarms that a burst is."""
    size = promise["burst"] * rng.uniform(promise["merged"], 1.0, DRAWS)
    return np.asarray(np.maximum(1.0, size), np.float64)


def per_day(calibration: Mapping[str, Any]) -> tuple[float, float] | tuple[None, None]:
    """Alarms a day, low and high, over `COUNT_DAYS` days."""
    found = expected_counts(calibration, COUNT_DAYS)
    if found is None:
        return None, None
    return found[0] / COUNT_DAYS, found[2] / COUNT_DAYS
