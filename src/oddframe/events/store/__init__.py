"""The record of a watched place: one SQLite file, and the messages that wait in it."""

from oddframe.events.store.database import StoreError
from oddframe.events.store.outbox import OutboxConfig
from oddframe.events.store.record import (
    Aside,
    Backlog,
    Calibration,
    Described,
    Exemplar,
    Gap,
    Minute,
    Normal,
    Record,
    Tally,
    Verdict,
    Waiting,
)
from oddframe.events.store.store import Store

__all__ = [
    "Aside",
    "Backlog",
    "Calibration",
    "Described",
    "Exemplar",
    "Gap",
    "Minute",
    "Normal",
    "OutboxConfig",
    "Record",
    "Store",
    "StoreError",
    "Tally",
    "Verdict",
    "Waiting",
]
