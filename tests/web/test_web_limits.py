"""Buckets: how much at once, how much in the long run, and how many callers are remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import Clock

from oddframe.web.guard import limits as module
from oddframe.web.guard.limits import Buckets, Limits, Tries


def test_a_bucket_is_emptied_and_fills_again():
    clock = Clock()
    bucket = Buckets(2.0, 3, clock)
    assert [bucket.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert bucket.take("b") == 0
    clock.sleep(0.25)
    assert bucket.wait_s("a") == 0.25
    clock.sleep(0.25)
    assert bucket.take("a") == 0
    clock.sleep(100)
    assert [bucket.take("a") for _ in range(4)].count(0) == 3


@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), max_size=30),
    per_s=st.sampled_from([0.5, 3.0, 100.0]), burst=st.integers(1, 50),
)  # fmt: skip
def test_no_caller_gets_more_than_is_allowed(steps, per_s, burst):
    clock = Clock()
    bucket, start, got = Buckets(per_s, burst, clock), clock.now, 0
    for pause, wanted in steps:
        clock.sleep(pause)
        got += sum(bucket.take("a") == 0 for _ in range(wanted))
        assert got <= burst + per_s * (clock.now - start) + 1e-6
        wait_s = bucket.wait_s("a")
        assert 0 <= wait_s <= 1 / per_s + 1e-9
        if wait_s:
            clock.sleep(wait_s + 1e-9)
            assert bucket.take("a") == 0
            got += 1


def test_only_so_many_callers_are_remembered():
    bucket = Buckets(1.0, 1, Clock(), most=10)
    for n in range(1000):
        assert bucket.take(str(n)) == 0
    assert len(bucket._left) == 10
    assert bucket.take("999") > 0
    assert bucket.take("0") == 0


def test_addresses_that_were_right_are_forgotten_too(monkeypatch):
    monkeypatch.setattr(module, "CALLERS", 5)
    tries = Tries(Limits(clock=Clock()))
    for n in range(100):
        tries.right(f"10.0.0.{n}")
    assert len(tries._known) == 5


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"), ("::1", "::/64"), ("testclient", "testclient"),
        ("", ""), ("fe80::1%eth0", "fe80::/64"),
    ],
)  # fmt: skip
def test_whose_tries_an_address_counts_for(address, near):
    assert module._near(address) == near
