"""Separate peaks of scores, and where in the footage they were.

Neighbouring frames say the same thing, so what is counted are separate peaks: the largest score,
then the largest at least `gap_s` away from it, and so on.

    scores of clips -> Footage: blocks of an hour, the largest peaks of each

Blocks, and the days that they are of, say how alike neighbours are: what one busy hour shows is not
thirty times news.

Letters: n frames of a clip, or peaks; b blocks.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from oddframe.sources.stamps import is_pause

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAP_S = 10.0
"""Peaks further apart than this are separate alarms."""


def steps_s(scores: Floats, time_s: Floats) -> Floats:
    """(n,) seconds that each frame stands for: the step that led to it, 0 without a score.

    Behind a pause of the recording it is the usual step: nobody saw what was not recorded.
    """
    if len(time_s) < 2:
        return np.zeros(len(time_s))
    steps = np.diff(time_s, prepend=np.nan)
    usual = float(np.nanmedian(steps))
    steps[np.isnan(steps) | is_pause(steps, usual)] = usual
    return np.where(np.isnan(scores), 0.0, steps)


def seen_s(scores: Floats, time_s: Floats) -> float:
    """Seconds of a clip that were looked at: of every scored frame the step that led to it."""
    steps = steps_s(scores, time_s)
    return float(steps[~np.isnan(scores)].sum())


def separate_peaks(scores: Floats, time_s: Floats, gap_s: float) -> Floats:
    """The separate peaks of one clip, largest first: each more than `gap_s` from the rest.

    Greedy: the largest score counts and hides those within the gap, then the largest that is
    left, and so on. NaN frames are none.
    """
    return scores[peak_frames(scores, time_s, gap_s)]


def peak_frames(scores: Floats, time_s: Floats, gap_s: float) -> Ints:
    """Numbers of the frames that `separate_peaks` are of."""
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
    return np.asarray(kept, np.int64)


def near(time_s: Floats, others_s: Floats, gap_s: float) -> NDArray[np.bool_]:
    """(n,) which times lie within the gap of one of the others; both sorted."""
    if not others_s.size:
        return np.zeros(len(time_s), bool)
    after = np.searchsorted(others_s, time_s).clip(max=len(others_s) - 1)
    away = np.minimum(
        np.abs(time_s - others_s[after]), np.abs(time_s - others_s[np.maximum(after - 1, 0)])
    )
    return np.asarray(away <= gap_s)


def stays_above(scores: Floats, time_s: Floats, level: float, gap_s: float) -> int:
    """How often the scores of a clip go above a level: times less than `gap_s` apart are one."""
    at = time_s[np.nan_to_num(scores, nan=-np.inf) > level]
    return int(at.size > 0) + int(np.count_nonzero(np.diff(at) > gap_s))


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """What is kept of footage, or of live time: enough to find a threshold anew."""

    day: Ints
    """(b,) of each block the day that it is of, from 0."""
    hours: Floats
    """(b,) hours in it that were scored."""
    median: Floats
    """(b,) of its scores."""
    upper: Floats
    """(b,) what a tenth of its scores pass."""
    count: Ints
    """(b,) separate peaks in it, kept or not."""
    peaks: Floats
    """(n,) the largest separate peaks, largest first."""
    block: Ints
    """(n,) blocks that they are of."""
    at_h: Floats
    """(n,) when they were, in hours from the beginning of the footage, pauses between clips left
    out."""

    @classmethod
    def of(
        cls,
        clips: Sequence[Floats],
        times: Sequence[Floats],
        gap_s: float,
        days: Sequence[Hashable] | None = None,
    ) -> Self:
        """All that clips, in order of time, hold; days: of which day each is, None: unknown.

        Without them every 24 hours of footage are a day.
        """
        out, begun_h, number = [], 0.0, dict[Hashable, int]()
        for i, (scores, time_s) in enumerate(zip(clips, times, strict=True)):
            if not len(scores):
                continue
            at_h = begun_h + (time_s - time_s[0]) / 3600
            step_s = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0
            begun_h = float(at_h[-1]) + step_s / 3600
            if days is None:
                day = (at_h // 24).astype(np.int64)
            else:
                day = np.full(len(at_h), number.setdefault(days[i], len(number)))
            out.append(cls._of_clip(scores, time_s, at_h, day, gap_s))
        return cls.joined(out)

    @classmethod
    def one(cls, peak: float) -> Self:
        """A peak of which nothing but its height is known."""
        none, first = np.array([np.nan]), np.zeros(1, np.int64)
        return cls(first, np.zeros(1), none, none, first + 1, np.array([peak]), first, np.zeros(1))

    @classmethod
    def _of_clip(
        cls, scores: Floats, time_s: Floats, at_h: Floats, day: Ints, gap_s: float
    ) -> Self:
        """One clip, cut where the hours of all footage end."""
        hour = np.floor(at_h).astype(np.int64)
        new = (np.diff(hour, prepend=hour[0] - 1) > 0) | (np.diff(day, prepend=day[0]) > 0)
        block = np.cumsum(new) - 1
        steps, starts = steps_s(scores, time_s), np.flatnonzero(new)
        frames = peak_frames(scores, time_s, gap_s)
        known = [part[~np.isnan(part)] for part in np.split(scores, starts[1:])]
        half, tenth = (
            np.array([np.quantile(k, q) if k.size else np.nan for k in known]) for q in (0.5, 0.9)
        )
        hours = np.asarray(np.bincount(block, steps) / 3600, np.float64)
        return cls(
            day[starts], hours, half, tenth,
            np.bincount(block[frames], minlength=len(starts)),
            scores[frames], block[frames], at_h[frames],
        )  # fmt: skip

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several as one, in order of time; short neighbours of one day become one block, until
        it has an hour."""
        full = [p for p in parts if len(p.day)]
        if not full:
            none, zero = np.zeros(0), np.zeros(0, np.int64)
            return cls(zero, none, none, none, zero, none, zero, none)
        day, hours = (np.concatenate([getattr(p, n) for p in full]) for n in ("day", "hours"))
        place = _together(day, hours)
        size, first = int(place[-1]) + 1, np.flatnonzero(np.diff(place, prepend=-1))
        weight = np.bincount(place, hours, size)

        def mean(values: Floats) -> Floats:
            known = np.where(np.isnan(values), 0.0, hours)
            total = np.bincount(place, np.nan_to_num(values) * known, size)
            seen = np.bincount(place, known, size)
            return np.asarray(np.divide(total, seen, out=np.full(size, np.nan), where=seen > 0))

        half, tenth = (
            mean(np.concatenate([getattr(p, n) for p in full])) for n in ("median", "upper")
        )
        count = np.bincount(place, np.concatenate([p.count for p in full]), size)
        starts = np.cumsum([0, *(len(p.day) for p in full[:-1])])
        block = place[np.concatenate([p.block + s for p, s in zip(full, starts, strict=True)])]
        peaks, at_h = (np.concatenate([getattr(p, n) for p in full]) for n in ("peaks", "at_h"))
        order = np.argsort(-peaks, kind="stable")
        return cls(
            day[first], np.asarray(weight, np.float64), half, tenth, count.astype(np.int64),
            peaks[order], block[order], at_h[order],
        )  # fmt: skip

    @property
    def total_h(self) -> float:
        """Hours scored."""
        return float(self.hours.sum())

    @property
    def days(self) -> int:
        """How many days something of was scored."""
        return len(np.unique(self.day[self.hours > 0]))

    @property
    def depth(self) -> float:
        """Above it all peaks are known; below it there are some that were not kept. Infinite where
        there were peaks and none was kept."""
        whole = len(self.peaks) >= self.count.sum()
        return -np.inf if whole else float(self.peaks.min(initial=np.inf))

    def largest(self, most: int) -> Self:
        """With no more peaks than that."""
        kept = {n: getattr(self, n)[:most] for n in ("peaks", "block", "at_h")}
        return replace(self, **kept)

    def of_days(self, first: float = -np.inf, stop: float = np.inf) -> Self:
        """Those days from `first` up to, not including, `stop`."""
        kept = (self.day >= first) & (self.day < stop)
        there = kept[self.block]
        number = np.cumsum(kept) - 1
        return type(self)(
            self.day[kept], self.hours[kept], self.median[kept], self.upper[kept],
            self.count[kept], self.peaks[there], number[self.block[there]], self.at_h[there],
        )  # fmt: skip

    def with_peaks(self, peaks: Floats, at_h: Floats) -> Self:
        """With more peaks, each of the block that the peak nearest in time is of."""
        nearest = np.abs(self.at_h[:, None] - at_h).argmin(0)
        every, when = np.concatenate((self.peaks, peaks)), np.concatenate((self.at_h, at_h))
        order = np.argsort(-every, kind="stable")
        block = np.concatenate((self.block, self.block[nearest]))
        return replace(self, peaks=every[order], block=block[order], at_h=when[order])

    def without(self, peak: float, at_h: float) -> Self:
        """Less a peak of that height and time, where there is such a one."""
        same = np.flatnonzero((self.peaks == peak) & (np.abs(self.at_h - at_h) < 1e-6))[:1]
        count = self.count.copy()
        count[self.block[same]] -= 1
        rest = {n: np.delete(getattr(self, n), same) for n in ("peaks", "block", "at_h")}
        return replace(self, count=count, **rest)

    def later(self, days: int, hours: float) -> Self:
        """The same, so many days and hours later."""
        return replace(self, day=self.day + days, at_h=self.at_h + hours)

    def plain(self) -> dict[str, list[float]]:
        """As JSON."""
        values = {name: getattr(self, name).tolist() for name in self.__slots__}
        for name in ("median", "upper"):
            values[name] = [None if np.isnan(x) else x for x in values[name]]
        return values

    @classmethod
    def read(cls, values: Mapping[str, Sequence[Any]]) -> Self:
        """What `plain` gave."""

        def whole(name: str) -> Ints:
            return np.array(values[name], np.int64)

        def real(name: str) -> Floats:
            return np.array([np.nan if x is None else x for x in values[name]], np.float64)

        return cls(
            whole("day"), real("hours"), real("median"), real("upper"), whole("count"),
            real("peaks"), whole("block"), real("at_h"),
        )  # fmt: skip


def _together(day: Ints, hours: Floats) -> Ints:
    """(b,) which block each becomes part of."""
    place, full = list[int](), 0.0
    for i in range(len(day)):
        joins = bool(place) and day[i] == day[i - 1] and full + hours[i] <= 1 + 1e-6
        place.append(place[-1] + (not joins) if place else 0)
        full = full + hours[i] if joins else hours[i]
    return np.array(place, np.int64)
