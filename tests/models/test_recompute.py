"""Blocks that run again in the backward pass: the same gradients, memories and statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from oddframe.models import build
from oddframe.models.memory import ItemMemory
from oddframe.models.recompute import Block, blocks_of, recomputed
from oddframe.train.wanted import configs

MODELS = {
    "m2s2l-small": [
        "model.size=32", "model.width=8", "model.patches=[8,16]", "model.depths=[1,1]",
        "model.upscale=4", "model.history=4", "model.windows=[2,4]", "model.memory_items=6",
    ],
    "stnmamba-128": ["model.size=32", "model.width=8", "model.depth=1"],
    "msti-net-128": ["model.size=32", "model.width=8", "model.flow=rgbdiff"],
    "mnad-128": ["model.size=32", "model.width=4"],
    "ammc-128": ["model.size=32", "model.width=4", "model.items=5", "model.flow=rgbdiff"],
    "vadmamba-128": [
        "model.size=32", "model.width=8", "model.history=4", "model.codes=8", "model.flow=rgbdiff",
    ],
}  # fmt: skip


def steps_of(net, clips):
    """Gradients of every step, and the state after them."""
    found = []
    for clip in clips:
        net.zero_grad()
        losses = net.losses(net(clip[:, :-1]), clip)
        torch.stack(list(losses.values())).sum().backward()
        found.append({n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None})
    return found, {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("name", MODELS)
def test_a_second_run_of_the_blocks_changes_nothing(name):
    config = configs(name, MODELS[name]).model
    torch.manual_seed(0)
    net = build(name, config).train()
    again = build(name, config).train()
    again.load_state_dict(net.state_dict())
    clips = torch.rand(3, 2, net.history + 1, 3, 32, 32) * 2 - 1
    runs = []
    count = blocks_of(again)[0].register_forward_hook(lambda *_: runs.append(1))
    want, state = steps_of(net, clips)
    with recomputed(again):
        got, after = steps_of(again, clips)
    count.remove()
    assert state.keys() == after.keys()
    for key, value in state.items():
        assert torch.equal(after[key], value), key
    for mine, theirs in zip(got, want, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            torch.testing.assert_close(mine[key], value, rtol=1e-5, atol=1e-7, msg=key)
    assert all("forward" not in vars(block) for block in blocks_of(again))


def test_blocks_do_run_twice_and_hold_no_memory():
    net = build("m2s2l-small", configs("m2s2l-small", MODELS["m2s2l-small"]).model).train()
    blocks, ran = blocks_of(net), []
    assert not any(isinstance(m, ItemMemory) for block in blocks for m in block.modules())
    inner = blocks[0].local.register_forward_hook(lambda *_: ran.append(torch.is_grad_enabled()))
    clip = torch.rand(1, net.history + 1, 3, 32, 32)
    with recomputed(net):
        losses = net.losses(net(clip[:, :-1]), clip)
        once = len(ran)
        torch.stack(list(losses.values())).sum().backward()
    inner.remove()
    assert once == 1
    assert len(ran) == 2


def test_what_a_block_would_keep_is_not_kept():
    class Wide(Block):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 64), nn.GELU(), nn.Linear(64, 4), nn.GELU())

        def forward(self, x):
            return self.layers(x)

    net = nn.Sequential(*(Wide() for _ in range(3)))

    def kept():
        sizes = []
        pack = lambda t: sizes.append(t.numel()) or t  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            net(torch.rand(8, 4, requires_grad=True))
        return sum(sizes)

    plain = kept()
    with recomputed(net):
        assert kept() < plain / 10
    assert kept() == plain
