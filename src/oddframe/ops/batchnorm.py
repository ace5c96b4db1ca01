"""BatchNorm over the whole batch, where several processes share it.

With statistics of its own share each process would train another network than one process does.
torch's SyncBatchNorm does it between GPUs and refuses the CPU; `BatchNorm` here is for that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from oddframe.ops.together import processes, summed_with_gradient


class BatchNorm(_BatchNorm):
    """`nn.BatchNorm1d … 3d` whose mean and variance are those of all processes' shares."""

    def _check_input_dim(self, input: Tensor) -> None:  # any: channels are dimension 1
        pass

    def forward(self, input: Tensor) -> Tensor:  # its name in torch
        """(n, c, …) -> the same, normalised per channel."""
        if not self.training or processes() == 1:
            return super().forward(input)
        x = input.float()
        over = [i for i in range(x.dim()) if i != 1]
        count = x.numel() // x.shape[1] * processes()
        mean = summed_with_gradient(x.sum(over)) / count
        centred = x - _channels(mean, x)
        # A second message, but no difference of two large squares.
        variance = summed_with_gradient(centred.square().sum(over)) / count
        self._follow(mean.detach(), variance.detach() * count / max(count - 1, 1))
        out = centred * _channels((variance + self.eps).rsqrt(), x)
        if self.affine:
            out = out * _channels(self.weight, x) + _channels(self.bias, x)
        return out.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if not self.track_running_stats:
            return
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        n = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), n)
        self.running_var.lerp_(variance.to(self.running_var), n)


def _channels(x: Tensor, like: Tensor) -> Tensor:
    """(c,) beside (n, c, …)."""
    return x.view(1, -1, *[1] * (like.dim() - 2))


def synced(net: nn.Module, device: str) -> nn.Module:
    """Replace every BatchNorm inside, in place: the same parameters, buffers and names.

    device: cuda or cpu, where it will train.
    """
    if device == "cuda":
        out: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(net)
        return out
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(child, BatchNorm):
                parent._modules[name] = _like(child)
    return net


def _like(norm: _BatchNorm) -> BatchNorm:
    out = BatchNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    out.training = norm.training
    out._parameters, out._buffers = norm._parameters, norm._buffers
    return out
