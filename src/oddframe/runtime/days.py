"""Days of footage scored in as many processes as there are cores; what is done stays done.

The footage is cut into pieces, each of which starts as many frames early as the history needs, so
that the pieces together give what one pass gives. Every finished piece lies in a file of its own:
a run that was killed goes on with those that are missing.

Letters: n frames of one video.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data.dataset import Video
from oddframe.data.manifest import videos_hash
from oddframe.runs import WEIGHTS, Run, load_run, write_atomic
from oddframe.runtime.detector import Detector, load
from oddframe.sources.rate import pacer

Floats = NDArray[np.float64]
PIECE_S = 600.0
"""Seconds of footage in a piece, about."""
ALONE_S = 300.0
"""Footage that is shorter is scored in this process: starting others takes seconds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one video."""

    video: int
    """Its place in the list of videos."""
    start_s: float
    stop_s: float
    """Excluded; infinite for the last one."""


def pieces(videos: Sequence[Video], whole: bool) -> list[Piece]:
    """All footage in pieces. whole: one for every video, where scores depend on all before."""
    found = []
    for i, video in enumerate(videos):
        with video.open() as source:
            count = 1 if whole else max(1, round(source.length_s / PIECE_S))
            each_s = source.length_s / count
        for k in range(count):
            stop_s = math.inf if k == count - 1 else (k + 1) * each_s
            found.append(Piece(i, k * each_s, stop_s))
    return found


def score_piece(detector: Detector, video: Video, piece: Piece) -> tuple[Floats, Floats]:
    """Scores and times (n,) of the frames of a piece."""
    if piece.start_s <= 0:
        early_s = 0.0
    else:
        with video.open() as source:
            pace = pacer(detector.info.fps, source.info)
            fps = source.info.fps if pace is None else min(pace.fps, source.info.fps)
        # Frames that the history takes, and one for stamps that are not even.
        early_s = max(0.0, piece.start_s - ((detector.info.overlap or 0) + 2) / fps)
    scores, times = [], []
    with video.open() as source, closing(detector.follow_from(source, early_s)) as found:
        for frame, score in found:
            if frame.pts_s >= piece.stop_s:
                break
            if frame.pts_s >= piece.start_s:
                scores.append(score.score)
                times.append(frame.pts_s)
    return np.array(scores), np.array(times)


def score_days(
    run: Run, videos: Sequence[Video], processes: int, tick: Callable[[float, float], None]
) -> list[tuple[Floats, Floats]]:
    """Scores and times (n,) of every video, on the CPU.

    Args:
        run: whose RUN folder keeps what is done until all is.
        videos: files and folders of frames.
        processes: how many at a time.
        tick: called after each piece, with seconds of footage done and in all.

    Raises:
        SourceError: a video cannot be read.
        KeyboardInterrupt: stopped; what was done is kept.
    """
    detector = load(run)
    parts = pieces(videos, whole=detector.info.overlap is None)
    folder = run.path / "resume" / f"days-{_key(run, videos)}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{i:05d}.npz" for i in range(len(parts))]
    lengths = _lengths(videos, parts)
    done_s = sum(s for s, file in zip(lengths, files, strict=True) if file.exists())
    tick(done_s, sum(lengths))
    missing = [i for i, file in enumerate(files) if not file.exists()]
    for i in _worked_off(run, detector, videos, parts, files, missing, processes):
        done_s += lengths[i]
        tick(done_s, sum(lengths))
    out = []
    for v in range(len(videos)):
        kept = [np.load(f) for f, p in zip(files, parts, strict=True) if p.video == v]
        scores, times = (np.concatenate([k[name] for k in kept]) for name in ("score", "time_s"))
        out.append((scores, times))
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()  # where nothing else is in it
    return out


def _worked_off(
    run: Run, detector: Detector, videos: Sequence[Video], parts: Sequence[Piece],
    files: Sequence[Path], missing: Sequence[int], processes: int,
) -> Iterator[int]:  # fmt: skip
    """Score the missing pieces and write their files; gives each as it is done."""
    total = sum(_lengths(videos, [parts[i] for i in missing]))
    if processes < 2 or len(missing) < 2 or total < ALONE_S:
        for i in missing:
            _write(files[i], *score_piece(detector, videos[parts[i].video], parts[i]))
            yield i
        return
    threads = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read as the processes start
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(
        min(processes, len(missing)), context, _begin, (str(run.path), os.getpid())
    )
    try:
        waiting: dict[Future[None], int] = {
            workers.submit(_work, videos[parts[i].video], parts[i], files[i]): i for i in missing
        }
        for future in as_completed(waiting):
            future.result()
            yield waiting[future]
    finally:
        for process in list((workers._processes or {}).values()):
            process.terminate()
        workers.shutdown(wait=False, cancel_futures=True)
        for name, value in threads.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_THREADS = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
_detector: Detector | None = None


def _begin(run: str, parent: int) -> None:
    """In each process: load the run, once; end with the parent, however it ends."""
    global _detector
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hand on
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    _detector = load(load_run(run))


def _work(video: Video, piece: Piece, file: Path) -> None:
    assert _detector is not None
    _write(file, *score_piece(_detector, video, piece))


def _write(file: Path, score: Floats, time_s: Floats) -> None:
    def save(path: Path) -> None:
        with path.open("wb") as target:
            np.savez(target, score=score, time_s=time_s)

    write_atomic(file, save)


def _lengths(videos: Sequence[Video], parts: Sequence[Piece]) -> list[float]:
    """Seconds of each piece."""
    last: dict[int, float] = {}
    for part in parts:
        if math.isinf(part.stop_s) and part.video not in last:
            with videos[part.video].open() as source:
                last[part.video] = source.length_s
    return [(last[p.video] if math.isinf(p.stop_s) else p.stop_s) - p.start_s for p in parts]


def _key(run: Run, videos: Sequence[Video]) -> str:
    """What the kept pieces were made from."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update((run.path / WEIGHTS).read_bytes())
    known: dict[str, Any] = {"scene": run.card["scene"], "config": run.card["config"]}
    digest.update(json.dumps([known, PIECE_S, videos_hash(videos)], sort_keys=True).encode())
    digest.update(repr([v.reading for v in videos]).encode())
    return digest.hexdigest()
