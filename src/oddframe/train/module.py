"""The one adapter between plain models and Lightning, and the batches it is fed.

A batch is a pure function of (seed, step), so a resumed run sees what an uninterrupted one would,
and several processes share what one would see.
Letters: b runs, t frames of a run (history + targets), c h w colour, rows, columns.

Every model is trained by this, whatever its paper says beyond Adam:

DEVIATION (1): batch and epochs are chosen, no paper of the three has them (M2S2L and MSTI-Net are
    mute, STNMamba's numbers are lost): 8 targets a step for M2S2L and STNMamba, 4 for the others,
    60 epochs. An epoch is as many targets, drawn at random, as there are.
DEVIATION (2): the rate of 2e-4 is printed by M2S2L and MSTI-Net and lost in STNMamba; halving it
    every 20 epochs is M2S2L's, and the other models inherit it.
DEVIATION (3): gradients are clipped at norm 1, which no paper says.
DEVIATION (4): what is kept is a running average of the weights and memories, not the last ones.
DEVIATION (5): an eighth of the normal footage is held out of training, for the scene's range and
    the threshold; the papers train on all of it.
DEVIATION (6): sizes made for the CPU have a higher rate that falls as 1 / sqrt(step), Adam's beta2
    of .99 and, where frames are encoded apart, no gradient through the context (`models.MODELS`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from oddframe.config import Config
from oddframe.data.flow_folder import StoredFlow
from oddframe.data.frames import FrameStore, from_store
from oddframe.models.base import VADModel
from oddframe.train.split import Span


class TrainConfig(Config):
    """How a model is trained.

    The rate and its halving are M2S2L's; sizes change what suits them (`oddframe.models.MODELS`).
    The running average, the footage kept aside and the limit of the gradient are ours: how a
    paper trains is `oddframe.models.recipe`, `fit --recipe paper`.
    """

    optimiser: Literal["adam", "adamw", "adagrad"] = "adam"
    """What moves the weights."""
    lr: float = Field(2e-4, gt=0)
    """Learning rate at the start."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of Adam's mean squared gradient."""
    schedule: Literal["halve", "cosine", "none"] = "halve"
    """How the learning rate falls: halved (`halve_every`), along half a cosine to 0 at the last of
    the epochs, where training ends even with time left (it may not get there), or not at all."""
    halve_every: int = Field(20, ge=0)
    """Epochs after which `schedule: halve` halves the learning rate; 0 does not."""
    calm_after: int = Field(0, ge=0)
    """Step from which the learning rate falls as 1 / sqrt(step); 0 does not.

    A rate that suits a short training breaks out late in a longer one: as the gradients shrink,
    Adam's steps grow. A schedule by steps, not by the time left, resumes exactly."""
    epochs: int = Field(60, ge=1)
    """Passes over the training targets, where neither --epochs nor a time is given; those of a
    cosine also where a time is."""
    batch: int = Field(2, ge=1)
    """Runs of frames per step, of all devices together: the training is the same on any number."""
    targets: int = Field(4, ge=1)
    """Targets per run: each frame is encoded once for all of them."""
    detach_context: bool = False
    """Encode the frames before a run's first target without gradient: half the time per step."""
    clip_gradient: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    average: float = Field(0.998, ge=0, lt=1)
    """Decay of the weights' running average, which is what the RUN keeps; 0 keeps the last ones."""
    hold_out: float = Field(0.12, ge=0, le=0.5)
    """Share of the training video kept aside for the scene's normal range and the threshold.

    0: all of it trains, and both come from an eighth of what training saw too."""
    checkpoint_gradients: bool = False
    """Keep the inputs of the blocks alone and run these again in the backward pass: less memory for
    about a third more time, and the same numbers."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Lightning's precision: 32-true, or bf16-mixed on a GPU.

    Not all in bf16: the running average moves by thousandths, and would stand still."""


SAME_NUMBERS = {"checkpoint_gradients"}
"""Settings of `TrainConfig` that change no number: a resumed run may have others."""


