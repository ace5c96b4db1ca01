"""Names of files as people and machines give them: numbers, other alphabets, what is no footage.

Whatever joins two lists by their order sorts both here.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SYSTEM = frozenset({
    "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin",
    "recycler", "system volume information", "lost+found", "__macosx", "thumbs.db", "desktop.ini",
    "ehthumbs.db", "found.000", "~snapshot", "network trash folder", "temporary items", "recycled",
    "recycle bin", "@sharebin", "@synoresource", "@transcode", "@database", "@__thumb",
    ".@__thumb", ".recycle", ".snapshot", ".snapshots", ".trashes", ".temporaryitems",
})  # fmt: skip
"""What NAS boxes, Windows, macOS and Linux leave in folders, in lower case."""
LARGE = 1_000_000
"""Bytes from which on a file may be a video of a kind that nobody knows by its name."""
_DECIMAL = re.compile(r"\D*\d+\.\d+\D*(\.[A-Za-z]\w*)?")
"""A decimal, before or behind words; a suffix may hold digits (.mp4)."""


def is_system(path: Path) -> bool:
    """True for what a system left there: thumbnails, waste baskets, resource forks."""
    name = path.name.lower()
    return name in SYSTEM or name.startswith(("._", ".trash"))


def is_junk(path: Path) -> bool:
    """True for hidden files and what systems leave in folders."""
    return path.name.startswith(".") or is_system(path)


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in no order; nothing where it may not be read."""
    try:
        return list(folder.iterdir())
    except PermissionError:
        return []


def files_in(folder: Path, suffixes: Set[str]) -> list[Path]:
    """Footage directly in a folder by the suffix, in no order; nothing where it may not be read.

    The folder itself says which they are: no picture of a large one is asked by itself.
    """
    try:
        with os.scandir(folder) as found:
            names = [e.name for e in found if _suffix(e.name) in suffixes and _is_file(e)]
    except PermissionError:
        return []
    return [path for path in map(folder.joinpath, names) if not is_junk(path)]


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """`Path.is_dir` that is False, and no error, where one may not look."""
    return os.path.isdir(path)


def is_file(path: Path) -> bool:
    """`Path.is_file` that is False, and no error, where one may not look."""
    return os.path.isfile(path)


def same_text(text: str) -> str:
    """A name in the one form of Unicode in which equal names are equal (NFC): macOS writes é as
    two characters, others as one."""
    return unicodedata.normalize("NFC", text)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that reads digit groups as numbers, so that `10` comes after `2`.

    The text itself comes last, so that `1` and `01` keep a fixed order.
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", same_text(text).lower())
    key = [(0, int(p), "") if p[0] in "0123456789" else (1, 0, p) for p in parts]
    return (*key, (2, 0, text))


def naturally(items: Iterable[T], name: Callable[[T], str] = str) -> list[T]:
    """Items by the numbers in their names, as people count.

    Names that are all one decimal number (stamps in seconds: 12.25 before 12.5) go by its value:
    those whose fractions differ in length and, as numbers are written, never end in 0. Else 1.10
    comes after 1.9, as a version or a date.
    """
    known = list(items)
    if _decimals([name(item) for item in known]):
        return sorted(known, key=lambda item: (_value(name(item)), name(item)))
    return sorted(known, key=lambda item: natural_key(name(item)))


def _decimals(names: Sequence[str]) -> bool:
    if len(names) < 2 or not all(_DECIMAL.fullmatch(name) for name in names):
        return False
    parts = [re.findall(r"\d+", name)[1] for name in names]
    return len({len(p) for p in parts}) > 1 and not any(len(p) > 1 and p[-1] == "0" for p in parts)


def _value(name: str) -> float:
    found = re.search(r"\d+\.\d+", name)
    return float(found[0]) if found else 0.0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What lies in a folder and is not looked at."""

    system: tuple[Path, ...]
    """Thumbnails, waste baskets, resource forks."""
    unreadable: tuple[Path, ...]
    """What may not be read; single pictures show it when they are read."""
    unknown: tuple[Path, ...]
    """Files of `LARGE` bytes and more whose names end in nothing that is known."""


def left_out(root: Path, depth: int, pictures: Set[str], known: Set[str]) -> LeftOut:
    """What is left out of a folder and `depth` levels of folders below it.

    pictures, known: suffixes of pictures, and of all other files that may be there. Of pictures
    there are hundreds of thousands: nothing is asked of each that its folder does not say.
    """
    system: list[Path] = []
    unreadable: list[Path] = []
    unknown: list[Path] = []
    folders = [(root, 0)] if root.is_dir() else []
    while folders:
        folder, level = folders.pop()
        try:
            found = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except PermissionError:
            unreadable.append(folder)
            continue
        for entry in found:
            suffix, inside = _suffix(entry.name), _is_dir(entry)
            if suffix in pictures and not inside and not entry.name.startswith("."):
                continue
            path = folder / entry.name
            if is_system(path):
                system.append(path)
            elif entry.name.startswith("."):
                continue
            elif not os.access(path, os.R_OK | (os.X_OK if inside else 0)):
                unreadable.append(path)
            elif inside and level < depth:
                folders.append((path, level + 1))
            elif not inside and suffix not in known and path.stat().st_size >= LARGE:
                unknown.append(path)
    return LeftOut(tuple(system), tuple(unreadable), tuple(unknown))


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that one may not follow
        return False
