"""Selective scan (Mamba, Gu & Dao 2023, Algorithm 2): the public function and its slow reference.

    h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t          y_t = <C_t, h_t> + D u_t

Letters: b batch, d channels, l length, n state size, g groups of channels that share B and C.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from oddframe.ops.backends import choose, core


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Selective scan with the argument order and meaning of the reference Mamba function.

    Args:
        u: (b, d, l) input.
        delta: (b, d, l) step sizes, before `delta_bias` and softplus.
        A: (d, n), real, usually negative.
        B: (b, n, l), or (b, g, n, l) with d divisible by g.
        C: as B.
        D: (d,) skip weights.
        z: (b, d, l) gate; the output is multiplied by SiLU(z).
        delta_bias: (d,), added to delta.
        delta_softplus: apply softplus to delta after the bias.
        return_last_state: also return the state after the last step, (b, d, n).
        backend: `auto`, or a key of `BACKENDS` (see `oddframe.ops.backends`).

    Returns:
        (b, d, l) in the dtype of u; with `return_last_state` a pair with (b, d, n).
        Half-precision inputs are computed in float32.

    Raises:
        ConfigError: unknown backend, or one that does not run here or in float64.
        ValueError: shapes that do not fit together.
    """
    B4, C4 = (x if x.dim() == 4 else x[:, None] for x in (B, C))
    _check_shapes(u, delta, A, B4, C4)
    _check_extras(u, D, z, delta_bias)
    work = torch.promote_types(u.dtype, torch.float32)
    groups = B4.shape[1]
    delta = delta.to(work)
    if delta_bias is not None:
        delta = delta + delta_bias.to(work)[:, None]
    y, last = core(choose(backend, u))(
        rearrange(u.to(work), "b (g e) l -> b l g e", g=groups),
        rearrange(delta, "b (g e) l -> b l g e", g=groups),
        rearrange(A.to(work), "(g e) n -> g n e", g=groups),
        rearrange(B4.to(work), "b g n l -> b l g n"),
        rearrange(C4.to(work), "b g n l -> b l g n"),
        delta_softplus,
        False,
    )
    out = rearrange(y, "b l g e -> b (g e) l")
    if D is not None:
        out = out + D.to(work)[:, None] * u
    if z is not None:
        out = out * F.silu(z.to(work))
    out = out.to(u.dtype)
    return (out, rearrange(last, "b g n e -> b (g e) n")) if return_last_state else out


def _check_shapes(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> None:
    if u.dim() != 3 or delta.shape != u.shape or u.shape[2] == 0:
        raise ValueError(
            f"selective_scan needs u and delta of one shape (b, d, l) with l >= 1, "
            f"got {tuple(u.shape)} and {tuple(delta.shape)}"
        )
    b, d, length = u.shape
    n, groups = A.shape[-1], B.shape[1]
    if A.shape != (d, n) or B.shape != (b, groups, n, length) or C.shape != B.shape or d % groups:
        raise ValueError(
            f"selective_scan needs A (d, n) and B, C (b, n, l) or (b, g, n, l) with d divisible "
            f"by g; for u {tuple(u.shape)} got A {tuple(A.shape)}, B {tuple(B.shape)}, "
            f"C {tuple(C.shape)}"
        )


def _check_extras(u: Tensor, D: Tensor | None, z: Tensor | None, bias: Tensor | None) -> None:
    d = (u.shape[1],)
    for name, x, shape in (("D", D, d), ("delta_bias", bias, d), ("z", z, tuple(u.shape))):
        if x is not None and tuple(x.shape) != shape:
            raise ValueError(
                f"selective_scan needs {name} of shape {shape} for u {tuple(u.shape)}, "
                f"got {tuple(x.shape)}"
            )


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Compute what `selective_scan` does as one plain loop over l, in the layout of the paper.

    Independent of the backends' layout; kept for the tests and for reading. Shapes as there.
    """
    d = u.shape[1]
    B, C = (x if x.dim() == 4 else x[:, None] for x in (B, C))
    B, C = (repeat(x, "b g n l -> b (g e) n l", e=d // x.shape[1]) for x in (B, C))
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    h = u.new_zeros(u.shape[0], d, A.shape[1])
    ys = []
    for t in range(u.shape[2]):
        decay = torch.exp(delta[:, :, t, None] * A)  # b d n
        h = decay * h + (delta[:, :, t] * u[:, :, t])[..., None] * B[..., t]
        ys.append((h * C[..., t]).sum(-1))
    y = torch.stack(ys, 2)
    if D is not None:
        y = y + D[:, None] * u
    return y * F.silu(z) if z is not None else y
