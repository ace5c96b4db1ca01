"""Blocks that the Mamba models share: patches in, merged, expanded and out again, VSSB, MS-VSSB.

Letters: b batch, h w rows and columns of the token grid, d model width, e inner width, r patch.
Tokens are channels last, (b, h, w, d): linear layers and the scan want them so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from oddframe.models.recompute import Block
from oddframe.ops.norm import LayerNorm
from oddframe.ops.ss2d import SS2D

M = TypeVar("M", bound=nn.Module)
FINE = 8
"""Pixels: cutting out patches smaller than this costs more than the convolution they stand for."""


def modules(items: Iterable[M]) -> Sequence[M]:
    """An `nn.ModuleList` that type checkers know the members of."""
    return cast(Sequence[M], nn.ModuleList(items))


def mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    """Linear, GELU, linear."""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, out))


def scan_flops(part: nn.Module, places: int) -> int:
    """9 L D N of every SS2D inside `part`, over `places` tokens."""
    return sum(m.scan_flops(places) for m in part.modules() if isinstance(m, SS2D))


def depthwise(x_bhwc: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Depth-wise convolution of channels-last tokens, size kept; weight (c, 1, k, k), k odd."""
    x = x_bhwc.permute(0, 3, 1, 2)
    y = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=weight.shape[0])
    return y.permute(0, 2, 3, 1)


class PatchEmbed(nn.Module):
    """Patch partition and linear embedding with LayerNorm: (b, c, H, W) -> (b, H/r, W/r, d)."""

    def __init__(self, patch: int, width: int, channels: int = 3, norm: bool = True) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Linear(channels * patch * patch, width)
        self.norm = LayerNorm(width) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, H, W) -> (b, H/r, W/r, d)."""
        if self.patch < FINE:
            kernel = self.project.weight.unflatten(1, (x.shape[1], self.patch, self.patch))
            tokens = F.conv2d(x, kernel, self.project.bias, self.patch).permute(0, 2, 3, 1)
        else:
            tokens = self.project(self._patches(x))
        out: Tensor = self.norm(tokens)
        return out

    def portions(self, x: Tensor, count: int) -> tuple[Tensor, ...]:
        """What x adds as each `count`-th of the channels: (b, c / count, H, W) -> (b, h, w, d).

        Their sum over all parts of an input, plus the bias, is the embedding without its norm: so
        what one frame adds to several inputs is computed once.
        """
        weight = self.project.weight.unflatten(1, (count, -1)).transpose(0, 1).flatten(0, 1)
        return F.linear(self._patches(x), weight).chunk(count, -1)

    def joined(self, portions: Sequence[Tensor]) -> Tensor:
        """The embedding, without its norm, from the portions of every part of an input."""
        total = portions[0] + self.project.bias
        for portion in portions[1:]:
            total = total + portion
        return total

    def _patches(self, x: Tensor) -> Tensor:
        # A convolution r x r with stride r, written as the matrix product that it is.
        return rearrange(x, "b c (h p) (w q) -> b h w (c p q)", p=self.patch, q=self.patch)


class VSSB(Block):
    """Visual state space block (M2S2L Fig. 2c; VMamba): gated SS2D with a residual.

    Two linear branches; one goes through DWConv 3x3, SiLU, SS2D and LayerNorm and is gated by the
    SiLU of the other. DEVIATION: a LayerNorm stands before the branches, as in VMamba's code;
    the figure starts at the linear layers, and deep stacks do not train without it.
    """

    activation: ClassVar = staticmethod(F.silu)

    def __init__(
        self, width: int, *, expand: int = 2, state: int = 16, rank: int | None = None
    ) -> None:
        super().__init__()
        inner = expand * width
        self.norm = LayerNorm(width)
        self.branches = nn.Linear(width, 2 * inner, bias=False)
        self.conv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.ss2d = SS2D(inner, state, rank)
        self.out_norm = LayerNorm(inner)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, d) -> (b, h, w, d)."""
        return x + self.scanned(self.norm(x))

    def scanned(self, x_norm: Tensor) -> Tensor:
        """Both branches of the normed input, without the residual: (b, h, w, d) both."""
        # Two products, not one cut in two: the convolution would have to copy its half.
        to_main, to_gate = self.branches.weight.chunk(2)
        main, gate = F.linear(x_norm, to_main), F.linear(x_norm, to_gate)
        main = self.activation(depthwise(main, self.conv.weight, self.conv.bias))
        out: Tensor = self.out(self.gated(self.ss2d(main), gate))
        return out

    def gated(self, x: Tensor, gate: Tensor) -> Tensor:
        """What leaves the scan, normed and gated."""
        out: Tensor = self.out_norm(x, gate)
        return out


