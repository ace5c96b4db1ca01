"""Where pictures come from: files, folders of frames, cameras, network streams.

A new kind of source is one file with a `Source` and one row in the table `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError, SourceError
from oddframe.sources.array import SUFFIX, ArrayFile
from oddframe.sources.base import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Source,
)
from oddframe.sources.depth import Range
from oddframe.sources.images import ImageFolder
from oddframe.sources.live import OPTIONS, QUICK, Device, NetworkStream, Stream, Webcam
from oddframe.sources.names import natural_key
from oddframe.sources.urls import SCHEMES, is_address, safe, shown
from oddframe.sources.video import VideoFile

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Reading",
    "Source",
    "connection",
    "frame_times",
    "natural_key",
    "open_as",
    "open_source",
]

Spec = str | Path | int


@dataclass(frozen=True, slots=True)
class Reading:
    """How sources are read."""

    fps: float | None = None
    """Rate of a frame folder, or of a frame array without one, which cannot say it itself (25.0
    otherwise). Ignored for the other kinds, which do say it."""
    allow_short: bool = False
    """Accept a video file that is cut short."""
    timeout_s: float = 10.0
    """Limit for opening a network stream, and for every frame of a live source."""
    used: Range | None = None
    """Values of 16-bit pictures that become 0 and 255; by default those in use in each source, and
    of live ones, where nobody can know them, all."""
    read_s: float | None = None
    """Of a `connection`: limit for every read, by default `timeout_s`."""
    transport: Literal["tcp", "udp"] = "tcp"
    """Of a `connection` by RTSP. By UDP a lost packet is a broken picture."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ConfigError(
                f"--fps (fps=) must be above 0 and at most 1000 frames per second, found "
                f"{self.fps:g}."
            )


DEFAULT = Reading()


def _is_camera(spec: Spec) -> bool:
    if isinstance(spec, int):
        return True
    return isinstance(spec, str) and spec.isdecimal() and not Path(spec).exists()


def _is_url(spec: Spec) -> bool:
    return isinstance(spec, str) and is_address(spec)


def _open_camera(spec: Spec, options: Reading) -> Source:
    return Webcam(int(str(spec)), options.timeout_s)


def _open_url(spec: Spec, options: Reading) -> Source:
    return NetworkStream(_address(spec), options.timeout_s, options.used)


def _address(spec: Spec) -> str:
    """An address of a kind that is known."""
    scheme = str(spec).split("://", 1)[0].lower()
    if scheme not in SCHEMES:
        raise SourceError(
            f"{shown(str(spec))}: streams of the kind {scheme}:// are not known. "
            f"Expected one of {', '.join(SCHEMES)}; give files as plain paths."
        )
    return str(spec)


def _open_folder(spec: Spec, options: Reading) -> Source:
    return ImageFolder(Path(str(spec)), options.fps, options.used)


def _open_file(spec: Spec, options: Reading) -> Source:
    path = Path(str(spec))
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise SourceError(
            f"{path} is a single picture; a source is a video file or the folder of frames. "
            f"Give {path.parent} to read all its frames."
        )
    return VideoFile(path, options.allow_short, options.used)


def _open_array(spec: Spec, options: Reading) -> Source:
    return ArrayFile(Path(str(spec)), options.fps, options.used)


def _is_array(spec: Spec) -> bool:
    path = Path(str(spec))
    return path.suffix.lower() == SUFFIX and path.is_file()


# In this order: a folder named "0" is a folder, the digit 0 alone is the first camera.
KINDS: tuple[
    tuple[str, Callable[[Spec], bool], Callable[[Spec, Reading], Source]],
    ...,
] = (
    ("camera", _is_camera, _open_camera),
    ("network stream", _is_url, _open_url),
    ("frame folder", lambda spec: Path(str(spec)).is_dir(), _open_folder),
    ("frame array", _is_array, _open_array),
    ("video file", lambda spec: Path(str(spec)).is_file(), _open_file),
)


def open_source(
    spec: str | Path | int,
    *,
    fps: float | None = None,
    allow_short: bool = False,
    timeout_s: float = 10.0,
    used: tuple[int, int] | None = None,
) -> Source:
    """Open a video file, a folder of frames, a camera index or a stream's URL.

    Args:
        spec: path, camera index (3 or "3") or URL (rtsp://, http://, …).
        fps: frames per second of frame folders, which cannot say it.
        allow_short: take video files that are cut short, up to where they end.
        timeout_s: a camera or stream that says nothing for so long is an error.
        used: values of 16-bit pictures that become 0 and 255, by default those in use in the file
            or folder. A `Detector` goes by the range of its RUN.

    Raises:
        ConfigError: fps is not above 0 and at most 1000.
        SourceError: nothing there, not a video, not answering; while iterating also for a file
            that is cut short, for frame folders with frames of two sizes, and for live sources
            that end or fall silent.
    """
    return open_as(spec, Reading(fps, allow_short, timeout_s, used))


def open_as(spec: str | Path | int, options: Reading) -> Source:
    """`open_source`, with its options as one value."""
    for _, recognise, opener in KINDS:
        if recognise(spec):
            return opener(spec, options)
    raise SourceError(
        f"{safe(spec)} does not exist. Expected a video file, a folder of frames, a camera index "
        "such as 0, or a stream such as rtsp://… — check the spelling and the current folder."
    )


def connection(spec: Spec, options: Reading) -> Stream | Device | None:
    """A camera or stream as one connection, for who brings threads and patience of his own; None
    where it is neither.

    Raises:
        SourceError: streams of this kind are not known.
    """
    if _is_camera(spec):
        return Device(int(str(spec)))
    if not _is_url(spec):
        return None
    of_ffmpeg = {**OPTIONS, **QUICK, "rtsp_transport": options.transport}
    return Stream(_address(spec), options.timeout_s, options.read_s, of_ffmpeg, options.used)


def frame_times(path: str | Path, options: Reading = DEFAULT) -> NDArray[np.float64]:
    """Seconds (n,) of all frames of a file or folder since the first: of video files by decoding.

    Raises:
        SourceError: a camera or stream, or the file is cut short.
    """
    with open_as(path, options) as source:
        if isinstance(source, VideoFile):
            return source.frame_times()
        table = None if source.live else source.table()
        if table is None:
            raise SourceError(f"{path} is a live source: its frames cannot be counted.")
        return table.time_s
