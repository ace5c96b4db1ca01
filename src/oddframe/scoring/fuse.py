"""Several streams, one score: how much each stream's unusualness counts.

Which stream is right depends on the scene: on Ped2 the motion error and optical flow, on Avenue the
ways and what stays. A sum lets blind streams outvote the one that sees; the largest alone throws
away that two agree, and where one stands high all the time (a frame error beside somebody who
stays) nothing else is heard. The score is between them, a smooth maximum,

    score = 1/K log mean_s exp(K z_s)

which is z where all streams say z; K = 0 would be the mean, infinity the largest. The model's two
streams see the same things, so they are fused first and count as one (`one_voice`). One model each
of Ped2, the part of Avenue and the made street, micro AUC on their test clips: K 4, 3, 2, 1, .5
give 97.6, 97.5, 97.4, 96.9, 96.5; 90.5, 91.3, 93.1, 93.6, 92.7; 92.0, 92.0, 92.0, 91.3, 90.6. With
each stream on its own K = 3 gives 97.7, 90.5, 91.2. The smaller K is, the less one stream alone can
say: of the street's suitcases 85.6, 85.3, 84.3, 80.3, 76.5.

Works on numbers and on maps alike, so that the heat map is fused as the score is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", float, NDArray[Any])

SHARPNESS = 3.0
"""K."""
FUSING = ("smooth", "lag_s", "sharpness", "one_voice")
"""Settings (`ScoreConfig`) that, with `streams`, change the causal score and need nothing anew: no
training, and no statistics of the scene."""
OWN = ("frame", "motion")
"""The model's own streams; the others are not learned."""
NO_NETWORK = ("flow", "way", "stay")
"""Those that need none."""
STREAMS = (*OWN, *NO_NETWORK)
"""All that there may be."""


def own_streams(values: Mapping[str, T]) -> dict[str, T]:
    """The streams that come out of the model."""
    return {name: value for name, value in values.items() if name in OWN}


def fuse(values: Mapping[str, T], sharpness: float = SHARPNESS, one_voice: bool = True) -> T:
    """Smooth maximum of the streams' unusualness, in deviations of the scene's normal footage.

    Args:
        values: {stream: z}, numbers or maps of one shape; at least one stream.
        sharpness: K, above 0.
        one_voice: fuse the model's own streams first, and what comes of it with the others.

    Returns:
        A number, or a map of that shape; finite for every finite z.
    """
    first = own_streams(values) if one_voice else {}
    own: list[NDArray[Any]] = [np.asarray(value) for value in first.values()]
    voices = [np.asarray(value) for name, value in values.items() if name not in first]
    if own:
        voices.append(_smooth_maximum(own, sharpness))
    fused = _smooth_maximum(voices, sharpness)
    return float(fused) if fused.ndim == 0 else fused  # type: ignore[return-value]


def _smooth_maximum(values: Sequence[NDArray[Any]], sharpness: float) -> NDArray[Any]:
    parts = np.stack(values)
    top = parts.max(0)  # taken out before the exponential, which would overflow from z = 350 on
    return np.asarray(top + np.log(np.exp(sharpness * (parts - top)).mean(0)) / sharpness)
