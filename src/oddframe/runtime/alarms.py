"""The alarms of a recording, as `oddframe watch` would have told them.

    alarms = Alarms(detector.scorer.scene or {})
    for frame, score, _ in detector.observe(source): alarms.take(score, info)
    for alarm in alarms.finish(): ...

One begins at level 1 and is over when no level was at 0.8 or more for 10 s (`events.rules`): what a
rate of alarms a day counts are peaks that far apart (`calibration.calibrate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from oddframe.atomic import write_json
from oddframe.events.event import Box, Event
from oddframe.events.rules import Rules
from oddframe.events.tracker import Moment, Tracker
from oddframe.events.why import factors_of, streams_of
from oddframe.scoring.scene import StreamScene
from oddframe.types import Score, SourceInfo


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm of a recording."""

    start_s: float
    """First frame in alarm, in seconds of the recording."""
    end_s: float
    """Last one at a level of 0.8 or more (`Rules.keep_level`)."""
    peak_s: float
    peak_frame: int
    level: float
    """At the peak: 1 or more."""
    score: float
    box: Box | None
    """The hottest place at the peak, in pixels of the source."""
    reasons: tuple[str, ...]
    """Which stream spoke at the peak, in words, the loudest first."""


class Alarms:
    """Takes scores one by one and gives the alarms.

    Args:
        scene: ranges of the streams, for the words.
    """

    def __init__(self, scene: Mapping[str, StreamScene]) -> None:
        self._spread = spread_of(scene)
        self._tracker = Tracker("", Rules())
        self._frames = dict[float, int]()
        """Frames that may be an alarm's peak, by when they were shown."""
        self._found = list[Alarm]()

    def take(self, score: Score, info: SourceInfo) -> None:
        """The score of the next frame; without a threshold there are no alarms."""
        if score.threshold is None:
            return
        told = self._tracker.take(Moment(
            score.pts_s, score.pts_s, score.level, score.score, score.threshold,
            streams_of(score.terms), score.heat, info.width, info.height,
            factors_of(score.terms, self._spread),
        ))  # fmt: skip
        self._keep(told)
        if score.alarm:
            self._frames[score.pts_s] = score.index

    def finish(self) -> list[Alarm]:
        """All of them, in order of time; the recording is over."""
        self._keep(self._tracker.close("stopped"))
        return self._found

    def _keep(self, told: Sequence[Event]) -> None:
        for event in told:
            if event.end_utc is None:
                continue
            # The peak's time is the start's and what passed, so rounded: the nearest is meant.
            peak_s = min(self._frames, key=lambda t: abs(t - event.peak_utc))
            frame = self._frames[peak_s]
            self._frames.clear()
            self._found.append(Alarm(
                event.start_utc, event.end_utc, peak_s, frame, event.peak_level, event.peak_score,
                event.boxes[0] if event.boxes else None, event.reasons,
            ))  # fmt: skip


def spread_of(scene: Mapping[str, StreamScene] | None) -> float | None:
    """Deviation of the logarithm of normal speeds, for `events.why.factors_of`; None: unknown."""
    return scene["flow"].std if scene and "flow" in scene else None


def write_alarms(path: Path, alarms: Sequence[Alarm]) -> None:
    """Write {"events": [...]}: what `Alarm` holds of each, in order of time.

    Raises:
        RunError: it cannot be written; nothing is left half-written.
    """
    write_json(path, {"events": [asdict(alarm) for alarm in alarms]})
