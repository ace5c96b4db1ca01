"""A site at work: all that a `SiteConfig` names, made, run and let go of in the right order.

    with AtWork(config) as site:
        site.run(stop)

What was changed while it ran before lies over the configuration (`edits`); what may be changed now
is in `changes`. What a kill left open is closed first. On the way out events are ended, clips
written and sinks served, each for a few seconds at most: a stop ends, whatever hangs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from oddframe.errors import ConfigError
from oddframe.events.clip import ClipWriter
from oddframe.events.store import Store, StoreError
from oddframe.events.store.keep import Keeper, Kept, sweep
from oddframe.runtime.courier import Courier, stop_all
from oddframe.runtime.watch.camera import Camera
from oddframe.runtime.watch.changes import ARMED, UNFITTED, Changes
from oddframe.runtime.watch.desk import START, Office, Told
from oddframe.runtime.watch.edits import Edits
from oddframe.runtime.watch.engine import Engine
from oddframe.runtime.watch.feed import Bell
from oddframe.runtime.watch.meters import CameraMeters, Meters
from oddframe.runtime.watch.pace import Pace
from oddframe.runtime.watch.parts import detectors_of, sinks_of, weights_hash
from oddframe.runtime.watch.site import SiteConfig
from oddframe.runtime.watch.status import State
from oddframe.runtime.watch.view import Telling
from oddframe.sinks import make_sink
from oddframe.sinks.base import Sink, SinkConfig
from oddframe.sinks.mqtt import Around

__all__ = ["AtWork", "weights_hash"]

log = logging.getLogger("oddframe.runtime.watch")

KEEP_S = 600.0
"""Between two looks at what is too old or too much."""
READERS_S = 2.0
"""For all readers together, at the end."""
CLIPS_S = 10.0
"""For clips that wait, at the end."""
SPOKEN = "spoken"
"""Key in the store: all cameras that sinks were ever told of."""
WRITE_S = 2.0
"""For events that could not be written, at the end."""


class AtWork(Changes):
    """Everything of a site.

    Args:
        config: with paths made whole (`load_site`), without what was changed by hand.
        device: where models are computed, as `load` takes it.

    Raises:
        ConfigError: there are cameras and none is enabled; two sinks of one name; a sink's
            settings; a RUN without a threshold, or that reads flow from files; what was changed by
            hand cannot be read.
        RunError: a RUN that is not there.
        SourceError: streams of a kind that is not known.
        StoreError: another process holds the store, or it cannot be written.
    """

    jobs: Any = None
    """What is done beside the watching, as `oddframe.setup.jobs.Jobs`; None: nothing."""

    def __init__(self, config: SiteConfig, device: str = "cpu") -> None:
        self._of_site, self._device = frozenset(config.cameras), device
        self.edits = Edits(config.store.path)
        self.config = config = self.edits.apply(config)
        enabled = {name: c for name, c in config.cameras.items() if c.enabled}
        if config.cameras and not enabled:
            raise ConfigError("No camera is enabled: set enabled: true for at least one.")
        self._bell, self._changing, self.told = Bell(), threading.RLock(), Telling()
        self.meters = Meters({name: CameraMeters() for name in enabled})
        self.detectors = detectors_of(enabled, device)
        self._sinks = sinks_of(config)
        detectors = {n: self.detectors.get(str(c.detect.model)) for n, c in enabled.items()}
        readers = {n: self._reader(n, c, detectors[n]) for n, c in enabled.items()}
        with ExitStack() as stack:
            self.store = stack.enter_context(Store(config.store.path))
            self.clips = ClipWriter(config.store.path, self._filmed)
            stack.callback(lambda: self.clips.close(0.0))  # what hangs has had its time
            self.couriers = [self._courier(name, c) for name, c in self._sinks.items()]
            told = [Told(name, c.severity) for name, c in self._sinks.items()]
            self._office = Office(self.store, self.clips, told, self.meters, config.store.clip)
            cameras = [self._made(readers[n], c, detectors[n]) for n, c in enabled.items()]
            wanted = {c.name: self._rate(c) for c in cameras if c.fitted}
            self.engine = Engine(
                cameras, self._bell, Pace(wanted, wanted), self.meters, self._tend, self._seen
            )
            # Others are to come, or got a RUN while it runs: it is no list of files to work off.
            self.engine.stays = bool(self.edits.added) or len(wanted) < max(len(cameras), 1)
            self._begin()
            self._opened = stack.pop_all()

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set, or all cameras are files that are over."""
        for courier in self.couriers:
            courier.start()
        self.engine.run(stop)

    def arm(self, camera: str, on: bool) -> bool:
        """Switch a camera's alarms on or off, from any thread; kept over restarts. Gives what holds
        then.

        Raises:
            ConfigError: no such camera.
        """
        found = self._known(camera)
        self.store.remember(camera, ARMED, on)
        self.engine.order(lambda: found.desk.armed(on))
        for sink in self._live_sinks():
            sink.armed(camera, on)
        log.info("%s: alarms are %s", camera, "on" if on else "off", extra={"camera": camera})
        return on

    def armed(self, camera: str) -> bool:
        """Whether a camera's alarms are on.

        Raises:
            ConfigError: no such camera.
        """
        self._known(camera)
        return bool(self.store.recall(camera, ARMED, True))

    def close(self) -> None:
        """End all of it; may be called twice. 16 s at most: `READERS_S`, `WRITE_S`, `CLIPS_S`, and
        the couriers' `STOP_S`."""
        cameras = list(self.engine.cameras.values())
        stopping = [threading.Thread(target=c.reader.stop, daemon=True) for c in cameras]
        for thread in stopping:
            thread.start()
        until = time.monotonic() + READERS_S
        for thread in stopping:
            thread.join(max(0.0, until - time.monotonic()))
        for camera in cameras:
            camera.end("stopped")
            self._learned(camera.threshold.keep)
        self._written(cameras)
        self.clips.close(CLIPS_S)
        self.store.no_films()
        for name in stop_all(self.couriers):
            log.warning("%s hangs and was left; what it was to be told is kept", name)
        self._opened.close()

    def _written(self, cameras: Sequence[Camera]) -> None:
        """Events that a full disk kept back: tried again for a while, then said."""
        until = time.monotonic() + WRITE_S
        while any(c.desk.waiting for c in cameras) and time.monotonic() < until:
            for camera in cameras:
                camera.desk.tend()
            time.sleep(0.1)
        for camera in cameras:
            camera.desk.give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- made once

    def _courier(self, name: str, config: SinkConfig) -> Courier:
        def make() -> Sink:
            cameras = tuple(self.meters.cameras)
            known = set(self.store.recall("", SPOKEN, []))
            spoken = known | set(cameras)
            if spoken != known:
                # A full disk holds no sink up.
                self._learned(lambda: self.store.remember("", SPOKEN, sorted(spoken)))
            gone = tuple(sorted(spoken - set(cameras)))
            return make_sink(config, Around(cameras, self.arm, self.armed, gone))

        return Courier(make, self.store, name)

    def _begin(self) -> None:
        """What the last process left."""
        sweep(self.store)
        left = self.store.close_left_open()
        for event in left:
            log.warning("%s was open when oddframe was killed; it is closed", event.id)
        now = time.time()
        for name, camera in self.engine.cameras.items():
            since = (self.store.left_off(name) or now) if camera.fitted else now
            why = START if camera.fitted else UNFITTED
            self.store.gap_begins(name, min(since, now), why)
        self._keeper = Keeper(self.store, self.config.store)
        self._kept = -KEEP_S
        self.kept: Kept | None = None
        """What was cleared up last, and how much the store takes; None before the first time."""

    # ---- now and then, by the engine's thread

    def _tend(self) -> None:
        for camera in self.engine.cameras.values():
            # Those that are down are not scored.
            self.engine.tried(camera, partial(self._seen, camera), anew=False)
            learn = partial(self._learned, camera.threshold.tend)
            self.engine.tried(camera, learn, anew=False)
        self._followed()  # a sink may have been made while a camera joined
        now = time.monotonic()
        if now - self._kept >= KEEP_S:
            self._kept = now
            try:
                self.kept = self._keeper.run(time.time())
                self.clips.pause(self.kept.full)
            except StoreError as error:
                self.meters.faults["keep"] += 1
                log.error("old events cannot be cleared up: %s", error)

    def _seen(self, camera: Camera) -> None:
        """Show sinks that follow every camera how it is."""
        m = self.meters.cameras[camera.name]
        for sink in self._live_sinks():
            sink.observe(camera.name, m.score, m.level, camera.up)

    def _filmed(self, event_id: str, path: str) -> None:
        self.store.attach(event_id, clip=path)

    # ---- how it is

    @property
    def ready(self) -> bool:
        """Whether every camera has a picture, or is known to be down: nothing is being opened."""
        states = (c.reader.status().state for c in self.engine.cameras.values())
        return all(s not in (State.NOT_STARTED, State.OPENING) for s in states)
