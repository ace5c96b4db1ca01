"""What is deleted, when, and what never is without a word.

    keeper = Keeper(store, KeepConfig())
    sweep(store)                            # once, before anything is written
    kept = keeper.run(time.time())          # every ten minutes or so
    if kept.full: ...                       # record no more clips

Pictures and clips go after `keep_days`, and earlier where the store is over `disk_gb`: the oldest
first, and of two kinds only: of events that somebody has looked at (a verdict), and detections.
An alert without a verdict keeps its files. Where these alone fill the disk, no new clips are
recorded until somebody has looked: of two losses, the one that is noticed, and the one that nobody
can cause by raising alarms until the older ones are gone. `unreviewed_days` lets them go too.

Pictures of what raised no alarm (`exemplars`) go after `keep_days` as well.

Rows of events and minutes stay for 400 days: 22 MB a year and camera, nearly all of it minutes.
Alerts that nobody has looked at, open events and what sinks are still to be told stay longer.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from oddframe.config import Config
from oddframe.events.store.files import (
    CLIPS,
    NORMALS,
    PLAIN,
    SNAPSHOTS,
    UNFINISHED,
    all_files,
    event_of,
    plain_of,
)
from oddframe.events.store.store import Store

DAY_S = 86400.0
RECORD_DAYS = 400
STEP_S = 3600.0
"""The wall clock was set if it went on by so much more than the monotonic one."""
UNREVIEWED = "verdict IS NULL AND severity = 'alert'"
WITH_FILES = "state = 'end' AND (snapshot IS NOT NULL OR clip IS NOT NULL)"

OLD_MINUTES = """
WITH RECURSIVE every (camera) AS (
    SELECT min(camera) FROM minutes
    UNION ALL
    SELECT (SELECT min(camera) FROM minutes m WHERE m.camera > every.camera)
    FROM every WHERE camera IS NOT NULL
)
DELETE FROM minutes WHERE camera IN (SELECT camera FROM every) AND t_utc < ?
"""
"""Camera by camera, which is how they lie: to look through a year of all takes seconds, for which
no event can be written."""

log = logging.getLogger("oddframe.events.keep")


class KeepConfig(Config):
    """How long pictures and clips stay."""

    keep_days: float = Field(30.0, gt=0)
    """Older ones are deleted, but not those of alerts without a verdict."""
    disk_gb: float = Field(10.0, gt=0)
    """All that the store takes, in 10^9 bytes. Over it the oldest files go before their time."""
    unreviewed_days: float | None = Field(None, gt=0)
    """An alert that nobody has looked at in so many days counts as looked at; null: never."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one run of retention did."""

    by_age: int
    """Events whose files were deleted because of their age."""
    by_disk: int
    """Events whose files were deleted because the store was over its cap."""
    forgotten: int
    """Events whose rows were deleted: older than 400 days."""
    overdue: int
    """Alerts over their age that keep their files because nobody has looked at them."""
    used: int
    """Bytes that the store takes now."""
    cap: int
    """Bytes that it may take."""

    @property
    def full(self) -> bool:
        """Over the cap with nothing left that may be deleted: record no more clips."""
        return self.used > self.cap

    def words(self) -> str:
        """What a user should know; "" where all is as it should be."""
        if self.full:
            return (
                f"The store takes {self.used / 1e9:.2f} GB of {self.cap / 1e9:g} and holds only "
                "what may not be deleted, alerts that nobody has looked at or files of a store "
                "that was moved away: no new clips are recorded. Give the alerts a verdict, delete "
                "the files before them, raise disk_gb, or set unreviewed_days."
            )
        if self.overdue:
            return (
                f"{self.overdue} alerts are older than keep_days and stay because nobody has "
                "looked at them. Give them a verdict, or set unreviewed_days."
            )
        return ""


