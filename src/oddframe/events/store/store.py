"""What happened, on disk: events and what is to be told of them, in one file that survives a kill.

    store = Store(folder)
    for event in store.close_left_open(): ...       # what a kill left open is over now
    store.put(event, ["mqtt", "webhook"])           # row and messages, in one transaction
    store.due("mqtt"), store.done(...)              # couriers: see `outbox`

`put` returns when the event is on the disk. From then on it is there once, whatever happens;
before, nothing of it is.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from oddframe.events.event import Ended, Event, Severity
from oddframe.events.store.audit import Ledger
from oddframe.events.store.database import Database, StoreError
from oddframe.events.store.exemplars import Learned
from oddframe.events.store.notes import Notes
from oddframe.events.store.outbox import Outbox, OutboxConfig
from oddframe.events.store.record import Record, Verdict, to_event, to_record, to_row
from oddframe.events.store.timeline import Timeline

TOUCH_S = 5.0
"""An open event's last sign is written so often: a kill makes its end wrong by as much."""
FILES = ("snapshot", "clip")
"""Columns that are set by `attach`; a put without them keeps what is there."""

log = logging.getLogger("oddframe.events.store")


class Store(Outbox, Timeline, Notes, Ledger, Learned):
    """`FOLDER/events.db`; pictures and clips lie below the same folder.

        with Store(folder) as store: ...

    Any thread may use it; one process per folder may hold it, others read (`read_only`).

    Every method that writes raises StoreError where the disk is full: nothing of that call is
    written then, the caller may go on, and later calls work once there is space.

    lock: hold the folder; without, a second program may write a verdict while another watches.
    clock, utc: `time.monotonic` and `time.time`, for tests.

    Raises:
        StoreError: as `Database`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lock: bool = True,
        limits: OutboxConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._start(Database(folder, lock=lock), limits or OutboxConfig(), clock, utc)

    def _start(
        self,
        database: Database,
        limits: OutboxConfig,
        clock: Callable[[], float],
        utc: Callable[[], float],
    ) -> None:
        self._db = database
        self._touched: dict[str, float] = {}
        self._begin_outbox(limits, clock, utc)
        self._begin_timeline()

    @classmethod
    def read_only(cls, folder: Path) -> Self:
        """A store to look into while another process writes; all that writes raises StoreError."""
        store = cls.__new__(cls)
        database = Database(folder, read_only=True)
        store._start(database, OutboxConfig(), time.monotonic, time.time)
        return store

    @property
    def folder(self) -> Path:
        """Where the paths of snapshots and clips begin."""
        return self._db.folder

    @property
    def database(self) -> Database:
        """The file itself, for what lies beside this class (`keep`)."""
        return self._db

    # ---- what the watcher says

    def put(self, event: Event, sinks: Sequence[str] = (), film: bool = False) -> bool:
        """Write what is known of an event now, and one message per sink, all or nothing.

        The same again does nothing, and so does anything about an event that has ended: returns
        whether this was new. Of an event whose start was not told to a sink, an update is told as
        the start; whoever was told of an event is told its end, also where `sinks` no longer has
        it.

        film: of an end, its clip is being written: it is told once that is attached, or in five
        seconds (`outbox.FILM_S`), so that what is told names it.
        """
        known = self.event(event.id) if film and event.state == "end" else None
        if known is not None and known.clip is None:  # long events have theirs already
            self._expect_film(event.id)
        with self._db.write() as con:
            new = self._put(con, event, sinks)
        if event.state == "end":
            self._touched.pop(event.id, None)
        if new:
            self._tell()
        return new

    def _put(self, con: sqlite3.Connection, event: Event, sinks: Sequence[str]) -> bool:
        row = to_row(event)
        old = con.execute("SELECT * FROM events WHERE id = ?", (event.id,)).fetchone()
        if old is not None and _repeats(old, row):
            return False
        number = (0 if old is None else old["updates"]) + (event.state == "update")
        seen = max(event.start_utc, event.peak_utc, old["seen_utc"] if old else 0.0)
        row |= {"updates": number, "seen_utc": float(seen)}
        names = list(row)
        changes = ", ".join(
            f"{n} = coalesce(excluded.{n}, {n})" if n in FILES else f"{n} = excluded.{n}"
            for n in names
        )
        con.execute(
            f"INSERT INTO events ({', '.join(names)}) VALUES ({', '.join(f':{n}' for n in names)})"
            f" ON CONFLICT (id) DO UPDATE SET {changes}",
            row,
        )
        self._queue(con, event, sinks, number)
        return True

    def touch(self, event_id: str, utc: float) -> None:
        """An open event is still in alarm at `utc`; written every 5 s at most, so call it freely.

        Raises:
            StoreError: as `put`; it matters only if a kill comes next.
        """
        now = self._clock()
        if now - self._touched.get(event_id, -TOUCH_S) < TOUCH_S:
            return
        self._touched[event_id] = now
        with self._db.write(durable=False) as con:
            con.execute(
                "UPDATE events SET seen_utc = max(seen_utc, ?) WHERE id = ? AND state <> 'end'",
                (float(utc), event_id),
            )

    def close_left_open(self, why: Ended = "killed") -> list[Event]:
        """End the events that an earlier process left open; call it before the first `put`.

        Each ends where it was last known to be in alarm; every sink that was told of it will be
        told that.
        """
        closed = []
        with self._db.write() as con:
            rows = con.execute("SELECT * FROM events WHERE state <> 'end' ORDER BY id").fetchall()
            for row in rows:
                event = to_event(row)
                event = replace(event, state="end", end_utc=row["seen_utc"], ended=why)
                self._put(con, event, ())
                closed.append(event)
        if closed:
            self._tell()
        return closed

    def attach(
        self, event_id: str, *, snapshot: str | None = None, clip: str | None = None
    ) -> bool:
        """Enter files, as paths relative to `folder`; False where the event is not known (any
        more). Messages that wait take them along; none is sent for this.
        """
        with self._db.write() as con:
            done = con.execute(
                "UPDATE events SET snapshot = coalesce(?, snapshot), clip = coalesce(?, clip)"
                " WHERE id = ?",
                (snapshot, clip, event_id),
            )
        if clip is not None:
            self._has_film(event_id)
        return done.rowcount > 0

    # ---- what people ask and say

    def events(
        self,
        camera: str | None = None,
        since: float | None = None,
        until: float | None = None,
        verdict: Verdict | Literal["none"] | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Event]:
        """Events that reach into [since, until), the newest first.

        verdict: only those with it; "none": those that nobody has looked at.
        before: the id of the last one of a page gives the next page.
        """
        wanted = self.records(camera, since, until, verdict, limit, before)
        return [record.event for record in wanted]

    def records(
        self,
        camera: str | None = None,
        since: float | None = None,
        until: float | None = None,
        verdict: Verdict | Literal["none"] | None = None,
        limit: int = 100,
        before: str | None = None,
        severity: Severity | None = None,
    ) -> list[Record]:
        """The same, with what people said of them; severity: only those of it."""
        conditions = {
            "camera = :camera": camera, "start_utc < :until": until,
            "(end_utc IS NULL OR end_utc >= :since)": since, "id < :before": before,
            "verdict IS NULL" if verdict == "none" else "verdict = :verdict": verdict,
            "severity = :severity": severity,
        }  # fmt: skip
        where = " AND ".join(c for c, value in conditions.items() if value is not None) or "1"
        values: dict[str, Any] = {
            "camera": camera, "since": since, "until": until, "verdict": verdict,
            "before": before, "limit": limit, "severity": severity,
        }  # fmt: skip
        rows = self._db.read(
            f"SELECT * FROM events WHERE {where} ORDER BY id DESC LIMIT :limit", values
        )
        return [to_record(row) for row in rows]

    def event(self, event_id: str) -> Event | None:
        """One event, None where it is not known."""
        record = self.record(event_id)
        return record.event if record else None

    def record(self, event_id: str) -> Record | None:
        """One event with what people said of it, None where it is not known."""
        rows = self._db.read("SELECT * FROM events WHERE id = ?", (event_id,))
        return to_record(rows[0]) if rows else None

    def verdict(self, event_id: str, verdict: Verdict | None, note: str | None = None) -> bool:
        """Say what an event was; None takes it back. False where the event is not known.

        A false alarm becomes an exemplar of what is normal, where it is described (`exemplars`).

        note: free text; None keeps the one there is.

        Raises:
            StoreError: another word than real and false_alarm, or as `put`.
        """
        if verdict not in ("real", "false_alarm", None):
            raise StoreError(
                f"A verdict is real or false_alarm, or none to take it back; got {verdict!r}."
            )
        with self._db.write() as con:
            done = con.execute(
                "UPDATE events SET verdict = ?, verdict_utc = ?, note = coalesce(?, note)"
                " WHERE id = ?",
                (verdict, None if verdict is None else self._utc(), note, event_id),
            )
            self._learn(con, event_id, verdict)
            return done.rowcount > 0

    def close(self) -> None:
        """Write the minutes that are not over and let go; may be called twice, never raises."""
        try:
            if not self._db.read_only and not self._db.closed:
                self.flush()
        except StoreError as error:
            log.warning("the last minutes are lost: %s", error)
        finally:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _repeats(old: sqlite3.Row, new: dict[str, Any]) -> bool:
    """Whether the row says it already: it has ended, or nothing in it would change."""
    if old["state"] == "end" or new["state"] == "start":
        return True
    if old["state"] != new["state"]:
        return False
    return all(old[n] == v for n, v in new.items() if not (n in FILES and v is None))
