"""Several streams, one score: how much each stream's unusualness counts.

Which stream is right depends on the scene: on Ped2 the motion error and optical flow, on Avenue the
ways and what stays. A sum lets blind streams outvote the one that sees; the largest alone throws
away that two agree, and where one stands high all the time (a frame error beside somebody who
stays) nothing else is heard. The score is between them, a smooth maximum,

    score = 1/K log mean_s exp(K z_s)

which is z where all streams say z; K = 0 would be the mean, infinity the largest. One model each of
Ped2, the part of Avenue and the made street, micro AUC on their test clips: K 4, 2, 1, .5 give
97.4, 97.5, 97.4, 96.9; 88.6, 89.5, 92.8, 93.9; 91.2, 91.2, 90.9, 90.4. The smaller K is, the less
one stream alone can say: of the street's suitcases 83.9, 82.9, 79.6, 75.5.

Works on numbers and on maps alike, so that the heat map is fused as the score is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", float, NDArray[Any])

SHARPNESS = 2.0
"""K; the floor `unlearned` is known by this one."""
OWN = ("frame", "motion")
"""The model's own streams; the others are not learned."""
NO_NETWORK = ("flow", "way", "stay")
"""Those that need none."""
STREAMS = (*OWN, *NO_NETWORK)
"""All that there may be."""


def own_streams(values: Mapping[str, T]) -> dict[str, T]:
    """The streams that come out of the model."""
    return {name: value for name, value in values.items() if name in OWN}


def fuse(values: Mapping[str, T], sharpness: float = SHARPNESS) -> T:
    """Smooth maximum of the streams' unusualness, in deviations of the scene's normal footage.

    Args:
        values: {stream: z}, numbers or maps of one shape; at least one stream.
        sharpness: K, above 0.

    Returns:
        A number, or a map of that shape; finite for every finite z.
    """
    parts = np.stack([np.asarray(value) for value in values.values()])
    top = parts.max(0)  # taken out before the exponential, which would overflow from z = 350 on
    fused = top + np.log(np.exp(sharpness * (parts - top)).mean(0)) / sharpness
    return float(fused) if fused.ndim == 0 else fused  # type: ignore[return-value]
