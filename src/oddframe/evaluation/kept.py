"""Scores of a data set on disk: an interrupted comparison goes on, changed settings need no pass.

FOLDER/NAME.npz         the scores that were last compared, for other programs
FOLDER/NAME.terms.npz   what the method gave: its own scores, a run's raw terms beside them
FOLDER/index.json       what each was made from
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oddframe.atomic import write_atomic, write_json
from oddframe.errors import ConfigError
from oddframe.models.base import Terms

ByVideo = Mapping[str, NDArray[np.float64]]
INDEX = "index.json"
SCORE = "score"
"""No raw term is called so."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one method gave for every test video."""

    scores: ByVideo
    """(n,) per video."""
    terms: Mapping[str, Terms] = field(default_factory=dict)
    """Of a run, the raw terms per video."""


class Store:
    """Scores in a folder, by the method's name, with a key of what they were made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _index(self) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads((self.folder / INDEX).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def get(self, name: str, key: str) -> Kept | None:
        """What is kept of a method, None where there is nothing of this key."""
        if self._index().get(name) != key:
            return None
        scores: dict[str, NDArray[np.float64]] = {}
        terms: dict[str, dict[str, NDArray[np.float64]]] = {}
        try:
            with np.load(self.folder / f"{name}.terms.npz") as kept:
                for path, values in kept.items():  # no term has a slash in its name
                    video, _, term = path.rpartition("/")
                    of = terms.setdefault(video, {})
                    if term == SCORE:
                        scores[video] = values
                    else:
                        of[term] = values
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return None
        return Kept(scores, terms)

    def given(self, name: str, key: str) -> Kept:
        """As `get`, of what was put."""
        found = self.get(name, key)
        if found is None:
            raise ConfigError(f"{self.folder} lost the scores of {name} while they were compared.")
        return found

    def put(self, name: str, key: str, given: Kept) -> None:
        """Keep what a method gave; the index is written last."""
        kept = {f"{video}/{SCORE}": values for video, values in given.scores.items()}
        for video, terms in given.terms.items():
            kept |= {f"{video}/{term}": values for term, values in terms.items()}
        self._write(f"{name}.terms", kept)
        self.show(name, given.scores)
        write_json(self.folder / INDEX, {**self._index(), name: key})

    def show(self, name: str, scores: ByVideo) -> None:
        """Write the scores that are compared."""
        self._write(name, scores)

    def _write(self, name: str, values: ByVideo) -> None:
        write_atomic(self.folder / f"{name}.npz", lambda path: _write(path, values))


def _write(path: Path, values: ByVideo) -> None:
    """As `np.savez`, which cannot write an array called `file`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in values.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
