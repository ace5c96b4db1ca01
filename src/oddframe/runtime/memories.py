"""What M2S2L's memories do on labelled video: what the model draws with, without and despite them.

"The memory mechanism restricts the model's ability to reconstruct anomalous patterns" (section
II-D) is a claim that can be measured. The same trained model is run twice more: with every read
replaced by one constant, which is all that a collapsed memory gives anyway, and with none.

Letters: n frames of one video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oddframe.data import Dataset, frame_labels
from oddframe.metrics import frame_auc
from oddframe.models.base import VADModel
from oddframe.models.memory import Memory, items_in_use
from oddframe.runtime.detector import Detector, Progress
from oddframe.scoring.scorer import ScoreConfig, Scorer
from oddframe.sources import open_source

Floats = NDArray[np.float64]
ByVideo = dict[str, dict[str, Floats]]
"""Video -> the PSNRs of its frames, (n,) each."""
WAYS = ("with", "constant", "without")


def memory_effect(
    detector: Detector, dataset: Dataset, progress: Progress | None = None
) -> dict[str, Any] | None:
    """PSNR of normal and odd frames with the memories, with a constant for every read, and without.

    constant: the mean of a memory's reads over the first test video. without: nothing is read; a
    decoder that gets nothing but reads (`replace`) then sees zeros.

    Returns:
        `memories`: {name: {"items", "in_use"}} over the test videos; per way of `WAYS`: `normal`
        and `odd`, the mean PSNR in dB of the frames (`frame`, and `motion` where there is one), and
        `auc`, that of -PSNR as the paper combines it, each video rescaled. None without memories.

    Raises:
        DatasetError, SourceError: as `evaluate`.
    """
    model = detector.model
    banks = {n: m for n, m in model.named_modules() if isinstance(m, Memory)}
    if not banks:
        return None
    labels = frame_labels(dataset)
    done, total = 0, len(WAYS) * sum(len(labels[v.name]) for v in dataset.test)

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    reads: dict[str, Tensor] = {}
    with items_in_use(model) as counts, _mean_reads(banks, reads) as first:
        found = {"with": _psnrs(detector, dataset, tick, first)}
    for way in WAYS[1:]:
        fixed = reads if way == "constant" else {n: torch.zeros_like(r) for n, r in reads.items()}
        with _fixed_reads(banks, fixed):
            found[way] = _psnrs(detector, dataset, tick)
    return {
        "memories": {
            name: {"items": len(bank), "in_use": int((counts[name] > 0).sum())}
            for name, bank in banks.items()
        },
        **{way: _summary(model, psnrs, labels, detector) for way, psnrs in found.items()},
    }


def _psnrs(
    detector: Detector,
    dataset: Dataset,
    tick: Callable[[], None],
    first: Callable[[], None] | None = None,
) -> ByVideo:
    """The PSNRs of all test frames; `first` is called when the first video ends."""
    found: ByVideo = {}
    # Optical flow is no part of the model, and would cost as much again.
    scorer = Scorer(detector.model, ScoreConfig(flow=False), device=detector.info.device)
    for video in dataset.test:
        frames: list[float] = []
        motions: list[float] = []
        with open_source(video.path) as source:
            state = scorer.init_state()
            for frame in source:
                state, seen = scorer.observe(state, frame.image)
                frames.append(np.nan if seen is None else seen.psnr_frame)
                moved = None if seen is None else seen.psnr_motion
                motions.append(np.nan if moved is None else moved)
                tick()
        found[video.name] = {"psnr_frame": np.array(frames)}
        if not np.isnan(motions).all():
            found[video.name]["psnr_motion"] = np.array(motions)
        if first is not None and len(found) == 1:
            first()
    return found


def _summary(
    model: VADModel, psnrs: ByVideo, labels: Mapping[str, NDArray[np.uint8]], detector: Detector
) -> dict[str, Any]:
    """Mean PSNR of normal and odd frames, and what they are worth as the paper's score."""
    out: dict[str, Any] = {"normal": {}, "odd": {}}
    for term in ("psnr_frame", "psnr_motion"):
        kept = [v for v in psnrs if term in psnrs[v]]
        if not kept:
            continue
        values = np.concatenate([psnrs[v][term] for v in kept])
        truth = np.concatenate([labels[v] for v in kept]) > 0
        for kind, among in (("normal", ~truth), ("odd", truth)):
            some = values[among & ~np.isnan(values)]
            out[kind][term.removeprefix("psnr_")] = float(some.mean()) if some.size else None
    alpha = detector.score_config.alpha
    scores, truths = [], []
    for video, terms in psnrs.items():
        psnr = terms["psnr_frame"]
        if "psnr_motion" in terms:
            psnr = alpha * psnr + (1 - alpha) * terms["psnr_motion"]
        ready = ~np.isnan(psnr)
        scores.append(-psnr[ready])
        truths.append(labels[video][ready])
    out["auc"] = frame_auc(scores, truths, normalise="per_video")
    return out


@contextmanager
def _mean_reads(
    banks: Mapping[str, Memory], means: dict[str, Tensor]
) -> Iterator[Callable[[], None]]:
    """Fills `means` with the mean read of each memory up to the call of what this gives."""
    totals: dict[str, tuple[Tensor, int]] = {}

    def take(name: str, bank: Memory, x: Tensor) -> None:
        value = bank.recall(x).flatten(0, -2)
        total, count = totals.get(name, (torch.zeros_like(value[0]), 0))
        totals[name] = (total + value.sum(0), count + len(value))

    hooks = [
        bank.register_forward_pre_hook(lambda m, args, n=name: take(n, m, args[0]))
        for name, bank in banks.items()
    ]

    def stop() -> None:
        means.update({name: total / count for name, (total, count) in totals.items()})
        for hook in hooks:
            hook.remove()

    try:
        yield stop
    finally:
        for hook in hooks:
            hook.remove()


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
