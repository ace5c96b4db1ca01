"""Settings of the process that training and scoring are several times slower without."""

from __future__ import annotations

import ctypes
import os
import sys

# From <malloc.h>: numbers of glibc's mallopt parameters.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_NEVER = 2**31 - 1


def prepare() -> None:
    """Set what must be set before torch is imported; call it first in a program.

    OpenMP threads spin for microseconds only while they wait: with libgomp's default two busy ones
    stall each other thirtyfold on a loaded machine, without any spinning a training step takes a
    third longer (0.50 against 0.66 s on two quiet cores). Large tensors lie in huge pages.
    Settings that the user made are kept.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    keep_freed_memory()


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
    mallopt(_MMAP_THRESHOLD, _NEVER)
    mallopt(_TRIM_THRESHOLD, _NEVER)
    mallopt(_TOP_PAD, 1 << 28)
