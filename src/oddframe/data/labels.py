"""Frame labels of a data set's test videos, read when asked for: 1 = abnormal.

A new form of labels is one reader and one row in `READERS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from oddframe.data import masks
from oddframe.data.dataset import Dataset, LabelFiles, Video, video_frames, video_times
from oddframe.data.label_readers import (
    CsvRow,
    Intervals,
    Labels,
    as_labels,
    fill,
    load_array,
    read_csv,
    read_mat_intervals,
    read_npz,
    read_ucsd_m,
)
from oddframe.data.masks import match_names
from oddframe.data.official import LABEL_SETS, known_labels
from oddframe.errors import DatasetError
from oddframe.sources import VIDEO_SUFFIXES
from oddframe.sources.names import naturally, same_text
from oddframe.sources.stamps import DEFAULT_FPS

__all__ = [
    "check_lengths",
    "frame_labels",
    "has_labels",
    "label_source",
    "video_frames",
]

Videos = Sequence[Video]

PAST_END_S = 0.5
ROUNDED_S = 5e-3
"""Written times are rounded to a hundredth: 1.24 means the frame that is shown at 1.236."""

ACCEPTED = (
    "labels.npz (one array of 0 and 1 per video), labels.csv (video,start_s,end_s), "
    "FFP's NAME.mat, MNAD's frame_labels_NAME.npy, ShanghaiTech's testing/test_frame_mask, "
    "UCSD's Test/NAME.m or Test/Test001_gt, Avenue's ground_truth_demo/testing_label_mask"
)


def has_labels(dataset: Dataset) -> bool:
    """True where `frame_labels` has something to read."""
    return dataset.labels is not None and bool(dataset.test)


def frame_labels(dataset: Dataset) -> dict[str, Labels]:
    """Frame labels of all test videos.

    Lengths are compared with the videos where counting frames is free (frame folders) or needed
    (interval lists); for the rest the evaluation calls `check_lengths`.

    Returns:
        video name -> (n,) uint8, 1 = abnormal, in the order of `dataset.test`.

    Raises:
        DatasetError: no labels, labels and videos that do not belong together, values other
            than 0 and 1, or a file that cannot be read.
    """
    found = _label_files(dataset)
    labels = READERS[found.kind](found.path, dataset.test)
    for video in dataset.test:
        if video.path.is_dir():
            check_lengths(video.name, len(labels[video.name]), video_frames(video))
    return {video.name: labels[video.name] for video in dataset.test}


def check_lengths(name: str, n_labels: int, n_frames: int) -> None:
    """Raise DatasetError where a video has another number of labels than frames."""
    if n_labels != n_frames:
        raise DatasetError(
            f"Video {name} has {n_frames} frames and {n_labels} labels. Labels count every frame "
            "of the released video: check that none was lost in extracting or re-encoding it, and "
            "that the labels are those of this data set."
        )


def label_source(dataset: Dataset, labels: Mapping[str, Labels] | None = None) -> str:
    """Which labels these are, for the protocol text: "labels.npz (blake2b 1f2e3d4c5b6a)".

    Labels of a benchmark are named: `avenue.mat (Avenue labels "ffp", blake2b 1f2e3d4c5b6a)`.

    Args:
        dataset: with labels.
        labels: of its test videos where they are known already; read otherwise.

    Raises:
        DatasetError: as `frame_labels`.
    """
    path = _label_files(dataset).path
    known = known_set(dataset, frame_labels(dataset) if labels is None else labels)
    named = f'{known[0]} labels "{known[1]}", ' if known else ""
    digest = hashlib.blake2b(digest_size=6)
    if path.is_file():
        digest.update(path.read_bytes())
        return f"{path.name} ({named}blake2b {digest.hexdigest()})"
    suffixes = {".npy", ".mat", ".bmp", ".png"}
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    if _label_files(dataset).kind == "gt_folders":
        files = [p for p in files if p.parent.name.lower().endswith("_gt")]
    for file in files:
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        digest.update(file.read_bytes())
    return f"{path.name} ({named}{len(files)} files, blake2b {digest.hexdigest()})"


def known_set(dataset: Dataset, labels: Mapping[str, Labels]) -> tuple[str, str] | None:
    """Title of the benchmark and name of the label set ("Avenue", "ffp"); None where unknown."""
    found = known_labels(labels, f"{dataset.root.parent.name}/{dataset.name}")
    return None if found is None else (found[0].title, found[1])


def choose_labels(dataset: Dataset, name: str) -> LabelFiles:
    """Of all labels of a data set those that are the label set `name`, such as Avenue's "ffp".

    Raises:
        DatasetError: none of them is, saying what each is.
    """
    seen: list[str] = []
    for files in dataset.label_files:
        try:
            known = known_set(dataset, frame_labels(replace(dataset, labels=files)))
        except DatasetError as error:
            seen.append(f"{files.path.name} cannot be used ({error})")
            continue
        if known is not None and known[1] == name:
            return files
        seen.append(f'{files.path.name} is "{known[1]}"' if known else f"{files.path.name}: none")
    raise DatasetError(
        f'labels={name}: none of the frame labels of {dataset.root} is the set "{name}" (known '
        f"sets: {', '.join(LABEL_SETS)}). Found: {'; '.join(seen) or 'no labels at all'}. Put the "
        "file into the data set's folder, or give its path."
    )


def _label_files(dataset: Dataset) -> LabelFiles:
    if not dataset.test:
        raise DatasetError(
            f"{dataset.root} (layout {dataset.layout}) has no test videos, so no frame labels. "
            "Expected a data set with a test split."
        )
    if dataset.labels is None:
        raise DatasetError(
            f"No frame labels for {dataset.root} (layout {dataset.layout}). Expected, in it or "
            f"beside it, one of: {ACCEPTED}; or name them with labels=…"
        )
    return dataset.labels


def _npz(path: Path, videos: Videos) -> dict[str, Labels]:
    labels = read_npz(path)
    keys = match_names(videos, list(labels), path)
    return {name: labels[key] for name, key in keys.items()}


def _npy_concatenated(path: Path, videos: Videos) -> dict[str, Labels]:
    """MNAD: the labels of all test videos in one 1 x N array."""
    labels = as_labels(load_array(path), str(path))
    counts = [video_frames(video) for video in videos]
    if sum(counts) != len(labels):
        raise DatasetError(
            f"{path} has {len(labels)} labels, the {len(videos)} test videos have {sum(counts)} "
            "frames. It must hold the labels of all test videos, one after the other in the order "
            "of their names."
        )
    parts = np.split(labels, np.cumsum(counts)[:-1])
    return {video.name: part for video, part in zip(videos, parts, strict=True)}


def _npy_folder(path: Path, videos: Videos) -> dict[str, Labels]:
    """ShanghaiTech: test_frame_mask/01_0014.npy."""
    files = {p.stem: p for p in naturally(path.glob("*.npy")) if not p.name.startswith(".")}
    keys = match_names(videos, list(files), path)
    return {n: as_labels(load_array(files[k]), str(files[k])) for n, k in keys.items()}


def _interval_lists(
    reader: Callable[[Path], list[Intervals]],
) -> Callable[[Path, Videos], dict[str, Labels]]:
    def read(path: Path, videos: Videos) -> dict[str, Labels]:
        lists = reader(path)
        if len(lists) != len(videos):
            rest = [v.name for v in videos[len(lists) :]]
            raise DatasetError(
                f"{path} has labels for {len(lists)} videos, the test split has {len(videos)}"
                + (f"; without labels: {', '.join(rest)}" if rest else "")
                + ". The list goes by the order of the videos, so all of them must be there."
            )
        return {
            video.name: fill(intervals, video_frames(video), f"{path}, video {video.name},")
            for video, intervals in zip(videos, lists, strict=True)
        }

    return read


def _csv(path: Path, videos: Videos) -> dict[str, Labels]:
    """Own footage: labels.csv; a video without rows is normal throughout."""
    in_seconds, rows = read_csv(path)
    by_video: dict[str, list[CsvRow]] = {video.name: [] for video in videos}
    unknown: list[str] = []
    for row in rows:
        name = csv_video(row.video, videos)
        if name is None:
            unknown.append(f"{row.video} (line {row.line})")
        elif row.end > 0:
            by_video[name].append(row)
    if unknown:
        raise DatasetError(
            f"{path} labels videos that are not in the test split: {', '.join(unknown)}. It has "
            f"{', '.join(sorted(by_video))}."
        )
    return {v.name: csv_labels(path, v, by_video[v.name], in_seconds) for v in videos}


def csv_video(text: str, videos: Videos) -> str | None:
    """The video that a cell means: "a/b.mp4", "b.mp4" and "b" all mean the video "a_b"."""
    path = PurePosixPath(same_text(text).replace("\\", "/"))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        path = path.with_suffix("")
    parts = [part for part in path.parts if part not in (".", "/")]
    joined = "_".join(parts[1:] if len(parts) > 1 and parts[0] == "test" else parts)
    if any(video.name == joined for video in videos):
        return joined
    ends = {v.name: (same_text(v.path.name), same_text(v.path.stem)) for v in videos}
    same_end = [name for name, end in ends.items() if joined in end]
    return same_end[0] if len(same_end) == 1 else None


def csv_labels(path: Path, video: Video, rows: Iterable[CsvRow], in_seconds: bool) -> Labels:
    """Labels of one video from its lines of labels.csv; a line outside it is a DatasetError."""
    times = video_times(video)
    n_frames = len(times)
    step_s = float(np.median(np.diff(times))) if n_frames > 1 else 1 / DEFAULT_FPS
    end_s = times[-1] + step_s
    intervals: Intervals = []
    for row in rows:
        if in_seconds:
            ends = np.array([row.start, row.end]) - ROUNDED_S
            start, stop = map(int, np.searchsorted(times, ends))
            if stop <= start:  # shorter than a frame: the one that is shown then
                start = max(0, int(np.searchsorted(times, row.start + ROUNDED_S, "right")) - 1)
            # Half a second is allowed past the end: people write the length that a player shows.
            outside = row.start >= end_s or row.end > end_s + PAST_END_S
        else:
            start, stop = int(row.start), int(row.end)
            outside = start >= n_frames or stop > n_frames
        if outside:
            raise DatasetError(
                f"{path}, line {row.line}: the interval {row.start:g} to {row.end:g} lies outside "
                f"the video {video.name}, which has {n_frames} frames and ends at {end_s:.2f} s. "
                "Correct the line; start_s,end_s columns are seconds, start_frame,end_frame frames."
            )
        start = min(start, n_frames - 1)
        intervals.append((start, min(max(stop, start + 1), n_frames)))
    return fill(intervals, n_frames, f"{path}, video {video.name},")


def _from_masks(kind: str) -> Callable[[Path, Videos], dict[str, Labels]]:
    """A frame is abnormal where its pixel mask is not empty."""

    def read(path: Path, videos: Videos) -> dict[str, Labels]:
        store = masks.MaskStore(LabelFiles(kind, path), videos)
        missing = [video.name for video in videos if video.name not in store]
        if missing:
            raise DatasetError(
                f"{path} has no masks for the test videos {', '.join(missing)}; frame labels "
                "cannot be made from masks unless every video has them."
            )
        return {v.name: np.asarray(store[v.name].any(axis=(1, 2)), np.uint8) for v in videos}

    return read


READERS: dict[str, Callable[[Path, Videos], dict[str, Labels]]] = {
    "npz": _npz,
    "csv": _csv,
    "intervals_mat": _interval_lists(read_mat_intervals),
    "ucsd_m": _interval_lists(read_ucsd_m),
    "npy": _npy_concatenated,
    "npy_folder": _npy_folder,
    "gt_folders": _from_masks("gt_folders"),
    "volumes": _from_masks("volumes"),
}
