"""What normal looks like in one scene: its scale from far to near, and each stream's range.

Both are fitted on *normal* footage of the scene, never on what is scored: for a model's streams on
what was kept aside and some of what trained. A stream is a
map of local values per frame (`frame` and `motion`: squared errors, `flow`: px per frame), means
over windows of its block size.

Letters: n frames, h w rows and columns of the map, s streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data.blobs import Sizes
from oddframe.errors import RunError
from oddframe.types import Map

EVERY_PX = 4
"""The scale is fitted on every 4th row and column: the windows are far larger than that."""
QUANTILE = 0.99
"""Normal activity of a row: the 99 % quantile of its local values."""
FLOOR = 0.3
"""The scale never falls below this share of its largest value (0.1 loses 12 points, see docs)."""
SIZE_PX, LEAST_SIZE = 256, 0.15
"""Height of the picture that sizes are counted in; a body far away counts as no smaller than this
share of the largest."""
ACTIVE = 0.1
"""A row moves in a frame when its largest value passes this share of the scene's quantile."""
FEWEST = 8
"""Frames that a range is made of, at least."""
SAME = 1e-4
"""A picture in which less happens than this share of what happens in the liveliest is that of
before once more: footage whose rate is but nominal repeats them, and they say nothing."""
TAIL, TAIL_STD = 0.99, 2.326
"""One normal frame of a hundred stands as far above the mean as that of a normal distribution, or
nearer: streams whose normal frames reach further are counted in larger deviations."""


@dataclass(frozen=True, slots=True)
class StreamScene:
    """Scale and range of one stream in one scene."""

    top: float
    """Scale at the first row of the map; the scale is a straight line in the row, 1 at most."""
    bottom: float
    """Scale at the last row."""
    mean: float
    """Mean of log(worst scaled window) over normal frames."""
    std: float
    """Its deviation (`fit_range`)."""
    tiny: float
    """Added before the logarithm, in the stream's units, so that a still picture stays finite."""
    sizes: Sizes | None = None
    """How large things are at a row; None where nobody knows, and in RUNs of before."""

    linear: bool = False
    """Values count as they are, not by their logarithms: of a stream that is mostly nothing."""

    def rows(self, h: int) -> NDArray[np.float32]:
        """The scale at each of h rows: (h, 1) float32, 1 at most; not to be written to.

        Two things say how near a row is: how much happens there, and how large bodies are. Each is
        wrong somewhere (where few things come by, and in a crowd), so the scale is their geometric
        mean: of `flow` alone it makes 60.3 of 50.5 on the part of Avenue, 96.4 of 97.1 on Ped2."""
        return _rows(self.top, self.bottom, self.sizes, h)

    def unusual(self, local: Map) -> Map:
        """Local values -> how unusual they are: (log(value / scale) - mean) / std, (h, w)."""
        scaled = local / self.rows(len(local))
        values = scaled if self.linear else np.log(scaled + self.tiny)
        return np.asarray((values - self.mean) / self.std, dtype=np.float32)

    def worst(self, local: Map) -> float:
        """The most unusual place, of those that the range was fitted on."""
        return float(self.unusual(local[::EVERY_PX, ::EVERY_PX]).max())


@lru_cache(maxsize=64)
def _rows(top: float, bottom: float, sizes: Sizes | None, h: int) -> NDArray[np.float32]:
    """`StreamScene.rows`, once for all frames: a millisecond."""
    scale = np.maximum(np.linspace(top, bottom, h, dtype=np.float32), FLOOR)
    if sizes is not None:
        feet = (np.arange(h) + 0.5) * SIZE_PX / h
        share = np.array([sizes.at(foot) for foot in feet]) / sizes.most
        scale = np.sqrt(scale * np.maximum(share, LEAST_SIZE)).astype(np.float32)
    scale.flags.writeable = False
    return scale[:, None]


class SceneFit:
    """Collects the local maps of normal footage, then gives each stream's `StreamScene`.

    Memory: 16 kB per frame and stream; from `limit` frames on every second one is dropped and
    then only every second (fourth, ...) one taken, so any length of footage fits.
    """

    def __init__(self, limit: int = 4096) -> None:
        self.limit = limit
        self._stride, self._seen = 1, 0
        self._maps: dict[str, list[Map]] = {}
        self._trained: list[bool] = []

    def add(self, local: Mapping[str, Map], trained: bool = False) -> None:
        """Take one frame's local maps, {stream: (h, w)}.

        trained: the model was trained on this frame."""
        self._seen += 1
        if (self._seen - 1) % self._stride:
            return
        for name, values in local.items():
            self._maps.setdefault(name, []).append(values[::EVERY_PX, ::EVERY_PX].copy())
        self._trained.append(trained)
        if len(self._trained) > self.limit:
            self._maps = {name: maps[::2] for name, maps in self._maps.items()}
            self._trained = self._trained[::2]
            self._stride *= 2

    @property
    def frames(self) -> int:
        """Frames taken in so far."""
        return self._seen

    def fit(
        self, level: Sequence[str] = (), sizes: Sizes | None = None, tail: bool = True
    ) -> dict[str, StreamScene]:
        """Fit every stream; those of `level` know no near and far, and get no line.

        sizes: how large things are where. tail: see `fit_range`.

        Raises:
            RunError: fewer than `FEWEST` frames were added.
        """
        if self._seen < FEWEST:
            raise RunError(
                f"The scene's normal range needs at least {FEWEST} scored frames of held-out "
                f"normal video, found {self._seen}. Train on longer footage, or raise "
                "train.hold_out."
            )
        trained = np.array(self._trained)
        return {
            name: fit_stream(maps, name in level, None if name in level else sizes, trained, tail)
            for name, maps in self._maps.items()
        }


