"""What there is to score: files, folders, globs, lists of paths and addresses, as `File`s.

Only names are looked at; whether a file is a video shows when it is opened.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oddframe.archive.remote import expanded
from oddframe.errors import SourceError
from oddframe.sources.array import SUFFIX
from oddframe.sources.base import VIDEO_SUFFIXES, describe_folder
from oddframe.sources.images import list_images
from oddframe.sources.names import is_junk, natural_key
from oddframe.sources.urls import is_address, safe

LISTS = (".txt", ".lst", ".list")
"""Files with a path on each line."""
TAKEN = VIDEO_SUFFIXES | {SUFFIX}
"""What is taken of folders and globs."""


@dataclass(frozen=True, slots=True)
class File:
    """A video file or a folder of frames, here or elsewhere."""

    path: str
    """Absolute, or an address."""
    mark: str
    """Its size and when it was changed: another mark is another file."""

    @property
    def id(self) -> str:
        """A name of its own that people can read: what its folder of results is called."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", self.stem).strip("-")[:40] or "file"
        return f"{stem}-{hashlib.blake2b(os.fsencode(self.path), digest_size=5).hexdigest()}"

    @property
    def stem(self) -> str:
        """What it is called, without folder and suffix."""
        name = self.shown.rstrip("/").rpartition("/")[2]
        return name if self.mark.startswith("folder") else Path(name).stem

    @property
    def remote(self) -> bool:
        """It lies behind an address."""
        return is_address(self.path)

    @property
    def shown(self) -> str:
        """Its path for people: without a query, where the tokens of signed addresses stand."""
        return self.path.partition("?")[0] if self.remote else self.path


def listed(sources: Sequence[str], out: Path | None = None) -> list[File]:
    """All files that sources name, in their order, each once.

    out: the folder of results, which is no footage where a source holds it.

    Raises:
        SourceError: nothing is there, or nothing that could be scored; a live stream.
    """
    found = dict[str, File]()
    own = None if out is None else Path(os.path.abspath(out))
    for source in sources:
        for file in _files_of(source, own):
            found.setdefault(file.path, file)
    return list(found.values())


def _files_of(source: str, out: Path | None) -> Iterator[File]:
    if is_address(source):
        yield from (File(path, mark) for path, mark in expanded(source, TAKEN))
        return
    path = Path(source)
    if path.is_dir():
        yield from _of_folder(path, out)
    elif path.is_file():
        if path.suffix.lower() in LISTS:
            yield from _of_list(path, out)
        else:
            yield _local(path)
    elif glob.has_magic(source):
        yield from _of_glob(source, out)
    else:
        raise SourceError(
            f"{safe(source)} does not exist. Expected a video file, a folder, a pattern such as "
            "'rec/**/*.mp4' in quotes, a .txt with a path on each line, or an address as s3://…"
        )


def _local(path: Path) -> File:
    """A file or folder of frames that may have gone meanwhile: that shows when it is opened."""
    path = Path(os.path.abspath(path))
    try:
        stat = path.stat()
    except OSError:
        return File(str(path), "absent")
    if path.is_dir():
        try:
            count = len(list_images(path))
        except OSError:
            return File(str(path), "unreadable")
        return File(str(path), f"folder-{count}-{stat.st_mtime_ns}")
    return File(str(path), f"{stat.st_size}-{stat.st_mtime_ns}")


def _of_folder(folder: Path, out: Path | None) -> Iterator[File]:
    """Videos at any depth, and folders of frames; links are followed, each folder is read once.

    A folder that cannot be read is named too: why shows when it is to be scored."""
    empty, seen, unreadable = True, set[str](), list[File]()
    whole = os.path.realpath(folder)

    def passed(path: Path) -> bool:
        """A link within the folder, such as `latest`: what it leads to goes by its own name."""
        return is_junk(path) or (path.is_symlink() and path.resolve().is_relative_to(whole))

    def note(error: OSError) -> None:
        unreadable.append(File(os.path.abspath(error.filename), "unreadable"))

    for root, folders, names in os.walk(folder, onerror=note, followlinks=True):
        here = Path(root)
        real = os.path.realpath(here)
        if real in seen or (out is not None and real == os.path.realpath(out)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted((n for n in folders if not passed(here / n)), key=natural_key)
        videos = [n for n in names if _taken(here / n) and not passed(here / n)]
        for name in sorted(videos, key=natural_key):
            empty = False
            yield _local(here / name)
        # Folders below are looked at all the same: one picture may be a logo beside all cameras.
        if not videos and list_images(here):
            empty = False
            yield _local(here)
    yield from unreadable
    if empty and not unreadable:
        raise SourceError(
            f"{folder} holds no video and no frames: {describe_folder(folder)}. Expected files as "
            ".mp4, .mkv, .avi, .ts at any depth, or folders of pictures."
        )


def _of_glob(pattern: str, out: Path | None) -> Iterator[File]:
    matches = sorted(glob.glob(pattern, recursive=True), key=natural_key)
    found = [Path(m) for m in matches]
    if out is not None:
        own = out.resolve()
        found = [p for p in found if not p.resolve().is_relative_to(own)]
    videos = [p for p in found if p.is_file() and _taken(p)]
    frames = [p for p in found if p.is_dir() and list_images(p)]
    if not videos and not frames:
        raise SourceError(
            f"The pattern {pattern!r} matches {len(found)} names, and no video or folder of frames "
            "among them. Look at what it matches with ls; ** stands for folders at any depth."
        )
    yield from map(_local, sorted([*videos, *frames], key=lambda p: natural_key(str(p))))


def _of_list(path: Path, out: Path | None) -> Iterator[File]:
    """A path or address on each line, from the current folder or from that of the list; empty
    lines and # are passed over. What is not there is named when it is to be scored."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SourceError(
            f"{path} is no list of paths: expected text in UTF-8, a path on each line."
        ) from None
    wanted = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not wanted:
        raise SourceError(f"{path} names no file: expected a path on each line.")
    for line in wanted:
        beside = path.parent / line
        known = Path(line) if os.path.exists(line) or not beside.exists() else beside
        if is_address(line):
            yield from (File(found, mark) for found, mark in expanded(line, TAKEN))
        elif known.is_dir():
            yield from _of_folder(known, out)
        else:
            yield _local(known)


def _taken(path: Path) -> bool:
    return path.suffix.lower() in TAKEN and not is_junk(path)
