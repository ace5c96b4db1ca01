"""All that is wrong with labels and masks, not the first of it: lenient readers and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from oddframe.data.check_frames import check_numbers, some
from oddframe.data.dataset import Dataset, LabelFiles, Video, numbers
from oddframe.data.label_readers import (
    Intervals,
    Labels,
    as_labels,
    load_array,
    load_npz_array,
    npz_keys,
    read_csv,
    read_mat_intervals,
    read_ucsd_m,
)
from oddframe.data.labels import csv_labels, csv_video
from oddframe.data.masks import MaskStore, pair_names
from oddframe.data.official import MAX_SHIFT, Official
from oddframe.errors import DatasetError, SourceError
from oddframe.sources.images import list_images

Say = Callable[[str, str, str], None]
"""Takes the kind of a finding, the video (or "") and its text."""
Counts = Mapping[str, int]
"""Test video -> frames; videos that cannot be decoded are not in it."""


def read_labels(
    files: LabelFiles, videos: Sequence[Video], counts: Counts, official: Official | None, say: Say
) -> dict[str, Labels]:
    """Frame labels of those test videos that have usable ones, of whatever length.

    Says which videos have none, which labels have no video, and what cannot be read. Labels that
    come as masks are not read here; see `read_masks`.
    """
    try:
        if files.kind in ("npz", "npy_folder"):
            return _by_name(files, videos, say)
        if files.kind == "npy":
            return _concatenated(files.path, videos, counts, official, say)
        if files.kind == "csv":
            return _csv(files.path, videos, counts, say)
        reader = read_mat_intervals if files.kind == "intervals_mat" else read_ucsd_m
        return _lists(files.path, reader(files.path), videos, counts, official, say)
    except DatasetError as error:
        say("labels", "", str(error))
        return {}


def _by_name(files: LabelFiles, videos: Sequence[Video], say: Say) -> dict[str, Labels]:
    if files.kind == "npz":
        keys = npz_keys(files.path)
    else:
        keys = sorted(p.stem for p in files.path.glob("*.npy") if not p.name.startswith("."))
    pairs = pair_names([video.name for video in videos], keys)
    _unpaired(files.path, videos, pairs, keys, say)
    found: dict[str, Labels] = {}
    for name, key in pairs.items():
        try:
            if files.kind == "npz":
                where = f"{files.path.name}, array {key!r},"
                found[name] = as_labels(load_npz_array(files.path, key), where)
            else:
                file = files.path / f"{key}.npy"
                found[name] = as_labels(load_array(file), file.name)
        except DatasetError as error:
            say("labels", f"test/{name}", str(error))
    return found


def _unpaired(
    path: Path, videos: Sequence[Video], pairs: Mapping[str, str], keys: Sequence[str], say: Say
) -> None:
    """Say which videos have no labels, and which labels have no video."""
    for video in videos:
        if video.name not in pairs:
            say(
                "unlabelled", f"test/{video.name}",
                f"{path.name} has no labels of it. Add them, or take the video away.",
            )  # fmt: skip
    extra = sorted(set(keys) - set(pairs.values()), key=numbers)
    if extra:
        say(
            "no video", "",
            f"{path.name} has labels without a video ({len(extra)}): {some(extra)}. Add "
            "the videos, or take these labels away.",
        )  # fmt: skip


def _concatenated(
    path: Path, videos: Sequence[Video], counts: Counts, official: Official | None, say: Say
) -> dict[str, Labels]:
    """MNAD: all test videos in one array; cut at the official lengths where they fit better."""
    labels = as_labels(load_array(path), path.name)
    lengths = [counts.get(video.name, -1) for video in videos]
    if min(lengths) >= 0 and sum(lengths) == len(labels):
        parts = np.split(labels, np.cumsum(lengths)[:-1])
        return {video.name: part for video, part in zip(videos, parts, strict=True)}
    off = len(labels) - sum(counts.values())
    text = (
        f"{path.name} has {len(labels)} labels, the {len(videos)} test videos have "
        f"{sum(counts.values())} frames: {_off(off)}. It must hold the labels of all test videos, "
        "one after the other in the order of their names."
    )
    say("labels length", "", text)
    if official is None or len(labels) != official.test_frames:
        return {}
    parts = np.split(labels, np.cumsum([n for _, n in official.test])[:-1])
    known = {numbers(name): part for (name, _), part in zip(official.test, parts, strict=True)}
    return {v.name: known[numbers(v.name)] for v in videos if numbers(v.name) in known}


def _csv(path: Path, videos: Sequence[Video], counts: Counts, say: Say) -> dict[str, Labels]:
    in_seconds, rows = read_csv(path)
    by_name = {video.name: video for video in videos if video.name in counts}
    found = {name: np.zeros(counts[name], np.uint8) for name in by_name}
    for row in rows:
        name = csv_video(row.video, videos)
        if name is None:
            say(
                "no video", "",
                f"{path.name}, line {row.line}, labels the video {row.video!r}, which is not in "
                f"the test split ({some([v.name for v in videos])}). Correct the name.",
            )  # fmt: skip
        elif row.end > 0 and name in by_name:
            try:
                found[name] |= csv_labels(path, by_name[name], [row], in_seconds)
            except DatasetError as error:
                say("labels length", f"test/{name}", str(error))
    return found


def _lists(
    path: Path, lists: list[Intervals], videos: Sequence[Video], counts: Counts,
    official: Official | None, say: Say,
) -> dict[str, Labels]:  # fmt: skip
    """Lists that go by the order of the videos; by the official order where some are missing."""
    names: list[str] = [video.name for video in videos]
    if len(lists) != len(videos):
        say(
            "labels", "",
            f"{path.name} has labels of {len(lists)} videos, the test split has {len(videos)}. The "
            "list goes by the order of the videos: all of them must be there, and no other.",
        )  # fmt: skip
        if official is None or len(lists) != len(official.test):
            return {}
        present = {numbers(name): name for name in names}
        names = [present.get(numbers(name), "") for name, _ in official.test]
    found: dict[str, Labels] = {}
    for name, intervals in zip(names, lists, strict=True):
        if name not in counts:
            continue
        n = counts[name]
        found[name] = np.zeros(n, np.uint8)
        for start, stop in intervals:
            if not 0 <= start < stop <= n:
                say(
                    "labels length", f"test/{name}",
                    f"{path.name} marks the frames {start} to {stop} (from 0, end excluded), the "
                    f"video has {n}: {_off(stop - n) if stop > n else 'no interval'}. Check that "
                    "no frame was lost, and that the labels are those of this data set.",
                )  # fmt: skip
            found[name][max(start, 0) : stop] = 1
    return found


def _off(labels: int) -> str:
    """Labels less frames, in words."""
    return f"{abs(labels)} label{'s' * (abs(labels) > 1)} too {'many' if labels > 0 else 'few'}"


def read_masks(dataset: Dataset, files: LabelFiles, counts: Counts, say: Say) -> dict[str, Labels]:
    """Which frames have a mask that is not empty, (n,) per video that has usable masks.

    Says which masks have no video, another size or another number than the video's frames.
    """
    found: dict[str, Labels] = {}
    try:
        store = MaskStore(files, dataset.test, strict=False)
    except DatasetError as error:
        say("masks", "", str(error))
        return found
    if store.extra:
        say(
            "no video", "",
            f"{files.path.name} has masks without a video ({len(store.extra)}): "
            f"{some(store.extra)}. Add the videos, or take these masks away.",
        )  # fmt: skip
    for name in store:
        where = f"test/{name}"
        if files.kind == "gt_folders":
            pictures = list_images(files.path / f"{store.key(name)}_gt")
            check_numbers(pictures, partial(_say_mask, say, where))
        try:
            found[name] = np.asarray(store[name].any(axis=(1, 2)), np.uint8)
        except (DatasetError, SourceError) as error:
            if name in counts:  # else the video itself was told to be undecodable
                say("masks", where, str(error))
            continue
        if name in counts and (off := len(found[name]) - counts[name]):
            say(
                "masks length", where,
                f"{len(found[name])} masks, {counts[name]} frames: {abs(off)} "
                f"{'more' if off > 0 else 'fewer'} masks than frames. Check that no frame was "
                "lost in extracting or re-encoding it.",
            )  # fmt: skip
    return found


def _say_mask(say: Say, where: str, kind: str, text: str) -> None:
    say(f"mask {kind}", where, text)


def check_lengths_of(labels: Mapping[str, Labels], counts: Counts, where: str, say: Say) -> None:
    """Say which videos have another number of labels than frames."""
    for name, values in labels.items():
        if name in counts and (off := len(values) - counts[name]):
            say(
                "labels length", f"test/{name}",
                f"{len(values)} labels in {where}, {counts[name]} frames: {_off(off)}. Labels "
                "count every frame of the released video: check that none was lost or doubled in "
                "extracting or re-encoding it, and that the labels are those of this data set.",
            )  # fmt: skip


def compare_with_masks(
    labels: Mapping[str, Labels], masks: Mapping[str, Labels], where: str, say: Say
) -> None:
    """Say which labels do not mark the frames that have masks, and the shift that fits, if any."""
    shifts: dict[int, list[str]] = {}
    for name, values in labels.items():
        if name not in masks or len(masks[name]) != len(values):
            continue  # told already
        wrong = np.flatnonzero(values != masks[name])
        if not wrong.size:
            continue
        shift = best_shift(values, masks[name])
        if shift:
            shifts.setdefault(shift, []).append(name)
            continue
        say(
            "labels and masks", f"test/{name}",
            f"{len(wrong)} frames are labelled otherwise in {where} than their pixel masks say, "
            f"the first being frame {wrong[0]} (label {values[wrong[0]]}). One of the two belongs "
            "to another label set or another version of the video.",
        )  # fmt: skip
    for shift, names in sorted(shifts.items()):
        late = f"{abs(shift)} frame{'s' * (abs(shift) > 1)} {'late' if shift > 0 else 'early'}"
        for name in names:
            say(
                "labels shifted", f"test/{name}",
                f"The labels in {where} are {late} against the pixel masks: moved by {-shift:+d} "
                "they mark the same frames. Do they count from 1, or was the first frame lost?",
            )  # fmt: skip


def best_shift(labels: Labels, truth: Labels) -> int:
    """By how many frames labels are late (+) or early (-): 0 unless a shift explains nearly all.

    Compares where the two overlap; nine tenths of the disagreement must go with the shift.
    """
    n = len(labels)
    wrong: dict[int, int] = {}
    for s in range(-min(MAX_SHIFT, n - 1), min(MAX_SHIFT, n - 1) + 1):
        moved, kept = labels[max(s, 0) : n + min(s, 0)], truth[max(-s, 0) : n - max(s, 0)]
        # Where no edge of an event is left, nothing tells a shift.
        if s == 0 or len(np.unique(moved)) == 2:
            wrong[s] = int(np.count_nonzero(moved != kept))
    best = min(wrong, key=lambda s: (wrong[s], abs(s)))
    return best if 10 * wrong[best] <= wrong[0] else 0
