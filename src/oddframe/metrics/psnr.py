"""Peak signal-to-noise ratio, the papers' measure of how well a frame was predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError, ProtocolError

MSE_FLOOR = 1e-10
"""Share of max_value**2 below which an error is taken as this share, so the PSNR ends at 100 dB."""


def psnr(
    prediction: NDArray[np.generic],
    target: NDArray[np.generic],
    *,
    max_value: float,
    floor: float = MSE_FLOOR,
) -> float:
    """10 log10(max_value² / mse) in dB over all elements; larger = better predicted = more normal.

    prediction, target: arrays of one shape, in the same units, finite.
    max_value: the *span* of the values: 2 for frames in [-1, 1], 1 for [0, 1], 255 for uint8.
    Taking 1 for frames in [-1, 1] shifts every value by 6 dB, which min-max hides and a fixed
    threshold does not; hence no default.
    floor: smallest mse counted, as a share of max_value²; a perfect prediction gives 100 dB
    instead of infinity.

    Raises ProtocolError for unequal or empty shapes or NaN/inf, ConfigError for max_value or
    floor <= 0.
    """
    if not (0 < max_value < np.inf and 0 < floor <= 1):
        raise ConfigError(f"psnr needs max_value > 0 and 0 < floor <= 1, not {max_value}, {floor}.")
    if prediction.shape != target.shape or prediction.size == 0:
        raise ProtocolError(
            f"psnr compares arrays of one shape with at least one element; found "
            f"{prediction.shape} and {target.shape}."
        )
    error = (prediction.astype(np.float64) - target.astype(np.float64)) / max_value
    mse = float(np.mean(error**2))
    if not np.isfinite(mse):
        raise ProtocolError("psnr: the prediction or the target holds NaN or infinite values.")
    return float(-10 * np.log10(max(mse, floor)))
