"""Frames at the size of the model: the one way from a picture to model input, and a store on disk.

Letters:  n, t frames   h, w rows and columns   c channels (3 RGB, or 1 where all are equal)

Every picture enters a model by `to_model`; the store keeps the picture between its two steps
(resize, then numbers), so that training and inference see identical values.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import shutil
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data.dataset import Video
from oddframe.data.decode import ALL, Progress, StoredVideo, Take, Writer
from oddframe.data.manifest import videos_hash
from oddframe.errors import RunError
from oddframe.pictures import resize_bgr
from oddframe.types import Image

DATA, INDEX = "frames.u8", "frames.json"
VERSION = 2


def to_model(image: Image, size: int) -> NDArray[np.float32]:
    """A BGR picture (h, w, 3) uint8 as model input: (3, size, size) float32 RGB in [-1, 1]."""
    chw: NDArray[np.float32] = from_store(resize_bgr(image, size)[None, ..., ::-1])[0]
    return chw


def from_store(frames_thwc: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stored frames (t, h, w, 1 or 3) RGB uint8 as model input: (t, 3, h, w) float32."""
    frames = np.moveaxis(frames_thwc, -1, 1).astype(np.float32, order="C")  # t c h w
    frames /= np.float32(127.5)
    frames -= np.float32(1)
    return np.repeat(frames, 3, axis=1) if frames.shape[1] == 1 else frames


def to_picture(frame_chw: NDArray[np.float32]) -> Image:
    """Undo `to_model` at its size: (3, s, s) -> (s, s, 3) BGR, the same bits as were given."""
    levels = np.rint((frame_chw[::-1] + np.float32(1)) * np.float32(127.5))
    return np.ascontiguousarray(np.moveaxis(levels, 0, -1).astype(np.uint8))


