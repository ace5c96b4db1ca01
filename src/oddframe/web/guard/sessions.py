"""Sessions of browsers: random ids in cookies, held as hashes, in memory alone.

A restart ends all of them: who looks logs in again. Used by the server's loop alone.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass

from oddframe.web.guard.limits import Clock
from oddframe.web.guard.tokens import Holder, digest_of

COOKIE = "oddframe_session"
"""Name of the cookie; behind it the port, see `cookie_name`."""
IDLE_S = 12 * 3600.0
"""A session that was not used for so long is over."""
AGE_S = 30 * 86400.0
"""One that was used all the time is over after this."""
MOST = 64
"""Sessions of one token; of more, the one that was not used for longest ends."""
BYTES = 32


@dataclass(slots=True)
class Session:
    """A browser that has sent a token."""

    holder: Holder
    began_s: float
    used_s: float


class Sessions:
    """All that are open."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, holder: Holder) -> str:
        """A new session; gives its id."""
        now = self._clock()
        self._open = {k: s for k, s in self._open.items() if not _over(s, now)}
        own = [(s.used_s, k) for k, s in self._open.items() if s.holder is holder]
        for _, key in sorted(own)[: max(0, len(own) - MOST + 1)]:
            del self._open[key]
        made = secrets.token_urlsafe(BYTES)
        self._open[digest_of(made)] = Session(holder, now, now)
        return made

    def of(self, session_id: str) -> Holder | None:
        """Whose session it is, which counts as its use; None where there is none (any more)."""
        key, now = digest_of(session_id), self._clock()
        found = self._open.get(key)
        if found is None:
            return None
        if _over(found, now):
            del self._open[key]
            return None
        found.used_s = now
        return found.holder

    def end(self, session_id: str) -> None:
        """End it, where there is one."""
        self._open.pop(digest_of(session_id), None)


def cookie_name(host: str) -> str:
    """Name of the cookie of a server that is asked for by this Host.

    Browsers keep no cookies apart by port (RFC 6265, 8.5): two sites of one machine would log each
    other out.
    """
    port = re.search(r":(\d{1,5})$", host)
    return COOKIE if port is None else f"{COOKIE}_{port[1]}"


def _over(session: Session, now: float) -> bool:
    return now - session.used_s >= IDLE_S or now - session.began_s >= AGE_S
