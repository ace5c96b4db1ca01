"""train.csv: the loss of every step."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from pathlib import Path
from typing import Any


class Curve:
    """train.csv: one row per step. After a kill the rows past the saved state are cut off."""

    def __init__(self, path: Path, resume_step: int) -> None:
        kept = _rows_before(path, resume_step)
        with path.open("w", newline="") as file:
            file.write(kept)
        self._file = path.open("a", newline="", buffering=1)  # a page draws it as it grows
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._header = bool(kept)

    def write(self, step: int, epoch: float, elapsed_s: float, lr: float, parts: Any) -> None:
        """Append one step."""
        if not self._header:
            self._writer.writerow(["step", "epoch", "elapsed_s", "lr", *parts])
            self._header = True
        values = [f"{v:.7g}" for v in parts.values()]
        self._writer.writerow([step, f"{epoch:.3f}", f"{elapsed_s:.1f}", f"{lr:.6g}", *values])

    def flush(self) -> None:
        """Bring everything to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close; on a full disk what cannot be written is lost, and was reported."""
        with contextlib.suppress(OSError):
            self._file.close()


def _rows_before(path: Path, step: int) -> str:
    """Header and rows of the steps below `step`; a half-written last line is dropped."""
    if not step or not path.exists():
        return ""
    lines = path.read_text("utf8").splitlines(keepends=True)
    kept = io.StringIO()
    for i, line in enumerate(lines):
        if not line.endswith("\n") or (i and int(line.split(",", 1)[0]) >= step):
            break
        kept.write(line)
    return kept.getvalue()
