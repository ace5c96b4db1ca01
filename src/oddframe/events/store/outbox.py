"""What sinks are still to be told: kept until each was, in the order in which it happened.

    waiting = store.due("mqtt", time.monotonic())
    try:
        receipts = sink.send(Message(waiting.key, waiting.event, store.folder, waiting.receipts))
    except Later as error:
        store.later(waiting, str(error))
    except Refused as error:
        store.refuse(waiting, str(error))
    else:
        store.done(waiting, receipts)

A message is sent at least once: of a kill between `send` and `done` the key is all that tells the
second time from the first.

Of one event a sink hears the start before the updates before the end, whatever has to be tried
again; other events do not wait for that. The times of next tries are on the monotonic clock and in
memory only: a clock that is set moves none of them, and after a restart everything is due at once.
What survives is the number of tries.
"""

from __future__ import annotations

import json
import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from oddframe.config import Config
from oddframe.events.event import Event
from oddframe.events.store.database import Database, StoreError
from oddframe.events.store.record import Aside, Backlog, Waiting, to_json

FIRST_S = 1.0
"""Before the second try; doubled with every further one."""
LONGEST_S = 300.0
FILM_S = 5.0
"""An end waits for its clip so long at most, so that it can name it."""
JITTER = 0.2
"""Delays vary by up to this part: sinks that died together come back apart."""
DAY_S = 86400.0

log = logging.getLogger("oddframe.events.outbox")


class OutboxConfig(Config):
    """What is kept for a sink that cannot be reached; the oldest goes first, counted and logged."""

    most: int = Field(10_000, ge=1)
    """Messages waiting for one sink."""
    days: float = Field(7.0, gt=0)
    """Age of a message. Nobody wants to be told of last month's events when a sink comes back."""