def fit_stream(
    maps: Sequence[Map],
    level: bool = False,
    sizes: Sizes | None = None,
    trained: NDArray[np.bool_] | None = None,
    tail: bool = True,
) -> StreamScene:
    """Fit one stream's scale (`level`: it is 1 everywhere) and range on its local maps (h, w).

    trained, tail: see `fit_range`."""
    values = np.stack(maps).astype(np.float32)  # n h w
    top, bottom = (1.0, 1.0) if level else scene_line(values)
    scale = StreamScene(top, bottom, 0.0, 1.0, 0.0, sizes).rows(values.shape[1])
    found = fit_range((values / scale).max((1, 2)), trained, tail)
    return replace(found, top=top, bottom=bottom, sizes=sizes)


def fit_range(
    worst: NDArray[np.floating[Any]], trained: NDArray[np.bool_] | None = None, tail: bool = True
) -> StreamScene:
    """A stream's range without a line, of the worst local value of each normal frame (n,).

    trained: (n,) frames that the model was trained on: where those kept aside are drawn worse, or
        differ more among each other, than all together, they alone say so.
    tail: the deviation is no less than what `TAIL` of the frames make it.
    """
    real = worst > SAME * np.quantile(worst, TAIL)
    if FEWEST <= real.sum() < real.size:
        worst, trained = worst[real], None if trained is None else trained[real]
    # One thousandth of normal: far below anything that is ever the worst place of a frame.
    tiny = float(1e-3 * np.median(worst)) + 1e-12
    logs = np.log(worst + tiny)
    mean, std = _range(logs, tail)
    if trained is not None and trained.any() and not trained.all():
        aside, wide = _range(logs[~trained], tail)
        mean, std = max(mean, aside), max(std, wide)
    # A stream that never changes would make every frame infinitely odd.
    return StreamScene(1.0, 1.0, mean, max(std, 0.05), tiny)


def fit_level(worst: NDArray[np.floating[Any]], least_std: float) -> StreamScene:
    """The range of a stream whose values count as they are (`StreamScene.linear`), of the worst
    local value of each normal frame (n,)."""
    mean, std = _range(worst, tail=True)
    return StreamScene(1.0, 1.0, mean, max(std, least_std), 0.0, linear=True)


def _range(values: NDArray[np.floating[Any]], tail: bool) -> tuple[float, float]:
    """Mean and deviation."""
    mean, std = float(values.mean()), float(values.std())
    far = (float(np.quantile(values, TAIL)) - mean) / TAIL_STD if tail else 0.0
    return mean, max(std, far)


def scene_line(values: NDArray[np.float32]) -> tuple[float, float]:
    """The scale of a scene, a straight line in the row: its ends, the larger one 1.

    Per row the 99 % quantile of normal activity; a line through these, each row weighted by how
    often it moves (a row of sky says nothing about distance); cut off at `FLOOR`. Two parameters,
    because free statistics per row or place lose 5 to 13 points on Ped2.

    values: (n, h, w) local values of normal frames.
    """
    rows = np.quantile(values, QUANTILE, axis=(0, 2))
    active = (values.max(2) > ACTIVE * np.quantile(values, QUANTILE)).mean(0) + 1e-6
    at = np.linspace(0, 1, len(rows))
    slope, start = np.polyfit(at, rows, 1, w=np.sqrt(active))
    ends = np.array([start, start + slope])
    if ends.max() <= 0:  # nothing moved anywhere
        return 1.0, 1.0
    top, bottom = ends / ends.max()
    return float(top), float(bottom)


def to_json(scene: Mapping[str, StreamScene]) -> dict[str, Any]:
    """Plain values for model.json."""
    return {name: asdict(stream) for name, stream in scene.items()}


def from_json(values: Mapping[str, Any]) -> dict[str, StreamScene]:
    """Undo `to_json`."""
    return {name: _stream(**stream) for name, stream in values.items()}


def _stream(sizes: Mapping[str, float] | None = None, **plain: Any) -> StreamScene:
    return StreamScene(**plain, sizes=None if sizes is None else Sizes(**sizes))
