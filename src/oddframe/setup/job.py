"""One job: what was asked for, and how far it is.

It lies in a folder of its own, STORE/setup/ID: `job.json` is the server's, `progress.json`,
`result.json` and `error.txt` are the child's.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from oddframe.config import Config

Kind = Literal["record", "fit", "calibrate"]
State = Literal["waiting", "running", "paused", "done", "failed", "cancelled"]
NOUNS: dict[Kind, str] = {"record": "recording", "fit": "fit", "calibrate": "calibration"}
"""For people."""
OPEN: tuple[State, ...] = ("waiting", "running", "paused")
"""States of a job that is not over."""
HEAVY: tuple[Kind, ...] = ("fit", "calibrate")
"""Of these one runs at a time: each takes all cores that scoring leaves."""
ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
JOB, PROGRESS, RESULT, ERROR = "job.json", "progress.json", "result.json", "error.txt"


class RecordSettings(Config):
    """Record normal footage of a camera."""

    minutes: float = Field(gt=0, le=10080, strict=True)
    """Of footage, beside what is there."""


class FitSettings(Config):
    """Fit a model to what is recorded."""

    minutes: float = Field(gt=0, le=2880, strict=True)
    """Time for all of it."""
    model: str = Field("m2s2l-edge", min_length=1, max_length=64)
    settings: tuple[str, ...] = ()
    """As `fit --set` takes them."""


class CalibrateSettings(Config):
    """Find the threshold of a camera's RUN."""

    alarms_per_day: float = Field(gt=0, le=1000, strict=True)
    """False alarms to accept in 24 hours."""
    minutes: float = Field(30.0, gt=0, le=2880, strict=True)
    """Time for it, about."""


SETTINGS: dict[Kind, type[Config]] = {
    "record": RecordSettings, "fit": FitSettings, "calibrate": CalibrateSettings,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of a job at one moment."""

    id: str
    camera: str
    kind: Kind
    settings: Mapping[str, Any]
    state: State = "waiting"
    done: float = 0.0
    """Share of it, 0..1."""
    text: str = ""
    """What it does now, or did."""
    left_s: float | None = None
    """Seconds that it will take, about; None where nobody knows."""
    created_utc: float = 0.0
    started_utc: float | None = None
    """When it ran for the first time."""
    ended_utc: float | None = None
    problem: str | None = None
    """What went wrong, and what to do."""
    run: str | None = None
    """Name of the RUN that it makes, or works on."""
    copied: bool = False
    """That RUN is a copy of another, made by this job."""
    tries: int = 0
    """Times in a row that its process ended without a word."""

    @classmethod
    def made(cls, kind: Kind, camera: str, settings: Mapping[str, Any]) -> Job:
        """A new one.

        Raises:
            ConfigError: settings out of range.
        """
        now = time.time()
        name = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        known = SETTINGS[kind].read(settings).model_dump(mode="json")
        return cls(name, camera, kind, known, created_utc=now)

    @classmethod
    def read(cls, folder: Path) -> Job | None:
        """What a folder holds; None where it is no job, or damaged."""
        known = read_json(folder / JOB)
        names = {f.name for f in fields(cls)}
        try:
            job = cls(**{key: value for key, value in known.items() if key in names})
            SETTINGS[job.kind].read(job.settings)
        except Exception:  # whatever somebody wrote there, a server must start
            return None
        return job if job.id == folder.name and ID.fullmatch(job.id) else None

    def write(self, folder: Path) -> None:
        """Keep it.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_private(folder / JOB, asdict(self))

    @property
    def open(self) -> bool:
        """Whether it is not over."""
        return self.state in OPEN


def read_json(path: Path) -> dict[str, Any]:
    """An object of a file; empty where there is none, or it is damaged."""
    try:
        found = json.loads(path.read_text("utf8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_private(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all, for this user alone.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf8") as file:
            json.dump(values, file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
