"""The newest frame, handed from thread to thread: nothing is given twice, no gap is lost."""

import itertools
import threading
import time

import numpy as np
import pytest

from oddframe.runtime.watch.feed import Bell, Feed, LiveFrame


def frame(index, gap=False, why=None, pts_s=None, arrived_s=0.0):
    picture = np.full((4, 4, 3), index % 256, np.uint8)
    at_s = index / 25 if pts_s is None else pts_s
    return LiveFrame(index, at_s, picture, gap, arrived_s, 1000.0 + at_s, why)


def test_the_newest_frame_is_given_once():
    feed = Feed()
    assert feed.take() is None
    for index in range(3):
        feed.put(frame(index))
    taken = feed.take()
    assert (taken.index, taken.gap, taken.t_utc) == (2, False, 1000.08)
    assert feed.take() is None
    assert feed.dropped == {"newer": 2}
    assert feed.taken == 1


def test_a_gap_before_a_dropped_frame_is_before_the_next():
    feed = Feed()
    feed.put(frame(0, True, "lost"))
    feed.put(frame(1))
    feed.put(frame(2))
    taken = feed.take()
    assert (taken.index, taken.gap, taken.why) == (2, True, "lost")
    feed.put(frame(3))
    assert not feed.take().gap


def test_a_gap_before_a_frame_that_was_too_old_is_before_the_next():
    feed = Feed()
    feed.put(frame(0, True, "changed"))
    feed.skip("stale")
    assert feed.take() is None
    feed.put(frame(1))
    taken = feed.take()
    assert (taken.gap, taken.why) == (True, "changed")
    assert feed.dropped == {"stale": 1}


def test_a_gap_may_be_said_before_its_frame_comes():
    feed = Feed()
    feed.mark("lost")
    feed.mark("changed")  # the first holds
    feed.count("frozen")
    feed.put(frame(0))
    taken = feed.take()
    assert (taken.gap, taken.why) == (True, "lost")
    assert feed.dropped == {"frozen": 1}


def test_a_gap_without_a_reason_is_damage():
    feed = Feed()
    feed.put(frame(0, True))
    assert feed.take().why == "damage"


def test_so_much_left_out_that_no_motion_can_be_followed_is_a_gap():
    feed = Feed(pause_s=1.0)
    for pts_s, gap in ((0.0, False), (1.0, False), (2.01, True), (2.5, False)):
        feed.put(frame(1, pts_s=pts_s))
        taken = feed.take()
        assert taken.gap == gap
        assert taken.why == ("skipped" if gap else None)


def test_when_the_frame_that_waits_came():
    feed = Feed()
    assert feed.waiting_s() is None
    feed.put(frame(0, arrived_s=12.5))
    assert feed.waiting_s() == 12.5
    files = Feed(live=False)
    assert files.offer(frame(0, arrived_s=None))
    assert files.waiting_s() == float("-inf")


def test_files_wait_for_their_consumer():
    feed, seen = Feed(live=False), []
    bell_rung = threading.Event()

    def give():
        for index in range(20):
            assert feed.offer(frame(index))
        bell_rung.set()

    thread = threading.Thread(target=give, daemon=True)
    thread.start()
    until = time.monotonic() + 5
    while len(seen) < 20 and time.monotonic() < until:
        if (taken := feed.take()) is not None:
            seen.append(taken.index)
            time.sleep(0.002)
    thread.join(1)
    assert seen == list(range(20))
    assert feed.dropped == {}
    assert bell_rung.is_set()


def test_waiting_ends_when_it_is_given_up_or_closed():
    feed = Feed(live=False)
    assert feed.offer(frame(0))
    assert not feed.offer(frame(1), given_up=lambda: True)
    threading.Timer(0.1, feed.close).start()
    began = time.monotonic()
    assert not feed.offer(frame(1))
    assert time.monotonic() - began < 1
    assert not feed.offer(frame(2))
    assert feed.take().index == 0  # what was there is not lost
    feed.put(frame(3))
    assert feed.take() is None


def test_one_bell_for_many_feeds():
    bell = Bell()
    feeds = [Feed(bell), Feed(bell)]
    assert not bell.wait(0.01)
    feeds[1].put(frame(0))
    assert bell.wait(0)  # rung before anybody waited
    assert not bell.wait(0.01)
    threading.Timer(0.05, lambda: feeds[0].put(frame(0))).start()
    began = time.monotonic()
    assert bell.wait(5)
    assert time.monotonic() - began < 1


def test_nothing_is_lost_or_given_twice_between_threads():
    feed, seen, count = Feed(), [], 3000
    done = threading.Event()

    def give():
        for index in range(count):
            feed.put(frame(index, index % 100 == 0, "damage" if index % 100 == 0 else None))
        done.set()

    threading.Thread(target=give, daemon=True).start()
    while not (done.is_set() and feed.waiting_s() is None):
        if (taken := feed.take()) is not None:
            seen.append(taken)
    indices = [taken.index for taken in seen]
    assert indices == sorted(set(indices))
    assert indices[-1] == count - 1
    assert len(indices) + feed.dropped.get("newer", 0) == count
    # Between two frames that were taken there is a gap where one was before any left out.
    for before, after in itertools.pairwise(seen):
        broke = before.index // 100 != after.index // 100
        assert after.gap == (broke or after.pts_s - before.pts_s > 1), (before, after)


def test_a_live_frame_is_a_frame():
    taken = frame(7)
    assert taken.image.shape == (4, 4, 3)
    assert taken.at(2).shape == (2, 2, 3)
    with pytest.raises(AttributeError):
        taken.t_utc = 0.0
