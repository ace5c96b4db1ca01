"""The file behind the store: opened once, brought up to date, written whole or not at all.

One connection writes, behind one lock; a second one reads, so that a long timeline for a browser
does not keep an alarm waiting. In WAL mode the reader sees what was committed, never half of it.

Durability: a commit with `synchronous=FULL` is on the disk when it returns (3.8 ms on the machine
where this was written), and neither a kill nor a power cut takes it back. What is acknowledged is
written so. Minutes and the last sign of an open event are worth no sync of an SD card every few
seconds: they are written with NORMAL (0.01 ms), which survives a kill, and a power cut up to the
commit before the last sync.

WAL needs shared memory: the folder must lie on a disk of this machine, not of a network.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from oddframe.errors import OddframeError

NAME = "events.db"
LOCK = "events.lock"
APPLICATION = 0x6F646466
"""`PRAGMA application_id`, "oddf": whose file it is."""
VERSION = 4
"""`PRAGMA user_version` of schema.sql."""
STEPS: Mapping[int, str] = {
    1: """
CREATE TABLE audit (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    t_utc     REAL NOT NULL,
    who       TEXT NOT NULL,
    address   TEXT NOT NULL,
    method    TEXT NOT NULL,
    path      TEXT NOT NULL,
    body      TEXT NOT NULL,
    status    INTEGER NOT NULL
);
CREATE INDEX audit_time ON audit (t_utc);
CREATE TABLE described (
    event_id   TEXT PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    spots      BLOB NOT NULL,
    trace_json TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_judged ON events (camera, verdict, id) WHERE verdict IS NOT NULL;
CREATE TABLE exemplars (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    camera       TEXT NOT NULL,
    event_id     TEXT NOT NULL UNIQUE,
    model_hash   TEXT NOT NULL,
    created_utc  REAL NOT NULL,
    place_json   TEXT NOT NULL,
    reasons_json TEXT NOT NULL,
    spots        BLOB NOT NULL,
    silenced     INTEGER NOT NULL DEFAULT 0,
    silenced_utc REAL
);
CREATE INDEX exemplars_camera ON exemplars (camera, id);
CREATE TABLE normals (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    camera     TEXT NOT NULL,
    model_hash TEXT NOT NULL,
    t_utc      REAL NOT NULL,
    level      REAL NOT NULL,
    spots      BLOB NOT NULL,
    picture    TEXT NOT NULL
);
CREATE INDEX normals_camera ON normals (camera, level);
""",
    2: "ALTER TABLE calibrations ADD COLUMN light TEXT NOT NULL DEFAULT ''",
    3: "CREATE INDEX receipts_event ON receipts (event_id)",
}
"""SQL that brings a file of version n to n + 1, for every n from 1 to VERSION - 1."""
SCHEMA = Path(__file__).with_name("schema.sql")
BUSY_S = 10.0
"""How long to wait for another program's transaction (a verdict from the command line)."""
WAL_BYTES = 16_000_000
"""The log is cut to this after a checkpoint: a burst must not hold its peak for ever."""


class StoreError(OddframeError):
    """The store cannot be opened, read or written; what was committed before is still there."""


class Database:
    """`FOLDER/events.db`, open.

    Threads may share it. Of writers that hold the lock there is one per folder.

    Raises:
        StoreError: another process holds it, it is of a newer oddframe or of another program, it
            is damaged, or the folder cannot be written.
    """

    def __init__(self, folder: Path, *, lock: bool = True, read_only: bool = False) -> None:
        self.folder = Path(folder).absolute()
        self.path = self.folder / NAME
        self.read_only = read_only
        self.writing = threading.RLock()
        self._reading = threading.Lock()
        self._durable = True
        self.closed = False
        with contextlib.ExitStack() as stack:
            if not read_only:
                _make(self.folder)
                if lock:
                    stack.callback(os.close, _locked(self.folder))
                self._writer = self._open(stack)
            self._reader = self._open(stack, reader=True)
            self._leave = stack.pop_all()

    def _open(self, stack: contextlib.ExitStack, reader: bool = False) -> sqlite3.Connection:
        """A connection; the first one also makes, checks and migrates the file."""
        if reader and not self.path.is_file():
            raise StoreError(
                f"There is no store in {self.folder}: {NAME} is missing. It is made by whoever "
                "watches; check the folder."
            )
        mode = "ro" if self.read_only else "rw" if reader else "rwc"
        try:
            con = sqlite3.connect(
                f"{self.path.as_uri()}?mode={mode}", uri=True, timeout=BUSY_S,
                isolation_level=None, check_same_thread=False,
            )  # fmt: skip
            stack.callback(con.close)
            con.row_factory = sqlite3.Row
            con.execute("PRAGMA foreign_keys = ON")
            if not reader:
                _open_tables(con, self.path)
            elif self.read_only:
                _refuse_other(con, self.path, VERSION)
        except sqlite3.Error as error:
            raise explained(error, self.path) from None
        return con

    @contextlib.contextmanager
    def write(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is written when the block ends, or nothing.

            with database.write() as con:
                con.execute(...)

        durable: on the disk when the block is left (see the head of this file).

        Raises:
            StoreError: the disk is full or broken; nothing was written, and the next transaction
                may work again.
        """
        with self.writing:
            if self.closed or self.read_only:
                what = "is closed" if self.closed else "was opened for reading only"
                raise StoreError(f"The store {self.path} {what}: nothing can be written.")
            con = self._writer
            try:
                if durable != self._durable:
                    con.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._durable = durable
                con.execute("BEGIN IMMEDIATE")
                yield con
                con.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(sqlite3.Error):
                    if con.in_transaction:  # a full disk may have rolled back already
                        con.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise explained(error, self.path) from None
                raise

    def read(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query over what is committed.

        Raises:
            StoreError: the store is closed, or the disk or the file is broken.
        """
        with self._reading:
            if self.closed:
                raise StoreError(f"The store {self.path} is closed.")
            try:
                return self._reader.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise explained(error, self.path) from None

    def close(self) -> None:
        """Let go of file and lock; may be called twice."""
        with self.writing, self._reading:
            self.closed = True
            self._leave.close()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"Cannot make the folder {folder}: {error.strerror or error}. Choose another store."
        ) from None


def _locked(folder: Path) -> int:
    """A handle that holds the folder until it is closed, or its process is gone in any way."""
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"The folder {folder} cannot be written: {error.strerror or error}. Give it to the "
            "user that oddframe runs as, or choose another store."
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise StoreError(
            f"The store {folder} is in use by another oddframe (process {holder}). Stop that one, "
            "or give this one a store of its own."
        ) from None
    except OSError:
        pass  # held, only the number could not be written: the disk is full
    return handle


def _open_tables(con: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring older ones up to date; look for damage."""
    _refuse_other(con, path)
    con.execute("PRAGMA journal_mode = WAL")
    con.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    con.execute("PRAGMA synchronous = FULL")
    # 0.1 s of 22 MB, a year of one camera's minutes: what a power cut broke is known at the start.
    if (found := con.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise _damaged(path, found)
    version = con.execute("PRAGMA user_version").fetchone()[0]
    if not version:
        made = f"PRAGMA application_id = {APPLICATION};\n{SCHEMA.read_text('utf-8')}"
        _step(con, made, VERSION)
        return
    for before in range(version, VERSION):
        _step(con, STEPS[before], before + 1)


def _step(con: sqlite3.Connection, sql: str, version: int) -> None:
    """One step of a migration; a kill or an error in the middle leaves the version of before."""
    try:
        con.executescript(f"BEGIN IMMEDIATE;\n{sql};\nPRAGMA user_version = {version};\nCOMMIT;")
    except sqlite3.Error:
        if con.in_transaction:
            con.execute("ROLLBACK")
        raise


def _refuse_other(con: sqlite3.Connection, path: Path, least: int = 0) -> None:
    """Take only files of ours (or empty ones), not newer than this program and not below least."""
    owner = con.execute("PRAGMA application_id").fetchone()[0]
    version = con.execute("PRAGMA user_version").fetchone()[0]
    tables = con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION and (tables or owner or version):
        raise StoreError(
            f"{path} is an SQLite file, but not oddframe's: nothing in it was touched. Choose "
            "another folder for the store."
        )
    if version > VERSION:
        raise StoreError(
            f"{path} is of a newer oddframe: version {version} of the store, this program knows "
            f"up to {VERSION}. Install the newer oddframe again, or choose another store."
        )
    if version < least:
        raise StoreError(
            f"{path} is of an older oddframe: version {version} of the store, this program reads "
            f"{VERSION}. Start watching once with this oddframe: that brings it up to date."
        )


def explained(error: sqlite3.Error, path: Path) -> Exception:
    """What to tell a user; a mistake of the program (a wrong SQL) stays the error that it is."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        what = "is full" if primary == sqlite3.SQLITE_FULL else f"gave an error ({error})"
        return StoreError(
            f"The store {path} cannot be written or read: its disk {what}, {_free(path)} free. "
            "Free some space or look at the disk; nothing half-written was left, and it goes on "
            "once there is space."
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"The store {path} was held by another program for {BUSY_S:g} s. Close what has it "
            "open for writing (a database browser?)."
        )
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(
            f"The store {path} cannot be opened or written ({error}). Give folder and file to the "
            "user that oddframe runs as, or choose another store."
        )
    return error


def _damaged(path: Path, found: str) -> StoreError:
    return StoreError(
        f"The store {path} is damaged: {found.splitlines()[0]}. Nothing was deleted. Move it away "
        f"(`mv {path.name} {path.name}.damaged`, and its -wal and -shm files): the next start "
        "makes a new one, snapshots and clips stay where they are. What can be read of the old one "
        "comes out by `sqlite3 FILE .recover`."
    )


def _free(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free / 1e6:.0f} MB"
    except OSError:
        return "unknown space"
