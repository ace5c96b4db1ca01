"""What lies in the folder of results: of every file its plan, and which segments are done.

entry = find(out, key, file)         # what is not of this archive, or was cut off, is deleted
broken_seams(entry)                  # why its segments are not those of one pass, or None
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from oddframe.archive.files import File
from oddframe.archive.manifest import FILES
from oddframe.archive.parquet import read_facts
from oddframe.archive.plan import OTHERWISE, Plan
from oddframe.atomic import write_atomic, write_json
from oddframe.errors import RunError

PLAN, TABLE, FAILED = "plan.json", "files.csv", "failed.csv"
COLUMNS = (
    "file", "id", "state", "frames", "length_s", "segments", "done", "top_score", "top_level",
    "top_time_s", "lost", "why_whole",
)  # fmt: skip

T = TypeVar("T")


@dataclass(slots=True)
class Entry:
    """A file, as far as it is."""

    file: File
    plan: Plan | None = None
    """None: nobody has looked at it."""
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of the segments that are done, by their names."""

    @property
    def whole(self) -> bool:
        """All of it is done."""
        return self.plan is not None and len(self.facts) == len(self.plan.segments)

    @property
    def top(self) -> dict[str, Any] | None:
        """The frame with the highest level, where there are none with the highest score."""
        known = [facts["top"] for facts in self.facts.values() if facts["top"] is not None]
        return max(known, key=lambda top: (top["level"] or 0.0, float(top["score"])), default=None)


def folder_of(out: Path, file: File) -> Path:
    """Where the results of a file lie."""
    return out / FILES / file.id


def find(out: Path, key: str, file: File) -> Entry:
    """What there is of a file; whatever else lies in its folder is deleted: files that a kill left
    half-written, or that are of a plan of before. Without a plan results wait for the next one.

    Raises:
        RunError: something cannot be read now, as on a share that is away; nothing of it is lost.
    """
    folder = folder_of(out, file)
    entry = Entry(file, _plan(folder / PLAN, key, file))
    known = {} if entry.plan is None else {s.name: s for s in entry.plan.segments}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() or (path.name == PLAN and entry.plan is not None):
            continue
        result = path.suffix == ".parquet"
        if result and entry.plan is None:
            continue
        segment = known.get(path.stem) if result else None
        facts = None if segment is None else _there(read_facts, path)
        if facts is None or segment is None or not _of(facts, key, file, segment.plain()):
            path.unlink()
        else:
            entry.facts[segment.name] = facts
    return entry


def enter_plan(out: Path, key: str, file: File, plan: Plan) -> Plan:
    """Keep a plan; segments of another are deleted. Gives it back.

    Raises:
        RunError: it cannot be written.
    """
    folder = folder_of(out, file)
    values = {"key": key, "file": file.path, "mark": file.mark, **plan.plain()}
    write_json(folder / PLAN, values)
    names = {segment.name for segment in plan.segments}
    for path in folder.glob("*.parquet"):
        if path.stem not in names:
            path.unlink()
    return plan


def broken_seams(entry: Entry) -> str | None:
    """Why segments are not those of one pass of the file; None: they are, as far as they are done.

    At every seam the pictures that both sides read have to be the same, and the light that levels
    go by.
    """
    if entry.plan is None:
        return None
    if not all(facts["exact"] for facts in entry.facts.values()):
        return OTHERWISE
    for one, other in pairwise(entry.plan.segments):
        left, right = entry.facts.get(one.name), entry.facts.get(other.name)
        if left is not None and right is not None and left["seams"][1] != right["seams"][0]:
            return f"before frame {other.start} other pictures or light come where reading begins"
    return None


def write_tables(
    out: Path,
    entries: Sequence[Entry],
    failures: Sequence[tuple[File, int | None, str]],
    others: Sequence[Entry] = (),
) -> None:
    """Write `files.csv` and `failed.csv`; no `failed.csv` where nothing failed.

    others: files of the archive that this command was not about: why they failed is known from
    `failed.csv`, and stays there until they are whole.

    Raises:
        RunError: they cannot be written.
    """
    waiting = {entry.file.shown for entry in others if not entry.whole}
    before = [row for row in read_failed(out) if row[0] in waiting]
    ordered = sorted(failures, key=lambda f: (f[0].path, f[1] or 0))
    named = before + [
        (file.shown, "" if start is None else str(start), why.replace("\n", " "))
        for file, start, why in ordered
    ]
    failed = {row[0] for row in named}
    rows = [_row(entry, entry.file.shown in failed) for entry in (*others, *entries)]
    _write(out / TABLE, COLUMNS, rows)
    if named:
        _write(out / FAILED, ("file", "from_frame", "why"), named)
    else:
        (out / FAILED).unlink(missing_ok=True)


def read_failed(out: Path) -> list[tuple[str, str, str]]:
    """What `failed.csv` names: (file, from_frame, why); nothing where there is none."""
    path = out / FAILED
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [(row[0], row[1], row[2]) for row in list(csv.reader(file))[1:] if len(row) == 3]


def _row(entry: Entry, failed: bool) -> tuple[Any, ...]:
    plan, top = entry.plan, entry.top or {}
    state = "done" if entry.whole else "failed" if failed else "missing"
    lost = "; ".join(facts["lost"] for facts in entry.facts.values() if facts["lost"])
    values = (
        entry.file.shown, entry.file.id, state,
        sum(facts["frames"] for facts in entry.facts.values()),
        None if plan is None or plan.length_s is None else round(plan.length_s, 3),
        None if plan is None else len(plan.segments), len(entry.facts),
        top.get("score"), top.get("level"), top.get("time_s"), lost or None,
        None if plan is None else plan.whole,
    )  # fmt: skip
    return tuple("" if value is None else value for value in values)


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    def save(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors="replace") as file:
            csv.writer(file, lineterminator="\n").writerows([head, *rows])

    write_atomic(path, save)


def _there(read: Callable[[Path], T], path: Path) -> T | None:
    """What is read of a file; None where it is not there.

    Raises:
        RunError: it is there, and cannot be read now.
    """
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(
            f"{path} cannot be read now ({error.strerror or error}); it was left as it is. See to "
            "the disk or the share, then give the command again: it goes on."
        ) from error


def _plan(path: Path, key: str, file: File) -> Plan | None:
    text = _there(Path.read_bytes, path)
    try:
        found = json.loads(text or b"")
        if (found["key"], found["file"], found["mark"]) != (key, file.path, file.mark):
            return None
        return Plan.read(found)
    except (ValueError, KeyError, TypeError):
        return None


def _of(facts: dict[str, Any], key: str, file: File, segment: dict[str, Any]) -> bool:
    """Whether results are of this archive, file and segment."""
    found = (facts.get("key"), facts.get("file"), facts.get("mark"), facts.get("segment"))
    return found == (key, file.path, file.mark, segment)
