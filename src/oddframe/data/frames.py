"""Frames at the size of the model: the one way from a picture to model input, and a store on disk.

Letters:  n, t frames   h, w rows and columns   c channels (3 RGB, or 1 where all are equal)

Every picture enters a model by `to_model`; the store keeps the picture between its two steps
(resize, then numbers), so that training and inference see identical values.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data.dataset import Video
from oddframe.data.footage import Stretch, is_grey, looks_grey
from oddframe.data.manifest import videos_hash
from oddframe.errors import RunError
from oddframe.pictures import resize_bgr
from oddframe.sources import Source
from oddframe.sources.rate import pacer
from oddframe.types import Frame, Image

Progress = Callable[[int, int | None], None]
"""Called with the frames done and the frames expected (a hint, or None)."""

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


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """Frames of one video without a gap between: `start` to `stop` (excluded) in the store."""

    name: str
    start: int
    stop: int
    fps: float
    start_s: float = 0.0
    """When the first of them is shown in the video."""
    held: bool | None = None
    """Whether the plan keeps them aside; None where there is no plan."""
    first: int = 0
    """Number of the first of them in the video."""


@dataclass(frozen=True, slots=True)
class Take:
    """What of some videos is stored."""

    fps: float | None = None
    """Faster videos are thinned to this rate by their stamps; None: all as it is."""
    stretches: tuple[Stretch, ...] | None = None
    """These alone; None: all of it."""


ALL = Take()


class _NotGreyError(Exception):
    """A frame with colour came after the store was begun with one channel."""


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
        writer = _Writer(videos, folder, size, progress, take, most_bytes)
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


@dataclass(slots=True)
class _Writer:
    """One build: decides on the number of channels and writes all frames."""

    videos: Sequence[Video]
    folder: Path
    size: int
    progress: Progress | None
    take: Take
    most_bytes: int | None

    def write(self, path: Path) -> tuple[int, tuple[StoredVideo, ...]]:
        """Write all frames to `path`; gives the channels and where each video lies."""
        grey, hint = self._survey()
        if grey:
            try:
                return 1, self._write(path, 1, hint)
            except _NotGreyError:  # colour that `looks_grey` did not see: decode again
                hint = self._within(hint)
        return 3, self._write(path, 3, hint)

    def _within(self, hint: int | None) -> int | None:
        """Leave stretches out where colours take more than there is room for; gives the frames."""
        needed = 3 * self.size**2 * (hint or 0)
        if self.most_bytes is None or needed <= self.most_bytes:
            return hint
        if self.take.stretches is None:
            raise RunError(
                f"The videos looked grey and have colours in between: their {hint} frames need "
                f"{needed / 1e9:.1f} GB, and not the {needed / 3e9:.1f} GB that were planned. Give "
                f"--cache {1.03 * needed / 1e9 + 0.05:.1f}."
            )
        kept = _thinned(self.take.stretches, -(-needed // self.most_bytes))
        self.take = replace(self.take, stretches=kept)
        return sum(stretch.frames for stretch in kept)

    def _survey(self) -> tuple[bool, int | None]:
        """Whether all that is wanted looks grey, and how many frames to expect."""
        stretches, videos = self.take.stretches, self.videos
        if stretches is not None:
            videos = [videos[i] for i in sorted({stretch.video for stretch in stretches})]
        grey, hints = True, []
        for video in videos:
            with video.open() as source:
                hints.append(self._expected(source))
                grey = grey and looks_grey(source, self.size)
        if stretches is not None:
            return grey, sum(stretch.frames for stretch in stretches)
        known = [hint for hint in hints if hint is not None]
        return grey, sum(known) if len(known) == len(hints) else None

    def _expected(self, source: Source) -> int | None:
        """Frames of a video at the rate that is taken, by its header."""
        pace, hint = pacer(self.take.fps, source.info), source.frame_hint
        if pace is None or hint is None:
            return hint
        return round(hint * min(1.0, pace.fps / source.info.fps))

    def _write(self, path: Path, channels: int, hint: int | None) -> tuple[StoredVideo, ...]:
        if hint is not None:
            _check_space(self.folder, hint * self.size**2 * channels)
        stored: list[StoredVideo] = []
        ends: dict[str, float] = {}
        with _create(path) as file:
            for video, stretch, source in self._wanted():
                held = None if stretch is None else stretch.held
                for frame, fps, begins in self._taken(source, stretch, ends.get(video.name, -1.0)):
                    ends[video.name] = frame.pts_s
                    file.write(self._encode(frame.at(self.size), channels))
                    at = stored[-1].stop if stored else 0
                    if begins:
                        start_s = round(frame.pts_s, 6)
                        piece = StoredVideo(video.name, at, at + 1, fps, start_s, held, frame.index)
                        stored.append(piece)
                    else:
                        stored[-1] = replace(stored[-1], stop=at + 1)
                    if self.progress is not None:
                        self.progress(at + 1, hint)
        return tuple(stored)

    def _taken(
        self, source: Source, stretch: Stretch | None, after_s: float
    ) -> Iterator[tuple[Frame, float, bool]]:
        """The frames to store, their rate, and whether something begins with them.

        after_s: frames up to it are stored already. Stretches may overlap, or begin in one pause;
        what is kept aside must not be trained on.
        """
        pace = pacer(self.take.fps, source.info)
        fps = source.info.fps if pace is None else min(source.info.fps, pace.fps)
        done = 0
        for frame in source if stretch is None else source.frames_from(stretch.start_s):
            if pace is not None and not pace.looks(frame):
                continue
            if frame.pts_s <= after_s:
                continue
            begins = done == 0 or frame.gap
            if stretch is not None and (done == stretch.frames or (begins and done)):
                return
            yield frame, fps, begins
            done += 1

    def _wanted(self) -> Iterator[tuple[Video, Stretch | None, Source]]:
        """Videos in their order, or the stretches of the plan, opened."""
        if self.take.stretches is None:
            for video in self.videos:
                with video.open() as source:
                    yield video, None, source
            return
        at = -1
        opened: Source | None = None
        for stretch in self.take.stretches:
            if opened is None or stretch.video != at:
                if opened is not None:
                    opened.close()
                at, opened = stretch.video, self.videos[stretch.video].open()
            yield self.videos[at], stretch, opened

    def _encode(self, resized: Image, channels: int) -> bytes:
        if channels == 3:
            return resized[..., ::-1].tobytes()  # RGB
        if not is_grey(resized):
            raise _NotGreyError
        return resized[..., 0].tobytes()


def _thinned(stretches: Sequence[Stretch], every: int) -> tuple[Stretch, ...]:
    """Every so many of those to train on, and of those kept aside, in order."""
    kept: list[Stretch] = []
    for held in (False, True):
        group = [s for s in stretches if s.held is held]
        kept += group[every - 1 :: every] or group[:1]
    return tuple(s for s in stretches if s in kept)


def _create(path: Path) -> IO[bytes]:
    return path.open("wb")


def _check_space(folder: Path, needed: int) -> None:
    """Refuse before an hour of decoding, not after it."""
    if needed > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, f"about {needed / 1e6:.0f} MB are needed")


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
