"""Smoothing of one video's scores over time: own kernels, stated in full.

cv2.GaussianBlur is not for 1-D data: on a vector with ksize (5, 0) and sigma 10, OpenCV 4 uses
81 taps and OpenCV 5 uses 5, because it takes the vector as a row instead of a column.
"""

from __future__ import annotations

import numpy as np

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import Array

TRUNCATE = 4.0
"""The Gaussian kernel ends at this many standard deviations."""
MAX_SIGMA = 10_000.0
"""Frames: 35 times the widest smoothing in print (282), and no mistake fills the memory."""


def ema(scores: Array, alpha: float, *, log: bool = False) -> Array:
    """Causal exponential smoothing of (n,): y_0 = x_0, y_t = y_{t-1} + alpha (x_t - y_{t-1}).

    alpha: 0 < alpha <= 1, the weight of the newest frame; 1 changes nothing.
    log: smooth the natural logarithms and return the exponential, so one outlier weighs less.
    Raises ConfigError for alpha, ProtocolError where log meets a score <= 0.
    """
    if not 0 < alpha <= 1:
        raise ConfigError(f"ema: alpha must lie in (0, 1], not {alpha}.")
    if log and scores.size and scores.min() <= 0:
        first = int(np.argmax(scores <= 0))
        raise ProtocolError(
            f"log-ema smooths logarithms, so scores must be above 0; evaluated frame {first} has "
            f"{scores[first]:g}. Use ema."
        )
    out = np.log(scores) if log else scores.astype(np.float64)
    for i in range(1, out.size):
        out[i] = out[i - 1] + alpha * (out[i] - out[i - 1])
    return np.exp(out) if log else out


def gaussian_kernel(sigma: float) -> Array:
    """Return exp(-i²/2 sigma²) for |i| <= round(4 sigma), summing to 1; sigma in frames.

    Raises ConfigError for sigma <= 0 or > MAX_SIGMA.
    """
    if not 0 < sigma <= MAX_SIGMA:
        raise ConfigError(f"gaussian: sigma must be 0 < frames <= {MAX_SIGMA:g}, not {sigma}.")
    radius = int(TRUNCATE * sigma + 0.5)
    steps = np.arange(-radius, radius + 1, dtype=np.float64)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def gaussian(scores: Array, sigma: float) -> Array:
    """Gaussian smoothing of (n,) over time; looks 4 sigma frames ahead, so it is not causal.

    The ends are mirrored, edge frame included (d c b a | a b c d | d c b a), as scipy's
    gaussian_filter1d does by default. Raises ConfigError for sigma.
    """
    kernel = gaussian_kernel(sigma)
    padded = np.pad(scores.astype(np.float64), kernel.size // 2, mode="symmetric")
    return np.convolve(padded, kernel, mode="valid")


def smooth_video(scores: Array, smooth: str) -> Array:
    """Smooth one video's scores (n,): none, gaussian:SIGMA, ema:ALPHA or log-ema:ALPHA.

    Raises ConfigError for another text or a number out of range, ProtocolError as `ema` does.
    """
    if smooth == "none":
        return scores
    kind, _, value = smooth.partition(":")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if kind == "gaussian":
        return gaussian(scores, number)
    if kind in ("ema", "log-ema"):
        return ema(scores, number, log=kind == "log-ema")
    raise ConfigError(
        f"smooth is {smooth!r}; expected none, gaussian:SIGMA, ema:ALPHA or log-ema:ALPHA."
    )
