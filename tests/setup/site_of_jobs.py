"""What `oddframe.setup` reads of an `AtWork`; recordings; and what its children do, by a script."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from encoded import encode
from oddframe.errors import ConfigError
from oddframe.runtime.watch.site import CameraConfig
from oddframe.setup.footage import footage_folder

SECRET = "geheim7"
ADDRESS = f"rtsp://viewer:{SECRET}@127.0.0.1:1/gate"
WORKER = (sys.executable, "-S", str(Path(__file__).with_name("worker.py")))


class JobSite:
    """Cameras `gate` (a stream with a password) and `yard`, without RUNs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.store = SimpleNamespace(folder=folder)
        cameras = {"gate": ADDRESS, "yard": "rtsp://127.0.0.1:1/yard"}
        self.config = SimpleNamespace(
            cameras={name: CameraConfig(source=source) for name, source in cameras.items()}
        )
        self.engine = SimpleNamespace(cameras={name: self.camera(None) for name in cameras})
        self.given: list[tuple[str, str]] = []
        self.refuses = ""
        self.frame: Any = None

    def camera(self, run: Path | None) -> SimpleNamespace:
        info = SimpleNamespace(run=run)
        return SimpleNamespace(fitted=run is not None, detector=SimpleNamespace(info=info))

    def reassign(self, camera: str, model: str) -> None:
        if self.refuses:
            raise ConfigError(self.refuses)
        self.given.append((camera, model))
        self.engine.cameras[camera] = self.camera(Path(model))

    def view(self, camera: str) -> tuple[Any, None, None]:
        return self.frame, None, None

    # ---- for tests

    def recorded(self, camera: str = "gate", files: int = 4, frames: int = 30) -> Path:
        """Recordings of a camera, as `record` names them."""
        folder = footage_folder(self.store.folder, camera)
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(files):
            encode(folder / f"2026-01-31T18-{i:02}-00Z.mp4", frames, first=i * frames)
        return folder

    def script(self, **does: dict[str, Any]) -> None:
        """What children do, by kind: seconds, text, exit, problem, run (to copy), ends_s."""
        (self.store.folder / "script.json").write_text(json.dumps(does))

    @property
    def done(self) -> list[str]:
        """What children did: "record gate begins" and so on."""
        path = self.store.folder / "done.txt"
        return path.read_text().splitlines() if path.exists() else []


def until(true: Any, seconds: float = 20.0) -> Any:
    """Wait for something that is true, and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")
