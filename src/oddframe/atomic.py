"""Files that are there whole or not at all, whatever happens: a full disk, a kill, a power cut."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from oddframe.errors import RunError


def write_json(path: Path, values: Any) -> None:
    """Write JSON atomically; NaN is refused (it is not JSON)."""
    text = as_json(values)
    write_atomic(path, lambda p: p.write_text(text, "utf8"))


def as_json(values: Any) -> str:
    """JSON as our files have it; ValueError for a NaN, which is none."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _short(name: str) -> str:
    """As much of a name as leaves room for what a temporary one adds: of 255 bytes, 200, and no
    half of a letter, which some disks refuse."""
    return os.fsencode(name)[:200].decode("utf8", "ignore")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it into place.

    Raises:
        RunError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    write_together({path: write})


def write_together(files: Mapping[Path, Callable[[Path], object]]) -> None:
    """`write_atomic` for files that belong together: no one is renamed before all are on the disk.

    files: what fills each, in the order in which they appear.

    Raises:
        RunError: as there; all files are as they were.
    """
    made: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{_short(path.name)}.", dir=path.parent)
            os.close(handle)
            made[path] = Path(name)
            write(made[path])
            made[path].chmod(0o644)
            flush(made[path])
        for path, temporary in made.items():
            temporary.replace(path)
        for folder in {path.parent for path in made}:
            with contextlib.suppress(OSError):  # not every file system takes that of a folder
                flush(folder)
    except OSError as error:
        raise RunError(
            f"Cannot write {path}: {error.strerror or error}. Nothing was changed; free some "
            "space or choose another place."
        ) from None
    finally:
        for temporary in made.values():
            temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk: some file systems rename a file
    before its content is there, and a power cut leaves it empty."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