class Outbox:
    """The part of `Store` that couriers use; each sink by one thread."""

    _db: Database

    def _begin_outbox(
        self, limits: OutboxConfig, clock: Callable[[], float], utc: Callable[[], float]
    ) -> None:
        self._limits, self._clock, self._utc = limits, clock, utc
        self._next: dict[str, dict[int, float]] = {}
        """Per sink, of messages that were tried: when again, by `clock`."""
        self._films: dict[str, float] = {}
        """Per event that is over and whose clip is being written: until when its end waits."""
        # A clock that was wrong until the network came makes messages of before look years old.
        # Age is held only against what an earlier process left, and against this one's own life.
        self._opened = clock()
        newest = self._db.read("SELECT coalesce(max(id), 0) AS id FROM outbox")[0]["id"]
        self._left_by_others: int = newest
        self._news = threading.Condition()
        self._told = 0

    # ---- for couriers

    def due(self, sink: str, now: float | None = None, untried: bool = False) -> Waiting | None:
        """The oldest message for a sink whose time has come, None where there is none.

        Stays due until `done`, `later` or `refuse` was said of it.

        now: of the monotonic clock, in seconds. untried: the newest that was not tried yet.
        """
        now = self._clock() if now is None else now
        rows = self._db.read(
            "SELECT id, event_id FROM outbox WHERE sink = ? AND fate = 'waiting' ORDER BY id",
            (sink,),
        )
        seen: set[str] = set()
        again = self._next.setdefault(sink, {})
        if len(again) > len(rows):  # some were superseded or dropped
            again = {r["id"]: again[r["id"]] for r in rows if r["id"] in again}
            self._next[sink] = again
        found = list[int]()
        for row in rows:
            if row["event_id"] in seen:
                continue  # an earlier one of the same event is still to be told
            seen.add(row["event_id"])
            if self._films.get(row["event_id"], now) > now:
                continue
            if again.get(row["id"], now) <= now and not (untried and row["id"] in again):
                found.append(row["id"])
        order = reversed(found) if untried else found
        return next((w for i in order if (w := self._waiting(i))), None)

    def _waiting(self, message: int) -> Waiting | None:
        rows = self._db.read(
            "SELECT o.*, e.snapshot, e.clip, r.values_json FROM outbox o"
            " JOIN events e ON e.id = o.event_id"
            " LEFT JOIN receipts r ON r.sink = o.sink AND r.event_id = o.event_id"
            " WHERE o.id = ? AND o.fate = 'waiting'",
            (message,),
        )
        if not rows:  # superseded or dropped in between
            return None
        row = rows[0]
        event = Event.read(json.loads(row["payload"]))
        return Waiting(
            id=message, sink=row["sink"], key=row["key"],
            event=replace(event, snapshot=row["snapshot"], clip=row["clip"]),
            receipts=json.loads(row["values_json"] or "{}"), tries=row["tries"],
            put_utc=row["put_utc"],
        )  # fmt: skip

    def done(self, waiting: Waiting, receipts: Mapping[str, Any] | None = None) -> None:
        """It was taken; receipts are added to what is known of this event over there.

        Raises:
            StoreError: that could not be written; the message will be sent again.
        """
        with self._db.write() as con:
            con.execute(
                "UPDATE outbox SET fate = 'done', payload = '', why = NULL, next_utc = NULL"
                " WHERE id = ?",
                (waiting.id,),
            )
            if receipts:
                con.execute(
                    "INSERT INTO receipts VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET values_json = excluded.values_json",
                    (waiting.sink, waiting.event.id, to_json({**waiting.receipts, **receipts})),
                )
        self._next.get(waiting.sink, {}).pop(waiting.id, None)

    def later(self, waiting: Waiting, why: str) -> float:
        """It was not taken now: try again after 1 s, 2 s, 4 s ... 5 minutes. Returns how long.

        Never raises for a full disk: the delay holds in memory, only the number of tries is lost.
        """
        delay = min(LONGEST_S, FIRST_S * 2.0 ** min(waiting.tries, 60))
        delay *= 1.0 + random.uniform(-JITTER, JITTER)
        self._next.setdefault(waiting.sink, {})[waiting.id] = self._clock() + delay
        try:
            with self._db.write(durable=False) as con:
                con.execute(
                    "UPDATE outbox SET tries = ?, next_utc = ?, why = ?"
                    " WHERE id = ? AND fate = 'waiting'",
                    (waiting.tries + 1, self._utc() + delay, why, waiting.id),
                )
        except StoreError as error:
            log.warning("%s: the try of %s is not counted: %s", waiting.sink, waiting.key, error)
        return delay

    def hurry(self, sink: str) -> None:
        """All that waits for a sink is due now: the other side is known to be back."""
        self._next.pop(sink, None)

    def no_films(self) -> None:
        """No end waits for a clip any more: none is written from now on."""
        self._films.clear()
        self._tell()

    def refuse(self, waiting: Waiting, why: str) -> None:
        """It will never be taken: kept aside with the reason, and said."""
        with self._db.write() as con:
            con.execute(
                "UPDATE outbox SET fate = 'refused', tries = tries + 1, next_utc = NULL, why = ?"
                " WHERE id = ? AND fate = 'waiting'",
                (why, waiting.id),
            )
        self._next.get(waiting.sink, {}).pop(waiting.id, None)
        log.warning("%s refused %s: %s", waiting.sink, waiting.key, why)

    def news(self, known: int, timeout_s: float) -> int:
        """Wait until something was put, for `timeout_s` at most; returns the number of puts.

        known: that number as it was returned before, so that what came in between is not missed.
        """
        with self._news:
            self._news.wait_for(lambda: self._told != known, timeout_s)
            return self._told

    # ---- for people

    def backlog(self, sink: str) -> Backlog:
        """How much waits for a sink, and since when."""
        row = self._db.read(
            "SELECT count(*) AS n, min(put_utc) AS oldest FROM outbox"
            " WHERE sink = ? AND fate = 'waiting'",
            (sink,),
        )[0]
        return Backlog(row["n"], row["oldest"])

    def aside(self, sink: str, limit: int = 100) -> list[Aside]:
        """What a sink refused or what had to be dropped for it, the newest first."""
        rows = self._db.read(
            "SELECT key, fate, put_utc, why FROM outbox"
            " WHERE sink = ? AND fate IN ('refused', 'dropped') ORDER BY id DESC LIMIT ?",
            (sink, limit),
        )
        return [Aside(r["key"], r["fate"], r["put_utc"], r["why"] or "") for r in rows]

    def count(self, sink: str, fate: str) -> int:
        """Messages of a sink that are waiting, done, refused, superseded or dropped."""
        sql = "SELECT count(*) AS n FROM outbox WHERE sink = ? AND fate = ?"
        return int(self._db.read(sql, (sink, fate))[0]["n"])

    # ---- for the store

    def _expect_film(self, event_id: str) -> None:
        now = self._clock()
        self._films = {e: until for e, until in self._films.items() if until > now}
        self._films[event_id] = now + FILM_S

    def _has_film(self, event_id: str) -> None:
        if self._films.pop(event_id, None) is not None:
            self._tell()

    # inside its transactions:

    def _queue(
        self, con: sqlite3.Connection, event: Event, sinks: Sequence[str], number: int
    ) -> None:
        """Put one message per sink; whoever was told of an event's start is told its end."""
        told = {
            row["sink"]
            for row in con.execute("SELECT sink FROM outbox WHERE event_id = ?", (event.id,))
        }
        for sink in dict.fromkeys([*sinks, *sorted(told)]):
            state = event.state
            if state == "update" and sink not in told:
                state = "start"  # it became an alert, or the start met a full disk
            key = f"{event.id}/{state}" + (f"/{number}" if state == "update" else "")
            if state == "update":
                con.execute(
                    "UPDATE outbox SET fate = 'superseded', payload = '' WHERE sink = ?"
                    " AND event_id = ? AND state = 'update' AND fate = 'waiting'",
                    (sink, event.id),
                )
            con.execute(
                "INSERT INTO outbox (sink, event_id, state, key, payload, put_utc)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (sink, event.id, state, key, to_json(replace(event, state=state).plain()),
                 self._utc()),
            )  # fmt: skip
            self._limit(con, sink)

    def _limit(self, con: sqlite3.Connection, sink: str) -> None:
        """Drop what is too much or too old, but no end whose start was told: that would be an
        alarm which is never over.
        """
        waiting = "sink = :sink AND fate = 'waiting'"
        count, oldest = con.execute(
            f"SELECT count(*), min(put_utc) FROM outbox WHERE {waiting}", {"sink": sink}
        ).fetchone()
        old = self._utc() - self._limits.days * DAY_S
        if count <= self._limits.most and oldest >= old:
            return
        lived = self._clock() - self._opened >= self._limits.days * DAY_S
        values = {
            "sink": sink, "surplus": max(0, count - self._limits.most), "old": old,
            "before": 2**62 if lived else self._left_by_others,
        }  # fmt: skip
        dropped = con.execute(
            f"SELECT id, key FROM outbox o WHERE {waiting} AND (id IN"
            f"  (SELECT id FROM outbox WHERE {waiting} ORDER BY id LIMIT :surplus)"
            "  OR (put_utc < :old AND id <= :before))"
            " AND NOT (state = 'end' AND EXISTS (SELECT 1 FROM outbox t WHERE t.sink = o.sink"
            "  AND t.event_id = o.event_id AND t.fate = 'done'))",
            values,
        ).fetchall()
        for row in dropped:
            con.execute(
                "UPDATE outbox SET fate = 'dropped', payload = '', why = ? WHERE id = ?",
                (f"over {self._limits.most} messages or {self._limits.days:g} days", row["id"]),
            )
        if dropped:
            log.warning(
                "%s could not be told for too long: %d messages dropped, the oldest %s",
                sink, len(dropped), dropped[0]["key"],
            )  # fmt: skip

    def _tell(self) -> None:
        """Wake whoever waits for news; after the commit."""
        with self._news:
            self._told += 1
            self._news.notify_all()
