"""Where pictures and clips of events lie below a store, and how they get there whole.

snapshots/<camera>/<event>.jpg          the peak, with boxes
snapshots/<camera>/<event>.plain.jpg    the same as the camera gave it
clips/<camera>/<event>.webm
normals/<camera>/<time>.jpg             what raised no alarm, of no event
"""

from __future__ import annotations

import contextlib
import os
import secrets
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

from oddframe.events.store.database import StoreError

SNAPSHOTS, CLIPS, NORMALS = "snapshots", "clips", "normals"
PLAIN = ".plain.jpg"
UNFINISHED = ".unfinished-"
"""Begins the name of a file that is being written; one that is there at a start is of a kill."""


def place(kind: str, camera: str, event_id: str, suffix: str) -> str:
    """The path of a file of an event, relative to the store; any name makes one safe folder."""
    return f"{kind}/{_part(camera)}/{_part(event_id)}{suffix}"


def plain_of(snapshot: str) -> str:
    """The picture without boxes that belongs to a snapshot; both are paths."""
    return snapshot.removesuffix(".jpg") + PLAIN


def event_of(name: str) -> str:
    """The id of the event that a file name was made of."""
    stem = name[: -len(PLAIN)] if name.endswith(PLAIN) else name.rsplit(".", 1)[0]
    return urllib.parse.unquote(stem)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there completely, also after a power cut, or not at all.

    Raises:
        StoreError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f"{UNFINISHED}{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(
            f"Cannot write {path}: {error.strerror or error}. Free some space or give the folder "
            "to the user that oddframe runs as; nothing half-written was left."
        ) from None
    finally:
        with contextlib.suppress(OSError):  # after a success it has its name already
            temporary.unlink()


def all_files(
    folder: Path, kinds: Sequence[str] = (SNAPSHOTS, CLIPS)
) -> Iterator[tuple[Path, int]]:  # fmt: skip
    """Every picture and clip of events below a store, finished or not, with its size in bytes."""
    for kind in kinds:
        for path in (folder / kind).glob("*/*"):
            with contextlib.suppress(OSError):  # deleted meanwhile
                if path.is_file():
                    yield path, path.stat().st_size


def _part(name: str) -> str:
    """One part of a path, made of any name: no slash, not hidden, not too long for a disk."""
    quoted = urllib.parse.quote(name, safe=" ")
    if quoted.startswith("."):
        quoted = f"%2E{quoted[1:]}"
    return quoted[:200] or "%"
