"""What may change of a site while it is watched: cameras, their RUNs, zones, masks, thresholds.

Each change is made by whoever asks, in any thread, and holds when the call returns: it is written
down first (`edits`, the store), and comes between two frames (`Engine.ask`). What fails is taken
back. Cameras that nothing is changed of do not notice.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oddframe.calibration.aim import aimed
from oddframe.errors import ConfigError, OddframeError
from oddframe.events.event import Event
from oddframe.events.store import Store, StoreError
from oddframe.events.tracker import Tracker
from oddframe.events.zones import Mask, Zone, check, check_picture
from oddframe.runs import load_run
from oddframe.runtime.courier import Courier
from oddframe.runtime.detector import Detector
from oddframe.runtime.watch.camera import Camera, mask_on, without_run
from oddframe.runtime.watch.desk import Desk, Office
from oddframe.runtime.watch.edits import Edits
from oddframe.runtime.watch.engine import Engine
from oddframe.runtime.watch.feed import Bell, LiveFrame
from oddframe.runtime.watch.meters import Meters
from oddframe.runtime.watch.pace import rate_for
from oddframe.runtime.watch.parts import detector_of, weights_hash
from oddframe.runtime.watch.reader import Reader, ReaderConfig
from oddframe.runtime.watch.site import CAMERA, CameraConfig, DetectConfig, SiteConfig
from oddframe.runtime.watch.threshold import Threshold
from oddframe.runtime.watch.view import Telling
from oddframe.sinks.mqtt import Mqtt
from oddframe.types import Score

log = logging.getLogger("oddframe.runtime.watch")

RATE = 10.0
"""Frames per second that a RUN is looked at with that does not say its rate."""
UNFITTED, ADDED, REMOVED, MODEL = "unfitted", "added", "removed", "model"
"""Why there is no score: there is no RUN yet; the camera was just added; it was taken away; it got
another RUN."""
ARMED = "armed"
"""Key in the store: whether a camera's alarms are on."""


