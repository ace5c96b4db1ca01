"""Readers of the label files in use; each gives plain arrays or intervals and checks what it reads.

Intervals are (start, stop) in frames from 0, stop excluded, whatever the file counts from.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data.tables import Table
from oddframe.errors import DatasetError

Labels = NDArray[np.uint8]
"""(n,) uint8, 1 = abnormal."""
Intervals = list[tuple[int, int]]
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One line of labels.csv: an abnormal interval, in seconds or frames as the header says."""

    line: int
    video: str
    start: float
    end: float


def as_labels(values: NDArray[Any], where: str) -> Labels:
    """Check that `values` are 0 and 1 for each frame; gives (n,) uint8.

    Raises DatasetError naming `where` and what is in it.
    """
    flat = np.asarray(values)
    if flat.ndim == 2 and 1 in flat.shape:
        flat = flat.reshape(-1)  # MNAD and Matlab write 1 x N
    if flat.ndim != 1 or flat.dtype.kind not in "buif":
        raise DatasetError(
            f"{where} has shape {values.shape} and type {values.dtype}; expected one number per "
            "frame, 1 = abnormal and 0 = normal."
        )
    wrong = flat[(flat != 0) & (flat != 1)]
    if wrong.size:
        raise DatasetError(
            f"{where} holds the value {wrong[0]} ({wrong.size} of {flat.size} values are neither "
            "0 nor 1). Expected 1 = abnormal, 0 = normal; these may be scores or class numbers."
        )
    return flat.astype(np.uint8)


def fill(intervals: Intervals, n_frames: int, where: str) -> Labels:
    """Labels (n_frames,) from intervals; an interval outside the video is a DatasetError."""
    labels = np.zeros(n_frames, np.uint8)
    for start, stop in intervals:
        if not 0 <= start < stop <= n_frames:
            raise DatasetError(
                f"{where} marks the frames {start} to {stop} (counted from 0, end excluded), but "
                f"the video has {n_frames} frames. Check that labels and videos belong together."
            )
        labels[start:stop] = 1
    return labels


def load_array(path: Path) -> NDArray[Any]:
    """Load a .npy file; raises DatasetError where it is none or holds Python objects."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DatasetError(
            f"{path} is not a .npy file of plain numbers: {error}. Save it with numpy.save."
        ) from error
    if not isinstance(array, np.ndarray):
        raise DatasetError(f"{path} is an archive of several arrays; expected one, as .npy.")
    return array


def npz_keys(path: Path) -> list[str]:
    """The names of the arrays in a .npz; raises DatasetError where it is none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return list(archive.files)
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path} is not a .npz archive (one array per test video): {error}."
        ) from error


def load_npz_array(path: Path, key: str) -> NDArray[Any]:
    """Load one array of a .npz, leaving the others on disk."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[key])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(f"The array {key!r} of {path} cannot be read: {error}.") from error


def read_npz(path: Path) -> dict[str, Labels]:
    """Frame labels from a .npz: one 1-D array of 0 and 1 per video name."""
    return {
        key: as_labels(load_npz_array(path, key), f"{path}, array {key!r},")
        for key in npz_keys(path)
    }


def load_mat(path: Path, variable: str) -> NDArray[Any]:
    """Load one variable of a Matlab file (v7.2 or older); needs scipy.

    Raises DatasetError naming the extra to install, the broken file or the missing variable.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DatasetError(
            f"{path} is a Matlab file, which scipy reads, and scipy is not installed. "
            'Run: pip install "oddframe[research]" (or convert the labels to labels.npz).'
        ) from error
    if is_hdf5(path):
        raise DatasetError(
            f"{path} is a Matlab file of version 7.3 (HDF5), which scipy does not read. Save it "
            f"again in Matlab with save('{path.name}', '{variable}', '-v7'), or convert the "
            "labels to labels.npz."
        )
    try:
        content = loadmat(path)
    except Exception as error:  # scipy has many kinds: MatReadError, zlib.error, ValueError, …
        raise DatasetError(
            f"{path} cannot be read as a Matlab file: {error}. Copy it again, or save it in Matlab "
            "with -v7."
        ) from error
    if variable not in content:
        names = ", ".join(k for k in content if not k.startswith("__")) or "nothing"
        raise DatasetError(f"{path} has no variable {variable!r}; it holds {names}.")
    return np.asarray(content[variable])


