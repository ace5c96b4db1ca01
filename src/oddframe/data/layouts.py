"""Recognise the data-set layouts in use (README of each in `LAYOUTS`, tried in that order).

A new layout is one `detect` function, which returns None for a folder that is not its own, and one
row in the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from oddframe.data import compact
from oddframe.data.dataset import (
    MAX_DEPTH,
    Dataset,
    LabelFiles,
    Video,
    child,
    find_videos,
    name_videos,
    subfolders,
    video_files,
)
from oddframe.data.labels import choose_labels
from oddframe.data.official import LABEL_SETS
from oddframe.errors import DatasetError, SourceError
from oddframe.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Reading, open_source
from oddframe.sources.base import describe_folder
from oddframe.sources.images import list_images
from oddframe.sources.names import left_out
from oddframe.sources.urls import safe

__all__ = ["LAYOUTS", "Dataset", "LabelFiles", "Video", "open_dataset"]

BESIDE = frozenset({
    ".npy", ".npz", ".mat", ".m", ".flo", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml",
    ".xml", ".txt", ".log", ".md", ".html", ".pdf", ".py",
})  # fmt: skip
"""What lies beside footage: labels, masks, flows, texts."""


def _ucsd(root: Path) -> Dataset | None:
    """UCSD original: Train/Train001/001.tif, Test/Test001, Test/Test001_gt/*.bmp, UCSDped2.m."""
    train, test = child(root, "Train"), child(root, "Test")
    starts = [("train", train), ("test", test)]
    if not any(
        s and s.is_dir() and any(_is_numbered(p, n) for p in subfolders(s)) for n, s in starts
    ):
        return None
    labels = _label_files(root)
    masks = None
    if test is not None:
        lists = sorted(p for p in test.glob("*.m") if not p.name.startswith("."))
        has_masks = any(p.is_dir() for p in test.glob("*_gt"))
        masks = LabelFiles("gt_folders", test) if has_masks else None
        # The list first: the original Ped1 has masks for 10 of its 36 clips only.
        labels = (
            [LabelFiles("ucsd_m", path) for path in lists] + [m for m in (masks,) if m] + labels
        )
    return _dataset(root, "ucsd", train, test, labels, masks)


def _is_numbered(path: Path, prefix: str) -> bool:
    rest = path.name.lower().removeprefix(prefix)
    return path.name.lower().startswith(prefix) and rest.isdecimal()


def _avenue(root: Path) -> Dataset | None:
    """CUHK Avenue original: training_videos, testing_videos, testing_label_mask/N_label.mat."""
    train, test = child(root, "training_videos"), child(root, "testing_videos")
    if train is None and test is None:
        return None
    masks = _volumes(root)
    labels = [*_label_files(root), *([masks] if masks else [])]
    return _dataset(root, "avenue", train, test, labels, masks)


def _shanghaitech(root: Path) -> Dataset | None:
    """ShanghaiTech: training/videos/*.avi or training/frames, testing/frames, test_frame_mask."""
    train, test = child(root, "training"), child(root, "testing")
    frame_masks = child(test, "test_frame_mask") if test else None
    videos = child(train, "videos") if train else None
    if frame_masks is None and videos is None:
        return None
    pixel_masks = child(test, "test_pixel_mask") if test else None
    labels = [LabelFiles("npy_folder", frame_masks)] if frame_masks else []
    labels += _label_files(root)
    masks = LabelFiles("npy_folder", pixel_masks) if pixel_masks else None
    # Both forms may lie there: frames are what the released labels count.
    train = (child(train, "frames") or videos or train) if train else None
    test = (child(test, "frames", "videos") or test) if test else None
    return _dataset(root, "shanghaitech", train, test, labels, masks)


def _ffp(root: Path) -> Dataset | None:
    """FFP and MNAD: {training,testing}/frames/01/000.jpg, labels NAME.mat or frame_labels_*.npy."""
    splits = [child(root, "training"), child(root, "testing")]
    if not any(child(s, "frames") for s in splits if s):
        return None
    frames = [(child(s, "frames") or s) if s else None for s in splits]
    labels, masks = _labels_and_masks(root)
    return _dataset(root, "ffp", frames[0], frames[1], labels, masks)


def _clips(root: Path) -> Dataset | None:
    """A folder of clips: {training,testing}/*.mp4, labels.npz, pixel_masks.npz."""
    train, test = child(root, "training"), child(root, "testing")
    if train is None and test is None:
        return None
    labels, masks = _labels_and_masks(root)
    return _dataset(root, "clips", train, test, labels, masks)


def _own(root: Path) -> Dataset | None:
    """Own footage: normal/ and test/ (files or frame folders, nested or not), labels.csv."""
    train, test = child(root, "normal", "train"), child(root, "test")
    labels, masks = _labels_and_masks(root)
    if not any(folder and folder.is_dir() for folder in (train, test if labels else None)):
        return None  # `test` alone is a name like any other, unless labels say what it is
    return _dataset(root, "own", train, test, labels, masks, MAX_DEPTH)


def _flat(root: Path) -> Dataset | None:
    """A folder of videos, a folder of frame folders, or one frame folder: training only."""
    beside: tuple[Path, ...] = ()
    if not video_files(root) and list_images(root):
        videos: tuple[Video, ...] = (Video(root.name, root),)
    else:
        pictures = [p for p in subfolders(root) if list_images(p) and not video_files(p)]
        if files := video_files(root):  # beside them, folders of pictures may be thumbnails
            beside = tuple(pictures)
        videos = name_videos(files or pictures, root)
    return Dataset(root, "flat", videos, (), root.name, beside=beside) if videos else None


LAYOUTS: tuple[tuple[str, str, Callable[[Path], Dataset | None]], ...] = (
    ("prepared", "what `oddframe data prepare` writes", compact.detect),
    ("ucsd", "Train/Train001/*.tif + Test/Test001", _ucsd),
    ("avenue", "training_videos/*.avi + testing_videos/*.avi", _avenue),
    ("shanghaitech", "training/videos + testing/frames + testing/test_frame_mask", _shanghaitech),
    ("ffp", "{training,testing}/frames/01/000.jpg", _ffp),
    ("clips", "{training,testing}/*.mp4 + labels.npz", _clips),
    ("own", "normal/ + test/ + labels.csv", _own),
    ("flat", "a folder of videos or of frame folders", _flat),
)
"""(name, what it looks like, detect function), tried in this order."""


def open_dataset(
    root: str | Path, labels: str | Path | None = None, reading: Reading | None = None
) -> Dataset:
    """Recognise a data-set folder, a folder of videos, or one video.

    Args:
        root: the folder (or one video file, which is then the only training video).
        labels: use these frame labels instead of the first that were found beside the videos: a
            .npz, .csv, .mat or .npy file, a folder of .npy files or of Avenue's N_label.mat, or
            the name of a label set among those found (`official.LABEL_SETS`, such as Avenue's
            "mask" and "ffp").
        reading: how its videos are read, where not as usual.

    Returns:
        the data set; `test` is empty for plain folders of videos.

    Raises:
        DatasetError: nothing there, no known layout, an empty split, or two videos of one name.
    """
    folder = Path(root)
    if not folder.exists():
        raise DatasetError(
            f"{safe(folder)} does not exist. Expected the root of a data set, a folder of videos "
            "or of frame folders, or one video file."
        )
    folder = named(folder)
    found = _detect(folder) if folder.is_dir() else _single(folder)
    if found is None:
        raise DatasetError(_unknown(folder))
    rest = left_out(folder, MAX_DEPTH + 1, IMAGE_SUFFIXES, VIDEO_SUFFIXES | BESIDE)
    closed = set(rest.unreadable)
    train, test = (
        tuple(v for v in videos if v.path not in closed) for videos in (found.train, found.test)
    )
    found = replace(
        found, train=train, test=test, left_out=rest.system, unreadable=rest.unreadable,
        unknown=rest.unknown,
    )  # fmt: skip
    if reading is not None:
        found = found.read_as(reading)
    if labels is None:
        return found
    if str(labels) in LABEL_SETS and not Path(labels).exists():
        return replace(found, labels=choose_labels(found, str(labels)))
    return replace(found, labels=_given(Path(labels)))


def named(folder: Path) -> Path:
    """A folder by its own name, that of a link to it and not of what it leads to: data sets are
    known by their names, and labels lie beside the link."""
    absolute = Path(os.path.abspath(folder))  # the root "." has a name
    if ".." in folder.parts and not (absolute.exists() and absolute.samefile(folder)):
        return folder.resolve()  # behind a link, .. is where it leads to
    return absolute


def _detect(folder: Path) -> Dataset | None:
    for _, _, detect in LAYOUTS:
        found = detect(folder)
        if found is not None:
            return found
    return None


def _single(path: Path) -> Dataset:
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        try:
            open_source(path).close()
        except SourceError as error:
            raise DatasetError(
                f"{path.name} is not a video file: {error} Expected the root of a data set, a "
                "folder of videos or of frame folders, or one video file."
            ) from None
    return Dataset(path.parent, "flat", (Video(path.stem, path),), (), path.stem)


def _unknown(folder: Path) -> str:
    known = "; ".join(looks for _, looks, _ in LAYOUTS)
    nearby = [p for p in (*subfolders(folder), folder.parent) if _is_benchmark(p)]
    hint = f" Did you mean {nearby[0]}?" if nearby else ""
    return (
        f"No data set in {folder}: {describe_folder(folder)}. Expected one of: {known}; or one "
        f"video file.{hint}"
    )


def _is_benchmark(folder: Path) -> bool:
    try:
        found = _detect(folder)
    except (DatasetError, OSError):
        return False
    return found is not None and found.layout != "flat"


def _dataset(
    root: Path,
    layout: str,
    train: Path | None,
    test: Path | None,
    labels: list[LabelFiles],
    masks: LabelFiles | None,
    depth: int = 1,
) -> Dataset:
    """Collect the videos of both splits; a split folder without any is an error."""
    splits: list[tuple[Video, ...]] = []
    for folder in (train, test):
        videos = find_videos(folder, depth) if folder and folder.is_dir() else ()
        if folder and not videos:
            raise DatasetError(
                f"{folder} holds no videos and no frame folders (layout {layout}): expected "
                f"{dict((n, looks) for n, looks, _ in LAYOUTS)[layout]}, but "
                f"{describe_folder(folder) if folder.is_dir() else 'it is a file'}. "
                "Fill it or take it away."
            )
        splits.append(videos)
    first = labels[0] if labels else None
    return Dataset(root, layout, splits[0], splits[1], root.name, first, masks, tuple(labels))


def _given(path: Path) -> LabelFiles:
    """The reader for a label file or folder that the user named."""
    kinds = {".npz": "npz", ".csv": "csv", ".mat": "intervals_mat", ".npy": "npy", ".m": "ucsd_m"}
    if path.is_file() and path.suffix.lower() in kinds:
        return LabelFiles(kinds[path.suffix.lower()], path)
    if path.is_dir() and any(path.glob("*.npy")):
        return LabelFiles("npy_folder", path)
    if path.is_dir() and any(path.glob("*_label.mat")):
        return LabelFiles("volumes", path)
    found = "it does not exist" if not path.exists() else "it is neither"
    raise DatasetError(
        f"labels={safe(path)}: expected a .npz, .csv, .mat, .npy or UCSD .m file, or a folder of "
        f".npy files or of N_label.mat, or the name of a label set ({', '.join(LABEL_SETS)}), but "
        f"{found}."
    )


def _label_files(root: Path) -> list[LabelFiles]:
    """All frame labels in the root, or, named after the data set, beside it; the best first."""
    found: list[LabelFiles] = []
    for file, kind in (("labels.npz", "npz"), ("labels.csv", "csv")):
        path = child(root, file)
        if path is not None:
            found.append(LabelFiles(kind, path))
    for folder in (root, root.parent):
        for path in _files(folder, "*.mat"):
            if path.stem.lower() == root.name.lower() or (
                # "Avenue Dataset/avenue.mat"; beside the root it must be exactly its name.
                folder == root and root.name.lower().startswith(path.stem.lower())
            ):
                found.append(LabelFiles("intervals_mat", path))
        for path in _files(folder, "frame_labels_*.npy"):
            # MNAD says frame_labels_shanghai.npy, its folder may be "shanghaitech".
            stem = path.stem.lower().removeprefix("frame_labels_")
            if root.name.lower().startswith(stem) or stem.startswith(root.name.lower()):
                found.append(LabelFiles("npy", path))
    return found or _only_candidate(root)


def _files(folder: Path, pattern: str) -> list[Path]:
    return [p for p in sorted(folder.glob(pattern)) if not p.name.startswith(".")]


def _only_candidate(root: Path) -> list[LabelFiles]:
    """A label file of another name in the root itself, where there is exactly one."""
    found = [LabelFiles("intervals_mat", p) for p in _files(root, "*.mat")]
    found += [LabelFiles("npy", p) for p in _files(root, "frame_labels_*.npy")]
    return found if len(found) == 1 else []


def _labels_and_masks(root: Path) -> tuple[list[LabelFiles], LabelFiles | None]:
    """Frame labels and pixel masks; the authors' masks of Avenue are labels as well."""
    labels, volumes = _label_files(root), _volumes(root)
    return [*labels, *([volumes] if volumes else [])], _mask_file(root) or volumes


def _volumes(root: Path) -> LabelFiles | None:
    """Avenue's masks: ground_truth_demo/testing_label_mask, or testing_label_mask alone."""
    volumes = child(child(root, "ground_truth_demo") or root, "testing_label_mask")
    return LabelFiles("volumes", volumes) if volumes else None


def _mask_file(root: Path) -> LabelFiles | None:
    path = child(root, "pixel_masks.npz")
    if path is not None:
        return LabelFiles("npz", path)
    folder = root / "testing" / "test_pixel_mask"
    return LabelFiles("npy_folder", folder) if folder.is_dir() else None
