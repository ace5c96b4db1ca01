"""The optional C libraries; everything else about the package is in pyproject.toml.

One source, one library for each instruction set, chosen at run time (oddframe.ops.native). Without
a compiler, or with one that does not know GCC's vector extensions, they are left out and oddframe
runs on plain torch. They know nothing of Python: a wheel is of a platform, and of no version of it.
"""

import os
import platform
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

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
    flags = [
        "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi",
    ]  # fmt: skip
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


class Build(build_ext):
    """Libraries named for no version of Python."""

    def get_ext_filename(self, fullname: str) -> str:
        """`oddframe/ops/native/scan_avx2.so`."""
        return os.path.join(*fullname.split(".")) + ".so"


class Wheel(bdist_wheel):
    """A wheel for every Python of a platform."""

    def get_tag(self) -> tuple[str, str, str]:
        """`py3-none-PLATFORM`."""
        return "py3", "none", super().get_tag()[2]


setup(ext_modules=extensions(), cmdclass={"build_ext": Build, "bdist_wheel": Wheel})
