"""One camera's life: connect, read, notice what is wrong, wait, connect again, until it is stopped.

    reader = Reader("gate", "rtsp://…", ReaderConfig(), bell)
    reader.start()
    reader.feed.take(), reader.news(), reader.status()
    reader.stop()                               # in every state, within about a second

One thread decides and never reads; another reads and may hang (`Attempt`): then it is left behind
and a new one begins, `MOST_LEFT` at most. Life is what is new: stamps that grow and pictures that
change. A read that succeeds proves nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from oddframe.runtime.watch import upheaval
from oddframe.runtime.watch.attempt import Attempt
from oddframe.runtime.watch.backoff import Backoff
from oddframe.runtime.watch.feed import Bell, Feed
from oddframe.runtime.watch.footage import Connection, Footage, Spec, connect
from oddframe.runtime.watch.intake import Intake
from oddframe.runtime.watch.judge import judged
from oddframe.runtime.watch.play import Player
from oddframe.runtime.watch.settings import ReaderConfig
from oddframe.runtime.watch.status import State, Status
from oddframe.sources import Reading
from oddframe.sources.live import Seen
from oddframe.sources.rate import NEAR
from oddframe.sources.stamps import RECENT
from oddframe.sources.urls import safe
from oddframe.sources.why import Trouble

__all__ = ["Reader", "ReaderConfig"]

MOST_LEFT = 3
"""Reads that hang at a time; where there are more, the camera waits for one of them to end."""
HELD_S = 1.0
"""So much longer than the limit for new pictures a read may take."""
NEWS = 1000


class Reader:
    """Reads one camera; `feed` has its newest frame."""

    def __init__(
        self, camera: str, spec: Spec, config: ReaderConfig, bell: Bell | None = None,
        begins_utc: float | None = None,
        connecting: Callable[[Spec, Reading], Connection] = connect, feeding: type[Feed] = Feed,
        used: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        """Nothing is opened yet.

        Args:
            camera: its name.
            spec: file, folder, camera index or address, as `open_source` takes it.
            config: how it is read.
            bell: rung for every frame and every piece of news.
            begins_utc: of files that are not played in real time, when they begin; by default now.
            connecting: makes the connections.
            feeding: what its frames wait in.
            used: values of 16-bit pictures that become 0 and 255, as its RUN learned them.

        Raises:
            SourceError: streams of this kind are not known.
        """
        self.camera, self._config = camera, config
        self._bell = bell or Bell()
        self.used = used
        self._spec, self._connecting = spec, connecting
        self._reading = Reading(
            config.fps, timeout_s=config.timeout_s, transport=config.transport, used=used,
            # Longer: as its time is up FFmpeg gives a picture that it held back, which looks alive.
            read_s=max(config.timeout_s, config.silent_s + HELD_S),
        )  # fmt: skip
        self._files = isinstance(connecting(spec, self._reading), Footage)
        waits = self._files and not config.realtime
        self.feed = feeding(self._bell, config.pause_s, live=not waits)
        if self._files:
            config = config.model_copy(update={"frozen_s": 0.0})  # a still file is a still file
        begins_utc = (time.time() if begins_utc is None else begins_utc) if waits else None
        self._intake = Intake(config, self.feed, self._files, begins_utc)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._attempt: Attempt | None = None
        self._left: list[Attempt] = []
        self._attempts = 0
        self._news: deque[Status] = deque(maxlen=NEWS)
        self._told: tuple[upheaval.Kind | None, float] = None, 0.0
        self._backoff = Backoff(config.retry_s, config.retry_cap_s)
        paced = self._files and config.realtime
        self._player = Player(self._stopping) if paced else None
        self._thread: threading.Thread | None = None
        now = time.monotonic(), time.time()
        self._status = Status(camera, safe(spec), State.NOT_STARTED, None, "", *now)

    def start(self) -> None:
        """Begin; returns at once. Once it was stopped, a reader stays so."""
        with self._changed:
            if self._thread is not None or self._stopping.is_set():
                return
            self._thread = threading.Thread(
                target=self._live, name=f"oddframe-reader-{self.camera}", daemon=True
            )
            self._to(State.OPENING)
            self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End in whatever state it is, within so many seconds; may be called twice.

        A read that hangs is left behind: it holds its connection until it comes back.
        """
        until_s = time.monotonic() + timeout_s
        self._stopping.set()
        self.feed.close()
        with self._changed:
            attempt, thread = self._attempt, self._thread
            if attempt is not None:
                attempt.left = True
            self._changed.notify_all()
        for waited in (thread, attempt):
            if waited is not None and waited is not threading.current_thread():
                waited.join(max(until_s - time.monotonic(), 0.0))
        with self._changed:
            self._to(State.STOPPED)

    def status(self) -> Status:
        """What is known of it now."""
        with self._changed:
            return self._now()

    @property
    def fps(self) -> float:
        """Frames per second of late, by their stamps; 0 before the first."""
        return self._intake.fps

    def news(self) -> list[Status]:
        """All changes of state, of `unsettled` and of the rate since the last call, in order.

        The rate is told some frames after the first, and where it changes by a quarter.
        """
        with self._changed:
            found = list(self._news)
            self._news.clear()
            return found

    @property
    def done(self) -> bool:
        """Whether it was stopped, or came to the end of its files and all frames were taken."""
        state = self._status.state
        return state is State.STOPPED or (state is State.ENDED and self.feed.waiting_s() is None)

    # ---- the thread that decides

    def _live(self) -> None:
        while not self._stopping.is_set():
            trouble = self._tried()
            if self._stopping.is_set():
                return
            with self._changed:
                attempt, self._attempt = self._attempt, None
                if self._files:
                    self._to(State.ENDED, trouble, _passed_over(attempt))
                    return
                since_s = self._status.since_s
                ran_s = time.monotonic() - since_s if self._running else 0.0
                self._to(State.DOWN, trouble)
            why = None if trouble is None else trouble.why
            self._stopping.wait(self._backoff.after(ran_s, why == "auth_failed"))

    def _tried(self) -> Trouble | None:
        """One connection, from its beginning to its end; says why it is over."""
        try:
            began = self._begin()
            return MANY_LEFT if began is None else self._follow(began)
        except Exception as error:  # no thread to be had, say: it may be otherwise next time
            text = f"{self.camera} cannot be read ({type(error).__name__}: {error})."
            return Trouble("connection_failed", text)

    def _begin(self) -> Attempt | None:
        """Connect anew; None where too many hang already, or it is being stopped."""
        self._left = [attempt for attempt in self._left if attempt.alive]
        if len(self._left) >= MOST_LEFT:
            return None
        with self._changed:
            if self._stopping.is_set():  # `stop` found no attempt to leave
                return None
            self._attempts += 1
            self._intake.connected()
            source = self._connecting(self._spec, self._reading)
            self._attempt = Attempt(self.camera, source, self._take, self._wake)
            return self._attempt

    def _follow(self, attempt: Attempt) -> Trouble | None:
        """Wait until it is over, or must be left; says why."""
        config = self._config
        poll_s = min(config.timeout_s, config.silent_s, 4.0) / 4
        with self._changed:
            while not self._stopping.is_set():
                if attempt.over:
                    return self._named(attempt)
                trouble = judged(attempt, self._intake, config, self._running, time.monotonic())
                if trouble is not None:
                    attempt.left = True
                    self._left.append(attempt)
                    return trouble
                self._changed.wait(poll_s)
        return None

    def _named(self, attempt: Attempt) -> Trouble | None:
        """The trouble of a connection that is over."""
        trouble = attempt.trouble
        if trouble is not None and trouble.why == "timeout" and attempt.count:
            return Trouble("silent", str(trouble))
        return trouble

    # ---- the thread that reads

    def _take(self, attempt: Attempt, seen: Seen) -> None:
        if self._player is not None and not self._player.in_time(seen[1], seen[2]):
            if seen[2]:
                self.feed.mark("lost")
            self.feed.count("late")
            return
        with self._changed:
            if attempt is not self._attempt or attempt.left:
                return
            frame = self._intake.take(seen, time.monotonic(), time.time())
            if not self._intake.frozen and not self._running:
                self._to(State.RUNNING)
            if self._intake.frozen and self._running:
                self._changed.notify_all()  # the other thread ends it
            if self._is_news():
                self._tell()
            if frame is not None and self.feed.live:
                self.feed.put(frame)
        if frame is not None and not self.feed.live:
            self.feed.offer(frame, lambda: attempt.left)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # ---- what is told; called with `_changed` held

    @property
    def _running(self) -> bool:
        return self._status.state is State.RUNNING

    def _is_news(self) -> bool:
        """Whether the picture became another, or is steady, or comes at another rate."""
        intake, (unsettled, fps) = self._intake, self._told
        known = intake.frames > RECENT and not fps / NEAR <= intake.fps <= fps * NEAR
        return intake.unsettled != unsettled or known

    def _to(self, state: State, trouble: Trouble | None = None, words: str = "") -> None:
        before = known = self._status
        if state is not before.state:
            known = replace(before, since_s=time.monotonic(), since_utc=time.time())
        why = None if trouble is None else trouble.why
        words = words if trouble is None else str(trouble)
        self._status = replace(known, state=state, why=why, words=words)
        if (state, why) != (before.state, before.why):
            self._tell()

    def _tell(self) -> None:
        now = self._now()
        self._told = now.unsettled, now.fps
        self._news.append(now)
        self._bell.ring()

    def _now(self) -> Status:
        intake = self._intake
        return replace(
            self._status, unsettled=intake.unsettled, frames=intake.frames, fps=intake.fps,
            width=intake.width, height=intake.height, reconnects=max(self._attempts - 1, 0),
            left=sum(attempt.alive for attempt in self._left), dropped=self.feed.dropped,
        )  # fmt: skip


MANY_LEFT = Trouble(
    "timeout",
    f"{MOST_LEFT} reads of this camera hang and do not come back: it is waited for one of them. "
    "Check the network and its name server, or the driver; if it lasts, restart the program.",
)


def _passed_over(attempt: Attempt | None) -> str:
    """What was said of videos of a folder that cannot be read."""
    source = None if attempt is None else attempt.connection
    return " ".join(source.passed_over) if isinstance(source, Footage) else ""
