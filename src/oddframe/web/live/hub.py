"""Who looks at what: pictures, events and cameras, handed to every viewer as they come.

    hub = Hub(work)
    hub.join(viewer) ... hub.leave(viewer)      # within the server's loop

While somebody is there, the hub looks every `TICK_S` whether a watched camera has another frame;
the engine does nothing for it. Frames are encoded once for all (`encode`). Where more pictures are
wanted in a second than `SENT_PER_S`, all viewers get fewer, evenly: scoring comes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Coroutine, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from oddframe.errors import OddframeError
from oddframe.runtime.watch.status import State
from oddframe.runtime.watch.view import View
from oddframe.web.api.answers import camera_answer, event_answer
from oddframe.web.api.setup_answers import job_answer
from oddframe.web.live.encode import Encoded, Encoder, made
from oddframe.web.live.viewer import Viewer

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

log = logging.getLogger("oddframe.web")

TICK_S = 0.03
"""How late a frame may be noticed."""
STATUS_S = 1.0
"""How often it is told how the cameras are."""
SENT_PER_S = 200.0
"""Pictures and maps that are sent in a second, to all viewers together. Each takes 0.2 ms of this
program's time (65 kB; 50 viewers took 36 ms of a second to send and 16 to encode for), in which
nothing else of Python runs."""
STALLED_S = 20.0
"""A viewer that takes nothing for so long is closed."""
MOST_VIEWERS = 64
MOST_JOBS = 50
"""The newest; older ones are told of by /api/jobs."""


class Hub:
    """All viewers of a site; of the server's loop, but for `encoder`."""

    def __init__(self, work: AtWork) -> None:
        self.encoder = Encoder()
        self._work = work
        self._viewers: set[Viewer] = set()
        self._others = 0
        """Streams that are not of a `Viewer` (MJPEG)."""
        self._pump: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: dict[str, View] = {}
        self._number = 0
        """Of the last news of events."""
        self._events: set[str] = set()
        """Ids of those that are to be told of."""
        self._telling = False
        self._jobs: dict[str, str] = {}
        self._status_s = 0.0
        """When the cameras are told of next."""
        self._asking = False

    @property
    def viewers(self) -> int:
        """How many look, in whatever way."""
        return len(self._viewers) + self._others

    @property
    def full(self) -> bool:
        """Whether there is room for no other."""
        return self.viewers >= MOST_VIEWERS

    def join(self, viewer: Viewer) -> None:
        """One more; it is told at once how all is."""
        if not self._viewers:
            self._number, self._seen, self._events = self._work.told.number, {}, set()
        self._viewers.add(viewer)
        for key, text in self._jobs.items():
            viewer.tell(key, text)
        self._status_s = 0.0
        if self._pump is None or self._pump.done() or _is_of_another_loop(self._pump):
            self._pump = asyncio.get_running_loop().create_task(self._pumping())

    def leave(self, viewer: Viewer) -> None:
        """One less; with the last one nothing is looked at any more."""
        self._viewers.discard(viewer)
        if not self._viewers and self._pump is not None:
            self._pump.cancel()
            self._pump, self._jobs = None, {}
        if not self.viewers:
            self.encoder.forget(set())

    @contextlib.contextmanager
    def other(self) -> Iterator[None]:
        """A stream of another kind, while the block lasts."""
        self._others += 1
        try:
            yield
        finally:
            self._others -= 1
            if not self.viewers:
                self.encoder.forget(set())

    def show(self, viewer: Viewer) -> None:
        """What its cameras show already."""
        now_s, fps = time.monotonic(), self.fps
        for name in viewer.wants.cameras:
            view = self.view(name)
            if view is not None:
                viewer.offer(name, view, now_s, fps)

    @property
    def known(self) -> Collection[str]:
        """Names of the cameras that there are."""
        return self._work.engine.cameras.keys()

    def view(self, camera: str) -> View | None:
        """A camera's newest frame; None where it has none now, as one that is down."""
        found = self._work.engine.cameras.get(camera)
        if found is None or found.view.frame is None:
            return None
        return found.view if found.reader.status().state is State.RUNNING else None

    @property
    def fps(self) -> float:
        """Pictures a second that each viewer may have of a camera."""
        known = self.known
        streams = self._others + sum(
            sum(name in known for name in v.wants.cameras) * (1 + v.wants.heat)
            for v in self._viewers
        )
        return SENT_PER_S / max(streams, 1)

    async def encoded(self, camera: str, *pictures: Future[Encoded]) -> list[Encoded]:
        """What is made of a frame; nothing where that fails: one broken frame ends nobody's
        looking."""
        try:
            return [await made(picture) for picture in pictures]
        except Exception as error:
            log.warning("a picture of %s cannot be shown: %s", camera, error)
            return []

    # ---- while somebody looks

    async def _pumping(self) -> None:
        while True:
            try:
                self._frames()
                self._news()
                now_s = time.monotonic()
                if now_s >= self._status_s and not self._asking:
                    self._status_s = now_s + STATUS_S
                    self._start(self._status())
            except Exception:  # whatever it was, the next look is another one
                log.exception("viewers could not be served")
                await asyncio.sleep(STATUS_S)
            await asyncio.sleep(TICK_S)

    def _frames(self) -> None:
        wanted = {name for viewer in self._viewers for name in viewer.wants.cameras}
        cameras, now_s, fps = self._work.engine.cameras, time.monotonic(), self.fps
        for name in wanted & cameras.keys():
            view = cameras[name].view
            if view.frame is None or self._seen.get(name) is view:
                continue
            self._seen[name] = view
            for viewer in self._viewers:
                if name in viewer.wants.cameras:
                    viewer.offer(name, view, now_s, fps)
        for viewer in self._viewers:
            viewer.release(now_s)

    def _news(self) -> None:
        news = self._work.told.since(self._number)
        if news.events:
            self._number = news.number
            self._events |= {event.id for event in news.events}
        if self._events and not self._telling:
            self._start(self._tell())

    async def _tell(self) -> None:
        """Of events, one reading after the other: of two at once the older could be told last."""
        self._telling = True
        try:
            while self._events and self._viewers:
                ids, self._events = sorted(self._events), set()
                try:
                    texts = await asyncio.to_thread(self._read, ids)
                except OddframeError:  # the store cannot be read, which `_status` tells: once more
                    self._events.update(ids)
                    await asyncio.sleep(STATUS_S)
                    continue
                for text in texts:
                    self._all(*text)
        finally:
            self._telling = False

    def _read(self, ids: list[str]) -> list[tuple[str, str]]:
        """Events as they are now; in a thread, since the store is a file.

        Raises:
            StoreError: they cannot be read.
        """
        records = [self._work.store.record(number) for number in ids]
        found = [event_answer(record) for record in records if record is not None]
        return [(f"event {e.id}", text_of("event", event=e)) for e in found]

    async def _status(self) -> None:
        self._asking = True
        try:
            cameras, jobs = await asyncio.to_thread(self._states)
        finally:
            self._asking = False
        self._all("cameras", cameras)
        for key, text in jobs.items():
            if self._jobs.get(key) != text:
                self._all(key, text)
        self._jobs = jobs

    def _states(self) -> tuple[str, dict[str, str]]:
        """How cameras and jobs are, as words, or why that cannot be told; in a thread."""
        work, now = self._work, time.monotonic()
        try:
            found = [camera_answer(work, name, now) for name in work.engine.cameras]
            jobs = work.jobs
            listed = [job_answer(job) for job in (jobs.list() if jobs else ())[:MOST_JOBS]]
        except OddframeError as error:
            log.warning("viewers are not told how the cameras are: %s", error)
            told = f"How the cameras are cannot be told: {error}"
            return text_of("problem", detail=told), {}
        told_of = [answer for answer in found if answer is not None]
        cameras = text_of("cameras", t_utc=time.time(), cameras=told_of)
        return cameras, {f"job {job.id}": text_of("job", job=job) for job in listed}

    def _all(self, key: str, text: str) -> None:
        for viewer in self._viewers:
            viewer.tell(key, text)

    def _start(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("viewers could not be told", exc_info=task.exception())


def text_of(kind: str, **values: Any) -> str:
    """A message of words, as /api/live sends it."""
    return to_json({"kind": kind, **values}, inf_nan_mode="null").decode()


def _is_of_another_loop(task: asyncio.Task[None]) -> bool:
    return task.get_loop() is not asyncio.get_running_loop()
