"""Which frames train and which are kept aside: whole clips of many, the tails of few.

Where all of them train, an eighth is looked at again afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oddframe.errors import DatasetError

MANY_CLIPS = 8
"""From this many clips on, whole ones are kept aside."""
LOOKED_AT = 1 / 8
"""Share of the footage that is looked at again where none is kept aside."""
PIECE = 64
"""Frames of one piece of it, at least."""
MOST_HELD = 6000
"""Frames kept aside at most: the scene's range needs no more."""


@dataclass(frozen=True, slots=True)
class Span:
    """Frames start ... stop - 1 of a frame store, all of one video, in order."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Split:
    """Training footage and the normal footage kept aside for the scene's range."""

    train: tuple[Span, ...]
    held: tuple[Span, ...]
    in_training: bool = False
    """Training sees `held` as well: nothing was kept aside."""

    def frames(self) -> dict[str, int | bool]:
        """How many frames of each, as a RUN's card has them."""
        return {
            "frames": sum(map(len, self.train)), "held_out": sum(map(len, self.held)),
            "held_out_in_training": self.in_training,
        }  # fmt: skip


def hold_out(videos: Sequence[Span], share: float, shortest: int, most: int = MOST_HELD) -> Split:
    """Keep about `share` of the frames aside; 0: none, see `looked_at`.

    Of `MANY_CLIPS` or more clips, whole ones, spread evenly: these are moments that training
    never saw. Of fewer, the tail of each, because each may show another part of the day.

    videos: one span per clip. share: 0..0.5. shortest: frames a span needs to be of any use.
    most: frames to keep aside, at most.

    Raises:
        DatasetError: too little footage to train and to keep some aside.
    """
    videos = [v for v in videos if len(v) >= shortest]
    if not share and videos:
        return Split(tuple(videos), looked_at(videos, shortest, most), in_training=True)
    total = sum(len(v) for v in videos)
    wanted = min(share * total, most)
    if len(videos) >= MANY_CLIPS:
        return _whole_clips(videos, _spread(videos, share, wanted), shortest, most)
    train, tails = [], []
    for v in videos:
        tail = max(int(len(v) * wanted / max(total, 1)), shortest + 8)
        if len(v) - tail < shortest:
            train.append(v)
            continue
        train.append(Span(v.start, v.stop - tail))
        tails.append(Span(v.stop - tail, v.stop))
    if not tails or not train:
        raise DatasetError(
            f"Too little footage to learn from: a clip must have at least {2 * shortest + 8} "
            f"frames, so that a part can be kept aside; found {len(videos)} clips with at least "
            f"{shortest} frames, {total} frames in all. Give longer normal video."
        )
    return Split(tuple(train), tuple(tails))


def _whole_clips(videos: Sequence[Span], held: set[int], shortest: int, most: int) -> Split:
    """Some clips kept aside, of long ones the first part: the rest of these trains as well."""
    each = max(most // max(1, len(held)), shortest + 8)
    aside = {i: Span(videos[i].start, min(videos[i].stop, videos[i].start + each)) for i in held}
    rest = [Span(aside[i].stop, v.stop) if i in held else v for i, v in enumerate(videos)]
    return Split(
        tuple(v for v in rest if len(v) >= shortest), tuple(aside[i] for i in sorted(held))
    )


def _spread(videos: Sequence[Span], share: float, wanted: float) -> set[int]:
    """Places of whole clips that hold about `wanted` frames, spread evenly."""
    held: set[int] = set()
    # From the middle of equal parts, as many as it takes; the first clip is never among them.
    parts = max(1, round(share * len(videos)))
    for at in (np.arange(parts) + 0.5) * len(videos) / parts:
        if sum(len(videos[i]) for i in held) < wanted:
            held.add(int(at))
    return held


def looked_at(videos: Sequence[Span], shortest: int, most: int = MOST_HELD) -> tuple[Span, ...]:
    """An eighth of the footage, evenly spaced: whole clips of many, pieces of few."""
    wanted = min(LOOKED_AT * sum(map(len, videos)), most)
    if len(videos) >= MANY_CLIPS:
        return tuple(videos[i] for i in sorted(_spread(videos, LOOKED_AT, wanted)))
    share, pieces = wanted / sum(map(len, videos)), []
    for v in videos:
        length = min(len(v), max(PIECE, shortest + 8))
        count = max(1, round(share * len(v) / length))
        for i in range(count):
            middle = v.start + (i + 0.5) * len(v) / count
            start = min(max(v.start, round(middle - length / 2)), v.stop - length)
            pieces.append(Span(start, start + length))
    return tuple(pieces)
