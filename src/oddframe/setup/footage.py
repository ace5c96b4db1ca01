"""Which recordings of a camera train a RUN, and which are kept for its threshold.

The last quarter is kept, whatever it shows: of neighbouring minutes half would be known from the
other half. What is recorded later joins it. What trained a RUN stands in the RUN.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oddframe.errors import DatasetError
from oddframe.runtime.record import recordings, seconds_of
from oddframe.runtime.tape import UNFINISHED
from oddframe.setup.job import read_json, write_private

KEPT = 0.25
"""Share of the time that is kept for the threshold."""
TRAINED = "recordings.json"
"""In a RUN: which recordings trained it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is recorded of a camera."""

    seconds: float
    files: int
    bytes: int
    newest_utc: float | None
    """When the newest file was written; None where there is none."""


class Lengths:
    """Measures folders of recordings; what it has measured it does not open again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, float]] = {}

    def of(self, folder: Path) -> Kept:
        """What is in a folder."""
        seconds, size, newest = 0.0, 0, None
        found = recordings(folder)
        for path in found:
            try:
                stat = path.stat()
            except OSError:  # deleted meanwhile
                continue
            known = self._known.get(path)
            if known is None or known[0] != stat.st_size:
                known = self._known[path] = stat.st_size, seconds_of(path)
            seconds, size = seconds + known[1], size + stat.st_size
            newest = max(newest or 0.0, stat.st_mtime)
        return Kept(seconds, len(found), size, newest)


def footage_folder(store: Path, camera: str) -> Path:
    """Where the recordings of a camera are."""
    return store / "footage" / camera


def to_train(folder: Path) -> list[str]:
    """Names of the recordings that train.

    Raises:
        DatasetError: there are none.
    """
    found = recordings(folder)
    if not found:
        raise DatasetError(
            f"Nothing is recorded of {folder.name}: record an hour of what is normal first."
        )
    lengths = [seconds_of(path) for path in found]
    left = KEPT * sum(lengths)
    count = len(found)
    while count > 1 and left > 0:  # one that is by itself trains
        count -= 1
        left -= lengths[count]
    return [path.name for path in found[:count]]


def to_calibrate(folder: Path, run: Path) -> list[str]:
    """Names of the recordings that did not train a RUN.

    Raises:
        DatasetError: there are none.
    """
    trained = trained_on(run, folder.name)
    found = [path.name for path in recordings(folder) if path.name not in trained]
    if not found:
        raise DatasetError(
            f"There is no recording of {folder.name} that {run.name} was not trained on, and those "
            "say nothing of a threshold: record some more of what is normal, hours if you can."
        )
    return found


def trained_on(run: Path, camera: str) -> set[str]:
    """Names of the recordings of a camera that trained a RUN."""
    known = read_json(run / TRAINED)
    files = known.get("files")
    if known.get("camera") != camera or not isinstance(files, list):
        return set()
    return {str(name) for name in files}


def note_trained(run: Path, camera: str, names: Sequence[str]) -> None:
    """Write into a RUN what trained it."""
    write_private(run / TRAINED, {"camera": camera, "files": list(names)})


def linked(folder: Path, names: Sequence[str], into: Path) -> Path:
    """A folder that holds some recordings alone, by links; what it held before is gone.

    Raises:
        DatasetError: one of them is gone.
    """
    gone = [name for name in names if not (folder / name).is_file()]
    if gone:
        raise DatasetError(
            f"{len(gone)} of {len(names)} recordings of {folder.name} that this job works with are "
            f"gone, {gone[0]} first: was the folder cleared? Start a new one."
        )
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name in names:
        os.symlink((folder / name).resolve(), into / name)
    return into


def forget(folder: Path) -> None:
    """Delete the recordings of a camera, those that were never finished too, and nothing else that
    lies there. None may be under way: it would finish its file.
    """
    for path in [*recordings(folder), *folder.glob(f"{UNFINISHED}*")]:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
