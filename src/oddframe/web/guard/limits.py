"""How much is taken from one caller, and how many wrong tokens.

    wait_s = rate.take("gate-wall")      # 0: go on; else so long until there is one again
    if (wait_s := tries.wait_s(address)): ...       # too many wrong ones: nothing is compared
    tries.wrong(address)

Used by the server's loop alone: there is no lock.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
CALLERS = 4096
"""Callers that are remembered; of more, those that came longest ago are forgotten."""
EVERYBODY = ""
"""The key of all callers together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken from callers."""

    per_s: float = 100.0
    """Requests per second of one caller, in the long run."""
    burst: float = 400.0
    """Requests of one caller at once: a page full of pictures."""
    tries: float = 10.0
    """Wrong tokens of one address at once."""
    try_s: float = 30.0
    """One more is allowed after so many seconds."""
    tries_of_all: float = 100.0
    """Wrong tokens of all addresses at once."""
    try_of_all_s: float = 1.0
    clock: Clock = time.monotonic


class Buckets:
    """For each key a bucket that holds `burst` and is filled by `per_s`."""

    def __init__(self, per_s: float, burst: float, clock: Clock, most: int = CALLERS) -> None:
        self._per_s, self._burst, self._clock, self._most = per_s, burst, clock, most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Seconds until there is one to take; 0: there is now."""
        return max(0.0, (1.0 - self._now(key)) / self._per_s)

    def take(self, key: str) -> float:
        """Take one and give 0; where there is none, seconds until there is."""
        wait_s = self.wait_s(key)
        if not wait_s:
            self._left[key] = (self._now(key) - 1.0, self._clock())
            self._left.move_to_end(key)
            while len(self._left) > self._most:
                self._left.popitem(last=False)
        return wait_s

    def _now(self, key: str) -> float:
        left, at = self._left.get(key, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - at) * self._per_s)


class Tries:
    """Wrong tokens, by address and in all.

    An address that sent a right one before is not kept out by what others send.
    """

    def __init__(self, limits: Limits) -> None:
        self._each = Buckets(1.0 / limits.try_s, limits.tries, limits.clock)
        self._all = Buckets(1.0 / limits.try_of_all_s, limits.tries_of_all, limits.clock)
        self._known: OrderedDict[str, None] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds in which no token of this address is looked at; 0: it is now."""
        near = _near(address)
        mine = self._each.wait_s(near)
        return mine if near in self._known else max(mine, self._all.wait_s(EVERYBODY))

    def wrong(self, address: str) -> None:
        """It was a wrong one."""
        self._each.take(_near(address))
        self._all.take(EVERYBODY)

    def right(self, address: str) -> None:
        """It was a right one."""
        near = _near(address)
        self._known[near] = None
        self._known.move_to_end(near)
        while len(self._known) > CALLERS:
            self._known.popitem(last=False)


def _near(address: str) -> str:
    """An IPv4 address, or the network of an IPv6 one: whoever has one of these has 2^64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
