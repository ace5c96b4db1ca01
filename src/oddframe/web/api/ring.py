"""The last lines of oddframe's log, in memory: what the page of the system shows.

    ring = attached()
    ring.lines(100)

There is one in a process, on the logger `oddframe`; it keeps what other handlers are given too.
Lines are kept as they may be shown: without passwords in addresses, cut, and of an error its kind
alone; the whole is where the log goes.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from oddframe.web.guard.hidden import within

LOGGER = "oddframe"
LINES = 500
LONG = 1000
"""Characters of a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One of them."""

    t_utc: float
    """In seconds since 1970."""
    level: str
    """info, warning, error."""
    logger: str
    message: str


class Ring(logging.Handler):
    """Keeps the newest lines; any thread may read."""

    def __init__(self, lines: int = LINES) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[Line] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one; what cannot be put into words is left out."""
        try:
            text = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        if record.exc_info and record.exc_info[0]:
            text = f"{text} ({record.exc_info[0].__name__})"
        shown = within(text)[:LONG].encode("utf-8", "replace").decode("utf-8")
        self._lines.append(Line(record.created, record.levelname.lower(), record.name, shown))

    def lines(self, limit: int = LINES) -> list[Line]:
        """The newest ones, the oldest of them first."""
        return list(self._lines)[-limit:] if limit > 0 else []


def attached() -> Ring:
    """The ring of this process: the one there is, or a new one."""
    logger = logging.getLogger(LOGGER)
    for handler in logger.handlers:
        if isinstance(handler, Ring):
            return handler
    made = Ring()
    logger.addHandler(made)
    return made
