"""A data set in a compact form that is read without decoding: `oddframe data prepare`.

Every frame is kept, lossless, as `Frame.at` makes it, with its time and the gaps between, so that
training and scores are those of the source at that size. 16-bit pictures are scaled as `fit` does,
by the values in use over all normal videos. Plain numbers and no codec: at 256 x 256 a frame takes
66 kB grey or 197 kB in colour and 0.03 ms to read; FFV1 takes 25 and 61 kB, but 1.5 and 4.8 ms, no
less than H.264 with its resize (1.2 and 1.7 ms on the same core, Ped2 at 360 x 240 and Avenue at
640 x 360).
"""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from oddframe.data.compact import (
    FOLDERS,
    LABELS,
    MANIFEST,
    MASKS,
    PreparedManifest,
    PreparedVideo,
    file_hash,
    is_whole,
    read_prepared,
)
from oddframe.data.dataset import Dataset, Video
from oddframe.data.footage import is_grey, looks_grey, scaled_alike
from oddframe.data.label_readers import Labels
from oddframe.data.labels import check_lengths, frame_labels, has_labels, known_set, label_source
from oddframe.data.manifest import manifest, manifest_hash
from oddframe.data.masks import pixel_masks
from oddframe.errors import DatasetError
from oddframe.sources.array import SUFFIX, Facts, write_header

