"""One camera at work: what its reader gives becomes looks, and what is scored of them its desk's.

    looks = camera.ready(frame)         # any thread: pixels, optical flow
    camera.scored(looks, scores)        # the engine's: tracker, store

Everything that the score of the next frame depends on lies in `state` and `past`; behind a break
both begin anew, so that nothing is scored until the history is full again.

A camera without a RUN is only shown: its frames are a `view`, and nothing else.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError
from oddframe.events.event import Ended
from oddframe.events.why import factors_of
from oddframe.events.zones import Mask, Zone, check_picture, hidden
from oddframe.runtime.alarms import spread_of
from oddframe.runtime.detector import Detector
from oddframe.runtime.familiar import Familiar
from oddframe.runtime.looks import Rhythm
from oddframe.runtime.watch.absence import Absence
from oddframe.runtime.watch.desk import FAILED, ZONES, Desk, Look
from oddframe.runtime.watch.feed import Break, LiveFrame
from oddframe.runtime.watch.intake import size_of
from oddframe.runtime.watch.reader import Reader
from oddframe.runtime.watch.site import CameraConfig
from oddframe.runtime.watch.status import State, Status
from oddframe.runtime.watch.threshold import Threshold
from oddframe.runtime.watch.view import Recent, View
from oddframe.scoring.lag import Lag, frames_of
from oddframe.scoring.masks import cells_of
from oddframe.scoring.seen import Preprocessed, ScorerState
from oddframe.scoring.spots import Spots
from oddframe.scoring.usual import Past
from oddframe.scoring.ways import GRID
from oddframe.types import Score

log = logging.getLogger("oddframe.runtime.watch")

ENDS: dict[Break, Ended] = {
    "start": "lost", "lost": "lost", "size": "changed", "changed": "changed",
}  # fmt: skip
"""Breaks behind which an open event is over. Behind others (a frame was damaged, the machine was
too slow for a second) it is the same scene, and the event may go on when the history is full."""

OVER = (State.DOWN, State.ENDED, State.STOPPED)


@dataclass(frozen=True, slots=True)
class Ready:
    """A frame, and what the model is to look at of it: once, or as often as its rate asks for."""

    frame: LiveFrame
    looks: tuple[Preprocessed, ...]


class Camera:
    """A reader, the state of its scores, and its desk; all but `ready` is of the engine's thread.

    Args:
        detector: shared by all cameras of a RUN; None: there is no RUN for it yet.
        reader: not yet started.
        desk: of the same camera.
        config: masks and zones.
        threshold: of the same camera.
    """

    def __init__(
        self, detector: Detector | None, reader: Reader, desk: Desk, config: CameraConfig,
        threshold: Threshold,
    ) -> None:  # fmt: skip
        self.name = reader.camera
        self._detector, self.reader, self.desk = detector, reader, desk
        self.threshold = threshold
        self.state: ScorerState
        """Of one that has a RUN."""
        if detector is not None:
            self.state = replace(detector.init_state(), pardon=desk.pardons)
        self.mask: NDArray[np.bool_] | None = None
        """(size, size): True where nothing is scored; None without masks."""
        self.fault = ""
        """Why its frames cannot be scored, in words; "" where they can."""
        self.up = False
        self.view = View()
        """Its newest frame; any thread may read it."""
        self.recent = Recent()
        self._config = config
        self._heard: deque[Status] = deque()
        self._past, self._rhythm = Past(), self._anew()
        self._size = (0, 0)
        self._lag: Lag[tuple[LiveFrame, Score, Spots]] = Lag(0)
        self._place = Familiar.of(None if detector is None else detector.scorer.usual)
        self._absence = Absence(self.name, config.detect.offline_s)
        self._left_out = reader.feed.left_out
        """Frames that were not looked at, up to the look before."""
        self._rated(reader.fps)

    @property
    def fitted(self) -> bool:
        """Whether it has a RUN; one that has none is shown, and not scored."""
        return self._detector is not None

    @property
    def detector(self) -> Detector:
        """What scores it.

        Raises:
            ConfigError: it has no RUN yet.
        """
        if self._detector is None:
            raise without_run(self.name)
        return self._detector

    @property
    def run(self) -> str:
        """Hash of the weights that score it; "" without a RUN."""
        return self.desk.tracker.run

    def follow(self, before: Camera) -> None:
        """Be what another was until now, of the same reader: with its last picture and scores."""
        self.view, self.recent, self.up = before.view, before.recent, before.up
        self._heard, self._absence = before._heard, before._absence

    def shown(self, frame: LiveFrame) -> None:
        """A frame that is not scored."""
        self._size = size_of(frame.picture)
        self.view = View(frame)

    def begins(self, frame: LiveFrame) -> bool:
        """Before a frame is looked at: forget what it cannot be compared with. Whether it can be
        scored; where it cannot it is shown."""
        if frame.gap:
            self._begin_anew(frame)
        size = size_of(frame.picture)
        if size != self._size:
            self._size = size
            self._fitted(*size)
        if self.fault:
            self.shown(frame)
            return False
        self.desk.pardons.expect(frame, self.threshold.now)
        return True

    def _begin_anew(self, frame: LiveFrame) -> None:
        """What waits for its score is of before, and of the size of then."""
        self._forget()
        ended = ENDS.get(frame.why or "damage")
        if ended is not None:
            self._place = Familiar.of(self.detector.scorer.usual)
            self._silent(ended, str(frame.why), frame.t_utc)

    def _forget(self) -> None:
        """What comes cannot be compared with what was."""
        self.state = self.detector.scorer.restart(self.state)
        self._past, self._rhythm = Past(), self._anew()
        self._late()

    def _late(self) -> None:
        """What waits for its score gets it by what there is."""
        for known, value in self._lag.flush():
            self._to_desk(*known, value)

    def failed(self) -> None:
        """Something went wrong with a frame: what comes begins anew."""
        self._silent("lost", FAILED, time.time())

    def ready(self, frame: LiveFrame) -> Ready:
        """All about a frame that needs no model; one thread at a time for each camera."""
        scorer, found = self.detector.scorer, list[Preprocessed]()
        times, steps = self._rhythm.next(frame, self.reader.fps)
        for _ in range(times):
            found.append(scorer.preprocess(frame.picture, self._past, steps=steps))
            self._past = found[-1].past
        return Ready(frame, tuple(found))

    def scored(self, frame: LiveFrame, scores: Sequence[Score]) -> None:
        """The scores of all looks at a frame."""
        meters = self.desk.meters
        now = time.monotonic()
        meters.looked += 1
        meters.rate.add(now)
        score = replace(self.detector.scorer.mean(scores), pts_s=frame.pts_s)
        spots = self.desk.pardons.taken()
        for known, value in self._lag.push((frame, score, spots), score.score):
            self._to_desk(*known, value)
        elsewhere = self._place.take(frame.picture)
        if elsewhere is not None:
            log.warning("%s: %s", self.name, elsewhere, extra={"camera": self.name})
        if frame.arrived_s is not None:
            meters.age.add(time.monotonic() - frame.arrived_s)

    def listen(self) -> list[Status]:
        """Take in what its reader has to tell, and give it; the end of a source once its last frame
        was taken."""
        self._heard += self.reader.news()
        taken = list[Status]()
        while self._heard:
            over = self._heard[0].state in OVER
            if over and self.reader.feed.waiting_s() is not None:
                break
            taken.append(self._heard.popleft())
            self._hear(taken[-1])
        return taken

    def _hear(self, status: Status) -> None:
        up = status.state is State.RUNNING
        self._rated(status.fps)
        if status.state in OVER:
            why = status.why or status.state.value
            self._silent("lost", why, time.time())
            if status.words:
                log.warning("%s is %s: %s", self.name, status.state.value, status.words,
                            extra={"camera": self.name, "why": why})  # fmt: skip
        elif status.unsettled is not None:
            self._silent("changed", status.unsettled, time.time())
            log.warning("%s: the picture became another one (%s); no scores until it is steady",
                        self.name, status.unsettled,
                        extra={"camera": self.name, "why": status.unsettled})  # fmt: skip
        elif up and not self.up:
            rate = f" at {status.fps:.3g} frames/s" if status.fps else ""
            log.info("%s: %s gives %dx%d%s", self.name, status.source, status.width,
                     status.height, rate, extra={"camera": self.name})  # fmt: skip
        self.up = up

    @property
    def threshold_now(self) -> float:
        """The score of the alarm in the light that it was last seen in."""
        return self.threshold.now

    def tend(self) -> None:
        """Now and then: what a full disk kept back, and whether it is away."""
        self.desk.tend()
        threshold = self.threshold_now if self.fitted else math.nan
        known = threshold if math.isfinite(threshold) else 0.0
        event = self._absence.look(self.reader.status(), known, self._size)
        if event is not None:
            self.desk.write(event)

    def end(self, why: Ended, words: str = "") -> None:
        """Nothing more comes: what waits is told, what is open is closed.

        words: why there is no score from now on, where `why` does not say it.
        """
        event = self._absence.end(why)
        if event is not None:
            self.desk.write(event)
        self._silent(why, words or why, time.time())

    def let_go(self, why: Ended, words: str = "") -> None:
        """`end` it while others go on: what cannot be written now is said, and lost."""
        self.end(why, words)
        self.desk.tend()
        self.desk.give_up()

    def redraw(self, zones: Sequence[Zone], mask: Sequence[Mask]) -> None:
        """Other zones and masks from now on; an open event keeps what it touched."""
        self._config = self._config.model_copy(update={"zones": tuple(zones), "mask": tuple(mask)})
        self.desk.tracker.zones = tuple(zones)
        faulty = bool(self.fault)
        if self.fitted and self._size != (0, 0):
            self._fitted(*self._size)
        if faulty and not self.fault:  # what was seen before is no past of what is seen now
            self._forget()

    def _silent(self, why: Ended, words: str, t_utc: float) -> None:
        """No score from now on, and the past is gone; without a RUN there never was one.

        What is forgotten takes memory: a state may hold what all cameras of a call shared."""
        if self.fitted:
            self._forget()
            self.desk.silent(why, words, t_utc)
            self.recent.blind(t_utc)

    def _fitted(self, width: int, height: int) -> None:
        """Masks and zones on a picture of another size than before."""
        config = self._config
        try:
            check_picture((*config.zones, *config.mask), width, height)
            mask = mask_on(config.mask, width, height, self.detector)
        except ConfigError as error:
            if not self.fault:
                log.error("%s is not scored: %s", self.name, error, extra={"camera": self.name})
                self._silent("changed", ZONES, time.time())
            self.fault = str(error)
            return
        self.fault, self.mask = "", mask

    def _anew(self) -> Rhythm:
        """Frames of cameras are taken when they are due (`pace`), and each of those is looked at;
        of files that are not played in real time each frame comes."""
        learned = None if self._detector is None else self._detector.info.fps
        live = self.reader.feed.live
        return Rhythm(learned, live, least=int(live))

    def _rated(self, fps: float) -> None:
        """So many frames come in a second, 0: not known. How long a delay and a pause are goes by
        those that are scored."""
        if self._detector is None:
            return
        scored_fps = min((f for f in (self._detector.info.fps, fps) if f), default=None)
        if scored_fps is not None:
            self.reader.feed.expect(scored_fps)
        frames = frames_of(self._detector.score_config.lag_s, scored_fps)
        if frames != self._lag.frames:
            self._late()
            self._lag = Lag(frames)

    def _to_desk(self, frame: LiveFrame, score: Score, spots: Spots, value: float) -> None:
        value = score.score if math.isnan(value) else value
        threshold = self.threshold.of(frame)
        score = score.against(threshold, value)
        width, height = self._size
        before, self._left_out = self._left_out, self.reader.feed.left_out
        self.desk.take(
            Look(frame.picture, frame.t_utc, frame.pts_s, score, threshold, width, height,
                 factors_of(score.terms, spread_of(self.detector.scorer.scene)), spots,
                 self._left_out - before)
        )  # fmt: skip
        tracker, opened = self.desk.tracker, self.desk.tracker.open
        # While alarms are off nobody is told what is odd: nothing says what of it is normal.
        learned = score.score if tracker.may(frame.t_utc) else math.nan
        self.threshold.take(
            learned, frame.pts_s, alarmed=opened is not None, since_s=tracker.since_s
        )
        # First: who sees the view finds its row.
        self.recent.add(frame.t_utc, score.level, score.score)
        self.view = View(frame, score, threshold, None if opened is None else opened.id)


def mask_on(
    masks: Sequence[Mask], width: int, height: int, detector: Detector | None
) -> NDArray[np.bool_] | None:
    """(size, size): True where nothing is scored; None without masks.

    width, height: of the source's picture. detector: None where there is no RUN yet.

    Raises:
        ConfigError: nothing is left to score.
    """
    if not masks:
        return None
    size = GRID if detector is None else detector.info.size
    mask = hidden(masks, width, height, size)
    for side in (size, GRID):  # of the maps of all streams
        cells_of(mask, (side, side))
    return mask


def without_run(camera: str) -> ConfigError:
    """What is said where a RUN is needed and there is none."""
    return ConfigError(
        f"Camera {camera} has no RUN yet, so nothing of it is scored: record what is normal in "
        "front of it and fit one, or give it one that is there."
    )
