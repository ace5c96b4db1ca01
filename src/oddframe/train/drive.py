"""The steps of a training, in one process or in each of several: Lightning's Trainer and DDP.

What makes several equal to one, apart from the batches (`module.Batches`) and what models write
(`ops.together`):

- DDP averages gradients over processes of equal shares, and losses are means over the batch.
- All start from the same weights and memories (`follow`). DDP would copy rank 0's buffers to all
  before every step (`broadcast_buffers`); they stay the same without, which is checked whenever a
  state is saved.
- Parameters that no loss reaches are looked for each step (`find_unused_parameters`): rows of
  ablations have such. DDP also leaves its buckets of gradients as they are then, where it else
  sorts them anew after the first step: a resumed run of three and more would add up in another
  order. It complains where it finds none, so there is always one (`FitModule.unreached`).
- BatchNorm takes the statistics of all shares.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from oddframe.config import Config
from oddframe.device import pick_device
from oddframe.models.base import VADModel
from oddframe.models.recompute import recomputed
from oddframe.ops.batchnorm import synced
from oddframe.runs import RESUME
from oddframe.train.budget import Budget, Clocks
from oddframe.train.devices import Place
from oddframe.train.module import Batches, FitModule, TrainConfig
from oddframe.train.progress import STATE, Watch, stop_on_interrupt
from oddframe.train.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Job:
    """A training, as every process of it has to know it."""

    name: str
    """A key of `oddframe.models.MODELS`."""
    model: Config
    train: TrainConfig
    batches: Batches
    budget: Budget
    out: Path
    resume: bool
    device: str


def drive(job: Job, net: VADModel, ranks: Ranks, began: Clocks, console: Console) -> dict[str, Any]:
    """Train in place; afterwards `net` holds the averaged weights, the same in every process.

    Returns:
        What a RUN's card says of the training.

    Raises:
        RunError: a loss that is not finite, a full disk.
        KeyboardInterrupt: stopped on request, after the state was saved.
    """
    config, batches, place = job.train, job.batches, ranks.place
    batches.part = place.part(config.batch)
    module = FitModule(_shared(net, ranks, job.device), config, batches, job.budget.epochs)
    if not ranks.alone:
        module.unreached = nn.Parameter(torch.zeros(()))
    limited = job.budget.timed or job.budget.steps is not None
    # Past the last of its epochs a cosine's rate is 0, whatever time is left.
    endless = limited and config.schedule != "cosine"
    epochs = job.budget.epochs or (None if endless else config.epochs)
    steps = job.budget.steps_at_most(epochs, module.epoch_steps)
    watch = Watch(job.out, job.budget, steps, began, console, ranks)
    with (
        _quiet_lightning(), stop_on_interrupt(watch), _threads(place),
        recomputed(module.model) if config.checkpoint_gradients else contextlib.nullcontext(),
    ):  # fmt: skip
        trainer = _trainer(job, watch, place)
        trainer.fit(module, ckpt_path=job.out / RESUME / STATE if job.resume else None)
        threads = torch.get_num_threads()
    if watch.interrupted or watch.asked:
        console.print(f"stopped at step {trainer.global_step}; go on with --resume")
        raise KeyboardInterrupt
    net.load_state_dict(module.averaged.module.state_dict())
    net.requires_grad_(True)
    return {
        "steps": trainer.global_step,
        "epochs": round(trainer.global_step / module.epoch_steps, 3),
        "targets_seen": trainer.global_step * config.batch * config.targets,
        "batch": config.batch,
        "checkpoint_gradients": config.checkpoint_gradients,
        "minutes": round(watch.elapsed_s / 60, 2),
        "core_minutes": round(watch.core_s / 60, 3),
        "device": str(trainer.strategy.root_device),
        "devices": place.ranks,
        "nodes": place.nodes,
        "threads": threads,
    }


def _trainer(job: Job, watch: Watch, place: Place) -> L.Trainer:
    where = pick_device(job.device)  # as all else does: Lightning's own "auto" takes a Mac's GPU
    options: dict[str, Any] = {}
    if place.ranks > 1:
        strategy = DDPStrategy(
            cluster_environment=_Started(place), broadcast_buffers=False,
            find_unused_parameters=True,
        )  # fmt: skip
        options = {"strategy": strategy, "num_nodes": place.nodes}
    return L.Trainer(
        accelerator=where.type, devices=[where.index] if where.index else place.here,
        precision=job.train.precision, max_epochs=-1,
        logger=False, gradient_clip_val=job.train.clip_gradient, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[watch],
        use_distributed_sampler=False, **options,
    )  # fmt: skip


class _Started(ClusterEnvironment):
    """Tells Lightning that all processes are there, and which one this is."""

    creates_processes_externally = True
    main_address, main_port = "", 0  # asked for by no one: the group is formed before

    def __init__(self, place: Place) -> None:
        self._place = place

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._place.ranks

    def set_world_size(self, size: int) -> None:
        assert size == self._place.ranks

    def global_rank(self) -> int:
        return self._place.rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == self._place.rank

    def local_rank(self) -> int:
        return self._place.local

    def node_rank(self) -> int:
        return self._place.node


def _shared(net: VADModel, ranks: Ranks, device: str) -> VADModel:
    """What trains: the model itself, or a copy whose BatchNorms see all shares."""
    if ranks.alone or not any(isinstance(m, _BatchNorm) for m in net.modules()):
        return net
    out = synced(copy.deepcopy(net), pick_device(device).type)
    assert isinstance(out, VADModel)
    return out


@contextlib.contextmanager
def _threads(place: Place) -> Iterator[None]:
    """A machine's threads, shared out among its processes; torchrun has done so."""
    before = torch.get_num_threads()
    each = before if place.launched else max(1, before // place.here)
    if each == before:  # not even set: that is not nothing to the libraries below torch
        yield
        return
    torch.set_num_threads(each)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's banners and hints are not for our users, nor torch's about DDP."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*dataloader.*")
            # A convolution of depth 1 says so: its gradient is as it should be, in other strides.
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
