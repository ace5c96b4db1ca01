"""A site at work: all that a `SiteConfig` names, made, run and let go of in the right order.

    with AtWork(config) as site:
        site.run(stop)

What a kill left open is closed first. On the way out events are ended, clips written and sinks
served, each for a few seconds at most: a stop ends, whatever hangs.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from oddframe.errors import ConfigError
from oddframe.events.clip import ClipWriter
from oddframe.events.store import Store, StoreError
from oddframe.events.store.keep import Keeper, Kept, sweep
from oddframe.events.tracker import Tracker
from oddframe.runs import WEIGHTS, load_run
from oddframe.runtime.courier import Courier, stop_all
from oddframe.runtime.detector import Detector, load
from oddframe.runtime.watch.camera import Camera
from oddframe.runtime.watch.desk import START, Desk, Office, Told
from oddframe.runtime.watch.engine import Engine
from oddframe.runtime.watch.feed import Bell
from oddframe.runtime.watch.meters import CameraMeters, Meters
from oddframe.runtime.watch.pace import Pace
from oddframe.runtime.watch.reader import Reader, ReaderConfig
from oddframe.runtime.watch.site import CameraConfig, SiteConfig
from oddframe.runtime.watch.status import State
from oddframe.runtime.watch.threshold import Threshold
from oddframe.sinks import make_sink, sink_config
from oddframe.sinks.base import Sink, SinkConfig
from oddframe.sinks.mqtt import Around, Mqtt

log = logging.getLogger("oddframe.runtime.watch")

KEEP_S = 600.0
"""Between two looks at what is too old or too much."""
RATE = 10.0
"""Frames per second that a RUN is looked at with that does not say its rate."""
CLIPS_S = 10.0
"""For clips that wait, at the end."""
WRITE_S = 2.0
"""For events that could not be written, at the end."""
ARMED = "armed"
"""Key in the store: whether a camera's alarms are on."""


