"""`oddframe bench train`: one training step of `m2s2l-edge` with every backend of its scans.

A step as the trainer takes it: forward, losses, backward, the norm of the gradient cut off, Adam,
the running average of the weights; batch, targets and detached context as the size's own settings
say. The footage is made up: decoding is no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from oddframe.bench.table import Column, Row, Table
from oddframe.bench.timing import Job, Tick, interleaved, on_cuda
from oddframe.bench.tiny import tiny
from oddframe.config import Config
from oddframe.models import build, entry
from oddframe.models.base import VADModel
from oddframe.models.temporal import TMB
from oddframe.ops.backends import BACKENDS, unavailable
from oddframe.ops.ss2d import SS2D

MODEL = "m2s2l-edge"
BASE = "chunked"
CLIP_GRADIENT = 1.0
"""TrainConfig's default; its cost does not depend on the value."""
COLUMNS = (
    Column("steps_per_s", "steps/s", "training steps per second"),
    Column("ratio_chunked", f"x {BASE}", f"how many times faster than the backend {BASE!r}"),
)


def run(quick: bool, tick: Tick) -> list[Table]:
    """The one table."""
    return [bench_train(MODEL, tiny(MODEL) if quick else None, tick)]


def bench_train(name: str, config: Config | None, tick: Tick) -> Table:
    """A step of one model with every backend that this machine has."""
    settings = {"batch": 2, "targets": 4, "detach_context": False, **entry(name).train}
    jobs: dict[str, Job] = {}
    left_out = []
    for backend in BACKENDS:
        reason = unavailable(backend)
        if reason is None and backend == "triton" and not torch.cuda.is_available():
            reason = "torch sees no CUDA device"
        if reason is not None:
            left_out.append(f"{backend}: left out, {reason}")
            continue
        device = "cuda" if backend == "triton" else "cpu"
        job = training_step(build(name, config), settings, backend, device)
        jobs[backend if device == "cpu" else f"{backend} (cuda)"] = job
    best = interleaved(jobs, title="train: one step", tick=tick)
    rows = [
        Row(backend, 1000 * t.seconds, t.turns, torch.get_num_threads(),
            {"steps_per_s": 1 / t.seconds, "ratio_chunked": best[BASE].seconds / t.seconds})
        for backend, t in best.items()
    ]  # fmt: skip
    context = "detached" if settings["detach_context"] else "with gradient"
    title = (
        f"{name}, one training step: batch {settings['batch']}, {settings['targets']} targets "
        f"each, context {context}"
    )
    return Table(title, COLUMNS, tuple(rows), notes=tuple(left_out))


def training_step(net: VADModel, settings: Mapping[str, Any], backend: str, device: str) -> Job:
    """The job of one step; every call goes on from the weights that the last one left."""
    net.train().to(device)
    set_backend(net, backend)
    length = net.history + settings["targets"]
    clip: Tensor = torch.rand(settings["batch"], length, 3, net.size, net.size) * 2 - 1
    clip = clip.to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    averaged = AveragedModel(net, multi_avg_fn=_average, use_buffers=True)

    def step() -> None:
        optimizer.zero_grad()
        prediction = net(clip[:, :-1], settings["detach_context"])
        torch.stack(list(net.losses(prediction, clip).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP_GRADIENT)
        optimizer.step()
        averaged.update_parameters(net)

    return step if device == "cpu" else on_cuda(step)


def _average(kept: Any, current: Any, count: Any) -> None:
    del count
    torch._foreach_lerp_(kept, current, 0.002)


def set_backend(net: VADModel, backend: str) -> int:
    """Let every scan of a model run by one backend; how many there are."""
    scans = [module for module in net.modules() if isinstance(module, SS2D | TMB)]
    for module in scans:
        module.backend = backend
    return len(scans)
