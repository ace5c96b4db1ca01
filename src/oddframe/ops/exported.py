"""The selective scan as graphs for other runtimes can have it: no loop of theirs, nothing in place.

`scan_unrolled` is the chunked form (`ops.chunked`) with every step written out, chunks of chunks of
chunks: over 1024 places 32 steps, over 4096 the same.
`scan_attention` is one node, `LinearAttention` of ONNX: a selective scan is gated linear attention
with a head for each channel. Both are only for inference.

Letters: b batch, l length, g groups, e channels of a group, n state size, k chunks, t steps in a
chunk.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 8
"""Steps of a chunk."""
SHORT = 16
"""Sequences up to this are not cut up."""
ATTENTION, ATTENTION_OPSET = "LinearAttention", 27
"""The operator of ONNX, and the opset that it came with."""
DOMAIN = "oddframe"
"""Where it stands while a graph is made: torch's translations are of an older opset and would be
converted, which is not known for so new a one. `export.write` puts it into its own."""


def scan_unrolled(
    u_blge: Tensor,
    delta_blge: Tensor,
    A_gne: Tensor,
    B_blgn: Tensor,
    C_blgn: Tensor,
    softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """The scan as plain operators that write nothing in place; see `ops.chunked.scan_chunked`."""
    given = (u_blge, delta_blge, A_gne, B_blgn, C_blgn)
    work = torch.promote_types(A_gne.dtype, torch.float32)
    # A cast to what it is already would be a node of the graph.
    u, delta, A, B, C = (x if x.dtype == work else x.to(work) for x in given)
    if reverse:
        u, delta, B, C = (x.flip(1) for x in (u, delta, B, C))
    delta = F.softplus(delta) if softplus else delta
    h = _states(delta, (delta * u).unsqueeze(-2) * B.unsqueeze(-1), A)
    y = (h * C.unsqueeze(-1)).sum(-2)
    y = y.flip(1) if reverse else y
    return y if y.dtype == u_blge.dtype else y.to(u_blge.dtype), h[:, -1]


def _states(dt_blge: Tensor, x_blgne: Tensor, A: Tensor) -> Tensor:
    """All h_t = exp(dt_t A) h_{t-1} + x_t: (b, l, g, n, e).

    Chunks run side by side from a zero state. What they end with is a scan over the chunks, by the
    same means; what each starts from it adds, decayed by exp(sum) <= 1, so nothing overflows.
    """
    length = x_blgne.shape[1]
    if length <= SHORT:
        return _one_by_one(torch.exp(dt_blge.unsqueeze(-2) * A), x_blgne, 1)
    chunks = -(-length // STEPS)
    dt, x = (_cut(v, chunks) for v in (dt_blge, x_blgne))  # b k t ...
    h = _one_by_one(torch.exp(dt.unsqueeze(-2) * A), x, 2)
    ends = _states(dt.sum(2), h[:, :, -1], A)
    starts = torch.cat((torch.zeros_like(ends[:, :1]), ends[:, :-1]), 1).unsqueeze(2)
    h = h + torch.exp(dt.cumsum(2).unsqueeze(-2) * A) * starts
    joined = h.flatten(1, 2)
    return joined if chunks * STEPS == length else joined[:, :length]


def _cut(x: Tensor, chunks: int) -> Tensor:
    """(b, l, ...) -> (b, k, t, ...); the padding is zeros: no input, no decay."""
    pad = chunks * STEPS - x.shape[1]
    if pad:
        x = F.pad(x, (0, 0) * (x.dim() - 2) + (0, pad))
    return torch.unflatten(x, 1, (chunks, STEPS))


def _one_by_one(decay: Tensor, x: Tensor, dim: int) -> Tensor:
    """h_t = decay_t h_{t-1} + x_t along one axis, from a zero state; all of one shape."""
    first, *later = x.split(1, dim)
    states = [first]
    for d, v in zip(decay.split(1, dim)[1:], later, strict=True):
        states.append(d * states[-1] + v)
    return torch.cat(states, dim)


def scan_attention(
    u_blge: Tensor,
    delta_blge: Tensor,
    A_gne: Tensor,
    B_blgn: Tensor,
    C_blgn: Tensor,
    softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """The scan as one `LinearAttention` node, while a graph for ONNX is made; zeros anywhere else.

    A head for each channel: query C, key B, value delta u, log decay delta A; keys of n values,
    values of one. Arguments as of `ops.chunked.scan_chunked`.
    """
    b, length, g, e = u_blge.shape
    n = A_gne.shape[1]
    delta = F.softplus(delta_blge) if softplus else delta_blge
    decay = delta.unsqueeze(-1) * A_gne.mT  # b l g e n
    query, key = (x.unsqueeze(3).expand(b, length, g, e, n) for x in (C_blgn, B_blgn))
    value = (delta * u_blge).unsqueeze(-1)
    parts = [x.flip(1) if reverse else x for x in (query, key, value, decay)]
    q, k, v, d = (x.reshape(b, length, -1).float() for x in parts)
    y, last = torch.onnx.ops.symbolic_multi_out(
        f"{DOMAIN}::{ATTENTION}",
        (q, k, v, None, d),
        {"update_rule": "gated", "q_num_heads": g * e, "kv_num_heads": g * e, "scale": 1.0},
        dtypes=(torch.float32, torch.float32),
        shapes=((b, length, g * e), (b, g * e, n, 1)),
        version=1,
    )
    y = y.unflatten(-1, (g, e))
    state: Tensor = last.view(b, g, e, n).mT
    return (y.flip(1) if reverse else y).to(u_blge.dtype), state
