"""Side-by-side timings in one run: the minima of interleaved repetitions, and their ratios.

Interleaved, because the load of a machine changes within seconds; minima, because everything that
disturbs a timing makes it longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from oddframe.models import build
from oddframe.ops import selective_scan

REPEATS = 10


def interleaved(
    jobs: Mapping[str, Callable[[], object]], repeats: int = REPEATS
) -> dict[str, float]:
    """Seconds of the fastest of `repeats` runs of each job, run in turn after one warm-up."""
    best = {name: float("inf") for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(repeats):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def bench_scan(length: int = 4096, channels: int = 128, state: int = 4) -> dict[str, Any]:
    """The backends on one selective scan, forward and with backward: l, d, n as given, float32."""
    torch.manual_seed(0)

    def made(*shape: int) -> Tensor:
        return torch.randn(*shape)

    u, delta = made(1, channels, length), torch.rand(1, channels, length)
    A, B, C = -torch.rand(channels, state), made(1, state, length), made(1, state, length)

    def forward(backend: str) -> object:
        with torch.no_grad():
            return selective_scan(u, delta, A, B, C, backend=backend)

    def both(backend: str) -> None:
        x = u.clone().requires_grad_()
        y = selective_scan(x, delta, A, B, C, backend=backend)
        assert isinstance(y, Tensor)
        y.sum().backward()

    jobs: dict[str, Callable[[], object]] = {
        "loop, forward": lambda: forward("reference"),
        "chunked, forward": lambda: forward("chunked"),
        "loop, forward and backward": lambda: both("reference"),
        "chunked, forward and backward": lambda: both("chunked"),
    }
    return _report(interleaved(jobs), f"scan l {length}, d {channels}, n {state}", "loop, forward")


def bench_stream(model: str = "m2s2l-edge") -> dict[str, Any]:
    """One new frame of a warm stream beside the whole clip that a stateless model would encode."""
    torch.manual_seed(0)
    net = build(model).eval()
    clip = torch.rand(1, net.history, 3, net.size, net.size) * 2 - 1
    with torch.inference_mode():
        state = net.init_state()
        for i in range(net.history):
            state, _ = net.step(state, clip[:, i])
        jobs: dict[str, Callable[[], object]] = {
            "stateless clip": lambda: net(clip),
            "new frame": lambda: net.step(state, clip[:, 0]),
        }
        return _report(interleaved(jobs), f"{model}, one frame", "stateless clip")


def bench_train(model: str = "m2s2l-edge") -> dict[str, Any]:
    """A training step of 8 targets, with and without gradient through the context frames."""
    torch.manual_seed(0)
    net = build(model).train()
    clip = torch.rand(2, net.history + 4, 3, net.size, net.size) * 2 - 1

    def step(detach: bool) -> None:
        prediction = net(clip[:, :-1], detach)
        torch.stack(list(net.losses(prediction, clip).values())).sum().backward()
        net.zero_grad()

    jobs: dict[str, Callable[[], object]] = {
        "gradient through all frames": lambda: step(False),
        "context detached": lambda: step(True),
    }
    return _report(interleaved(jobs, 4), f"{model}, 8 targets", "gradient through all frames")


def _report(best: Mapping[str, float], title: str, base: str) -> dict[str, Any]:
    rows = [
        {"name": name, "ms": 1000 * seconds, "ratio": best[base] / seconds}
        for name, seconds in best.items()
    ]
    return {
        "title": title, "base": base, "threads": torch.get_num_threads(), "dtype": "float32",
        "torch": torch.__version__, "rows": rows,
    }  # fmt: skip


BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "scan": bench_scan,
    "stream": bench_stream,
    "train": bench_train,
}
"""What `oddframe bench` takes."""