Progress = Callable[[int, int | None], None]
"""Called with the frames done and the frames expected (None where unknown)."""
SIZES = range(16, 4097)


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What `prepare` did."""

    out: Path
    written: int
    """Videos written now."""
    kept: int
    """Videos that were there already and are whole."""
    frames: int
    bytes: int
    """Of all videos together."""
    lost: tuple[str, ...]
    """Of the videos written now, in words: damage that was decoded past, and pauses."""


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """What is known of a video before it is decoded."""

    frames: int | None
    grey: bool
    width: int
    height: int


class _NotGreyError(Exception):
    """A frame with colour came in a video that looked grey."""


def prepare(
    dataset: Dataset, out: Path, size: int = 256, progress: Progress | None = None
) -> PrepareResult:
    """Write a data set as frames of `size` x `size`, which `open_dataset(out)` reads.

    Can be stopped at any time and run again: videos that are finished stay, if their hashes are
    those of the manifest. Labels must have the length of their videos.

    Args:
        dataset: what `open_dataset` gives, with the labels that are wanted.
        out: an empty or new folder, or one that an earlier run with this source and size began.
        size: rows and columns, that of the model.
        progress: called after each frame.

    Raises:
        DatasetError: another size or source in `out`, labels that do not fit, a full disk.
        SourceError: a video is damaged; those before it stay.
    """
    if size not in SIZES:
        raise DatasetError(f"--size must be {SIZES[0]} to {SIZES[-1]}, found {size}.")
    plan = _plan(dataset, out, size)
    if has_labels(dataset) or dataset.masks is not None:
        _check_names(dataset.test)
    labels = frame_labels(dataset) if has_labels(dataset) else {}
    plan.labels = label_source(dataset, labels) if labels else None
    known = known_set(dataset, labels)
    plan.label_set = known[1] if known else None
    writer = _Writer(scaled_alike(dataset), out, size, progress, labels)
    try:
        return writer.run(plan)
    except OSError as error:
        raise _write_error(out, error) from error


def _check_names(videos: Sequence[Video]) -> None:
    """Refuse names that labels.npz and pixel_masks.npz cannot hold, before anything is decoded."""
    for video in videos:
        shown = video.name.encode("utf8", "replace").decode("utf8")
        if shown != video.name:
            raise DatasetError(
                f"The name of the test video {shown} in {video.path.parent} is not UTF-8, and "
                "neither labels.npz nor pixel_masks.npz can hold such a name. Rename it, and its "
                "labels."
            )


def _plan(dataset: Dataset, out: Path, size: int) -> PreparedManifest:
    """The manifest to go on with: that of an earlier run, or a new one."""
    if dataset.layout == "prepared":
        raise DatasetError(
            f"{dataset.root} is prepared already. Prepare another size from the videos that it was "
            "made of."
        )
    source = manifest_hash(manifest(dataset))
    before = read_prepared(out) if out.is_dir() else None
    if before is None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DatasetError(f"{out} exists and is not empty: choose another --out folder.")
        return PreparedManifest(source, dataset.name, dataset.layout, size)
    if (before.source, before.size) != (source, size):
        raise DatasetError(
            f"{out} holds {before.source_name} at {before.size} pixels (manifest {before.source}), "
            f"not {dataset.name} at {size} ({source}). Choose another --out folder, or delete it."
        )
    return before


@dataclass(slots=True)
class _Writer:
    """One run of `prepare`."""

    dataset: Dataset
    out: Path
    size: int
    progress: Progress | None
    labels: Mapping[str, Labels]
    done: int = 0
    total: int | None = None
    lost: list[str] = field(default_factory=list)

    def run(self, plan: PreparedManifest) -> PrepareResult:
        """Write what is not there yet; the manifest grows with every video."""
        whole = {(row.split, row.name): row for row in plan.videos if is_whole(self.out, row)}
        videos = [("train", v) for v in self.dataset.train]
        videos += [("test", v) for v in self.dataset.test]
        todo = {(s, v.name): _survey(v, self.size) for s, v in videos if (s, v.name) not in whole}
        self._check_space(todo)
        lengths = [one.frames for one in todo.values()]
        kept = sum(row.frames for row in whole.values())
        if None not in lengths:
            self.total = kept + sum(n for n in lengths if n is not None)
        self.done = kept
        plan.complete, plan.videos = False, list(whole.values())
        for folder in FOLDERS.values():
            (self.out / folder).mkdir(parents=True, exist_ok=True)
        plan.save(self.out)
        for split, video in videos:
            if (split, video.name) in todo:
                row = self._video(split, video, todo[split, video.name])
                plan.videos.append(row)
                plan.save(self.out)
        order = {(split, video.name): i for i, (split, video) in enumerate(videos)}
        plan.videos.sort(key=lambda row: order[row.split, row.name])
        self._truth(plan)
        plan.complete = True
        plan.save(self.out)
        rows = plan.videos
        return PrepareResult(
            self.out, len(todo), len(whole), sum(r.frames for r in rows),
            sum(r.bytes for r in rows), tuple(self.lost),
        )  # fmt: skip

    def _check_space(self, todo: Mapping[tuple[str, str], _Surveyed]) -> None:
        """Refuse before an hour of decoding, not after it."""
        folder = next(p for p in (self.out, *self.out.absolute().parents) if p.exists())
        needed = sum(
            (one.frames or 0) * self.size**2 * (1 if one.grey else 3) for one in todo.values()
        )
        if needed > (free := shutil.disk_usage(folder).free):
            raise DatasetError(
                f"{self.out} needs about {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB "
                "free. Free some space, choose another --out folder or a smaller --size."
            )

    def _video(self, split: str, video: Video, known: _Surveyed) -> PreparedVideo:
        """Write one video under a temporary name and rename it."""
        relative = f"{FOLDERS[split]}/{video.name}{SUFFIX}"
        path = self.out / relative
        partial = path.with_name(f".{path.name}.tmp")
        done = self.done
        try:
            try:
                channels = 1 if known.grey else 3
                frames, fps = self._frames(video, partial, channels)
            except _NotGreyError:  # colour that `looks_grey` did not see
                self.done, channels = done, 3
                frames, fps = self._frames(video, partial, channels)
            if split == "test" and video.name in self.labels:
                check_lengths(video.name, len(self.labels[video.name]), frames)
            digest, size = file_hash(partial), partial.stat().st_size
            partial.replace(path)
        finally:
            with suppress(OSError):  # renamed already, or never made
                partial.unlink()
        return PreparedVideo(
            split, video.name, relative, frames, fps, channels, (known.width, known.height), size,
            digest,
        )  # fmt: skip

    def _frames(self, video: Video, path: Path, channels: int) -> tuple[int, float]:
        """All frames of a video to a .npy; gives their number and rate."""
        times: list[float] = []
        gaps: list[int] = []
        with video.open() as source, path.open("wb") as file:
            write_header(file, (0, self.size, self.size, channels))
            for frame in source:
                image = frame.at(self.size)
                if channels == 1 and not is_grey(image):
                    raise _NotGreyError
                file.write(image[..., :channels].tobytes())
                if frame.gap:
                    gaps.append(len(times))
                times.append(frame.pts_s)
                self.done += 1
                if self.progress is not None:
                    self.progress(self.done, self.total)
            Facts.of(source, times, gaps).write(file)
            file.seek(0)
            write_header(file, (len(times), self.size, self.size, channels))
            file.flush()
            os.fsync(file.fileno())
            if source.lost:
                self.lost.append(f"{video.name}: {source.lost}")
            return len(times), source.info.fps

    def _truth(self, plan: PreparedManifest) -> None:
        """labels.npz and pixel_masks.npz, and their hashes in the manifest."""
        plan.files = {}
        if self.labels:
            arrays = {name: np.asarray(values, np.uint8) for name, values in self.labels.items()}
            plan.files[LABELS] = _archive(self.out / LABELS, arrays)
        masks = pixel_masks(self.dataset)
        if masks is not None:
            lengths = {row.name: row.frames for row in plan.videos if row.split == "test"}
            plan.files[MASKS] = _archive(
                self.out / MASKS, _Packed(masks, self.size, lengths)
            )  # fmt: skip


class _Packed(Mapping[str, NDArray[np.uint8]]):
    """Masks at the new size, packed along the width; one video in memory at a time."""

    def __init__(
        self, masks: Mapping[str, NDArray[np.bool_]], size: int, lengths: Mapping[str, int]
    ) -> None:
        self._masks, self._size, self._lengths = masks, size, lengths

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        masks = self._masks[name]
        check_lengths(name, len(masks), self._lengths[name])
        return np.packbits([resize_mask(mask, self._size) for mask in masks], axis=-1)

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)


def resize_mask(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """(h, w) -> (size, size): what is covered by half; something stays of every mask."""
    if mask.shape == (size, size) or not mask.any():
        return mask if mask.shape == (size, size) else np.zeros((size, size), np.bool_)
    share = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    half = np.asarray(share >= 0.5)
    return half if half.any() else np.asarray(share == share.max())


def _archive(path: Path, arrays: Mapping[str, NDArray[np.uint8]]) -> str:
    """Write a compressed .npz under a temporary name, array by array; gives its hash."""
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in arrays:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    npy.write_array(file, arrays[name], allow_pickle=False)
        digest = file_hash(partial)
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()
    return digest


def _survey(video: Video, size: int) -> _Surveyed:
    with video.open() as source:
        info = source.info
        return _Surveyed(source.frame_hint, looks_grey(source, size), info.width, info.height)


def _write_error(out: Path, error: OSError) -> DatasetError:
    if error.errno == errno.ENOSPC:
        return DatasetError(
            f"The disk with {out} is full. The videos that are finished stay: free some space and "
            "run the same command again."
        )
    return DatasetError(f"{out / MANIFEST} and its videos cannot be written: {error}.")
