"""What can be counted of a site at work: plain numbers, read by whoever shows them.

Written by the engine's and the readers' threads and read by any other. Every number is one
assignment or addition under a lock that is never held for longer.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from operator import sub

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends, as Prometheus' clients have them."""
RATE_S = 10.0
"""What a rate is measured over."""
LATELY_S = 300.0
"""What quantiles are of: the last `LATELY_S` seconds at least, twice as many at most. Of all since
the start, three weeks would hide an hour in which every frame was late."""


class Histogram:
    """How long something took: counts by upper ends and the sum since the start, and quantiles of
    the last minutes; any thread may add and read.

    clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum = 0.0
        self._older = self._newer = tuple(self._counts)
        """The counts as they were up to twice `LATELY_S` ago, and at `_kept`."""
        self._kept = clock()

    def add(self, seconds: float) -> None:
        """One measurement."""
        with self._lock:
            self._keep()
            self._counts[bisect.bisect_left(BUCKETS_S, seconds)] += 1
            self._sum += seconds

    def read(self) -> tuple[list[int], float]:
        """How many were at most `BUCKETS_S[i]` long, the last: all; and the sum in seconds."""
        with self._lock:
            return list(accumulate(self._counts)), self._sum

    def quantile(self, share: float) -> float | None:
        """The upper end of the bucket that a share (0..1) of the last minutes' (`LATELY_S`) lies in
        or below, in seconds; None where there is none, infinite beyond the last."""
        with self._lock:
            self._keep()
            counts = list(accumulate(map(sub, self._counts, self._older)))
        if not counts[-1]:
            return None
        i = next(i for i, n in enumerate(counts) if n >= share * counts[-1])
        return BUCKETS_S[i] if i < len(BUCKETS_S) else float("inf")

    def _keep(self) -> None:
        """Keep the counts as they are now, where those that were kept last are old."""
        past = self._clock() - self._kept
        if past < LATELY_S:
            return
        now = tuple(self._counts)
        self._older = self._newer if past < 2 * LATELY_S else now
        self._newer = now
        self._kept += past


class Rate:
    """Events per second over the last `RATE_S` seconds; any thread may add and read.

    began: by `time.monotonic`, from when on there may have been some; by default now.
    """

    def __init__(self, began: float | None = None) -> None:
        self._lock = threading.Lock()
        self._times: deque[float] = deque()
        self._began = time.monotonic() if began is None else began

    def add(self, now: float) -> None:
        """One more, at a time of `time.monotonic`."""
        with self._lock:
            self._times.append(now)
            while now - self._times[0] > RATE_S:
                self._times.popleft()

    def read(self, now: float) -> float:
        """Per second."""
        span = min(RATE_S, max(now - self._began, 1e-3))
        with self._lock:
            return sum(1 for t in self._times if now - t <= span) / span


@dataclass(slots=True)
class CameraMeters:
    """One camera."""

    looked: int = 0
    """Frames that were scored, those without a score yet among them."""
    events: Counter[str] = field(default_factory=Counter)
    """By severity."""
    score: float = float("nan")
    level: float = float("nan")
    anomaly: bool = False
    """An event is open."""
    rate: Rate = field(default_factory=Rate)
    age: Histogram = field(default_factory=Histogram)
    """Seconds from the arrival of a frame to its score."""


@dataclass(slots=True)
class Meters:
    """A site."""

    cameras: dict[str, CameraMeters]
    """Never changed: where a camera joins or leaves, it is another dict (`joined`, `left`)."""
    inference: Histogram = field(default_factory=Histogram)
    """Seconds of one call of the model, for all cameras that it took."""
    started: float = field(default_factory=time.monotonic)
    faults: Counter[str] = field(default_factory=Counter)
    """What went wrong and was gone on from, by where: engine, store, snapshot, keep."""

    def joined(self, camera: str) -> None:
        """One more camera, its numbers at nothing."""
        self.cameras = {**self.cameras, camera: CameraMeters()}

    def left(self, camera: str) -> None:
        """One camera less."""
        self.cameras = {n: m for n, m in self.cameras.items() if n != camera}
