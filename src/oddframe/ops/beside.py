"""Two halves of a model at once, a thread each, instead of every operation shared by two threads.

A small model is some hundred short operations. Sharing each out means to wake the other thread and
to wait for it, hundreds of times per frame; halves that do not need each other meet a few times.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

T = TypeVar("T")
THREADS = 2
"""Only two threads are split: more would have to be shared out anew at every meeting."""


@contextmanager
def beside(values: Iterator[T], like: Tensor) -> Iterator[Iterator[T]]:
    """Work off `values` in a second thread while the body runs; the same values arrive there.

    The body must not touch what `values` is made of. Inside, both threads compute alone; an
    exception of the other half is raised where its value would have arrived. Where two threads
    cannot be split (`splits`), the body gets `values` itself: the same numbers, one by one.

    like: a tensor that the work begins with.
    """
    if not splits(like):
        yield values
        return
    ready: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    job = _helper(os.getpid()).submit(_work_off, values, ready, torch.is_inference_mode_enabled())
    torch.set_num_threads(1)  # of this thread, and for a moment of threads that others start
    try:
        yield _arriving(ready)
    finally:
        job.result()
        torch.set_num_threads(THREADS)


def splits(like: Tensor) -> bool:
    """Whether `beside` takes a second thread: two there, no gradient, nobody watching operations.

    What compilers, counters and autocast know of a thread does not reach another one.
    """
    if torch.compiler.is_compiling() or type(like) is not Tensor or not like.is_cpu:
        return False
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    watched = tracing or _get_current_dispatch_mode() is not None
    watched = watched or torch.is_autocast_enabled("cpu") or torch.is_grad_enabled()
    return not watched and torch.get_num_threads() == THREADS


@functools.cache
def _helper(process: int) -> ThreadPoolExecutor:
    """The second thread of this process; a forked one does not have its parent's."""
    return ThreadPoolExecutor(
        1, "oddframe-beside", initializer=torch.set_num_threads, initargs=(1,)
    )


def _work_off(
    values: Iterator[T], ready: SimpleQueue[tuple[T] | BaseException | None], inference: bool
) -> None:
    try:
        with torch.inference_mode(inference), torch.no_grad():
            for value in values:
                ready.put((value,))
    except BaseException as error:  # raised in the body
        ready.put(error)
    else:
        ready.put(None)


def _arriving(ready: SimpleQueue[tuple[T] | BaseException | None]) -> Iterator[T]:
    while (value := ready.get()) is not None:
        if isinstance(value, BaseException):
            raise value
        yield value[0]
