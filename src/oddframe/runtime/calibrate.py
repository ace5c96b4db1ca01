"""The alarm threshold of a RUN, from normal footage that it was not trained on.

    footage = held_out("RUN", "more-normal/")
    calibration = calibrate_run(footage, alarms_per_day=1)

On the CPU days of footage are worked off in several processes (`days`): killed and called again, it
goes on, and what there was no time for is sampled evenly over all hours.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from oddframe.calibration.calibrate import calibrate
from oddframe.calibration.light import lights_of
from oddframe.data import Dataset, footage_hashes, open_dataset
from oddframe.device import pick_device
from oddframe.errors import ConfigError, DatasetError, OddframeWarning
from oddframe.process import cores
from oddframe.runs import Run, check_own, load_run, locked, write_calibration
from oddframe.runtime.days import Days, score_days
from oddframe.runtime.detector import load
from oddframe.runtime.lanes import Hue
from oddframe.sources import Reading


@dataclass(frozen=True, slots=True)
class Effort:
    """What a calibration may take, and where it is computed."""

    minutes: float = 30.0
    """Time for it, about; of `days`: elsewhere all of it is scored."""
    processes: int | None = None
    """At a time, of `days`; by default one per core."""
    device: str = "cpu"
    flow: Path | None = None
    """Flow files, for a model that reads them."""


@contextlib.contextmanager
def _unseen(name: str) -> Iterator[Callable[[Any, Any], None]]:
    del name
    yield lambda done, total: None


@dataclass(frozen=True, slots=True)
class Bars:
    """How progress is shown; by default it is not. Each is given a title."""

    stretches: Callable[[str], AbstractContextManager[Callable[[float, float], None]]] = _unseen
    """Called with seconds of footage done and in all."""
    frames: Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]] = _unseen
    """One for each video, where it is not the CPU; called with frames."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A RUN, and footage to calibrate it on."""

    run: Run
    dataset: Dataset
    hashes: dict[str, str]
    trained: bool
    """It is what the RUN was trained on."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was found, and stored in the RUN."""

    calibration: dict[str, Any]
    days: Days | None
    """How much of the footage was scored; None where it was not the CPU: all."""


def check(alarms_per_day: float, minutes: float) -> None:
    """Raise ConfigError for values that are not above 0."""
    for name, value in (("--alarms-per-day", alarms_per_day), ("--minutes", minutes)):
        if not value > 0:
            raise ConfigError(f"{name} must be above 0, found {value:g}.")


def held_out(run: str | Path, path: str | Path, reading: Reading | None = None) -> HeldOut:
    """Open a RUN and footage for it. Warns where that is what it was trained on.

    Args:
        run: the RUN folder.
        path: a video, a folder of videos or of frame folders.
        reading: how they are read.

    Raises:
        RunError: no RUN, or one that comes with oddframe.
        DatasetError: no normal video there.
    """
    loaded = load_run(run)
    check_own(loaded)
    dataset = open_dataset(path, reading=replace(reading or Reading(), used=loaded.used))
    if not dataset.train:
        raise DatasetError(f"{path} holds no normal video (layout {dataset.layout}).")
    known, trained = footage_hashes(dataset), loaded.card.get("data", {})
    # Prepared or not, it is the same footage.
    same = bool(set(known.values()) & {trained.get("manifest"), trained.get("source")})
    if same:
        warnings.warn(
            f"{path} is what {run} was trained on. Scores of known footage are too low, so the "
            "threshold will be as well: expect more alarms than asked for.",
            OddframeWarning,
            stacklevel=2,
        )
    return HeldOut(loaded, dataset, known, same)


def calibrate_run(
    footage: HeldOut, alarms_per_day: float, effort: Effort | None = None, bars: Bars | None = None
) -> Calibrated:
    """Find the threshold for a rate of false alarms, and store it in the RUN.

    Args:
        footage: as `held_out` opens it.
        alarms_per_day: false alarms to accept in 24 hours.
        effort: what it may take.
        bars: how progress is shown.

    Raises:
        ConfigError: a rate that is not above 0, or no frame that has a score.
        RunError: another process writes to the RUN, or it cannot be written.
        SourceError: a video cannot be read.
        OddframeError: the system ended one of the processes.
        KeyboardInterrupt: stopped.

    What was scored is kept until the threshold is written: the same call goes on from it.
    """
    effort, bars = effort or Effort(), bars or Bars()
    check(alarms_per_day, effort.minutes)
    run, dataset = footage.run, footage.dataset
    with locked(run.path, "calibrating"):
        if pick_device(effort.device).type == "cpu" and effort.flow is None:
            days, found = _in_days(run, dataset, alarms_per_day, effort, bars)
        else:
            days, found = None, _in_one_pass(run, dataset, alarms_per_day, effort, bars)
        known = {"name": dataset.name, "videos": len(dataset.train), **footage.hashes}
        write_calibration(run, {**found, "footage": known})
        if days is not None:
            days.forget()  # not before: a full disk or Ctrl-C would cost hours of scoring
    return Calibrated(found, days)


def _in_days(
    run: Run, dataset: Dataset, alarms_per_day: float, effort: Effort, bars: Bars
) -> tuple[Days, dict[str, Any]]:
    processes = effort.processes or cores()
    with bars.stretches("scoring") as done:
        days = score_days(run, dataset.train, processes, done, effort.minutes)
    scores = [video.score for video in days.videos]
    times = [video.time_s for video in days.videos]
    # Sampled hours are of the days that they were taken from; one file alone is cut into days by
    # itself.
    of_day = days.days if len(scores) > 1 else None
    lights = [lights_of(video.colour, video.time_s) for video in days.videos]
    return days, calibrate(scores, times, alarms_per_day, modes=lights, days=of_day)


def _in_one_pass(
    run: Run, dataset: Dataset, alarms_per_day: float, effort: Effort, bars: Bars
) -> dict[str, Any]:
    if effort.processes is not None or effort.minutes != Effort().minutes:
        warnings.warn(
            "--minutes and --processes are of footage that is scored on the CPU, without flow "
            f"files: all of it is scored now, in one pass on {effort.device}.",
            OddframeWarning,
            stacklevel=2,
        )
    detector = load(run, effort.device, flow=effort.flow)
    flows = detector.flows_of(dataset, "train")
    scores, times, lights = [], [], []
    for video in dataset.train:
        with video.open() as source, bars.frames(video.name) as tick:
            shown, hue, hint = list[tuple[float, float, float]](), Hue(), source.frame_hint
            with closing(detector.follow(source, flows.get(video.name))) as followed:
                for frame, score in followed:
                    shown.append((score.score, frame.pts_s, hue.of(frame)))
                    tick(len(shown), hint)
        score_n, time_n, colour_n = np.array(shown).reshape(-1, 3).T
        scores.append(score_n)
        times.append(time_n)
        lights.append(lights_of(colour_n, time_n))
    return calibrate(scores, times, alarms_per_day, modes=lights)
