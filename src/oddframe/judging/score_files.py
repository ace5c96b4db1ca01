"""Scores made elsewhere: the file forms that circulate, their names, their missing frames.

Accepted scores: .npz with one array per video; .npy with the frames of all videos one after the
other; a folder of .csv (a column per term) or of .npy, one per video. Accepted labels: .npz, .npy
(all videos in one), a folder of .npy, FFP's .mat and UCSD's .m lists, or the root of a data set.

Files without names (.npy, .mat, .m) hold the videos in the natural order of their names.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from oddframe.data import frame_labels, label_source, open_dataset
from oddframe.data.dataset import numbers
from oddframe.data.label_readers import fill, load_array, read_mat_intervals, read_ucsd_m
from oddframe.data.official import known_labels
from oddframe.data.tables import Table
from oddframe.errors import OddframeWarning, ProtocolError
from oddframe.judging.protocol import Protocol
from oddframe.metrics.rows import load_npz
from oddframe.sources.names import entries, is_file, is_junk, naturally

Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")
NOT_STATED = "not stated (scores made elsewhere)"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file of foreign scores is to be understood."""

    column: str | None = None
    """Of the CSV files: the term to judge; None: `score`, or the only one there is."""
    only: str = ""
    """Use the arrays whose names begin with this."""
    regularity: bool = False
    """Larger means more normal: the scores are negated."""
    cut: tuple[int, int] | None = None
    """The file lacks this many frames at the start and the end of every video."""
    align_end: bool = False
    """A video with fewer scores than labels has them for its last frames."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Foreign scores and their labels under the labels' names, lined up frame by frame."""

    scores: Arrays
    """Per video (n,) float64, NaN where the file has no score."""
    labels: Arrays
    cut: tuple[int, int]
    """Frames that the file lacks at the start and end of every video."""
    source: str
    """Which labels these are."""


def read_foreign(
    scores: Path, labels: Path, protocols: Sequence[Protocol], reading: Reading
) -> Foreign:
    """Read both files and line them up.

    A file that is short by exactly what one of the protocols drops at both ends of every video
    (MemAE's 8 and 7) is read as having those frames cut off; nothing else is guessed.

    Raises ProtocolError and DatasetError, naming file and video.
    """
    read = _read_scores(scores, reading)
    return _line_up(read, scores, *_read_labels(labels, read), protocols, reading)


def foreign_scores(
    scores: Path, labels: Arrays, source: str, protocols: Sequence[Protocol], reading: Reading
) -> Foreign:
    """As `read_foreign`, for labels (n,) by video that are known already."""
    return _line_up(_read_scores(scores, reading), scores, labels, source, protocols, reading)


def _line_up(
    read: Arrays | NDArray[Any], scores: Path, truth: Arrays, source: str,
    protocols: Sequence[Protocol], reading: Reading,
) -> Foreign:  # fmt: skip
    cut: tuple[int, int] = reading.cut or next(
        ((p.drop, p.drop_end) for p in protocols if p.drop_end and p.drop is not None), (0, 0)
    )
    if isinstance(read, np.ndarray):
        parts, missing = _split(read, _lengths(truth, scores), cut, scores, reading.cut is not None)
    else:
        parts, missing = named_alike(read, list(truth)), (0, 0)
        lacks = {truth[k].size - parts[k].size for k in parts.keys() & truth.keys()}
        if sum(cut) and lacks == {sum(cut)}:
            missing = cut
    lined = {k: _lined(v, missing, truth.get(k), reading) for k, v in parts.items()}
    return Foreign(lined, truth, missing, source)


def _lined(
    values: NDArray[Any], cut: tuple[int, int], truth: NDArray[Any] | None, reading: Reading
) -> NDArray[Any]:
    """Scores of one video with NaN where there is none; negated where they are regularity."""
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        return values  # the rule refuses it by name
    out = np.pad(values.astype(np.float64), cut, constant_values=np.nan)
    if reading.align_end and truth is not None and out.size < truth.size:
        out = np.pad(out, (truth.size - out.size, 0), constant_values=np.nan)
    return -out if reading.regularity else out


def _lengths(named: Arrays, path: Path) -> dict[str, int]:
    """Frames by video, in the order in which `path`, a file without names, holds the videos.

    An archive has the order in which it was saved, often that of text (1, 10, 11, 2), which says
    nothing of the other file; where it is another one a warning says which is taken.
    """
    names = naturally(named)
    if names != list(named):
        warnings.warn(
            f"{path} does not name its videos; they are taken in the order {_first(names)}, as "
            f"people count, and not {_first(list(named))}, as the named file was saved. If that "
            "is wrong, give one array per video under its name.",
            OddframeWarning,
            stacklevel=2,
        )
    return {name: named[name].size for name in names}


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + " …" * (len(names) > 4)


def _split(
    whole: NDArray[Any], lengths: Mapping[str, int], cut: tuple[int, int], path: Path, sure: bool
) -> tuple[Arrays, tuple[int, int]]:
    """The frames of all videos, one after the other, by video."""
    lost = cut[0] + cut[1]
    total = sum(lengths.values())
    short = total - len(lengths) * lost
    if whole.size == total and not (sure and lost):
        cut = (0, 0)
    elif whole.size != short:
        also = f", or {short} without the first {cut[0]} and last {cut[1]} of each" * bool(lost)
        raise ProtocolError(
            f"{path} holds {whole.size} scores; the labels of {len(lengths)} videos need {total}"
            f"{also}. If frames are missing at the ends of every video, say how many: --cut F:L."
        )
    sizes = [n - cut[0] - cut[1] for n in lengths.values()]
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    return dict(zip(lengths, parts, strict=True)), cut


