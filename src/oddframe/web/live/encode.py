"""Pictures and heat of what is watched, as browsers take them: made once, by threads of their own.

    encoder = Encoder()
    encoder.picture("gate", view, 640).result()         # a JPEG with what is known of its frame
    encoder.heat("gate", view).result()                 # a PNG: grey, over the whole picture

However many look, a frame is encoded once for each width that somebody wants, and not at all where
nobody does. The threads give way to those that score.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.events.ring import to_jpeg
from oddframe.pictures import Image, Picture
from oddframe.report.heat import overlay
from oddframe.runtime.watch.intake import size_of
from oddframe.runtime.watch.view import View
from oddframe.sources.convert import Decoded
from oddframe.types import Map

WIDTHS = (160, 240, 320, 480, 640, 960, 1280, 1920, 2560, 3840)
"""Pixels across that pictures are made at: who asks for one between gets the next larger one, so
that many viewers share few of them."""
QUALITY = 75
"""Of the JPEGs: 25 to 50 kB at 640 x 360."""
HEAT_LEVEL = 2.0
"""The level that is the brightest grey of a heat map."""
THREADS = 2
NICE = 10
KEPT = 12
"""Pictures of one frame that are kept: a camera's newest, at every width that was asked for."""

Kind = Literal["picture", "heat", "both"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One picture, encoded."""

    data: bytes
    """JPEG, or PNG of a heat map."""
    message: bytes
    """The same with its header in front, as /api/live sends it."""


async def made(future: Future[Encoded]) -> Encoded:
    """What an encoder makes, once it is there. Who stops waiting leaves it to the others."""
    return await asyncio.shield(asyncio.wrap_future(future))


class Encoder:
    """Encodes and keeps the newest of each camera; any thread may ask."""

    def __init__(self) -> None:
        self.made = 0
        """How often something was encoded."""
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[View, dict[tuple[Kind, int], Future[Encoded]]]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def picture(self, camera: str, view: View, width: int) -> Future[Encoded]:
        """A JPEG of a frame, `WIDTHS` at least as wide as asked for, never larger than it is.

        Raises:
            ValueError: the view has no frame.
        """
        return self._asked(camera, view, "picture", width_of(view, width))

    def heat(self, camera: str, view: View) -> Future[Encoded] | None:
        """Its heat as a grey PNG over the whole picture, 255 at `HEAT_LEVEL` times the threshold;
        None where it has none."""
        return None if _heat_of(view) is None else self._asked(camera, view, "heat", 0)

    def both(self, camera: str, view: View, width: int) -> Future[Encoded]:
        """As `picture`, with the heat laid over it where there is some.

        Raises:
            ValueError: the view has no frame.
        """
        return self._asked(camera, view, "both", width_of(view, width))

    def forget(self, cameras: set[str]) -> None:
        """Let go of what is kept of all but these cameras."""
        with self._lock:
            self._newest = {c: known for c, known in self._newest.items() if c in cameras}

    def _asked(self, camera: str, view: View, kind: Kind, width: int) -> Future[Encoded]:
        with self._lock:
            known = self._newest.get(camera)
            if known is None or known[0] is not view or len(known[1]) >= KEPT:
                known = self._newest[camera] = (view, {})
            future = known[1].get((kind, width))
            if future is None:
                self.made += 1
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(THREADS, "oddframe-encode", _give_way)
                future = self._pool.submit(_MAKERS[kind], camera, view, width)
                known[1][kind, width] = future
            return future


def width_of(view: View, wanted: int) -> int:
    """The width that a frame is encoded at.

    Raises:
        ValueError: the view has no frame.
    """
    if view.frame is None:
        raise ValueError("there is no frame to be encoded")
    return min(next((w for w in WIDTHS if w >= wanted), WIDTHS[-1]), size_of(view.frame.picture)[0])


def scaled(picture: Picture, width: int) -> Image:
    """(h, width, 3) BGR, its aspect kept."""
    whole = size_of(picture)
    height = max(1, round(whole[1] * width / whole[0]))
    if (width, height) == whole:
        return picture.whole()
    if isinstance(picture, Decoded):
        return picture.scaled(width, height)
    found = cv2.resize(picture.whole(), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(found, np.uint8)


def grey_of(heat: Map, threshold: float) -> NDArray[np.uint8]:
    """(h, w) of a heat map: 0 to 255 for 0 to `HEAT_LEVEL` times the threshold, 0 where nothing is
    known."""
    scale = 255 / (HEAT_LEVEL * threshold)
    known = np.nan_to_num(heat, nan=0.0, posinf=np.inf, neginf=0.0)
    return np.asarray(np.clip(known * scale, 0, 255).round(), np.uint8)


def header_of(camera: str, view: View, kind: str, size: tuple[int, int]) -> dict[str, Any]:
    """What is said of a picture: times, scores (null where there is none), and its own size."""
    frame, score = view.frame, view.score
    return {
        "kind": kind, "camera": camera,
        "pts_s": None if frame is None else round(frame.pts_s, 4),
        "t_utc": None if frame is None else round(frame.t_utc, 4),
        "level": _number(math.nan if score is None else score.level),
        "raw": _number(math.nan if score is None else score.score),
        "threshold": _number(view.threshold), "event": view.event,
        "width": size[0], "height": size[1],
    }  # fmt: skip


def message_of(header: dict[str, Any], payload: bytes) -> bytes:
    """The length of the header as a u32, least byte first; the header as JSON; the payload."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return b"".join((struct.pack("<I", len(text)), text, payload))


def _picture(camera: str, view: View, width: int) -> Encoded:
    return _jpeg(camera, view, scaled(_frame(view), width))


def _both(camera: str, view: View, width: int) -> Encoded:
    image, heat = scaled(_frame(view), width), _heat_of(view)
    if heat is not None:
        image = overlay(image, heat, low=0.0, high=HEAT_LEVEL * view.threshold)
    return _jpeg(camera, view, image)


def _heat(camera: str, view: View, width: int) -> Encoded:
    del width
    heat = _heat_of(view)
    grey = grey_of(heat, view.threshold) if heat is not None else np.zeros((1, 1), np.uint8)
    done, data = cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"a heat map of shape {grey.shape} cannot be a PNG")
    height, wide = grey.shape
    return _with_header(header_of(camera, view, "heat", (wide, height)), data.tobytes())


_MAKERS: dict[Kind, Callable[[str, View, int], Encoded]] = {
    "picture": _picture, "heat": _heat, "both": _both,
}  # fmt: skip


def _jpeg(camera: str, view: View, image: Image) -> Encoded:
    size = image.shape[1], image.shape[0]
    return _with_header(header_of(camera, view, "picture", size), to_jpeg(image, QUALITY))


def _with_header(header: dict[str, Any], data: bytes) -> Encoded:
    return Encoded(data, message_of(header, data))


def _frame(view: View) -> Picture:
    if view.frame is None:
        raise ValueError("there is no frame to be encoded")
    return view.frame.picture


def _heat_of(view: View) -> Map | None:
    """The heat of a frame that has a score."""
    score = view.score
    known = score is not None and not math.isnan(score.score) and view.threshold > 0
    return score.heat if score is not None and known else None


def _number(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None


def _give_way() -> None:
    """Scoring comes first."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
