"""The frames of a camera that the server reads, for a child that records them.

A webcam can be opened once, and the server has it open. So the child is sent its pictures through
the pipe that is its standard input, as small as they are recorded.

    tap = Tap(lambda: work.view("door")[0], child.stdin)        # the server
    record(…, connecting=lambda source, reading: Piped(0))      # the child

A record is the stamp, width, height, whether a gap is before it, and rows of BGR.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import threading
from collections.abc import Callable, Iterator
from typing import IO

import cv2
import numpy as np

from oddframe.pictures import Image, Plain
from oddframe.runtime.record import RecordConfig
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.sources.live import Seen
from oddframe.sources.why import Trouble

log = logging.getLogger("oddframe.setup")

HEAD = struct.Struct("<dHH?")
LOOK_S = 0.008
"""How often it is looked for a new frame."""
WIDTH = RecordConfig().width


class Tap:
    """Writes every new frame into a pipe, in a thread of its own, until it is closed or nobody
    reads. The pipe is closed then."""

    def __init__(self, view: Callable[[], LiveFrame | None], pipe: IO[bytes]) -> None:
        """view: the newest frame; None where there is none."""
        self._view, self._pipe, self._over = view, pipe, threading.Event()
        self._thread = threading.Thread(target=self._run, name="oddframe-tap", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send no more; the reader sees the end."""
        self._over.set()

    def _run(self) -> None:
        try:
            self._send()
        except (OSError, ValueError):
            pass  # a reader that is gone is a broken pipe
        except Exception as error:  # a camera that is no more
            log.info("a recording gets no more frames: %s", error)
        finally:
            with contextlib.suppress(OSError, ValueError):
                self._pipe.close()

    def _send(self) -> None:
        before: LiveFrame | None = None
        while not self._over.wait(LOOK_S):
            frame = self._view()
            if frame is None or frame is before:
                continue
            image = _small(frame.image)
            height, width = image.shape[:2]
            self._pipe.write(HEAD.pack(frame.pts_s, width, height, frame.gap))
            self._pipe.write(image.tobytes())
            self._pipe.flush()
            before = frame


def _small(image: Image) -> Image:
    height, width = image.shape[:2]
    if width <= WIDTH:
        return np.ascontiguousarray(image)
    size = (WIDTH, max(2, round(height * WIDTH / width)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


class Piped:
    """The other end, as a `Connection`: any thread may read on, one at a time."""

    name = "The camera"

    def __init__(self, handle: int, over: Callable[[], None] = lambda: None) -> None:
        """handle: of the pipe. over: called when it ended."""
        self._file = os.fdopen(handle, "rb", buffering=1 << 20, closefd=False)
        self._lock, self._over = threading.Lock(), over
        self.packets = 0

    def pictures(self) -> Iterator[Seen]:
        """All that come.

        Raises:
            Trouble: the pipe ended.
        """
        while True:
            with self._lock:
                head = self._file.read(HEAD.size)
                if len(head) < HEAD.size:
                    break
                pts_s, width, height, gap = HEAD.unpack(head)
                data = self._file.read(3 * width * height)
            if len(data) < 3 * width * height:
                break
            self.packets += 1
            yield Plain(np.frombuffer(data, np.uint8).reshape(height, width, 3)), pts_s, gap
        self._over()
        raise Trouble("ended", f"{self.name} gives no more pictures.")
