"""The ways to run a selective scan, and which of them runs where.

| backend | where | what |
|---|---|---|
| reference | anywhere | a loop over the steps; the slow twin |
| chunked | anywhere | plain torch, chunks side by side; float64 |
| native | CPU, float32 and half | C with OpenMP, if it was built |
| triton | CUDA, float32 and half | Triton, where it is installed |

Beside them, in `EXPORTED`, what only graphs for other runtimes are made of.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from oddframe.errors import ConfigError
from oddframe.ops import native
from oddframe.ops.chunked import scan_chunked
from oddframe.ops.exported import scan_attention, scan_unrolled
from oddframe.ops.loop import scan_loop
from oddframe.ops.native import scan_native

Core = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, bool, bool], tuple[Tensor, Tensor]]
"""(u, delta, A, B, C, softplus, reverse) in the layout of `scan_chunked` -> (y, last state)."""


def _scan_triton(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, softplus: bool, reverse: bool
) -> tuple[Tensor, Tensor]:
    from oddframe.ops.triton_scan import scan_triton  # imports triton, which not every machine has

    y, last = scan_triton(u, delta, A, B, C, softplus, reverse)
    return y, last


BACKENDS: dict[str, Core] = {
    "reference": scan_loop,
    "chunked": scan_chunked,
    "native": scan_native,
    "triton": _scan_triton,
}
"""Every way to run the recurrence; `choose` picks among them."""
EXPORTED: dict[str, Core] = {"unrolled": scan_unrolled, "linear-attention": scan_attention}
"""How graphs are made of it: as plain operators, or as one node of ONNX."""


def core(backend: str) -> Core:
    """The function behind a name that `choose` gave."""
    return EXPORTED[backend] if backend in EXPORTED else BACKENDS[backend]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def unavailable(backend: str) -> str | None:
    """Why a backend of `BACKENDS` does not run on this machine; None where it does."""
    if backend == "native":
        return native.available()
    if backend == "triton":
        try:
            from oddframe.ops import triton_scan
        except ImportError as error:
            return f"triton cannot be imported ({error})"
        return triton_scan.available()
    return None


def choose(backend: str, like: Tensor) -> str:
    """Resolve `auto` for inputs like `like`; a named backend is checked and returned.

    Export takes the unrolled form, which is made of plain operators; float64 the chunked one, for
    the compiled kernels count in float32; a meta tensor as well, which only it can pass on.

    Raises:
        ConfigError: unknown name, or a backend that cannot run here or on such a tensor.
    """
    wide, device = like.dtype == torch.float64, like.device.type
    if backend == "auto":
        if torch.compiler.is_exporting():
            return "unrolled"
        if wide:
            return "chunked"
        if device == "cpu" and unavailable("native") is None:
            return "native"
        return "triton" if device == "cuda" and unavailable("triton") is None else "chunked"
    if backend in EXPORTED:
        return backend
    if backend not in BACKENDS:
        raise ConfigError(
            f"selective_scan has no backend {backend!r}; use auto, {', '.join(BACKENDS)}."
        )
    if (reason := unavailable(backend)) is not None:
        raise ConfigError(f"The backend {backend!r} does not run here: {reason}.")
    if wide and backend in ("native", "triton"):
        raise ConfigError(f"The backend {backend!r} counts in float32; for float64 use 'chunked'.")
    return backend
