"""Slow changes of light: clouds that pass, exposure that follows; and the sensor's noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.synth.backdrop import cloud

Floats = NDArray[np.float32]


class Light:
    """The light of one clip."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self._size = size
        self._periods = rng.uniform((17, 29, 61), (29, 61, 140))
        self._phases = rng.uniform(0, 2 * np.pi, 3)
        self._clear = float(rng.uniform(0.35, 0.9))
        self._gain = float(rng.uniform(0.94, 1.06))
        self._warm = float(rng.uniform(-0.02, 0.02))
        self._sky = cloud(rng, (64, 512), 24.0, 2).astype(np.float32)
        self._drift = float(rng.uniform(0.3, 1.2))  # texels per second, 24 by 16 texels in view
        self._start = float(rng.uniform(0, 200))

    def sun(self, t: float) -> float:
        """How hard the shadows are at t seconds, 0 to 1."""
        waves = float(np.sin(2 * np.pi * t / self._periods + self._phases)[:2].sum())
        return float(np.clip(self._clear + 0.18 * waves, 0.1, 1.0))

    def gain(self, t: float) -> Floats:
        """What every pixel is multiplied with at t seconds: (h, w)."""
        width, height = self._size
        left = min(self._start + self._drift * t, 480.0)
        shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -20.0]])
        window = cv2.warpAffine(self._sky, shift, (24, 16))
        patches = cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)
        wave = float(np.sin(2 * np.pi * t / self._periods[2] + self._phases[2]))
        level = self._gain * (1.0 + 0.15 * self.sun(t)) * (1 + 0.02 * wave)
        return (level * (1 + 0.05 * patches)).astype(np.float32)


class Noise:
    """Sensor noise: one field, shifted anew for every frame (drawing it anew costs 3 ms)."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], sigma: float) -> None:
        width, height = size
        shape = (height + 96, width + 96)
        luma = rng.standard_normal((*shape, 1)).astype(np.float32)
        chroma = rng.standard_normal((*shape, 3)).astype(np.float32)
        self._field = (sigma * (0.85 * luma + 0.53 * chroma)).astype(np.float32)
        self._rng = rng
        self._size = size

    def next(self) -> Floats:
        """The noise of the next frame: (h, w, 3)."""
        width, height = self._size
        y, x = self._rng.integers(0, 97, 2)
        field = self._field[y : y + height, x : x + width]
        return field if self._rng.random() < 0.5 else field[::-1, ::-1]
