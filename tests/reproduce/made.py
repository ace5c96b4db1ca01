"""A small table on a small labelled set: seconds where the real ones take hours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from oddframe.reproduce.tables import Line, Sweep, Table

TINY = (
    "model.size=64", "model.width=16", "model.depths=[1,1,1]", "model.history=4",
    "model.windows=[2,4]", "model.memory_items=4", "model.detail_frames=1", "model.state=1",
)  # fmt: skip
SMALL = Table(
    "small", "Rows that are made in seconds",
    (
        Line("L2", "m2s2l-edge", "L2", TINY),
        Line("L3", "m2s2l-edge", "L3", TINY, after="L2"),
        Line("M4", "m2s2l-edge", "M4", TINY),
        Line("alpha0", "m2s2l-edge", settings=(*TINY, "score.alpha=0"), rescored=True),
        Line("alpha1", "m2s2l-edge", settings=(*TINY, "score.alpha=1"), rescored=True),
    ),
    seeds=(0,), minutes=0.02,
    sweeps=(Sweep("alpha", ((0.0, "alpha0"), (1.0, "alpha1"))),),
)  # fmt: skip


def write_set(root: Path) -> Path:
    """A labelled set of small frame folders: a walker, and a box that blinks."""
    rng = np.random.default_rng(0)

    def clip(folder: Path, frames: int, odd_from: int) -> None:
        folder.mkdir(parents=True)
        for i in range(frames):
            image = np.full((48, 64, 3), (60, 90, 120), np.float64)
            x = 2 * i % 54
            image[24:36, x : x + 8] = (90, 80, 140)
            if i >= odd_from and i % 2:
                image[4:16, 48:60] = 250
            image = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / f"{i:04d}.png"), image)

    clip(root / "normal" / "a", 60, 10**6)
    labels = {}
    for name, odd_from in (("01", 24), ("02", 20), ("03", 28)):
        clip(root / "test" / name, 36, odd_from)
        labels[name] = (np.arange(36) >= odd_from).astype(np.uint8)
    np.savez(root / "labels.npz", **labels)
    return root
