"""Which footage a training decodes: decided once, kept for a resume, told to the user.

All of it where it fits into the cache and the time; else stretches spread over all of the time
(`data.footage`).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from oddframe.atomic import write_atomic, write_json
from oddframe.bars import counting
from oddframe.data.dataset import Video
from oddframe.data.decode import Take
from oddframe.data.footage import (
    EASY,
    FASTEST,
    LEAD_FPS,
    LEAD_S,
    STRETCH,
    Stretch,
    Surveyed,
    frames_of,
    learned_rate,
    range_in_use,
    stretches,
    survey,
)
from oddframe.data.frames import FrameStore
from oddframe.errors import ConfigError, RunError
from oddframe.sources.stamps import DEFAULT_FPS
from oddframe.train.budget import Budget
from oddframe.train.split import MOST_HELD

PLAN = "footage.json"
TABLE = "footage.csv"
GB = 10**9
FOR_FRAMES = 0.98
"""Of the cache; the rest is for states and weights."""
DECODING = 0.2
"""Share of the time that decoding may take."""
FEWEST_ASIDE = 12
"""Stretches kept aside, at least, whatever time there is: one hour is not the day."""
LOOKING = 0.15
"""Share of the time that looking at the frames kept aside may take."""


@dataclass(frozen=True, slots=True)
class Footage:
    """What `fit` learns from."""

    data: str | Path
    """Data-set root, folder of videos or frame folders, or one video; labels are not read."""
    flow: str | Path | None = None
    """Folder of flow files, for a model that takes its flow from them."""
    fps: float | None = None
    """Frames per second to learn at, and of frame folders, which cannot say it (default: the
    footage's own, up to 30)."""
    cache_gb: float = 4.0
    """Disk for decoded frames, in GB."""
    allow_short: bool = False
    """Accept video files that are cut short."""

    def check(self) -> None:
        """Raise ConfigError for values out of range; `Reading` does so for the rate."""
        if not self.cache_gb > 0:
            raise ConfigError(f"--cache must be above 0 GB, found {self.cache_gb:g}.")


@dataclass(frozen=True, slots=True)
class Taken:
    """The plan of a run."""

    take: Take
    fps: float | None
    """The rate that is learned at."""
    text: str
    """What is taken, in words."""
    most_held: int = MOST_HELD
    """Frames to keep aside, at most."""
    used: tuple[int, int] | None = None
    """Values of 16-bit pictures that become 0 and 255."""

    def write(self, folder: Path) -> None:
        """Keep it for a resume."""
        write_json(folder / PLAN, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Taken:
        """What an interrupted run had planned.

        Raises:
            RunError: it cannot be read.
        """
        try:
            known: dict[str, Any] = json.loads((folder / PLAN).read_text("utf8"))
            plan = known["take"]["stretches"]
            parts = None if plan is None else tuple(Stretch(**stretch) for stretch in plan)
            take = Take(known["take"]["fps"], parts)
            used = None if known["used"] is None else tuple(known["used"])
            return cls(take, known["fps"], known["text"], known["most_held"], used)
        except (OSError, ValueError, KeyError, TypeError):
            raise RunError(
                f"{folder / PLAN} is missing or damaged: this run cannot be resumed."
            ) from None


@dataclass(frozen=True, slots=True)
class Speed:
    """What a plan has to fit into."""

    size: int
    """Rows and columns of the stored frames."""
    shortest: int
    """Frames that a stretch needs to be of any use."""
    share: float
    """Of the footage, to keep aside."""
    frame_s: float | None
    """Seconds that scoring a frame takes; None where no clock ends the run."""
    aside: int
    """Frames of a stretch that is kept aside."""


def plan(
    videos: Sequence[Video], footage: Footage, budget: Budget, speed: Speed, seed: int,
    console: Console,
) -> Taken:  # fmt: skip
    """Look at all videos and decide.

    With flow from files it is all of them as they are: each file is of one frame and the next.

    Raises:
        SourceError: one cannot be opened.
        DatasetError: they are too short.
        ConfigError: they cannot be taken as they are.
    """
    whole = footage.flow is not None
    with counting("looking at the footage", console, "videos") as tick:
        seen = survey(videos, speed.size, lambda done: tick(done, len(videos)))
    fps = learned_rate(seen, footage.fps, math.inf if whole else FASTEST)
    rate_taken = None if whole else fps
    most_held = _most_held(budget, speed)
    total, room = frames_of(seen, rate_taken), _room(seen, footage, budget, speed)
    if whole:
        _check_whole(seen, footage, total, speed)
    hours = sum(s.length_s for s in seen) / 3600
    assumed = f"{DEFAULT_FPS:g} frames/s: nothing says so, give --fps"
    if total <= room or whole:
        rate = f" at {fps:.3g} frames/s" if fps is not None else f", if it has {assumed}"
        text = f"all {total} frames ({hours:.2g} h{rate})"
        return Taken(Take(rate_taken), fps, text, most_held, range_in_use(seen))
    rate_s = fps or seen[0].fps
    length = max(STRETCH, 4 * speed.shortest)
    aside = max(most_held, FEWEST_ASIDE * speed.aside)
    held = 0 if not speed.share else min(round(speed.share * room), aside)
    room -= round(held / speed.aside * LEAD_S * LEAD_FPS)
    with counting("choosing stretches", console, "stretches") as tick:
        parts = stretches(seen, rate_s, room, held, seed, tick, (length, speed.aside))
    frames = sum(s.frames for s in parts)
    text = (
        f"{len(parts)} stretches of {length} frames, {100 * frames / total:.2g} % of {hours:.3g} h "
        f"at {rate_s:.3g} frames/s, one from every {60 * hours / len(parts):.2g} min, half of them "
        f"where something moves; {sum(s.held for s in parts)} of them, of {speed.aside} "
        "frames, kept aside"
    )
    return Taken(Take(fps, tuple(parts)), fps, text, most_held, range_in_use(seen))


def _check_whole(seen: Sequence[Surveyed], footage: Footage, frames: int, speed: Speed) -> None:
    """Refuse a rate, or a cache, that would leave frames out which have a flow file."""
    asked = footage.fps
    for s in seen:
        if asked is not None and not math.isclose(s.fps, asked, rel_tol=0.01):
            raise ConfigError(
                f"--fps {asked:g} does not go with --flow: {s.video.name} has {s.fps:.4g} "
                "frames/s, and each flow file is of one frame and the next. Leave --fps out."
            )
    needed = frames * _frame_bytes(seen, speed) / GB
    if needed > FOR_FRAMES * footage.cache_gb:
        raise ConfigError(
            f"With --flow all {frames} frames are taken, which need {needed:.2g} GB; the cache is "
            f"--cache {footage.cache_gb:g}. Give --cache {needed / FOR_FRAMES + 0.05:.1f}, or less "
            "footage."
        )


def _frame_bytes(seen: Sequence[Surveyed], speed: Speed) -> int:
    return speed.size**2 * (1 if all(s.grey for s in seen) else 3)


def _room(seen: Sequence[Surveyed], footage: Footage, budget: Budget, speed: Speed) -> int:
    """Frames that there are disk and time for."""
    room = int(FOR_FRAMES * footage.cache_gb * GB / _frame_bytes(seen, speed))
    if budget.minutes is None:
        return room
    each_s = sum(s.frame_s * s.length_s for s in seen) / sum(s.length_s for s in seen)
    timed = int(DECODING * 60 * budget.minutes / max(each_s, 1e-6))
    return min(room, max(EASY, timed))


def _most_held(budget: Budget, speed: Speed) -> int:
    """Frames that there is time to look at twice at the end."""
    if budget.minutes is None or speed.frame_s is None:
        return MOST_HELD
    looked = LOOKING * 60 * budget.minutes / (2 * speed.frame_s)
    return int(min(MOST_HELD, max(looked, 4 * speed.shortest)))


def write_table(out: Path, store: FrameStore) -> None:
    """RUN/footage.csv: every stretch that was decoded, for people and spreadsheets."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "start_s", "frames", "fps", "kept_aside"])
    for v in (v for v in store.videos if not v.lead):
        held = "" if v.held is None else int(v.held)
        name = v.name.encode("utf8", "replace").decode("utf8")
        writer.writerow([name, f"{v.start_s:.3f}", v.stop - v.start, f"{v.fps:g}", held])
    write_atomic(out / TABLE, lambda path: path.write_text(text.getvalue(), "utf8"))
