"""How long to wait before each try to connect."""

from __future__ import annotations

import random

JITTER = 0.2
"""Share by which waits differ, so that the cameras of one recorder do not come all at once."""


REFUSED, REFUSED_TIMES = 3, 10
"""After so many refused passwords one behind the other the wait is so many times the cap."""


class Backoff:
    """Twice as long before each try, up to a cap."""

    def __init__(self, first_s: float, cap_s: float) -> None:
        self._first_s, self._cap_s = first_s, max(first_s, cap_s)
        self._next_s = first_s
        self._refused = 0
        self._random = random.Random()

    def after(self, ran_s: float, refused: bool = False) -> float:
        """Seconds to wait after a connection that gave pictures for so long.

        One that lived longer than the wait that would come makes the waits short again.

        refused: user or password were wrong. Many cameras lock out who tries again and again.
        """
        self._refused = self._refused + 1 if refused else 0
        wait_s = self._first_s if ran_s > self._next_s else self._next_s
        self._next_s = min(self._cap_s, wait_s * 2)
        if self._refused >= REFUSED:
            wait_s = REFUSED_TIMES * self._cap_s
        return wait_s * (1 + JITTER * (2 * self._random.random() - 1))
