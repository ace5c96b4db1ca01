"""Pictures of events: the hottest frame of each, with its place marked.

Files from elsewhere are fetched for it, one after the other. Footage that is gone meanwhile costs
the picture and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from oddframe.archive.events import PICTURES, Found
from oddframe.archive.manifest import Manifest
from oddframe.archive.remote import at_hand
from oddframe.atomic import write_atomic
from oddframe.errors import OddframeError
from oddframe.events.event import Box
from oddframe.sources import Reading, open_as
from oddframe.sources.stamps import DEFAULT_FPS
from oddframe.types import Image

NARROWEST, WIDEST = 320, 480
"""Pixels across; small pictures are enlarged, for marks that can be seen."""
QUALITY = 82
MARK_BGR = (0, 190, 255)
MARGIN = 0.15
"""So much of a box is left free around it."""


def write_pictures(
    out: Path, manifest: Manifest, found: Sequence[Found], reading: Reading,
    tick: Callable[[int, int], None],
) -> list[str | None]:  # fmt: skip
    """A JPEG for each of some events, in `events/`; those of before are deleted.

    Args:
        out: folder of the archive.
        manifest: its own.
        found: the events.
        reading: how the footage is read.
        tick: called after each file, with pictures done and in all.

    Returns:
        Names of the pictures, relative to `out`; None where the footage cannot be read.

    Raises:
        RunError: a picture cannot be written.
    """
    for path in (out / PICTURES).glob("*.jpg"):
        path.unlink()
    files = {file.id: file for file in manifest.files}
    names: list[str | None] = [None] * len(found)
    done = 0
    for id in dict.fromkeys(event.id for event in found):
        own = [i for i, event in enumerate(found) if event.id == id]
        for i, image in zip(own, _frames(files[id].path, [found[i] for i in own], reading),
                            strict=True):  # fmt: skip
            if image is not None:
                names[i] = f"{PICTURES}/{found[i].rank:04d}.jpg"
                _write(out / str(names[i]), marked(image, found[i].box))
        done += len(own)
        tick(done, len(found))
    return names


def marked(image: Image, box: Box | None) -> Image:
    """A picture (h, w, 3) between `NARROWEST` and `WIDEST`, with a box of its own pixels."""
    h, w = image.shape[:2]
    scale = min(max(1.0, NARROWEST / w), WIDEST / w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    small = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8).copy()
    if box is None:
        return small
    room = MARGIN * max(box.w, box.h)
    corners = np.array([[box.x - room, box.y - room], [box.x + box.w + room, box.y + box.h + room]])
    (left, top), (right, bottom) = np.rint(corners * scale).astype(int).clip(1, None).tolist()
    right, bottom = min(right, size[0] - 2), min(bottom, size[1] - 2)
    thick = 2
    for colour, width in (((0, 0, 0), thick + 2), (MARK_BGR, thick)):
        cv2.rectangle(small, (left, top), (right, bottom), colour, width, cv2.LINE_AA)
    return small


def reading_of(manifest: Manifest) -> Reading:
    """How the footage of an archive was read; the range of 16-bit pictures is each file's own."""
    settings = manifest.settings
    return Reading(settings["fps"], bool(settings["allow_short"]))


def _frames(path: str, events: Sequence[Found], reading: Reading) -> list[Image | None]:
    """The frame at each event's peak."""
    try:
        with at_hand(path, None) as here, open_as(here, reading) as source:
            step_s = 0.25 / max(source.info.fps, DEFAULT_FPS)
            found: list[Image | None] = []
            for event in events:
                frame = next(iter(source.frames_from(event.peak_s - step_s)), None)
                found.append(None if frame is None else frame.image)
            return found
    except (OddframeError, OSError):
        return [None] * len(events)


def _write(path: Path, image: Image) -> None:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    write_atomic(path, lambda temporary: temporary.write_bytes(data))
