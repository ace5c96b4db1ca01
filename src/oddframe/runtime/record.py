"""Normal footage of a camera as video files, a minute each: what `fit` and `calibrate` learn from.

    recorded = record("rtsp://…", "footage/", minutes=60)

The camera is read as it is when it is watched (`watch.reader`): a source that hangs, freezes or
goes away is left and connected to again, and pictures that would not be scored are not recorded.
Whatever breaks the stream begins a new file, since no motion can be followed across it. A file has
its name once it is whole; killed at any moment, the same call goes on.

Names: 2026-01-31T18-00-00Z.mp4, the time (UTC) of the first frame; of footage that is a file
itself, at-0-01-20-000.mp4, the place in it. Which file it was stands in the recording: only where
it is the same one, of the same size, it is gone on with.

Of 640 x 360 a frame costs 2 ms and 3 to 5 kB. Models look at 256 pixels at most.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import av
import av.error
from pydantic import Field

from oddframe.config import Config
from oddframe.errors import ConfigError, RunError, SourceError
from oddframe.runs import locked
from oddframe.runtime.tape import MARK, UNFINISHED, All, Tape
from oddframe.runtime.watch.feed import Bell, LiveFrame
from oddframe.runtime.watch.footage import Connection, Footage, Spec, connect
from oddframe.runtime.watch.reader import Reader
from oddframe.runtime.watch.settings import ReadConfig, ReaderConfig
from oddframe.runtime.watch.status import State, Status
from oddframe.sources import Reading
from oddframe.sources.stamps import duration

NAMES = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ|at-(\d+)-(\d\d)-(\d\d)-(\d{3}))(_\d+)?\.\w+")
SHORTEST_S = 2.0
"""A file that a gap ended sooner is of no use: a model's history alone may be longer."""
BYTES_S = 100_000.0
"""What a second takes where nothing was recorded yet, about."""
FIRST_PATIENCE_S, PATIENCE_S = 30.0, 3600.0
"""How long a camera may give nothing: before its first picture, and once there was one."""
TICK_S = 0.2

T = TypeVar("T")
Tick = Callable[[float, float, str], None]
"""Seconds recorded, seconds wanted, and what is wrong with the camera ("": nothing)."""


class RecordConfig(Config):
    """How footage is kept."""

    width: int = Field(640, ge=64, le=7680)
    """At most so many pixels across; smaller sources keep their size."""
    segment_s: float = Field(60.0, ge=1, le=3600)
    """Length of a file: what a kill loses at most."""
    free_gb: float = Field(1.0, ge=0)
    """Disk that is left free, in 10^9 bytes."""
    reading: ReadConfig = ReadConfig()
    """Limits and patience with the source."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What there is now."""

    seconds: float
    """Of all recordings in the folder."""
    files: int
    bytes: int
    new_s: float
    """Of these, what this call recorded."""
    gaps: int
    """Times that the stream broke meanwhile."""
    dropped: int
    """Frames that came and could not be encoded in time."""
    over: bool
    """A file that was recorded came to its end before there was enough."""
    broke: str = ""
    """What is wrong with a file that ended in its middle, in words."""

    @property
    def words(self) -> str:
        """All of it for people."""
        gaps = f", {self.gaps} gap{'s' * (self.gaps != 1)}" if self.gaps else ""
        lost = f", {self.dropped} frames came too fast" if self.dropped else ""
        end = "; the source is over" if self.over and not self.broke else ""
        end += f"; the source broke off: {self.broke}" if self.broke else ""
        return (
            f"{duration(self.seconds)} in {self.files} file{'s' * (self.files != 1)}, "
            f"{self.bytes / 1e6:.0f} MB{gaps}{lost}{end}"
        )


def record(
    source: Spec,
    out: str | Path,
    minutes: float,
    config: RecordConfig | None = None,
    *,
    stop: threading.Event | None = None,
    tick: Tick | None = None,
    connecting: Callable[[Spec, Reading], Connection] = connect,
) -> Recorded:
    """Record until a folder holds so many minutes, what it held before included.

    Args:
        source: address, index of a webcam; or a file or folder, which is read as fast as it can be.
        out: the folder; made where it is missing.
        minutes: in all.
        config: sizes and limits.
        stop: set by whoever wants it to end before; what is there is kept.
        tick: called a few times a second.
        connecting: makes the connections.

    Raises:
        ConfigError: minutes that are not above 0.
        SourceError: the camera cannot be read: at once where its address or password are wrong,
            else after `FIRST_PATIENCE_S`, or `PATIENCE_S` once it gave something.
        RunError: the folder cannot be written, or the disk is full; what is recorded is kept.
    """
    if not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"--minutes must be above 0, found {minutes:g}.")
    folder, config = Path(out), config or RecordConfig()
    with locked(folder, "recording"):
        for left in folder.glob(f"{UNFINISHED}*"):
            left.unlink(missing_ok=True)
        work = _Recording(folder, config, 60 * minutes, tick or _silent)
        work.record(source, stop or threading.Event(), connecting)
        return work.result()


