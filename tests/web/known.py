"""Tokens that tests know, and a clock that they set."""

from __future__ import annotations

from oddframe.web.guard.auth import Access
from oddframe.web.guard.limits import Limits
from oddframe.web.guard.tokens import Holder, digest_of

ADMIN, READ = "correct-horse-battery", "wall-paper-of-the-hall"
HOLDERS = (
    Holder("boss", "admin", digest_of(ADMIN)), Holder("wall", "read", digest_of(READ)),
)  # fmt: skip
OUTSIDE = Access(False, "0.0.0.0", holders=HOLDERS)
"""A server that other machines reach."""
INSIDE = Access(True, "127.0.0.1", holders=HOLDERS)
"""One of this machine alone that has tokens all the same, behind a proxy."""
UNLIMITED = Limits(per_s=1e9, burst=1e9)


def bearer(token: str) -> dict[str, str]:
    """As programs send it."""
    return {"Authorization": f"Bearer {token}"}


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
