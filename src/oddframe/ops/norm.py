"""LayerNorm over channels, with the gate of a Mamba block: compiled, in one pass, in inference.

torch's own takes several times as long for rows as short as these, and the gate three more passes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oddframe.ops import native


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` of the last axis that can gate its output; parameters and names are its own.

    Without gradients, in float32 on a CPU, it is one call of the C extension, where that was
    built. Everywhere else, and in training, it is the two lines of torch under `plain`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, input: Tensor, gate: Tensor | None = None) -> Tensor:  # its name in torch
        """(..., c), and a gate like it -> LayerNorm(input), times SiLU(gate)."""
        x = input
        if torch.is_grad_enabled() or not native.takes(x, gate, self.weight):
            return self.plain(x, gate)
        return native.norm(x, self.weight, self.bias, self.eps, gate)

    def plain(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """The same in plain torch, with gradients and on any device."""
        y = super().forward(x)
        return y if gate is None else y * F.silu(gate)
