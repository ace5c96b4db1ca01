"""How it went over weeks: a row per minute with a score, and the periods without one.

A minute that is missing had no score, and says nothing about what happened in it; `gaps` has the
reason. Neither is ever filled in.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from oddframe.events.store.database import Database
from oddframe.events.store.record import Gap, Minute

MINUTE_S = 60
MOST_PENDING = 10_000
"""Minutes that wait for a full disk: 40 hours of four cameras."""

log = logging.getLogger("oddframe.events.timeline")


@dataclass(slots=True)
class _Minute:
    """One that is not written yet."""

    camera: str
    t_utc: int
    frames: int = 0
    dropped: int = 0
    total: float = 0.0
    highest: float = -math.inf


class Timeline:
    """The part of `Store` that knows minutes and gaps."""

    _db: Database

    def _begin_timeline(self) -> None:
        self._now: dict[str, _Minute] = {}
        self._pending: list[_Minute] = []

    # ---- minutes

    def minute(self, camera: str, t_utc: float, level: float, dropped: int = 0) -> None:
        """Count one look at a camera; written when its minute is over (or by `flush`).

        level: NaN where there was no score: such a frame is not counted.
        dropped: frames that came since the look before and were not scored.

        Raises:
            StoreError: minutes could not be written; they are kept and tried again a minute later.
        """
        if math.isnan(level):
            return
        start = int(t_utc // MINUTE_S) * MINUTE_S
        with self._db.writing:
            now = self._now.get(camera)
            over = now is not None and now.t_utc != start
            if now is None or over:
                if now is not None:
                    self._pending.append(now)
                now = self._now[camera] = _Minute(camera, start)
            now.frames += 1
            now.dropped += dropped
            now.total += level
            now.highest = max(now.highest, level)
            if over:
                self._write_minutes()

    def flush(self) -> None:
        """Write what was counted so far.

        Raises:
            StoreError: that could not be written; it is kept.
        """
        with self._db.writing:
            self._pending += self._now.values()
            self._now.clear()
            self._write_minutes()

    def _write_minutes(self) -> None:
        if len(self._pending) > MOST_PENDING:
            log.warning("minutes that could not be written: %d given up", len(self._pending) // 10)
            del self._pending[: len(self._pending) // 10]
        if not self._pending:
            return
        rows = [
            (m.camera, m.t_utc, m.frames, m.dropped, m.total / m.frames, m.highest)
            for m in self._pending
        ]
        with self._db.write(durable=False) as con:
            con.executemany(  # one that is there: the program was restarted within it
                "INSERT INTO minutes VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET"
                " level_mean = (frames * level_mean + excluded.frames * excluded.level_mean)"
                "  / (frames + excluded.frames),"
                " frames = frames + excluded.frames, dropped = dropped + excluded.dropped,"
                " level_max = max(level_max, excluded.level_max)",
                rows,
            )
        self._pending.clear()

    def minutes(
        self, camera: str, since: float, until: float, step_s: int = MINUTE_S
    ) -> list[Minute]:
        """The timeline of a camera in [since, until), one entry per step with a score in it.

        step_s: in whole minutes; 3600 gives a month as 720 entries.
        """
        step = max(1, round(step_s / MINUTE_S)) * MINUTE_S
        rows = self._db.read(
            "SELECT t_utc / :step * :step AS at, sum(frames) AS frames, sum(dropped) AS dropped,"
            " sum(frames * level_mean) / sum(frames) AS mean, max(level_max) AS highest"
            " FROM minutes WHERE camera = :camera AND t_utc >= :since AND t_utc < :until"
            " GROUP BY at ORDER BY at",
            {"step": step, "camera": camera, "since": since, "until": until},
        )
        return [
            Minute(float(r["at"]), r["frames"], r["dropped"], r["mean"], r["highest"]) for r in rows
        ]

    # ---- gaps

    def gap_begins(self, camera: str, utc: float, why: str) -> None:
        """From now on there is no score; nothing happens where a gap is open already."""
        with self._db.write() as con:
            con.execute(
                "INSERT INTO gaps (camera, start_utc, why) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (camera, float(utc), why),
            )

    def gap_ends(self, camera: str, utc: float) -> None:
        """There are scores again; nothing happens where no gap is open."""
        with self._db.write() as con:
            con.execute(  # never before it began, whoever set the clock
                "UPDATE gaps SET end_utc = max(start_utc, ?) WHERE camera = ? AND end_utc IS NULL",
                (float(utc), camera),
            )

    def gaps(
        self, camera: str | None = None, since: float | None = None, until: float | None = None
    ) -> list[Gap]:
        """Gaps that reach into [since, until), the oldest first."""
        rows = self._db.read(
            "SELECT * FROM gaps WHERE (:camera IS NULL OR camera = :camera)"
            " AND (:until IS NULL OR start_utc < :until)"
            " AND (:since IS NULL OR end_utc IS NULL OR end_utc >= :since)"
            " ORDER BY start_utc, id",
            {"camera": camera, "since": since, "until": until},
        )
        return [Gap(r["camera"], r["start_utc"], r["end_utc"], r["why"]) for r in rows]

    def left_off(self, camera: str) -> float | None:
        """When the record of a camera ends: its last minute with a score, None where it has none.

        After a kill, what is between that and now is a gap as well:
        `store.gap_begins(camera, store.left_off(camera) or now, "killed")`.
        """
        row = self._db.read("SELECT max(t_utc) AS minute FROM minutes WHERE camera = ?", (camera,))[
            0
        ]
        return None if row["minute"] is None else float(row["minute"] + MINUTE_S)
