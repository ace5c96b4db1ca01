"""What a data set is, once recognised: named videos in two splits, and where its labels lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import DatasetError
from oddframe.sources import VIDEO_SUFFIXES, Reading, Source, frame_times, open_as
from oddframe.sources.images import list_images
from oddframe.sources.names import entries, files_in, is_folder, is_junk, naturally, same_text

_NOT_VIDEOS = re.compile(r".*_gt$|ground_truth.*|.*_mask$|.*_masks$", re.IGNORECASE)
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Video:
    """One video of a data set."""

    name: str
    """Unique within its split; file stem or folder name, sub-folders joined by `_`."""
    path: Path
    """A video file or a folder of frames."""
    reading: Reading = field(default=Reading(), compare=False)
    """How it is to be read."""

    def open(self) -> Source:
        """Open it; errors as `open_source`."""
        return open_as(self.path, self.reading)


@dataclass(frozen=True, slots=True)
class LabelFiles:
    """Where labels (or pixel masks) lie and which reader they need."""

    kind: str
    """A key of `labels.READERS` or `masks.READERS`."""
    path: Path
    """A file, or a folder with one file or folder per video."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A recognised folder; `train` holds normal videos only, `test` may be empty."""

    root: Path
    layout: str
    train: tuple[Video, ...]
    test: tuple[Video, ...]
    name: str
    labels: LabelFiles | None = None
    """Frame labels of the test videos, read by `labels.frame_labels`."""
    masks: LabelFiles | None = None
    """Pixel masks of the test videos, read by `masks.pixel_masks`."""
    label_files: tuple[LabelFiles, ...] = ()
    """All frame labels that were found, the first being those in use unless others were named."""
    left_out: tuple[Path, ...] = ()
    """System folders and files that nobody looked into: thumbnails, waste baskets."""
    unreadable: tuple[Path, ...] = ()
    """Files and folders that may not be read."""
    unknown: tuple[Path, ...] = ()
    """Large files of no kind that is known by its name."""
    beside: tuple[Path, ...] = ()
    """Folders of pictures beside videos in a plain folder: thumbnails, as likely as footage."""

    def read_as(self, reading: Reading) -> Dataset:
        """The same, its videos read otherwise."""
        train, test = (
            tuple(replace(video, reading=reading) for video in videos)
            for videos in (self.train, self.test)
        )
        return replace(self, train=train, test=test)

    @property
    def left_out_text(self) -> str:
        """What was not looked at, in words; "" where there is nothing of it."""
        said = []
        if self.left_out:
            names = dict.fromkeys(path.name for path in self.left_out)
            said.append(f"left out {len(self.left_out)} system entries ({_few(names)})")
        if self.unknown:
            names = dict.fromkeys(path.name for path in self.unknown)
            kinds = "1 large file" if len(self.unknown) == 1 else f"{len(self.unknown)} large files"
            said.append(f"left out {kinds} of no kind that is known ({_few(names)})")
        if self.beside:
            folders = "1 folder" if len(self.beside) == 1 else f"{len(self.beside)} folders"
            said.append(
                f"left out {folders} of pictures beside videos "
                f"({_few(path.name for path in self.beside)}); what is in a folder normal/ is "
                "taken, videos and folders of pictures"
            )
        if self.unreadable:
            said.append(
                f"{len(self.unreadable)} may not be read by this user and are left out "
                f"({_few(map(str, self.unreadable))})"
            )
        return "; ".join(said)


def _few(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:4]) + " …" * (len(known) > 4)


def numbers(name: str) -> tuple[int, ...]:
    """All digit groups of a name: (1,) for "01", "Test001" and "1_label", (1, 14) for "01_0014"."""
    return tuple(int(group) for group in re.findall(r"[0-9]+", name))


def video_frames(video: Video) -> int:
    """Certain number of frames: files of a frame folder, or by decoding (kept in memory).

    Raises SourceError where the video is damaged.
    """
    return len(video_times(video))


def video_fps(video: Video) -> float:
    """Its usual frames per second."""
    with video.open() as source:
        return source.info.fps


def video_times(video: Video) -> NDArray[np.float64]:
    """When each frame is shown, in seconds since the first (n,): by decoding (kept in memory).

    Raises SourceError where the video is cut short.
    """
    if video.path.is_dir():
        return frame_times(video.path, video.reading)
    return _decoded_times(video.path, video.reading, video.path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _decoded_times(path: Path, reading: Reading, mtime_ns: int) -> NDArray[np.float64]:
    del mtime_ns  # part of the key, so that a file that was replaced is read again
    return frame_times(path, reading)


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in `folder` which may hold videos, in natural order."""
    found = [p for p in entries(folder) if is_folder(p) and not is_junk(p)]
    kept = [p for p in found if not _NOT_VIDEOS.fullmatch(p.name)]
    return naturally(kept, lambda p: p.name)


def video_files(folder: Path) -> list[Path]:
    """The video files directly in `folder`, in natural order."""
    return naturally(files_in(folder, VIDEO_SUFFIXES), lambda p: p.stem)


def child(folder: Path, *names: str) -> Path | None:
    """The first entry of `folder` with one of these names, upper or lower case, or None."""
    present = {p.name.lower(): p for p in sorted(entries(folder))} if is_folder(folder) else {}
    return next((present[n.lower()] for n in names if n.lower() in present), None)


def find_videos(folder: Path, depth: int = 1) -> tuple[Video, ...]:
    """Videos and frame folders in `folder` and `depth` levels of folders below it.

    A folder with pictures directly in it, `folder` included, is one video and is not searched
    further.

    Raises:
        DatasetError: two videos have the same name.
    """
    if list_images(folder) and not video_files(folder):
        return (Video(folder.name, folder),)
    paths = naturally(_walk(folder, depth), lambda p: str(p.relative_to(folder)))
    return name_videos(paths, folder)


def _walk(folder: Path, depth: int) -> Iterable[Path]:
    yield from video_files(folder)
    for sub in subfolders(folder) if depth else []:
        if video_files(sub) or not list_images(sub):
            yield from _walk(sub, depth - 1)
        else:
            yield sub


def name_videos(paths: Iterable[Path], folder: Path) -> tuple[Video, ...]:
    """Give each path its name: relative to `folder`, no suffix, parts joined by `_`."""
    videos: dict[str, Video] = {}
    for path in paths:
        relative = path.relative_to(folder)
        # A frame folder keeps the dots of its name: "cam.1" has no suffix.
        stem = relative.with_suffix("") if path.is_file() else relative
        name = same_text("_".join(stem.parts))
        if name in videos:
            raise DatasetError(
                f"Two videos of {folder} have the same name {name!r}: {videos[name].path.name} and "
                f"{path.name}. Names identify videos in labels and results; rename one."
            )
        videos[name] = Video(name, path)
    return tuple(videos.values())
