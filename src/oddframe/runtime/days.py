"""Days of footage scored in as many processes as there are cores; what is done stays done.

The footage is cut into stretches, each of which starts as many frames early as the history needs,
so that the stretches together give what one pass gives. Every finished one lies in a file of its
own: a run that was killed goes on with those that are missing. They are taken in an order of which
every beginning is spread over the whole time, so that whatever a budget leaves room for is a
sample of all hours.

Letters: n frames of one video.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe import process
from oddframe.atomic import write_atomic
from oddframe.data.dataset import Video
from oddframe.data.manifest import videos_hash
from oddframe.errors import OddframeError, OddframeWarning
from oddframe.runs import WEIGHTS, Run, load_run
from oddframe.runtime.detector import Detector, load
from oddframe.runtime.lanes import Scored, Stretch, score_together

PIECE_FRAMES = 600
"""Frames of a stretch, about: a few seconds of work, and few beside the history before them."""
MOST_PIECES = 5000
"""Files that are kept of a run, about."""
ALONE_S = 300.0
"""Footage that is shorter is scored in this process: starting others takes seconds."""
DAY_S = 86400.0
GOLDEN = (math.sqrt(5) - 1) / 2
KEPT = ("score", "time_s", "colour")
"""What is kept of every stretch."""
PART = ".part.npz"
"""Of files of stretches that the time was up in."""
STOPPED = 2**62
"""Place that is behind all: nobody goes on."""


@dataclass(frozen=True, slots=True)
class Days:
    """What was scored."""

    videos: list[Scored]
    """Of every video that something of was scored, in their order, what was."""
    days: list[int]
    """Of each of these, which 24 hours of all the footage it begins in."""
    scored_s: float
    total_s: float
    """Seconds of footage scored, and there."""
    whole: bool
    """All of it was scored."""
    folder: Path
    """What was scored lies there."""

    def forget(self) -> None:
        """Remove what is kept, where all was scored: once something was made of it."""
        if self.whole:
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):
                self.folder.parent.rmdir()  # where nothing else is in it


def stretches(detector: Detector, videos: Sequence[Video]) -> list[Stretch]:
    """All footage, in order; whole videos where every score depends on all before."""
    infos = []
    for video in videos:
        with video.open() as source:
            pace = detector.pacer(source.info)
            fps = source.info.fps if pace is None else min(pace.fps, source.info.fps)
            infos.append((source.length_s, fps))
    frames = max(PIECE_FRAMES, sum(length_s * fps for length_s, fps in infos) / MOST_PIECES)
    found = []
    for video, (length_s, fps) in zip(videos, infos, strict=True):
        whole = detector.info.overlap is None
        count = 1 if whole else max(1, round(length_s * fps / frames))
        each_s = length_s / count
        ends = [(k + 1) * each_s for k in range(count - 1)]
        for start_s, stop_s in zip([0.0, *ends], [*ends, math.inf], strict=True):
            found.append(Stretch(video, start_s, stop_s, length_s))
    return found


def spread(count: int) -> list[int]:
    """0 ... count - 1 in an order of which every beginning is spread evenly over all.

    The numbers whose multiple of the golden section has the smallest fractions lie apart by one
    of three distances only (the three-gap theorem).
    """
    return sorted(range(count), key=lambda i: i * GOLDEN % 1)


def score_days(
    run: Run,
    videos: Sequence[Video],
    processes: int,
    tick: Callable[[float, float], None],
    minutes: float = math.inf,
) -> Days:
    """Scores and times of every video, on the CPU.

    Args:
        run: whose RUN folder keeps what is done (`Days.forget`).
        videos: files and folders of frames.
        processes: how many at a time.
        tick: called after each stretch, with seconds of footage done and in all.
        minutes: after which it ends, wherever it is.

    Raises:
        SourceError: a video cannot be read.
        OddframeError: a process was ended by the system; what was done is kept.
        KeyboardInterrupt: stopped; what was done is kept.
    """
    until = time.monotonic() + 60 * minutes
    detector = load(run)
    parts = stretches(detector, videos)
    folder = run.path / "resume" / f"days-{_key(run, videos)}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{i:05d}.npz" for i in range(len(parts))]
    for part in folder.glob(f"*{PART}"):
        part.unlink()
    lengths = [part.length_s for part in parts]
    done_s = sum(s for s, file in zip(lengths, files, strict=True) if file.exists())
    total_s = sum(lengths)
    tick(done_s, total_s)
    work = _Work(parts, files, [i for i in spread(len(parts)) if not files[i].exists()])

    def done(i: int) -> None:
        nonlocal done_s
        done_s += lengths[i]
        tick(done_s, total_s)

    processes = min(processes, len(work.left))
    if processes < 2 or total_s - done_s < ALONE_S:
        _alone(detector, work, until, done)
    else:
        _in_processes(run, work, processes, until, done)
    out, begins, before_s = list[Scored](), list[int](), 0.0
    for video in videos:
        own = [f for f, p in zip(files, parts, strict=True) if p.video is video]
        kept = [_read(f) for f in map(_kept, own) if f is not None]
        if kept:
            score, time_s, colour = map(np.concatenate, zip(*kept, strict=True))
            out.append(Scored(score, time_s, colour))
            begins.append(int(before_s // DAY_S))
        before_s += next(part.video_s for part in parts if part.video is video)
    done_s += sum(_part_s(file) for file in files)
    return Days(out, begins, done_s, total_s, all(file.exists() for file in files), folder)


@dataclass(frozen=True, slots=True)
class _Work:
    """What there is to do."""

    parts: list[Stretch]
    files: list[Path]
    left: list[int]
    """Numbers of the stretches that are to be done, in this order."""


def _kept(file: Path) -> Path | None:
    """The file of a stretch, or of the part that there was time for."""
    return next((f for f in (file, file.with_suffix(PART)) if f.exists()), None)


def _part_s(file: Path) -> float:
    """Seconds of a stretch that the time was up in; 0 where there is none."""
    if file.exists() or not file.with_suffix(PART).exists():
        return 0.0
    times = _read(file.with_suffix(PART))[KEPT.index("time_s")]
    return float(times[-1] - times[0]) if times.size else 0.0


def _read(file: Path) -> list[NDArray[Any]]:
    """`KEPT` of a stretch. The file is closed: a long video has more of them than may be open."""
    with np.load(file) as kept:
        return [kept[name] for name in KEPT]


def _alone(detector: Detector, work: _Work, until: float, done: Callable[[int], None]) -> None:
    """In this process."""
    places = iter(range(len(work.left)))

    def stopped() -> bool:
        return time.monotonic() >= until

    _work_off(detector, work, lambda: next(places, STOPPED), stopped, done)


def _work_off(
    detector: Detector, work: _Work, place: Callable[[], int], stopped: Callable[[], bool],
    done: Callable[[int], None],
) -> None:  # fmt: skip
    """Stretches at the places that are given, until one is behind the last."""

    def take() -> tuple[int, Stretch] | None:
        at = place()
        return (i := work.left[at], work.parts[i]) if at < len(work.left) else None

    def give(i: int, found: Scored) -> None:
        file = work.files[i]
        _write(file if found.whole else file.with_suffix(PART), found)
        if found.whole:
            done(i)

    score_together(detector, take, give, stopped)


def _in_processes(
    run: Run, work: _Work, processes: int, until: float, done: Callable[[int], None]
) -> None:
    """In several at a time, each on one core."""
    context = multiprocessing.get_context("spawn")
    # The place of the next stretch; whoever has counted it on has taken that stretch.
    place, told = context.Value("q", 0), context.Queue()
    known: set[int] = set()

    def tell(i: int) -> None:
        if i not in known:
            known.add(i)
            done(i)

    with process.one_thread_each():
        workers = ProcessPoolExecutor(
            processes, context, _begin, (str(run.path), os.getpid(), work, place, told)
        )
        try:
            running: set[Future[list[int]]] = {workers.submit(_work) for _ in range(processes)}
            while running:
                with suppress(Empty):
                    tell(told.get(timeout=0.5))
                for future in [f for f in running if f.done()]:
                    running.remove(future)
                    for i in future.result():
                        tell(i)
                if time.monotonic() >= until and place.value:  # somebody has begun
                    place.value = STOPPED
        except BrokenProcessPool:
            raise OddframeError(
                f"One of {processes} processes was ended by the system, as it does where memory "
                "is short. What was scored is kept: give the command again, with a smaller "
                "--processes."
            ) from None
        finally:
            for worker in list((workers._processes or {}).values()):
                worker.terminate()
            workers.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Worker:
    """What a process of its own knows."""

    detector: Detector
    work: _Work
    place: Any
    told: Any


_worker: _Worker | None = None


def _begin(run: str, parent: int, work: _Work, place: Any, told: Any) -> None:
    """In each process: load the run, once; end with the parent, however it ends."""
    global _worker
    process.end_with(parent)
    warnings.simplefilter("ignore", OddframeWarning)  # the parent has said it
    _worker = _Worker(load(load_run(run)), work, place, told)


def _work() -> list[int]:
    """In each process: stretches until there are no more; their numbers."""
    assert _worker is not None
    worker, found = _worker, list[int]()

    def place() -> int:
        with worker.place.get_lock():
            at = int(worker.place.value)
            worker.place.value = at + 1
        return at

    def done(i: int) -> None:
        found.append(i)
        worker.told.put(i)

    def stopped() -> bool:
        return bool(worker.place.value >= STOPPED)

    _work_off(worker.detector, worker.work, place, stopped, done)
    return found


def _write(file: Path, found: Scored) -> None:
    def save(path: Path) -> None:
        with path.open("wb") as target:
            np.savez(target, score=found.score, time_s=found.time_s, colour=found.colour)

    write_atomic(file, save)


def _key(run: Run, videos: Sequence[Video]) -> str:
    """What the kept stretches were made from."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update((run.path / WEIGHTS).read_bytes())
    known: dict[str, Any] = {name: run.card.get(name) for name in ("scene", "config", "fps")}
    cut = [PIECE_FRAMES, MOST_PIECES, *KEPT]
    digest.update(json.dumps([known, cut, videos_hash(videos)], sort_keys=True).encode())
    digest.update(repr([v.reading for v in videos]).encode())
    return digest.hexdigest()
