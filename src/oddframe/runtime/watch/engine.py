"""The loop: whoever has a frame is scored, all cameras of a RUN in one call of the model.

    readers -> feeds -> [due cameras] -> looks (a few threads) -> Scorer.step_batch -> desks

Nobody is waited for: a camera that is down, slow or frozen costs the others nothing, and one of
which something goes wrong begins anew while the others go on. How often each is looked at is
`pace`'s: where the machine cannot keep up all get less, and frames do not queue.

Cameras join and leave between two frames, by whoever asks for it (`order`, `ask`). Those without a
RUN are only shown; they have no place in the schedule.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from oddframe.errors import OddframeError
from oddframe.runtime.watch.camera import Camera, Ready
from oddframe.runtime.watch.feed import Bell, LiveFrame
from oddframe.runtime.watch.meters import Meters
from oddframe.runtime.watch.pace import Pace, rate_for
from oddframe.types import Score

log = logging.getLogger("oddframe.runtime.watch")

TEND_S = 5.0
"""What a full disk kept back is tried again so often."""
REST_S = 0.1
"""Pause behind an error that is no camera's: shorter than any pause that costs a history."""
SAID_S = 60.0
"""What goes wrong is logged so often: a log must not fill a disk."""
ASK_S = 10.0
"""An engine that has not gone round for so long hangs, and who asked is told."""
T = TypeVar("T")


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
        """Never changed: where a camera joins or leaves, it is another dict."""
        self.stays = False
        """Go on where no camera is left to be read: others may join."""
        self._bell, self._pace, self._meters, self._tend = bell, pace, meters, tend
        self._seen = seen or (lambda camera: None)
        self._orders: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._turning: int | None = None
        """Of the thread that turns the loop; None while nobody does."""
        self.turned_s = time.monotonic()
        """When the loop went round last: older than seconds, it hangs."""
        self.failing = 0
        """Errors in a row, since a frame had a score."""
        self._said: dict[str, float] = {}
        """When something of whom was logged last."""

    @property
    def pace(self) -> Pace:
        """When who is looked at, to be read."""
        return self._pace

    def order(self, what: Callable[[], None]) -> None:
        """Have something done between two frames, by the loop's thread."""
        with self._lock:
            self._orders.append(what)
        self._bell.ring()

    def ask(self, what: Callable[[], T]) -> T:
        """Have something done between two frames, and wait for it; any thread may.

        Where nobody turns the loop, before `run` and behind it, it is done here and now.

        Returns:
            What it gives; what it raises is raised.

        Raises:
            OddframeError: the loop hangs; it is not done then.
        """
        future = Future[T]()
        with self._lock:
            if self._turning in (None, threading.get_ident()):
                return what()
            self._orders.append(lambda: _done(future, what))
        self._bell.ring()
        try:
            return future.result(ASK_S)
        except TimeoutError:
            if future.done():  # just now, or it raised this itself
                return future.result()
            begun = "it is not known whether it was" if not future.cancel() else "nothing was"
            raise OddframeError(
                f"The engine has not gone round for {ASK_S:g} s, so {begun} changed. Its log says "
                "why; if it stays so, restart oddframe."
            ) from None

    def join(self, camera: Camera, fps: float) -> None:
        """One more camera, or another in the place of one; by the loop's thread.

        fps: looks per second that it is to have; of one without a RUN it does not count.
        """
        self._pace.drop(camera.name)
        if camera.fitted:
            self._pace.want(camera.name, fps)
        self.cameras = {**self.cameras, camera.name: camera}
        if self._turning is not None:
            camera.reader.start()

    def leave(self, name: str) -> None:
        """One camera less; its reader is left to the caller. By the loop's thread."""
        self.cameras = {n: camera for n, camera in self.cameras.items() if n != name}
        self._pace.drop(name)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set, or every camera is a file that is over and none may join."""
        with self._lock:
            self._turning = threading.get_ident()
        try:
            self._run(stop)
        finally:
            with self._lock:
                self._turning = None
                self._obey()

    def _run(self, stop: threading.Event) -> None:
        for camera in self.cameras.values():
            camera.reader.start()
        tended = time.monotonic()
        with ThreadPoolExecutor(os.cpu_count() or 1, "oddframe-looks") as pool:
            while not stop.is_set():
                now = self.turned_s = time.monotonic()
                try:
                    busy = self._turn(pool, now)
                    if now - tended > TEND_S:
                        tended = now
                        self._tended()
                except Exception as error:  # months: whatever it was, the next frame is another one
                    self._failed("the engine", error)
                    stop.wait(REST_S)
                    continue
                if not self.stays and all(c.reader.done for c in self.cameras.values()):
                    self._news()  # that the last of them is over
                    return
                if not busy:
                    self._bell.wait(self._pace.wait_s(time.monotonic()))

    def _turn(self, pool: ThreadPoolExecutor, now: float) -> bool:
        """One round; whether anybody had a frame."""
        self._obey()
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

    def _obey(self) -> None:
        """What was ordered; where one of them fails the others are done all the same."""
        with self._lock:
            orders, self._orders = self._orders, []
        for order in orders:
            try:
                order()
            except Exception as error:
                self._meters.faults["engine"] += 1
                log.error("an order failed: %s", error, exc_info=not _ours(error))

    def _news(self) -> None:
        for camera in self.cameras.values():
            for status in self.tried(camera, camera.listen) or ():
                if status.fps and camera.fitted:
                    learned = camera.detector.info.fps
                    self._pace.want(camera.name, rate_for(learned, status.fps))

    def _ready(self, pool: ThreadPoolExecutor, now: float) -> list[tuple[Camera, Ready]]:
        """The frames of all cameras whose turn it is, with what needs no model."""
        self._show()
        feeds = {name: c.reader.feed for name, c in self.cameras.items() if c.fitted}
        made = list[tuple[Camera, Future[Ready]]]()
        for name in self._pace.due(now, feeds):
            camera = self.cameras[name]
            frame = feeds[name].take()
            if frame is not None and self.tried(camera, partial(camera.begins, frame)):
                made.append((camera, pool.submit(camera.ready, frame)))
        found = [(camera, self.tried(camera, future.result)) for camera, future in made]
        return [(camera, ready) for camera, ready in found if ready is not None and ready.looks]

    def _show(self) -> None:
        """The newest frames of cameras without a RUN: nothing is computed of them."""
        for camera in self.cameras.values():
            if not camera.fitted and (frame := camera.reader.feed.take()) is not None:
                camera.shown(frame)

    def _scored(self, group: Sequence[tuple[Camera, Ready]]) -> None:
        """Cameras of one RUN."""
        for camera, frame, scores in self._scores(group):
            try:
                camera.scored(frame, scores)
            except Exception as error:
                self._broke(camera, error)
            else:
                if not math.isnan(scores[-1].score):
                    self.failing = 0
            self.tried(camera, partial(self._seen, camera), anew=False)

    def _scores(
        self, group: Sequence[tuple[Camera, Ready]]
    ) -> list[tuple[Camera, LiveFrame, list[Score]]]:
        """The scores of all looks at each camera's frame. Where that fails each is scored alone, so
        that it costs those alone whose fault it is."""
        try:
            return _together(group)
        except Exception as error:
            if len(group) == 1:
                self._broke(group[0][0], error)
                return []
        return [found for one in group for found in self._scores([one])]

    def _tended(self) -> None:
        for camera in self.cameras.values():
            self.tried(camera, camera.tend, anew=False)
        if self._tend is not None:
            self._tend()

    def tried(self, camera: Camera, what: Callable[[], T], anew: bool = True) -> T | None:
        """What is of one camera, and costs no other one anything; None where it failed. By the
        loop's thread.

        anew: its past cannot be gone on from then.
        """
        try:
            return what()
        except Exception as error:
            self._broke(camera, error, anew)
            return None

    def _broke(self, camera: Camera, error: Exception, anew: bool = True) -> None:
        self._failed(camera.name, error)
        if anew:
            with suppress(Exception):  # this may be what fails
                camera.failed()

    def _failed(self, whose: str, error: Exception) -> None:
        self._meters.faults["engine"] += 1
        self.failing += 1
        now = time.monotonic()
        if now - self._said.get(whose, -math.inf) < SAID_S:
            return
        self._said[whose] = now
        trace = None if _ours(error) else error
        log.error("%s: %s; going on with the next frame", whose, error, exc_info=trace)


def _together(
    group: Sequence[tuple[Camera, Ready]],
) -> list[tuple[Camera, LiveFrame, list[Score]]]:
    """Cameras of one RUN: the first look of each in one call, then the second of those that have
    one, and so on. Where that fails no camera's state is another one."""
    states = [camera.state for camera, _ in group]
    scores: list[list[Score]] = [[] for _ in group]
    scorer = group[0][0].detector.scorer
    for turn in range(max(len(ready.looks) for _, ready in group)):
        having = [i for i, (_, ready) in enumerate(group) if len(ready.looks) > turn]
        known, found = scorer.step_batch(
            [states[i] for i in having],
            [group[i][1].looks[turn] for i in having],
            [group[i][1].frame.pts_s for i in having],
            hidden=[group[i][0].mask for i in having],
        )
        for i, state, score in zip(having, known, found, strict=True):
            states[i] = state
            scores[i].append(score)
    for (camera, _), state in zip(group, states, strict=True):
        camera.state = state
    return [(camera, ready.frame, own) for (camera, ready), own in zip(group, scores, strict=True)]


def _ours(error: Exception) -> bool:
    return isinstance(error, OddframeError)


def _done(future: Future[T], what: Callable[[], T]) -> None:
    """Do what somebody waits for, if he still does."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(what())
    except BaseException as error:
        future.set_exception(error)


def _by_detector(
    ready: Sequence[tuple[Camera, Ready]],
) -> list[list[tuple[Camera, Ready]]]:
    groups: dict[int, list[tuple[Camera, Ready]]] = {}
    for camera, looks in ready:
        groups.setdefault(id(camera.detector), []).append((camera, looks))
    return list(groups.values())
