"""Progress where nobody looks on: lines, with the time that is left at the pace of now."""

import io
import types

import pytest
from rich.console import Console

from oddframe import bars


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand, in place of bars' own."""
    now = types.SimpleNamespace(s=100.0)
    monkeypatch.setattr(bars, "time", types.SimpleNamespace(monotonic=lambda: now.s))
    return now


def lines(clock, steps, total):
    """What is printed as each (seconds, done) of steps comes to pass."""
    clock.s, console = 100.0, Console(file=io.StringIO(), width=200)
    with bars.counting("evaluating", console) as tick:
        for at_s, done in steps:
            clock.s = 100.0 + at_s
            tick(done, total)
    return console.file.getvalue().splitlines()


def test_a_line_now_and_then(clock):
    steps = [(t, 10 * t) for t in range(1, 100)]
    assert lines(clock, steps, 3000) == [
        "evaluating: 310 of 3,000 frames, about 4 min left",
        "evaluating: 620 of 3,000 frames, about 4 min left",
        "evaluating: 930 of 3,000 frames, about 3 min left",
    ]


def test_a_quick_beginning_promises_nothing_for_what_comes_then(clock):
    """Flow goes by at ten times the pace of the model behind it: by the mean of both, the time
    that is left would grow from line to line."""
    quick = [(t, 100 * t) for t in range(31)]
    slow = [(30 + t, 3000 + 10 * t) for t in range(1, 63)]
    said = lines(clock, quick + slow, 6000)
    assert said[-1] == "evaluating: 3,320 of 6,000 frames, about 4 min left"


def test_the_last_minute_and_an_unknown_end(clock):
    assert lines(clock, [(31, 31)], 40) == ["evaluating: 31 of 40 frames, less than a minute left"]
    assert lines(clock, [(31, 31)], None) == ["evaluating: 31 frames"]
    back = [(31, 300), (62, 20)]  # a second pass begins
    assert lines(clock, back, 300)[-1] == "evaluating: 20 of 300 frames"
