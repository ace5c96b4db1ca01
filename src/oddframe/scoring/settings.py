"""What a score is made of: its settings, and what can be made anew of the terms kept of a video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from oddframe.config import Config
from oddframe.errors import ConfigError
from oddframe.models.base import VADModel
from oddframe.scoring.fuse import SHARPNESS, fuse
from oddframe.scoring.lag import centred_median, frames_of

T = TypeVar("T")
F = TypeVar("F", float, NDArray[Any])


class ScoreConfig(Config):
    """How errors become a score."""

    alpha: float | Literal["paper"] = 0.5
    """Weight of the frame's PSNR in the paper's score; `paper`: what M2S2L's paper prints for the
    data set that is judged (.6 UCSD Ped2, .4 CUHK Avenue), .5 for any other."""
    block_px: int = Field(32, ge=1, le=256)
    """Window of the local means of the model's errors, in pixels of a 256-px picture.

    Scaled with the working size: what a window covers stays the same."""
    flow: bool = True
    """Use streams that need no network beside the model's own: the speed of optical flow (`flow`),
    which ways are gone at a place (`way`), what stays there (`stay`); about 7 ms of one core.

    Always seen at 256 px, as the floor `flowspeed` sees it."""
    body_sizes: bool = True
    """Measure how large things are from far to near in normal footage, and hold every stream's
    values against that too, not against how much happens at a row alone."""
    cross_fit: bool = True
    """Hold each part of the normal footage against what the others say when the ranges of `way` and
    `stay` are fitted; else against all, itself among them."""
    sharpness: float = Field(SHARPNESS, gt=0, le=100)
    """K of the smooth maximum that fuses the streams (`scoring.fuse`)."""
    one_voice: bool = True
    """The model's two streams count as one; else each as much as one that needs no model."""
    smooth: float = Field(0.0, ge=0, lt=1)
    """Weight of the past in causal exponential smoothing of the score; 0 is none."""
    lag_s: float = Field(0.0, ge=0, le=10)
    """Delay in seconds: a score is the median of the frames up to so much before and after its
    own, and comes that much later, live too (`scoring.lag`); 0 is none."""
    streams: tuple[Literal["frame", "motion", "flow", "way", "stay"], ...] = ()
    """Which streams are fused to the score; empty: all that there are."""

    @field_validator("alpha", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value != "paper" and not (number and 0 <= cast(float, value) <= 1):
            raise ValueError(f"expected a number from 0 to 1, or paper; found {value!r}")
        return value


ALPHA = 0.5
"""Where a paper prints no alpha for the data."""


def alpha_of(config: ScoreConfig, model: VADModel, data: str | None = None) -> float:
    """The alpha in force for a data set (a key of `data.official.OFFICIAL`; None: of no such)."""
    if config.alpha != "paper":
        return config.alpha
    known = model.paper_alpha(data)
    return ALPHA if known is None else known


def chosen(streams: Mapping[str, T], config: ScoreConfig) -> dict[str, T]:
    """The streams that the score is fused of.

    Raises:
        ConfigError: there is none of those that were asked for.
    """
    kept = {name: x for name, x in streams.items() if not config.streams or name in config.streams}
    if not kept:
        raise ConfigError(
            f"score.streams asks for {', '.join(config.streams)}, the model has "
            f"{', '.join(streams)}. Choose among these."
        )
    return kept


def together(streams: Mapping[str, F], config: ScoreConfig) -> F:
    """Streams as one: numbers, or maps of one shape."""
    return fuse(streams, config.sharpness, config.one_voice)


def smoothed(value: float, before: float | None, config: ScoreConfig) -> float:
    """A frame's score, smoothed with that of the frame before; the first stays as it is."""
    if not config.smooth or before is None:
        return value
    return config.smooth * before + (1 - config.smooth) * value


def score_again(
    terms: Mapping[str, NDArray[np.float64]], config: ScoreConfig, fps: float | None
) -> NDArray[np.float64]:
    """The scores (n,) of a video under other `streams`, `sharpness`, `one_voice`, `smooth` and
    `lag_s`, from the terms kept.

    Bit for bit what `Scorer` would give: the terms `z_STREAM` are what it fuses, and a frame
    without any lies before the history is full, at the beginning or behind a gap. Only of footage
    that is looked at once a frame: at another rate (`sources.rate`) the terms are means of several
    looks, or those of a frame before.
    """
    known = {name.removeprefix("z_"): x for name, x in terms.items() if name.startswith("z_")}
    columns = chosen(known, config)
    scores = np.empty(len(next(iter(known.values()))))
    before: float | None = None
    for i in range(len(scores)):
        here = {name: float(x[i]) for name, x in columns.items() if not np.isnan(x[i])}
        before = smoothed(together(here, config), before, config) if here else None
        scores[i] = math.nan if before is None else before
    return centred_median(scores, frames_of(config.lag_s, fps))
