"""Work done ahead of its consumer: any iterator, run by a thread of its own, a few items deep.

    with closing(ahead(items, depth=2)) as early:
        for item in early: ...           # what `for item in items: ...` sees, in the same order

It pays where making an item lets go of Python's lock, as OpenCV's decoding and resizing do.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
NICE = 10
"""Rank of the thread below the others. On two cores, `m2s2l-edge` from 720p H.264: 22.9 ms a frame
instead of 27.8 at one rank, and 24.7 without a thread."""


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    item: T


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def ahead(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """The items of an iterable, of which up to `depth` are made before they are asked for.

    The thread starts with the first item asked for. It has ended when this generator has: after
    the last item, an error, or `close`, which waits for the item that is being made and for the
    `close` of `items` (called in the thread that ran it). Whatever `items` read from may be
    released from then on.

    Args:
        items: iterated once, in one thread that is not the caller's. An item must not be changed
            after it was handed over: a buffer used twice would be overwritten too early.
        depth: items made and not yet taken, the one in the making included; at least 1. So many
            are held in memory beside the one the consumer works on.

    Raises:
        ValueError: a depth below 1.
        Whatever `items` raises, after all items that came before; what it raises while it is
            being closed early is dropped.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    room, made = threading.Semaphore(depth), SimpleQueue[_Made[T] | _End]()
    stopped = threading.Event()
    # A daemon, so that a generator left half used cannot keep the interpreter from ending.
    thread = threading.Thread(
        target=_make, args=(items, room, made.put, stopped), name="oddframe-ahead", daemon=True
    )

    def end() -> None:
        stopped.set()
        room.release()
        if thread is not threading.current_thread():  # collected as garbage by the thread itself
            thread.join()

    thread.start()
    # At exit a daemon is frozen wherever it is, perhaps inside a decoder that is then torn down.
    atexit.register(end)
    found: _Made[T] | _End | None = None
    try:
        while isinstance(found := made.get(), _Made):
            room.release()  # taken: the next may be made while the consumer works on this one
            yield found.item
            found = None  # one item less in memory while the next is awaited
        if found.error is not None:
            raise found.error
    finally:
        end()
        atexit.unregister(end)
        found = None  # else the error holds this frame by its traceback, and this frame the error


def _give_way() -> None:
    """Let the consumer's threads go first where cores are few.

    A model's two threads wait for each other many times a frame: while a third of the same rank
    holds one of two cores, both stand still, and reading ahead costs more than it saves.
    """
    if sys.platform == "linux":  # elsewhere the rank belongs to the whole process
        with contextlib.suppress(OSError):
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + NICE)


def _make(
    items: Iterable[T],
    room: threading.Semaphore,
    put: Callable[[_Made[T] | _End], None],
    stopped: threading.Event,
) -> None:
    """The thread: make items while there is room, then hand over how it ended."""
    _give_way()
    try:
        source = iter(items)
        try:
            while room.acquire() and not stopped.is_set():
                put(_Made(next(source)))
        except StopIteration:
            pass
        finally:
            close = getattr(source, "close", None)
            if close is not None:  # a generator's own `finally`, in the thread that ran it
                close()
    except BaseException as error:  # raised again in the consumer's thread
        put(_End(error))
    else:
        put(_End(None))
