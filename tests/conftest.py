"""Shared fixtures: made-up videos, and the real clips where this machine has them."""

import os

# Two busy threads of a loaded machine stall each other when they spin; read at torch's import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """`real_data("ped2")`: that folder of the real clips; skips the test where it is absent."""

    def find(name: str) -> Path:
        root = Path(os.environ.get("ODDFRAME_DATA", REPO.parent / "shared" / "data"))
        if not (root / name).exists():
            pytest.skip(f"no {name} in {root}: set ODDFRAME_DATA to the folder of real clips")
        return root / name

    return find


def picture(index: int, width: int = 64, height: int = 48, grey: bool = False) -> NDArray[np.uint8]:
    """A BGR picture (height, width, 3) with a block that moves with the index."""
    image = np.full((height, width, 3), (60, 90, 120), np.uint8)
    x = (3 * index) % (width - 8)
    image[8:20, x : x + 8] = (200, 40, 250 - index % 100)
    return np.repeat(image[..., 1:2], 3, axis=2) if grey else image


@pytest.fixture
def make_video() -> Callable[..., Path]:
    """`make_video(path, frames=12, fps=25.0, size=(64, 48), grey=False)`: writes .avi or .mp4."""

    def write(
        path: Path,
        frames: int = 12,
        fps: float = 25.0,
        size: tuple[int, int] = (64, 48),
        grey: bool = False,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = "MJPG" if path.suffix == ".avi" else "mp4v"
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(path), fourcc, fps, size)
        assert writer.isOpened()
        for index in range(frames):
            writer.write(picture(index, *size, grey=grey))
        writer.release()
        return path

    return write


@pytest.fixture
def make_frames() -> Callable[..., Path]:
    """`make_frames(folder, frames=6, suffix=".png", digits=3)`: writes a folder of frames."""

    def write(
        folder: Path,
        frames: int = 6,
        suffix: str = ".png",
        digits: int = 3,
        size: tuple[int, int] = (64, 48),
        grey: bool = False,
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(frames):
            image = picture(index, *size, grey=grey)
            assert cv2.imwrite(str(folder / f"{index:0{digits}d}{suffix}"), image)
        return folder

    return write
