"""Optical flow as files: read, write, and compute for a whole data set (`oddframe data flow`).

A flow is (2, h, w), x then y, in pixels per frame: where each place of a frame was in the frame
before. Kept as Middlebury `.flo` (float32, what FlowNet2 and RAFT write) or as `.npy` (float16
here: 0.26 MB at 256 x 256, to about 1/1000 of the speed).

Models with `flow: file` read such files in place of computing flow from the frames, these or those
that a network wrote elsewhere: `flow_folder.py` finds them.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.data.dataset import Dataset, Video
from oddframe.data.footage import scaled_alike
from oddframe.data.manifest import manifest, manifest_hash
from oddframe.errors import DatasetError

Progress = Callable[[int, int | None], None]
"""Called with the frames done and the frames expected (None where unknown)."""
INDEX = "flow.json"
VERSION = 1
METHOD = "opencv-dis-fast-backward"
MAGIC = 202021.25
"""The first four bytes of every `.flo` file, as a float."""
MAX_SIDE = 1 << 16
SIZES = range(16, 4097)


def read_flow(path: Path) -> NDArray[np.float32]:
    """A flow (2, h, w) float32, x then y, from a `.flo` or `.npy` file.

    Raises:
        DatasetError: not there, of another kind, of another shape, or cut short.
    """
    try:
        if path.suffix.lower() == ".flo":
            return _read_flo(path)
        if path.suffix.lower() != ".npy":
            raise DatasetError(f"{path}: a flow is a .flo or .npy file.")
        flow = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as optical flow: {error}.") from None
    if flow.ndim != 3 or flow.shape[0] != 2 or flow.dtype.kind != "f" or not flow.size:
        raise DatasetError(
            f"{path} has shape {flow.shape} and type {flow.dtype}; expected optical flow, "
            "(2, h, w) of floats, x then y in pixels."
        )
    return np.asarray(flow, np.float32)


def _read_flo(path: Path) -> NDArray[np.float32]:
    data = path.read_bytes()
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != np.float32(MAGIC):
        raise DatasetError(
            f"{path} does not start as a Middlebury .flo file does (the float {MAGIC})."
        )
    w, h = (int(n) for n in np.frombuffer(data, "<i4", 2, offset=4))
    if not (0 < w <= MAX_SIDE and 0 < h <= MAX_SIDE) or len(data) != 12 + 8 * w * h:
        raise DatasetError(
            f"{path} says {w} x {h} pixels, which is {12 + 8 * w * h} bytes; it has {len(data)}."
        )
    flow = np.frombuffer(data, "<f4", offset=12).reshape(h, w, 2)
    return np.ascontiguousarray(np.moveaxis(flow, -1, 0), np.float32)


def write_flow(path: Path, flow: NDArray[np.floating]) -> None:
    """Write a flow (2, h, w) as `.flo` (float32) or `.npy` (float16), as the name ends.

    Raises:
        DatasetError: another shape, or another end of the name.
    """
    if flow.ndim != 3 or flow.shape[0] != 2:
        raise DatasetError(f"A flow has shape (2, h, w), found {flow.shape}.")
    if path.suffix.lower() == ".flo":
        _, h, w = flow.shape
        head = np.array([MAGIC], "<f4").tobytes() + np.array([w, h], "<i4").tobytes()
        path.write_bytes(head + np.moveaxis(flow, 0, -1).astype("<f4").tobytes())
    elif path.suffix.lower() == ".npy":
        np.save(path, flow.astype(np.float16))
    else:
        raise DatasetError(f"{path}: a flow is written as .flo or .npy.")


@dataclass(frozen=True, slots=True)
class FlowResult:
    """What `write_flows` did."""

    out: Path
    written: int
    """Videos written now."""
    kept: int
    """Videos that were finished already."""
    flows: int
    """Files written now."""
    bytes: int
    """Of them."""


def write_flows(
    dataset: Dataset, out: Path, size: int = 256, progress: Progress | None = None
) -> FlowResult:
    """Write DIS flow of all neighbouring frames: OUT/{training,testing}/VIDEO/000001.npy and on.

    File i holds the flow from frame i to frame i - 1, of frames resized to `size` x `size`; there
    is no 000000, and behind a pause it is 0. Can be stopped at any time and run again: a video has
    its own name only once it is whole, and is then left alone.

    Args:
        dataset: what `open_dataset` gives.
        out: an empty or new folder, or one that an earlier run with this source and size began.
        size: rows and columns of the frames.
        progress: called after each frame of the videos that are written.

    Raises:
        DatasetError: another size or source in `out`, a folder of something else, a full disk.
        SourceError: a video is damaged; those before it stay.
    """
    if size not in SIZES:
        raise DatasetError(f"--size must be {SIZES[0]} to {SIZES[-1]}, found {size}.")
    alike = scaled_alike(dataset)
    videos = [(out / "training" / v.name, v) for v in alike.train]
    videos += [(out / "testing" / v.name, v) for v in alike.test]
    try:
        _claim(dataset, out, size)
        todo = [(folder, video) for folder, video in videos if not folder.is_dir()]
        hints = [_hint(video) for _, video in todo]
        total = None if None in hints else sum(n or 0 for n in hints)
        frames = flows = size_b = 0
        for folder, video in todo:
            start = frames
            partial = folder.with_name(f".{folder.name}.tmp")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            try:
                for frames in _video(video, partial, size, start):
                    if progress is not None:
                        progress(frames, total)
                made = list(partial.iterdir())
                flows, size_b = flows + len(made), size_b + sum(p.stat().st_size for p in made)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        full = "The disk is full; free some space" if error.errno == errno.ENOSPC else str(error)
        raise DatasetError(
            f"The flows in {out} cannot be written: {full}. Finished videos stay: run the same "
            "command again."
        ) from error
    return FlowResult(out, len(todo), len(videos) - len(todo), flows, size_b)


def _claim(dataset: Dataset, out: Path, size: int) -> None:
    """Say in `out` what its flows are of, or check that an earlier run said the same."""
    plan = {
        "version": VERSION, "method": METHOD, "size": size, "name": dataset.name,
        "source": manifest_hash(manifest(dataset)),
    }  # fmt: skip
    index = out / INDEX
    if index.is_file():
        try:
            before = json.loads(index.read_text("utf-8"))
        except ValueError:
            before = None
        if before != plan:
            said = "something unreadable" if not isinstance(before, dict) else (
                f"flows of {before.get('name')} at {before.get('size')} pixels "
                f"(manifest {before.get('source')})"
            )  # fmt: skip
            raise DatasetError(
                f"{out} holds {said}, not of {dataset.name} at {size} ({plan['source']}). Choose "
                "another --out folder, or delete it."
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} exists and is not empty: choose another --out folder.")
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f".{INDEX}.tmp"
    partial.write_text(json.dumps(plan, indent=1), encoding="utf-8")
    partial.replace(index)


def _hint(video: Video) -> int | None:
    with video.open() as source:
        return source.frame_hint


def _video(video: Video, folder: Path, size: int, done: int) -> Iterator[int]:
    """Write the flows of one video; gives the frames done after each."""
    from oddframe.ops.dis import dis_flow  # torch comes with its package

    past: NDArray[np.uint8] | None = None
    with video.open() as source:
        for index, frame in enumerate(source):
            grey = np.asarray(cv2.cvtColor(frame.at(size), cv2.COLOR_BGR2GRAY), np.uint8)
            if past is not None:
                flow = np.zeros((size, size, 2)) if frame.gap else dis_flow(grey, past)
                write_flow(folder / f"{index:06d}.npy", np.moveaxis(flow, -1, 0))
            past = grey
            yield done + index + 1
