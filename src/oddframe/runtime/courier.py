"""Couriers: one thread a sink takes its messages out of the store's outbox and has them said.

What the engine puts into the store is on the disk; from there it is the courier's. A sink that is
down, slow or hanging delays its own messages and nobody else's, and loses none: the outbox keeps
them until the sink took them, over restarts.

    courier = Courier(lambda: make_sink(values), store, "mqtt")
    courier.start()
    ...
    stop_all([courier, ...])        # says what is left, for two seconds at most
"""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oddframe.errors import ConfigError, OddframeError
from oddframe.events.store import Store, Waiting
from oddframe.sinks.base import Later, Message, Refused, Sink

log = logging.getLogger("oddframe.runtime.courier")

FIRST_S = 1.0
"""Pause after a first failure; doubled with every further one in a row."""
LONGEST_S = 60.0
"""No sink that came back waits longer than that, unless it asked for it (`Later.after_s`)."""
JITTER = 0.2
"""Pauses vary by up to this part: sinks that died together come back apart."""
GLANCE_S = 0.25
"""A wish to stop is seen within that while the outbox is waited for."""
IDLE_S = 1.0
"""The outbox is looked into so often without news: messages come due by themselves."""
MOST_SURPRISES = 8
"""Tries of a message at which a sink fails in a way that nobody thought of; then it is put aside,
so that one message can't block all others for ever."""
STOP_S = 2.0


@dataclass(frozen=True, slots=True)
class CourierStats:
    """How a courier is doing."""

    sent: int
    """Messages that the sink took since the start."""
    failed: int
    """Tries that have to be repeated."""
    refused: int
    """Messages that it will never take."""
    backlog: int
    """Messages that wait."""
    error: str
    """The last trouble in words, "" while there is none."""
    failing_s: float | None
    """For how long it has been in trouble, None while it isn't."""
    busy_s: float | None
    """How long the message under way has been so, None while there is none."""


