"""Several streams, one score: how much each stream's unusualness counts.

Works on numbers and on maps alike, so that the heat map is fused as the score is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

T = TypeVar("T", float, NDArray[Any])

OWN = ("frame", "motion")
"""The model's own streams; `flow` is not learned."""


def own_streams(values: Mapping[str, T]) -> dict[str, T]:
    """The streams that come out of the model."""
    return {name: value for name, value in values.items() if name in OWN}


def fuse(values: Mapping[str, T]) -> T:
    """Mean of the streams, each in standard deviations of the scene's normal footage."""
    parts = list(values.values())
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts)
