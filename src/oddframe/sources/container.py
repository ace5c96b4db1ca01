"""Whether a video file is all there: what its outermost boxes claim against the bytes it has.

Frame counts and durations in headers are hints, wrong in many whole files (segments whose clock
goes on, sound longer than the pictures, chunks without a picture). Bytes that are not there are a
fact, wherever the container says how long it is: mp4 and its family, Matroska and WebM, AVI.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

ISO = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof", b"pnot")
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", 0x18538067


def is_iso_media(path: Path) -> bool:
    """True for mp4, mov, m4v and 3gp by content, whatever the name says."""
    with path.open("rb") as file:
        return file.read(8)[4:] in ISO


def missing_bytes(path: Path) -> int:
    """Bytes that a file should have behind its end by its outermost boxes; 0 where none, or where
    its kind of container does not say (transport streams, live recordings)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        try:
            if head[4:8] in ISO:
                end = _iso_end(file, size)
            elif head[:4] == EBML:
                end = _matroska_end(file)
            elif head[:4] == b"RIFF" and head[8:] == b"AVI ":
                end = _riff_end(file, size)
            else:
                end = 0
        except (struct.error, IndexError):  # cut within a header
            end = size + 1
    return max(0, end - size)


def _iso_end(file: IO[bytes], size: int) -> int:
    """Where the last of the boxes ends; a box of size 0 goes on to the end of the file."""
    at = 0
    while at < size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = struct.unpack(">Q", file.read(8))[0]
        if length == 0 or not kind.isascii():
            return 0
        at += max(length, 8)
    return at


def _riff_end(file: IO[bytes], size: int) -> int:
    """Where the last of the RIFF chunks ends (long files have several); 0: never written."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or length in (0, 0xFFFFFFFF):
            return 0
        at += 8 + length + length % 2
    return at - 1 if at == size + 1 else at  # the pad byte of the last is often left out


def _matroska_end(file: IO[bytes]) -> int:
    """Where the segment ends; 0 where it was recorded live, without a length."""
    for _ in range(2):  # the header, then the segment
        kind = _vint(file, keep_marker=True)
        length = _vint(file, keep_marker=False)
        if length is None or kind is None:
            return 0
        if kind == SEGMENT:
            return file.tell() + length
        file.seek(length, 1)
    return 0


def _vint(file: IO[bytes], keep_marker: bool) -> int | None:
    """A number of EBML's variable length; None where all its bits are set: unknown."""
    first = file.read(1)[0]
    width = 9 - first.bit_length()
    if width > 8:
        return None
    rest = file.read(width - 1)
    if len(rest) < width - 1:
        raise IndexError
    value = int.from_bytes(bytes([first if keep_marker else first & (0xFF >> width)]) + rest, "big")
    unknown = not keep_marker and value == (1 << 7 * width) - 1
    return None if unknown else value
