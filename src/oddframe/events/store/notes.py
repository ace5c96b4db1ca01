"""Thresholds and where they came from, and the small things that survive a restart."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from oddframe.events.store.database import Database
from oddframe.events.store.record import Calibration, to_json


class Notes:
    """The part of `Store` that remembers what cameras were set to."""

    _db: Database

    def calibrate(self, calibration: Calibration) -> int:
        """Put a calibration in force; returns its id.

        Nothing is overwritten: an undone one is followed by the one before it, with its `why`.
        """
        c = calibration
        with self._db.write() as con:
            done = con.execute(
                "INSERT INTO calibrations (camera, model_hash, hours, peaks_json, threshold, low,"
                " high, created_utc, why, light) VALUES (?, ?, ?, '[]', ?, ?, ?, ?, ?, ?)",
                (c.camera, c.model_hash, float(c.hours), float(c.threshold), float(c.low),
                 float(c.high), float(c.created_utc), c.why, c.light),
            )  # fmt: skip
            return int(done.lastrowid or 0)

    def calibrations(
        self, camera: str, model_hash: str | None = None, limit: int = 20
    ) -> list[Calibration]:
        """Of a camera (and of a model), the newest first: the first of each light is in force."""
        rows = self._db.read(
            "SELECT * FROM calibrations WHERE camera = ? AND (? IS NULL OR model_hash = ?)"
            " ORDER BY id DESC LIMIT ?",
            (camera, model_hash, model_hash, limit),
        )
        return [_calibration(row) for row in rows]

    def remember(self, camera: str, key: str, value: Any) -> None:
        """Keep a value that JSON can hold; it replaces the one before."""
        with self._db.write() as con:
            con.execute(
                "INSERT INTO state VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET value_json = excluded.value_json",
                (camera, key, to_json(value)),
            )

    def recall(self, camera: str, key: str, default: Any = None) -> Any:
        """What was remembered last."""
        rows = self._db.read(
            "SELECT value_json FROM state WHERE camera = ? AND key = ?", (camera, key)
        )
        return json.loads(rows[0]["value_json"]) if rows else default


def _calibration(row: sqlite3.Row) -> Calibration:
    return Calibration(
        camera=row["camera"], model_hash=row["model_hash"], threshold=row["threshold"],
        low=row["low"], high=row["high"], hours=row["hours"], created_utc=row["created_utc"],
        why=row["why"], light=row["light"], id=row["id"],
    )  # fmt: skip
