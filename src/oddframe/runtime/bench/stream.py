"""`oddframe bench stream`: a new frame of a warm stream, beside the clip that it saves encoding.

And beside the yardstick of the field, a U-Net of MNAD's shape; then a whole 720p video, from the
file to its scores, and how the time divides.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from oddframe.config import Config
from oddframe.models import build, default_config
from oddframe.models.base import VADModel
from oddframe.models.info import describe
from oddframe.runtime.bench import unet
from oddframe.runtime.bench.table import Column, Row, Table
from oddframe.runtime.bench.timing import Job, Tick, interleaved
from oddframe.runtime.bench.video import bench_video

MODELS = ("m2s2l-edge", "m2s2l", "stnmamba")
TINY: dict[str, Any] = {
    "size": 32, "width": 16, "patches": (8, 16), "depths": (1, 1), "history": 4, "windows": (2, 4),
    "state": 1, "expand": 1, "upscale": 4, "memory_items": 4,
}  # fmt: skip
"""M2S2L as `--quick` takes it."""
NEW, CLIP = "one new frame", "the clip, stateless"
HALF, CAMERAS = "one new frame, bf16", 4
TOGETHER = f"{CAMERAS} cameras at once"
YARDSTICK = "U-Net of MNAD's shape"
COLUMNS = (
    Column("frames_per_s", "frames/s", "predictions per second"),
    Column("ratio_clip", "x clip", "how many times faster than the same model's stateless clip"),
    Column(
        "ratio_unet", "x U-Net", "how many times faster than the U-Net of MNAD's shape (plain "
        "torch, random weights, one prediction from four frames)",
    ),
    Column("gmac", "GMAC", "multiply-adds of convolutions and matrix products, scans not counted"),
)  # fmt: skip


def run(quick: bool, tick: Tick) -> list[Table]:
    """The models with the yardstick, then the whole way of a video."""
    config = default_config("m2s2l-edge").read(TINY) if quick else None
    names = MODELS[:1] if quick else MODELS
    return [
        bench_models({name: config for name in names}, 64 if quick else unet.SIZE, tick),
        bench_video("m2s2l-edge", config, tick, *((64, 48, 8) if quick else ())),
    ]


def bench_models(models: dict[str, Config | None], size: int, tick: Tick) -> Table:
    """Every model's new frame and clip, and the yardstick at `size` rows and columns."""
    torch.manual_seed(0)
    jobs: dict[str, Job] = {}
    gmac: dict[str, float] = {}
    for name, config in models.items():
        costs = describe(name, config)
        gmac[f"{name}, {NEW}"] = costs["gmac_per_frame"]
        gmac[f"{name}, {CLIP}"] = costs["gmac_per_clip"]
        found = model_jobs(build(name, config).eval())
        jobs |= {f"{name}, {what}": job for what, job in found.items()}
    jobs[YARDSTICK], gmac[YARDSTICK] = unet_job(size), unet_gmac(size)
    best = interleaved(jobs, title="stream: models", tick=tick)
    rows = []
    for name, timing in best.items():
        s = timing.seconds / (CAMERAS if name.endswith(TOGETHER) else 1)
        values = {"frames_per_s": 1 / s, "ratio_unet": best[YARDSTICK].seconds / s}
        if name in gmac:
            values["gmac"] = gmac[name]
        if name.endswith(NEW):
            values["ratio_clip"] = best[name.replace(NEW, CLIP)].seconds / s
        rows.append(Row(name, 1000 * s, timing.turns, torch.get_num_threads(), values))
    notes = (
        f"{TOGETHER}: one call of step_batch for {CAMERAS} streams; all numbers are per frame",
        "bf16: matrix products and convolutions in bfloat16, as precision='bfloat16' has them",
    )
    return Table("one prediction", COLUMNS, tuple(rows), notes=notes)


def model_jobs(net: VADModel) -> dict[str, Job]:
    """`step` with the newest frame of a warm stream, also in bf16 and for several streams at once.

    And `forward` of the frames it looks at.
    """
    clip = torch.rand(1, net.history, 3, net.size, net.size) * 2 - 1
    with torch.inference_mode():
        state = net.init_state()
        for i in range(net.history):
            state, _ = net.step(state, clip[:, i])
    frame = clip[:, 0]
    return {
        NEW: _inference(partial(net.step, state, frame)),
        CLIP: _inference(partial(net, clip)),
        HALF: _inference(partial(net.step, state, frame), half=True),
        TOGETHER: _inference(partial(net.step_batch, [state] * CAMERAS, [frame] * CAMERAS)),
    }


def unet_job(size: int) -> Job:
    """One prediction of the yardstick."""
    x: Tensor = torch.rand(1, 3 * unet.FRAMES, size, size) * 2 - 1
    return _inference(partial(unet.UNet().eval(), x))


def unet_gmac(size: int) -> float:
    """Its cost, counted on shapes."""
    net = unet.UNet().to("meta")
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, 3 * unet.FRAMES, size, size, device="meta"))
    return float(counter.get_total_flops() / 2e9)  # it counts a multiply and an add as two


def _inference(job: Job, half: bool = False) -> Job:
    def run() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return job()

    return run
