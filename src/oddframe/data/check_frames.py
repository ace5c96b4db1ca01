"""One video looked at closely: the numbers of its frames, their sizes, what is there twice."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from oddframe.data.dataset import Video
from oddframe.errors import SourceError
from oddframe.sources import Source
from oddframe.sources.images import list_images, read_image
from oddframe.types import Image

Say = Callable[[str, str], None]
"""Takes the kind of a finding and its text."""
Tick = Callable[[], None]

THIN = 8
"""Every eighth pixel of every eighth row tells one video's frames from another's."""
MANY_REPEATS = 0.25
"""Cameras repeat a frame now and then; a quarter of a video file is a conversion gone wrong."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a video holds."""

    frames: int
    kind: str
    """Size and rate, for people."""
    digest: str
    """Equal for videos of equal content."""
    first: int | None
    """Number of the first frame of a frame folder, None where files have no single number."""
    repeats: tuple[int, ...]
    """Frames, from 0, that equal the one before them."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and no fault."""


def look(video: Video, say: Say, tick: Tick) -> Looked:
    """Look at all frames of a video; says what is wrong with it.

    Raises SourceError where it cannot be opened or ends early.
    """
    looked = _folder(video, say, tick) if video.path.is_dir() else _file(video, say, tick)
    if looked.repeats and video.path.is_dir():
        say("repeated", _repeats(looked, list_images(video.path)))
    elif len(looked.repeats) >= MANY_REPEATS * looked.frames:
        say("repeated", _repeats(looked, None))
    return looked


def _file(video: Video, say: Say, tick: Tick) -> Looked:
    digest = hashlib.blake2b(digest_size=12)
    before: Image | None = None
    thin_before = b""
    repeats: list[int] = []
    count = 0
    with video.open() as source:
        kind = f"{source.info.width}x{source.info.height} {source.info.fps:.4g} fps"
        for frame in source:
            image = frame.image
            thin = image[::THIN, ::THIN].tobytes()
            # The thinned picture first: nearly all frames differ there already.
            if thin == thin_before and before is not None and np.array_equal(image, before):
                repeats.append(count)
            before, thin_before = image, thin
            digest.update(thin)
            count += 1
            tick()
        lost, notes = source.lost, []
        if lost.places:
            say("damaged", f"{lost}. What is behind the damage is used; copy the file again.")
        elif lost.pauses:
            notes.append(f"{lost}: nothing is scored behind a pause until the history is full")
        if not source.info.steady:
            notes.append("its frames come unevenly: times are those of the stamps")
    return Looked(count, kind, digest.hexdigest(), None, tuple(repeats), tuple(notes))


def _folder(video: Video, say: Say, tick: Tick) -> Looked:
    files = list_images(video.path)
    with video.open() as source:  # decodes the first picture
        width, height = source.info.width, source.info.height
        kind = f"{width}x{height} {source.info.fps:.4g} fps{' assumed' * source.info.assumed}"
        notes = _notes(source)
    numbered = frame_numbers(files)
    check_numbers(files, say)
    digest = hashlib.blake2b(digest_size=12)
    before: bytes | None = None
    repeats: list[int] = []
    odd: list[str] = []
    for index, file in enumerate(files):
        try:
            data = file.read_bytes()
        except OSError as error:
            say("undecodable", f"The picture {file} cannot be read: {error.strerror}.")
            tick()
            continue
        twice = numbered is not None and index > 0 and numbered[index] == numbered[index - 1]
        if data == before and not twice:  # two files of one number were told already
            repeats.append(index)
        before = data
        digest.update(hashlib.blake2b(data, digest_size=12).digest())
        try:
            found = picture_size(file, data)
        except SourceError as error:
            say("undecodable", str(error))
        else:
            if found != (width, height):
                odd.append(f"{file.name} ({found[0]}x{found[1]})")
        tick()
    if odd:
        say(
            "size",
            f"{files[0].name} is {width}x{height}, but {some(odd)} of the same folder differ. Put "
            "the frames of each camera into a folder of their own, or extract them again.",
        )
    return Looked(
        len(files), kind, digest.hexdigest(), min(numbered) if numbered else None, tuple(repeats),
        notes,
    )  # fmt: skip


def _notes(source: Source) -> tuple[str, ...]:
    """What is done to pictures of 16 bits."""
    if source.used is None:
        return ()
    return ("16-bit pictures: values from {} to {} become 0 to 255".format(*source.used),)


