"""Reading ahead: the same items in the same order, errors in their place, and no thread left."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import closing
from itertools import count

import pytest

from oddframe.runtime.ahead import NICE, ahead


def readers():
    return [t for t in threading.enumerate() if t.name == "oddframe-ahead"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not readers()


def until(condition, timeout_s=10.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.001)


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("n", [0, 1, 3, 100])
def test_the_items_are_those_of_the_iterable_in_its_order(n, depth):
    assert list(ahead(range(n), depth)) == list(range(n))


@pytest.mark.parametrize("depth", [1, 3])
def test_as_many_items_as_the_depth_are_made_early_and_no_more(depth):
    made = []

    def items():
        for i in range(20):
            made.append(i)
            yield i

    with closing(ahead(items(), depth)) as early:
        for item in early:
            until(lambda item=item: len(made) == min(20, item + 1 + depth))
            time.sleep(0.002)  # one too many would come now
            assert len(made) == min(20, item + 1 + depth)


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield from range(4)
        raise OSError("cut short")

    taken = []
    with pytest.raises(OSError, match="cut short") as caught:
        taken.extend(ahead(items(), 2))
    assert taken == [0, 1, 2, 3]
    assert any(entry.name == "items" for entry in caught.traceback)  # says where it happened


def test_what_cannot_be_iterated_is_an_error_of_the_first_item():
    with pytest.raises(TypeError):
        next(ahead(5, 1))
    with pytest.raises(ValueError, match="depth must be at least 1"):
        next(ahead([], 0))


def leave_early(how, early):
    """Take three items, then stop."""
    with closing(early):
        for item in early:
            if item == 2:
                if how == "break":
                    break
                raise RuntimeError("the consumer's own")


@pytest.mark.parametrize("how", ["break", "raise"])
@pytest.mark.parametrize("slow", [False, True], ids=["waiting for room", "making an item"])
def test_the_items_are_closed_by_their_own_thread_before_close_returns(how, slow):
    ends = []

    def items():
        try:
            for i in count():
                if slow and i == 4:
                    time.sleep(0.1)
                yield i
        finally:
            ends.append(threading.current_thread().name)

    if how == "break":
        leave_early(how, ahead(items(), 2))
    else:
        with pytest.raises(RuntimeError, match="own"):
            leave_early(how, ahead(items(), 2))
    assert ends == ["oddframe-ahead"]
    assert not readers()


def test_an_iterator_dropped_half_way_ends_its_thread():
    early = ahead(count(), 2)
    assert next(early) == 0
    assert len(readers()) == 1
    del early
    assert not readers()


def test_one_that_was_never_asked_has_no_thread():
    early = ahead(count(), 2)
    assert not readers()
    early.close()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a rank of their own on Linux")
def test_the_thread_gives_way_and_its_consumer_keeps_its_rank():
    def rank():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = rank()
    assert list(ahead((rank() for _ in range(3)), 2)) == [min(19, before + NICE)] * 3
    assert rank() == before


def test_two_side_by_side_do_not_mix():
    pairs = zip(ahead(range(50), 2), ahead(range(100, 150), 1), strict=True)
    assert list(pairs) == [(i, 100 + i) for i in range(50)]


class Picture:
    pass


def test_a_waiting_consumer_holds_no_item():
    def items():
        for _ in range(4):
            picture = Picture()
            last = weakref.ref(picture)
            yield picture
            del picture
            until(lambda last=last: last() is None)

    assert list(map(type, ahead(items(), 1))) == [Picture] * 4


def test_an_error_is_no_cycle_that_holds_pictures():
    born = []

    def items():
        picture = Picture()
        born.append(weakref.ref(picture))
        raise OSError
        yield picture

    gc.disable()
    try:
        with pytest.raises(OSError):
            next(ahead(items(), 1))
        assert [ref() for ref in born] == [None]
    finally:
        gc.enable()


ABANDONED = """
import time
from itertools import count
from oddframe.runtime.ahead import NICE, ahead
def slow():
    try:
        for i in count():
            time.sleep(0.01)
            yield i
    finally:
        print("closed", flush=True)
early = ahead(slow(), 2)
print(next(early), flush=True)
"""


def test_a_program_that_leaves_one_open_ends_all_the_same():
    run = subprocess.run(
        [sys.executable, "-c", ABANDONED], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout.split(), run.stderr) == (0, ["0", "closed"], "")


STUCK = """
import signal, sys
from oddframe.runtime.ahead import ahead
def said(*_):
    print("interrupted", flush=True)
    raise KeyboardInterrupt
def slow():
    yield 0
    sys.stdin.readline()
    yield 1
signal.signal(signal.SIGINT, said)
for i in ahead(slow(), 2):
    print(i, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
def test_an_interrupt_reaches_a_consumer_that_waits():
    run = subprocess.Popen(
        [sys.executable, "-c", STUCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stdout.readline() == "0\n"
    run.send_signal(signal.SIGINT)
    assert run.stdout.readline() == "interrupted\n"  # while item 1 is still waited for
    out, err = run.communicate("now\n", timeout=60)
    assert out == ""
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert run.returncode == -signal.SIGINT
