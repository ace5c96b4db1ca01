"""What a loaded run is, for whoever shows or exports it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from oddframe.runs import Run
from oddframe.scoring.look import FLOW_LAG
from oddframe.scoring.scorer import Precision, Scorer


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """What a detector is."""

    run: Path
    model: str
    """Model name, a key of `oddframe.models.MODELS`."""
    parameters: int
    size: int
    """Rows and columns that pictures are resized to."""
    history: int
    """k: the first k frames of a video have no score."""
    carried: int
    """Channels that frames bring beside RGB: 2 where optical flow is read from files, else 0."""
    overlap: int | None
    """Frames that a segment must start early to give the same scores; None: with smoothing or a
    delay no segment does."""
    threshold: float | None
    """Score of the alarm, None before calibration. Where each light has its own, the one of all
    together: scores are held against that of their frame's (`Score.threshold`)."""
    calibration: dict[str, Any] | None
    """How the threshold was found, as stored in model.json."""
    device: str
    precision: Precision
    """Of the model's matrix products and convolutions."""
    weights: str
    """Which of the training's weights these are, in words."""
    changed: tuple[str, ...]
    """Score settings changed after training, in words."""
    fps: float | None = None
    """Frames per second that it learned at; footage of another rate is brought to it
    (`sources.rate`). None where that is not known."""

    @classmethod
    def of(cls, run: Run, scorer: Scorer, device: torch.device) -> Self:
        """A run, and what was made of it to work on a device."""
        model, usual, config = scorer.model, scorer.usual, run.score_config
        back = max(model.history, FLOW_LAG, 0 if usual is None else usual.stay.memory)
        return cls(
            run=run.path, model=run.name, parameters=sum(p.numel() for p in model.parameters()),
            size=model.size, history=model.history, carried=model.carried,
            overlap=None if config.smooth or config.lag_s else back, threshold=run.threshold,
            calibration=run.calibration, device=str(device), precision=scorer.precision,
            weights=run.weights_text, changed=run.changed, fps=run.fps,
        )  # fmt: skip