def named_alike(read: Mapping[str, T], names: Sequence[str]) -> dict[str, T]:
    """Files under the labels' names: equal names, else equal last numbers, else as they are."""
    if set(read) & set(names):
        return dict(read)
    found: dict[str, T] = {}
    for name in names:
        own = numbers(name)
        fits = [k for k in read if own and numbers(k)[-len(own) :] == own]
        if len(fits) == 1:
            found[name] = read[fits[0]]
    return found if len(found) == len(read) else dict(read)


def _read_scores(path: Path, reading: Reading) -> Arrays | NDArray[Any]:
    if path.is_dir():
        read: Arrays = _read_folder(path, reading)
    elif path.suffix.lower() == ".npy":
        whole = np.asarray(_plain(load_array(path)))
        if whole.ndim != 1:
            raise ProtocolError(
                f"{path} has shape {whole.shape}; expected one number per frame, the frames of all "
                "videos one after the other."
            )
        return whole
    else:
        read = load_npz(path)
    kept = {k: _plain(v) for k, v in read.items() if k.startswith(reading.only)}
    if not kept:
        raise ProtocolError(
            f"{path}: no array begins with {reading.only!r}; there are {', '.join(list(read)[:8])}."
        )
    return kept


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """MNAD and Matlab write 1 x N."""
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array


def _read_folder(folder: Path, reading: Reading) -> Arrays:
    files = naturally(
        (p for p in entries(folder) if not is_junk(p) and is_file(p)), lambda p: p.stem
    )
    tables = [p for p in files if p.suffix.lower() == ".csv"]
    if tables:
        return {p.stem: read_csv_scores(p, reading.column) for p in tables}
    arrays = [p for p in files if p.suffix.lower() == ".npy"]
    if not arrays:
        raise ProtocolError(
            f"{folder} holds no scores; expected one .csv or .npy file per test video."
        )
    return {p.stem: load_array(p) for p in arrays}


def read_csv_scores(path: Path, column: str | None = None) -> NDArray[np.float64]:
    """One column of a CSV file with a header, one line per frame; an empty cell is NaN.

    column: `score` by default, or the only one there is beside frame and time.

    Raises:
        ProtocolError: no such column, or a line that holds no number, with its place.
    """
    table = Table(path)
    rest = [n for n in table.names if n not in ("frame", "time_s", "time", "video")]
    wanted = (column or ("score" if "score" in table.names or len(rest) != 1 else rest[0])).lower()
    if wanted not in table.names:
        raise ProtocolError(
            f"{path} has no column {column or wanted!r}; there are "
            f"{', '.join(table.names) or 'none'}. Its first line must name the columns; choose one "
            "with --column."
        )
    rows, values = list(table.rows()), list[float]()
    while rows and not any(rows[-1][1].values()):  # empty lines at the end
        rows.pop()
    for line, row in rows:
        try:
            values.append(table.number(row[wanted]) if row[wanted] else float("nan"))
        except ValueError:
            raise ProtocolError(
                f"{path}, line {line}: expected a number as {wanted}, found {row[wanted]!r}."
            ) from None
    return np.array(values)


def csv_rates(folder: Path, only: str = "") -> dict[str, float] | None:
    """Frames per second by video, from the column time_s of each of its CSV files; None where
    that is not there.

    only: of the files whose names begin with this (`Reading.only`).

    Raises ProtocolError as `read_csv_scores`.
    """
    files = [
        p for p in entries(folder)
        if p.suffix.lower() == ".csv" and not is_junk(p) and p.stem.startswith(only)
    ]  # fmt: skip
    if not files or any("time_s" not in Table(p).names for p in files):
        return None
    steps = {p.stem: np.diff(read_csv_scores(p, "time_s")) for p in files}
    if any(not s.size or not np.median(s) > 0 for s in steps.values()):
        return None
    return {name: float(1 / np.median(s)) for name, s in steps.items()}


def _read_labels(path: Path, scores: Arrays | NDArray[Any]) -> tuple[Arrays, str]:
    """Labels by video, and which they are."""
    if path.is_dir() and not any(path.glob("*.npy")):
        dataset = open_dataset(path)
        found: Arrays = dict(frame_labels(dataset))
        return found, label_source(dataset, found)
    if path.is_dir():
        return {
            p.stem: load_array(p) for p in naturally(path.glob("*.npy"), lambda p: p.stem)
        }, path.name
    if path.suffix.lower() == ".csv":
        raise ProtocolError(
            f"{path} marks spans of videos, whose lengths and times are not known here. Give the "
            "root of the data set that it lies in."
        )
    if path.suffix.lower() not in (".npy", ".mat", ".m"):
        arrays = load_npz(path)
        plain = all(a.ndim == 1 and a.dtype.kind in "biu" for a in arrays.values())
        known = known_labels(arrays) if plain else None
        return arrays, f'{path.name} ({known[0].title} labels "{known[1]}")' if known else path.name
    if isinstance(scores, np.ndarray):
        raise ProtocolError(
            f"Neither the scores nor the labels in {path} say where one video ends and the next "
            "begins. Give the labels as .npz with one array per video, or as a data set's root."
        )
    lengths = _lengths(scores, path)
    if path.suffix.lower() == ".npy":
        whole = _plain(load_array(path))
        return _split(whole, lengths, (0, 0), path, sure=False)[0], path.name
    lists = read_mat_intervals(path) if path.suffix.lower() == ".mat" else read_ucsd_m(path)
    if len(lists) != len(lengths):
        raise ProtocolError(
            f"{path} has labels for {len(lists)} videos, the scores are of {len(lengths)}. The "
            "list goes by the order of the videos, so all of them must be there."
        )
    pairs = zip(lengths.items(), lists, strict=True)
    return {k: fill(spans, n, f"{path}, video {k},") for (k, n), spans in pairs}, path.name
