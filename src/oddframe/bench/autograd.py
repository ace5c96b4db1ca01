"""A yardstick: the chunked scan written out, for autograd to find the backward by itself.

The scheme is that of `oddframe.ops.chunked`, whose backward is written by hand and works off the
batch in groups: here every state of every step is kept, as by anyone who lets autograd do it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_CHUNKS, LEAST_STEPS = 64, 8


def scan_by_autograd(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, softplus: bool, reverse: bool
) -> tuple[Tensor, Tensor]:
    """As `oddframe.ops.chunked.scan_chunked`, in its layout: (b, l, g, e) and (b, g, n, e)."""
    if reverse:
        flipped = (x.flip(1) for x in (u, delta, B, C))
        u, delta, B, C = flipped
        y, last = scan_by_autograd(u, delta, A, B, C, softplus, False)
        return y.flip(1), last
    length = u.shape[1]
    chunks = max(1, min(MOST_CHUNKS, length // LEAST_STEPS))
    steps = -(-length // chunks)

    def cut(x: Tensor) -> Tensor:
        """(b, l, ...) -> (b, k, t, ...), padded with zeros: no input, no decay."""
        padded: Tensor = F.pad(x, (0, 0) * (x.dim() - 2) + (0, chunks * steps - length))
        return padded.view(x.shape[0], chunks, steps, *x.shape[2:])

    dt = F.softplus(delta) if softplus else delta
    x, dt = cut(dt * u), cut(dt)
    decays = torch.exp(dt[..., None, :] * A).unbind(2)  # per t: b k g n e
    inputs = (x[..., None, :] * cut(B)[..., None]).unbind(2)

    def run(state: Tensor) -> list[Tensor]:
        """The states of every step, all chunks side by side."""
        states = []
        for decay, value in zip(decays, inputs, strict=True):
            state = decay * state + value
            states.append(state)
        return states

    ends = run(torch.zeros_like(inputs[0]))[-1]
    whole = torch.exp(dt.sum(2)[..., None, :] * A)  # decay over a chunk: b k g n e
    state, starts = torch.zeros_like(ends[:, 0]), []
    for end, decay in zip(ends.unbind(1), whole.unbind(1), strict=True):
        starts.append(state)
        state = decay * state + end
    h = torch.stack(run(torch.stack(starts, 1)), 2)
    y = (h * cut(C)[..., None]).sum(-2).flatten(1, 2)[:, :length]
    return y, state
