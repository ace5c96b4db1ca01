"""The fusion of the streams."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddframe.scoring.fuse import SHARPNESS, fuse, own_streams

z = st.floats(-1e3, 1e3)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=4))
def test_it_is_the_printed_formula(values):
    want = math.log(sum(math.exp(SHARPNESS * v) for v in values) / len(values)) / SHARPNESS
    assert fuse({str(i): v for i, v in enumerate(values)}) == pytest.approx(want, abs=1e-9)


def test_the_sharper_the_nearer_to_the_largest():
    values = {"a": 0.0, "b": 1.0, "c": 6.0}
    found = [fuse(values, k) for k in (0.01, 0.5, 2.0, 100.0)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(7 / 3, abs=0.1)
    assert found[-1] == pytest.approx(6, abs=0.05)


@given(st.lists(z, min_size=1, max_size=4))
def test_it_lies_between_mean_and_maximum_and_stays_finite(values):
    got = fuse({str(i): v for i, v in enumerate(values)})
    assert np.mean(values) - 1e-6 <= got <= max(values) + 1e-9


@given(z)
def test_streams_that_agree_keep_their_value(value):
    assert fuse({"a": value, "b": value, "c": value}) == pytest.approx(value)


@given(z, z, st.floats(0.01, 10))
def test_more_unusual_is_never_less(a, b, more):
    assert fuse({"a": a + more, "b": b}) >= fuse({"a": a, "b": b})


def test_maps_are_fused_place_by_place():
    maps = {n: np.random.default_rng(i).normal(size=(3, 4)) for i, n in enumerate("abc")}
    fused = fuse(maps)
    for row in range(3):
        for col in range(4):
            assert fused[row, col] == pytest.approx(fuse({n: m[row, col] for n, m in maps.items()}))


def test_own_streams_leave_flow_out():
    assert own_streams({"frame": 1.0, "flow": 2.0, "motion": 3.0}) == {"frame": 1.0, "motion": 3.0}


def test_the_model_is_one_voice():
    """Its two streams tell of the same thing: together they count as one of the others does."""
    found = fuse({"frame": 3.0, "motion": 1.0, "flow": 2.0, "way": -1.0}, 1.5)
    model = fuse({"frame": 3.0, "motion": 1.0}, 1.5)
    assert model == pytest.approx(math.log((math.exp(4.5) + math.exp(1.5)) / 2) / 1.5)
    assert found == pytest.approx(fuse({"a": model, "b": 2.0, "c": -1.0}, 1.5))
    assert fuse({"frame": 4.0, "motion": 4.0, "flow": 0.0}) == pytest.approx(
        fuse({"a": 4.0, "b": 0.0})
    )
