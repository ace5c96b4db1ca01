"""After the last step: what there is to know of the footage, most of it of what was kept aside.

The scene's normal range, a first threshold, and whether more was learned than to copy.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from oddframe.bars import counting
from oddframe.calibration.calibrate import calibrate
from oddframe.data.blobs import Sizes
from oddframe.data.frames import FrameStore
from oddframe.data.made.cuts import Cuts, cut_out
from oddframe.device import pick_device
from oddframe.errors import RunError
from oddframe.models.base import VADModel
from oddframe.models.in_use import in_use, items_in_use
from oddframe.pictures import resize_bgr
from oddframe.scoring.lag import centred_median, frames_of
from oddframe.scoring.look import SIZE_PX, Grey, Looks
from oddframe.scoring.scene import SceneFit, StreamScene
from oddframe.scoring.scorer import PEAK, Scorer
from oddframe.scoring.seen import Observation, Preprocessed, ScorerState
from oddframe.scoring.selftest import (
    CLIPS,
    SelfTest,
    clip_frames,
    frames_of_a_clip,
    selftest,
)
from oddframe.scoring.settings import ScoreConfig
from oddframe.scoring.stay import MOST_S
from oddframe.scoring.usual import MOST, Fitted, Past, Usual, fit_usual, led
from oddframe.train.module import Batches
from oddframe.train.split import Span, Split
from oddframe.types import Image

TIMED = 8
"""Frames that the speed is measured on."""
OF_A_FRAME = 0.5
"""What looking for what is usual, or for what moves, takes of what scoring a frame takes."""
CUT, CUT_FROM = 250, 4000
"""Frames of one piece that things are cut out of, and of all pieces, about."""
SEEN_AGAIN = 16
"""Stretches of the footage that trained, each a clip of the self-test long, that the range of the
model's streams is of too: what is kept aside of little footage is a moment or two of it."""
LOOKED = 4
"""Frames that are looked at for what is usual, by those whose motion is."""
FIRST_ALARMS_PER_DAY = 1.0
"""What the threshold that fit leaves behind aims at; `calibrate` sets another."""

Tick = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a RUN holds beside weights."""

    scene: dict[str, StreamScene]
    calibration: dict[str, Any]
    psnr_db: float
    """Of the frames kept aside as the model draws them, of their mean squared error."""
    copied_psnr_db: float
    """The same of each frame's predecessor, taken for the frame itself."""
    memory: dict[str, dict[str, int]]
    """Per memory of the model its `items`, and how many of them are the nearest of any query."""
    usual: Usual | None
    """What is usual in the scene; None without flow."""
    selftest: SelfTest | None
    """None where nothing moves, or there was no time."""

    def learned(self) -> dict[str, Any]:
        """What was learned, for the card."""
        facts: dict[str, Any] = {
            "psnr_db": round(self.psnr_db, 2), "copied_psnr_db": round(self.copied_psnr_db, 2),
        }  # fmt: skip
        if self.memory:
            facts["memory"] = self.memory
        if self.selftest is not None:
            facts["selftest"] = self.selftest.to_json()
        return facts


def frame_seconds(net: VADModel, config: ScoreConfig, device: str) -> float:
    """Seconds that scoring one frame takes here, by a few made ones."""
    scorer = Scorer(net, config, device=pick_device(device))
    image = np.random.default_rng(0).integers(0, 256, (net.size, net.size, 3), np.uint8)
    shape = (net.carried, net.size, net.size)
    carried = np.zeros(shape, np.float32) if net.carried else None
    state, taken = scorer.init_state(), list[float]()
    for i in range(net.history + TIMED):
        began = time.perf_counter()
        moved = np.roll(image, i, axis=1)
        state, _ = scorer.observe(state, scorer.preprocess(moved, state.past, carried))
        taken.append(time.perf_counter() - began)
    net.train()
    return float(np.median(taken[-TIMED:]))


