"""The selective scan in plain torch, fast enough to train with: chunks side by side.

The length is cut into k chunks of t steps. All chunks run their t steps side by side from a zero
state; a short loop carries the states from chunk to chunk; a second pass starts every chunk from
its true state. Every factor is exp(delta A) <= 1, so nothing overflows whatever delta is (the
closed form with exp(-cumsum) does). The backward pass runs the same scheme in reverse and
recomputes the states. The batch is worked off in groups whose tensors stay in the caches: on
whole batches the same arithmetic takes five times as long, nearly all of it in fresh memory.

Letters: b batch, l length, g groups, e channels of a group, n state size, k chunks, t steps in a
chunk. Time comes first inside, (t, b, k, g, n, e), so that each step reads one contiguous slab.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Elements of one step's slab: enough to hide the cost of a call, few enough for the caches.
_SLAB = 1 << 14
# Elements of one tensor of states (t, b, k, g, n, e) of a batch group: 2 MB of floats.
_GROUP = 1 << 19


def scan_chunked(
    u_blge: Tensor,
    delta_blge: Tensor,
    A_gne: Tensor,
    B_blgn: Tensor,
    C_blgn: Tensor,
    softplus: bool = False,
) -> tuple[Tensor, Tensor]:
    """Selective scan, channels last and grouped; the core that `selective_scan` and SS2D call.

    Args:
        u_blge: (b, l, g, e) input.
        delta_blge: (b, l, g, e) step sizes; positive ones unless `softplus`.
        A_gne: (g, n, e), negative.
        B_blgn: (b, l, g, n).
        C_blgn: (b, l, g, n).
        softplus: apply softplus to delta; in here it costs no pass over memory.

    Returns:
        y (b, l, g, e) in the dtype of u and the last state (b, g, n, e); computed in the dtype of
        A, float32 at least. The state carries no gradient.
    """
    if u_blge.is_meta:  # shapes only, so that a model can be counted without walking its steps
        b, _, g, e = u_blge.shape
        return torch.empty_like(u_blge), u_blge.new_empty(b, g, A_gne.shape[1], e)
    # bf16 autocast hands over a mixture; in bf16 a state would lose its small inputs.
    work = torch.promote_types(A_gne.dtype, torch.float32)
    args = [x.to(work) for x in (u_blge, delta_blge, A_gne, B_blgn, C_blgn)]
    y, last = _Scan.apply(*args, softplus)
    return y.to(u_blge.dtype), last


def _plan(length: int, step_elements: int) -> tuple[int, int]:
    """Choose (chunks, steps per chunk): slabs near `_SLAB`, no chunk shorter than 8 steps."""
    chunks = max(1, min(_SLAB // max(1, step_elements), length // 8))
    steps = -(-length // chunks)
    return -(-length // steps), steps


def _cut(x: Tensor, chunks: int, steps: int) -> Tensor:
    """(b, l, ...) -> contiguous (t, b, k, ...); the padding is zeros: no input, no decay."""
    b, length = x.shape[:2]
    if chunks * steps != length:
        x = F.pad(x, (0, 0) * (x.dim() - 2) + (0, chunks * steps - length))
    return x.reshape(b, chunks, steps, *x.shape[2:]).movedim(2, 0).contiguous()


def _join(x: Tensor, length: int) -> Tensor:
    """Undo `_cut`: (t, b, k, ...) -> (b, l, ...)."""
    x = x.movedim(0, 2)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :length]


def _run(decay: Tensor, x: Tensor, start: Tensor, reverse: bool = False) -> None:
    """h_t = decay_t h_{t-1} + x_t from `start`, in place of x; backwards in time if `reverse`.

    Backwards, the decay that leads from step t to t - 1 is that of step t, so it lags by one.
    """
    h = start
    if not reverse:
        for t in range(len(x)):
            h = x[t].addcmul_(decay[t], h)
        return
    x[-1].add_(h)
    for t in range(len(x) - 2, -1, -1):
        x[t].addcmul_(decay[t + 1], x[t + 1])


def _carry(ends: Tensor, decay: Tensor, reverse: bool = False) -> Tensor:
    """Chain chunk results (b, k, g, n, e) -> the state that each chunk starts from."""
    state = torch.zeros_like(ends[:, 0])
    starts = torch.empty_like(ends)
    order = range(ends.shape[1])
    for k in reversed(order) if reverse else order:
        starts[:, k] = state
        state = torch.addcmul(ends[:, k], decay[:, k], state)
    return starts


def _states(
    dt: Tensor, x: Tensor, Bt: Tensor, A: Tensor, start: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """All states h (t, b, k, g, n, e) of a group, the decays, and the states chunks start from."""
    decay = torch.mul(dt.unsqueeze(-2), A).exp_()
    h = x.unsqueeze(-2) * Bt.unsqueeze(-1)
    if start is None:
        start = torch.zeros_like(h[0])
        if h.shape[2] > 1:
            local = h.clone()
            _run(decay, local, start)
            start = _carry(local[-1], _whole(dt, A))
    _run(decay, h, start)
    return h, decay, start


def _whole(dt: Tensor, A: Tensor) -> Tensor:
    """Decay over a whole chunk: (b, k, g, n, e)."""
    return torch.mul(dt.sum(0).unsqueeze(-2), A).exp_()


class _Scan(torch.autograd.Function):
    """Forward and hand-written backward of the chunked scan, in batch groups."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, softplus: bool
    ) -> tuple[Tensor, Tensor]:
        (b, length, g, e), n = u.shape, A.shape[1]
        group = max(1, _GROUP // (length * g * e * n))
        plan = _plan(length, min(group, b) * g * e * n)
        y = u.new_empty(u.shape)
        start = u.new_empty(b, plan[0], g, n, e)
        last = u.new_empty(b, g, n, e)
        for s in range(0, b, group):
            i = slice(s, s + group)
            step = F.softplus(delta[i]) if softplus else delta[i]
            dt, x = _cut(step, *plan), _cut(step * u[i], *plan)
            Bt, Ct = _cut(B[i], *plan), _cut(C[i], *plan)
            h, _, start[i] = _states(dt, x, Bt, A, None)
            # Padding keeps the state: its decay is exp(0) = 1 and its input 0.
            last[i] = h[-1, :, -1]
            y[i] = _join(_contract(h, Ct), length)
        ctx.save_for_backward(u, delta, A, B, C, start)
        ctx.plan, ctx.group, ctx.softplus = plan, group, softplus
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        u, delta, A, B, C, start = ctx.saved_tensors
        g_A = torch.zeros_like(A)
        g_u, g_delta, g_B, g_C = (v.new_empty(v.shape) for v in (u, delta, B, C))
        for s in range(0, len(u), ctx.group):
            i = slice(s, s + ctx.group)
            step = F.softplus(delta[i]) if ctx.softplus else delta[i]
            g_u[i], g_step, g_B[i], g_C[i], part = _backward(
                u[i], step, A, B[i], C[i], start[i], gy[i], ctx.plan
            )
            g_delta[i] = g_step * torch.sigmoid(delta[i]) if ctx.softplus else g_step
            g_A += part
        return g_u, g_delta, g_A, g_B, g_C, None


def _contract(h: Tensor, Ct: Tensor) -> Tensor:
    """sum_n h C: (t, b, k, g, n, e), (t, b, k, g, n) -> (t, b, k, g, e); destroys h."""
    y = h.mul_(Ct.unsqueeze(-1))
    return y.squeeze(-2) if y.shape[-2] == 1 else y.sum(-2)


def _backward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, start: Tensor, gy: Tensor,
    plan: tuple[int, int],
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients of one batch group: u, delta, B, C as (b, l, ...), and A's share (g, n, e)."""
    length = u.shape[1]
    dt, x, G = (_cut(v, *plan) for v in (delta, delta * u, gy))
    Bt, Ct = _cut(B, *plan), _cut(C, *plan)
    h, decay, _ = _states(dt, x, Bt, A, start)
    g_C = (h * G.unsqueeze(-2)).sum(-1)
    # Reverse recurrence: adj_t = C_t G_t + decay_{t+1} adj_{t+1}.
    adj = G.unsqueeze(-2) * Ct.unsqueeze(-1)
    zero = torch.zeros_like(start)
    if plan[0] > 1:
        local = adj.clone()
        _run(decay, local, zero, reverse=True)
        zero = _carry(local[0].mul_(decay[0]), _whole(dt, A), reverse=True)
    _run(decay, adj, zero, reverse=True)
    g_B = (adj * x.unsqueeze(-2)).sum(-1)
    g_x = _contract(adj.clone(), Bt)
    # d loss / d(dt A) = adj_t decay_t h_{t-1}
    through = adj.mul_(decay)
    through[1:].mul_(h[:-1])
    through[0].mul_(start)
    g_A = (through * dt.unsqueeze(-2)).sum((0, 1, 2))
    g_dt = through.mul_(A).sum(-2)
    g_x = _join(g_x, length)
    return g_x * delta, _join(g_dt, length) + g_x * u, _join(g_B, length), _join(g_C, length), g_A
