"""Who changed what: a row for every request that was to change something."""

from __future__ import annotations

from dataclasses import dataclass

from oddframe.events.store.database import Database

MOST_ROWS = 10_000
"""Rows that are kept; of more, the oldest go."""
MOST_STRANGERS = 1_000
"""Of these, rows of nobody known: whoever guesses at tokens must not push out what was done."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One request."""

    t_utc: float
    """When it was answered, in seconds since 1970."""
    who: str
    """Name of the token, "here" where none is needed, "" of a caller that sent a wrong one."""
    address: str
    """Of the caller."""
    method: str
    path: str
    body: str
    """What was sent, cut, without secrets."""
    status: int
    """Of the answer."""
    id: int = 0
    """Set by the store; later rows have greater ones."""


class Ledger:
    """The part of `Store` that remembers who changed what."""

    _db: Database

    def audit(self, row: Audit) -> None:
        """Write a row; what is beyond `MOST_ROWS` goes.

        Raises:
            StoreError: it cannot be written.
        """
        r = row
        # Worth no sync of an SD card for every wrong token of a stranger.
        with self._db.write(durable=bool(r.who)) as con:
            con.execute(
                "INSERT INTO audit (t_utc, who, address, method, path, body, status)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (float(r.t_utc), r.who, r.address, r.method, r.path, r.body, int(r.status)),
            )
            con.execute(
                "DELETE FROM audit WHERE id <= (SELECT id FROM audit ORDER BY id DESC"
                " LIMIT 1 OFFSET ?)",
                (MOST_ROWS,),
            )
            if not r.who:
                con.execute(
                    "DELETE FROM audit WHERE who = '' AND id <= (SELECT id FROM audit"
                    " WHERE who = '' ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (MOST_STRANGERS,),
                )

    def audits(self, limit: int = 100, before: int | None = None) -> list[Audit]:
        """Rows, the newest first.

        before: the id of the last one of a page gives the next page.

        Raises:
            StoreError: they cannot be read.
        """
        rows = self._db.read(
            "SELECT * FROM audit WHERE (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?",
            (before, before, limit),
        )
        return [
            Audit(
                t_utc=row["t_utc"], who=row["who"], address=row["address"], method=row["method"],
                path=row["path"], body=row["body"], status=row["status"], id=row["id"],
            )
            for row in rows
        ]  # fmt: skip
