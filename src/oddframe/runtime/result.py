"""The scores of one video, and the CSV file they are handed on in.

Letters: n frames of the video, h w rows and columns of its pictures.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.atomic import write_atomic
from oddframe.errors import ConfigError
from oddframe.types import Map, Score

HEAT_SIDE = 64
"""Rows and columns at which heat maps are kept: 8 kB a frame, 0.7 GB for an hour at 25 fps."""
COLUMNS = ("frame", "time_s", "score", "level", "alarm")
PAPER_COLUMN = "paper_curve"
"""The curve that the model's paper plots, last in a file: of whole videos only, it looks ahead."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Result:
    """All scores of one video; larger = more anomalous. The first k frames have none (NaN)."""

    name: str
    """Name of the source: file stem or folder name."""
    time_s: Floats
    """(n,) position in the stream in seconds."""
    score: Floats
    """(n,) the score; NaN in the first k frames."""
    level: Floats
    """(n,) score / threshold, 1 = alarm, 0 for scores below 0; NaN before the run is calibrated."""
    alarm: NDArray[np.bool_]
    """(n,) level >= 1."""
    terms: dict[str, Floats]
    """The raw terms behind the score, (n,) each."""
    size: tuple[int, int]
    """(h, w) of the source's pictures."""
    maps: tuple[NDArray[np.float16] | None, ...] | None = None
    """Small heat maps, one per frame (None where there is no score); None: not kept."""

    def __len__(self) -> int:
        return len(self.score)

    def heat(self, i: int) -> Map:
        """How unusual each place of frame i is, in units of the score: (h, w) of the source.

        All NaN for a frame without a score. Raises ConfigError after `score(…, heat=False)`.
        """
        if self.maps is None:
            raise ConfigError("No heat maps were kept: call score(…, heat=True).")
        if not 0 <= i < len(self.maps):
            raise IndexError(f"frame {i} of a video with {len(self.maps)} frames")
        small = self.maps[i]
        if small is None:
            return np.full(self.size, np.nan, np.float32)
        return enlarge(small.astype(np.float32), self.size)


def enlarge(heat: Map, size: tuple[int, int]) -> Map:
    """A heat map in the geometry of a picture of (h, w) pixels, bilinearly."""
    return np.asarray(cv2.resize(heat, (size[1], size[0])), np.float32)


class Collector:
    """Takes scores one by one and gives their `Result`; 8 bytes per number while it grows."""

    def __init__(self, name: str, size: tuple[int, int], heat: bool = True) -> None:
        self.name, self.size, self._heat = name, size, heat
        self._columns = {column: array("d") for column in ("time_s", "score", "level", "alarm")}
        self._terms: dict[str, array[float]] = {}
        self._maps: list[NDArray[np.float16] | None] = []

    def add(self, score: Score) -> None:
        """Take the score of the next frame."""
        before = len(self._columns["score"])
        self._columns["time_s"].append(score.pts_s)
        self._columns["score"].append(score.score)
        self._columns["level"].append(score.level)
        self._columns["alarm"].append(score.alarm)
        for name in score.terms:
            if name not in self._terms:
                self._terms[name] = array("d", [float("nan")] * before)
        for name, values in self._terms.items():
            values.append(score.terms.get(name, float("nan")))
        if self._heat:
            self._maps.append(None if score.heat is None else _shrink(score.heat))

    def result(self) -> Result:
        """What was taken so far."""
        columns = {name: np.array(values) for name, values in self._columns.items()}
        return Result(
            self.name,
            columns["time_s"],
            columns["score"],
            columns["level"],
            columns["alarm"].astype(bool),
            {name: np.array(values) for name, values in self._terms.items()},
            self.size,
            tuple(self._maps) if self._heat else None,
        )


def _shrink(heat: Map) -> NDArray[np.float16]:
    side = min(HEAT_SIDE, *heat.shape)
    small = cv2.resize(heat, (side, side), interpolation=cv2.INTER_AREA)
    limit = float(np.finfo(np.float16).max)
    return np.clip(small, -limit, limit).astype(np.float16)


def write_csv(path: Path, result: Result, paper_curve: Floats | None = None) -> None:
    """Write one row per frame: `frame,time_s,score,level,alarm`, then a column per raw term.

    What is unknown is empty: everything but frame, time and alarm (0) in the first k frames, the
    level before calibration.

    paper_curve: (n,) `Detector.paper_curve` of the whole video, as one more column.

    Raises:
        RunError: the disk is full or the folder cannot be written; nothing is left half-written.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            terms = {column_of(name): values for name, values in result.terms.items()}
            if paper_curve is not None:
                terms[PAPER_COLUMN] = paper_curve
            table.writerow([*COLUMNS, *terms])
            for i in range(len(result)):
                values = [result.score[i], result.level[i]]
                table.writerow(
                    [
                        i,
                        f"{result.time_s[i]:.6f}",
                        *(_cell(value) for value in values),
                        int(result.alarm[i]),
                        *(_cell(term[i]) for term in terms.values()),
                    ]
                )

    write_atomic(path, write)


def column_of(term: str, others: Sequence[str] = ()) -> str:
    """The column of a raw term; none may be called as another column is."""
    return f"term_{term}" if term in (*COLUMNS, PAPER_COLUMN, *others) else term


def _cell(value: float) -> str:
    """Nine digits: enough to give a float32 back exactly."""
    return "" if np.isnan(value) else f"{value:.9g}"
