"""One camera's threshold: that of its RUN, in the light of now, as live footage goes on with it.

    threshold = Threshold("gate", calibration, weights, store)
    level = score / threshold.of(frame)
    threshold.take(score, frame.pts_s, alarmed=...)     # every frame
    threshold.tend()                                    # now and then: may become another
    threshold.set(5.2)                                  # somebody wants this one
    threshold.keep()                                    # at the end, and every few minutes

What it learned lies in the store and survives restarts; the RUN stays as it is. Every change is
logged, is a row of the store's `calibrations`, and can be undone.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any, get_args

from oddframe.calibration.calibrate import LOWEST, threshold_of
from oddframe.calibration.changes import BOUNDS, DAILY, since_hand
from oddframe.calibration.fixed import Fixed
from oddframe.calibration.light import Light, Mode, modes_of
from oddframe.calibration.rate import side_of_light
from oddframe.calibration.running import Running
from oddframe.calibration.seen import MOST_PER_DAY
from oddframe.errors import ConfigError
from oddframe.events.event import Event
from oddframe.events.store import Calibration, Store
from oddframe.runtime.watch.feed import LiveFrame

log = logging.getLogger("oddframe.runtime.watch")

KEEP_S = 600.0
"""What was learned is written so often: a kill costs as much of it."""
DRIFT_S = 3600.0
"""How often it is asked whether the scores have shifted."""
JUDGED_S = 60.0
"""How often it is looked whether somebody has said what an event was."""
RUNNING, BY_HAND = "running", "by_hand"
"""Keys in the store."""
HIGHEST = 1e6
"""No threshold that somebody sets is above this: no score ever was."""


class Threshold:
    """Of one camera; of the engine's thread.

    Args:
        camera: its name.
        calibration: of the RUN.
        weights: hash of the RUN's weights.
        store: keeps what is learned.
        goes_on: learn from live footage; where the calibration came without its evidence (RUNs of
            before), or is for more than `MOST_PER_DAY` alarms a day, it cannot.
    """

    def __init__(
        self, camera: str, calibration: Mapping[str, Any], weights: str, store: Store,
        goes_on: bool = True,
    ) -> None:  # fmt: skip
        self._camera, self._weights, self._store = camera, weights, store
        self._fixed = Fixed.read(calibration, store.recall(camera, BY_HAND) or {})
        """What was set by hand, for when nothing goes on learning."""
        self._lights = bool(modes_of(calibration))
        self._light = Light()
        self.running: Running | None = None
        """What goes on learning; None where nothing does."""
        rare = float(calibration.get("alarms_per_day") or 0.0) <= MOST_PER_DAY
        if goes_on and rare and calibration.get("evidence"):
            kept = store.recall(camera, RUNNING) or {}
            self.running = Running.read(calibration, kept)
        self._hand_kept = bool(self._fixed.changes)
        self._kept = self._asked = self._judged = time.monotonic()
        self.drift = ""
        """How the camera's scores have shifted, in words; "" where they have not."""

    @property
    def calibration(self) -> Mapping[str, Any]:
        """That of now."""
        return (self.running or self._fixed).calibration

    @property
    def now(self) -> float:
        """The threshold in the light that was seen last."""
        return threshold_of(self.calibration, self._mode)

    def at(self, light: str | None = None) -> float:
        """The threshold of a light; by default of the one that was seen last."""
        return threshold_of(self.calibration, light or self._mode)

    def of(self, frame: LiveFrame) -> float:
        """The threshold of a frame: of its light, where the calibration knows several."""
        if self._lights:
            self._light.of(frame)
        return self.now

    def take(
        self, score: float, pts_s: float, *, alarmed: bool, since_s: float | None = None
    ) -> None:
        """The next scored frame, as `Seen.take` has it."""
        if self.running is not None:
            self.running.seen.take(
                score, pts_s, self._mode, alarmed=alarmed, since_s=since_s, above=score >= self.now
            )

    def told(self, event: Event) -> None:
        """Of every event as it is told: one that is over, and that nobody has looked at, counts."""
        if self.running is not None and event.state == "end" and not event.away:
            self.running.alarm(event.id, self._mode, event.peak_level)

    def judged(self, running: Running) -> None:
        """Look which of the events that wait somebody has looked at, whoever wrote it down: real
        ones are forgotten, a false alarm is one more normal peak. Who says another thing later, or
        nothing, is heard as well."""
        for known in list(running.seen.judged):
            said = "real" if known.score is None else "false_alarm"
            record = self._store.record(known.alarm.id)
            if record is not None and record.verdict != said:
                running.seen.take_back(known.alarm.id)
        for alarm in list(running.seen.alarms):
            record = self._store.record(alarm.id)
            if record is None or record.verdict is None:
                continue
            if record.verdict == "real":
                running.seen.confirm(alarm.id)
            else:
                running.seen.add_peak(record.event.peak_score, alarm.light, alarm.id)

    def hear(self) -> None:
        """Look now what was said of events; `tend` does once a minute.

        Raises:
            StoreError: it cannot be read.
        """
        if self.running is not None:
            self._judged = time.monotonic()
            self.judged(self.running)

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
            self.hear()
        changes = len(running.changes)
        if running.proposal() is not None and len(running.changes) > changes:
            self._changed(running.changes[-1].text, running.changes[-1].after)
        if now - self._asked >= DRIFT_S:
            self._asked, before = now, self.drift
            self.drift = running.drift() or ""
            if self.drift and self.drift != before:
                log.warning("%s: %s", self._camera, self.drift, extra={"camera": self._camera})
        if now - self._kept >= KEEP_S:
            self.keep()

    def set(self, threshold: float, light: str | None = None) -> None:
        """Somebody sets it by hand: it holds from now on, and what goes on learning goes on from
        it.

        light: of which; by default the one that was seen last.

        Raises:
            ConfigError: out of range; a light that is no light here, or none was seen yet.
            StoreError: it holds, and cannot be written.
        """
        if not LOWEST <= threshold <= HIGHEST:
            raise ConfigError(
                f"A threshold is a score from {LOWEST:g} (normal scores lie about 0) to "
                f"{HIGHEST:g}; found {threshold:g}."
            )
        mode = self.light_of(light)
        change = self._fixed.set(threshold, mode)
        if self.running is not None:
            change = self.running.set(threshold, mode)
        self._changed(change.text, change.after)

    def undo(self) -> bool:
        """Take the last change back; False where there is none."""
        base = self.running or self._fixed
        if not base.changes:
            return False
        last = base.changes[-1]
        base.undo()
        if self.running is not None and last.by == "hand":
            self._fixed.undo()
        again = {light: threshold_of(self.calibration, light or None) for light in last.after}
        told = ", ".join(f"{t:.3g} again{f' in {k}' if k else ''}" for k, t in again.items())
        self._changed(f"undone: {told}", again)
        return True

    def light_of(self, light: str | None) -> str | None:
        """The light that a threshold is of: the one that is named, or the one of now; None where
        there is one threshold for all.

        Raises:
            ConfigError: no such light, or none was seen yet.
        """
        if not self._lights:
            if light is not None:
                raise ConfigError(
                    f"This camera has one threshold for all light, and none for {light[:40]!r}."
                )
            return None
        if light is not None and light not in get_args(Mode):
            raise ConfigError(f"A light is {' or '.join(get_args(Mode))}; found {light[:40]!r}.")
        found = light or self._mode
        if found is None:
            raise ConfigError(
                "The camera has not been seen yet, so it is not known which light it is in: say "
                f"which one is meant, {' or '.join(get_args(Mode))}."
            )
        return found

    @property
    def light(self) -> Mode | None:
        """The light that was seen last, where each has a threshold of its own; None before."""
        return self._light.mode if self._lights else None

    @property
    def undoable(self) -> bool:
        """Whether there is a change that `undo` would take back."""
        return bool((self.running or self._fixed).changes)

    @property
    def provisional(self) -> bool:
        """Whether the threshold of now rests on less than eight hours of footage."""
        return bool(side_of_light(self.calibration, self._mode)[0].get("provisional", False))

    @property
    def text(self) -> str:
        """The threshold of now in words: what may be expected, and how far it moves by itself."""
        known, base = self.calibration, self.running or self._fixed
        text = str(known.get("text") or f"threshold {float(known['threshold']):.3g}.")
        hand, _ = since_hand(self._mode or "", base.changes)
        if self.running is None:
            return f"{text} It stays until somebody sets another one."
        first = self.running.first(self._mode) if hand is None else hand.after[self._mode or ""]
        low, high = (first * bound for bound in BOUNDS)
        whose = "what was set by hand" if hand else "the RUN's"
        return (
            f"{text} Live footage moves it by {DAILY:g} times in 24 hours at most, and never "
            f"beyond {low:.3g} to {high:.3g}: half and twice {whose}."
        )

    def keep(self) -> None:
        """Write what was learned.

        Raises:
            StoreError: it cannot be written.
        """
        if self.running is not None:
            self._kept = time.monotonic()
            self._store.remember(self._camera, RUNNING, self.running.plain())
        if self._fixed.changes or self._hand_kept:
            self._store.remember(self._camera, BY_HAND, self._fixed.plain())
            self._hand_kept = True

    @property
    def _mode(self) -> str | None:
        return self.light

    def _changed(self, text: str, after: Mapping[str, float]) -> None:
        """What other thresholds are followed by: a line in the log, a row of each in the store.

        after: per light, "" of all, what holds now.
        """
        known, now_utc = self.calibration, time.time()
        log.info("%s: the threshold is another one: %s", self._camera, text,
                 extra={"camera": self._camera})  # fmt: skip
        low, high = (known.get(name) for name in ("count_low", "count_high"))
        try:
            for light, threshold in after.items():
                side, _ = side_of_light(known, light)
                self._store.calibrate(Calibration(
                    camera=self._camera, model_hash=self._weights, threshold=float(threshold),
                    low=float(low or 0.0), high=float(math.inf if high is None else high),
                    hours=float(side.get("hours", 0.0)), created_utc=now_utc, why=text, light=light,
                ))  # fmt: skip
        finally:
            self.keep()