class FrameStore:
    """Decoded frames of several videos in one file on disk, read at random with little memory."""

    def __init__(
        self, folder: Path, size: int, channels: int, videos: tuple[StoredVideo, ...], content: str
    ) -> None:
        """Of an existing store; use `build`, `open` or `obtain`."""
        self.folder = folder
        self.size = size
        """Rows and columns of the frames."""
        self.channels = channels
        """3 (RGB), or 1 where every frame of all videos is grey."""
        self.videos = videos
        self.content = content
        """Hash of the videos that it was made of."""
        self.frames = videos[-1].stop if videos else 0

    def read(self, i: int, j: int) -> NDArray[np.uint8]:
        """A copy of the frames i to j (excluded), counted over all videos: (j - i, h, w, c).

        Raises IndexError outside 0 … `frames`; the caller keeps i and j within one video.
        """
        if not 0 <= i <= j <= self.frames:
            raise IndexError(f"frames {i} to {j} of a store with {self.frames}")
        each = self.size**2 * self.channels
        # Read, not mapped: pages of a map count as memory of the process, in the end all of them.
        data = np.fromfile(self.folder / DATA, np.uint8, (j - i) * each, offset=i * each)
        return data.reshape(j - i, self.size, self.size, self.channels)

    def fps_at(self, i: int) -> float:
        """The rate of the video that frame i is of."""
        at = bisect_right([video.start for video in self.videos], i) - 1
        return self.videos[at].fps

    def before(self, i: int, most_s: float) -> tuple[int, float] | None:
        """Where the frames begin that came before frame i in its video, of so many seconds at most,
        and their rate: i itself where there were none, or a gap. None: the video had some that the
        store has not."""
        at = bisect_right([video.start for video in self.videos], i) - 1
        video = self.videos[at]
        start = max(video.start, i - math.ceil(most_s * video.fps))
        if start < i or video.held is None or video.start_s < 1 / video.fps:
            return start, video.fps
        lead = self.videos[at - 1]
        known = at > 0 and lead.lead and lead.name == video.name
        return (lead.start, lead.fps) if known else None

    def __reduce__(self) -> tuple[Callable[[Path], FrameStore], tuple[Path]]:
        """Workers of a data loader open the folder again."""
        return FrameStore.open, (self.folder,)

    @classmethod
    def build(
        cls,
        videos: Sequence[Video],
        folder: Path,
        size: int,
        progress: Progress | None = None,
        take: Take = ALL,
        most_bytes: int | None = None,
    ) -> FrameStore:
        """Decode and resize all videos once, and write them to `folder`.

        Args:
            videos: what to store, in this order.
            folder: made where it is missing; a store already in it is replaced at the end.
            size: rows and columns of the stored frames.
            progress: called after each frame.
            take: what of them, where not all as it is.
            most_bytes: limit where the videos looked grey and have colours after all, which takes
                three times the space: of stretches some are left out then.

        Raises:
            SourceError: a video cannot be read to its end.
            RunError: the disk is full or the folder cannot be written, or all of the videos is
                more than `most_bytes` with its colours; nothing is left behind.
        """
        if not videos:
            raise RunError(f"No videos to store in {folder}: the data set's split is empty.")
        writer = Writer(videos, folder, size, progress, take, most_bytes)
        temporary = folder / (DATA + ".tmp")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            channels, stored = writer.write(temporary)
            content = _content(videos, take)
            _replace(folder, temporary, size, channels, stored, content)
        except OSError as error:
            raise _write_error(folder, error) from error
        finally:
            with suppress(OSError):  # gone already, or the folder was never made
                temporary.unlink()
        return cls(folder, size, channels, stored, content)

    @classmethod
    def open(cls, folder: Path) -> FrameStore:
        """Open a finished store.

        Raises RunError where there is none, or it is of another version, or was cut.
        """
        path = folder / INDEX
        try:
            index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if index["version"] != VERSION:
                raise RunError(
                    f"{path} is of version {index['version']}, expected {VERSION}. Delete the "
                    "folder; it is built again from the videos."
                )
            videos = tuple(StoredVideo(**video) for video in index["videos"])
            size, channels, content = index["size"], index["channels"], index["content"]
            expected = videos[-1].stop * size * size * channels
            found = (folder / DATA).stat().st_size
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise RunError(
                f"No frame store in {folder} ({error}). Build it from the videos first."
            ) from error
        if found != expected:
            raise RunError(
                f"{folder / DATA} has {found} bytes, its index says {expected}: it was cut or "
                "replaced. Delete the folder; it is built again from the videos."
            )
        return cls(folder, size, channels, videos, content)

    @classmethod
    def obtain(
        cls,
        videos: Sequence[Video],
        folder: Path,
        size: int,
        progress: Progress | None = None,
        take: Take = ALL,
        most_bytes: int | None = None,
    ) -> FrameStore:
        """The store in `folder` if it was made of the same at this size, else a new one."""
        with suppress(RunError):
            store = cls.open(folder)
            if store.size == size and store.content == _content(videos, take):
                return store
        return cls.build(videos, folder, size, progress, take, most_bytes)


def _content(videos: Sequence[Video], take: Take) -> str:
    """A hash of all that decides what is in a store, but its size."""
    known = videos_hash(videos)
    if take == ALL:
        return known
    text = json.dumps([known, take.fps, [astuple(s) for s in take.stretches or ()]])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _replace(
    folder: Path,
    temporary: Path,
    size: int,
    channels: int,
    videos: tuple[StoredVideo, ...],
    content: str,
) -> None:
    """Put a finished store in place: the index is the last thing to appear."""
    index = {
        "version": VERSION,
        "size": size,
        "channels": channels,
        "content": content,
        "videos": [asdict(video) for video in videos],
    }
    (folder / INDEX).unlink(missing_ok=True)
    temporary.replace(folder / DATA)
    partial = folder / (INDEX + ".tmp")
    try:
        partial.write_text(json.dumps(index, indent=1), encoding="utf-8")
        partial.replace(folder / INDEX)
    finally:
        partial.unlink(missing_ok=True)


def _write_error(folder: Path, error: OSError) -> RunError:
    if error.errno == errno.ENOSPC:
        free = shutil.disk_usage(folder).free / 1e6
        return RunError(
            f"The disk with {folder} is full ({free:.0f} MB free): the decoded frames do not fit "
            f"({error.strerror}). Free some space, take another folder or a smaller picture size. "
            "Nothing was left behind."
        )
    return RunError(f"The frame store in {folder} cannot be written: {error}.")
