"""Footage behind an address: whatever fsspec opens (s3://, gs://, sftp://, https://, …).

A file is fetched by the worker that scores it and deleted when it is scored, so that no more than
one file per worker lies on its disk.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from oddframe.errors import ConfigError, RunError, SourceError
from oddframe.sources.names import natural_key
from oddframe.sources.urls import SCHEMES, is_address, shown

LIVE = frozenset(SCHEMES) - {"http", "https"}
FOLDER = "oddframe-archive"
SPARE = 1.05
"""So many times its size must be free before a file is fetched."""


def filesystem(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it.

    Raises:
        SourceError: a live stream, a password, or a kind that is not known here.
        ConfigError: fsspec, or what it needs for this kind, is not installed.
    """
    scheme, _, rest = address.partition("://")
    if scheme.lower() in LIVE:
        raise SourceError(
            f"{shown(address)} is a live stream; an archive is of files. Watch it "
            "(oddframe watch), or record it first (oddframe record)."
        )
    if ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise SourceError(
            f"{shown(address)} holds a password, which would be written down. Give it as fsspec "
            "takes it from outside: environment variables, ~/.aws, ~/.config/fsspec."
        )
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ConfigError(
            "Addresses need fsspec: pip install 'oddframe[archive]', and 'oddframe[s3]' for s3://."
        ) from None
    try:
        found, path = url_to_fs(address)
    except ImportError as error:
        raise ConfigError(f"{scheme}:// needs a package that is not installed: {error}.") from None
    except ValueError as error:
        raise SourceError(f"{scheme}:// is no kind of address that is known: {error}.") from None
    return found, str(path)


def expanded(address: str, suffixes: Collection[str]) -> list[tuple[str, str]]:
    """The files that an address names, each with its mark: itself, those of a folder, of a glob.

    suffixes: of what is taken of folders and globs.

    Raises:
        SourceError: nothing there, or it cannot be listed.
        ConfigError: as `filesystem`.
    """
    system, path = filesystem(address)
    # Behind a ? a web address has its keys; elsewhere it stands for any letter.
    web = address.lower().startswith(("http://", "https://"))
    try:
        if any(c in path.partition("?")[0] for c in "*[") or ("?" in path and not web):
            found = [p for p in system.glob(path) if _suffix(p) in suffixes]
        elif system.isdir(path):
            found = [p for p in system.find(path) if _suffix(p) in suffixes]
        else:
            found = [path]
        marks = [_mark(system.info(p)) for p in found]
    except Exception as error:  # every kind of store has its own
        raise SourceError(f"{shown(address)} cannot be listed: {_said(error)}.") from None
    if not found:
        raise SourceError(f"{shown(address)} holds no video: expected files as .mp4, .mkv, .ts.")
    if found == [path]:  # as it was given: a signed address has its key behind it
        return [(address, marks[0])]
    named = [(str(system.unstrip_protocol(p)), m) for p, m in zip(found, marks, strict=True)]
    return sorted(named, key=lambda item: natural_key(item[0]))


@contextmanager
def at_hand(path: str, cache: Path | None) -> Iterator[Path]:
    """A file as a local path: its own, or that of a copy which is gone afterwards.

    Args:
        path: local, or an address.
        cache: folder for copies; None: the system's for temporary files.

    Raises:
        SourceError: it cannot be fetched.
        RunError: no room for it.
        ConfigError: as `filesystem`.
    """
    if not is_address(path):
        yield Path(path)
        return
    system, inside = filesystem(path)
    folder = own_folder(cache)
    with _folder_in(folder) as place:
        target = Path(place) / PurePosixPath(inside.partition("?")[0]).name
        try:
            size = int(system.info(inside).get("size") or 0)
            if size * SPARE > shutil.disk_usage(folder).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            system.get_file(inside, str(target))
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise RunError(
                    f"{folder} has no room for a copy of {shown(path)}. Free some space or give "
                    "another folder (--cache), and the same command again."
                ) from None
            raise SourceError(f"{shown(path)} cannot be fetched: {_said(error)}.") from None
        yield target


def _folder_in(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A new folder for one copy; RunError where none can be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=folder)
    except OSError as error:
        raise RunError(
            f"Copies cannot be kept in {folder}: {error.strerror}. Give another folder (--cache), "
            "and the same command again."
        ) from None


def own_folder(cache: Path | None) -> Path:
    """Where this process keeps copies. The folder above may be shared, by users of this machine
    and by machines, whose processes have the same numbers."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    name = f"{platform.node() or 'here'}-{os.getpid()}"
    return (cache or Path(tempfile.gettempdir())) / f"{FOLDER}-{user}" / name


def sweep(cache: Path | None) -> None:
    """Delete copies of processes of this machine that are no more: a kill leaves them."""
    own = own_folder(cache)
    for folder in own.parent.glob("*"):
        host, _, process = folder.name.rpartition("-")
        mine = host == own.name.rpartition("-")[0]
        if mine and process.isdecimal() and not _alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _mark(info: dict[str, Any]) -> str:
    """Size, and whatever says that it was changed."""
    known = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
    changed = next((str(info[name]) for name in known if info.get(name) is not None), "")
    return f"{info.get('size')}-{changed}"


def _said(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}{f', {text[0]}' if text else ''}"