def picture_size(path: Path, data: bytes) -> tuple[int, int]:
    """Width and height of a picture file from its header; decoded where that says nothing.

    Raises SourceError where it is cut short or no picture.
    """
    whole = len(data) > 32
    if data[:8] == b"\x89PNG\r\n\x1a\n" and whole and data[-8:-4] == b"IEND":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" in data[-64:] and (size := _jpeg_size(data)):
        return size
    if data[:2] == b"BM" and whole and int.from_bytes(data[2:6], "little") == len(data):
        width = int.from_bytes(data[18:22], "little", signed=True)
        return width, abs(int.from_bytes(data[22:26], "little", signed=True))
    height, width = read_image(path).shape[:2]
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xE1 and data[place + 4 : place + 8] == b"Exif":
            return None  # it may be shown turned
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            return int.from_bytes(data[place + 7 : place + 9], "big"), height
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def frame_numbers(files: Sequence[Path]) -> list[int] | None:
    """The number of each frame file, None where names have none or are of several series."""
    groups = [re.findall(r"[0-9]+", file.stem) for file in files]
    if any(not group for group in groups) or len({tuple(g[:-1]) for g in groups}) > 1:
        return None
    return [int(group[-1]) for group in groups]


def check_numbers(files: Sequence[Path], say: Say) -> None:
    """Say what is missing or doubled in the numbers of a folder's pictures."""
    by_number: dict[int, list[str]] = {}
    for file, number in zip(files, frame_numbers(files) or [], strict=False):
        by_number.setdefault(number, []).append(file.name)
    doubled = [" and ".join(names) for names in by_number.values() if len(names) > 1]
    if doubled:
        every = len(doubled) == len(by_number)
        which = f"every one, such as {doubled[0]}" if every else some(doubled)
        say(
            "doubled",
            f"{len(doubled)} of {len(by_number)} frame numbers are there twice: {which}. All "
            f"{len(files)} files count as frames. Take one of each away.",
        )
    present = sorted(by_number)
    pairs = list(pairwise(present))
    gaps = [(a, b) for a, b in pairs if b - a > 1]
    if not gaps:
        return
    step, times = Counter(b - a for a, b in pairs).most_common(1)[0]
    names = {number: found[0] for number, found in by_number.items()}
    if step > 1 and times > 1:
        say(
            "gap",
            f"The numbers go in steps of {step} ({names[present[0]]}, {names[present[1]]}, …): "
            "frames were left out in extracting. Labels count every frame; extract all of them.",
        )
        return
    missing = [str(a + 1) if b - a == 2 else f"{a + 1} to {b - 1}" for a, b in gaps]
    total = sum(b - a - 1 for a, b in gaps)
    say(
        "gap",
        f"{total} frame{'s are' if total > 1 else ' is'} missing: number {some(missing)} "
        f"({'first ' * (len(gaps) > 1)}between {names[gaps[0][0]]} and {names[gaps[0][1]]}). "
        "Frames count by their order, so all that come after stand too early. Extract the video "
        "again.",
    )


def _repeats(looked: Looked, files: Sequence[Path] | None) -> str:
    """Frames that equal their predecessors, in words."""
    pairs = [
        f"{files[i - 1].name} = {files[i].name}" if files else f"{i - 1} = {i}"
        for i in looked.repeats
    ]
    share = len(pairs) / max(looked.frames - 1, 1)
    if share >= 0.45:  # 0, 0, 1, 1, …: every second frame equals the one before
        return (
            f"The whole video is there twice, frame by frame: {len(pairs)} of {looked.frames} "
            f"frames are copies of the one before, such as {pairs[0]}. It was converted to a "
            "higher rate; take it at its own."
        )
    return (
        f"Copies of the frame before, byte by byte: {len(pairs)} ({some(pairs)}). They were "
        "doubled in copying or extracting; compare the number of frames with the original."
    )


def some(names: Sequence[str], most: int = 8) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def starts(looked: dict[str, Looked], say: Callable[[str, str, str], None]) -> None:
    """Say which frame folders of a split begin at another number than most of them do.

    looked: "train/01" and so on, of one split; `say` takes kind, video and text.
    """
    firsts = {name: one.first for name, one in looked.items() if one.first is not None}
    if len(set(firsts.values())) < 2:
        return
    (usual, times), *_ = Counter(firsts.values()).most_common()
    for name, first in firsts.items():
        if first is None or usual is None or first == usual:
            continue
        what = (
            f"frames {usual} to {first - 1} are missing at its start, or it was numbered otherwise"
            if first > usual
            else "it holds frames before that, or was numbered otherwise"
        )
        say(
            "start", name,
            f"Its first frame has number {first}, that of {times} other folders {usual}: {what}. "
            "Compare its number of frames with its labels.",
        )  # fmt: skip
