"""How many items of a model's memories its queries choose at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from oddframe.models.memory import ItemMemory


@contextmanager
def items_in_use(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """While open, counts the queries that each item of every memory of a model wins.

    Gives {name of the memory: counts (m,) int64}, which grow with every call of the model; an item
    is in use that wins at least one.
    """
    memories = {n: m for n, m in model.named_modules() if isinstance(m, ItemMemory)}
    counts = {n: torch.zeros(len(m), dtype=torch.int64) for n, m in memories.items()}

    def count(name: str, memory: ItemMemory, x: Tensor) -> None:
        counts[name] += torch.bincount(memory.which(x).cpu(), minlength=len(memory))

    hooks = [
        m.register_forward_pre_hook(lambda m, args, n=n: count(n, m, args[0]))
        for n, m in memories.items()
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def in_use(counts: Mapping[str, Tensor]) -> dict[str, dict[str, int]]:
    """Of each memory its `items`, and how many of them won any query (`items_in_use`): `in_use`."""
    return {
        name.removeprefix("memory."): {"items": len(wins), "in_use": int((wins > 0).sum())}
        for name, wins in counts.items()
    }


def in_use_text(memories: Mapping[str, Mapping[str, int]]) -> str:
    """`in_use` in words."""
    return ", ".join(f"{name} {m['in_use']:,} of {m['items']:,}" for name, m in memories.items())
