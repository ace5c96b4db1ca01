"""The selective scan in plain torch, fast enough to train with: chunks side by side.

The length is cut into k chunks of t steps. All chunks run their t steps side by side from a zero
state; a short loop carries the states from chunk to chunk; a second pass starts every chunk from
its true state. Every factor is exp(delta A) <= 1, so nothing overflows whatever delta is (the
closed form with exp(-cumsum) does). The backward pass runs the same scheme against the time and
recomputes the states. The batch is worked off in groups whose tensors stay in the caches: on
whole batches the same arithmetic takes five times as long, nearly all of it in fresh memory.

Letters: b batch, l length, g groups, e channels of a group, n state size, k chunks, t steps in a
chunk; (b, l, ...) seen as (b, k, t, ...) costs no copy.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Elements of one step of all chunks: enough to hide the cost of a call, few enough for the caches.
_SLAB = 1 << 14
# Elements of one tensor of states (b, k, t, g, n, e) of a batch group: 2 MB of floats.
_GROUP = 1 << 19


def scan_chunked(
    u_blge: Tensor,
    delta_blge: Tensor,
    A_gne: Tensor,
    B_blgn: Tensor,
    C_blgn: Tensor,
    softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Selective scan, channels last and grouped; the core that `selective_scan` and SS2D call.

    Args:
        u_blge: (b, l, g, e) input.
        delta_blge: (b, l, g, e) step sizes; positive ones unless `softplus`.
        A_gne: (g, n, e), negative.
        B_blgn: (b, l, g, n).
        C_blgn: (b, l, g, n).
        softplus: apply softplus to delta; in here it costs no pass over memory.
        reverse: scan from the last step to the first.

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
    run: Any = _Scan.apply  # torch does not type it
    y, last = run(*args, softplus, reverse)
    return y.to(u_blge.dtype), last


def _plan(length: int, step_elements: int) -> tuple[int, int]:
    """Choose (chunks, steps per chunk): slabs near `_SLAB`, no chunk shorter than 8 steps."""
    chunks = max(1, min(_SLAB // max(1, step_elements), length // 8))
    while length % chunks and chunks > max(1, length // 64):
        chunks -= 1  # a divisor saves the padding; chunks of 64 steps are long enough
    steps = -(-length // chunks)
    return -(-length // steps), steps


def _cut(x: Tensor, plan: tuple[int, int]) -> Tensor:
    """(b, l, ...) -> (b, k, t, ...); the padding is zeros: no input, no decay."""
    chunks, steps = plan
    if chunks * steps != x.shape[1]:
        x = F.pad(x, (0, 0) * (x.dim() - 2) + (0, chunks * steps - x.shape[1]))
    cut: Tensor = x.unflatten(1, plan)
    return cut


def _join(x: Tensor, length: int) -> Tensor:
    """Undo `_cut`: (b, k, t, ...) -> (b, l, ...)."""
    return x.flatten(1, 2)[:, :length]


def _run(decay: Tensor, x: Tensor, start: Tensor, reverse: bool) -> Tensor:
    """h_t = decay_t h_{t-1} + x_t from `start`, in place of x; returns the last h of each chunk."""
    steps = list(zip(decay.unbind(2), x.unbind(2), strict=True))
    h = start
    for d, v in reversed(steps) if reverse else steps:
        h = v.addcmul_(d, h)
    return h


def _run_back(decay: Tensor, x: Tensor, end: Tensor, reverse: bool) -> Tensor:
    """a_t = x_t + decay_{t+1} a_{t+1}: the adjoint of `_run`, in place of x.

    The decay that leads from step t + 1 back to t is that of t + 1, so it lags by one. Returns
    what leaves each chunk at its start.
    """
    steps = list(zip(decay.unbind(2), x.unbind(2), strict=True))
    steps = steps if reverse else steps[::-1]
    d, a = steps[0][0], steps[0][1].add_(end)
    for before, v in steps[1:]:
        a = v.addcmul_(d, a)
        d = before
    return d * a


def _carry(ends: Tensor, decay: Tensor, reverse: bool) -> Tensor:
    """Chain chunk results (b, k, g, n, e) -> the state that each chunk starts from."""
    state = torch.zeros_like(ends[:, 0])
    starts = torch.empty_like(ends)
    order = range(ends.shape[1])
    for k in reversed(order) if reverse else order:
        starts[:, k] = state
        state = torch.addcmul(ends[:, k], decay[:, k], state)
    return starts


def _states(
    dt: Tensor, x: Tensor, Bt: Tensor, A: Tensor, start: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """All states h (b, k, t, g, n, e) of a group, the decays, and the states chunks start from."""
    decay = torch.mul(dt.unsqueeze(-2), A).exp_()
    h = x.unsqueeze(-2) * Bt.unsqueeze(-1)
    if start is None:
        start = torch.zeros_like(h[:, :, 0])
        if h.shape[1] > 1:
            start = _carry(_run(decay, h.clone(), start, reverse), _whole(dt, A), reverse)
    _run(decay, h, start, reverse)
    return h, decay, start


def _whole(dt: Tensor, A: Tensor) -> Tensor:
    """Decay over a whole chunk: (b, k, g, n, e)."""
    return torch.mul(dt.sum(2).unsqueeze(-2), A).exp_()


class _Scan(torch.autograd.Function):
    """Forward and hand-written backward of the chunked scan, in batch groups."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,
        softplus: bool, reverse: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        (b, length, g, e), n = u.shape, A.shape[1]
        group = max(1, _GROUP // (length * g * e * n))
        plan = _plan(length, min(group, b) * g * e * n)
        y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
        start = u.new_empty(b, plan[0], g, n, e)
        last = u.new_empty(b, g, n, e)
        for s in range(0, b, group):
            i = slice(s, s + group)
            dt, x = _inputs(u[i], delta[i], plan, softplus)
            h, _, start[i] = _states(dt, x, _cut(B[i], plan), A, None, reverse)
            # Padding keeps the state: its decay is exp(0) = 1 and its input 0.
            last[i] = h[:, 0, 0] if reverse else h[:, -1, -1]
            y[i] = _join(_contract(h, _cut(C[i], plan)), length)
        ctx.save_for_backward(u, delta, A, B, C, start)
        ctx.plan, ctx.group, ctx.flags = plan, group, (softplus, reverse)
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        u, delta, A, B, C, start = ctx.saved_tensors
        g_A = torch.zeros_like(A)
        g_u, g_delta, g_B, g_C = (
            torch.empty(v.shape, dtype=v.dtype, device=v.device) for v in (u, delta, B, C)
        )
        for s in range(0, len(u), ctx.group):
            i = slice(s, s + ctx.group)
            g_u[i], g_delta[i], g_B[i], g_C[i], part = _backward(
                u[i], delta[i], A, B[i], C[i], start[i], gy[i], ctx.plan, *ctx.flags
            )
            g_A += part
        return g_u, g_delta, g_A, g_B, g_C, None, None


def _inputs(
    u: Tensor, delta: Tensor, plan: tuple[int, int], softplus: bool
) -> tuple[Tensor, Tensor]:
    """The step sizes and delta u of a batch group, (b, k, t, g, e), contiguous."""
    # A permuted delta would pass its memory order on to every tensor made from it.
    step = F.softplus(delta.contiguous()) if softplus else delta.contiguous()
    return _cut(step, plan), _cut(step * u, plan)


def _contract(h: Tensor, Ct: Tensor) -> Tensor:
    """sum_n h C: (b, k, t, g, n, e), (b, k, t, g, n) -> (b, k, t, g, e); destroys h."""
    y = h.mul_(Ct.unsqueeze(-1))
    return y.squeeze(-2) if y.shape[-2] == 1 else y.sum(-2)


def _backward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, start: Tensor, gy: Tensor,
    plan: tuple[int, int], softplus: bool, reverse: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients of one batch group: u, delta, B, C as (b, l, ...), and A's share (g, n, e)."""
    length = u.shape[1]
    dt, x = _inputs(u, delta, plan, softplus)
    Bt, Ct, G = _cut(B, plan), _cut(C, plan), _cut(gy, plan).unsqueeze(-2)
    h, decay, _ = _states(dt, x, Bt, A, start, reverse)
    g_C = (h * G).sum(-1)
    adj = G * Ct.unsqueeze(-1)
    end = torch.zeros_like(start)
    if plan[0] > 1:
        leaving = _run_back(decay, adj.clone(), end, reverse)
        end = _carry(leaving, _whole(dt, A), not reverse)
    _run_back(decay, adj, end, reverse)
    g_B = (adj * x.unsqueeze(-2)).sum(-1)
    g_x = _join(_contract(adj.clone(), Bt), length)
    # d loss / d(dt A) = adj_t decay_t h_{t-1}
    through = adj.mul_(decay)
    if reverse:
        through[:, :, :-1].mul_(h[:, :, 1:])
        through[:, :, -1].mul_(start)
    else:
        through[:, :, 1:].mul_(h[:, :, :-1])
        through[:, :, 0].mul_(start)
    g_A = (through * dt.unsqueeze(-2)).sum((0, 1, 2))
    g_dt = _join(_contract_A(through, A), length).addcmul(g_x, u)
    if softplus:
        g_dt.mul_(torch.sigmoid(delta))
    return g_x * _join(dt, length), g_dt, _join(g_B, length), _join(g_C, length), g_A


def _contract_A(through: Tensor, A: Tensor) -> Tensor:
    """sum_n through A: (b, k, t, g, n, e), (g, n, e) -> (b, k, t, g, e); destroys `through`."""
    y = through.mul_(A)
    return y.squeeze(-2) if y.shape[-2] == 1 else y.sum(-2)
