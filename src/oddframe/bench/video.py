"""End to end: a 720p video file to its scores by `Detector`, and how the time divides.

`Detector` decodes and preprocesses frames ahead, beside the model; a loop of `step` is the same one
frame after another. The parts are jobs of their own on the same frames, timed in turn with both:
what they leave of the loop is the loop itself, the results and the caches that they do not share.
Beside them the reader that PyAV's took the place of: OpenCV's, whole pictures made smaller.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from oddframe.bench.table import Column, Row, Table
from oddframe.bench.timing import Job, Tick, interleaved
from oddframe.config import Config
from oddframe.data.blobs import Sizes
from oddframe.data.frames import to_model
from oddframe.errors import SourceError
from oddframe.models import build, default_config
from oddframe.models.base import Prediction, VADModel
from oddframe.pictures import Plain, resize_bgr
from oddframe.runs import save_run
from oddframe.runtime.detector import Detector, load
from oddframe.runtime.result import Collector
from oddframe.scoring.look import FLOW_LAG, SIZE_PX, Grey, motion_of
from oddframe.scoring.scene import StreamScene
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig
from oddframe.scoring.stay import STAY_PX, Stay
from oddframe.scoring.usual import Usual
from oddframe.scoring.ways import GRID, WAYS, Ways, cells_of
from oddframe.sources import Source, open_source
from oddframe.types import Frame, Image, Map, SourceInfo

WIDTH, HEIGHT, FRAMES, FPS = 1280, 720, 64, 25.0
H264 = ("h264", "avc1", "H264", "AVC1")
"""What OpenCV calls it."""
CODECS = (("mp4v", ".mp4", "MPEG-4 part 2"), ("VP80", ".webm", "VP8"), ("MJPG", ".avi", "MJPEG"))
"""What OpenCV can encode, for the video that is made where there is no other, best first."""
RATE = "4M"
"""Bits per second of a made H.264 video: what cameras send at 720p."""
BODIES = Sizes(10.0, 0.3, 20.0, 80.0)
SCENE = {
    name: StreamScene(
        0.5, 1.0, 0.0, 1.0, 1e-6, BODIES if name in ("frame", "motion", "flow") else None
    )
    for name in ("frame", "motion", "flow", "way", "stay")
}
"""A made-up scene: the arithmetic costs the same."""
WHOLE = "file to scores"
SERIAL = "frame by frame"
BY_OPENCV, READ_BY_OPENCV = "the same by OpenCV", "OpenCV: decode, resize"
READ = "decode to size"
ASIDE = (WHOLE, SERIAL, BY_OPENCV, READ_BY_OPENCV)
"""Jobs that are no part of the whole."""
COLUMNS = (
    Column("ms_per_frame", "ms/frame", "time over the frames of the video"),
    Column("frames_per_s", "frames/s", "the other way round"),
    Column("share", "share", f"time over that of {SERIAL!r}; parts are timed by themselves"),
)


def bench_video(
    name: str, config: Config | None, tick: Tick, width: int = WIDTH, height: int = HEIGHT,
    frames: int = FRAMES,
) -> Table:  # fmt: skip
    """A video of `frames` frames through a freshly initialised model with a made-up scene."""
    with tempfile.TemporaryDirectory(prefix="oddframe-bench-") as folder:
        path, what = find_video(height) or make_video(Path(folder), width, height, frames)
        detector = load(fresh_run(Path(folder) / "RUN", name, config))
        with open_source(path) as opened:
            source, before = Head(opened, frames), ByOpenCV(path, opened.info, frames)
            jobs, seen = video_jobs(source, before, detector, name, config)
            best = interleaved(jobs, title="stream: file to scores", tick=tick)
    serial = best[SERIAL].seconds
    rows = [
        Row(part, 1000 * t.seconds, t.turns, torch.get_num_threads(),
            {"ms_per_frame": 1000 * t.seconds / seen, "frames_per_s": seen / t.seconds,
             "share": t.seconds / serial})
        for part, t in best.items()
    ]  # fmt: skip
    rest = 1 - sum(t.seconds for part, t in best.items() if part not in ASIDE) / serial
    ratio = serial / best[WHOLE].seconds
    reader = best[BY_OPENCV].seconds / best[WHOLE].seconds
    info = source.info
    notes = (
        f"{seen} frames; the first {detector.info.history} are encoded and not scored",
        f"{WHOLE}: decoded and preprocessed ahead by a thread, {ratio:.2f} times as fast as one "
        "after the other",
        f"{BY_OPENCV}: whole pictures from OpenCV, then resized, as before PyAV; {WHOLE} is "
        f"{reader:.2f} times as fast",
        f"what the parts leave of {SERIAL!r}: {100 * rest:.0f} %",
    )
    title = f"{name}, {info.width}x{info.height} {what} to scores"
    facts = {"frames": float(seen), "rest_share": rest, "ratio_serial": ratio,
             "ratio_opencv": reader}  # fmt: skip
    return Table(title, COLUMNS, tuple(rows), facts, notes)


class Head(Source):
    """The first frames of a source."""

    def __init__(self, source: Source, frames: int) -> None:
        super().__init__(source.info)
        self._source, self._limit = source, frames

    def _frames(self) -> Iterator[Frame]:
        return islice(iter(self._source), self._limit)


class ByOpenCV(Source):
    """The first frames of a file as OpenCV reads them: whole, in BGR, at the header's rate."""

    def __init__(self, path: Path, info: SourceInfo, frames: int) -> None:
        super().__init__(info)
        self._path, self._limit = path, frames

    def _frames(self) -> Iterator[Frame]:
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        try:
            for index in range(self._limit):
                ok, image = capture.read()
                if not ok:
                    return
                yield Frame(index, index / self.info.fps, Plain(np.asarray(image, np.uint8)))
        finally:
            capture.release()


