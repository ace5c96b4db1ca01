"""What a model made of a frame, side by side: frame, prediction, error; motion, its own, its error.

Pictures are what the model saw, drawn in the source's own shape. Errors have one scale for all
frames, videos and models: the PSNR of a single pixel in dB, dark from `DARK_DB` on, brightest at
`BRIGHT_DB`. Motion models have a second row; motion is small, so it is shown `GAIN` times as large.

Letters: h w rows and columns, c channels.
"""

from __future__ import annotations

import colorsys
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from oddframe.atomic import write_atomic
from oddframe.errors import ConfigError
from oddframe.report.heat import clock
from oddframe.report.video import VideoFile
from oddframe.scoring.scorer import PEAK
from oddframe.scoring.seen import Compared
from oddframe.types import Image, Score, SourceInfo

DARK_DB, BRIGHT_DB = 40.0, 10.0
"""40 dB is an error of 2.5 grey levels, a camera's noise; 10 dB one of 80, a person in the road."""
GAIN = 4.0
"""Motion is shown so many times as large; what a person walks is a tenth of its range."""
SMALLEST, LARGEST = 320, 480
"""Pixels of a panel's longer side: larger pictures are shrunk, smaller ones enlarged."""
PEAKS = 4
"""Frames shown of a video where none are named, beside the quietest."""
APART_S = 1.0
"""Seconds between two of them."""
GAP, TITLE, FOOT = 8, 24, 34
_GROUND, _TEXT, _DIM = (26, 22, 20), (240, 240, 240), (165, 165, 165)
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Arrays = NDArray[np.float32]


# ---- drawing one frame


def panel_size(info: SourceInfo) -> tuple[int, int]:
    """(w, h) of a panel: the source's own aspect, `SMALLEST` to `LARGEST` on the longer side."""
    longer = max(info.width, info.height)
    scale = min(max(longer, SMALLEST), LARGEST) / longer
    return max(1, round(info.width * scale)), max(1, round(info.height * scale))


def draw_maps(seen: Compared, score: Score, info: SourceInfo) -> Image:
    """All panels of one frame as one BGR picture."""
    at = score.index - seen.frame_lag if seen.frame is None else seen.frame
    shown, predicted = _plain(seen.shown), _plain(seen.predicted)
    error = np.square(predicted - shown).mean(0)
    made = "reconstruction" if seen.frame_lag else "prediction"
    rows = [
        [
            (f"frame {at}", _rgb(shown)),
            (made, _rgb(predicted)),
            (f"error of the {made}: PSNR {_psnr(error):.1f} dB", error_colours(error)),
        ]
    ]
    if seen.moved is not None and seen.motion is not None:
        moved, motion = _plain(seen.moved), _plain(seen.motion)
        missed = np.square(motion - moved).mean(0)
        made = "reconstruction" if seen.motion_lag else "prediction"
        to = score.index - seen.motion_lag if seen.moved_to is None else seen.moved_to
        rows.append(
            [
                (f"motion to frame {to} (x{GAIN:g})", _motion(moved)),
                (f"its {made} (x{GAIN:g})", _motion(motion)),
                (f"error of the motion: PSNR {_psnr(missed):.1f} dB", error_colours(missed)),
            ]
        )
    return _sheet(rows, _line(score, info), panel_size(info))


def _sheet(rows: list[list[tuple[str, Image]]], line: str, size: tuple[int, int]) -> Image:
    w, h = size
    wide = GAP + len(rows[0]) * (w + GAP)
    sheet = np.full((len(rows) * (TITLE + h + GAP) + FOOT, wide, 3), _GROUND, np.uint8)
    for r, row in enumerate(rows):
        top = r * (TITLE + h + GAP) + TITLE
        for c, (title, picture) in enumerate(row):
            left = GAP + c * (w + GAP)
            _write(sheet, title, (left, top - 8), w, _TEXT)
            fitted = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
            sheet[top : top + h, left : left + w] = fitted
    foot = sheet.shape[0] - 12
    _write(sheet, line, (GAP, foot), wide - w - 3 * GAP, _DIM)
    _scale(sheet, wide - GAP - w, w)
    return sheet