class Batches:
    """Endless runs of consecutive frames from the training spans, drawn by (seed, step).

    Of several processes each reads its `part` of what one would draw, rank by rank.

    flow: of the store's frames, for a model whose frames carry it as two more channels.
    """

    def __init__(
        self, store: FrameStore, spans: Sequence[Span], length: int, batch: int, seed: int,
        flow: StoredFlow | None = None,
    ) -> None:  # fmt: skip
        self.store, self.length, self.batch, self.seed = store, length, batch, seed
        self.flow = flow
        self.spans = [s for s in spans if len(s) >= length]
        self.starts = np.cumsum([0] + [len(s) - length + 1 for s in self.spans])
        self.first_step = 0
        self.part = slice(None)
        """Which of a step's runs this process takes."""

    @property
    def runs(self) -> int:
        """Different runs there are."""
        return int(self.starts[-1])

    def at(self, step: int) -> Tensor:
        """This process's part of the batch of one step: (b, t, c, h, w) float32.

        RGB in [-1, 1], flow in pixels.
        """
        drawn = np.random.default_rng([self.seed, step]).integers(0, self.runs, self.batch)
        return torch.stack([self._run(int(i)) for i in drawn[self.part]])

    def first(self, i: int) -> Tensor:
        """The first frame of a run alone, (3, h, w): RGB in [-1, 1]."""
        start = self._start(i)
        return torch.from_numpy(from_store(self.store.read(start, start + 1))[0])

    def _start(self, i: int) -> int:
        s = int(np.searchsorted(self.starts, i, side="right")) - 1
        return self.spans[s].start + i - int(self.starts[s])

    def _run(self, i: int) -> Tensor:
        start = self._start(i)
        frames = from_store(self.store.read(start, start + self.length))
        if self.flow is not None:
            carried = self.flow.read(start, start + self.length)
            frames = np.concatenate((frames, carried), axis=1)
        return torch.from_numpy(frames)

    def __iter__(self) -> Iterator[Tensor]:
        step = self.first_step
        while True:
            yield self.at(step)
            step += 1


class FitModule(L.LightningModule):
    """Trains a `VADModel` and keeps the running average of its weights."""

    unreached: nn.Parameter | None
    """Of several processes, a parameter that no loss reaches (`drive`); no state holds it."""

    def __init__(
        self, model: VADModel, config: TrainConfig, batches: Batches, epochs: int | None = None
    ) -> None:
        super().__init__()
        self.epochs = epochs or config.epochs  # over which a cosine falls
        self.model, self.config, self.batches = model, config, batches
        self.averaged = AveragedModel(model, multi_avg_fn=self._average, use_buffers=True)
        self.averaged.requires_grad_(False)
        # Targets are drawn at random; an epoch is as many as there are.
        self.epoch_steps = math.ceil(batches.runs / (config.batch * config.targets))
        self.parts: dict[str, float] = {}
        self.register_parameter("unreached", None)

    def _average(self, kept: Any, current: Any, count: Any) -> None:
        """Running average whose memory grows with the steps: the start is forgotten early."""
        if not kept[0].is_floating_point():  # counters, e.g. of the batches that a BatchNorm saw
            torch._foreach_copy_(kept, current)
            return
        n = float(count)
        decay = min(self.config.average, (1 + n) / (10 + n)) if self.config.average else 0.0
        torch._foreach_lerp_(kept, current, 1 - decay)

    def finite(self) -> bool:
        """Whether all weights are numbers."""
        return all(bool(torch.isfinite(p).all()) for p in self.model.parameters())

    def training_step(self, clip: Tensor, _: int) -> Tensor:
        """One step: loss of all targets of the batch."""
        prediction = self.model(clip[:, :-1], self.config.detach_context)
        losses = self.model.losses(prediction, clip)
        total = torch.stack(list(losses.values())).sum()
        self.parts = {"loss": float(total.detach())}
        self.parts |= {name: float(value.detach()) for name, value in losses.items()}
        return total

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One optimiser step, then the new weights into the average, before any state is saved."""
        super().optimizer_step(*args, **kwargs)
        self.averaged.update_parameters(self.model)

    def configure_optimizers(self) -> Any:
        """The optimiser, its rate halved every so many epochs, by a cosine, or calmed by steps."""
        parameters, cfg = self.model.parameters(), self.config
        optimizer: torch.optim.Optimizer
        if cfg.optimiser == "adagrad":
            optimizer = torch.optim.Adagrad(parameters, lr=cfg.lr)
        else:
            kind = torch.optim.AdamW if cfg.optimiser == "adamw" else torch.optim.Adam
            optimizer = kind(parameters, lr=cfg.lr, betas=(0.9, cfg.beta2))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def _rate(self, step: int) -> float:
        """Share of the learning rate at a step."""
        halve, calm = self.config.halve_every * self.epoch_steps, self.config.calm_after
        share = 1.0
        if self.config.schedule == "halve" and halve:
            share = 0.5 ** (step // halve)
        elif self.config.schedule == "cosine":
            done = min(1.0, step / (self.epochs * self.epoch_steps))
            share = 0.5 * (1 + math.cos(math.pi * done))
        return share * math.sqrt(calm / step) if calm and step > calm else share

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The state of any number of processes is the same."""
        checkpoint["state_dict"].pop("unreached", None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the batch after the last one that counted."""
        if self.unreached is not None:
            checkpoint["state_dict"]["unreached"] = self.unreached.detach()
        self.batches.first_step = checkpoint["global_step"]

    def train_dataloader(self) -> Batches:
        """The endless batches."""
        return self.batches
