"""A site as the HTTP side sees it: a real store, real meters, and cameras of which nothing runs."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from oddframe.errors import ConfigError
from oddframe.events.event import Box, Event
from oddframe.events.rules import Rules
from oddframe.events.store import Store
from oddframe.events.store.keep import Kept
from oddframe.runs import WEIGHTS
from oddframe.runtime.courier import CourierStats
from oddframe.runtime.watch.meters import CameraMeters, Meters
from oddframe.runtime.watch.pace import Pace
from oddframe.runtime.watch.parts import weights_hash
from oddframe.runtime.watch.site import SiteConfig
from oddframe.runtime.watch.status import State, Status
from oddframe.runtime.watch.threshold import Threshold
from oddframe.runtime.watch.view import Recent, Telling, View
from oddframe.scoring.settings import ScoreConfig

NAMES = ("gate", "yard")
AT = 1_780_000_000.0
"""2026-05-28T20:26:40Z."""
SETTINGS = {
    "detect": {"model": "RUN"},
    "cameras": {
        "gate": {
            "source": "rtsp://viewer:geheim@cam.local/1",
            "zones": {"stairs": [[0, 0], [1, 0], [1, 1], [0, 1]]},
        },
        "yard": {"source": "rtsp://cam.local/2"},
    },
}  # fmt: skip
"""What its SITE.yaml says."""


def detector(folder: Path, weights: bytes) -> SimpleNamespace:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    info = SimpleNamespace(
        model="m2s2l-edge", run=folder, calibration={"threshold": 3.0, "text": "1 alarm a day"}
    )
    return SimpleNamespace(info=info, score_config=ScoreConfig())


def status(name: str, state: State = State.RUNNING, **more: Any) -> Status:
    known = {"since_s": time.monotonic(), "since_utc": AT, "fps": 12.5, "width": 640, "height": 480}
    return Status(name, "rtsp://cam.local/…3fa2", state, None, "", **{**known, **more})


class StubSite:
    """What `oddframe.web` reads of an `AtWork`; tests set its parts as they like."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.meters = Meters({name: CameraMeters() for name in NAMES})
        self.detectors = {"RUN": detector(folder / "RUN", b"weights")}
        self.statuses = {name: status(name) for name in NAMES}
        cameras = {name: self._camera(name) for name in NAMES}
        pace = Pace(NAMES, {"gate": 10.0, "yard": 5.0})
        self.engine = SimpleNamespace(
            cameras=cameras, pace=pace, turned_s=time.monotonic(), failing=0
        )
        self.couriers = [self._courier("mqtt")]
        self.clips = SimpleNamespace(done=7, dropped=2, failed=1)
        self.kept: Kept | None = None
        self.jobs: Any = None
        self.told = Telling()
        self.heard_of: list[str] = []
        self.config = SiteConfig.read(SETTINGS)

    def _camera(self, name: str) -> SimpleNamespace:
        run = self.detectors["RUN"]
        threshold = Threshold(name, run.info.calibration, "5f3c", self.store)
        return SimpleNamespace(
            name=name, detector=run, fault="", threshold_now=3.0, fitted=True, threshold=threshold,
            run=weights_hash(run), view=View(), recent=Recent(),
            reader=SimpleNamespace(status=lambda: self.statuses[name]),
            desk=SimpleNamespace(waiting=0, tracker=SimpleNamespace(rules=Rules())),
        )  # fmt: skip

    def _courier(self, name: str, **more: Any) -> SimpleNamespace:
        stats = CourierStats(5, 2, 1, 3, "", None, None)
        return SimpleNamespace(name=name, sink=object(), stats=replace(stats, **more))

    def is_added(self, camera: str) -> bool:
        return False

    @property
    def ready(self) -> bool:
        early = (State.NOT_STARTED, State.OPENING)
        return all(s.state not in early for s in self.statuses.values())

    def arm(self, camera: str, on: bool) -> bool:
        if camera not in self.engine.cameras:
            raise ConfigError(f"There is no camera {camera!r}.")
        self.store.remember(camera, "armed", on)
        return on

    def heard(self, camera: str) -> None:
        self.heard_of.append(camera)

    def armed(self, camera: str) -> bool:
        return bool(self.store.recall(camera, "armed", True))

    def measured(self) -> None:
        """Some numbers in every meter."""
        for number, name in enumerate(NAMES):
            m = self.meters.cameras[name]
            m.looked, m.score, m.level = 90 + number, 4.5, 1.5
            m.events["alert"] += 2
            m.age.add(0.07)
            m.age.add(0.3)
            m.rate.add(time.monotonic())
        self.meters.inference.add(0.02)
        self.statuses["gate"] = status("gate", frames=100, dropped={"newer": 9, "late": 1})
        self.kept = Kept(0, 0, 0, 0, 123_456, 10**10)


def event(number: int = 0, camera: str = "gate", **more: Any) -> Event:
    """The n-th event, a minute after the one before."""
    at = AT + 60 * number
    known: dict[str, Any] = {
        "id": f"{at:.6f}-abcdef", "camera": camera, "state": "end", "severity": "alert",
        "start_utc": at, "end_utc": at + 5, "peak_utc": at + 1, "peak_level": 2.0,
        "peak_score": 6.0, "threshold": 3.0, "width": 640, "height": 480, "zones": ("stairs",),
        "boxes": (Box(10, 20, 30, 40),), "reasons": ("something moves fast",),
        "streams": {"flow": 5.5}, "ended": "calm", "run": "0123456789ab",
    }  # fmt: skip
    return Event(**{**known, **more})


NAN = math.nan
