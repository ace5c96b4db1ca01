"""One connection to a camera, in a thread that can be left behind.

Nothing ends a thread that hangs in a driver or in a name server's silence. So nobody waits for it:
it is told that it is left, and goes when it comes back.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import cast

from oddframe.errors import SourceError
from oddframe.runtime.watch.footage import Connection
from oddframe.sources.live import Seen
from oddframe.sources.why import Trouble, as_trouble, why_of

Take = Callable[["Attempt", Seen], None]


class Attempt:
    """Opens and reads, until it is over or left."""

    def __init__(self, camera: str, connection: Connection, take: Take, done: Callable[[], None]):
        """take: called for every picture, in this thread. done: called once, when it is over."""
        self.connection = connection
        self.began_s = time.monotonic()
        self.count = 0
        """Pictures so far."""
        self.first_s = math.inf
        """When the first of them came."""
        self.left = False
        """Nobody listens any more."""
        self.over = False
        self.trouble: Trouble | None = None
        """Why it is over; None of footage that came to its end."""
        self.reading_s: float | None = None
        """Since when it waits for the source; None while it does not."""
        self._take, self._done = take, done
        self._life_s, self._packets = self.began_s, 0
        self._thread = threading.Thread(target=self._run, name=f"oddframe-read-{camera}")
        # A driver or server that never answers must not keep the program from ending.
        self._thread.daemon = True
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread is there yet."""
        return self._thread.is_alive()

    def silent_s(self, now_s: float) -> float:
        """Seconds for which nothing has come, decoded or not."""
        packets = self.connection.packets
        if packets != self._packets:
            self._packets, self._life_s = packets, now_s
        return now_s - self._life_s

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end, so long at most."""
        if self._thread is not threading.current_thread():
            self._thread.join(max(timeout_s, 0.0))

    def _run(self) -> None:
        try:
            self._read()
        except SourceError as error:
            self.trouble = as_trouble(error)
        except Exception as error:  # whatever it was, the camera must not be dead for ever
            text = f"{self.connection.name}: reading failed ({type(error).__name__})."
            self.trouble = Trouble(why_of(error), text)
        self.over = True
        self._done()

    def _read(self) -> None:
        pictures = cast(Generator[Seen, None, None], self.connection.pictures())
        with closing(pictures):
            while not self.left:
                self.reading_s = time.monotonic()
                seen = next(pictures, None)
                self.reading_s = None
                if seen is None or self.left:
                    return
                self._take(self, seen)
                if not self.count:
                    self.first_s = time.monotonic()
                self.count += 1
