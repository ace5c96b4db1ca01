"""The loop: whoever has a frame is scored, all cameras of a RUN in one call of the model.

    readers -> feeds -> [due cameras] -> looks (a few threads) -> Scorer.step_batch -> desks

Nobody is waited for: a camera that is down, slow or frozen costs the others nothing. How often each
is looked at is `pace`'s: where the machine cannot keep up all get less, and frames do not queue.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from oddframe.errors import OddframeError
from oddframe.runtime.watch.camera import Camera, Ready
from oddframe.runtime.watch.feed import Bell
from oddframe.runtime.watch.meters import Meters
from oddframe.runtime.watch.pace import Pace, rate_for
from oddframe.types import Score

log = logging.getLogger("oddframe.runtime.watch")

TEND_S = 5.0
"""What a full disk kept back is tried again so often."""
REST_S = 1.0
"""Pause behind an error that nobody thought of: a log must not fill a disk."""


class Engine:
    """Scores cameras until it is stopped or all files are over.

    Args:
        cameras: their readers are started by `run`.
        bell: that the readers ring.
        pace: of the same cameras.
        meters: of the site.
        tend: called every `TEND_S` seconds, by the loop's thread.
        seen: called with every camera that was scored.
    """

    def __init__(
        self, cameras: Sequence[Camera], bell: Bell, pace: Pace, meters: Meters,
        tend: Callable[[], None] | None = None,
        seen: Callable[[Camera], None] | None = None,
    ) -> None:  # fmt: skip
        self.cameras = {camera.name: camera for camera in cameras}
        self._bell, self._pace, self._meters, self._tend = bell, pace, meters, tend
        self._seen = seen or (lambda camera: None)
        self._orders: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.turned_s = time.monotonic()
        """When the loop went round last: older than seconds, it hangs."""

    @property
    def pace(self) -> Pace:
        """When who is looked at, to be read."""
        return self._pace

    def order(self, what: Callable[[], None]) -> None:
        """Have something done between two frames, by the loop's thread."""
        with self._lock:
            self._orders.append(what)
        self._bell.ring()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set, or every camera is a file that is over."""
        for camera in self.cameras.values():
            camera.reader.start()
        threads = max(1, min(len(self.cameras), os.cpu_count() or 1))
        tended = time.monotonic()
        with ThreadPoolExecutor(threads, "oddframe-looks") as pool:
            while not stop.is_set():
                now = self.turned_s = time.monotonic()
                try:
                    busy = self._turn(pool, now)
                    if now - tended > TEND_S:
                        tended = now
                        self._tended()
                except Exception as error:  # months: whatever it was, the next frame is another one
                    self._failed(error, stop)
                    continue
                if all(camera.reader.done for camera in self.cameras.values()):
                    self._news()  # that the last of them is over
                    return
                if not busy:
                    self._bell.wait(self._pace.wait_s(time.monotonic()))

    def _turn(self, pool: ThreadPoolExecutor, now: float) -> bool:
        """One round; whether anybody had a frame."""
        with self._lock:
            orders, self._orders = self._orders, []
        for order in orders:
            order()
        self._news()
        ready = self._ready(pool, now)
        if not ready:
            return False
        began = time.monotonic()
        for group in _by_detector(ready):
            self._scored(group)
        self._pace.spent([camera.name for camera, _ in ready], time.monotonic() - now)
        self._meters.inference.add(time.monotonic() - began)
        return True

    def _news(self) -> None:
        for camera in self.cameras.values():
            for status in camera.listen():
                if status.fps:
                    learned = camera.detector.info.fps
                    self._pace.want(camera.name, rate_for(learned, status.fps))

    def _ready(self, pool: ThreadPoolExecutor, now: float) -> list[tuple[Camera, Ready]]:
        """The frames of all cameras whose turn it is, with what needs no model."""
        feeds = {name: camera.reader.feed for name, camera in self.cameras.items()}
        taken = []
        for name in self._pace.due(now, feeds):
            camera = self.cameras[name]
            frame = feeds[name].take()
            if frame is None:
                continue
            camera.broken(frame)
            if not camera.fault:
                taken.append((camera, frame))
        made = pool.map(lambda each: each[0].ready(each[1]), taken)
        found = [(camera, ready) for (camera, _), ready in zip(taken, made, strict=True)]
        return [(camera, ready) for camera, ready in found if ready.looks]

    def _scored(self, group: Sequence[tuple[Camera, Ready]]) -> None:
        """Cameras of one RUN: the first look of each in one call, then the second of those that
        have one, and so on."""
        scores: list[list[Score]] = [[] for _ in group]
        scorer = group[0][0].detector.scorer
        for turn in range(max(len(ready.looks) for _, ready in group)):
            having = [i for i, (_, ready) in enumerate(group) if len(ready.looks) > turn]
            cameras = [group[i][0] for i in having]
            states, found = scorer.step_batch(
                [camera.state for camera in cameras],
                [group[i][1].looks[turn] for i in having],
                [group[i][1].frame.pts_s for i in having],
                hidden=[camera.mask for camera in cameras],
            )
            for i, camera, state, score in zip(having, cameras, states, found, strict=True):
                camera.state = state
                scores[i].append(score)
        for (camera, ready), own in zip(group, scores, strict=True):
            camera.scored(ready.frame, own)
            self._seen(camera)

    def _tended(self) -> None:
        for camera in self.cameras.values():
            camera.desk.tend()
        if self._tend is not None:
            self._tend()

    def _failed(self, error: Exception, stop: threading.Event) -> None:
        self._meters.faults["engine"] += 1
        if isinstance(error, OddframeError):
            log.error("%s", error)
        else:
            log.exception("something unexpected went wrong; going on with the next frame")
        stop.wait(REST_S)


def _by_detector(
    ready: Sequence[tuple[Camera, Ready]],
) -> list[list[tuple[Camera, Ready]]]:
    groups: dict[int, list[tuple[Camera, Ready]]] = {}
    for camera, looks in ready:
        groups.setdefault(id(camera.detector), []).append((camera, looks))
    return list(groups.values())
