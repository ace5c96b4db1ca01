"""A warm stream's new frame in ONNX Runtime, for `bench stream --runtime onnx`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from oddframe.bench.timing import Job
from oddframe.export.plan import plan_model
from oddframe.export.write import write
from oddframe.models.base import VADModel
from oddframe.runtime.onnx_scorer import Arrays, OnnxStep
from oddframe.scoring.fuse import OWN
from oddframe.scoring.scene import StreamScene
from oddframe.scoring.settings import ScoreConfig

PLAIN = StreamScene(1.0, 1.0, 0.0, 1.0, 1e-6)
"""A scene without near and far, in which nothing was seen."""


def onnx_job(name: str, net: VADModel) -> Job:
    """One call with a full state: the step of `net`, and the score of its own streams.

    Optical flow is there already: the graph is given some.

    Raises:
        ConfigError: the extra `[onnx]` is not installed, or the model cannot be exported.
    """
    plan = plan_model(name, net, ScoreConfig(), dict.fromkeys(OWN, PLAIN))
    with TemporaryDirectory(prefix="oddframe-") as folder:
        file = Path(folder) / "model.onnx"
        write(plan, file, "onnx")
        step = OnnxStep(file, torch.get_num_threads())
    rng, size = np.random.default_rng(0), plan.card.size
    given: Arrays = {"picture": rng.integers(0, 256, (size, size, 3), np.uint8)}
    if plan.card.flow != "none":
        given["flow"] = rng.normal(0, 1, (2, size, size)).astype(np.float32)
    state = step.init_state()
    for _ in range(plan.card.history + 1):
        state, _ = step(state, given)
    return partial(step, state, given)