class MultiScaleConv(nn.Module):
    """Eq. 1 and the sum in Eq. 2: x + DWConv_1(x) + DWConv_3(x) + DWConv_5(x).

    residual: off, without the x (STNMamba Eq. 2).
    """

    KERNELS = (1, 3, 5)

    def __init__(self, width: int, *, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.convs = modules(
            nn.Conv2d(width, width, k, padding=k // 2, groups=width) for k in self.KERNELS
        )

    def kernel(self) -> tuple[Tensor, Tensor]:
        """The three convolutions (and the residual) as one 5x5 kernel: (d, 1, 5, 5), (d,)."""
        weight = torch.zeros_like(self.convs[-1].weight)
        weight[:, :, 2, 2] = float(self.residual)
        bias = torch.zeros_like(weight[:, 0, 0, 0])
        for conv, k in zip(self.convs, self.KERNELS, strict=True):
            weight = weight + F.pad(conv.weight, [(5 - k) // 2] * 4)
            bias = bias + cast(Tensor, conv.bias)
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, d) -> (b, h, w, d); one convolution instead of three, the same numbers."""
        return depthwise(x, *self.kernel())


class MSVSSB(Block):
    """Multi-scale VSSB (M2S2L Fig. 2b, Eq. 1, 2): VSSB(x + sum of depth-wise convolutions)."""

    def __init__(
        self, width: int, *, expand: int = 2, state: int = 16, multi_scale: bool = True
    ) -> None:
        super().__init__()
        self.local = MultiScaleConv(width) if multi_scale else nn.Identity()
        self.block = VSSB(width, expand=expand, state=state)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, d) -> (b, h, w, d)."""
        out: Tensor = self.block(self.local(x))
        return out


class ECA(nn.Module):
    """Efficient channel attention (Wang et al. 2020): a convolution over the pooled channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        reach = int(abs(math.log2(width) + 1) / 2)
        kernel = reach + 1 - reach % 2  # the paper's rule: the next odd number
        self.weight = nn.Parameter(torch.empty(kernel).uniform_(-(kernel**-0.5), kernel**-0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, d) -> (n, h, w, d)."""
        reach = len(self.weight) // 2
        near = F.pad(x.mean((1, 2)), (reach, reach)).unfold(1, len(self.weight), 1)  # n d kernel
        return x * torch.sigmoid(near @ self.weight)[:, None, None]


class PatchMerge(nn.Module):
    """Half the resolution at twice the width: (n, h, w, d) -> (n, h/2, w/2, 2d) (Swin)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(4 * width)
        self.project = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, d) -> (n, h/2, w/2, 2d)."""
        x = rearrange(x, "n (h p) (w q) d -> n h w (p q d)", p=2, q=2)
        out: Tensor = self.project(self.norm(x))
        return out


class PatchExpand(nn.Module):
    """Twice the resolution at half the width: (b, h, w, d) -> (b, 2h, 2w, d/2) (VM-UNet)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 2 * width, bias=False)
        self.norm = LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, d) -> (b, 2h, 2w, d/2)."""
        x = rearrange(self.project(x), "b h w (p q c) -> b (h p) (w q) c", p=2, q=2)
        out: Tensor = self.norm(x)
        return out


class PatchHead(nn.Module):
    """The last step: patches expanded r times at the same width, then a linear map to a picture."""

    def __init__(self, width: int, patch: int, channels: int = 3) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Linear(width, patch**2 * width, bias=False)
        self.norm = LayerNorm(width)
        self.colour = nn.Linear(width, channels)
        with torch.no_grad():  # start near grey, or near "no change"
            self.colour.weight.mul_(0.1)
            self.colour.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, d) -> (n, c, r h, r w)."""
        # At full resolution every pass costs. Of vectors without mean (this map gives none) the
        # norm is one factor, which can wait until only the channels of the picture are left; and
        # those are made of the small map, so that the large one is read for its lengths alone.
        weight = self.project.weight.unflatten(0, (self.patch**2, -1))  # (p q) d, of the small d
        weight = weight - weight.mean(1, keepdim=True)
        large = F.linear(x, weight.flatten(0, 1)).unflatten(-1, weight.shape[:2])
        length = torch.linalg.vector_norm(large, dim=-1, keepdim=True)  # x * x: one more map
        spread = (length.square() / x.shape[-1] + self.norm.eps).rsqrt()
        to_colour = (self.colour.weight * self.norm.weight) @ weight
        bias = F.linear(self.norm.bias, self.colour.weight, self.colour.bias)
        x = F.linear(x, to_colour.flatten(0, 1)).unflatten(-1, to_colour.shape[:2]) * spread + bias
        out: Tensor = rearrange(x, "n h w (p q) c -> n c (h p) (w q)", p=self.patch)
        return out


class Decoder(nn.Module):
    """VSSB blocks, then patch expansion to the picture: (n, h, w, d) -> (n, 3, h stride, w stride).

    stride: pixels per token. upscale: factor of the last step, a pixel shuffle; the steps before
    it double the resolution and halve the width.
    """

    def __init__(
        self, width: int, stride: int, *, depth: int, upscale: int, expand: int, state: int
    ) -> None:
        super().__init__()
        self.blocks = modules(VSSB(width, expand=expand, state=state) for _ in range(depth))
        expands = []
        while stride > upscale:
            expands.append(PatchExpand(width))
            width, stride = width // 2, stride // 2
        self.expand = nn.Sequential(*expands)
        self.head = nn.Conv2d(width, 3 * upscale**2, 3, padding=1)
        self.upscale = upscale
        with torch.no_grad():  # start near "no change": the first steps are not spent unlearning
            self.head.weight.mul_(0.1)
            cast(Tensor, self.head.bias).zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, d) -> (n, 3, H, W)."""
        for block in self.blocks:
            x = block(x)
        return F.pixel_shuffle(self.head(self.expand(x).permute(0, 3, 1, 2)), self.upscale)


def resize_tokens(x_bhwd: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of a token grid (Eq. 3); a copy-free no-op at its own size."""
    if x_bhwd.shape[1:3] == size:
        return x_bhwd
    x = x_bhwd.permute(0, 3, 1, 2)
    return F.interpolate(x, size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def weighted_sum(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Sum of weights[i] maps[i], a quarter of the time of stacking them: each is read once."""
    total = weights[0] * maps[0]
    for w, x in zip(weights[1:], maps[1:], strict=True):
        total = total.addcmul_(x, w)
    return total
