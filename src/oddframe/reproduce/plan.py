"""What there is to do: one job per training that a table needs, with all rows that come of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from oddframe.errors import ConfigError
from oddframe.reproduce.tables import Line, Table, resized
from oddframe.train.fit import configs

FOLDERS: dict[str, tuple[str, ...]] = {
    "ped1": ("ped1", "ucsdped1", "ucsd_ped1", "ucsd_anomaly_dataset.v1p2/ucsdped1"),
    "ped2": ("ped2", "ucsdped2", "ucsd_ped2", "ucsd_anomaly_dataset.v1p2/ucsdped2"),
    "avenue": ("avenue", "avenue_dataset", "avenue dataset", "cuhk_avenue"),
    "avenue-part": ("avenue-part",),
    "shanghaitech": ("shanghaitech",),
}
"""Data sets by name, and the folders under --root in which they are looked for."""
INSTEAD = {"avenue-part": "avenue"}
"""A part is left out where the whole is there."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line may change of a table."""

    minutes: float | None = None
    seeds: tuple[int, ...] | None = None
    size: str | None = None
    recipe: str = "size"
    only: tuple[str, ...] = ()
    """Rows; all where there are none."""
    device: str = "cpu"
    """cpu or cuda: on cuda minutes are those of the clock, on cpu of processor time."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A row that is another score of the same trained model."""

    row: str
    ablation: str | None
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One training and its evaluation: one file of results."""

    table: str
    name: str
    """Names the result and the RUN folder; the same whatever else is asked for."""
    rows: tuple[str, ...]
    """Rows that this training is; several where they are the same configuration."""
    model: str
    ablation: str | None
    settings: tuple[str, ...]
    recipe: str
    seed: int
    data: str
    path: str
    minutes: float
    device: str
    protocols: tuple[str, ...]
    config: Mapping[str, Any]
    """Plain values of the groups model, train and score."""
    variants: tuple[Variant, ...] = field(default=())
    memory: bool = False
    """Also measure what the memories do (`evaluation.memories`)."""

    @property
    def clock(self) -> str:
        """Which clock the minutes are of."""
        return "core_minutes" if self.device == "cpu" else "minutes"

    def plain(self) -> dict[str, Any]:
        """As JSON; `Job.read` gives it back."""
        return asdict(self)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Job:
        """A job from its plain values."""
        lists = {k: tuple(values[k]) for k in ("rows", "settings", "protocols")}
        variants = tuple(
            Variant(v["row"], v["ablation"], tuple(v["settings"])) for v in values["variants"]
        )
        return cls(**{**values, **lists, "variants": variants})


def plan(table: Table, data: Mapping[str, Path], options: Options) -> list[Job]:
    """All jobs of a table, in the order in which its rows stand, seed by seed.

    A seed that is asked for twice is one.

    Raises:
        ConfigError: a row, size or setting that is not there, minutes that are no time.
    """
    _check_only(table, options.only)
    if options.minutes is not None and not 0 < options.minutes < math.inf:
        raise ConfigError(f"--minutes must be a finite number above 0, found {options.minutes:g}.")
    seeds = dict.fromkeys(table.seeds if options.seeds is None else options.seeds)
    return [
        job
        for seed in seeds
        for name, path in data.items()
        for job in _jobs(table, name, path, seed, options)
    ]


def _jobs(table: Table, data: str, path: Path, seed: int, options: Options) -> list[Job]:
    """The jobs of one seed and data set; rows of one configuration are one job."""
    minutes = table.minutes if options.minutes is None else options.minutes
    trained: dict[str, list[Line]] = {}
    rescored: dict[str, list[Line]] = {}
    plain: dict[str, tuple[Line, dict[str, Any]]] = {}
    for line in table.lines:
        model = resized(line.model, options.size)
        base = line
        if line.rescored:
            kept = tuple(s for s in line.settings if not s.startswith("score."))
            base = Line("base", line.model, settings=kept)
        chosen = configs(model, base.settings, ablation=base.ablation, how=options.recipe).plain()
        key = model + json.dumps(chosen, sort_keys=True)
        plain.setdefault(key, (base, chosen))
        (rescored if line.rescored else trained).setdefault(key, []).append(line)
    jobs = []
    for key, (first, chosen) in plain.items():
        # With all that comes of it, whatever was asked for: a part of a table and the whole of it
        # find each other's results.
        rows, variants = trained.get(key, []), rescored.get(key, [])
        if options.only and not any(x.name in options.only for x in (*rows, *variants)):
            continue
        first = rows[0] if rows else first
        model = resized(first.model, options.size)
        parts = [data, model, first.name, f"{minutes:g}m", f"s{seed}"]
        if first.name == model:
            parts.pop(2)
        if options.recipe != "size":
            parts.insert(-2, options.recipe)
        jobs.append(
            Job(
                table.name, ".".join(parts), tuple(x.name for x in rows), model, first.ablation,
                first.settings, options.recipe, seed, data, str(path), minutes, options.device,
                table.protocols, chosen,
                tuple(Variant(v.name, v.ablation, v.settings) for v in variants), table.memory,
            )
        )  # fmt: skip
    return jobs


def _check_only(table: Table, only: Sequence[str]) -> None:
    rows = [line.name for line in table.lines]
    unknown = [row for row in only if row not in rows]
    if unknown:
        raise ConfigError(
            f"{table.name} has no row {unknown[0]!r}: expected some of {', '.join(rows)}."
        )


def data_sets(given: Sequence[str], root: Path | None) -> dict[str, Path]:
    """Data sets by name: those given as NAME=PATH or NAME, else all that lie under root.

    root: by default the folder that ODDFRAME_DATA names.

    Raises:
        ConfigError: none found, or one that was asked for is not there.
    """
    base = root or (Path(os.environ["ODDFRAME_DATA"]) if "ODDFRAME_DATA" in os.environ else None)
    if not given:
        found = {} if base is None else {n: p for n in FOLDERS if (p := _folder(base, n))}
        if not found:
            where = "no --root and no ODDFRAME_DATA" if base is None else f"none in {base}"
            raise ConfigError(
                f"No data set to reproduce a table on: expected folders {', '.join(FOLDERS)}, "
                f"found {where}. Give --root FOLDER, or --data NAME=PATH."
            )
        return {n: p for n, p in found.items() if INSTEAD.get(n) not in found}
    chosen = {}
    for text in given:
        name, equals, place = text.partition("=")
        path = Path(place) if equals else (None if base is None else _folder(base, name))
        if path is None or not path.exists():
            raise ConfigError(
                f"--data {text}: {place or name} is not there. Expected NAME=PATH, or a NAME of "
                f"{', '.join(FOLDERS)} that lies under --root ({base})."
            )
        chosen[name] = path
    return chosen


def _folder(base: Path, name: str) -> Path | None:
    return next((p for f in FOLDERS.get(name, (name,)) if (p := _below(base, f.split("/")))), None)


def _below(base: Path, parts: Sequence[str]) -> Path | None:
    """The folder by the names on the way to it, in any case."""
    if not parts:
        return base
    found = sorted(base.iterdir()) if base.is_dir() else []
    return next((_below(p, parts[1:]) for p in found if p.name.lower() == parts[0]), None)
