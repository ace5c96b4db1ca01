"""Settings of the process that training and scoring are several times slower without."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

# From <malloc.h>: numbers of glibc's mallopt parameters.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1
_MOST_ONCE = 1 << 25


def tune() -> None:
    """What a process needs that computes; again it does nothing. Best before torch is imported.

    OpenMP threads spin for microseconds only while they wait: with libgomp's default two busy ones
    stall each other thirtyfold on a loaded machine, without any spinning a training step takes a
    third longer (0.50 against 0.66 s on two quiet cores). Where torch is there already, the same
    comes of `rest_a_team`. Large tensors lie in huge pages. Settings that the user made are kept.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        if "torch" in sys.modules:  # whose libgomp has read them
            rest_a_team()
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    keep_freed_memory()


def rest_a_team() -> None:
    """Let OpenMP threads spin next to never from now on, although libgomp was loaded for it.

    libgomp spins 3 ms at every wait unless it manages more threads than there are cores, when it
    spins a microsecond (`gomp_throttled_spin_count_var`). So here it gets a team of one thread more
    than there are cores that never has anything to do and sleeps (measured: docs/speed.md). Does
    nothing where there is no libgomp.
    """
    try:
        maps = Path("/proc/self/maps").read_text("utf8")
    except OSError:
        return
    loaded = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/libgomp" in line}
    for path in sorted(loaded):
        started = threading.Event()
        threading.Thread(target=_rest, args=(path, started), daemon=True).start()
        started.wait()


def _rest(path: str, started: threading.Event) -> None:
    """A team is of the thread that made it, and gone with it."""
    try:
        nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # of NULL it does nothing
        ctypes.CDLL(path).GOMP_parallel(nothing, None, ctypes.c_uint(cores() + 1), 0)
    except (OSError, AttributeError):
        return
    finally:
        started.set()
    threading.Event().wait()


def cores() -> int:
    """Processor cores that this process may use; all of the machine where it does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next allocation instead of giving it back.

    A training step allocates and frees the same hundreds of megabytes; by default each tensor
    above 128 kB is mapped afresh and every page of it faults: half the time of a step on a
    virtual machine. Does nothing where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return
    if not mallopt(_MMAP_THRESHOLD, _NEVER):
        # Older glibc takes no more than it would come to by itself, which it does not any more once
        # the other two are set.
        mallopt(_MMAP_THRESHOLD, _MOST_ONCE)
    mallopt(_TRIM_THRESHOLD, _NEVER)
    mallopt(_TOP_PAD, 1 << 28)


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM (a scheduler's, systemd's, `kill`'s) stops as Ctrl-C does: what is under way is saved
    or tidied. Outside the main thread, which alone may say so, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


_THREADS = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that start inside have one thread; they read these variables as they start."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def end_with(parent: int) -> None:
    """Let this process end with the one that started it, however that ends; Ctrl-C is for that
    one to hand on.

    parent: its id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
