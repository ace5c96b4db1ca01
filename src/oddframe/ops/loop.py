"""The selective scan step by step: the slow twin that every backend is held against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def scan_loop(
    u_blge: Tensor,
    delta_blge: Tensor,
    A_gne: Tensor,
    B_blgn: Tensor,
    C_blgn: Tensor,
    softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run the recurrence step by step: the slow twin that every backend is held against.

    Plain torch in the dtype of its inputs (float64 included), differentiable by autograd.
    Shapes as in `oddframe.ops.chunked.scan_chunked`.
    """
    if softplus:
        delta_blge = F.softplus(delta_blge)
    h = torch.zeros_like(B_blgn[:, 0, :, :, None] * u_blge[:, 0, :, None, :])  # b g n e
    ys = []
    order = range(u_blge.shape[1])
    for t in reversed(order) if reverse else order:
        delta, u = delta_blge[:, t, :, None, :], u_blge[:, t, :, None, :]  # b g 1 e
        h = torch.exp(delta * A_gne) * h + delta * u * B_blgn[:, t, :, :, None]
        ys.append((h * C_blgn[:, t, :, :, None]).sum(-2))
    return torch.stack(ys[::-1] if reverse else ys, 1), h