def recordings(folder: Path) -> list[Path]:
    """The files that `record` made in a folder, in order; none where there is no folder."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if NAMES.fullmatch(p.name) and p.is_file()]
    return sorted(found, key=_order)


def seconds_of(path: Path) -> float:
    """Length of a recording by its header; 0 of what cannot be read."""
    return _header(path)[0]


def _header(path: Path) -> tuple[float, str]:
    """Length of a recording, and the mark of the file that it is of; "" where it says nothing."""
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
            return (container.duration or 0) / av.time_base, tags.get(MARK, "")
    except (av.error.FFmpegError, OSError, ValueError):
        return 0.0, ""


def _mark_of(source: Spec) -> str:
    """Tells one file from another, wherever they lie: name and size; of a folder, its name."""
    path = Path(str(source))
    size = path.stat().st_size if path.is_file() else 0
    return hashlib.blake2b(os.fsencode(path.name) + b"%d" % size, digest_size=8).hexdigest()


def _order(path: Path) -> tuple[float, str]:
    place = _place(path)
    return (-1.0 if place is None else place), path.name


def _place(path: Path) -> float | None:
    """Where in a file a recording of it begins, in seconds; None of cameras' recordings."""
    found = NAMES.fullmatch(path.name)
    if found is None or found[2] is None:
        return None
    return 3600 * int(found[2]) + 60 * int(found[3]) + int(found[4]) + int(found[5]) / 1000