def seen_again(split: Split, history: int = 16) -> int:
    """How many stretches of what trained are looked at: `SEEN_AGAIN`, or all of it once."""
    if split.in_training:  # what was kept aside trained as well
        return 0
    return min(SEEN_AGAIN, sum(len(span) // clip_frames(history) for span in split.train))


@dataclass(frozen=True, slots=True)
class Spent:
    """What the end may take, where time is short."""

    moving_frames: int = MOST
    """Frames whose motion is looked at for what is usual."""
    clips: int = CLIPS
    """Of the self-test; 0: none."""

    @classmethod
    def within(cls, seconds: float, frame_s: float) -> Spent:
        """A tenth of the time for what is usual, a twentieth for the self-test."""
        moving = int(0.1 * seconds / (OF_A_FRAME * frame_s))
        clips = int(0.05 * seconds / (frame_s * frames_of_a_clip()))
        return cls(min(MOST, max(500, moving)), min(CLIPS, clips // 3 * 3))

    def seconds(self, frame_s: float, split: Split) -> float:
        """What the end takes, about."""
        footage = sum(map(len, (*split.train, *split.held)))
        moving = OF_A_FRAME * (min(self.moving_frames, footage) + min(CUT_FROM, footage))
        scored = 2 * sum(map(len, split.held)) + self.clips * frames_of_a_clip()
        scored += seen_again(split) * clip_frames()
        return frame_s * (scored + moving)


def finish(
    net: VADModel, config: ScoreConfig, footage: Batches, split: Split, device: str,
    console: Console, spent: Spent,
) -> Finished:  # fmt: skip
    """Look at all footage for what is usual, at what was kept aside (and some of what trained) for
    the learned streams' range, at that alone for the threshold, and at made anomalies in it."""
    look = _Look(net, config, footage, split, str(pick_device(device)), console)
    cuts = look.cut() if config.flow or config.body_sizes else None
    sizes = cuts.sizes if cuts is not None and config.body_sizes else None
    fitted = look.usual(sizes, spent.moving_frames) if config.flow else None
    scene, drawn, copied, memory = look.learned(sizes)
    if fitted is not None:
        scene |= fitted.scene
    calibration = look.threshold(scene, fitted)
    found = None
    if cuts is not None and spent.clips and not net.carried:
        found = look.selftest(scene, calibration, fitted, cuts, spent.clips)
    return Finished(
        scene, calibration, drawn, copied, memory,
        None if fitted is None else fitted.usual, found,
    )  # fmt: skip


class _Look:
    """A trained model and its footage."""

    def __init__(
        self, net: VADModel, config: ScoreConfig, footage: Batches, split: Split, device: str,
        console: Console,
    ) -> None:  # fmt: skip
        self.net, self.config, self.footage, self.device = net, config, footage, device
        spans = split.held if split.in_training else (*split.train, *split.held)
        self.all = tuple(sorted(spans, key=lambda s: s.start))
        self.split, self.held, self.console = split, split.held, console
        self._looked: tuple[Span, ...] = ()

    def cut(self) -> Cuts | None:
        """What moves, cut out of the footage."""
        pieces = [
            Span(at, min(at + CUT, span.stop))
            for span in self.all
            for at in range(span.start, span.stop, CUT)
        ]
        some = one_of_each(pieces, sum(map(len, pieces)) // CUT_FROM)
        with self._bar("looking for what moves", "pieces") as tick:
            return cut_out(self._ticked(some, tick))

    def _ticked(self, spans: Sequence[Span], tick: Tick) -> Iterator[list[Image]]:
        for i, span in enumerate(spans, 1):
            yield _images(self.footage.store, span)
            tick(i, len(spans))

    def usual(self, sizes: Sizes | None, most: int) -> Fitted:
        """What is usual in the scene, by every so many pieces of it where there is a lot."""
        total = sum(map(len, self.all))
        self._looked = tuple(one_of_each(self.all, round(total / (LOOKED * most))))
        pieces = [_Stored(self.footage.store, span) for span in self._looked]
        with self._bar("learning what is usual") as tick:
            return fit_usual(pieces, sizes, self._rate(), tick, most, self.config.cross_fit)

    def _rate(self) -> float:
        """Frames a second of most of the footage, whichever video comes first."""
        frames = Counter[float]()
        for span in self.all:
            frames[self.footage.store.fps_at(span.start)] += len(span)
        return max(frames, key=lambda fps: (frames[fps], fps))

    def learned(
        self, sizes: Sizes | None
    ) -> tuple[dict[str, StreamScene], float, float, dict[str, dict[str, int]]]:
        """Ranges of the model's own streams; dB drawn and copied; items of its memories in use."""
        config = self.config.model_copy(update={"flow": False})
        scorer = Scorer(self.net, config, device=self.device)
        fitting, drawn, copied, done = SceneFit(), list[float](), list[float](), 0
        again = self._clips(self.split.train, seen_again(self.split, self.net.history))
        total = sum(map(len, (*self.held, *again)))
        with self._bar("learning the scene's range") as tick:
            with items_in_use(self.net) as counts:
                for span in self.held:
                    for seen, frame, last in self._observed(scorer, span):
                        done += 1
                        tick(done, total)
                        if seen is not None and last is not None:
                            fitting.add(seen.local)
                            drawn.append(PEAK**2 / 10 ** (seen.psnr_frame / 10))
                            copied.append(float(np.square(frame - last).mean()))
            for span in again:
                for seen, _, last in self._observed(scorer, span):
                    done += 1
                    tick(done, total)
                    if seen is not None and last is not None:
                        fitting.add(seen.local, trained=True)
        return fitting.fit(sizes=sizes), _db(drawn), _db(copied), in_use(counts)

    def _observed(
        self, scorer: Scorer, span: Span
    ) -> Iterator[tuple[Observation | None, NDArray[np.float32], NDArray[np.float32] | None]]:
        """What every frame of a span shows, the frame (3, h, w) and the one before."""
        state, last = scorer.init_state(), None
        for i in range(span.start, span.stop):
            ready = _preprocessed(scorer, state, self.footage, i)
            state, seen = scorer.observe(state, ready)
            yield seen, ready.frame[:3], last
            last = ready.frame[:3]

    def threshold(self, scene: Mapping[str, StreamScene], fitted: Fitted | None) -> dict[str, Any]:
        """A first threshold. Each part is scored by what the rest of the footage says of it."""
        scores, done = list[NDArray[np.float64]](), 0
        with self._bar("finding a threshold") as tick:
            for span in self.held:
                usual = None if fitted is None else self._others(span, fitted)
                scorer = Scorer(self.net, self.config, scene, device=self.device, usual=usual)
                state, clip = self._led(scorer, span), list[float]()
                for i in range(span.start, span.stop):
                    state, score = scorer.step(state, _preprocessed(scorer, state, self.footage, i))
                    clip.append(score.score)
                    done += 1
                    tick(done, sum(map(len, self.held)))
                fps = self.footage.store.fps_at(span.start)
                scores.append(centred_median(np.array(clip), frames_of(self.config.lag_s, fps)))
        rates = [self.footage.store.fps_at(span.start) for span in self.held]
        return calibrate(scores, rates, FIRST_ALARMS_PER_DAY)

    def _led(self, scorer: Scorer, span: Span) -> ScorerState:
        """The state before a part of the footage: what stands there may have stood for long."""
        state, usual = scorer.init_state(), scorer.usual
        before = None if usual is None else _Stored(self.footage.store, span).before()
        if usual is None or before is None:
            return state
        return replace(state, past=Past(stayed=led(usual.stay, before)))

    def selftest(
        self, scene: Mapping[str, StreamScene], calibration: Mapping[str, Any],
        fitted: Fitted | None, cuts: Cuts, clips: int,
    ) -> SelfTest | None:  # fmt: skip
        """Made anomalies in what was kept aside; None where no part of it is long enough."""
        usual = None if fitted is None else fitted.usual
        threshold = float(calibration["threshold"])
        scorer = Scorer(self.net, self.config, scene, threshold, self.device, usual=usual)
        spans = self._clips(self.held, clips)
        pieces = [_images(self.footage.store, span) for span in spans]
        whole = [next(s for s in self.held if s.start <= x.start < s.stop) for x in spans]
        others = None if fitted is None else [self._others(span, fitted) for span in whole]
        with self._bar("trying made anomalies") as tick:
            try:
                return selftest(scorer, pieces, cuts, clips=clips, tick=tick, others=others)
            except RunError:
                return None

    def _clips(self, spans: Sequence[Span], clips: int) -> list[Span]:
        """As many parts as there are clips, evenly spread, each as long as one of the self-test:
        the pictures of all would be gigabytes."""
        length = clip_frames(self.net.history)
        starts = [
            (span, at)
            for span in spans
            for at in range(span.start, span.stop - length + 1, max(1, length // 4))
        ]
        some = np.unique(np.linspace(0, len(starts) - 1, clips).round().astype(int))
        return [Span(starts[i][1], starts[i][1] + length) for i in some] if starts else []

    def _others(self, span: Span, fitted: Fitted) -> Usual:
        """What the rest of the footage says of a part of it."""
        known = span in self._looked
        return fitted.parts[self._looked.index(span)] if known else fitted.usual

    def _bar(self, doing: str, unit: str = "frames") -> AbstractContextManager[Tick]:
        return counting(doing, self.console, unit)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Footage of a store, as `fit_usual` takes it."""

    store: FrameStore
    span: Span

    @property
    def frames(self) -> int:
        return len(self.span)

    def greys(self, every: int) -> Iterator[Grey]:
        for i in range(self.span.start, self.span.stop, every):
            yield self._grey(i)

    def looks(self) -> Iterator[Looks]:
        looks = Looks()
        for i in range(self.span.start, self.span.stop):
            looks.step(_bgr(self.store, i))
            yield looks

    def before(self) -> Iterator[tuple[Grey, float]] | None:
        span = self.store.before(self.span.start, MOST_S)
        return None if span is None else self._led(*span)

    def _led(self, start: int, fps: float) -> Iterator[tuple[Grey, float]]:
        return ((self._grey(i), 1 / fps) for i in range(start, self.span.start))

    def _grey(self, i: int) -> Grey:
        image = resize_bgr(_bgr(self.store, i), SIZE_PX)
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def one_of_each(pieces: Sequence[T], group: int) -> Sequence[T]:
    """One of every so many pieces in their order, drawn: a plan alternates between anywhere and
    where something moves, and by every second one there would be none of a kind."""
    if group < 2:
        return pieces
    rng = np.random.default_rng(0)
    starts = range(0, len(pieces), group)
    return [pieces[int(rng.integers(at, min(at + group, len(pieces))))] for at in starts]


def _images(store: FrameStore, span: Span) -> list[Image]:
    """Pictures as the self-test looks at them."""
    return [resize_bgr(_bgr(store, i), SIZE_PX) for i in range(span.start, span.stop)]


def _db(errors: Sequence[float]) -> float:
    """PSNR of the mean of squared errors; at most 120 dB, as `psnr_frame`."""
    mean = max(float(np.mean(errors)), PEAK**2 * 1e-12) if errors else math.nan
    return 10 * math.log10(PEAK**2 / mean)


def _preprocessed(scorer: Scorer, state: ScorerState, footage: Batches, i: int) -> Preprocessed:
    """One frame of the footage as the scorer takes the next of a stream."""
    flow = None if footage.flow is None else footage.flow.read(i, i + 1)[0]
    return scorer.preprocess(_bgr(footage.store, i), state.past, flow)


def _bgr(store: FrameStore, i: int) -> Any:
    """One stored frame as a source would deliver it: (h, w, 3) BGR uint8."""
    rgb = store.read(i, i + 1)[0]
    return rgb.repeat(3, -1) if rgb.shape[-1] == 1 else rgb[..., ::-1].copy()
