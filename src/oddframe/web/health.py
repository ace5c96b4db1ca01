"""Whether a site is alive, and whether it knows all of its cameras.

Alive: the engine's loop goes round and does not fail each time, and the store can be written. A
camera that is down does not make a site ill: to start it again would help nobody. `/healthz` is for
whoever restarts a program, `/metrics` for whoever looks after cameras.
"""

from __future__ import annotations

import tempfile
import threading
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from oddframe.errors import OddframeError
from oddframe.runtime.watch.status import State

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

HANGS_S = 10.0
"""An engine's loop that has not gone round for so long hangs; idle, it does every 0.25 s."""
FAILS = 10
"""Errors in a row, without one score between them, behind which an engine only seems to work."""
PROBE_S = 2.0
"""A store is probed so often at most, whoever asks: health needs no token."""
PROBE_BYTES = 4096


class Health(BaseModel):
    """The answer of /healthz and /readyz."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    ok: bool
    why: list[str]
    """What is not as it should be, a sentence each."""


class Pulse:
    """Looks at a site's health; any thread may ask."""

    def __init__(self, work: AtWork) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._probed_s = float("-inf")
        self._trouble = ""

    def health(self) -> Health:
        """Whether it is alive."""
        why = [*self._engine(), *self._store()]
        return Health(ok=not why, why=why)

    def ready(self) -> Health:
        """Whether every camera has a picture, or is known to be down."""
        if self._work.ready:
            return Health(ok=True, why=[])
        waited = [
            f"{name} is being opened"
            for name, camera in self._work.engine.cameras.items()
            if camera.reader.status().state in (State.NOT_STARTED, State.OPENING)
        ]
        return Health(ok=False, why=waited)

    @property
    def turns(self) -> bool:
        """Whether the engine's loop goes round, and something comes of it."""
        return not self._engine()

    def _engine(self) -> list[str]:
        engine = self._work.engine
        still_s = time.monotonic() - engine.turned_s
        if still_s > HANGS_S:
            return [f"the engine has not gone round for {still_s:.0f} s: nothing is scored"]
        if engine.failing >= FAILS:
            return [f"the last {engine.failing} errors had no score between them: see the log"]
        return []

    def _store(self) -> list[str]:
        cameras = self._work.engine.cameras.values()
        waiting = sum(camera.desk.waiting for camera in cameras)
        with self._lock:
            now = time.monotonic()
            if now - self._probed_s >= PROBE_S:
                self._trouble = self._probed()
                self._probed_s = time.monotonic()
            trouble = self._trouble
        found = [trouble] if trouble else []
        return [*found, f"{waiting} events wait in memory for the disk"] if waiting else found

    def _probed(self) -> str:
        """What is wrong with the store, "" where nothing is.

        The lock of the file is taken, and a page is written to a file that is gone at once: a disk
        that is full or became read-only refuses it all the same.
        """
        store = self._work.store
        try:
            with store.database.write(durable=False):
                pass
            with tempfile.TemporaryFile(dir=store.folder, buffering=0) as probe:
                if probe.write(bytes(PROBE_BYTES)) != PROBE_BYTES:
                    return f"the store {store.folder} cannot be written: its disk is full"
        except OddframeError as error:
            return str(error)
        except OSError as error:
            return f"the store {store.folder} cannot be written: {error.strerror or error}"
        return ""