class _Recording:
    """One call of `record` at work."""

    def __init__(self, folder: Path, config: RecordConfig, wanted_s: float, tick: Tick) -> None:
        self._folder, self._config, self._tick = folder, config, tick
        self._wanted_s = wanted_s
        known = recordings(folder)
        self._files = len(known)
        self._bytes = sum(path.stat().st_size for path in known)
        self._known = {path: _header(path) for path in known}
        self._kept_s = self._before_s = sum(length_s for length_s, _ in self._known.values())
        self._mark, self._from_s = "", 0.0
        """Of a file: which it is, and where in it the recording goes on."""
        self._tape: Tape | None = None
        self._gaps = self._dropped = 0
        self._over, self._broke = False, ""
        self._told = -math.inf

    def record(
        self, source: Spec, stop: threading.Event,
        connecting: Callable[[Spec, Reading], Connection],
    ) -> None:  # fmt: skip
        """Until there is enough, it is stopped, or a file is over."""
        if self._left_s <= 0:
            return
        self._check_room(self._left_s)
        files = isinstance(connecting(source, Reading()), Footage)
        if files:
            self._mark = _mark_of(source)
            self._from_s = self._end_of(self._mark)
        bell = Bell()
        config = ReaderConfig(**self._config.reading.model_dump(), realtime=False)
        reader = Reader("recording", source, config, bell, connecting=connecting, feeding=All)
        reader.start()
        try:
            self._follow(reader, bell, stop, files)
        finally:
            reader.stop()
            self._dropped = reader.feed.dropped.get("newer", 0)
            self._close(whole=self._left_s <= 0 or self._over)
        self._say("")

    def result(self) -> Recorded:
        """What there is now."""
        new_s = self._kept_s - self._before_s
        return Recorded(
            self._kept_s, self._files, self._bytes, new_s, self._gaps, self._dropped, self._over,
            self._broke,
        )  # fmt: skip

    def _end_of(self, mark: str) -> float:
        """Where in a file what is recorded of it ends; recordings without a mark may be of it."""
        ends = [
            place + length_s for path, (length_s, of) in self._known.items()
            if of in (mark, "") and (place := _place(path)) is not None
        ]  # fmt: skip
        return max(ends, default=0.0)

    def _follow(self, reader: Reader, bell: Bell, stop: threading.Event, files: bool) -> None:
        seen_s, began, first = time.monotonic(), time.monotonic(), True
        while self._left_s > 0 and not stop.is_set():
            frame = reader.feed.take()
            if frame is not None:
                seen_s, first = time.monotonic(), False
                if not files or frame.pts_s >= self._from_s - 1e-3:
                    self._take(frame, files)
                self._say("")
                continue
            status = reader.status()
            if reader.done:
                if status.why is not None:
                    if first:
                        raise SourceError(status.words)
                    self._broke = status.words
                self._over = True
                return
            waited_s = time.monotonic() - (began if first else seen_s)
            _patient(status, waited_s, first)
            self._say(status.words)
            bell.wait(TICK_S)

    @property
    def _left_s(self) -> float:
        """Seconds that are still to be recorded."""
        return self._wanted_s - self._kept_s - (0.0 if self._tape is None else self._tape.seconds)

    def _take(self, frame: LiveFrame, files: bool) -> None:
        if self._tape is not None and frame.gap:
            self._gaps += 1
            self._close()
        elif self._tape is not None and self._tape.seconds >= self._config.segment_s:
            self._close(whole=True)
        if self._tape is None:
            self._check_room(0.0)
            image = frame.image
            name = _position(frame.pts_s) if files else _moment(frame.t_utc)
            width, mark = self._config.width, self._mark
            self._tape = self._writing(lambda: Tape(self._folder, name, image, width, mark))
        tape = self._tape
        self._writing(lambda: tape.write(frame))

    def _close(self, whole: bool = False) -> None:
        """Give the file its name, or throw it away where it is of no use."""
        tape, self._tape = self._tape, None
        if tape is None:
            return
        if tape.frames < 2 or (tape.seconds < SHORTEST_S and not whole):
            tape.drop()
            return
        path = self._writing(tape.finish)
        self._files += 1
        self._bytes += path.stat().st_size
        self._kept_s += tape.seconds

    def _writing(self, what: Callable[[], T]) -> T:
        try:
            return what()
        except (av.error.FFmpegError, OSError) as error:
            tape, self._tape = self._tape, None
            if tape is not None:
                tape.drop()
            raise RunError(
                f"Cannot write to {self._folder}: {error.strerror or error}. The {self._files} "
                "files that are whole are kept: free some space, and go on by the same command."
            ) from None

    def _check_room(self, seconds: float) -> None:
        rate = self._bytes / self._kept_s if self._kept_s > 60 else BYTES_S
        needed, free = seconds * rate, shutil.disk_usage(self._folder).free
        if free - needed >= self._config.free_gb * 1e9:
            return
        more = f"{duration(seconds)} take about {needed / 1e9:.1f} GB, and " if seconds else ""
        raise RunError(
            f"{self._folder} has {free / 1e9:.1f} GB of its disk free: {more}"
            f"{self._config.free_gb:g} GB are left free. What is recorded is kept; free some "
            "space, or record less."
        )

    def _say(self, words: str) -> None:
        now = time.monotonic()
        if now - self._told >= TICK_S or self._left_s <= 0:
            self._told = now
            done = self._wanted_s - max(self._left_s, 0.0)
            self._tick(done, self._wanted_s, words)


AT_ONCE = ("auth_failed", "not_found", "codec_unsupported")
"""What waiting does not mend."""


def _patient(status: Status, waited_s: float, first: bool) -> None:
    """Whether it is still waited for a camera.

    Raises:
        SourceError: no longer.
    """
    hopeless = first and status.state is State.DOWN and status.why in AT_ONCE
    limit_s = FIRST_PATIENCE_S if first else PATIENCE_S
    if hopeless or waited_s > limit_s:
        words = status.words or f"{status.source} gives no pictures."
        waited = "" if hopeless else f" It was waited for {duration(waited_s)}."
        raise SourceError(f"{words}{waited}")


def _moment(t_utc: float) -> str:
    return f"{datetime.fromtimestamp(t_utc, UTC):%Y-%m-%dT%H-%M-%SZ}"


def _position(pts_s: float) -> str:
    ms = round(1000 * pts_s)
    return f"at-{ms // 3600000}-{ms // 60000 % 60:02}-{ms // 1000 % 60:02}-{ms % 1000:03}"


def _silent(done_s: float, wanted_s: float, words: str) -> None:
    del done_s, wanted_s, words
