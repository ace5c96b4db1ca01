"""`oddframe bench stream`: a new frame of a warm stream, for every model of the table by name.

Beside it the clip that streaming saves, the yardstick of the field (a U-Net of MNAD's shape) and
the frames per second that the paper prints; where no models are asked for, also a whole 720p video,
from the file to its scores, and how the time divides.

A `step` is timed with all that it does: optical flow by DIS, which runs on the CPU, is part of it;
flow that comes from files is there already, as channels of the frame, and so is the frame itself on
the device. On the CPU a time is the fastest of interleaved turns, on a GPU the median of single
calls (`latency`), which nothing disturbs in one direction only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from oddframe.bench import Choice, unet
from oddframe.bench.latency import CALLS, latencies
from oddframe.bench.table import Column, Row, Table
from oddframe.bench.timing import LEAST, REPEATS, Job, Tick, interleaved
from oddframe.bench.tiny import tiny
from oddframe.bench.video import bench_video
from oddframe.config import Config
from oddframe.device import pick_device
from oddframe.errors import ConfigError
from oddframe.models import MODELS, build, entry
from oddframe.models.base import VADModel
from oddframe.models.info import count, step_gmac

USUAL = ("m2s2l-edge", "m2s2l", "stnmamba")
"""What is timed where no models are asked for."""
NEW, CLIP, HALF, ONNX, CAMERAS = "new frame", "clip", "bf16", "onnx", 4
TOGETHER = f"{CAMERAS} cameras"
ABOUT_ONNX = (
    f"{ONNX}: the exported step in ONNX Runtime, float32, from an 8-bit picture of the model's "
    "size to the score of the model's streams; optical flow is given"
)
EMULATED = 4.0
"""A CPU whose bfloat16 takes so many times longer than float32 only emulates it (AVX2 does): left
out, since a call of a large model may then take minutes."""
YARDSTICK = "U-Net of MNAD's shape"
P95 = Column("p95_ms", "p95 ms", "what 95 of 100 calls do not exceed; ms: the median call")
RATE = Column("frames_per_s", "frames/s", "predictions per second")
RATIO_CLIP = Column(
    "ratio_clip", "x clip", "how many times faster than the same model's stateless clip"
)
RATIO_UNET = Column(
    "ratio_unet", "x U-Net", "how many times faster than the U-Net of MNAD's shape (plain torch, "
    "random weights, one prediction from four frames)",
)  # fmt: skip
PUBLISHED = Column(
    "published_fps", "published fps", "frames/s that a paper prints, on a machine of its own"
)
GMAC = Column(
    "gmac", "GMAC", "multiply-adds of convolutions and matrix products, scans not counted"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where models run."""

    device: torch.device
    name: str = ""
    """Of the GPU."""
    wait: Callable[[], object] | None = None
    """Returns when the device has nothing left to do; None on the CPU, where calls wait."""


def place(device: str) -> Place:
    """The place behind cpu, cuda, cuda:N or auto.

    Raises:
        ConfigError: unknown, or not in this machine.
    """
    found = pick_device(device)
    if found.type == "cpu":
        return Place(found)
    return Place(found, torch.cuda.get_device_name(found), partial(torch.cuda.synchronize, found))


def run(quick: bool, tick: Tick, choice: Choice | None = None) -> list[Table]:
    """The models with the yardstick; of the bench's own selection on the CPU a whole video too.

    quick: every model of the table unless some are asked for, all of them tiny.

    Raises:
        ConfigError: unknown name of a model, no such device.
    """
    asked = choice or Choice()
    there, names = place(asked.device), asked.names()
    usual = not names
    names = names or (tuple(MODELS) if quick else USUAL)
    models = {name: tiny(name) if quick else None for name in names}
    if asked.onnx and there.wait is not None:
        raise ConfigError("bench stream --runtime onnx runs on the CPU: leave --device out.")
    clip = asked.clip or usual
    tables = [bench_models(models, there, tick, clip=clip, quick=quick, onnx=asked.onnx)]
    if usual and there.wait is None:
        config = tiny(USUAL[0]) if quick else None
        tables.append(bench_video(USUAL[0], config, tick, *((64, 48, 8) if quick else ())))
    return tables


