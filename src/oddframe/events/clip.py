"""Videos and pictures of events: from before the first frame in alarm until after the last.

    cutter = Cutter("gate", ring, config)           # one per camera
    writer = ClipWriter(store.folder, lambda event_id, path: store.attach(event_id, clip=path))
    cutter.begins(event.id, pts_s) ... cutter.ends(event.id, pts_s)
    for cut in cutter.due(pts_s): writer.submit(cut)

VP8 in WebM, like all videos of oddframe: every browser plays it, those without H.264 for licence
reasons too. By PyAV and not `report.video`, since frames of a camera come when they come: each
keeps its own stamp, and a second in the clip is a second in front of the camera. Of 640 x 360 a
frame costs 5 ms and 9 kB (Avenue); H.264 (veryfast) and VP9 cost as much and are a third smaller,
no reason to play in fewer places.

A clip is made in memory and then written whole: 8 MB are a minute of nothing but noise.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from oddframe.events.event import Event
from oddframe.events.ring import ClipConfig, Ring, Shot, to_jpeg
from oddframe.events.store.database import StoreError
from oddframe.events.store.files import CLIPS, SNAPSHOTS, place, plain_of, write_whole
from oddframe.events.where import outlined
from oddframe.pictures import Image

KINDS = (
    ("libvpx", ".webm", {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "1M"}),
    ("libx264", ".mp4", {"preset": "veryfast", "crf": "25", "bf": "0"}),
)
"""(encoder, suffix, its options): the first that this PyAV can encode is taken. With B frames an
MP4 of uneven stamps is as long as its last frame but one says."""
MS = Fraction(1, 1000)
KEY_EVERY = 25
"""Frames from key frame to key frame: a player can jump to every fifth second."""
NICE = 10
"""Of the thread that encodes: scoring comes first."""
QUALITY = 90
"""Of snapshots."""

log = logging.getLogger("oddframe.events.clip")


@dataclass(frozen=True, slots=True)
class Cut:
    """The frames of one clip."""

    camera: str
    event_id: str
    shots: tuple[Shot, ...]

    @property
    def bytes(self) -> int:
        """That it holds in memory."""
        return sum(len(shot.jpeg) for shot in self.shots)


class Cutter:
    """Knows which clips of one camera are to be cut, and when all their frames have come."""

    def __init__(self, camera: str, ring: Ring, config: ClipConfig | None = None) -> None:
        self._camera, self._ring = camera, ring
        self._config = config or ClipConfig()
        self._open: dict[str, tuple[float, float]] = {}

    def begins(self, event_id: str, pts_s: float) -> None:
        """An event began with the frame at `pts_s`."""
        start = pts_s - self._config.before_s
        self._open[event_id] = (start, start + self._config.longest_s)

    def ends(self, event_id: str, pts_s: float) -> None:
        """Its last frame in alarm was at `pts_s`; nothing happens where its clip is cut already."""
        if event_id in self._open:
            start, end = self._open[event_id]
            self._open[event_id] = (start, min(end, pts_s + self._config.after_s))

    def due(self, pts_s: float) -> list[Cut]:
        """Clips whose last frame has come; `pts_s` is the newest one."""
        return self._cut(e for e, (_, end) in self._open.items() if end <= pts_s)

    def flush(self) -> list[Cut]:
        """All that are open, as far as they go: the source is lost, or this is the end.

        Call it before frames of another stream are pushed.
        """
        return self._cut(self._open)

    def _cut(self, ids: Iterable[str]) -> list[Cut]:
        cuts = []
        for event_id in list(ids):
            shots = tuple(self._ring.frames(*self._open.pop(event_id)))
            if shots:
                cuts.append(Cut(self._camera, event_id, shots))
            else:
                log.warning("%s: no frames are left of %s for a clip", self._camera, event_id)
        return cuts


class ClipWriter:
    """Writes clips one after the other, in a thread of its own; one for all cameras.

    `submit` never waits. Where clips come faster than they can be written, the one that has waited
    longest is given up, counted and logged: scoring goes on, and memory has a limit.

    written: called with an event's id and the path of its clip, by that thread.
    most: clips that may wait; most_bytes: what they may hold (at least one waits).
    """

    def __init__(
        self,
        folder: Path,
        written: Callable[[str, str], object],
        most: int = 8,
        most_bytes: int = 64_000_000,
    ) -> None:
        self._folder, self._written = folder, written
        self._most, self._most_bytes = most, most_bytes
        self._waiting: deque[Cut] = deque()
        self._news = threading.Condition()
        self._closing = self._busy = self._paused = False
        self.done = 0
        """Clips that were written."""
        self.dropped = 0
        """Clips that were given up: too many waited, or it was paused."""
        self.failed = 0
        """Clips that could not be written (the disk is full)."""
        # A daemon: an encoder that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="oddframe-clips", daemon=True)
        self._thread.start()

    def submit(self, cut: Cut) -> None:
        """Have a clip written soon."""
        with self._news:
            if self._paused or self._closing:
                self.dropped += 1
                return
            self._waiting.append(cut)
            while len(self._waiting) > 1 and (
                len(self._waiting) > self._most
                or sum(c.bytes for c in self._waiting) > self._most_bytes
            ):
                lost = self._waiting.popleft()
                self.dropped += 1
                log.warning("clips come faster than they can be written: none of %s", lost.event_id)
            self._news.notify_all()

    def pause(self, paused: bool) -> None:
        """Take no more clips, or take them again (`keep.Kept.full`); waiting ones are written."""
        with self._news:
            self._paused = paused

    def wait(self, timeout_s: float) -> bool:
        """Until all that was submitted is written; False where that took too long."""
        with self._news:
            return self._news.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, for so long at most, and end the thread; may be called twice."""
        until = time.monotonic() + timeout_s
        with self._news:
            self._closing = True
            self._news.notify_all()
        self.wait(timeout_s)
        with self._news:
            self.dropped += len(self._waiting)
            for lost in self._waiting:
                log.warning("no time was left for the clip of %s", lost.event_id)
            self._waiting.clear()
        self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # Linux: of this thread alone
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            with self._news:
                self._busy = False
                self._news.notify_all()
                self._news.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                cut, self._busy = self._waiting.popleft(), True
            try:
                path = write_clip(self._folder, cut)
                self._written(cut.event_id, path)
                self.done += 1
            except Exception as error:  # whatever it was, the next clip is another one
                self.failed += 1
                log.warning("no clip of %s: %s", cut.event_id, error)


