"""From an archive's scores to its events, ranked by level.

Events begin and end by the rules that cameras are watched with (`events.rules`): levels that are
less than 10 s apart are one. A RUN without a threshold has no levels: then separate peaks of the
score, 10 s apart, are ranked instead.

Letters: n frames of a file.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.archive.ledger import Entry, find, folder_of
from oddframe.archive.manifest import Manifest
from oddframe.archive.parquet import BOX, arrow, read
from oddframe.atomic import write_atomic, write_json
from oddframe.calibration.peaks import GAP_S, peak_frames
from oddframe.errors import RunError
from oddframe.events.event import Box
from oddframe.events.rules import Rules
from oddframe.events.tracker import events_of
from oddframe.events.why import factors_of, reasons, streams_of

TABLE, VALUES, PICTURES = "events.csv", "events.json", "events"
STAMP_S = 1e-6
"""Stamps that are no further apart are of one frame."""
PEAKS = 100
"""Peaks of a file, at most, where there is no threshold."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """An event of the archive."""

    rank: int
    """From 1: by level, or score where there is none."""
    file: str
    id: str
    """Folder of its file's results."""
    start_s: float
    """First frame in alarm, in seconds of the file."""
    end_s: float
    """Last one."""
    peak_s: float
    peak_frame: int
    level: float | None
    """At the peak; None without a threshold."""
    score: float
    box: Box | None
    """The hottest place at the peak, in pixels of the source."""
    size: tuple[int, int]
    """Width and height of the source, in pixels."""
    reasons: tuple[str, ...]
    """Which stream spoke at the peak, in words, the loudest first."""


def find_events(
    out: Path, manifest: Manifest, rules: Rules, tick: Callable[[int, int], None]
) -> tuple[list[Found], list[Entry]]:
    """All events, the highest first, and what there is of every file.

    Args:
        out: folder of the archive.
        manifest: its own.
        rules: when events begin and end.
        tick: called after each file, with files done and in all.

    Raises:
        RunError: nothing is scored yet, or a file of results is damaged.
    """
    entries, found = list[Entry](), list[Found]()
    for done, file in enumerate(manifest.files, 1):
        entry = find(out, manifest.key, file)
        entries.append(entry)
        found += _of_file(out, entry, manifest, rules)
        tick(done, len(manifest.files))
    if not any(entry.facts for entry in entries):
        raise RunError(
            f"Nothing in {out} is scored yet: give the `oddframe archive` command that made it "
            "again, and let it end."
        )
    # Equal levels in the order of files and time, so that the same scores give the same list.
    found.sort(key=lambda f: (-(f.score if f.level is None else f.level), f.file, f.start_s))
    return [replace(f, rank=i) for i, f in enumerate(found, 1)], entries


def write_events(out: Path, found: Sequence[Found], pictures: Sequence[str | None]) -> None:
    """Write `events.csv` and `events.json`.

    pictures: of the first of them the name of a picture, None where there is none.

    Raises:
        RunError: they cannot be written.
    """
    named = [*pictures, *[None] * (len(found) - len(pictures))]
    values = [
        {**asdict(event), "size": list(event.size), "reasons": list(event.reasons), "picture": name}
        for event, name in zip(found, named, strict=True)
    ]
    write_json(out / VALUES, {"events": values})

    def save(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors="replace") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow([
                "rank", "file", "start_s", "end_s", "peak_s", "peak_frame", "level", "score",
                *BOX, "reasons", "picture",
            ])  # fmt: skip
            table.writerows(
                _row(event, name) for event, name in zip(found, named, strict=True)
            )  # fmt: skip

    write_atomic(out / TABLE, save)


def _row(event: Found, picture: str | None) -> list[Any]:
    box = event.box
    return [
        event.rank, event.file, f"{event.start_s:.3f}", f"{event.end_s:.3f}",
        f"{event.peak_s:.3f}", event.peak_frame,
        "" if event.level is None else f"{event.level:.6g}", f"{event.score:.6g}",
        *(("", "", "", "") if box is None else (box.x, box.y, box.w, box.h)),
        "; ".join(event.reasons), picture or "",
    ]  # fmt: skip


def _of_file(out: Path, entry: Entry, manifest: Manifest, rules: Rules) -> Iterator[Found]:
    """Its events, in order of time."""
    threshold = manifest.threshold
    if entry.plan is None or not entry.facts:
        return
    names = [s.name for s in entry.plan.segments if s.name in entry.facts]
    paths = [folder_of(out, entry.file) / f"{name}.parquet" for name in names]
    curves = [_columns(path, ("frame", "time_s", "score", "level")) for path in paths]
    frame, time_s, score, level = (np.concatenate([c[i] for c in curves]) for i in range(4))
    curve = score if threshold is None else level  # held against the threshold of each frame
    stops = np.cumsum([len(c[0]) for c in curves])
    rows = lru_cache(maxsize=1)(_read)  # events come in order, often several of one segment
    for first, last, peak in _peaks(curve, time_s, threshold is not None, rules):
        piece = int(np.searchsorted(stops, peak, "right"))
        row = peak - (int(stops[piece - 1]) if piece else 0)
        facts = entry.facts[names[piece]]
        size = facts["size"][0], facts["size"][1]
        about = _about(rows(paths[piece]), row, size, manifest.spread)
        yield Found(
            0, entry.file.shown, entry.file.id, float(time_s[first]), float(time_s[last]),
            float(time_s[peak]), int(frame[peak]),
            None if threshold is None else float(level[peak]), float(score[peak]), *about,
        )  # fmt: skip


def _peaks(
    curve: Floats, time_s: Floats, levels: bool, rules: Rules
) -> Iterator[tuple[int, int, int]]:
    """First, last and hottest frame of each event, as places in (n,).

    levels: the curve is of levels; else of scores, whose separate peaks stand for events."""
    if not levels:
        for i in sorted(peak_frames(curve, time_s, GAP_S)[:PEAKS].tolist()):
            yield i, i, i
        return
    for start_s, end_s, _ in events_of(curve, time_s, 1.0, rules):
        # The end of an event is a sum, which may lie a rounding above its frame's own stamp.
        first = np.searchsorted(time_s, start_s - STAMP_S)
        last = np.searchsorted(time_s, end_s + STAMP_S, "right") - 1
        own = np.nan_to_num(curve[first : last + 1], nan=-math.inf)
        yield int(first), int(last), int(first + own.argmax())


def _about(
    table: Any, row: int, size: tuple[int, int], spread: float | None
) -> tuple[Box | None, tuple[int, int], tuple[str, ...]]:
    """Where the hottest place of a frame is, the size of its picture, and the reasons."""
    values = {name: table[name][row].as_py() for name in table.column_names}
    x, y, w, h = (values[name] for name in BOX)
    box = None if x is None else Box(x, y, w, h)
    terms = {name: value for name, value in values.items() if isinstance(value, float)}
    boxes = () if box is None else (box,)
    why = reasons(streams_of(terms), boxes, *size, factors_of(terms, spread))
    return box, size, why


def _columns(path: Path, names: Sequence[str]) -> list[Floats]:
    table = _read(path, names)
    return [
        np.asarray(table[name].cast(arrow().float64()).to_numpy(), np.float64) for name in names
    ]  # fmt: skip


def _read(path: Path, columns: Sequence[str] | None = None) -> Any:
    try:
        return read(path, columns)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} is damaged ({error}). Delete it and give the `oddframe archive` command that "
            "made it again: that segment alone is scored anew."
        ) from None
