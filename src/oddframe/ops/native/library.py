"""Finds and loads the compiled scan: which instruction set, whose threads, and why not.

The C code knows nothing of Python or torch: it is loaded with ctypes and gets pointers.
"""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

SETS = {"AVX512": ("avx512", "avx2", "plain"), "AVX2": ("avx2", "plain")}
"""What torch says of the processor -> libraries to try, best first; `plain` elsewhere."""

_I, _P = ctypes.c_int64, ctypes.c_void_p


def _words(text: str) -> list[str]:
    return text.split()


class Scan(ctypes.Structure):
    """`Scan` of scan.c, field by field."""

    _fields_ = [
        *((name, _I) for name in _words("b g e n rows cols joint softplus threads part")),
        *((name, _P) for name in _words("order u delta A B C bias D up")),
        *((name, _I) for name in _words("rank placed")),
        *((f"{x}_{d}", _I) for x in ("u", "delta", "B", "C") for d in "blg"),
        *((name, _P) for name in _words("y last start gy gu gdelta gA gbias gD gB gC")),
    ]


@dataclass(frozen=True, slots=True)
class Library:
    """The loaded library."""

    name: str
    """Instruction set: avx512, avx2, plain."""
    code: ctypes.CDLL
    tile: int
    """Steps between two saved states."""


@functools.cache
def load(name: str | None = None) -> Library | str:
    """The library for this processor, or `name`'s; a sentence that says why there is none."""
    best = SETS.get(torch.backends.cpu.get_cpu_capability(), ("plain",))
    missing = "the C extension was not built (no C compiler when oddframe was installed)"
    for choice in best if name is None else (name,):
        path = Path(__file__).with_name(f"scan_{choice}.so")
        if not path.is_file():
            continue
        try:
            return open_library(choice, path)
        except (OSError, AttributeError) as error:  # the latter from a library of an older source
            missing = f"the C extension does not load ({error})"
    return missing


def open_library(name: str, path: Path) -> Library:
    """Load the shared object at `path`; OSError where it does not fit this machine."""
    _share_threads()
    code = ctypes.CDLL(str(path))
    for call in (code.oddframe_scan_forward, code.oddframe_scan_backward):
        call.argtypes, call.restype = [ctypes.POINTER(Scan)], ctypes.c_int
    for bound in (code.oddframe_exp_bound, code.oddframe_arithmetic_bound):
        bound.argtypes, bound.restype = [_I, _I], ctypes.c_float
    code.oddframe_norm.argtypes = [*(_P,) * 4, ctypes.c_float, _I, _I, _P, _I]
    code.oddframe_norm.restype = None
    for call in (code.oddframe_exp2, code.oddframe_softplus):
        call.restype = None
    return Library(name, code, code.oddframe_tile())


def _share_threads() -> None:
    """Make the OpenMP runtime that torch runs on the one that the library finds.

    It is linked against none: two runtimes would mean two pools of threads for two cores.
    """
    if not sys.platform.startswith("linux"):
        return
    for name in (*_loaded_runtimes(), "libgomp.so.1"):
        try:
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return


def _loaded_runtimes() -> Iterator[str]:
    """Paths of the GNU OpenMP runtimes in this process, torch's own first."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    found = dict.fromkeys(re.findall(r"\S*/libgomp[^/\s]*", maps))
    yield from sorted(found, key=lambda path: "torch" not in path)
