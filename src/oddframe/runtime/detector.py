"""A trained run at work: `step` for one frame, `stream` for a source, `score` for a whole video.

All three are one code path, `Scorer.step`; `stream` and `score` decode and preprocess the frames of
files ahead of it, in a thread of their own. A score looks at its own frame and those before it: k
for the model, 8 s for what stays (`scoring.stay`), so

- `stream` and `score` give the same numbers, and any number of streams can be interleaved;
- a file cut into segments gives the same scores if every segment starts `info.overlap` frames
  early: so many that all of this is contained. With `score.smooth` above 0 every score depends on
  all before it, and no overlap is exact.

Where a RUN has a threshold for each light, levels go by the light of the frame, looked at once a
second (`calibration.light`), in `step` as well: give it times.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oddframe.calibration.calibrate import threshold_of
from oddframe.calibration.light import Light, modes_of
from oddframe.data.dataset import Dataset
from oddframe.data.flow_folder import FlowFolder, VideoFlow, flow_folder, needs_flow
from oddframe.device import pick_device
from oddframe.errors import ConfigError, OddframeWarning
from oddframe.judging.paper import PaperScore
from oddframe.models.base import Ranges, Terms, VADModel
from oddframe.pictures import Plain
from oddframe.process import tune
from oddframe.runs import Run, load_run
from oddframe.runtime.ahead import ahead
from oddframe.runtime.compile import compile_parts
from oddframe.runtime.detector_info import DetectorInfo
from oddframe.runtime.looks import as_image, looks
from oddframe.runtime.onnx_scorer import OnnxScorer, step_of
from oddframe.runtime.result import Collector, Result
from oddframe.scoring.lag import Lag, frames_of
from oddframe.scoring.scorer import Precision, Scorer, precision_of
from oddframe.scoring.seen import Compared, Preprocessed, ScorerState
from oddframe.sources import Reading, Source, open_as
from oddframe.sources.rate import Pacer, pacer, pacing_text
from oddframe.types import Frame, Image, Score, SourceInfo

SourceLike = Source | str | Path | int
Progress = Callable[[int, int | None], None]
"""Called with the frames done and the frames expected (a hint, or None)."""
AHEAD = 2
"""Frames of a file that are decoded and preprocessed ahead (3 MB each at 720p)."""


class Detector:
    """Scores frames of one scene; made by `oddframe.load`."""

    def __init__(
        self, run: Run, device: str = "cpu", *, precision: Precision = "float32",
        compiled: bool = False, flow: str | Path | None = None, onnx: str | Path | None = None,
    ) -> None:  # fmt: skip
        """Build the model and load its weights; see `load`."""
        tune()
        precision_of(precision)
        where = pick_device(device)
        if onnx is not None and (where.type != "cpu" or compiled or precision != "float32"):
            raise ConfigError(
                "An ONNX file runs in float32 on the CPU: leave --device, --precision and "
                "--compile out, or score without ONNX."
            )
        model = run.model() if onnx is None else run.outline()
        self._flow = flow_folder(model.carried, flow, str(run.path))
        if compiled:
            compile_parts(model, where)
        usual = run.usual()
        self.scorer: Scorer = (
            Scorer(model, run.score_config, run.scene, run.threshold, where, precision, usual)
            if onnx is None
            else OnnxScorer(run, model, usual, step_of(Path(onnx), run))
        )
        """What turns preprocessed frames into scores."""
        self.info = DetectorInfo.of(run, self.scorer, where)
        self._by_light = bool(modes_of(run.calibration or {}))
        self.reading = Reading(used=run.used)
        """How sources are opened that are given by their path."""
        self._said: set[str] = set()
        self.score_config = run.score_config

    def paper_of(self, data: str | None = None) -> PaperScore:
        """How frames score by the model's paper on a data set (a key of `OFFICIAL`, or None)."""
        return PaperScore(self.scorer.model, self.info.model, self.score_config, data)

    def paper_score(self, terms: Terms, ranges: Ranges = None) -> NDArray[np.float64]:
        """The score of the model's paper for a whole video, from the terms of a `Result`."""
        return self.scorer.model.paper_score(terms, ranges, alpha=self.paper_of().alpha)

    def paper_curve(
        self, terms: Terms, ranges: Ranges = None, data: str | None = None
    ) -> NDArray[np.float64]:
        """A whole video's curve (n,) as the model's paper plots it, from the terms of a `Result`.

        ranges: what `paper_of().ranges` gives of all videos; None: the video's own extremes.
        data: which benchmark the video is of, where `score.alpha` is the paper's.
        """
        alpha = self.paper_of(data).alpha
        return self.scorer.model.paper_curve(terms, ranges, alpha=alpha)

    @property
    def curve_name(self) -> str:
        """What `paper_curve` is, in words."""
        return self.scorer.model.curve_name

    @property
    def model(self) -> VADModel:
        """The trained model, in eval mode."""
        return self.scorer.model

    def init_state(self) -> ScorerState:
        """State of a stream that has seen no frame."""
        return self.scorer.init_state()

    def flow_of(self, source: Source) -> VideoFlow | None:
        """The flow files of a source, found by its name; None where the model reads none.

        Raises:
            ConfigError: the model reads some, and there is no folder or the source is live.
            DatasetError: none there, more than one of that name, or not as many as frames.
        """
        if not self.info.carried:
            return None
        if source.live:
            raise ConfigError(
                f"{self.info.run} takes its optical flow from files; it cannot score the live "
                f"source {source.info.name}, which has none."
            )
        flow = self._flow_folder().find(source.info.name)
        if source.info.frames is not None:
            flow.expect(source.info.frames)
        return flow

    def flows_of(self, dataset: Dataset, split: str) -> dict[str, VideoFlow]:
        """Name -> flow files of all videos of a split (train, test); {} where none are read.

        Raises:
            ConfigError, DatasetError: as `flow_of`, or the folder is of other footage.
        """
        if not self.info.carried:
            return {}
        return self._flow_folder().videos(dataset, split)

    def _flow_folder(self) -> FlowFolder:
        if self._flow is None:
            raise needs_flow(str(self.info.run))
        return self._flow

    def step(
        self,
        state: ScorerState,
        image: Image | Frame,
        pts_s: float = 0.0,
        flow: NDArray[np.float32] | None = None,
    ) -> tuple[ScorerState, Score]:
        """Score the next frame of a stream: (h, w, 3) BGR uint8, any size that stays the same.

        The old state is left as it was; the first k frames get NaN. A source's `Frame` may be given
        as it is: then its own stamp counts, and behind a gap the history starts anew.

        flow: of a model that reads it from files, what `VideoFlow.read(index, info.size)` gives.

        Raises:
            ConfigError: no BGR uint8 picture, or no flow where it is needed.
        """
        frame = image if isinstance(image, Frame) else Frame(0, pts_s, Plain(as_image(image)))
        if frame.gap:
            state = self.scorer.restart(state)
        ready = self.scorer.preprocess(frame.picture, state.past, flow)
        return self._held(*self.scorer.step(state, ready, frame.pts_s), frame)

    def step_batch(
        self,
        states: Sequence[ScorerState],
        images: Sequence[Image],
        pts_s: Sequence[float] | None = None,
    ) -> tuple[list[ScorerState], list[Score]]:
        """`step` for the next frame of each of several streams, in one call of the model.

        For cameras that look at scenes alike enough for one RUN: all are worked off together,
        which is where a GPU gets its speed. Streams may be of any age and picture size; each gets
        what `step` alone gives it, to rounding. One state and one image per stream, in one order.

        Raises:
            ConfigError: no BGR uint8 pictures, or not as many as states.
        """
        times = [0.0] * len(images) if pts_s is None else pts_s
        if not len(states) == len(images) == len(times):
            raise ConfigError(
                f"One state, image and time per stream: found {len(states)} states, "
                f"{len(images)} images and {len(times)} times."
            )
        if not states:
            return [], []
        frames = [Frame(0, t, Plain(as_image(i))) for i, t in zip(images, times, strict=True)]
        found = self.scorer.step_batch(states, [f.image for f in frames], times)
        held = [self._held(*one) for one in zip(*found, frames, strict=True)]
        return [state for state, _ in held], [score for _, score in held]

    def follow(
        self, source: SourceLike, flow: VideoFlow | None = None
    ) -> Generator[tuple[Frame, Score], None, None]:
        """Every frame of a source with its score, as soon as it is there; see `stream`."""
        with closing(self.observe(source, flow)) as observed:
            for frame, score, _ in observed:
                yield frame, score

    def observe(
        self, source: SourceLike, flow: VideoFlow | None = None
    ) -> Generator[tuple[Frame, Score, Compared | None], None, None]:
        """`follow`, with the pictures that the score is made of, held against each other.

        They are None in the first k frames. Whoever keeps them keeps about 3 MB a frame at 256 px.
        """
        with (
            _opened(source, self.reading) as opened,
            closing(self._preprocessed(opened, flow)) as frames,
        ):
            state, lag = self.init_state(), self.lag(opened.info)
            score, compared = Score(-1, 0.0, math.nan, math.nan, False), None
            before = -1
            for frame, looks in frames:
                if frame.gap:
                    state = self.scorer.restart(state)
                scores = []
                for ready in looks:
                    # The two halves of `Scorer.step`.
                    state, seen = self.scorer.observe(state, ready)
                    state, one = self.scorer.score(state, seen, frame.pts_s)
                    scores.append(one)
                    compared = None if seen is None else seen.compared.numbered(frame.index, before)
                    before = frame.index
                if scores:
                    state, score = self._held(state, self.scorer.mean(scores), frame)
                score = replace(score, index=frame.index, pts_s=frame.pts_s, held=not scores)
                for known, value in lag.push((frame, score, compared), score.score):
                    yield self._late(*known, value)
            for known, value in lag.flush():
                yield self._late(*known, value)

    def _held(self, state: ScorerState, score: Score, frame: Frame) -> tuple[ScorerState, Score]:
        """A score held against the threshold of its frame's light, where each has its own."""
        if not self._by_light or self.info.calibration is None:
            return state, score
        light = Light() if state.light is None else copy(state.light)  # the old state stays
        threshold = threshold_of(self.info.calibration, light.of(frame))
        return replace(state, light=light), score.against(threshold)

    def lag(self, source: SourceInfo) -> Lag[tuple[Frame, Score, Compared | None]]:
        """What holds scores of a source back by the RUN's delay (`score.lag_s`)."""
        return Lag(frames_of(self.score_config.lag_s, source.fps))

    def _late(
        self, frame: Frame, score: Score, compared: Compared | None, value: float
    ) -> tuple[Frame, Score, Compared | None]:
        """A frame with its score once that is known."""
        age_s = None if frame.arrived_s is None else time.monotonic() - frame.arrived_s
        if value != score.score and not math.isnan(value):
            score = score.against(score.threshold, value)
        return frame, replace(score, age_s=age_s), compared

    def _preprocessed(
        self, source: Source, flow: VideoFlow | None
    ) -> Generator[tuple[Frame, list[Preprocessed]], None, None]:
        """`looks`; at files by a thread, ahead of the model.

        Frames of cameras are preprocessed when a score is wanted and not before: one that waits
        here is as old as the model is slow.
        """
        made = self.looks(source, flow)
        return made if source.live else ahead(made, AHEAD)

    def looks(
        self, source: Source, flow: VideoFlow | None = None
    ) -> Generator[tuple[Frame, list[Preprocessed]], None, None]:
        """Every frame of a source with what the model is to look at: once, or as often as the
        RUN's rate asks for; nothing where the frame keeps the score before it. Of a camera that is
        faster than the model the time that passed counts, and more than a second is a gap.
        """
        files = flow or self.flow_of(source)
        pace = self.pacer(source.info)
        if pace is not None and source.since is not None:
            pace.resume(source.since)
        return looks(self.scorer, source, files, pace, self.info.fps)

    def pacer(self, source: SourceInfo) -> Pacer | None:
        """What brings a source to the rate of the RUN, None where nothing has to; says so once."""
        pace = None if self.info.carried else pacer(self.info.fps, source)
        if pace is not None and self.info.fps is not None:
            text = pacing_text(self.info.fps, source)
            kind = text.removeprefix(source.name)
            if kind not in self._said:
                self._said.add(kind)
                warnings.warn(text, OddframeWarning, stacklevel=2)
        return pace

    def stream(
        self, source: SourceLike, flow: VideoFlow | None = None
    ) -> Generator[Score, None, None]:
        """One score per new frame of a source, causal: no frame after it is used.

        The frames of files are read a few frames ahead of their scores, in a thread that has
        ended when the generator has; cameras are read frame by frame.

        Args:
            source: what `open_source` gives (left open at the end), or what it takes.
            flow: its flow files, where `flow_of` shall not look for them by its name.

        Raises:
            SourceError: the source cannot be opened, or turns out to be damaged.
            ConfigError, DatasetError: as `flow_of`.
        """
        with closing(self.follow(source, flow)) as followed:
            for _, score in followed:
                yield score

    def score(
        self,
        source: SourceLike,
        *,
        heat: bool = True,
        progress: Progress | None = None,
        flow: VideoFlow | None = None,
    ) -> Result:
        """Score a whole video: the loop over `stream`, collected.

        Args:
            source: path of a video or frame folder, or an opened source (left open).
            heat: keep the heat maps (8 kB a frame).
            progress: called after every frame.
            flow: its flow files, as `stream` takes them.

        Raises:
            SourceError: the source cannot be opened, or turns out to be damaged.
            ConfigError, DatasetError: as `flow_of`.
        """
        with _opened(source, self.reading) as opened, closing(self.stream(opened, flow)) as scores:
            info, hint = opened.info, opened.frame_hint
            collector = Collector(info.name, (info.height, info.width), heat)
            for done, score in enumerate(scores, 1):
                collector.add(score)
                if progress is not None:
                    progress(done, hint)
        return collector.result()


