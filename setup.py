"""The optional C extension; everything else about the package is in pyproject.toml.

One source, one library for each instruction set, chosen at run time (oddframe.ops.native). Without
a compiler, or with one that does not know GCC's vector extensions, the libraries are left out and
oddframe runs on plain torch.
"""

import os
import platform
import subprocess
import sys

from setuptools import Extension, setup

FOLDER = "src/oddframe/ops/native"
PARTS = ("scan.c", "scan.h", "forward.h", "backward.h", "norm.h", "probe.h", "vec.h")
X86 = platform.machine().lower() in ("x86_64", "amd64")
SETS = {"plain": []}
if X86:
    SETS["avx2"] = ["-mavx2", "-mfma"]
    SETS["avx512"] = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"]


def openmp() -> list[str]:
    """Threads come from the GNU runtime that torch has loaded: only GCC's code calls that one."""
    compiler = os.environ.get("CC", "cc").split()
    try:
        said = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout
    except OSError:
        return []
    return [] if "clang" in said or not sys.platform.startswith("linux") else ["-fopenmp"]


def extensions() -> list[Extension]:
    """A library per instruction set, none on Windows (the sources need GCC or Clang)."""
    if sys.platform == "win32":
        return []
    # No -ffast-math: the rounding by a magic number in vec.h would be optimised away.
    flags = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi"]
    threads = openmp()
    return [
        Extension(
            f"oddframe.ops.native.scan_{name}",
            sources=[f"{FOLDER}/scan_{name}.c"],
            depends=[f"{FOLDER}/{name}" for name in PARTS],
            extra_compile_args=[*flags, *threads, *isa],
            optional=True,
        )
        for name, isa in SETS.items()
    ]


setup(ext_modules=extensions())
