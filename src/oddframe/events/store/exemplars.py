"""What events looked like, and what is learned from a verdict: exemplars of what is normal.

A verdict and what it teaches are written in one transaction, whoever says it, in whatever process:
a false alarm that was described becomes an exemplar of its camera; any other word, or none, takes
it back. What a description holds is `scoring.spots`' business: here it is bytes.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from oddframe.events.event import Box
from oddframe.events.store.database import Database
from oddframe.events.store.files import NORMALS, place, write_whole
from oddframe.events.store.record import (
    Described,
    Exemplar,
    Normal,
    Tally,
    Verdict,
    to_event,
    to_json,
)

MOST_EXEMPLARS = 200
"""Of one camera; of more, the one that has silenced nothing for the longest goes."""
MOST_REAL = 200
"""Events of one camera that were real, the newest, against which exemplars are held."""
MOST_NORMALS = 60
"""Pictures of one camera of what raised no alarm, those with the highest levels."""
WEEK_S, MONDAY_S = 7 * 86400, 3 * 86400
"""1970 began on a Thursday."""

Mark = tuple[object, ...]


class Learned:
    """The part of `Store` that remembers what events looked like."""

    _db: Database
    _utc: Callable[[], float]

    # ---- what events looked like

    def describe(
        self, event_id: str, spots: bytes, trace: Sequence[tuple[float, float]] = ()
    ) -> bool:  # fmt: skip
        """Keep what an event looked like, and the levels around it: (time, level) each.

        It replaces what was there, also in its exemplar. False where the event is not known (any
        more): nothing is kept.
        """
        levels = to_json([[round(t, 3), round(level, 4)] for t, level in trace])
        with self._db.write(durable=False) as con:
            row = con.execute(
                "SELECT verdict, event_id FROM events LEFT JOIN described ON event_id = id"
                " WHERE id = ?",
                (event_id,),
            ).fetchone()
            if row is None:
                return False
            con.execute(
                "INSERT INTO described VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
                " SET spots = excluded.spots, trace_json = excluded.trace_json",
                (event_id, spots, levels),
            )
            con.execute("UPDATE exemplars SET spots = ? WHERE event_id = ?", (spots, event_id))
            if row["event_id"] is None:  # it may have been judged already
                self._learn(con, event_id, row["verdict"])
        return True

    def described(self, event_id: str) -> Described | None:
        """What an event looked like; None where nothing was kept."""
        rows = self._db.read("SELECT * FROM described WHERE event_id = ?", (event_id,))
        return _described(rows[0]) if rows else None

    def judged(self, camera: str, run: str, verdict: Verdict, limit: int) -> list[Described]:
        """Described events of a camera, scored by these weights, that somebody has judged so: the
        newest first."""
        rows = self._db.read(
            "SELECT described.* FROM events JOIN described ON event_id = id"
            " WHERE camera = ? AND verdict = ? AND model_hash = ? ORDER BY id DESC LIMIT ?",
            (camera, verdict, run, limit),
        )
        return [_described(row) for row in rows]

    def tally(self, camera: str | None = None) -> list[Tally]:
        """How many events were judged, and how; by the week that they began in, oldest first.

        camera: None: of all.
        """
        rows = self._db.read(
            "SELECT CAST((start_utc + :monday) / :week AS INTEGER) AS number,"
            " sum(verdict IS 'real') AS real, sum(verdict IS 'false_alarm') AS wrong,"
            " sum(verdict IS NULL) AS open FROM events"
            " WHERE :camera IS NULL OR camera = :camera GROUP BY number ORDER BY number",
            {"camera": camera, "week": WEEK_S, "monday": MONDAY_S},
        )
        return [
            Tally(float(r["number"] * WEEK_S - MONDAY_S), r["real"], r["wrong"], r["open"])
            for r in rows
        ]

    # ---- what is normal

    def _learn(self, con: sqlite3.Connection, event_id: str, verdict: Verdict | None) -> None:
        """What a verdict teaches; of `Store.verdict`, in its transaction."""
        if verdict != "false_alarm":
            con.execute("DELETE FROM exemplars WHERE event_id = ?", (event_id,))
            return
        row = con.execute(
            "SELECT events.*, spots FROM events JOIN described ON event_id = id WHERE id = ?",
            (event_id,),
        ).fetchone()
        if row is None or not row["spots"]:
            return
        event = to_event(row)
        box = event.boxes[0] if event.boxes else Box(0, 0, event.width, event.height)
        con.execute(
            "INSERT INTO exemplars (camera, event_id, model_hash, created_utc, place_json,"
            " reasons_json, spots) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (event.camera, event_id, event.run, self._utc(), to_json([box.x, box.y, box.w, box.h]),
             to_json(list(event.reasons)), row["spots"]),
        )  # fmt: skip
        con.execute(
            "DELETE FROM exemplars WHERE id IN (SELECT id FROM exemplars WHERE camera = ?"
            " ORDER BY max(created_utc, coalesce(silenced_utc, 0)) DESC, id DESC"
            " LIMIT -1 OFFSET ?)",
            (event.camera, MOST_EXEMPLARS),
        )

    def exemplars(self, camera: str, run: str | None = None) -> list[Exemplar]:
        """What is normal at a camera, the newest first.

        run: only those that hold for these weights.
        """
        rows = self._db.read(
            "SELECT exemplars.*, snapshot FROM exemplars LEFT JOIN events ON events.id = event_id"
            " WHERE exemplars.camera = :camera AND (:run IS NULL OR exemplars.model_hash = :run)"
            " ORDER BY exemplars.id DESC",
            {"camera": camera, "run": run},
        )
        return [_exemplar(row) for row in rows]

    def forget(self, exemplar_id: int) -> str | None:
        """Take an exemplar back: what is like it raises alarms again. What was said of its event
        stays. The camera that it was of; None where there is no such."""
        with self._db.write() as con:
            row = con.execute(
                "DELETE FROM exemplars WHERE id = ? RETURNING camera", (exemplar_id,)
            ).fetchone()
            return None if row is None else str(row["camera"])

    def silenced(self, times: Mapping[int, tuple[int, float]]) -> None:
        """Count what exemplars, by their ids, have silenced: how often since, and when last."""
        with self._db.write(durable=False) as con:
            con.executemany(
                "UPDATE exemplars SET silenced = silenced + ?, silenced_utc = ? WHERE id = ?",
                [(n, float(utc), number) for number, (n, utc) in times.items()],
            )

    def learned_mark(self, camera: str) -> Mark:
        """Another one whenever what was learned of a camera is: cheap enough for every second."""
        rows = self._db.read(
            "SELECT count(*), max(verdict_utc), max(id) FROM events"
            " WHERE camera = :camera AND verdict IS NOT NULL"
            " UNION ALL SELECT count(*), max(id), sum(length(spots)) FROM exemplars"
            " WHERE camera = :camera",
            {"camera": camera},
        )
        return tuple(value for row in rows for value in row)

    # ---- the most unusual of what raised no alarm

    def keep_normal(self, normal: Normal, jpeg: bytes) -> None:
        """Keep a frame that raised no alarm, with its picture; of more than `MOST_NORMALS` those
        with the highest levels stay.

        Raises:
            StoreError: the disk is full; nothing is kept.
        """
        name = place(NORMALS, normal.camera, f"{normal.t_utc:.6f}", ".jpg")
        write_whole(self._db.folder / name, jpeg)
        n = normal
        try:
            with self._db.write(durable=False) as con:
                con.execute(
                    "INSERT INTO normals (camera, model_hash, t_utc, level, spots, picture)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (n.camera, n.run, float(n.t_utc), float(n.level), n.spots, name),
                )
        except BaseException:
            (self._db.folder / name).unlink(missing_ok=True)
            raise
        self._drop(
            "id IN (SELECT id FROM normals WHERE camera = ? ORDER BY level DESC, id DESC"
            " LIMIT -1 OFFSET ?)",
            (normal.camera, MOST_NORMALS),
        )  # fmt: skip

    def normals(self, camera: str, run: str | None = None) -> list[Normal]:
        """Those that were kept of a camera, the highest level first; `run`: by these weights."""
        rows = self._db.read(
            "SELECT * FROM normals WHERE camera = :camera AND (:run IS NULL OR model_hash = :run)"
            " ORDER BY level DESC, id DESC",
            {"camera": camera, "run": run},
        )
        return [_normal(row) for row in rows]

    def drop_normals(self, before_utc: float) -> int:
        """Delete those that are older, with their pictures; returns how many there were."""
        return self._drop("t_utc < ?", (float(before_utc),))

    def _drop(self, where: str, values: Sequence[object]) -> int:
        """Rows first: a picture without a row is deleted with the next that goes."""
        with self._db.write(durable=False) as con:
            rows = con.execute(f"SELECT picture FROM normals WHERE {where}", values).fetchall()
            con.execute(f"DELETE FROM normals WHERE {where}", values)
        gone = [self._db.folder / row["picture"] for row in rows]
        for path in gone:
            with contextlib.suppress(OSError):
                path.unlink()
        return len(gone)

    def lost_normals(self) -> list[Path]:
        """Pictures that no row knows: a kill came between."""
        known = {row["picture"] for row in self._db.read("SELECT picture FROM normals")}
        folder = self._db.folder
        there = (folder / NORMALS).glob("*/*")
        return [p for p in there if p.relative_to(folder).as_posix() not in known]


def _described(row: sqlite3.Row) -> Described:
    trace = tuple((float(t), float(level)) for t, level in json.loads(row["trace_json"]))
    return Described(row["event_id"], row["spots"], trace)


def _exemplar(row: sqlite3.Row) -> Exemplar:
    return Exemplar(
        id=row["id"], camera=row["camera"], event_id=row["event_id"], run=row["model_hash"],
        created_utc=row["created_utc"], place=Box(*json.loads(row["place_json"])),
        reasons=tuple(json.loads(row["reasons_json"])), spots=row["spots"],
        silenced=row["silenced"], silenced_utc=row["silenced_utc"], snapshot=row["snapshot"],
    )  # fmt: skip


def _normal(row: sqlite3.Row) -> Normal:
    return Normal(
        camera=row["camera"], run=row["model_hash"], t_utc=row["t_utc"], level=row["level"],
        spots=row["spots"], picture=row["picture"], id=row["id"],
    )  # fmt: skip
