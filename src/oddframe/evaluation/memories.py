"""What M2S2L's memories do on labelled video: what is drawn with them, despite them, without them.

"The memory mechanism restricts the model's ability to reconstruct anomalous patterns" (section
II-D) is a claim that can be measured. While a run is evaluated, its decoders draw twice more: with
every read replaced by one constant, which is all that a collapsed memory gives anyway, and with
none. Encoders, and so the cost of a frame, are shared by the three.

Letters: n frames of one video, d width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oddframe.data import Dataset, frame_labels
from oddframe.data.official import benchmark_of
from oddframe.errors import ConfigError
from oddframe.evaluation.scored import VideoScores
from oddframe.metrics import frame_auc
from oddframe.models.base import Prediction, motion
from oddframe.models.in_use import in_use, items_in_use
from oddframe.models.m2s2l import M2S2L
from oddframe.models.memory import Memory
from oddframe.runtime.detector import Detector
from oddframe.scoring.scorer import Scorer, psnr
from oddframe.scoring.settings import ScoreConfig
from oddframe.sources.rate import pacer

Floats = NDArray[np.float64]
WAYS = ("with", "constant", "without")
LOOK = 100
"""Frames of the first test video, after the history, that a constant read is the mean over."""
EVERY = 4
"""One window in so many is drawn in all ways: neighbours say the same, each costs as much again."""


class MemoryEffect:
    """Watches a detector's M2S2L while `evaluate` runs it; made by `watching`."""

    def __init__(
        self, model: M2S2L, constants: Mapping[str, Tensor], alpha: float, names: Sequence[str]
    ) -> None:
        """names: of the videos, in the order in which they come."""
        self._alpha, self._names = alpha, names
        self._banks, self._history, self._next = _banks(model), model.history, model.motion_is_next
        nothing = {name: torch.zeros_like(read) for name, read in constants.items()}
        self._fixed = {"constant": constants, "without": nothing}
        self._draw = model.decode
        self._found: list[dict[str, list[tuple[float, float]]]] = []
        self._frames: list[list[int]] = []
        self._window = 0
        self._over = False
        self._last: Tensor | None = None
        self._drawn: dict[str, tuple[Tensor, float]] = {}
        self._counts: Mapping[str, Tensor] = {}

    def decode(self, g: Tensor, h: Tensor, last: Tensor) -> Prediction:
        """`M2S2L.decode` of one stream's newest window, and of the same window in other ways."""
        self._settle(last)
        out = self._draw(g, h, last)
        # Of a video's first window the motion is not known.
        if self._window > 0 and (self._window - 1) % EVERY == 0 and not self._over:
            drawn = {"with": out}
            for way, reads in self._fixed.items():
                with _fixed_reads(self._banks, reads):
                    drawn[way] = self._draw(g, h, last)
            moved = None if self._last is None or self._next else motion(self._last, last)
            self._drawn = {way: (p.frame, _motion_db(p.motion, moved)) for way, p in drawn.items()}
        self._window += 1
        self._last = last
        return out

    def _settle(self, frame: Tensor) -> None:
        """The frame that the window before was drawn for is known now."""
        if self._drawn:
            self._frames[-1].append(self._history + self._window - 1)
        for way, (drawn, motion_db) in self._drawn.items():
            self._found[-1][way].append((psnr((drawn - frame).square()), motion_db))
        self._drawn = {}

    def begin(self) -> None:
        """A new video."""
        self._found.append({way: [] for way in WAYS})
        self._frames.append([])
        self._last, self._drawn, self._window, self._over = None, {}, 0, False

    def stop(self) -> None:
        """A gap in a video: what is behind it is not measured."""
        self._drawn, self._over = {}, True

    def result(self, videos: Sequence[VideoScores]) -> dict[str, Any]:
        """What was seen of the videos of an evaluation, but for those that it left out.

        Returns:
            `memories`: {name: {"items", "in_use"}} over these videos; per way of `WAYS`: `normal`
            and `odd`, the mean PSNR in dB of the frames (`frame`, and `motion` where there is one),
            and `auc` (0..1), that of -PSNR as the paper combines it, each video rescaled. Of every
            `EVERY`th frame from the second with a score: of the first the motion is not known.
        """
        truth = {video.name: video.labels for video in videos}
        seen = zip(self._names, self._frames, strict=False)
        kept = [i for i, (v, frames) in enumerate(seen) if v in truth and len(frames) > 1]
        labels = [truth[self._names[i]][self._frames[i]] > 0 for i in kept]
        ways = {}
        for way in WAYS:
            values = [np.array(self._found[i][way]) for i in kept]
            ways[way] = _summary(values, labels, self._alpha)
        return {"memories": in_use(self._counts), **ways}


