"""The made scene as a data set on disk: normal/, test/ and the truth beside them."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.errors import DatasetError
from oddframe.synth.config import Box, SynthConfig
from oddframe.synth.render import frame_count, render_clip

FORMAT = 1
"""Raised whenever the same config gives other pixels or files: old folders are not reused."""

# Motion JPEG: every frame stands alone. mp4v is a quarter of the size, but its key frame every 12
# frames doubles the frame difference (3.2 against 1.6 grey levels): a pulse like an event's.
CODEC, SUFFIX = "MJPG", ".avi"

TEST_SEED = 1_000_000
"""Seeds of test clips start here, so that more training clips never repeat a test clip's people."""

SCENE_FILE = "scene.json"

Progress = Callable[[int, int], None]
"""Called with the frames done and the frames of all clips together."""


@dataclass(frozen=True, slots=True)
class _Note:
    """The truth of one frame; the mask is packed, an eighth of the memory of an hour's clip."""

    label: int
    boxes: tuple[Box, ...]
    packed: NDArray[np.uint8]


@dataclass(slots=True)
class _Truth:
    """What is known about the test clips so far, by clip name."""

    labels: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    masks: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    boxes: dict[str, list[list[dict[str, Any]]]] = field(default_factory=dict)


@dataclass(slots=True)
class _Count:
    """Frames done of all, reported to the caller."""

    total: int
    progress: Progress | None
    done: int = 0

    def step(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def clip_kinds(config: SynthConfig) -> list[tuple[str, ...]]:
    """The kinds of anomaly of every test clip: one or two each, in turn.

    A second one is added where there are more kinds than clips, and in every other clip that is
    long enough (20 s) to keep normal footage around both.
    """
    count, kinds = config.test_clips, config.kinds
    per_clip = 2 if len(kinds) > count else 1
    chosen: list[tuple[str, ...]] = []
    taken = 0
    for index in range(count):
        extra = per_clip == 1 and index % 2 == 1 and config.test_seconds >= 20 and len(kinds) > 1
        size = min(len(kinds), per_clip)
        picked = [kinds[(taken + k) % len(kinds)] for k in range(size)]
        taken += size
        if extra:
            picked.append(kinds[(taken + 1) % len(kinds)])
        chosen.append(tuple(dict.fromkeys(picked)))
    return chosen


def write_dataset(root: Path, config: SynthConfig, progress: Progress | None = None) -> None:
    """Render a whole data set into `root`, or keep the one that is there if it is the same.

    Everything is written to a temporary folder beside `root`, which takes its name at the end:
    an interruption leaves nothing behind.

    Args:
        root: folder to make; its parents are made too.
        config: the scene, and how many clips of which length.
        progress: called after every frame with (frames done, frames in all).

    Raises:
        DatasetError: `root` holds something else, or a video cannot be written.
    """
    root = Path(root)
    if _reusable(root, config):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        work.chmod(0o755)  # mkdtemp makes folders that only their owner may read
        _write_all(work, config, progress)
        if root.exists():
            root.rmdir()  # empty, as checked above
        work.rename(root)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(work, ignore_errors=True)
        raise


def write_normal(
    folder: Path, config: SynthConfig, first_seed: int, progress: Progress | None = None
) -> None:
    """Write `config.train_clips` more normal clips of the same street as a flat folder of videos.

    first_seed: clip seed of the first one; from `config.train_clips` on, below 1 000 000, they
    share nothing with the clips of `write_dataset`.

    Raises:
        DatasetError: a video cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = config.train_clips * frame_count(config, config.train_seconds)
    count = _Count(total, progress)
    for index in range(config.train_clips):
        path = folder / f"{index + 1:02d}{SUFFIX}"
        _write_clip(path, config, first_seed + index, (), count)


def _reusable(root: Path, config: SynthConfig) -> bool:
    """Whether `root` already holds this data set; raises where it holds anything else."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise DatasetError(f"{root} is a file; expected a folder to write the made scene to.")
    if not any(root.iterdir()):
        return False
    try:
        known = json.loads((root / SCENE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    if not isinstance(known, dict):
        raise DatasetError(
            f"{root} is not empty and holds no made scene. Choose another folder or empty this one."
        )
    if known.get("format") == FORMAT and known.get("config") == _plain(config):
        return True
    raise DatasetError(
        f"{root} holds a made scene with other settings ({SCENE_FILE} says which). "
        "Delete the folder or choose another one."
    )


def _plain(config: SynthConfig) -> dict[str, Any]:
    """The config as JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return plain


def _write_all(work: Path, config: SynthConfig, progress: Progress | None) -> None:
    total = config.train_clips * frame_count(config, config.train_seconds)
    total += config.test_clips * frame_count(config, config.test_seconds)
    count = _Count(total, progress)
    kinds = clip_kinds(config)
    truth = _Truth()
    (work / "normal").mkdir()
    (work / "test").mkdir()
    for index in range(config.train_clips):
        name = f"{index + 1:02d}"
        _write_clip(work / "normal" / f"{name}{SUFFIX}", config, index, (), count)
    for index in range(config.test_clips):
        name = f"{index + 1:02d}"
        path = work / "test" / f"{name}{SUFFIX}"
        notes = _write_clip(path, config, TEST_SEED + index, kinds[index], count)
        truth.labels[name] = np.array([note.label for note in notes], np.uint8)
        truth.masks[name] = np.stack([note.packed for note in notes])
        truth.boxes[name] = [[asdict(box) for box in note.boxes] for note in notes]
    _write_truth(work, config, truth, kinds)


def _write_clip(path: Path, config: SynthConfig, seed: int, kinds: tuple[str, ...],
                count: _Count) -> list[_Note]:  # fmt: skip
    """Write one clip; gives the truth of its frames back (of test clips, which have `kinds`)."""
    seconds = config.test_seconds if kinds else config.train_seconds
    size = (config.width, config.height)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODEC), config.fps, size)
    if not writer.isOpened():
        raise DatasetError(
            f"{path.name} cannot be written: this OpenCV has no {CODEC} encoder. "
            "Install opencv-python-headless from PyPI, which has one."
        )
    notes: list[_Note] = []
    try:
        for frame in render_clip(config, seed, kinds, seconds):
            writer.write(frame.image)
            if kinds:
                notes.append(_Note(frame.label, frame.boxes, np.packbits(frame.mask, axis=-1)))
            count.step()
    finally:
        writer.release()
    return notes


def intervals(labels: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Runs of ones in a row of labels as [first, end) frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _write_truth(work: Path, config: SynthConfig, truth: _Truth,
                 kinds: list[tuple[str, ...]]) -> None:  # fmt: skip
    """labels.npz, labels.csv, pixel_masks.npz, boxes.json and scene.json."""
    if truth.labels:
        arrays: dict[str, Any] = dict(truth.labels)
        np.savez_compressed(work / "labels.npz", **arrays)
        arrays = dict(truth.masks)
        np.savez_compressed(work / "pixel_masks.npz", **arrays)
    with (work / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["video", "start_s", "end_s"])
        for name, labels in truth.labels.items():
            for start, end in intervals(labels):
                table.writerow([name, f"{start / config.fps:.4f}", f"{end / config.fps:.4f}"])
    (work / "boxes.json").write_text(json.dumps(truth.boxes), encoding="utf-8")
    scene = {
        "format": FORMAT,
        "config": _plain(config),
        "clips": {name: list(kinds[i]) for i, name in enumerate(truth.labels)},
        "abnormal_share": {name: round(float(a.mean()), 4) for name, a in truth.labels.items()},
    }
    (work / SCENE_FILE).write_text(json.dumps(scene, indent=2) + "\n", encoding="utf-8")
