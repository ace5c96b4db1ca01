"""A prepared data set as it lies on disk: which files belong to it, and whether they are whole.

OUT/{training,testing}/NAME.npy   frames of one video at the model's size (`sources.array`)
OUT/labels.npz, pixel_masks.npz   as far as the source has them; masks at the new size
OUT/manifest.json                 what it was made of; written after every video
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from oddframe.data.dataset import Dataset, LabelFiles, Video
from oddframe.errors import DatasetError

MANIFEST, LABELS, MASKS = "manifest.json", "labels.npz", "pixel_masks.npz"
FOLDERS = {"train": "training", "test": "testing"}
VERSION = 2


@dataclass(frozen=True, slots=True)
class PreparedVideo:
    """One finished video."""

    split: str
    name: str
    path: str
    """Relative to the root, with forward slashes."""
    frames: int
    fps: float
    channels: int
    """3, or 1 where all frames are grey."""
    source_size: tuple[int, int]
    """Width and height before."""
    bytes: int
    blake2b: str
    """Of the whole file."""


@dataclass(slots=True)
class PreparedManifest:
    """manifest.json of a prepared set."""

    source: str
    """`manifest_hash` of what it was made of."""
    source_name: str
    source_layout: str
    size: int
    """Rows and columns of the frames."""
    labels: str | None = None
    """`label_source` of the labels, None without."""
    label_set: str | None = None
    """Name of the label set, such as Avenue's "ffp"."""
    complete: bool = False
    videos: list[PreparedVideo] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """Labels and masks: name -> blake2b of the whole file."""
    prepared: int = VERSION

    def save(self, root: Path) -> None:
        """Write it under a temporary name and rename it."""
        partial = root / (MANIFEST + ".tmp")
        try:
            partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            partial.replace(root / MANIFEST)
        finally:
            partial.unlink(missing_ok=True)


def read_prepared(root: Path) -> PreparedManifest | None:
    """The manifest of a prepared set, finished or not; None where `root` is none.

    Raises:
        DatasetError: it is damaged, or of another version.
    """
    path = root / MANIFEST
    if not path.is_file():
        return None
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # somebody else's file of this name
    if not isinstance(content, dict) or "prepared" not in content:
        return None
    try:
        if content["prepared"] != VERSION:
            raise ValueError(f"version {content['prepared']}, expected {VERSION}")
        rows = [{**row, "source_size": tuple(row["source_size"])} for row in content["videos"]]
        return PreparedManifest(**{**content, "videos": [PreparedVideo(**row) for row in rows]})
    except (TypeError, KeyError, ValueError) as error:
        raise DatasetError(
            f"{path} is no manifest that this version of oddframe reads ({error}). Delete the "
            "folder and make it again with `oddframe data prepare`."
        ) from None


def detect(root: Path) -> Dataset | None:
    """The layout `prepared`: {training,testing}/NAME.npy and manifest.json."""
    found = read_prepared(root)
    if found is None:
        return None
    if not found.complete:
        raise DatasetError(
            f"{root} is half prepared ({len(found.videos)} videos so far). Run the same `oddframe "
            "data prepare` again: it goes on where it stopped."
        )
    gone = [row.path for row in found.videos if not (root / row.path).is_file()]
    if gone:
        raise DatasetError(
            f"{root} lacks {len(gone)} of its videos, such as {gone[0]}. Run the same `oddframe "
            "data prepare` again to make them."
        )
    splits = {
        split: tuple(Video(row.name, root / row.path) for row in found.videos if row.split == split)
        for split in FOLDERS
    }
    labels = LabelFiles("npz", root / LABELS) if LABELS in found.files else None
    masks = LabelFiles("npz", root / MASKS) if MASKS in found.files else None
    return Dataset(
        root, "prepared", splits["train"], splits["test"], root.name, labels, masks,
        (labels,) if labels else (),
    )  # fmt: skip


def is_whole(root: Path, row: PreparedVideo) -> bool:
    """Whether a video's file is, byte by byte, what was written."""
    path = root / row.path
    return path.is_file() and path.stat().st_size == row.bytes and file_hash(path) == row.blake2b


def damaged(root: Path) -> list[str]:
    """Files of a prepared set that are not what was written, by their paths in it."""
    found = read_prepared(root)
    if found is None:
        return []
    wrong = [row.path for row in found.videos if not is_whole(root, row)]
    return wrong + [
        name for name, digest in found.files.items()
        if not (root / name).is_file() or file_hash(root / name) != digest
    ]  # fmt: skip


def file_hash(path: Path) -> str:
    """blake2b of a whole file, 32 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