@contextmanager
def watching(detector: Detector, dataset: Dataset) -> Iterator[MemoryEffect | None]:
    """While open, `evaluate(detector, dataset)` also measures the memories; None without any.

    Raises:
        DatasetError, SourceError: as `evaluate`.
        ConfigError: footage of another rate than the run's.
    """
    model = detector.model
    if not isinstance(model, M2S2L) or not _banks(model):
        yield None
        return
    for video in dataset.test:
        with video.open() as source:
            if pacer(detector.info.fps, source.info) is not None:
                raise ConfigError(
                    f"What memories do is measured frame by frame, and {video.name} has "
                    f"{source.info.fps:.3g} frames/s where {detector.info.run} learned at "
                    f"{detector.info.fps:.3g}. Use footage of that rate, or evaluate without it."
                )
    reads = _mean_reads(detector, dataset)
    if not reads:
        yield None
        return
    counts = {name: len(y) for name, y in frame_labels(dataset).items()}
    alpha = detector.paper_of(benchmark_of(dataset, counts)).alpha
    effect = MemoryEffect(model, reads, alpha, [video.name for video in dataset.test])
    begin, restart = detector.init_state, model.init_state

    def init_state() -> Any:
        state = begin()
        effect.begin()
        return state

    def init_model() -> Any:
        effect.stop()
        return restart()

    detector.init_state = init_state  # type: ignore[method-assign]
    model.decode, model.init_state = effect.decode, init_model  # type: ignore[method-assign]
    try:
        with items_in_use(model) as effect._counts:
            yield effect
    finally:
        del model.decode, model.init_state, detector.init_state


def _motion_db(drawn: Tensor | None, moved: Tensor | None) -> float:
    if drawn is None or moved is None:
        return float("nan")
    return psnr((drawn - moved).square())


def _summary(values: list[Floats], labels: list[NDArray[np.bool_]], alpha: float) -> dict[str, Any]:
    """Mean PSNR of normal and odd frames, and what they are worth as the paper's score.

    values: per video (n, 2), of frame and motion, NaN where there is none.
    """
    whole, truth = np.concatenate(values), np.concatenate(labels)
    moves = not np.isnan(whole[:, 1]).any()
    out: dict[str, Any] = {}
    for kind, among in (("normal", ~truth), ("odd", truth)):
        means = whole[among].mean(0) if among.any() else (None, None)
        out[kind] = dict(zip(("frame", "motion") if moves else ("frame",), means, strict=False))
        out[kind] = {k: None if v is None else float(v) for k, v in out[kind].items()}
    scores = [-(alpha * v[:, 0] + (1 - alpha) * v[:, 1]) if moves else -v[:, 0] for v in values]
    out["auc"] = frame_auc(scores, labels, normalise="per_video")
    return out


def _banks(model: torch.nn.Module) -> dict[str, Memory]:
    return {name: m for name, m in model.named_modules() if isinstance(m, Memory)}


def _mean_reads(detector: Detector, dataset: Dataset) -> dict[str, Tensor]:
    """The mean read (d,) of each memory over the first frames of the first test video with any.

    {} where all are shorter than the history.
    """
    banks = _banks(detector.model)
    totals: dict[str, tuple[Tensor, int]] = {}

    def take(name: str, bank: Memory, x: Tensor) -> None:
        value = bank.recall(x).flatten(0, -2)
        total, count = totals.get(name, (torch.zeros_like(value[0]), 0))
        totals[name] = (total + value.sum(0), count + len(value))

    hooks = [
        bank.register_forward_pre_hook(lambda m, args, n=name: take(n, m, args[0]))
        for name, bank in banks.items()
    ]
    # Optical flow is no part of the model, and would cost as much again.
    scorer = Scorer(detector.model, ScoreConfig(flow=False), device=detector.info.device)
    try:
        for video in dataset.test:
            with video.open() as source:
                state = scorer.init_state()
                for frame in source:
                    if frame.gap:
                        state = scorer.restart(state)
                    state, _ = scorer.observe(state, frame.picture)
                    if frame.index >= detector.info.history + LOOK:
                        break
            if totals:
                break
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total / count for name, (total, count) in totals.items()}


@contextmanager
def _fixed_reads(banks: Mapping[str, Memory], values: Mapping[str, Tensor]) -> Iterator[None]:
    """While open, every memory reads the same value (d,) for all features."""
    hooks = [
        bank.register_forward_hook(lambda m, args, _, v=values[name]: m.joined(args[0], v))
        for name, bank in banks.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