def is_hdf5(path: Path) -> bool:
    """True for Matlab's version 7.3, which is HDF5 behind a header of 512 bytes, and for HDF5."""
    with path.open("rb") as file:
        head = file.read(520)
    return head[:8] == _HDF5 or head[512:] == _HDF5 or head.startswith(b"MATLAB 7.3")


def read_mat_intervals(path: Path) -> list[Intervals]:
    """FFP's ped2.mat, avenue.mat: `gt`, per video 2 x K [start; end], from 1, end included."""
    content = load_mat(path, "gt")
    if content.dtype == object:
        cells = [np.asarray(cell, np.float64) for cell in content.reshape(-1)]
    else:  # numpy users who save equal cells get (videos, 2) or (videos, 2, K)
        cells = [np.asarray(cell, np.float64) for cell in content]
    result: list[Intervals] = []
    for number, cell in enumerate(cells, 1):
        rows = cell.shape[0] if cell.ndim == 2 and cell.size > 2 else 2
        if cell.size % 2 or rows != 2:
            raise DatasetError(
                f"{path}, video {number}: expected 2 x K starts and ends, found shape {cell.shape}."
            )
        result.append([(int(start) - 1, int(end)) for start, end in cell.reshape(2, -1).T])
    return result


def read_ucsd_m(path: Path) -> list[Intervals]:
    """UCSD's list, `TestVideoFile{end+1}.gt_frame = [60:152, 170:180];`, from 1, end included."""
    text = re.sub(r"%.*", "", path.read_text(encoding="utf-8", errors="replace"))
    result: list[Intervals] = []
    for body in re.findall(r"gt_frame\s*=\s*\[([^\]]*)\]", text):
        runs = re.findall(r"(\d+)\s*:\s*(\d+)|(\d+)", body)
        result.append([(int(a or c) - 1, int(b or c)) for a, b, c in runs])
    if not result:
        raise DatasetError(f"{path} holds no line `….gt_frame = [first:last];` of UCSD's list.")
    return result


def read_csv(path: Path) -> tuple[bool, list[CsvRow]]:
    """Read labels.csv; gives (in_seconds, rows).

    The header is `video,start_s,end_s` or `video,start_frame,end_frame` (frames from 0, end
    excluded). A row with empty start and end says that the video is normal throughout.

    Raises:
        DatasetError: another header, or a line that is no interval, with its number.
    """
    table = Table(path)
    for start, end in (("start_s", "end_s"), ("start_frame", "end_frame")):
        if {"video", start, end} <= set(table.names):
            rows = [_csv_row(path, table, line, row, start, end) for line, row in table.rows()]
            return start == "start_s", [row for row in rows if row is not None]
    raise DatasetError(
        f"{path} begins with {table.head.strip()!r}; expected the header video,start_s,end_s or "
        "video,start_frame,end_frame."
    )


def _csv_row(
    path: Path, table: Table, line: int, row: dict[str, str], start: str, end: str
) -> CsvRow | None:
    video, texts = row["video"], [row[start], row[end]]
    if not video and not any(texts):
        return None  # an empty line
    if video and not any(texts):
        return CsvRow(line, video, 0.0, 0.0)
    try:
        begin, stop = (table.number(text) for text in texts)
    except ValueError:
        begin, stop = 1.0, 0.0
    if not video or not 0 <= begin < stop < float("inf"):
        raise DatasetError(
            f"{path}, line {line}: expected a video, a start and a later end, found video "
            f"{video!r}, {start} {texts[0]!r}, {end} {texts[1]!r}."
        )
    return CsvRow(line, video, begin, stop)
