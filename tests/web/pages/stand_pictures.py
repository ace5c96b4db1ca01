"""Pictures for the stand-in: the made street, or videos that an environment variable names."""

from __future__ import annotations

import io
import os
from fractions import Fraction

import av
import cv2
import numpy as np

from oddframe.synth import SynthConfig, render_clip

VIDEOS = "ODDFRAME_STAND_VIDEOS"
"""Paths of videos with : between them; each camera in turn is one. Only for looking."""
FRAMES = 10


def pictures(number: int) -> list[np.ndarray]:
    """Some frames (h, w, 3) BGR of the camera of that number."""
    videos = list(filter(None, os.environ.get(VIDEOS, "").split(":")))
    if videos:
        return _read(videos[number % len(videos)])
    config = SynthConfig(seed=number + 1, width=480, height=270, fps=5)
    kind = "cyclist" if number == 0 else None
    return [f.image for f in render_clip(config, number, kind, 6.0)][-FRAMES:]


def _read(path: str) -> list[np.ndarray]:
    capture = cv2.VideoCapture(path)
    capture.set(cv2.CAP_PROP_POS_FRAMES, 60)
    found: list[np.ndarray] = []
    while len(found) < FRAMES:
        good, image = capture.read()
        if not good:
            break
        found.append(image)
    return found


def jpeg(image: np.ndarray, width: int = 0, boxes: list[dict[str, int]] | None = None) -> bytes:
    """An image as JPEG, no wider than asked for."""
    image = image.copy()
    for b in boxes or []:
        cv2.rectangle(image, (b["x"], b["y"]), (b["x"] + b["w"], b["y"] + b["h"]), (0, 90, 255), 2)
    if width and width < image.shape[1]:
        height = round(image.shape[0] * width / image.shape[1])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def heat(x: float, y: float, level: float) -> bytes:
    """A grey PNG (64, 64): a warm place at x, y (0..1), 255 is twice the threshold."""
    rows, columns = np.mgrid[0:64, 0:64] / 63.0
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 0.012)
    grey = np.clip(127.5 * level * (spot + 0.12 * np.sin(columns * 9) ** 2), 0, 255)
    return cv2.imencode(".png", grey.astype(np.uint8))[1].tobytes()


def film(images: list[np.ndarray]) -> bytes:
    """The images as WebM, five a second."""
    out = io.BytesIO()
    with av.open(out, "w", format="webm") as file:
        stream = file.add_stream("libvpx", rate=Fraction(5))
        height, width = images[0].shape[:2]
        stream.width, stream.height = width - width % 2, height - height % 2
        stream.options = {"deadline": "realtime", "cpu-used": "8", "b": "500k"}
        for image in images:
            frame = av.VideoFrame.from_ndarray(image[: stream.height, : stream.width], "bgr24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return out.getvalue()
