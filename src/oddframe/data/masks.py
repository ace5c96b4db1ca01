"""Pixel masks of a data set's test videos, loaded one video at a time.

A new form of masks is one reader and one row in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.data.dataset import Dataset, LabelFiles, Video, numbers
from oddframe.data.label_readers import load_array, load_mat, load_npz_array, npz_keys
from oddframe.errors import DatasetError
from oddframe.sources.images import list_images, read_image
from oddframe.sources.names import same_text

Masks = NDArray[np.bool_]
"""(n, h, w) bool at the size of the video, True = abnormal."""


def pixel_masks(dataset: Dataset) -> Mapping[str, Masks] | None:
    """Pixel masks of the test videos that have them, or None where the data set has none.

    Returns:
        video name -> (n, h, w) bool, read from disk at each access (one video of 1000 frames at
        360p is 230 MB: keep what you need).

    Raises:
        DatasetError: masks of videos that do not exist, or (on access) of another size.
    """
    return MaskStore(dataset.masks, dataset.test) if dataset.masks and dataset.test else None


GAPS = 40
"""Gaps below 1/40 of the picture's height (a railing in front) do not cut an object in two."""


def outlines(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each connected part of a mask as the convex outline around it, (h, w) to (h, w).

    A pixel-exact mask of a cyclist has holes: the place between the wheels is none of its pixels
    and yet on the cyclist, as annotators draw it who go round a thing.
    """
    side = len(mask) // GAPS | 1  # an even square would shift what it closes
    whole = cv2.morphologyEx(
        mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)
    )
    parts, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for part in parts:
        cv2.fillConvexPoly(whole, cv2.convexHull(part), 1)
    return (whole > 0) | mask


class MaskStore(Mapping[str, Masks]):
    """Masks by video name; nothing is loaded before it is asked for."""

    def __init__(self, files: LabelFiles, videos: Sequence[Video], strict: bool = True) -> None:
        """`strict`: masks of videos that do not exist are an error, else left out (`extra`)."""
        list_keys, self._read = READERS[files.kind]
        self._path = files.path
        keys = list_keys(files.path)
        self._keys = pair_names([video.name for video in videos], keys)
        self.extra = sorted(set(keys) - set(self._keys.values()))
        if strict:
            # Partly masked sets are usual (10 of 36 clips of the original Ped1), foreign masks
            # are not.
            match_names(videos, keys, files.path, partial=True)
        self._videos = {video.name: video for video in videos}

    def __getitem__(self, name: str) -> Masks:
        return self._read(self._path, self._keys[name], self._videos[name])

    def key(self, name: str) -> str:
        """What the masks of a video are called where they lie."""
        return self._keys[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def match_names(
    videos: Sequence[Video], keys: Sequence[str], where: Path, partial: bool = False
) -> dict[str, str]:
    """Which key of a label file belongs to which test video: {video name: key}.

    Equal names, and equal numbers ("Test001" and "01", "01.avi" and "1_label.mat") where these
    are different for all keys and for all videos.

    Args:
        videos: the test videos.
        keys: what the label file has.
        where: the label file, for messages.
        partial: allow videos without a key.

    Raises:
        DatasetError: videos without labels, or labels without a video, naming them.
    """
    names = [video.name for video in videos]
    found = pair_names(names, keys)
    extra = sorted(set(keys) - set(found.values()))
    missing = [name for name in names if name not in found]
    if extra or (missing and not partial) or not found:
        raise DatasetError(
            f"{where} and the {len(names)} test videos do not belong together. "
            f"Videos without labels: {_some(missing)}. Labels without a video: {_some(extra)}. "
            "Names must be the same, or have the same numbers; add what is missing or take the "
            "rest away."
        )
    return found


def pair_names(names: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """What `match_names` pairs, {video name: key}, whatever is left over on either side."""
    by_text = {same_text(key): key for key in keys}
    pairs = {name: by_text[same_text(name)] for name in names if same_text(name) in by_text}
    by_number = {numbers(key): key for key in keys}
    if len(by_number) == len(keys) and len({numbers(n) for n in names}) == len(names):
        # Some names may be equal and others not: Avenue has 01.avi … 21.avi, 1_label … 21_label.
        pairs |= {n: by_number[numbers(n)] for n in names if numbers(n) and numbers(n) in by_number}
    return {name: pairs[name] for name in names if name in pairs}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) + more) or "none"


def _size(video: Video) -> tuple[int, int]:
    with video.open() as source:
        return source.info.height, source.info.width


def _checked(array: NDArray[np.generic], video: Video, where: str) -> Masks:
    size = _size(video)
    if array.ndim != 3 or array.shape[1:] != size:
        raise DatasetError(
            f"{where} has shape {array.shape}; the video {video.name} needs (frames, {size[0]}, "
            f"{size[1]}). Use masks of the video's own size."
        )
    return np.asarray(array != 0)


def _npz(path: Path, key: str, video: Video) -> Masks:
    """Masks as (n, h, w), or packed along the width by np.packbits, which pads it to eights."""
    array = load_npz_array(path, key)
    width = _size(video)[1]
    if array.ndim == 3 and array.dtype == np.uint8 and array.shape[2] == -(-width // 8) != width:
        array = np.unpackbits(array, axis=-1)[..., :width]
    return _checked(array, video, f"{path}, array {key!r},")


def _npy_keys(path: Path) -> list[str]:
    return sorted(p.stem for p in path.glob("*.npy") if not p.name.startswith("."))


def _npy_folder(path: Path, key: str, video: Video) -> Masks:
    file = path / f"{key}.npy"
    return _checked(load_array(file), video, str(file))


def _gt_keys(path: Path) -> list[str]:
    """UCSD: Test001_gt holds the masks of Test001."""
    folders = [p for p in path.glob("*_gt") if p.is_dir() and not p.name.startswith(".")]
    return sorted(p.name.removesuffix("_gt") for p in folders)


def _gt_folder(path: Path, key: str, video: Video) -> Masks:
    folder = path / f"{key}_gt"
    files = list_images(folder)
    if not files:
        raise DatasetError(f"{folder} holds no mask pictures; expected one .bmp per frame.")
    planes = [read_image(file)[..., 0] for file in files]
    odd = next((i for i, p in enumerate(planes) if p.shape != planes[0].shape), None)
    if odd is not None:
        raise DatasetError(
            f"Masks of two sizes in {folder}: {files[0].name} is {planes[0].shape}, "
            f"{files[odd].name} is {planes[odd].shape}."
        )
    return _checked(np.stack(planes), video, str(folder))


def _volume_keys(path: Path) -> list[str]:
    return sorted(p.name.removesuffix("_label.mat") for p in path.glob("[!.]*_label.mat"))


def _volume(path: Path, key: str, video: Video) -> Masks:
    """Avenue: N_label.mat, `volLabel`, a cell with one (h, w) mask per frame."""
    file = path / f"{key}_label.mat"
    content = load_mat(file, "volLabel")
    planes = [np.asarray(p) for p in content.reshape(-1)] if content.dtype == object else []
    if not planes or any(p.shape != planes[0].shape for p in planes):
        raise DatasetError(f"{file}: expected volLabel as a cell of one mask per frame.")
    return _checked(np.stack(planes), video, str(file))


READERS: dict[str, tuple[Callable[[Path], list[str]], Callable[[Path, str, Video], Masks]]] = {
    "npz": (npz_keys, _npz),
    "npy_folder": (_npy_keys, _npy_folder),
    "gt_folders": (_gt_keys, _gt_folder),
    "volumes": (_volume_keys, _volume),
}
"""kind -> (names of what lies there, reader of one video)."""
