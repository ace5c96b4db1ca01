"""The last minute of one camera as JPEGs: what a clip begins with happened before anybody knew.

Frames are kept small and few, so that memory has a limit that can be stated: at most `ring_mb` a
camera (24 MB), whatever is in the picture. The usual need is less: 70 s at 5 frames/s of 640 x 360
are 350 JPEGs; of Avenue's street (41 kB each at quality 80) 14 MB.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import Field

from oddframe.config import Config
from oddframe.pictures import Image, Picture, as_picture

OVERHEAD = 250
"""Bytes that a kept frame takes besides its JPEG."""
ROUNDING_S = 0.001
"""The third fifth of a second is 0.6000000000000001, and the frame at 0.6 is meant."""


class ClipConfig(Config):
    """Clips of events, and what is kept in memory for them."""

    before_s: float = Field(5.0, ge=0)
    """Of what came before the first frame in alarm."""
    after_s: float = Field(5.0, ge=0)
    """Of what came after the last one."""
    longest_s: float = Field(60.0, gt=0)
    """A clip is cut off after this: its beginning tells what happened."""
    fps: float = Field(5.0, gt=0)
    """At most so many frames a second."""
    width: int = Field(640, ge=16)
    """At most so many pixels across; smaller sources keep their size."""
    quality: int = Field(80, ge=1, le=100)
    """Of the JPEGs that clips are made of."""
    ring_mb: float = Field(24.0, gt=0)
    """Memory of one camera's ring, in 10^6 bytes; where it is short, clips begin later."""

    @property
    def ring_s(self) -> float:
        """Seconds that a ring has to hold: a whole clip, and time to notice that it is over."""
        return max(self.longest_s, self.before_s + self.after_s) + 10.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One kept frame."""

    t_utc: float
    pts_s: float
    jpeg: bytes


class Ring:
    """The newest frames of one camera, as JPEGs; the oldest go.

    One thread pushes, any may read.
    """

    def __init__(self, config: ClipConfig | None = None) -> None:
        self._config = config or ClipConfig()
        self._seconds = self._config.ring_s
        self._most = int(self._config.ring_mb * 1e6)
        self._shots: deque[Shot] = deque()
        self._lock = threading.Lock()
        self._due = float("-inf")
        self._last = float("-inf")
        self.bytes = 0
        """Memory that the ring takes now."""

    def push(self, t_utc: float, pts_s: float, image: Image | Picture) -> bool:
        """Keep a frame if it is time for one; returns whether it was.

        A frame costs nothing where it is not kept: a `Picture` is not even decoded to numbers.
        Stamps that go back are of another stream: what was before is forgotten.
        """
        if pts_s < self._last:
            self.clear()
        self._last = pts_s
        if pts_s < self._due - ROUNDING_S:
            return False
        step = 1.0 / self._config.fps
        # In phase: of 8 frames/s 5 are kept, not every second one. After a pause it begins anew.
        self._due = (self._due if self._due > pts_s - step else pts_s) + step
        shot = Shot(t_utc, pts_s, self._encoded(as_picture(image).whole()))
        with self._lock:
            self._shots.append(shot)
            self.bytes += len(shot.jpeg) + OVERHEAD
            while self._shots and (
                self.bytes > self._most or pts_s - self._shots[0].pts_s > self._seconds
            ):
                self.bytes -= len(self._shots.popleft().jpeg) + OVERHEAD
        return True

    def _encoded(self, image: Image) -> bytes:
        h, w = image.shape[:2]
        if w > self._config.width:
            size = (self._config.width, max(1, round(h * self._config.width / w)))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        return to_jpeg(image, self._config.quality)

    def frames(self, from_pts: float, to_pts: float) -> list[Shot]:
        """What is kept of [from_pts, to_pts], the oldest first."""
        with self._lock:
            return [s for s in self._shots if from_pts <= s.pts_s <= to_pts]

    def pts_at(self, t_utc: float) -> float | None:
        """Where a time of the wall clock lies in the stream, by the frame nearest to it; None where
        there is no frame.
        """
        with self._lock:
            near = min(self._shots, key=lambda s: abs(s.t_utc - t_utc), default=None)
        return None if near is None else near.pts_s + t_utc - near.t_utc

    def clear(self) -> None:
        """Forget all: another stream begins."""
        with self._lock:
            self._shots.clear()
            self.bytes = 0
        self._due = self._last = float("-inf")

    def __len__(self) -> int:
        return len(self._shots)


def to_jpeg(image: Image, quality: int) -> bytes:
    """(h, w, 3) BGR as a JPEG of that quality, 1 to 100."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} cannot be a JPEG")
    return data.tobytes()
