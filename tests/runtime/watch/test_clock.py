"""A camera's clock grows: over connections, bursts, stamps that are set, stamps that are wrong."""

import pytest

from oddframe.runtime.watch.clock import Clock


def read(clock, stamps, arrivals, gaps=()):
    return [
        clock.read(stamp, now, i in gaps)
        for i, (stamp, now) in enumerate(zip(stamps, arrivals, strict=True))
    ]


def test_stamps_count_from_the_first():
    assert read(Clock(), [7.0, 7.04, 7.08], [100.0, 100.1, 100.11]) == pytest.approx(
        [0, 0.04, 0.08]
    )


def test_the_same_stamp_again_is_no_frame():
    # The decoder makes stamps that do not grow a thousandth greater.
    found = read(Clock(), [0, 0.04, 0.041, 0.042, 0.08], [0, 0.04, 0.05, 0.06, 0.08])
    assert found == [0, pytest.approx(0.04), None, None, pytest.approx(0.08)]


def test_over_a_new_connection_the_time_passes_that_has_passed():
    clock = Clock()
    read(clock, [50.0, 50.04], [10.0, 10.04])
    clock.connected()
    assert read(clock, [0.0, 0.04], [40.04, 40.05]) == pytest.approx([30.04, 30.08])


def test_over_a_gap_too_whatever_the_stamps_say():
    clock = Clock()
    found = read(clock, [0, 0.04, 3600.0, 3600.04], [0, 0.04, 2.04, 2.08], gaps=(2,))
    assert found == pytest.approx([0, 0.04, 2.04, 2.08])


def test_it_never_goes_back():
    clock = Clock()
    found = read(clock, [0, 0.04, 0.02, 0.06], [0, 0.0, 0.0, 0.0])
    assert found == sorted(set(found))
    clock.connected()
    assert clock.read(0.0, 0.0, False) > found[-1]


def test_a_burst_keeps_its_stamps():
    # A stall of two seconds on the way, and all that waited comes at once, three times a minute.
    clock, stamps, arrivals = Clock(), [], []
    for i in range(25 * 180):
        stamp = i / 25
        stamps.append(stamp)
        arrivals.append(stamp if stamp % 20 > 2 else stamp - stamp % 20 + 2)
    found = read(clock, stamps, arrivals)
    assert found == pytest.approx(stamps)
    assert not clock.by_arrival


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_stamps_that_run_wrong_are_not_believed_for_long(speed):
    clock = Clock()
    arrivals = [i / 25 for i in range(25 * 120)]
    found = read(clock, [speed * a for a in arrivals], arrivals)
    assert found == sorted(found)
    assert clock.by_arrival
    assert found[-1] - found[-251] == pytest.approx(10.0, abs=0.01)
    clock.connected()
    assert not clock.by_arrival