# ---- what is scored


def find_video(height: int) -> tuple[Path, str] | None:
    """The first H.264 clip of that height or more in ODDFRAME_DATA/clips, and what it is."""
    root = os.environ.get("ODDFRAME_DATA")
    for path in sorted(Path(root, "clips").glob("*.mp4")) if root else ():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        fits = capture.get(cv2.CAP_PROP_FRAME_HEIGHT) >= height and _codec(capture) in H264
        capture.release()
        if fits:
            return path, f"H.264 ({path.name})"
    return None


def _codec(capture: cv2.VideoCapture) -> str:
    return int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin1")


def make_video(folder: Path, width: int, height: int, frames: int) -> tuple[Path, str]:
    """Write a made video, in H.264 where there is an encoder, and say which codec it is.

    Raises:
        SourceError: nothing here can write a video.
    """
    program = find_ffmpeg()
    path = folder / "made.mp4"
    if program is not None and _encode(program, path, width, height, frames):
        return path, f"made H.264 (x264, {8e-6 * path.stat().st_size * FPS / frames:.1f} Mbit/s)"
    for fourcc, suffix, name in CODECS:
        path = folder / f"made{suffix}"
        code = cv2.VideoWriter.fourcc(*fourcc)
        writer = cv2.VideoWriter(str(path), code, FPS, (width, height))
        try:
            if writer.isOpened():
                for image in _pictures(width, height, frames):
                    writer.write(image)
                return path, f"made {name} (for H.264: pip install 'oddframe[bench]')"
        finally:
            writer.release()
    raise SourceError("OpenCV can write no video here, so there is nothing to time end to end.")


def find_ffmpeg() -> str | None:
    """An ffmpeg program: that of imageio-ffmpeg (the extra `bench`), else the one on the PATH."""
    try:
        import imageio_ffmpeg
    except ImportError:
        return shutil.which("ffmpeg")
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:  # a wheel without a program for this machine, and none on the PATH
        return None


def _encode(program: str, path: Path, width: int, height: int, frames: int) -> bool:
    """Whether the program could write H.264 to `path`: not all are built with an encoder."""
    command = [
        program, "-loglevel", "quiet", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24",
        "-s", f"{width}x{height}", "-r", f"{FPS:g}", "-i", "-",
        "-c:v", "libx264", "-b:v", RATE, "-g", "50", "-pix_fmt", "yuv420p", str(path),
    ]  # fmt: skip
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
    except OSError:
        return False
    with process, suppress(BrokenPipeError):  # it gave up: its return code says so
        assert process.stdin is not None
        for image in _pictures(width, height, frames):
            process.stdin.write(image.tobytes())
    return process.returncode == 0