class Keeper:
    """Deletes what is too old or too much.

    Used by one thread; others may use the store meanwhile.
    """

    def __init__(
        self, store: Store, config: KeepConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._config, self._clock = store, config, clock
        self._before: tuple[float, float] | None = None
        self._held_until = clock()
        self._said = ""

    def run(self, now_utc: float) -> Kept:
        """Delete what has to go now, and say once what could not.

        Nothing goes by age for a day after the wall clock jumped ahead: one that was set wrong
        must not empty the store.

        Raises:
            StoreError: the store cannot be read or written.
        """
        config = self._config
        by_age = forgotten = overdue = 0
        if self._steady(now_utc):
            seen = self._reviewed(now_utc)
            old = now_utc - config.keep_days * DAY_S
            by_age = self._delete(self._having_files(f"start_utc < :old AND {seen}", now_utc, old))
            self._store.drop_normals(old)
            overdue = len(self._having_files(f"start_utc < :old AND NOT {seen}", now_utc, old))
            forgotten = self._forget(now_utc)
        cap = int(config.disk_gb * 1e9)
        by_disk, used = self._fit(now_utc, cap)
        kept = Kept(by_age, by_disk, forgotten, overdue, used, cap)
        self._say(kept)
        return kept

    def _steady(self, now_utc: float) -> bool:
        now = self._clock()
        before, self._before = self._before, (now_utc, now)
        if before is not None and (now_utc - before[0]) - (now - before[1]) > STEP_S:
            self._held_until = now + DAY_S
            log.warning("the clock was set ahead: nothing is deleted by its age for a day")
        return now >= self._held_until

    def _reviewed(self, now_utc: float) -> str:
        """SQL for: may be deleted without a word."""
        if self._config.unreviewed_days is None:
            return f"(NOT ({UNREVIEWED}))"
        return f"(NOT ({UNREVIEWED}) OR start_utc < :now - {self._config.unreviewed_days * DAY_S})"

    def _having_files(self, where: str, now_utc: float, old: float = 0.0) -> list[sqlite3.Row]:
        return self._store.database.read(
            f"SELECT id, snapshot, clip FROM events WHERE {WITH_FILES} AND {where} ORDER BY id",
            {"now": now_utc, "old": old},
        )

    def _delete(self, rows: Iterable[sqlite3.Row]) -> int:
        """Files of events; first out of the rows: what a kill leaves in between, `sweep` takes."""
        rows = list(rows)
        if rows:
            with self._store.database.write() as con:
                con.executemany(
                    "UPDATE events SET snapshot = NULL, clip = NULL WHERE id = ?",
                    [(row["id"],) for row in rows],
                )
        for path in (path for row in rows for path in _paths(self._store.folder, row)):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        return len(rows)

    def _fit(self, now_utc: float, cap: int) -> tuple[int, int]:
        """Bring the store under its cap; returns the events that lost files, and its size now."""
        used = _used(self._store)
        if used <= cap:
            return 0, used
        going, freed = [], 0
        for row in self._having_files(self._reviewed(now_utc), now_utc):
            if used - freed <= cap:
                break
            going.append(row)
            freed += sum(_size(path) for path in _paths(self._store.folder, row))
        deleted = self._delete(going)
        return deleted, _used(self._store)

    def _forget(self, now_utc: float) -> int:
        """Rows older than 400 days; messages and receipts go with their events."""
        old = now_utc - RECORD_DAYS * DAY_S
        with self._store.database.write() as con:
            con.execute(OLD_MINUTES, (old,))
            con.execute("DELETE FROM gaps WHERE end_utc < ?", (old,))
            return con.execute(
                f"DELETE FROM events WHERE start_utc < ? AND state = 'end' AND NOT ({UNREVIEWED})"
                " AND snapshot IS NULL AND clip IS NULL AND NOT EXISTS"
                " (SELECT 1 FROM outbox WHERE event_id = events.id AND fate = 'waiting')",
                (old,),
            ).rowcount

    def _say(self, kept: Kept) -> None:
        if kept.by_disk:
            log.warning(
                "over %g GB: pictures and clips of %d events deleted before their %g days",
                self._config.disk_gb, kept.by_disk, self._config.keep_days,
            )  # fmt: skip
        words = kept.words()
        key = f"{kept.full} {bool(kept.overdue)}"
        if words and key != self._said:
            log.warning("%s", words)
        self._said = key


@dataclass(frozen=True, slots=True)
class Swept:
    """What a kill had left lying about."""

    unfinished: int
    """Files that were being written."""
    orphans: int
    """Files of events that are not in the store: deleted before their event was put."""
    entered: int
    """Files that were finished and not yet entered in their event: they are now."""


def sweep(store: Store) -> Swept:
    """Clear up what a kill left; call it before anything writes files.

    Files of events before the oldest in the store stay: their store was moved away (it was
    damaged), and what it knew may come back.

    Raises:
        StoreError: the store cannot be read or written.
    """
    rows = store.database.read("SELECT id, start_utc, snapshot, clip FROM events ORDER BY id")
    known = {row["id"]: row for row in rows}
    oldest = min((row["start_utc"] for row in rows), default=float("inf"))
    unfinished = orphans = entered = 0
    for path, _ in list(all_files(store.folder)):
        event_id = event_of(path.name)
        if path.name.startswith(UNFINISHED):
            path.unlink(missing_ok=True)
            unfinished += 1
        elif event_id in known:
            entered += _enter(store, known[event_id], path)
        elif _began(event_id) >= oldest:
            path.unlink(missing_ok=True)
            orphans += 1
    for path in store.lost_normals():
        path.unlink(missing_ok=True)
        orphans += 1
    if unfinished or orphans or entered:
        log.info(
            "after a kill: %d unfinished and %d unknown files deleted, %d entered",
            unfinished, orphans, entered,
        )  # fmt: skip
    return Swept(unfinished, orphans, entered)


def _enter(store: Store, row: sqlite3.Row, path: Path) -> int:
    kind = path.parent.parent.name
    column = "clip" if kind == CLIPS else "snapshot"
    if row[column] is not None or path.name.endswith(PLAIN):
        return 0
    store.attach(row["id"], **{column: path.relative_to(store.folder).as_posix()})
    return 1


def _began(event_id: str) -> float:
    """When an event began, by its id; -inf where that is no id of ours: such a file stays."""
    try:
        return float(event_id.split("-", 1)[0])
    except ValueError:
        return float("-inf")


def _paths(folder: Path, row: sqlite3.Row) -> list[Path]:
    names = [row["clip"]] if row["clip"] else []
    if row["snapshot"]:
        names += [row["snapshot"], plain_of(row["snapshot"])]
    return [folder / name for name in names]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _used(store: Store) -> int:
    """Bytes of all files of the store."""
    own = store.database.path
    parts = (own, own.with_name(f"{own.name}-wal"))
    kinds = (SNAPSHOTS, CLIPS, NORMALS)
    return sum(size for _, size in all_files(store.folder, kinds)) + sum(map(_size, parts))
