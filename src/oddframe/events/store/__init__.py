"""The record of a watched place: one SQLite file, and the messages that wait in it."""

from oddframe.events.store.database import StoreError
from oddframe.events.store.outbox import OutboxConfig
from oddframe.events.store.record import (
    Aside,
    Backlog,
    Calibration,
    Gap,
    Minute,
    Record,
    Verdict,
    Waiting,
)
from oddframe.events.store.store import Store

__all__ = [
    "Aside",
    "Backlog",
    "Calibration",
    "Gap",
    "Minute",
    "OutboxConfig",
    "Record",
    "Store",
    "StoreError",
    "Verdict",
    "Waiting",
]