def _pictures(width: int, height: int, frames: int) -> Iterator[Image]:
    """A textured ground with a box that walks and a little noise, as a camera's pictures have."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    for i in range(frames):
        image = ground.copy()
        x = (i * width // 200) % (width - width // 10)
        image[height // 3 : height // 2, x : x + width // 10] = (60, 70, 200)
        image += rng.integers(-2, 3, image.shape, dtype=np.int16)
        yield np.clip(image, 0, 255).astype(np.uint8)


def fresh_run(folder: Path, name: str, config: Config | None) -> Path:
    """A RUN of an untrained model."""
    torch.manual_seed(0)
    chosen = config or default_config(name)
    score = ScoreConfig()
    configs = {"model": chosen.model_dump(mode="json"), "score": score.model_dump(), "train": {}}
    net, threshold = build(name, chosen), {"threshold": 3.0}
    save_run(folder, name, net, configs, SCENE, threshold, {}, made_usual())
    return folder


def made_usual() -> Usual:
    """What is usual in a made-up scene: looking it up costs the same."""
    rng = np.random.default_rng(0)
    ways = Ways(rng.random((GRID, GRID, WAYS), np.float32), np.full((GRID, 1), 0.5, np.float32))
    return Usual(ways, Stay(rng.integers(0, 256, (STAY_PX, STAY_PX), np.uint8), FPS))


# ---- the whole and its parts


def video_jobs(
    source: Source, before: Source, detector: Detector, name: str, config: Config | None
) -> tuple[dict[str, Job], int]:
    """The jobs by what they do, and the number of frames that each of them works off."""
    net = build(name, config).eval()
    small = [frame.at(net.size) for frame in source]
    inputs = [torch.from_numpy(to_model(image, net.size))[None] for image in small]
    seen = [resize_bgr(image, SIZE_PX) for image in small]
    usual, greys = made_usual(), [_grey(image) for image in seen]
    motions = [motion_of(b, a) for a, b in zip(greys, greys[FLOW_LAG:], strict=False)]
    jobs: dict[str, Job] = {
        WHOLE: lambda: detector.score(source),
        BY_OPENCV: lambda: detector.score(before),
        READ_BY_OPENCV: lambda: [frame.at(net.size) for frame in before],
        SERIAL: lambda: _serial(source, detector),
        READ: lambda: [frame.at(net.size) for frame in source],
        "model": lambda: _steps(net, inputs),
        "flow": lambda: _flow(seen),
        "way, stay": lambda: _usual(greys, motions, usual),
        "score": lambda: _score(net, small),
    }
    return jobs, len(small)


def _serial(source: Source, detector: Detector) -> None:
    """What `Detector.score` does, in one thread."""
    collector = Collector(source.info.name, (source.info.height, source.info.width))
    state = detector.init_state()
    for frame in source:
        state, score = detector.step(state, frame)
        collector.add(score)
    collector.result()


@torch.inference_mode()
def _steps(net: VADModel, inputs: Iterable[Tensor]) -> None:
    """A stream through the model."""
    state = net.init_state()
    for frame in inputs:
        state, _ = net.step(state, frame)


def _grey(image: Image) -> Grey:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _flow(images: list[Image]) -> None:
    """Grey pictures and optical flow."""
    greys = [_grey(image) for image in images]
    for past, current in zip(greys, greys[FLOW_LAG:], strict=False):
        motion_of(current, past)


def _usual(greys: list[Grey], motions: list[tuple[Map, Map]], usual: Usual) -> None:
    """What flow, and what stays, are held against."""
    stayed: Map | None = None
    for grey, motion in zip(greys[FLOW_LAG:], motions, strict=True):
        cells, stayed = cells_of(*motion), usual.stay.after(stayed, grey)
        local = {"flow": cells.speed, "way": usual.ways.local(cells), "stay": stayed}
        for name, values in local.items():
            SCENE[name].unusual(values)


def _score(net: VADModel, images: list[Image]) -> None:
    """Everything around the model: numbers from a picture, errors, local means, the scene."""
    scorer = Scorer(_Still(net), ScoreConfig(flow=False), SCENE, 3.0)
    state = scorer.init_state()
    for image in images:
        state, _ = scorer.step(state, image)


class _Still(VADModel):
    """A model that takes no time: it predicts the frame that it was given, once it has k."""

    def __init__(self, like: VADModel) -> None:
        super().__init__()
        self.history, self.size, self.motion_is_next = like.history, like.size, like.motion_is_next

    def init_state(self) -> int:
        return 0

    def step(self, state: int, frame: Tensor) -> tuple[int, Prediction | None]:
        known = state + 1 >= self.history
        return state + 1, Prediction(frame[:, None], frame[:, None]) if known else None
