"""Detections and tracks as text, one file per video and one row per line.

Detections: `frame,x1,y1,x2,y2,score`. Tracks: `track,frame,x1,y1,x2,y2`, where `track` is any name
without spaces. Columns are parted by commas or white space; what follows a # is a comment. Frames
count from 0; boxes are pixels of the picture, x2 and y2 exclusive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from oddframe.errors import ProtocolError
from oddframe.metrics.regions import Detections, Track

_DETECTION = ("frame", "x1", "y1", "x2", "y2", "score")
_TRACK = ("track", "frame", "x1", "y1", "x2", "y2")


def read_detections(path: Path | str) -> Detections:
    """Read the detections of one video; a file without rows is a video without any.

    A folder of them: `{p.stem: read_detections(p) for p in sorted(folder.glob("*.txt"))}`.
    Raises ProtocolError naming file and line: not readable, another number of columns, a value
    that is no finite number, a frame that is no whole number from 0, an empty box.
    """
    frames: list[int] = []
    boxes: list[list[float]] = []
    scores: list[float] = []
    for where, cells in _rows(Path(path), _DETECTION):
        frames.append(_frame(cells[0], where))
        boxes.append(_box(cells[1:5], _DETECTION[1:5], where))
        scores.append(_number(cells[5], "score", where))
    return Detections(
        np.array(frames, dtype=np.int64),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(scores, dtype=np.float64),
    )


def read_tracks(path: Path | str) -> list[Track]:
    """Read the tracks of one video, in the order in which they first appear.

    Raises ProtocolError as `read_detections` does, and for a second box of a track in one frame.
    """
    tracks: dict[str, dict[int, list[float]]] = {}
    for where, cells in _rows(Path(path), _TRACK):
        regions = tracks.setdefault(cells[0], {})
        frame = _frame(cells[1], where)
        if frame in regions:
            raise ProtocolError(
                f"{where}: track {cells[0]} has a second box in frame {frame}; expected one per "
                "frame. Things apart are tracks of their own."
            )
        regions[frame] = _box(cells[2:], _TRACK[2:], where)
    return [
        Track(np.array(list(regions), dtype=np.int64), np.array(list(regions.values())))
        for regions in tracks.values()
    ]


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Place ("FILE, line 3") and cells of every row."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(
            f"{path} cannot be read: {error}. Expected text with the columns {','.join(columns)}."
        ) from error
    for number, line in enumerate(text.split("\n"), start=1):
        row = line.partition("#")[0].strip()
        if not row:
            continue
        cells = re.split(r"\s*,\s*|\s+", row)
        if len(cells) != len(columns) or not all(cells):
            raise ProtocolError(
                f"{path}, line {number}: expected {len(columns)} values, {','.join(columns)}; "
                f"found {sum(map(bool, cells))} in {row[:80]!r}. Comment lines begin with #."
            )
        yield f"{path}, line {number}", cells


def _number(cell: str, column: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ProtocolError(f"{where}: {column} is {cell!r}; expected a finite number.")
    return value


def _frame(cell: str, where: str) -> int:
    value = _number(cell, "frame", where)
    if value < 0 or value != int(value):
        raise ProtocolError(f"{where}: frame is {cell!r}; expected a whole number from 0.")
    return int(value)


def _box(cells: list[str], columns: tuple[str, ...], where: str) -> list[float]:
    x1, y1, x2, y2 = box = [_number(c, n, where) for c, n in zip(cells, columns, strict=True)]
    if x1 >= x2 or y1 >= y2:
        raise ProtocolError(
            f"{where}: the box {','.join(cells)} is empty; expected x1 < x2 and y1 < y2 (corners, "
            "not width and height)."
        )
    return box