def load(
    run: str | Path | Run, device: str = "cpu", *, precision: Precision = "float32",
    compiled: bool = False, flow: str | Path | None = None, onnx: str | Path | None = None,
) -> Detector:  # fmt: skip
    """Load a RUN folder as a detector.

    Args:
        run: the folder that `oddframe fit --out` wrote.
        device: cpu, cuda, cuda:N, or auto (cuda where there is one).
        precision: float32, or bfloat16 for the model's matrix products and convolutions: faster
            for the large sizes where the processor has it. Scores move a little (docs/speed.md);
            calibrate with the precision that you score with.
        compiled: let `torch.compile` rewrite the model. The first frames then wait for a C++
            compiler, a minute or more; what it made is kept for the next time.
        flow: folder of flow files, as `oddframe data flow` writes it, for a RUN that takes its
            optical flow from files; those of a video are found by its name.
        onnx: what `oddframe export RUN --to onnx` made of it: ONNX Runtime computes the model in
            torch's place, in float32 on the CPU; all else is the same.

    Raises:
        RunError: no RUN, unfinished, damaged, or of another version; an ONNX file of another RUN.
        ConfigError: the device is not there, an unknown precision, no C++ compiler; flow for a
            model that reads none; no onnxruntime.
        DatasetError: `flow` is no such folder.

    Examples:
        >>> detector = oddframe.load("RUN")                    # doctest: +SKIP
        >>> result = detector.score("clip.mp4")                # doctest: +SKIP
        >>> float(np.nanmax(result.level)), result.heat(100)   # doctest: +SKIP
    """
    found = run if isinstance(run, Run) else load_run(run)
    return Detector(found, device, precision=precision, compiled=compiled, flow=flow, onnx=onnx)


@contextmanager
def _opened(source: SourceLike, reading: Reading) -> Iterator[Source]:
    """A source as it is, or one opened here and closed at the end; scaled as the RUN learned it."""
    if isinstance(source, Source):
        if reading.used is not None:
            source.scale_by(reading.used)
        yield source
        return
    with open_as(source, reading) as opened:
        yield opened
