"""Reasons in words: the loudest first, only what is near it, and true of what streams measure."""

import math

import numpy as np
import pytest

from oddframe.events.event import Box
from oddframe.events.why import LITTLE, TIMES, WORDS, place, reasons
from oddframe.scoring.fuse import STREAMS
from oddframe.scoring.scene import fit_stream

HERE = (Box(10, 10, 20, 20),)


def said(streams, boxes=(), factors=None):
    return reasons(streams, boxes, 300, 300, factors)


def test_every_stream_has_its_words():
    assert set(WORDS) == set(STREAMS)
    assert set(TIMES) < set(STREAMS)


def test_the_loudest_comes_first_and_what_is_far_below_says_nothing():
    streams = {"frame": 3.0, "flow": 6.0, "stay": 2.9, "way": 5.0, "motion": -2.0}
    assert said(streams) == (WORDS["flow"], WORDS["way"], WORDS["frame"])
    assert said({"stay": 1.5, "frame": 0.9}) == (WORDS["stay"],)  # below the floor


def test_where_nothing_stands_out_that_is_said():
    assert said({"frame": 0.9, "flow": 0.8}) == (LITTLE,)
    assert said({"frame": -1.0}) == (LITTLE,)


def test_what_is_not_known_says_nothing():
    assert said({}) == ()
    assert said({"flow": math.nan}) == ()
    assert said({"own": 9.0, "way": 2.0, "stay": math.nan}) == (WORDS["way"],)


def test_the_place_is_told_with_the_loudest_alone():
    assert said({"flow": 4.0, "stay": 3.0}, HERE) == (
        "something moves faster than things do here (left, far)",
        WORDS["stay"],
    )


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (Box(0, 0, 30, 30), "left, far"),
        (Box(140, 140, 20, 20), "middle"),
        (Box(290, 290, 10, 10), "right, near"),
        (Box(0, 150, 300, 150), "middle, near"),
        (Box(280, 100, 20, 60), "right"),
        (Box(300, 300, 9, 9), "right, near"),
    ],
)
def test_places_are_thirds_of_the_picture(box, words):
    assert place(box, 300, 300) == words


def test_factors_are_told_where_they_are_known():
    streams = {"flow": 4.0, "way": 4.0, "stay": 4.0}
    got = said(streams, factors={"flow": 3.0, "way": 120.4, "stay": 7.0})
    assert got == (
        "something moves 3 times as fast as the fastest usually does here",
        "something moves a way that is 120 times as rare as the commonest here",
        WORDS["stay"],
    )
    assert "2.6 times" in said({"flow": 4.0}, factors={"flow": 2.55001})[0]
    assert "10 times" in said({"flow": 4.0}, factors={"flow": 9.96})[0]
    assert said({"way": 9.0}, factors={"way": 3e7}) == (
        "something moves a way that is more than 1000 times as rare as the commonest here",
    )
    for useless in (1.0, 0.3, math.inf, math.nan):
        assert said({"flow": 4.0}, factors={"flow": useless}) == (WORDS["flow"],)


def test_three_times_the_usual_speed_is_told_as_three_times():
    """What is asked for as a factor of `flow` is what it is said to be."""
    rng = np.random.default_rng(0)
    maps = [rng.uniform(0.2, 1.0, (16, 16)).astype(np.float32) for _ in range(200)]
    scene = fit_stream(maps)
    usual = math.exp(np.mean([np.log((m / scene.rows(16)).max()) for m in maps]))
    fast = np.full((16, 16), 3 * usual, np.float32) * scene.rows(16)
    z = float(scene.unusual(fast).max())
    got = said({"flow": z}, factors={"flow": math.exp(z * scene.std)})
    assert got == ("something moves 3 times as fast as the fastest usually does here",)
