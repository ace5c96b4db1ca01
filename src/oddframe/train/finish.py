"""After the last step: what the trained model makes of the footage kept aside.

The scene's normal range, a first threshold, and whether more was learned than to copy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from oddframe.data.frames import FrameStore
from oddframe.models.base import VADModel
from oddframe.models.memory import in_use, items_in_use
from oddframe.scoring.calibrate import calibrate
from oddframe.scoring.scene import SceneFit, StreamScene
from oddframe.scoring.scorer import PEAK, Prepared, Scorer, ScorerState
from oddframe.scoring.settings import ScoreConfig
from oddframe.train.module import Batches
from oddframe.train.split import Span

TIMED = 8
"""Frames that the speed is measured on."""
FIRST_ALARMS_PER_DAY = 1.0
"""What the threshold that fit leaves behind aims at; `calibrate` sets another."""


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

    def learned(self) -> dict[str, Any]:
        """What was learned, for the card."""
        drawn = {
            "psnr_db": round(self.psnr_db, 2),
            "copied_psnr_db": round(self.copied_psnr_db, 2),
        }
        return {**drawn, "memory": self.memory} if self.memory else drawn


def frame_seconds(net: VADModel, config: ScoreConfig, device: str) -> float:
    """Seconds that scoring one frame takes here, by a few made ones."""
    scorer = Scorer(net, config, device=chosen_device(device))
    image = np.random.default_rng(0).integers(0, 256, (net.size, net.size, 3), np.uint8)
    shape = (net.carried, net.size, net.size)
    carried = np.zeros(shape, np.float32) if net.carried else None
    state, taken = scorer.init_state(), list[float]()
    for i in range(net.history + TIMED):
        began = time.perf_counter()
        moved = np.roll(image, i, axis=1)
        state, _ = scorer.observe(state, scorer.prepare(moved, state.greys, carried))
        taken.append(time.perf_counter() - began)
    net.train()
    return float(np.median(taken[-TIMED:]))


def chosen_device(device: str) -> str:
    """`auto` as cuda or cpu."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def finish(
    net: VADModel, config: ScoreConfig, footage: Batches, held: Sequence[Span], device: str,
    console: Console,
) -> Finished:  # fmt: skip
    """Look at the footage kept aside twice: for the scene's range, then for the threshold."""
    device = chosen_device(device)
    scorer = Scorer(net, config, device=device)
    drawn, copied = [], []
    progress = Progress(console=console, disable=not console.is_terminal, transient=True)
    with progress as bar, items_in_use(net) as counts:
        task = bar.add_task("learning the scene's range", total=2 * sum(map(len, held)))
        fitting = SceneFit()
        for span in held:
            state, last = scorer.init_state(), None
            for i in range(span.start, span.stop):
                frame = _prepared(scorer, state, footage, i)
                state, seen = scorer.observe(state, frame)
                if seen is not None and last is not None:
                    fitting.add(seen.local)
                    drawn.append(PEAK**2 / 10 ** (seen.psnr_frame / 10))
                    copied.append(float(np.square(frame.frame[:3] - last.frame[:3]).mean()))
                last = frame
                bar.advance(task)
        scene = fitting.fit()
        scorer = Scorer(net, config, scene, device=device)
        scores = []
        for span in held:
            state = scorer.init_state()
            clip = []
            for i in range(span.start, span.stop):
                state, score = scorer.step(state, _prepared(scorer, state, footage, i))
                clip.append(score.score)
                bar.advance(task)
            scores.append(torch.tensor(clip, dtype=torch.float64).numpy())
    rates = [footage.store.fps_at(span.start) for span in held]
    threshold = calibrate(scores, rates, FIRST_ALARMS_PER_DAY)
    return Finished(scene, threshold, _db(drawn), _db(copied), in_use(counts))


def _db(errors: Sequence[float]) -> float:
    """PSNR of the mean of squared errors; at most 120 dB, as `psnr_frame`."""
    mean = max(float(np.mean(errors)), PEAK**2 * 1e-12) if errors else math.nan
    return 10 * math.log10(PEAK**2 / mean)


def _prepared(scorer: Scorer, state: ScorerState, footage: Batches, i: int) -> Prepared:
    """One frame of the footage as the scorer takes the next of a stream."""
    flow = None if footage.flow is None else footage.flow.read(i, i + 1)[0]
    return scorer.prepare(_bgr(footage.store, i), state.greys, flow)


def _bgr(store: FrameStore, i: int) -> Any:
    """One stored frame as a source would deliver it: (h, w, 3) BGR uint8."""
    rgb = store.read(i, i + 1)[0]
    return rgb.repeat(3, -1) if rgb.shape[-1] == 1 else rgb[..., ::-1].copy()
