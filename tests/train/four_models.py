"""Fifty steps of four models, by one process or by each of two that share every batch.

python four_models.py RANK PORT STORE OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console

from oddframe.data.frames import FrameStore
from oddframe.models import build
from oddframe.train.budget import Budget, Clocks
from oddframe.train.devices import Place
from oddframe.train.drive import Job, drive
from oddframe.train.module import Batches
from oddframe.train.ranks import Ranks
from oddframe.train.split import Span
from oddframe.train.wanted import configs

SIZE, BATCH, EPOCHS = 32, 8, 5
RUNS = 10 * BATCH
MODELS = {
    "m2s2l-small": [
        "model.width=8", "model.patches=[8,16]", "model.depths=[1,1]", "model.upscale=4",
        "model.history=4", "model.windows=[2,4]", "model.memory_items=6",
    ],
    "stnmamba-128": ["model.width=8", "model.depth=1", "model.memory_items=[4,4,3,3]"],
    "msti-net-128": ["model.width=8", "model.memory_items=4"],
    "mnad-128": ["model.width=4", "model.items=4"],
}  # fmt: skip
COMMON = [
    f"model.size={SIZE}", f"train.batch={BATCH}", "train.targets=1", "train.lr=2e-4",
    "train.calm_after=0",
]  # fmt: skip


def write_video(path):
    """As many frames as the runs of `trained` need, with a block that moves."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (64, 48))
    for i in range(RUNS + 8):
        image = np.full((48, 64, 3), (60, 90, 120), np.uint8)
        image[8:20, 3 * i % 56 :][:, :8] = (200, 40, 250 - i % 100)
        writer.write(image)
    writer.release()


class Doubles(Batches):
    """Rounding grows a hundred thousandfold in fifty steps: equality shows in float64 alone."""

    def at(self, step):
        return super().at(step).double()


def trained(name, store, out, ranks, *more, double=True):
    """The card's facts and the weights after fifty steps; the curve lies in `out`."""
    chosen = configs(name, [*COMMON, *MODELS[name], *more])
    torch.manual_seed(0)
    net = build(name, chosen.model)
    length, kind = net.history + 1, Doubles if double else Batches
    net = net.double() if double else net
    batches = kind(store, [Span(0, RUNS + length - 1)], length, BATCH, 0)
    out.mkdir(parents=True, exist_ok=True)
    job = Job(
        name, chosen.model, chosen.train, batches, Budget(epochs=EPOCHS), out, False, "cpu"
    )  # fmt: skip
    facts = drive(job, net, ranks, Clocks.now(), Console(quiet=True))
    return facts, net.state_dict()


if __name__ == "__main__":
    rank, port, store, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    torch.set_num_threads(1)
    ranks = Ranks(Place(rank, 2, rank, 2, port=port))
    ranks.meet()
    ranks.form("cpu")
    frames = FrameStore.open(Path(store))
    # In bf16, and with blocks that run again in the backward pass: the same numbers.
    more = ["train.precision=bf16-mixed"]
    for again in (False, True):
        more.append(f"train.checkpoint_gradients={str(again).lower()}")
        folder = out / f"again {again}"
        _, state = trained("m2s2l-small", frames, folder, ranks, *more, double=False)
        torch.save(state, folder / f"{rank}.pt")
    torch.Tensor.float = torch.Tensor.double  # what models compute in float32 throughout
    for name in MODELS:
        facts, state = trained(name, frames, out / name, ranks)
        torch.save((facts, state), out / name / f"{rank}.pt")
