"""One camera's threshold: that of its RUN, in the light of now, as live footage goes on with it.

    threshold = Threshold("gate", calibration, weights, store)
    level = score / threshold.of(frame)
    threshold.take(score, frame.pts_s, alarmed=...)     # every frame
    threshold.tend()                                    # now and then: may become another
    threshold.keep()                                    # at the end, and every few minutes

What it learned lies in the store and survives restarts; the RUN stays as it is. Every change is
logged, is a row of the store's `calibrations`, and can be undone.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from oddframe.events.event import Event
from oddframe.events.store import Calibration, Store
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.scoring.calibrate import threshold_of
from oddframe.scoring.light import SMALL_PX, Light, colourfulness
from oddframe.scoring.running import Running

log = logging.getLogger("oddframe.runtime.watch")

LIGHT_S = 1.0
"""How often it is looked whether it is infrared."""
KEEP_S = 600.0
"""What was learned is written so often: a kill costs as much of it."""
DRIFT_S = 3600.0
"""How often it is asked whether the scores have shifted."""
JUDGED_S = 60.0
"""How often it is looked whether somebody has said what an event was."""
RUNNING = "running"
"""Key in the store."""


class Threshold:
    """Of one camera; of the engine's thread.

    Args:
        camera: its name.
        calibration: of the RUN.
        weights: hash of the RUN's weights.
        store: keeps what is learned.
        goes_on: learn from live footage; where the calibration came without its evidence (RUNs of
            before) it cannot.
    """

    def __init__(
        self, camera: str, calibration: Mapping[str, Any], weights: str, store: Store,
        goes_on: bool = True,
    ) -> None:  # fmt: skip
        self._camera, self._weights, self._store = camera, weights, store
        self._calibration = calibration
        self._lights = len(calibration.get("modes") or {}) > 1
        self._light, self._looked_s = Light(), -math.inf
        self.running: Running | None = None
        """What goes on learning; None where nothing does."""
        if goes_on and calibration.get("evidence"):
            kept = store.recall(camera, RUNNING) or {}
            self.running = Running.read(calibration, kept)
        self._kept = self._asked = self._judged = time.monotonic()
        self.drift = ""
        """How the camera's scores have shifted, in words; "" where they have not."""

    @property
    def calibration(self) -> Mapping[str, Any]:
        """That of now."""
        return self._calibration if self.running is None else self.running.calibration

    @property
    def now(self) -> float:
        """The threshold in the light that was seen last."""
        return threshold_of(self.calibration, self._mode)

    def of(self, frame: LiveFrame) -> float:
        """The threshold of a frame: of its light, where the calibration knows several."""
        if self._lights and not 0 <= frame.pts_s - self._looked_s < LIGHT_S:
            self._looked_s = frame.pts_s
            self._light.take(colourfulness(frame.at(SMALL_PX)), frame.pts_s)
        return self.now

    def take(self, score: float, pts_s: float, *, alarmed: bool) -> None:
        """The next scored frame; `alarmed`: an event is open."""
        if self.running is not None:
            self.running.take(score, pts_s, self._mode, alarmed=alarmed)

    def told(self, event: Event) -> None:
        """Of every event as it is told: one that is over, and that nobody has looked at, counts."""
        if self.running is not None and event.state == "end":
            self.running.alarm(event.id, self._mode)

    def judged(self, running: Running) -> None:
        """Look which of the events that wait somebody has looked at, whoever wrote it down: real
        ones are forgotten, a false alarm is one more normal peak."""
        for alarm in list(running.alarms):
            record = self._store.record(alarm.id)
            if record is None or record.verdict is None:
                continue
            if record.verdict == "real":
                running.confirm(alarm.id)
            else:
                running.add_peak(record.event.peak_score, alarm.light, alarm.id)

    def tend(self) -> None:
        """Become another threshold where the footage asks for it; say what has shifted.

        Raises:
            StoreError: what was learned cannot be written; it holds all the same.
        """
        running = self.running
        if running is None:
            return
        now = time.monotonic()
        if now - self._judged >= JUDGED_S:
            self._judged = now
            self.judged(running)
        changes = len(running.changes)
        if running.proposal() is not None and len(running.changes) > changes:
            self._changed(running.changes[-1].text)
        if now - self._asked >= DRIFT_S:
            self._asked, before = now, self.drift
            self.drift = running.drift() or ""
            if self.drift and self.drift != before:
                log.warning("%s: %s", self._camera, self.drift, extra={"camera": self._camera})
        if now - self._kept >= KEEP_S:
            self.keep()

    def undo(self) -> bool:
        """Take the last change back; False where there is none."""
        if self.running is None or not self.running.changes:
            return False
        self.running.undo()
        self._changed(f"undone: {self.now:.3g} again")
        return True

    def keep(self) -> None:
        """Write what was learned.

        Raises:
            StoreError: it cannot be written.
        """
        if self.running is not None:
            self._kept = time.monotonic()
            self._store.remember(self._camera, RUNNING, self.running.plain())

    @property
    def _mode(self) -> str | None:
        return self._light.mode if self._lights else None

    def _changed(self, text: str) -> None:
        known = self.calibration
        log.info("%s: the threshold is another one: %s", self._camera, text,
                 extra={"camera": self._camera})  # fmt: skip
        record = Calibration(
            camera=self._camera, model_hash=self._weights, threshold=float(known["threshold"]),
            low=float(known["count_low"] or 0.0), high=float(known["count_high"] or math.inf),
            hours=float(known["hours"]), created_utc=time.time(), why=text, peaks=(),
        )  # fmt: skip
        try:
            self._store.calibrate(record)
        finally:
            self.keep()
