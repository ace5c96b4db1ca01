"""What is written in training, of a whole batch by one process or of shares of it by two.

python shares.py RANK PORT FILE        # one of the two; leaves what came of every case
"""

from __future__ import annotations

import sys

import torch
from torch import nn

from oddframe.models.ammc import Pool
from oddframe.models.memory import Memory, MemoryConfig
from oddframe.models.mnad import Items
from oddframe.models.msti import Prototypes
from oddframe.models.stnmamba import MemoryBank
from oddframe.models.vadmamba import Quantiser
from oddframe.ops.batchnorm import synced

STEPS, BATCH = 12, 4


def memory(**settings):
    return Memory(6, MemoryConfig(memory_items=5, **settings))


CASES = {
    "memory": (memory, (7, 6)),
    "memory, centred": (lambda: memory(memory_centre=True, memory_momentum=0.5), (7, 6)),
    "memory, nearest": (lambda: memory(memory_write="nearest", memory_revive=False), (7, 6)),
    "memory, all, random": (lambda: memory(memory_write="all", memory_start="random"), (7, 6)),
    "memory, many idle": (lambda: Memory(6, MemoryConfig(memory_items=40)), (7, 6)),
    "msti": (lambda: Prototypes(6, 5, 0.1, True), (7, 6)),
    "msti, all": (lambda: Prototypes(6, 5, 1.0, False), (7, 6)),
    "stnmamba": (lambda: MemoryBank(6, 5, 0.6), (3, 3, 6)),
    "stnmamba, literal": (lambda: MemoryBank(6, 5, 0.6, literal=True), (3, 3, 6)),
    "mnad": (lambda: Items(5, 6), (7, 6)),
    "ammc": (lambda: Pool(6, 5, 0.9), (7, 6)),
    "ammc, many idle": (lambda: Pool(6, 40, 0.5), (7, 6)),
    "vadmamba": (lambda: synced(Quantiser(5, 6, 0.9), "cpu"), (3, 3, 6)),
    "batch norm": (lambda: synced(nn.Sequential(nn.BatchNorm2d(6), nn.ReLU()), "cpu"), (6, 3, 3)),
    "batch norm, half": (lambda: synced(nn.Sequential(nn.BatchNorm1d(6)), "cpu").half(), (6, 3)),
}
"""By name: how to make it, and the shape of one of its inputs."""


def outcome(name: str, part: slice) -> dict[str, torch.Tensor]:
    """Buffers, the last output's part, and the gradients of its input and of the parameters."""
    torch.manual_seed(3)
    make, shape = CASES[name]
    module = make().train()
    draw = torch.Generator().manual_seed(5)
    for step in range(STEPS):
        # Queries of few kinds, other ones late: items are chosen, idle and moved.
        kinds = torch.randn(BATCH, *[1] * (len(shape) - 1), shape[-1], generator=draw)
        whole = kinds + 0.3 * torch.randn(BATCH, *shape, generator=draw) + (step > STEPS // 2)
        x = whole[part].clone()
        if name in ("mnad", "ammc", "ammc, many idle"):  # they take queries of unit length
            x = nn.functional.normalize(x, dim=-1)
        if name.endswith("half"):
            x = x.half()
        x.requires_grad_()
        module.zero_grad()
        out = module(x)
        out = out[0] if isinstance(out, tuple) else out
        if out.requires_grad:
            weight = torch.arange(out[0].numel()).view(out.shape[1:]) / out[0].numel()
            (out.float().square() * weight).flatten(1).mean(1).sum().backward()
    grads = {f"grad of {n}": p.grad for n, p in module.named_parameters() if p.grad is not None}
    own = {"out": out.detach(), **({} if x.grad is None else {"grad": x.grad})}
    return {**{n: b.clone() for n, b in module.named_buffers()}, **own, **grads}


if __name__ == "__main__":
    from oddframe.train.devices import Place
    from oddframe.train.ranks import Ranks

    rank, port, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    place = Place(rank, 2, rank, 2, port=port)
    ranks = Ranks(place)
    ranks.meet()
    ranks.form("cpu")
    torch.save({name: outcome(name, place.part(BATCH)) for name in CASES}, file)
