"""Smoothing of one video's scores over time: own kernels, stated in full.

cv2.GaussianBlur is not for 1-D data: on a vector with ksize (5, 0) and sigma 10, OpenCV 4 uses
81 taps and OpenCV 5 uses 5, because it takes the vector as a row instead of a column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics.check import Array

TRUNCATE = 4.0
"""The Gaussian kernel ends at this many standard deviations."""
MAX_SIGMA = 10_000.0
"""Frames: 35 times the widest smoothing in print (282), and no mistake fills the memory."""
FORMS = (
    "none, gaussian:SIGMA, gaussian:SIGMA:RADIUS, gaussian:SIGMA:RADIUS:zeros, median:N, "
    "causal-median:N, ema:ALPHA or log-ema:ALPHA"
)


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


def gaussian_kernel(sigma: float, radius: int | None = None) -> Array:
    """Return exp(-i²/2 sigma²) for |i| <= radius, summing to 1; sigma and radius in frames.

    radius: round(4 sigma) by default. Raises ConfigError for sigma <= 0 or > MAX_SIGMA, radius < 0.
    """
    if not 0 < sigma <= MAX_SIGMA:
        raise ConfigError(f"gaussian: sigma must be 0 < frames <= {MAX_SIGMA:g}, not {sigma}.")
    if radius is not None and not 0 <= radius <= TRUNCATE * MAX_SIGMA:
        raise ConfigError(f"gaussian: the radius must be 0 or more frames, not {radius}.")
    reach = int(TRUNCATE * sigma + 0.5) if radius is None else radius
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def gaussian(
    scores: Array, sigma: float, radius: int | None = None, *, zeros: bool = False
) -> Array:
    """Gaussian smoothing of (n,) over time; looks `radius` frames ahead, so it is not causal.

    The ends are mirrored, edge frame included (d c b a | a b c d | d c b a), as scipy's
    gaussian_filter1d does by default; `zeros` pads with 0 instead, which pulls both ends down.
    Raises ConfigError for sigma and radius.
    """
    kernel = gaussian_kernel(sigma, radius)
    reach = kernel.size // 2
    values = scores.astype(np.float64)
    padded = np.pad(values, reach) if zeros else np.pad(values, reach, mode="symmetric")
    return np.convolve(padded, kernel, mode="valid")


def median(scores: Array, frames: int, *, causal: bool = False) -> Array:
    """Running median of (n,) over `frames` frames.

    Centred (odd `frames`, the ends mirrored, edge included), or `causal`: of the newest `frames`,
    fewer at the start. Raises ConfigError for a count below 1, or an even one that is centred.
    """
    if frames < 1 or frames > MAX_SIGMA or (frames % 2 == 0 and not causal):
        kind = "at least 1" if causal else "an odd number"
        raise ConfigError(f"median: frames must be {kind}, not {frames}.")
    if causal:
        first = [np.median(scores[: i + 1]) for i in range(min(frames - 1, scores.size))]
        rest = sliding_window_view(scores, frames) if scores.size >= frames else scores[:0, None]
        return np.concatenate([first, np.median(rest, axis=1)])
    padded = np.pad(scores.astype(np.float64), frames // 2, mode="symmetric")
    return np.asarray(np.median(sliding_window_view(padded, frames), axis=1))


@dataclass(frozen=True, slots=True)
class Smoothing:
    """One way of smoothing: what it does to a video's scores (n,), and how it reads in words."""

    apply: Callable[[Array], Array]
    text: str
    looks_ahead: bool


def smoothing(form: str) -> Smoothing:
    """Read the written form of a smoothing, one of FORMS. Raises ConfigError for another."""
    kind, *values = form.split(":")
    try:
        if form == "none":
            return Smoothing(lambda s: s, "no smoothing", False)
        if kind == "gaussian" and 1 <= len(values) <= 3 and values[2:] in ([], ["zeros"]):
            return _gaussian(float(values[0]), values[1:])
        if kind in ("median", "causal-median") and len(values) == 1:
            return _median(int(values[0]), causal=kind != "median")
        if kind in ("ema", "log-ema") and len(values) == 1:
            return _ema(float(values[0]), log=kind == "log-ema")
    except ValueError:
        pass
    raise ConfigError(f"smooth is {form!r}; expected {FORMS}.")


def _gaussian(sigma: float, rest: list[str]) -> Smoothing:
    radius, zeros = int(rest[0]) if rest else None, len(rest) == 2
    gaussian_kernel(sigma, radius)
    cut = "" if radius is None else f", {2 * radius + 1} taps"
    text = f"Gaussian smoothing, sigma {sigma:g} frames{cut}{', zero-padded' * zeros}"
    return Smoothing(lambda s: gaussian(s, sigma, radius, zeros=zeros), text, True)


def _median(frames: int, causal: bool) -> Smoothing:
    median(np.zeros(1), frames, causal=causal)
    text = f"{'causal' if causal else 'centred'} median over {frames} frames"
    return Smoothing(lambda s: median(s, frames, causal=causal), text, not causal)


def _ema(alpha: float, log: bool) -> Smoothing:
    ema(np.ones(1), alpha)
    of = " of log scores" if log else ""
    text = f"causal exponential smoothing{of}, alpha {alpha:g}"
    return Smoothing(lambda s: ema(s, alpha, log=log), text, False)


def smooth_video(scores: Array, form: str) -> Array:
    """Smooth one video's scores (n,) in the written form, see `smoothing`.

    Raises ConfigError for another text or a number out of range, ProtocolError as `ema` does.
    """
    return smoothing(form).apply(scores)