def write_clip(folder: Path, cut: Cut) -> str:
    """Encode and write one clip; returns its path relative to `folder`.

    Raises:
        StoreError: no encoder, a frame that is no JPEG, or the disk is full; nothing is left then.
    """
    try:
        encoder, suffix, options = next(kind for kind in KINDS if _can(kind[0]))
    except StopIteration:
        raise StoreError(
            "This PyAV encodes neither VP8 nor H.264: no clips. The wheel does: pip install av."
        ) from None
    try:
        data = _encoded(cut.shots, encoder, suffix, options)
    except (av.error.FFmpegError, cv2.error, ValueError) as error:
        raise StoreError(f"The clip of {cut.event_id} cannot be encoded: {error}.") from None
    path = place(CLIPS, cut.camera, cut.event_id, suffix)
    write_whole(folder / path, data)
    return path


def write_snapshot(folder: Path, event: Event, image: Image) -> str:
    """Write the peak's picture, with its boxes and without; returns the path of the former,
    relative to `folder`. A later peak replaces an earlier one.

    image: (h, w, 3) BGR of the peak; boxes are scaled to it from the source's size.

    Raises:
        StoreError: the disk is full; a picture of before is still there.
    """
    path = place(SNAPSHOTS, event.camera, event.id, ".jpg")
    drawn = outlined(image, event.boxes, event.width, event.height)
    write_whole(folder / plain_of(path), to_jpeg(image, QUALITY))
    write_whole(folder / path, to_jpeg(drawn, QUALITY))
    return path


def _encoded(shots: Iterable[Shot], encoder: str, suffix: str, options: dict[str, str]) -> bytes:
    """A video of shots, each at its own time."""
    out, before, first = io.BytesIO(), -1, 0.0
    with av.open(out, "w", format=suffix[1:]) as container:
        stream = container.add_stream(encoder, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = MS
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = KEY_EVERY
        for shot in shots:
            image = _decoded(shot.jpeg)
            if before < 0:
                first = shot.pts_s
                stream.height, stream.width = image.shape[:2]
            pts = round((shot.pts_s - first) * 1000)
            if pts <= before:
                continue
            before = pts
            size = (stream.width, stream.height)
            if image.shape[1::-1] != size:  # the camera changed its size
                image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts, frame.time_base = pts, MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def _decoded(jpeg: bytes) -> Image:
    """(h, w, 3) BGR with even sides, as codecs want them: an odd last row or column is doubled."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a frame of it is no JPEG")
    h, w = image.shape[:2]
    if h % 2 or w % 2:
        image = cv2.copyMakeBorder(image, 0, h % 2, 0, w % 2, cv2.BORDER_REPLICATE)
    return np.asarray(image, np.uint8)


def _can(encoder: str) -> bool:
    try:
        return av.codec.Codec(encoder, "w").is_encoder
    except ValueError:  # UnknownCodecError: this build has none
        return False
