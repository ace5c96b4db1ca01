"""What a report shows: plain data, filled by the caller, no torch.

Letters in shapes: n frames of one video (or points of a curve); h, w rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oddframe.judging.judge import Roc
from oddframe.types import Image, Map

Series = NDArray[np.floating[Any]]
"""(n,) floating point."""

Kind = Literal["hit", "false-alarm", "miss", ""]
"""What a moment is an example of; decides the word and the mark beside its title."""


def _same_length(what: str, **arrays: object) -> None:
    """Refuse series that do not describe the same samples."""
    shapes = {name: np.shape(a) for name, a in arrays.items() if a is not None}  # type: ignore[call-overload]
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{what} needs 1-D arrays of one length, found {found}")


@dataclass(frozen=True, slots=True)
class Curve:
    """One column of the training log."""

    name: str
    x: Series
    """(n,) the step, epoch or minute of each value, not decreasing."""
    y: Series
    """(n,) the value; NaN where a step did not log it."""
    x_label: str = "step"

    def __post_init__(self) -> None:
        _same_length(f"Curve {self.name!r}", x=self.x, y=self.y)


@dataclass(frozen=True, slots=True)
class VideoTimeline:
    """The scores of one test video."""

    name: str
    time_s: Series
    """(n,) position in the stream in seconds, not decreasing."""
    score: Series
    """(n,) the score that the page is about, NaN where there is none."""
    labels: NDArray[Any] | None = None
    """(n,) true where the truth says abnormal, None where there is no truth."""
    threshold: float | None = None
    """Score at which an alarm is raised (level 1), None before calibration."""
    terms: Mapping[str, Series] | None = None
    """The raw terms behind the score, (n,) each."""
    paper: Series | None = None
    """(n,) the curve that the model's paper plots; it looks ahead. None where there is none."""

    def __post_init__(self) -> None:
        what = f"VideoTimeline {self.name!r}"
        _same_length(
            what, time_s=self.time_s, score=self.score, labels=self.labels, paper=self.paper
        )
        for name, values in (self.terms or {}).items():
            _same_length(what, time_s=self.time_s, **{name: values})


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame worth looking at, with what the model saw in it."""

    title: str
    caption: str
    image_bgr: Image
    heat: Map | None = None
    """(h, w) of any size, in units of the score."""
    truth: NDArray[np.bool_] | None = None
    """(h, w) of any size, true where the anomaly is."""
    kind: Kind = ""
    video: str = ""
    """Name of the timeline that it belongs to, for a mark in that plot."""
    time_s: float | None = None
    """Where in that video."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page; whatever is missing is left out of it."""

    title: str
    subtitle: str = ""
    method: str | None = None
    """The model's name in `rows`; without it the first row that is no floor is the model."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What was trained, in order: model, size, parameters, data, minutes, seed, versions …"""
    curves: Sequence[Curve] = ()
    timelines: Sequence[VideoTimeline] = ()
    paper_curve: str = "the paper's curve"
    """What `VideoTimeline.paper` is, in words."""
    moments: Sequence[Moment] = ()
    rows: Sequence[Mapping[str, object]] = ()
    """As in metrics.json: method, protocol, auc (0–1), ap, eer, protocol_text, …; `floor: true`."""
    rocs: Sequence[Roc] = ()
    """ROC curves of model and floors, for every protocol."""
    notes: Sequence[str] = ()
    """What is weak, one plain sentence or two each."""
    localisation: float | None = None
    """Share (0–1) of flagged abnormal frames whose highest heat lies inside the anomaly."""
    frames_per_s: float | None = None
    speed_note: str = ""
    """What the speed was measured on: device, threads, from file or from memory."""
    heat_range: tuple[float, float] | None = None
    """Heat shown as nothing and as brightest; by default taken from all moments together."""
