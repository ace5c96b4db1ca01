"""Which footage is kept aside."""

from __future__ import annotations

import pytest

from oddframe.errors import DatasetError
from oddframe.train.split import Span, hold_out


def clips(*lengths: int) -> list[Span]:
    spans, at = [], 0
    for n in lengths:
        spans.append(Span(at, at + n))
        at += n
    return spans


def test_of_many_clips_whole_ones_are_kept():
    videos = clips(*[150] * 16)
    split = hold_out(videos, 0.12, 20)
    assert set(split.train) | set(split.held) == set(videos)
    assert not set(split.train) & set(split.held)
    assert 0.05 < sum(map(len, split.held)) / 2400 < 0.2


def test_of_few_clips_the_tails_are_kept():
    split = hold_out(clips(1000, 400), 0.1, 20)
    assert split.held == (Span(900, 1000), Span(1360, 1400))
    assert split.train == (Span(0, 900), Span(1000, 1360))


def test_held_tails_are_long_enough_to_be_scored():
    split = hold_out(clips(100), 0.01, 20)
    assert len(split.held[0]) >= 28


def test_too_short_clips_are_left_out_and_nothing_left_is_an_error():
    split = hold_out(clips(10, 500), 0.1, 20)
    assert all(s.start >= 10 for s in (*split.train, *split.held))
    with pytest.raises(DatasetError, match="at least 48"):
        hold_out(clips(30, 30), 0.1, 20)


@pytest.mark.parametrize("share", [0.01, 0.12, 0.5])
@pytest.mark.parametrize("count", [1, 3, 8, 9, 30])
def test_no_frame_is_in_both(share, count):
    split = hold_out(clips(*range(100, 100 + count)), share, 20)
    train = {i for s in split.train for i in range(s.start, s.stop)}
    held = {i for s in split.held for i in range(s.start, s.stop)}
    assert train
    assert held
    assert not train & held