class Changes:
    """The part of `AtWork` that makes its cameras and changes them."""

    config: SiteConfig
    """As it is now, with all that was changed."""
    edits: Edits
    store: Store
    meters: Meters
    engine: Engine
    detectors: dict[str, Detector]
    """By the paths of their RUNs. Never changed: where one is added, it is another dict."""
    couriers: list[Courier]
    told: Telling
    """What is told of events, as it is told."""

    _bell: Bell
    _office: Office
    _device: str
    _of_site: frozenset[str]
    """Names of the cameras of SITE.yaml."""
    _changing: threading.RLock

    # ---- for everybody

    def view(self, camera: str) -> tuple[LiveFrame | None, Score | None, str | None]:
        """A camera's newest frame, its score, and the id of the event that is open.

        Frames have no score where the camera has no RUN yet, or its zones do not fit. Nothing is
        copied: who looks leaves them as they are.

        Raises:
            ConfigError: no such camera.
        """
        seen = self._known(camera).view
        return seen.frame, seen.score, seen.event

    def is_added(self, camera: str) -> bool:
        """Whether a camera was added while it ran, and is none of SITE.yaml's."""
        return camera in self.edits.added and camera not in self._of_site

    def add(self, name: str, config: CameraConfig) -> None:
        """Watch one more camera from now on; kept over restarts.

        Without a RUN (`detect.model` None) it is shown, and not scored. What it does not say of
        `detect` is the site's, but for the RUN.

        Raises:
            ConfigError: the name is taken or none; zones at odds with the rules; as
                `detector_of`.
            RunError: a RUN that is not there.
            SourceError: streams of a kind that is not known.
            StoreError: it cannot be written down.
        """
        with self._changing:
            if not CAMERA.fullmatch(name):
                raise ConfigError(
                    f"A camera's name is letters, digits, _ and -, 64 at most; found {name[:80]!r}."
                )
            if name in self.config.cameras:
                raise ConfigError(f"There is a camera {name} already: give another name.")
            values = config.model_dump(mode="json", exclude_unset=True)
            values["detect"] = {"model": None, **values.get("detect", {})}
            detect = DetectConfig.read(self.config.detect.model_dump() | values["detect"])
            config = config.model_copy(update={"detect": detect})
            check(config.detect, config.zones)
            detector = self._detector_of(name, config.detect.model)
            camera = self._made(self._reader(name, config, detector), config, detector)
            with self.edits.trying(name):
                self.edits.camera(name, **values)
                self.engine.ask(lambda: self._join(camera, config, detector))
            self.engine.stays = True
            self._followed()
        log.info("%s: camera added", name, extra={"camera": name})

    def remove(self, name: str) -> None:
        """Watch a camera that was added no more; what happened in front of it stays on record.

        Raises:
            ConfigError: no such camera, or one of SITE.yaml's.
            StoreError: as `add`.
        """
        with self._changing:
            camera = self._known(name)
            if not self.is_added(name):
                raise ConfigError(
                    f"Camera {name} is in SITE.yaml, which is not written here: take it out there, "
                    "or set enabled: false, and restart."
                )
            with self.edits.trying(name):
                self.edits.drop(name)
                self.engine.ask(lambda: self._leave(camera))
            camera.reader.stop()
            self._followed()
        log.info("%s: camera removed", name, extra={"camera": name})

    def reassign(self, name: str, model: str | None) -> None:
        """Score a camera with another RUN from now on, or with none; kept over restarts.

        Its source is not connected to again, unless 16-bit pictures are scaled otherwise then.
        Scores begin when the history is full. A RUN that was calibrated anew is read again.

        Args:
            name: of the camera.
            model: RUN folder, or the name of one that comes with oddframe.

        Raises:
            ConfigError: no such camera; as `detector_of`.
            RunError: a RUN that is not there.
            StoreError: as `add`.
        """
        with self._changing:
            camera, known = self._known(name), self.config.cameras[name]
            detector = self._detector_of(name, model)
            detect = known.detect.model_copy(update={"model": model})
            config = known.model_copy(update={"detect": detect})
            with self.edits.trying(name):
                self.edits.camera(name, detect={"model": model})
                self.engine.ask(lambda: self._replace(camera, config, detector))
        log.info("%s is scored by %s from now on", name, model or "nothing", extra={"camera": name})

    def redraw(
        self, name: str, zones: Sequence[Zone] | None = None, mask: Sequence[Mask] | None = None
    ) -> None:
        """Give a camera other zones, or other masks, from now on; kept over restarts.

        None leaves those that there are. An open event keeps what it touched.

        Raises:
            ConfigError: no such camera; two zones of one name, an alert level below the rules';
                points outside its picture; masks that leave nothing to score.
            StoreError: as `add`.
        """
        with self._changing:
            camera, known = self._known(name), self.config.cameras[name]
            drawn = known.zones if zones is None else tuple(zones)
            hidden = known.mask if mask is None else tuple(mask)
            check(known.detect, drawn)
            status = camera.reader.status()
            if status.width:
                check_picture((*drawn, *hidden), status.width, status.height)
                detector = camera.detector if camera.fitted else None
                mask_on(hidden, status.width, status.height, detector)
            config = known.model_copy(update={"zones": drawn, "mask": hidden})
            changed = {"zones": zones, "mask": mask}
            values = {
                key: [polygon.model_dump(mode="json") for polygon in polygons]
                for key, polygons in changed.items()
                if polygons is not None
            }
            with self.edits.trying(name):
                self.edits.camera(name, **values)
                self.engine.ask(lambda: self._redrawn(camera, config))
        log.info("%s: other %s", name, " and ".join(values), extra={"camera": name})

    def set_threshold(self, name: str, threshold: float, light: str | None = None) -> None:
        """Set a camera's threshold by hand; see `Threshold.set`.

        Raises:
            ConfigError: no such camera, one without a RUN, or no such threshold.
            StoreError: it holds, and cannot be written down.
        """
        camera = self._known(name)
        if not camera.fitted:
            raise without_run(name)
        self.engine.ask(lambda: camera.threshold.set(threshold, light))

    def undo(self, camera: str) -> bool:
        """Take the last change of a camera's threshold back, whoever made it.

        Returns:
            Whether there was one.

        Raises:
            ConfigError: no such camera.
            StoreError: it holds, and cannot be written down.
        """
        threshold = self._known(camera).threshold
        return self.engine.ask(lambda: threshold.undo())

    def heard(self, name: str) -> None:
        """Something was said of a camera's events: learn from it now, not when it is due.

        Where the camera is gone, or the engine hangs, nothing is lost: it is in the store.
        """
        camera = self.engine.cameras.get(name)
        if camera is None:
            return
        try:
            self.engine.ask(lambda: self._heard(camera))
        except OddframeError as error:
            log.warning("%s: learned from later: %s", name, error, extra={"camera": name})

    # ---- by the engine's thread

    def _heard(self, camera: Camera) -> None:
        camera.desk.tend()
        self._learned(camera.threshold.hear)

    def _join(self, camera: Camera, config: CameraConfig, detector: Detector | None) -> None:
        now = time.time()
        self.store.gap_begins(camera.name, now, UNFITTED if detector is None else ADDED)
        self.meters.joined(camera.name)
        self._now(camera.name, config, detector)
        self.engine.join(camera, self._rate(camera))

    def _leave(self, camera: Camera) -> None:
        camera.let_go("stopped", REMOVED)
        self._learned(camera.threshold.keep)
        self.engine.leave(camera.name)
        self.meters.left(camera.name)
        self._now(camera.name, None, None)

    def _replace(self, before: Camera, config: CameraConfig, detector: Detector | None) -> None:
        before.let_go("changed", MODEL)
        self._learned(before.threshold.keep)
        reader = before.reader
        # A file that is over is played again: its camera was set up meanwhile. And pictures of 16
        # bits come from the reader as the RUN scales them.
        if reader.done or reader.used != _used(detector):
            reader.stop()
            reader = self._reader(before.name, config, detector)
        camera = self._made(reader, config, detector)
        camera.follow(before)
        self._now(camera.name, config, detector)
        self.engine.join(camera, self._rate(camera))

    def _redrawn(self, camera: Camera, config: CameraConfig) -> None:
        camera.redraw(config.zones, config.mask)
        cameras = {**self.config.cameras, camera.name: config}
        self.config = self.config.model_copy(update={"cameras": cameras})

    def _now(self, name: str, config: CameraConfig | None, detector: Detector | None) -> None:
        """A camera is another one from now on, or none."""
        cameras = {n: c for n, c in self.config.cameras.items() if n != name}
        if config is not None:
            cameras = {n: cameras.get(n, config) for n in (*self.config.cameras, name)}
        self.config = self.config.model_copy(update={"cameras": cameras})
        used = {c.detect.model for c in cameras.values() if c.enabled}
        detectors = {p: d for p, d in self.detectors.items() if p in used}
        if config is not None and config.detect.model is not None and detector is not None:
            detectors[config.detect.model] = detector
        self.detectors = detectors

    # ---- helpers

    def _reader(self, name: str, camera: CameraConfig, detector: Detector | None) -> Reader:
        # What is only shown is shown at its own speed.
        realtime = camera.realtime or camera.detect.model is None
        how = ReaderConfig(**camera.reading.model_dump(), realtime=realtime)
        return Reader(name, camera.source, how, self._bell, used=_used(detector))

    def _made(self, reader: Reader, config: CameraConfig, detector: Detector | None) -> Camera:
        """A camera, with what the store knows of it."""
        name = reader.camera
        weights = "" if detector is None else weights_hash(detector)
        known = _calibration(name, config, detector)
        threshold = Threshold(name, known, weights, self.store, config.detect.goes_on)
        tracker = Tracker(name, config.detect, config.zones, weights, config.detect.schedule)
        tracker.armed(bool(self.store.recall(name, ARMED, True)))

        def said(event: Event) -> None:
            threshold.told(event)
            self.told.add(event)

        return Camera(detector, reader, Desk(tracker, self._office, said), config, threshold)

    def _rate(self, camera: Camera) -> float:
        """Looks per second that a camera is to have."""
        if not camera.fitted:
            return RATE
        learned, fps = camera.detector.info.fps, camera.reader.status().fps
        return rate_for(learned, fps) if fps else learned or RATE

    def _detector_of(self, name: str, model: str | None) -> Detector | None:
        """The detector of a RUN: the one that is there, where it is the same as on the disk."""
        if model is None:
            return None
        run, known = load_run(model), self.detectors.get(model)
        if known is not None and known.info.calibration == run.calibration:
            weights, cameras = weights_hash(known), self.engine.cameras.values()
            if any(c.fitted and c.detector is known and c.run == weights for c in cameras):
                return known
        return detector_of(run, name, self._device)

    def _followed(self) -> None:
        """Let sinks that speak of every camera know which there are."""
        for sink in self._live_sinks():
            sink.follow(tuple(self.engine.cameras))

    def _live_sinks(self) -> list[Mqtt]:
        return [c.sink for c in self.couriers if isinstance(c.sink, Mqtt)]

    def _learned(self, what: Callable[[], object]) -> None:
        try:
            what()
        except StoreError as error:
            self.meters.faults["store"] += 1
            log.error("what was learned cannot be kept: %s", error)

    def _known(self, camera: str) -> Camera:
        """A camera by its name.

        Raises:
            ConfigError: no such camera.
        """
        found = self.engine.cameras.get(camera)
        if found is None:
            there = ", ".join(self.engine.cameras) or "none"
            raise ConfigError(f"There is no camera {camera[:80]!r}: expected one of {there}.")
        return found


def _calibration(name: str, config: CameraConfig, detector: Detector | None) -> Mapping[str, Any]:
    """What a camera's threshold rests on: its RUN's, for as many alarms a day as are wanted."""
    if detector is None:
        return {"threshold": math.nan}
    known, wanted = detector.info.calibration or {}, config.detect.alarms_per_day
    if wanted is None:
        return known
    try:
        return aimed(known, wanted)
    except ConfigError as error:  # a site that watches less well is better than none
        log.warning("%s: alarms_per_day stays what the RUN's is. %s", name, error,
                    extra={"camera": name})  # fmt: skip
        return known


def _used(detector: Detector | None) -> tuple[int, int] | None:
    """The values of 16-bit pictures that a camera's RUN learned with."""
    return None if detector is None else detector.reading.used
