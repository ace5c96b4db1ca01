"""Many stretches of footage at once: side by side, one call of the model for all.

    lanes, each with a stretch -> the next look of every lane -> Scorer.step_batch -> lanes

A small model spends much of a frame on calling. `m2s2l-edge` at 128 px, one busy core with AVX2,
from file to score: 37 ms a frame in one lane, 23 in 4, 20 in 8 and in 16. A lane that has
come to its end takes the next stretch, so that none waits.
The short twin is `score_stretch`: one stretch, frame by frame, the same scores to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oddframe.calibration.light import LOOK_S, SMALL_PX, colourfulness
from oddframe.data.dataset import Video
from oddframe.runtime.detector import Detector
from oddframe.scoring.lag import centred_median
from oddframe.scoring.seen import Preprocessed, ScorerState
from oddframe.sources import Source
from oddframe.sources.base import Later
from oddframe.types import Frame, Score

Floats = NDArray[np.float64]
LANES = 8
"""Stretches at a time: twice as many bring nothing more and take twice the memory."""
FEWEST = 64
"""Frames that every lane goes on for when it is stopped: of none at all nothing follows."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of one video."""

    video: Video
    start_s: float
    stop_s: float
    """Excluded; infinite for the last one."""
    video_s: float
    """Length of the video."""

    @property
    def length_s(self) -> float:
        """Seconds in it."""
        return min(self.stop_s, self.video_s) - self.start_s


@dataclass(frozen=True, slots=True)
class Scored:
    """The frames of a stretch (n,): their scores, NaN where there is none, and their times."""

    score: Floats
    time_s: Floats
    colour: Floats
    """How much colour there is (`calibration.light`), looked at once a second."""
    whole: bool = True
    """Not stopped on the way."""


def score_stretch(detector: Detector, stretch: Stretch) -> Scored:
    """One stretch alone, frame by frame."""
    scores, times, colours, hue = [], [], [], Hue()
    with stretch.video.open() as source:
        early = Later(source, _early_s(detector, source, stretch))
        with closing(detector.follow(early)) as found:
            for frame, score in found:
                if frame.pts_s >= stretch.stop_s:
                    break
                colour = hue.of(frame)
                if frame.pts_s >= stretch.start_s:
                    scores.append(score.score)
                    times.append(frame.pts_s)
                    colours.append(colour)
    return Scored(np.array(scores), np.array(times), np.array(colours))


class Hue:
    """How much colour the frames of one source have, by a look a second."""

    def __init__(self) -> None:
        self._at_s, self._value = -math.inf, math.nan

    def of(self, frame: Frame) -> float:
        """Of the next frame: its own, or that of the last look."""
        if frame.gap or frame.pts_s - self._at_s >= LOOK_S:
            self._at_s = frame.pts_s
            self._value = colourfulness(frame.at(SMALL_PX))
        return self._value


def score_together(
    detector: Detector,
    take: Callable[[], tuple[int, Stretch] | None],
    give: Callable[[int, Scored], None],
    stopped: Callable[[], bool] = lambda: False,
    lanes: int = LANES,
) -> None:
    """Stretches until there are no more, `lanes` of them at a time.

    Args:
        detector: whose scores they are.
        take: the next stretch and its number; None: there are no more.
        give: called with the number and the scores of each as it is done.
        stopped: whether to end here: what is on its way is given as far as it is.
        lanes: how many at a time.

    Raises:
        SourceError: a video cannot be read.
    """
    running: list[_Lane] = []
    try:
        more = True
        while True:
            while more and len(running) < lanes:
                taken = take()
                if taken is None:
                    more = False
                else:
                    running.append(_Lane(detector, *taken))
            more = more and not stopped()
            asking = []
            for lane in running:
                if lane.asks():
                    asking.append(lane)
                else:
                    lane.close()
                    give(lane.number, lane.found())
            running = asking
            if stopped() and all(lane.frames >= FEWEST for lane in running):
                for lane in running:
                    give(lane.number, lane.found(whole=False))
                return
            if asking:
                states, scores = detector.scorer.step_batch(
                    [lane.state for lane in asking],
                    [lane.look for lane in asking],
                    [lane.pts_s for lane in asking],
                    heat=False,
                )
                for lane, state, score in zip(asking, states, scores, strict=True):
                    lane.answer(state, score)
            elif not more:
                return
    finally:
        for lane in running:
            lane.close()


class _Lane:
    """One stretch on its way: asks for the score of a look, until it is at its end.

    What `Detector.observe` does with a source, cut where a score is wanted.
    """

    def __init__(self, detector: Detector, number: int, stretch: Stretch) -> None:
        self.number, self.state = number, detector.init_state()
        self.look: Preprocessed
        self.pts_s = 0.0
        self._scorer, self._stretch = detector.scorer, stretch
        self._looks: Iterator[Preprocessed] = iter(())
        self._of_frame: list[Score] = []
        self._score: Score | None = None
        self._scores: list[float] = []
        self._times: list[float] = []
        self._colours: list[float] = []
        self._hue, self._colour = Hue(), math.nan
        with ExitStack() as stack:
            source = stack.enter_context(stretch.video.open())
            self._lag = detector.lag(source.info).frames
            early = Later(source, _early_s(detector, source, stretch))
            self._frames = stack.enter_context(closing(detector.looks(early)))
            self._opened = stack.pop_all()
        self._begun = False

    def asks(self) -> bool:
        """Go on to the next look that has no score; False: the stretch is at its end."""
        while (look := next(self._looks, None)) is None:
            self._end_frame()
            frame, looks = next(self._frames, (None, []))
            if frame is None or frame.pts_s >= self._stretch.stop_s:
                return False
            if frame.gap:
                self.state = self._scorer.restart(self.state)
            self._colour = self._hue.of(frame)
            self._begun, self.pts_s, self._looks = True, frame.pts_s, iter(looks)
        self.look = look
        return True

    def answer(self, state: ScorerState, score: Score) -> None:
        """The score of the look that was asked for."""
        self.state = state
        self._of_frame.append(score)

    @property
    def frames(self) -> int:
        """Frames that are done."""
        return len(self._scores)

    def found(self, whole: bool = True) -> Scored:
        """The scores of the stretch, as far as it is."""
        scores = centred_median(np.array(self._scores), self._lag)
        return Scored(scores, np.array(self._times), np.array(self._colours), whole)

    def close(self) -> None:
        """Let go of the video."""
        self._opened.close()

    def _end_frame(self) -> None:
        """The frame that all looks were of has its score; one that has none keeps the last."""
        if self._of_frame:
            self._score, self._of_frame = self._scorer.mean(self._of_frame), []
        if self._begun and self.pts_s >= self._stretch.start_s:
            self._scores.append(math.nan if self._score is None else self._score.score)
            self._times.append(self.pts_s)
            self._colours.append(self._colour)
        self._begun = False


def _early_s(detector: Detector, source: Source, stretch: Stretch) -> float:
    """Where to begin so that the history is full at the first frame that counts."""
    if stretch.start_s <= 0:
        return 0.0
    pace = detector.pacer(source.info)
    fps = source.info.fps if pace is None else min(pace.fps, source.info.fps)
    # Frames that the history takes, and one for stamps that are not even.
    return max(0.0, stretch.start_s - ((detector.info.overlap or 0) + 2) / fps)