class Courier:
    """Feeds one sink; all its public methods may be called by any thread."""

    def __init__(self, make: Callable[[], Sink], store: Store, name: str) -> None:
        """Nothing runs yet.

        Args:
            make: Makes the sink, in the courier's thread; is asked again where that fails.
            store: Holds the messages.
            name: Of the sink, in the store.
        """
        self.name = name
        self.sink: Sink | None = None
        """Once it is made."""
        self._make, self._store = make, store
        self._thread = threading.Thread(target=self._run, name=f"oddframe-{name}", daemon=True)
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._drain_until: float | None = None  # is to stop: until when to say what is left
        self._abandoned = self._started = False
        self._known = 0
        self._sent = self._failed = self._refused = self._in_a_row = 0
        self._error, self._since, self._busy = "", 0.0, 0.0
        self._rest_until = self._asked_until = 0.0
        self._owed: tuple[Waiting, Mapping[str, Any] | None] | None = None
        self._surprises = Counter[int]()  # by message
        self._tried = set[int]()  # messages, since it is in trouble

    # ---- for others

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once, whatever the pause: there is news, or somebody put things right."""
        self._bell.set()

    def ask_to_stop(self, within_s: float = STOP_S) -> None:
        """Say what is due for half of that time, then close the sink and end."""
        self._drain_until = time.monotonic() + within_s / 2
        self._bell.set()

    def stop(self, within_s: float = STOP_S) -> bool:
        """Ask, and wait for it.

        Returns False where the sink hangs: its thread is left behind (it keeps no process from
        ending), and its message is still in the store.
        """
        self.ask_to_stop(within_s)
        return self.wait(time.monotonic() + within_s)

    def wait(self, until: float) -> bool:
        """Wait for the end until then, by the monotonic clock; see `stop`."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, until - time.monotonic()))
        with self._lock:  # the store may be closed next: what was left behind leaves it alone
            self._abandoned = self._thread.is_alive()
        if self._abandoned:
            log.warning("%s hangs and was left behind; its messages stay in the store", self.name)
        return not self._abandoned

    @property
    def stats(self) -> CourierStats:
        """How it is doing now.

        Raises:
            StoreError: the store can't be read.
        """
        backlog = self._store.backlog(self.name).messages
        now, error, busy = time.monotonic(), self._error, self._busy
        return CourierStats(
            self._sent, self._failed, self._refused, backlog, error,
            now - self._since if error else None, now - busy if busy else None,
        )  # fmt: skip

    # ---- the thread

    def _run(self) -> None:
        while self._drain_until is None:
            if not self._worked():
                self._rest()
        while not self._error and time.monotonic() < self._drain_until and self._worked():
            pass
        try:
            if self.sink is not None:
                self.sink.close()
        except Exception as error:
            log.warning("%s could not be closed: %s", self.name, _unexpected(error))

    def _worked(self) -> bool:
        """One step; False where there is nothing to do now. Never raises."""
        try:
            return self._ready() and self._one()
        except Later as error:
            self._trouble(str(error), error.after_s)
        except OddframeError as error:  # of making the sink, or of the store
            self._trouble(str(error))
        except Exception as error:
            self._trouble(_unexpected(error))
        return False

    def _ready(self) -> bool:
        if self.sink is None:
            self.sink = self._make()
        if not self._started:
            self.sink.start()
            self._started = True
            self._well()
        return True

    def _one(self) -> bool:
        """Say the next message that is due; False where none is, or it has to wait."""
        if self._owed is not None:
            self._pay()
        # In a pause one that is new is tried once all the same, for the trouble may be another's:
        # of three addresses one may be wrong. Not where the sink asked to be left alone.
        now = time.monotonic()
        if now < self._asked_until:
            return False
        resting = bool(self._error) and now < self._rest_until
        waiting = self._store.due(self.name, untried=resting)
        if waiting is None or self.sink is None:
            return False
        folder = self._store.folder
        message = Message(waiting.key, waiting.event, folder, waiting.receipts, waiting.id)
        self._busy = time.monotonic()
        try:
            receipts = self.sink.send(message)
        except Later as error:
            return self._again(waiting, str(error), error.after_s)
        except Refused as error:
            return self._put_aside(waiting, str(error))
        except ConfigError as error:  # such as a token's file that is away: it may come back
            return self._again(waiting, str(error))
        except Exception as error:
            why = _unexpected(error)
            self._surprises[waiting.id] += 1
            if self._surprises[waiting.id] >= MOST_SURPRISES:
                return self._put_aside(waiting, f"{why}, {MOST_SURPRISES} times")
            return self._again(waiting, why)
        finally:
            self._busy = 0.0
        self._sent += 1
        self._surprises.pop(waiting.id, None)
        self._owed = waiting, receipts
        self._pay()
        self._well()
        return True

    def _pay(self) -> None:
        """Write down that a message was taken; where that fails it is owed, and not sent again."""
        with self._lock:
            if self._owed is not None and not self._abandoned:
                self._store.done(*self._owed)
            self._owed = None

    def _again(self, waiting: Waiting, why: str, after_s: float | None = None) -> bool:
        with self._lock:
            if not self._abandoned:
                self._store.later(waiting, why)
        if time.monotonic() < self._rest_until and after_s is None:
            return False  # the pause that it came in is that of the others
        self._tried.add(waiting.id)
        self._trouble(why, after_s)
        return True  # look once more, for what is new

    def _put_aside(self, waiting: Waiting, why: str) -> bool:
        with self._lock:
            if not self._abandoned:
                self._store.refuse(waiting, why)
        self._refused += 1
        self._surprises.pop(waiting.id, None)
        self._well()
        return True

    def _trouble(self, why: str, after_s: float | None = None) -> None:
        """Note what is wrong, and don't try before a while."""
        now = time.monotonic()
        if why != self._error:
            log.warning("%s: %s", self.name, why)
        if not self._error:
            self._since = now
        self._error = why
        self._failed += 1
        pause = min(LONGEST_S, FIRST_S * 2.0 ** min(self._in_a_row, 30))
        pause *= 1.0 + random.uniform(-JITTER, JITTER)
        self._in_a_row += 1
        self._asked_until = now + (after_s or 0.0)
        self._rest_until = max(now + pause, self._asked_until)

    def _well(self) -> None:
        if self._error:
            log.info("%s works again, after %.0f s", self.name, time.monotonic() - self._since)
        if self._in_a_row > len(self._tried):
            # It was away, and not a message or two of a kind that it can't take: those would be
            # tried before every other one.
            self._store.hurry(self.name)
        self._tried.clear()
        self._error, self._in_a_row = "", 0
        self._rest_until = self._asked_until = 0.0

    def _rest(self) -> None:
        """Wait for news; in trouble for the pause, else for a message to come due."""
        now = time.monotonic()
        until = max(self._rest_until, now) if self._error else now + IDLE_S
        before = self._known
        while not self._bell.is_set() and time.monotonic() < until and self._known == before:
            self._known = self._store.news(before, min(GLANCE_S, until - time.monotonic()))
        if self._bell.is_set():
            self._rest_until = self._asked_until = 0.0
        self._bell.clear()


def stop_all(couriers: Sequence[Courier], within_s: float = STOP_S) -> list[str]:
    """Stop all of them at once; gives the names of those that hang and were left behind."""
    until = time.monotonic() + within_s
    for courier in couriers:
        courier.ask_to_stop(within_s)
    return [courier.name for courier in couriers if not courier.wait(until)]


def _unexpected(error: Exception) -> str:
    """A mistake of a sink or a library, without its text: that may hold an address."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
    return f"failed in a way that isn't foreseen: {type(error).__name__}{where}"