def bench_models(
    models: dict[str, Config | None], there: Place, tick: Tick, clip: bool, quick: bool,
    onnx: bool = False,
) -> Table:  # fmt: skip
    """Every model's new frame, with its clip and in ONNX Runtime if asked for, and the yardstick.

    quick: few turns and a small yardstick.
    """
    torch.manual_seed(0)
    half = quick or there.wait is not None or emulation() < EMULATED
    size = 64 if quick else unet.SIZE
    jobs: dict[str, Job] = {}
    gmac: dict[str, float] = {}
    counted: dict[tuple[str, str], dict[str, float]] = {}  # tiny sizes of one model are the same
    for name, config in models.items():
        key = entry(name).module, name if config is None else config.model_dump_json()
        if key not in counted:
            counted[key] = model_gmac(name, config, clip)
        gmac |= {f"{name}, {what}": cost for what, cost in counted[key].items()}
        net = build(name, config).eval()
        found = model_jobs(net, there.device, clip, half)
        if onnx:
            from oddframe.bench.onnx_job import onnx_job

            found[ONNX] = onnx_job(name, net)
        jobs |= {f"{name}, {what}": job for what, job in found.items()}
    jobs[YARDSTICK], gmac[YARDSTICK] = unet_job(size, there.device), unet_gmac(size)
    timed = _timed(jobs, there, tick, quick)
    return Table(
        f"one prediction on {there.name}" if there.name else "one prediction",
        _columns(there, clip),
        _rows(timed, gmac),
        notes=_notes(list(models), there, clip, half) + ((ABOUT_ONNX,) if onnx else ()),
        device="cpu" if there.wait is None else "cuda",
    )


def _rows(
    timed: dict[str, tuple[float, int, float | None]], gmac: dict[str, float]
) -> tuple[Row, ...]:
    """What was timed, per frame, with its ratios and what is published."""
    rows = []
    for name, (seconds, turns, p95) in timed.items():
        model, _, what = name.partition(", ")
        cameras = CAMERAS if what == TOGETHER else 1
        s = seconds / cameras
        values = {RATE.key: 1 / s, RATIO_UNET.key: timed[YARDSTICK][0] / s}
        if p95 is not None:
            values[P95.key] = 1000 * p95 / cameras
        if name in gmac:
            values[GMAC.key] = gmac[name]
        if what == NEW and (clip := timed.get(f"{model}, {CLIP}")) is not None:
            values[RATIO_CLIP.key] = clip[0] / s
        if what == NEW and (fps := entry(model).published.fps) is not None:
            values[PUBLISHED.key] = fps
        rows.append(Row(name, 1000 * s, turns, torch.get_num_threads(), values))
    return tuple(rows)


def _timed(
    jobs: dict[str, Job], there: Place, tick: Tick, quick: bool
) -> dict[str, tuple[float, int, float | None]]:
    """Seconds of one call, how often it was timed and, on a GPU, the 95th percentile."""
    title = "stream: models"
    if there.wait is None:
        repeats = LEAST if quick else REPEATS
        best = interleaved(jobs, repeats, title=title, tick=tick)
        return {name: (t.seconds, t.turns, None) for name, t in best.items()}
    calls = LEAST if quick else CALLS
    found = latencies(jobs, there.wait, calls, title=title, tick=tick)
    return {name: (t.median_s, t.calls, t.p95_s) for name, t in found.items()}


def _columns(there: Place, clip: bool) -> tuple[Column, ...]:
    first = () if there.wait is None else (P95,)
    return (*first, RATE, *((RATIO_CLIP,) if clip else ()), RATIO_UNET, PUBLISHED, GMAC)


