"""Which files a run was trained on: their paths, sizes and short hashes.

Hashing whole archives would take longer than scoring them, so the hash of a file covers its first
and last MiB and its size: enough to notice another, a cut or a re-encoded file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from oddframe.data.compact import read_prepared
from oddframe.data.dataset import Dataset, Video
from oddframe.errors import SourceError
from oddframe.sources.images import list_images

MIB = 1 << 20


class VideoEntry(TypedDict):
    """One video of a manifest."""

    split: str
    name: str
    path: str
    """Relative to the root of the data set, with forward slashes."""
    bytes: int
    """Size of the file, or of all frames of a frame folder."""
    blake2b: str


class Manifest(TypedDict):
    """What a data set holds; plain data, for JSON. The place of the root is left out."""

    name: str
    layout: str
    videos: list[VideoEntry]


def manifest(dataset: Dataset) -> Manifest:
    """List all videos of a data set with sizes and hashes."""
    entries = [video_entry(video, "train", dataset.root) for video in dataset.train]
    entries += [video_entry(video, "test", dataset.root) for video in dataset.test]
    return {"name": dataset.name, "layout": dataset.layout, "videos": entries}


def manifest_hash(content: Manifest) -> str:
    """A hash of 32 hex digits: the same for the same videos, wherever the data set lies."""
    # The folder's own name is no property of the data: a copy may be named otherwise.
    text = json.dumps({"layout": content["layout"], "videos": content["videos"]}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def source_hash(dataset: Dataset) -> str | None:
    """Of a prepared data set the manifest hash of what it was made of; None of any other."""
    found = read_prepared(dataset.root) if dataset.layout == "prepared" else None
    return None if found is None else found.source


def footage_hashes(dataset: Dataset) -> dict[str, str]:
    """What a run records of its data: `manifest`, and `source` where the set is prepared."""
    source = source_hash(dataset)
    known = {"manifest": manifest_hash(manifest(dataset))}
    return known if source is None else {**known, "source": source}


def videos_hash(videos: Sequence[Video]) -> str:
    """A hash of names and contents of some videos, in their order."""
    entries = [[v.name, video_entry(v, "", v.path.parent)["blake2b"]] for v in videos]
    return hashlib.blake2b(json.dumps(entries).encode(), digest_size=16).hexdigest()


def video_entry(video: Video, split: str, root: Path) -> VideoEntry:
    """Size and hash of one video, a file or a folder of frames.

    Raises:
        SourceError: it is gone, or may not be read.
    """
    try:
        size, digest = _size_and_hash(video.path)
    except OSError as error:
        raise SourceError(
            f"The video {video.path} is gone, or cannot be read any more: {error.strerror}."
        ) from None
    try:
        path = video.path.relative_to(root).as_posix()
    except ValueError:
        path = video.path.name
    return {
        "split": split,
        "name": video.name,
        "path": path,
        "bytes": size,
        "blake2b": digest,
    }


def _size_and_hash(path: Path) -> tuple[int, str]:
    digest = hashlib.blake2b(digest_size=16)
    if path.is_dir():
        files = list_images(path)
        sizes = [file.stat().st_size for file in files]
        listing = [[file.name, size] for file, size in zip(files, sizes, strict=True)]
        digest.update(json.dumps(listing).encode())
        for file in files[:1] + files[-1:]:
            digest.update(_ends(file))
        return sum(sizes), digest.hexdigest()
    size = path.stat().st_size
    digest.update(str(size).encode() + b"\0" + _ends(path))
    return size, digest.hexdigest()


def _ends(path: Path) -> bytes:
    """The first and the last MiB of a file."""
    with path.open("rb") as file:
        first = file.read(MIB)
        file.seek(max(file.seek(0, 2) - MIB, 0))
        return first + file.read(MIB)
