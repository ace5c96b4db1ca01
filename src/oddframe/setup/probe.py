"""Whether a source can be a camera: that it is one at all, and that a picture comes of it.

    source = checked("rtsp://10.0.0.5/1")       # says what is wrong with the text
    status = look(source)                       # opens it, for some seconds

Relative paths begin in the folder that the server was started in.
"""

from __future__ import annotations

import os
import re
import time
from urllib.parse import urlsplit

from oddframe.errors import SourceError
from oddframe.runtime.watch.feed import Bell
from oddframe.runtime.watch.reader import Reader, ReaderConfig
from oddframe.runtime.watch.status import State, Status
from oddframe.sources.urls import SCHEMES, is_address, safe, shown

LONGEST = 2048
"""Characters of a source."""
MOST_INDEX = 63
LOOK_S = 6.0
"""A source is waited for."""
_DEVICE = re.compile(r"/dev/video(\d{1,2})")
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def checked(source: str | int) -> str | int:
    """A source as a site takes it: an index, an address, or a whole path.

    Raises:
        SourceError: it is none, or there is no such file.
    """
    text = str(source).strip()
    if not text or len(text) > LONGEST or _ODD.search(text):
        raise SourceError(
            f"A source is one line of 1 to {LONGEST} characters: an address such as "
            "rtsp://HOST/PATH, the number of a webcam, or a video file or folder."
        )
    if (device := _DEVICE.fullmatch(text)) is not None:
        text = device[1]
    if text.isascii() and text.isdecimal() and not os.path.exists(text):
        if int(text) > MOST_INDEX:
            raise SourceError(f"Webcams are numbered 0 to {MOST_INDEX}, found {text[:20]}.")
        return int(text)
    return _address(text) if is_address(text) else _file(text)


def look(source: str | int, seconds: float = LOOK_S) -> Status:
    """Open a source, and wait for its first picture.

    Raises:
        SourceError: none came; in the words of whoever read it.
    """
    bell = Bell()
    config = ReaderConfig(
        timeout_s=seconds, silent_s=seconds, frozen_s=0, upheaval=False, realtime=False
    )
    reader = Reader("new", source, config, bell)
    reader.start()
    until = time.monotonic() + seconds + 0.5
    try:
        while True:
            status = reader.status()
            if status.frames and status.width:
                return status
            if status.state in (State.DOWN, State.ENDED):
                raise SourceError(status.words or f"{safe(source)} has no pictures.")
            if time.monotonic() > until:
                raise SourceError(f"{safe(source)} gave no picture within {seconds:g} s.")
            bell.wait(0.1)
    finally:
        reader.stop()


def is_file(source: str | int) -> bool:
    """Whether a checked source is a file or folder."""
    return isinstance(source, str) and not is_address(source)


def _address(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in SCHEMES:
        raise SourceError(
            f"{shown(text)}: streams of the kind {scheme[:20]}:// are not known. Expected one of "
            f"{', '.join(SCHEMES)}; give files as plain paths."
        )
    try:
        fine = bool(urlsplit(text).netloc) and not re.search(r"\s", rest)
        _ = urlsplit(text).port if "@" not in rest else None
    except ValueError:
        fine = False
    if not fine:
        raise SourceError(
            f"{shown(text)} is no address: expected {scheme}://HOST/PATH, with a port behind the "
            "host where it has one, and without spaces."
        )
    return text


def _file(text: str) -> str:
    path = os.path.abspath(text)
    if not os.path.exists(path):
        raise SourceError(
            f"{safe(text)} does not exist. Expected an address such as rtsp://HOST/PATH, the "
            "number of a webcam, or a video file or folder; relative paths begin in the folder "
            "that the server was started in."
        )
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise SourceError(f"{safe(text)} is neither a video file nor a folder.")
    return path
