"""The self-test as one picture: what was put where, and how often it is seen."""

from __future__ import annotations

import cv2
import numpy as np

from oddframe.data.made.plant import KINDS, ODD, ZONES
from oddframe.pictures import Image
from oddframe.scoring.selftest import SelfTest

WIDTH = 240
"""Pixels of one example."""
LINE = 26
SEEN, MISSED, INK, PAPER = (60, 140, 30), (40, 40, 200), (40, 40, 40), (255, 255, 255)
"""BGR."""


def sheet(found: SelfTest, aspect: float = 4 / 3) -> Image:
    """A row for each kind: an example far, in the middle and near, each with how often that is
    seen; (h, w, 3) BGR. aspect: width over height of the camera's pictures."""
    rows = []
    for kind in (*ODD, "normal"):
        title = np.full((LINE, len(ZONES) * WIDTH, 3), PAPER, np.uint8)
        share = found.seen(kind)
        said = f"{KINDS[kind].said}: " + ("no clean clip" if share != share else f"{share:.0%}")
        _write(title, said, INK, 0.5)
        rows += [title, np.hstack([_example(found, kind, i, aspect) for i in range(len(ZONES))])]
    return np.vstack(rows)


def png(found: SelfTest, aspect: float = 4 / 3) -> bytes:
    """`sheet` as a file."""
    return bytes(cv2.imencode(".png", sheet(found, aspect))[1].tobytes())


def _example(found: SelfTest, kind: str, zone: int, aspect: float) -> Image:
    height = round(WIDTH / aspect)
    tried = found.of(kind, zone)
    example = next((t for t in tried if t.picture is not None), None)
    image = np.full((height, WIDTH, 3), PAPER, np.uint8)
    if example is not None and example.picture is not None:
        sized = cv2.resize(example.picture, (WIDTH, height), interpolation=cv2.INTER_AREA)
        image = np.asarray(sized, np.uint8)
    share = found.seen(kind, zone)
    caption = np.full((LINE, WIDTH, 3), PAPER, np.uint8)
    text = f"{ZONES[zone]}: " + ("-" if share != share else f"seen {share:.0%}")
    _write(caption, text, SEEN if share >= 0.5 else MISSED, 0.45)
    return np.vstack([image, caption])


def _write(image: Image, text: str, colour: tuple[int, int, int], size: float) -> None:
    cv2.putText(image, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
