"""Why it is an event, in words: which streams spoke, and what each of them looks at.

What the words may say rests on what a stream measures (`scoring.usual`, `scoring.scorer`): `flow`
the speed beside the fastest of normal frames, in body sizes where these are known; `way` how rare
direction and speed are at that place; `stay` that a place has differed from the median picture of
normal footage for some time; `frame` and `motion` how far the picture and its motion were from
what the network made of the frames before. None of them knows what it is that it sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from oddframe.events.event import Box

NEAR = 0.5
"""A stream is named that says at least this share of what the loudest says."""
FLOOR = 1.0
"""Deviations of normal footage below which a stream says nothing."""

WORDS = {
    "flow": "something moves faster than things do here",
    "way": "something moves a way that hardly anything takes here",
    "stay": "something stands here that was not there",
    "frame": "something looks unlike anything seen here",
    "motion": "something moves unlike anything seen here",
}
"""Stream -> what it says."""
TIMES = {
    "flow": "something moves {} times as fast as the fastest usually does here",
    "way": "something moves a way that is {} times as rare as the commonest here",
}
"""The same where a factor is known."""
MOST_TIMES = 1000
"""Beyond this the number says nothing more: on Ped2 a cyclist's way is ten million times as rare,
which is how few people ever ran there, not how odd he is."""
LITTLE = "all together is a little out of the usual"
"""Where no stream stands out."""


def reasons(
    streams: Mapping[str, float],
    boxes: Sequence[Box],
    width: int,
    height: int,
    factors: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    """What the streams said, the loudest first; only what is near the loudest.

    Args:
        streams: {stream: z} in deviations of normal footage, as the terms `z_STREAM`. NaN, and
            streams that are not known here, say nothing.
        boxes: the first one says where in the picture it is, which is told with the loudest
            reason alone: others may have seen something elsewhere.
        width: of the source's picture in pixels, as `height`: what boxes count in.
        height: see `width`.
        factors: {stream: times}, of `flow` how many times as fast as the fastest place of a
            normal frame as a rule, exp(z std) of its `StreamScene`; of `way` how many times as
            rare as the commonest way, the term `local_way`. Below 1.05 none is told.

    Returns:
        At least one reason where there is any stream.
    """
    known = {name: z for name, z in streams.items() if name in WORDS and not math.isnan(z)}
    if not known:
        return ()
    loud = max(known.values())
    named = [name for name in sorted(known, key=lambda n: -known[n]) if known[name] >= NEAR * loud]
    texts = [_words(name, factors or {}) for name in named if known[name] > FLOOR] or [LITTLE]
    if boxes and width > 0 and height > 0:
        texts[0] += f" ({place(boxes[0], width, height)})"
    return tuple(texts)


def streams_of(terms: Mapping[str, float]) -> dict[str, float]:
    """What each stream says of a frame, in deviations of normal footage: its terms `z_STREAM`."""
    return {name.removeprefix("z_"): z for name, z in terms.items() if name.startswith("z_")}


def factors_of(terms: Mapping[str, float], spread: float | None) -> dict[str, float]:
    """The factors of `reasons`, of a frame's terms.

    spread: deviation of the logarithm of normal speeds, `std` of the scene's `flow`; None: unknown.
    """
    found = dict[str, float]()
    if spread is not None and "z_flow" in terms:
        found["flow"] = math.exp(min(terms["z_flow"] * spread, 50.0))
    if "local_way" in terms:
        found["way"] = terms["local_way"]
    return found


def place(box: Box, width: int, height: int) -> str:
    """Where the middle of a box is, by thirds of the picture: "left, near"."""
    column = ("left", "middle", "right")[_third(box.x + box.w / 2, width)]
    row = ("far", "", "near")[_third(box.y + box.h / 2, height)]
    return f"{column}, {row}" if row else column


def _third(at: float, whole: int) -> int:
    return min(2, max(0, int(3 * at / whole)))


def _words(name: str, factors: Mapping[str, float]) -> str:
    times = factors.get(name, math.nan)
    if name not in TIMES or not (math.isfinite(times) and times >= 1.05):
        return WORDS[name]
    if times > MOST_TIMES:
        return TIMES[name].format(f"more than {MOST_TIMES}")
    return TIMES[name].format(f"{times:.1f}".removesuffix(".0") if times < 9.95 else f"{times:.0f}")
