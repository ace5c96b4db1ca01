"""From a picture of any size to model input, inside a graph.

Letters: t pictures, h w rows and columns, s rows and columns of the model.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_frames(pictures: Tensor, size: int) -> Tensor:
    """Pictures (t, h, w, 3) uint8 BGR -> frames (t, 3, s, s) float32 RGB in [-1, 1].

    By area, rounded to 8 bit, as `pictures.resize_bgr` and `data.to_model`: at the model's own
    size the same bits; from another the same but for roundings, one level of 255.
    """
    small = area(area(pictures.to(torch.float32), 1, size), 2, size).round()
    rgb = small.flip(-1).movedim(-1, 1)
    return rgb / 127.5 - 1


def area(x: Tensor, dim: int, size: int) -> Tensor:
    """Means over `size` equal cells of one axis: (..., n, ...) -> (..., size, ...).

    A cell that covers a part of a place takes that part of it. As differences of running sums,
    which costs one pass whatever n is, so n can be left open. The sums are exact: of 8-bit values
    in float32 up to 65 thousand places, of means in float64.
    """
    n = x.shape[dim]
    wide = x if dim == 1 else x.double()
    edges = torch.arange(size + 1, device=x.device) * n
    whole = edges // size
    part = (edges - whole * size).double() / size
    before = torch.cat((torch.zeros_like(wide.narrow(dim, 0, 1)), wide.cumsum(dim)), dim)
    inside = wide.index_select(dim, whole.clamp_max(n - 1)).double()
    shape = [-1 if i == dim else 1 for i in range(x.dim())]
    sums = before.index_select(dim, whole).double() + part.view(shape) * inside
    means = (sums.narrow(dim, 1, size) - sums.narrow(dim, 0, size)) * size / n
    return means if dim == 1 else means.float()
