"""JSONL: one line a message, in a file that other programs can follow.

    {"key": "…/start", "sent_utc": 1789000000.2, …Event.plain()}

A line is on the disk before it counts as taken. Who is killed between the two finds it at the next
start, by its key, and doesn't write it again; a line that a kill or a full disk has torn is taken
off, since it was never said to be taken.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from pathlib import Path

from pydantic import Field

from oddframe.errors import ConfigError
from oddframe.sinks.base import Later, Message, Sink, SinkConfig
from oddframe.sinks.words import as_json

REMEMBERED = 4096
"""Keys of the last lines: one message is under way at a time, the rest is for a store put back."""
TAIL_BYTES = 4 << 20
"""Read at the start to find them; a line has about 600 bytes."""


class JsonlConfig(SinkConfig):
    """Which file."""

    kind: str = "jsonl"
    path: Path
    """Grows by one line a message; its folder is made."""
    most_mb: float = Field(100.0, gt=0)
    """Begin a new file beyond that size: the full one becomes <path>.1, that one <path>.2, …"""
    keep: int = Field(5, ge=0, le=999)
    """Full files kept beside the one that is written."""


class Jsonl(Sink):
    """Appends lines to a file."""

    def __init__(self, config: JsonlConfig) -> None:
        super().__init__(config)
        self._path, self._keep = config.path, config.keep
        self._most = int(config.most_mb * 1e6)
        if self._path.is_dir():
            raise ConfigError(f"path {self._path} is a folder: give the name of a file in it.")
        self._keys: deque[str] = deque(maxlen=REMEMBERED)
        self._file: int | None = None

    def start(self) -> None:
        """Open the file, repair its end, remember what it holds.

        Raises:
            Later: it can't be opened.
        """
        if self._file is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            before = _numbered(self._path, 1)
            if before.is_file():
                self._keys.extend(_keys(before.read_bytes()[-TAIL_BYTES:]))
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
            self._repair(self._file)
            _sync_folder(self._path)
        except OSError as error:
            self.close()
            raise self._trouble(error) from None

    def send(self, message: Message) -> None:
        """Write it, unless it is there.

        Raises:
            Later: the disk is full or the file can't be written.
        """
        self.start()
        if message.key in self._keys:
            return
        told = {"key": message.key, "sent_utc": round(time.time(), 3), **message.event.plain()}
        line = as_json(told).encode() + b"\n"
        try:
            self._rotate(len(line))
            self._append(line)
        except OSError as error:
            self.close()  # a file that was moved away or a disk that came back is opened anew
            raise self._trouble(error) from None
        self._keys.append(message.key)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        size = os.fstat(self._file).st_size
        try:
            left = line
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, size)  # no half line before the next one
            raise

    def _rotate(self, more: int) -> None:
        assert self._file is not None
        now = os.fstat(self._file)
        # Somebody else may have moved or removed it (logrotate): then a new one is begun.
        ours = self._path.exists() and os.path.samestat(now, self._path.stat())
        if ours and (now.st_size == 0 or now.st_size + more <= self._most):
            return
        self.close()
        if ours:
            _numbered(self._path, self._keep).unlink(missing_ok=True)
            for number in range(self._keep - 1, -1, -1):
                if (old := _numbered(self._path, number)).exists():
                    old.rename(_numbered(self._path, number + 1))
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        _sync_folder(self._path)

    def _repair(self, file: int) -> None:
        size = os.fstat(file).st_size
        start = max(0, size - TAIL_BYTES)
        tail = os.pread(file, size - start, start)
        self._keys.extend(_keys(tail))
        last = tail[tail.rfind(b"\n") + 1 :]
        if not last:
            return
        if _key(last) is not None:  # whole, only its line end is missing
            os.write(file, b"\n")
        else:
            os.ftruncate(file, size - len(last))
        os.fsync(file)

    def _trouble(self, error: OSError) -> Later:
        return Later(
            f"{self._path} cannot be written: {error.strerror}. Make room, or check whose it is; "
            "what is told meanwhile waits in the store."
        )


def _numbered(path: Path, number: int) -> Path:
    return path if number == 0 else path.with_name(f"{path.name}.{number}")


def _keys(tail: bytes) -> list[str]:
    found = (_key(line) for line in tail.splitlines()[-REMEMBERED:])
    return [key for key in found if key is not None]


def _key(line: bytes) -> str | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    key = values.get("key") if isinstance(values, dict) else None
    return key if isinstance(key, str) else None


def _sync_folder(path: Path) -> None:
    """A new name is on the disk only with its folder."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