def _notes(models: list[str], there: Place, clip: bool, half: bool) -> tuple[str, ...]:
    """What the rows are, and where the published figures stand."""
    notes = [f"{NEW}: one step of a warm stream, float32, with the optical flow that it needs"]
    if clip:
        notes.append(f"{CLIP}: all frames that one prediction looks at, stateless")
    notes += [
        f"{HALF}: {NEW}, matrix products and convolutions in bfloat16, as precision='bfloat16' has "
        "them"
        if half
        else f"{HALF}: left out, this CPU only emulates bfloat16, many times slower than float32",
        f"{TOGETHER}: one call of step_batch for {CAMERAS} streams; all numbers are per frame",
    ]
    if there.wait is not None and torch.backends.cudnn.allow_tf32:
        notes.append("float32 convolutions may use TF32, as torch has it unless told otherwise")
    sources: dict[str, list[str]] = {}
    for name in models:
        published = entry(name).published
        if published.fps is not None:
            sources.setdefault(published.source, []).append(name)
    told = "; ".join(f"{source} ({', '.join(names)})" for source, names in sources.items())
    return (*notes, f"{PUBLISHED.head}: {told}") if told else tuple(notes)


# ---- what is timed


def model_jobs(
    net: VADModel, device: torch.device, clip: bool = False, half: bool = True
) -> dict[str, Job]:
    """`step` with the newest frame of a warm stream, also for several streams at once.

    clip: and `forward` of the frames that one prediction looks at; half: and the step in bf16.
    """
    net = net.to(device)
    frames = pictures(net.history + 1, net.size, net.carried).to(device)
    with torch.inference_mode():
        state = net.init_state()
        for i in range(net.history):
            state, _ = net.step(state, frames[:, i])
    frame, kind = frames[:, -1], device.type
    jobs = {NEW: _inference(partial(net.step, state, frame), kind)}
    if clip:
        jobs[CLIP] = _inference(partial(net, frames[:, 1:]), kind)
    if half:
        jobs[HALF] = _inference(partial(net.step, state, frame), kind, half=True)
    many = partial(net.step_batch, [state] * CAMERAS, [frame] * CAMERAS)
    return jobs | {TOGETHER: _inference(many, kind)}


def emulation() -> float:
    """How many times longer a convolution takes in bfloat16 than in float32, on this CPU."""
    conv, x = torch.nn.Conv2d(64, 64, 3, padding=1), torch.rand(1, 64, 32, 32)
    jobs = {str(half): _inference(partial(conv, x), "cpu", half) for half in (False, True)}
    best = interleaved(jobs, LEAST)
    return best["True"].seconds / best["False"].seconds


def pictures(frames: int, size: int, carried: int = 0) -> Tensor:
    """A texture that moves one pixel a frame: (1, t, 3 + carried, size, size) in [-1, 1].

    White noise would keep DIS searching for what is nowhere. The carried channels are its flow
    where there are two, in pixels per frame: each place was one to the left.
    """
    coarse = torch.rand(1, 3, max(size // 4, 2), max(size // 4, 2)) * 2 - 1
    ground = F.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    clip = torch.stack([ground.roll(i, -1) for i in range(frames)], 1)
    beside = torch.zeros(1, frames, carried, size, size)
    beside[:, :, :1] = -1
    return torch.cat((clip, beside), 2)


def model_gmac(name: str, config: Config | None, clip: bool) -> dict[str, float]:
    """What one new frame costs, with `clip` also a stateless clip; counted on shapes."""
    with torch.device("meta"):
        net = build(name, config).eval()
    if clip:
        return dict(zip((NEW, CLIP), count(net), strict=True))
    return {NEW: step_gmac(net)}


def unet_job(size: int, device: torch.device) -> Job:
    """One prediction of the yardstick, of pictures of `size` rows and columns."""
    x = (torch.rand(1, 3 * unet.FRAMES, size, size) * 2 - 1).to(device)
    return _inference(partial(unet.UNet().eval().to(device), x), device.type)


def unet_gmac(size: int) -> float:
    """Its cost, counted on shapes."""
    net = unet.UNet().to("meta")
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, 3 * unet.FRAMES, size, size, device="meta"))
    return float(counter.get_total_flops() / 2e9)  # it counts a multiply and an add as two


def _inference(job: Job, kind: str, half: bool = False) -> Job:
    def run() -> object:
        cast: Any = torch.autocast(kind, torch.bfloat16) if half else nullcontext()
        with torch.inference_mode(), cast:
            return job()

    return run
