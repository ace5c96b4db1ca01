"""Gradient checkpointing: blocks that keep their input alone, and run again in the backward pass.

Memory for about a third more time. Which parts may run twice, a model says by deriving them from
`Block`: those without a memory, which the second run would read as the first has left it, and write
once more. Statistics of a BatchNorm are moved by the first run only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """A part of a model that may run again in the backward pass; it holds no memory."""


class Layers(Block, nn.Sequential):
    """A row of layers that is one block."""


def blocks_of(net: nn.Module) -> list[Block]:
    """The outermost blocks inside a model, in its order."""
    found: list[Block] = []
    for child in net.children():
        found += [child] if isinstance(child, Block) else blocks_of(child)
    return found


@contextmanager
def recomputed(net: nn.Module) -> Iterator[None]:
    """While open, the blocks of a model run again in the backward pass (`blocks_of`)."""
    blocks = blocks_of(net)
    for block in blocks:
        block.forward = partial(_run, block, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # that of the class shows again


def _run(block: Block, forward: Any, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(
        forward, *args, use_reentrant=False, preserve_rng_state=False,
        context_fn=partial(_both_runs, block), **kwargs,
    )  # fmt: skip


def _both_runs(block: Block) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first and the second run."""
    return nullcontext(), _statistics_stay(block)


@contextmanager
def _statistics_stay(block: Block) -> Iterator[None]:
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    with ExitStack() as stack:
        for norm in norms:
            stack.callback(setattr, norm, "momentum", norm.momentum)
            norm.momentum = 0.0  # means and variances stay what they are
            if norm.num_batches_tracked is not None:
                count = norm.num_batches_tracked
                stack.callback(count.copy_, count.clone())
        yield
