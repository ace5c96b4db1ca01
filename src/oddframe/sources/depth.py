"""Pictures of more than 8 bits, as thermal cameras make them: scaled by the values in use.

Such a camera uses 1,000 of 65,536 values; by the whole range all it shows is a few levels of grey.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from oddframe.errors import OddframeWarning
from oddframe.pictures import Image

Deep = NDArray[np.uint16]
Range = tuple[int, int]
"""Values of 16-bit pictures that become 0 and 255."""
WHOLE: Range = (0, 65535)
SAMPLES = 32
"""Pictures that the range of a source is taken from."""
TAILS = (0.05, 99.95)
"""Percentiles between which the values in use lie: a dead pixel is none of them."""
MARGIN = 0.1
"""Of the range in use, on both sides: other days are warmer."""


def to_8_bits(image: Deep, used: Range) -> Image:
    """Values low to high as 0 to 255, what is outside cut off; any shape."""
    low, high = used
    scaled = (image.astype(np.float32) - low) * (255 / max(1, high - low))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def values_in_use(samples: Iterable[Deep]) -> tuple[float, float] | None:
    """The lowest and the highest; None where the samples hold none, or show nothing."""
    low, high = math.inf, -math.inf
    for image in samples:
        tails = np.percentile(image, TAILS)
        low, high = min(low, float(tails[0])), max(high, float(tails[1]))
    return (low, high) if high > low else None


def range_of(samples: Iterable[Deep]) -> Range | None:
    """The values in use and a margin."""
    found = values_in_use(samples)
    if found is None:
        return None
    low, high = found
    margin = MARGIN * (high - low)
    return max(0, math.floor(low - margin)), min(65535, math.ceil(high + margin))


def say_outside(name: str, samples: Iterable[Deep], used: Range) -> None:
    """Say so where values lie outside the range that they are scaled by."""
    found = values_in_use(samples)
    if found is not None and (found[0] < used[0] or found[1] > used[1]):
        warnings.warn(
            f"{name} has values from {found[0]:.0f} to {found[1]:.0f}, and is scaled by "
            f"{used[0]} to {used[1]}, the values of the normal footage: what is "
            "outside is cut off. Fit on footage of all temperatures there are.",
            OddframeWarning,
            stacklevel=2,
        )


def say_unknown(name: str) -> None:
    """Say so where a live source has such pictures and nothing says how they are to be scaled."""
    warnings.warn(
        f"{name} has pictures of more than 8 bits, and nothing says which of their values are in "
        "use: scaled by all there are, little may be seen. Give open_source(…, used=(LOW, HIGH)), "
        "or a RUN that learned from such pictures.",
        OddframeWarning,
        stacklevel=2,
    )