def _write(
    sheet: Image, text: str, at: tuple[int, int], room: int, colour: tuple[int, int, int]
) -> int:
    """Text from its lower left corner, smaller where there is less room; gives its width."""
    (wide, _), _ = cv2.getTextSize(text, _FONT, 0.45, 1)
    size = 0.45 * min(1.0, room / max(wide, 1))
    cv2.putText(sheet, text, at, _FONT, size, colour, 1, cv2.LINE_AA)
    return int(min(wide, room))


def _scale(sheet: Image, left: int, room: int) -> None:
    """The colours of the errors with their ends, along the foot."""
    foot = sheet.shape[0] - 12
    used = _write(sheet, f"error {DARK_DB:g} dB", (left, foot), room // 3, _DIM)
    end = f"{BRIGHT_DB:g} dB per pixel"
    (wide, _), _ = cv2.getTextSize(end, _FONT, 0.45, 1)
    wide = min(wide, room // 3)
    _write(sheet, end, (left + room - wide, foot), wide, _DIM)
    first, last = left + used + GAP, left + room - wide - GAP
    ramp = np.linspace(0, 255, max(last - first, 1)).round().astype(np.uint8)
    sheet[foot - 10 : foot + 1, first:last] = _inferno()[ramp]


def _line(score: Score, info: SourceInfo) -> str:
    """Which frame, when, how high."""
    level = "" if np.isnan(score.level) else f", level {score.level:.2f}"
    alarm = ", ALARM" if score.alarm else ""
    name = info.name.encode("ascii", "replace").decode()  # all that OpenCV's letters can write
    return (
        f"{name}, frame {score.index}, {clock(score.pts_s)}: score {score.score:.2f}{level}{alarm}"
    )


# ---- from arrays to colours


def _plain(pixels: Tensor) -> Arrays:
    return np.asarray(pixels.float().cpu().numpy(), np.float32)


def _rgb(frame: Arrays) -> Image:
    """(3, h, w) RGB in [-1, 1] -> (h, w, 3) BGR uint8."""
    grey = np.clip((frame[::-1] + 1) * 127.5, 0, 255).round()
    return np.ascontiguousarray(grey.transpose(1, 2, 0)).astype(np.uint8)


def _motion(motion: Arrays) -> Image:
    """RGB differences around grey; flow (x, y) by hue for its direction, brightness for speed."""
    larger = np.clip(GAIN * motion, -1, 1)
    if len(motion) != 2:
        return _rgb(larger)
    speed = np.clip(np.hypot(*(GAIN * motion)), 0, 1)
    turn = (np.arctan2(motion[1], motion[0]) / (2 * np.pi)) % 1
    wheel = _wheel()[np.round(turn * 255).astype(np.uint8)]
    return np.asarray((wheel * speed[..., None]).round(), np.uint8)


@lru_cache(maxsize=1)
def _wheel() -> Arrays:
    """A colour per direction, (256, 3) BGR."""
    found = [colorsys.hsv_to_rgb(i / 256, 0.75, 1.0)[::-1] for i in range(256)]
    return np.asarray(found, np.float32) * 255


@lru_cache(maxsize=1)
def _inferno() -> Image:
    index = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(index, cv2.COLORMAP_INFERNO)[:, 0], np.uint8)


def error_colours(error: Arrays) -> Image:
    """Squared errors (h, w) on the fixed scale, dark for small: (h, w, 3) BGR."""
    db = 10 * np.log10(PEAK**2 / np.maximum(error, 1e-12))
    share = np.clip((DARK_DB - db) / (DARK_DB - BRIGHT_DB), 0, 1)
    return _inferno()[np.round(share * 255).astype(np.uint8)]


def _psnr(error: Arrays) -> float:
    return float(10 * np.log10(PEAK**2 / max(float(error.mean()), PEAK**2 * 1e-12)))


# ---- files


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    seen: Compared
    score: Score


class MapPictures:
    """Writes `FOLDER/STEM.maps/000120.png` for some frames of a video.

        with MapPictures(out, "clip", source.info, frames={120, 240}) as pictures:
            for frame, score, seen in detector.observe(source):
                pictures.take(score, seen)
        print(pictures.finish())

    frames: which. None: the `PEAKS` highest scores that lie `APART_S` apart, and the lowest of
    all; no more than those are in memory at any time.
    """

    def __init__(
        self, folder: Path, stem: str, info: SourceInfo, frames: Collection[int] | None = None
    ) -> None:
        self.path = folder / f"{stem}.maps"
        """Folder of the pictures."""
        self._info, self._wanted = info, None if frames is None else set(frames)
        self._apart = max(1, round(APART_S * info.fps))
        self._peaks: list[_Kept] = []
        self._quiet: _Kept | None = None
        self._count = 0
        self.written: list[int] = []
        """Frames of which there is a picture."""

    def take(self, score: Score, seen: Compared | None) -> None:
        """Take the next frame; `seen` is None where nothing was predicted yet."""
        self._count += 1
        if seen is None:
            return
        if self._wanted is None:
            self._weigh(_Kept(seen, score))
        elif score.index in self._wanted:
            self._draw(_Kept(seen, score))

    def finish(self) -> str:
        """Write what was kept, and say what there is.

        Raises:
            ConfigError: frames were asked for that have no prediction.
        """
        if self._wanted is not None:
            missing = sorted(self._wanted - set(self.written))
            if missing:
                raise ConfigError(
                    f"{self._info.name} has no prediction for frame "
                    f"{', '.join(map(str, missing))}: it has {self._count} frames, numbered from "
                    "0, and the first ones only give the model its history. The others of "
                    "--frames were written."
                )
            return f"{len(self.written)} frames"
        peaks = sorted(k.score.index for k in self._peaks)
        if self._quiet is None or not peaks:
            return "no frame: too short for any prediction"
        for kept in (*self._peaks, self._quiet):
            self._draw(kept)
        text = f"frames {', '.join(map(str, peaks))} (highest scores, {APART_S:g} s apart)"
        quiet = self._quiet.score.index
        return text if quiet in peaks else f"{text} and {quiet} (lowest score)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to undo: a picture that is there is whole."""

    def _weigh(self, kept: _Kept) -> None:
        """Keep the frame if it is one of the highest so far, or the lowest."""
        value = kept.score.score
        if self._quiet is None or value < self._quiet.score.score:
            self._quiet = kept
        # Frames come in order, so only the newest of the kept ones can be too near.
        newest = max(self._peaks, key=lambda k: k.score.index, default=None)
        if newest is not None and kept.score.index - newest.score.index < self._apart:
            if value <= newest.score.score:
                return
            self._peaks.remove(newest)
        self._peaks.append(kept)
        if len(self._peaks) > PEAKS:
            self._peaks.remove(min(self._peaks, key=lambda k: k.score.score))

    def _draw(self, kept: _Kept) -> None:
        index = kept.score.index
        ok, data = cv2.imencode(".png", draw_maps(kept.seen, kept.score, self._info))
        if not ok:
            raise ValueError(f"the maps of frame {index} cannot be encoded as PNG")
        write_atomic(self.path / f"{index:06d}.png", lambda p: p.write_bytes(data.tobytes()))
        if index not in self.written:
            self.written.append(index)


class MapVideo:
    """Writes `FOLDER/STEM.maps.webm`: every frame from the first that has a prediction.

    A context manager as `VideoFile` is: whole, or nothing is left behind.
    """

    def __init__(self, folder: Path, stem: str, info: SourceInfo) -> None:
        self._folder, self._stem, self._info = folder, stem, info
        self._file: VideoFile | None = None

    def take(self, score: Score, seen: Compared | None) -> None:
        """Take the next frame; `seen` is None where nothing was predicted yet."""
        if seen is None:
            return
        sheet = draw_maps(seen, score, self._info)
        if self._file is None:  # whether there is a second row shows with the first prediction
            h, w = sheet.shape[:2]
            name = f"{self._stem}.maps"
            self._file = VideoFile(self._folder, name, (w, h), self._info.fps).__enter__()
        self._file.append(sheet)

    def finish(self) -> str:
        """Say what there is."""
        return "no frame: too short for any prediction" if self._file is None else "every frame"

    @property
    def path(self) -> Path | None:
        """The video; None as long as there is no prediction."""
        return None if self._file is None else self._file.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.__exit__(exc_type, exc, traceback)