class AtWork:
    """Everything of a site.

    Args:
        config: with paths made whole (`load_site`).
        device: where models are computed, as `load` takes it.

    Raises:
        ConfigError: no camera is enabled; two sinks of one name; a sink's settings; a RUN without a
            threshold, or that reads flow from files.
        RunError: a RUN that is not there.
        SourceError: streams of a kind that is not known.
        StoreError: another process holds the store, or it cannot be written.
    """

    def __init__(self, config: SiteConfig, device: str = "cpu") -> None:
        self.config = config
        enabled = {name: c for name, c in config.cameras.items() if c.enabled}
        if not enabled:
            raise ConfigError("No camera is enabled: set enabled: true for at least one.")
        self._bell = Bell()
        self.meters = Meters({name: CameraMeters() for name in enabled})
        self.detectors = _detectors(enabled, device)
        self._sinks = _sinks(config)
        readers = {name: self._reader(name, camera) for name, camera in enabled.items()}
        with ExitStack() as stack:
            self.store = stack.enter_context(Store(config.store.path))
            self.clips = ClipWriter(config.store.path, self._filmed)
            stack.callback(self.clips.close)
            self.couriers = [self._courier(name, c) for name, c in self._sinks.items()]
            told = [Told(name, c.severity) for name, c in self._sinks.items()]
            office = Office(self.store, self.clips, told, self.meters, config.store.clip)
            cameras = [self._camera(readers[n], c, office) for n, c in enabled.items()]
            wanted = {c.name: c.detector.info.fps or RATE for c in cameras}
            self.engine = Engine(
                cameras, self._bell, Pace(wanted, wanted), self.meters, self._tend, self._seen
            )
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

    def undo(self, camera: str) -> None:
        """Take the last change of a camera's threshold back, from any thread.

        Raises:
            ConfigError: no such camera.
        """
        threshold = self._known(camera).threshold
        self.engine.order(lambda: self._learned(threshold.undo))

    def close(self) -> None:
        """End all of it, for about a dozen seconds at most; may be called twice."""
        cameras = list(self.engine.cameras.values())
        stopping = [threading.Thread(target=c.reader.stop, daemon=True) for c in cameras]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join(2.0)
        for camera in cameras:
            camera.end("stopped")
            self._learned(camera.threshold.keep)
        self._written(cameras)
        self.clips.close(CLIPS_S)
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

    def _reader(self, name: str, camera: CameraConfig) -> Reader:
        how = ReaderConfig(**camera.reading.model_dump(), realtime=camera.realtime)
        return Reader(name, camera.source, how, self._bell)

    def _camera(self, reader: Reader, config: CameraConfig, office: Office) -> Camera:
        detector = self.detectors[str(config.detect.model)]
        weights = weights_hash(detector)
        threshold = Threshold(
            reader.camera, detector.info.calibration or {}, weights, self.store,
            config.detect.goes_on,
        )  # fmt: skip
        tracker = Tracker(
            reader.camera, config.detect, config.zones, weights, config.detect.schedule
        )
        tracker.armed(bool(self.store.recall(reader.camera, ARMED, True)))
        return Camera(detector, reader, Desk(tracker, office, threshold.told), config, threshold)

    def _courier(self, name: str, config: SinkConfig) -> Courier:
        around = Around(tuple(self.meters.cameras), self.arm, self.armed)

        def make() -> Sink:
            return make_sink(config, around)

        return Courier(make, self.store, name)

    def _begin(self) -> None:
        """What the last process left."""
        sweep(self.store)
        left = self.store.close_left_open()
        for event in left:
            log.warning("%s was open when oddframe was killed; it is closed", event.id)
        now = time.time()
        for name in self.meters.cameras:
            self.store.gap_begins(name, min(self.store.left_off(name) or now, now), START)
        self._keeper = Keeper(self.store, self.config.store)
        self._kept = -KEEP_S
        self.kept: Kept | None = None
        """What was cleared up last, and how much the store takes; None before the first time."""

    # ---- now and then, by the engine's thread

    def _tend(self) -> None:
        for camera in self.engine.cameras.values():
            self._seen(camera)  # those that are down are not scored
        for camera in self.engine.cameras.values():
            self._learned(camera.threshold.tend)
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

    def _learned(self, what: Callable[[], object]) -> None:
        try:
            what()
        except StoreError as error:
            self.meters.faults["store"] += 1
            log.error("what was learned cannot be kept: %s", error)

    def _live_sinks(self) -> list[Mqtt]:
        return [c.sink for c in self.couriers if isinstance(c.sink, Mqtt)]

    def _filmed(self, event_id: str, path: str) -> None:
        self.store.attach(event_id, clip=path)

    def _known(self, camera: str) -> Camera:
        if camera not in self.engine.cameras:
            there = ", ".join(self.engine.cameras)
            raise ConfigError(f"There is no camera {camera!r}: expected one of {there}.")
        return self.engine.cameras[camera]

    # ---- how it is

    @property
    def ready(self) -> bool:
        """Whether every camera has a picture, or is known to be down: nothing is being opened."""
        states = (c.reader.status().state for c in self.engine.cameras.values())
        return all(s not in (State.NOT_STARTED, State.OPENING) for s in states)


def weights_hash(detector: Detector) -> str:
    """12 hexadecimal digits of the weights that score."""
    data = (detector.info.run / WEIGHTS).read_bytes()
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def _detectors(cameras: Mapping[str, CameraConfig], device: str) -> dict[str, Detector]:
    """One per RUN: cameras that share it are scored together."""
    found = dict[str, Detector]()
    for name, camera in cameras.items():
        path = str(camera.detect.model)
        if path in found:
            continue
        detector = load(load_run(path), device)
        if detector.info.carried:
            raise ConfigError(
                f"{path} reads optical flow from files and cannot score camera {name}. Fit a model "
                "that needs none."
            )
        if detector.info.threshold is None:
            raise ConfigError(
                f"{path} has no threshold, so there is no alarm for camera {name}: run "
                f"oddframe calibrate {path} NORMAL-FOOTAGE --alarms-per-day 1."
            )
        found[path] = detector
    return found


def _sinks(config: SiteConfig) -> dict[str, SinkConfig]:
    found = dict[str, SinkConfig]()
    for values in config.sinks:
        sink = sink_config(values)
        name = sink.name or sink.kind
        if name in found:
            raise ConfigError(f"Two sinks are named {name}: give each a name of its own.")
        found[name] = sink
    return found
