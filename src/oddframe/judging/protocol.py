"""What stands between raw scores and an AUC, as a value with a printed form.

Two choices come first and do not depend on each other: which score of a run is judged (`score`),
and how it is rescaled (`normalise`). The paper's score of some models adds terms that are each
min-maxed; `normalise` then says by which extremes, and the sum is not rescaled (`judging.paper`).

The rule for every video, in this order: (1) as many scores as labels, else refused: nothing is
cut, padded or shifted; (2) the dropped frames are taken off both, whatever they hold, or filled
with the nearest score; (3) every frame that is left needs a finite score, but for those behind a
gap of the footage, which are left out (`holes`); (4) smoothing, afresh in each video; (5)
normalisation; (6) the frames of all videos are pooled (micro), or their AUCs averaged (macro).
`judge.evaluate_arrays` follows it; `judging.named` has the ones in use.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from oddframe.errors import ConfigError
from oddframe.metrics.smooth import smoothing

NO_DROP = "no frames dropped"
NORMALISE_TEXT = {
    "none": "no normalisation",
    "per_video": "per-video min-max normalisation",
    "global": "min-max normalisation over all test videos",
    "train": "scaled by the 1 % and 99 % quantiles of training scores",
}
SCALED_TEXT = {
    "per_video": "terms min-maxed per video as the paper adds them, sum not rescaled",
    "global": "terms min-maxed over all test videos and then added, sum not rescaled",
}
"""Instead of `NORMALISE_TEXT` where a paper's score is made of rescaled terms."""
SCORE_TEXT = {"paper": "score of the model's paper", "deploy": "causal score"}
AVERAGE_TEXT = {"micro": "micro average (frames pooled)", "macro": "macro average over videos"}


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything between raw scores and an AUC. Raises ConfigError for a value out of range."""

    name: str
    """A key of `named.PROTOCOLS`, or one's own."""
    normalise: Literal["none", "per_video", "global", "train"] = "none"
    drop: int | None = 16
    """Frames left out at the start of every video; None: the leading NaN frames of each."""
    smooth: str = "none"
    """See `metrics.smooth.FORMS`; radius, sigma and lengths in frames."""
    average: Literal["micro", "macro"] = "micro"
    select: str = "not stated"
    """How the checkpoint and alpha were chosen, in words."""
    drop_end: int = 0
    """Frames left out at the end of every video: windows that are centred have none there."""
    fill: bool = False
    """Dropped frames are judged after all, with the nearest score of their video."""
    smooth_last: bool = False
    """Smoothing comes after the normalisation, not before it."""
    across: bool = False
    """Smoothing runs over the borders of the videos, as if they were one."""
    note: str = ""
    """What of a peer's protocol one score per frame cannot carry, in words."""
    score: Literal["paper", "deploy"] = "deploy"
    """Which of a run's scores is judged: that of the model's paper, or the causal one."""
    single: bool = False
    """The method has one score only (a floor, scores made elsewhere): the text says of none which
    it was. Known once a method is judged, as is the next."""
    holes: bool = False
    """Frames without a score inside a video are left out: those behind a pause or damage, where a
    history has to fill again. Of runs and of what stands beside them; of scores made elsewhere
    such a frame is a mistake."""
    scaled: bool = False
    """`normalise` was done to the terms of the paper's score and is not done to their sum."""

    def __post_init__(self) -> None:
        if self.normalise not in NORMALISE_TEXT or self.average not in AVERAGE_TEXT:
            raise ConfigError(
                f"Protocol {self.name}: normalise is {self.normalise!r} (expected "
                f"{', '.join(NORMALISE_TEXT)}), average is {self.average!r} (micro, macro)."
            )
        if self.score not in SCORE_TEXT:
            raise ConfigError(
                f"Protocol {self.name}: score is {self.score!r}, expected paper (that of the "
                "model's paper) or deploy (the causal one)."
            )
        if (self.drop is not None and self.drop < 0) or self.drop_end < 0:
            raise ConfigError(
                f"Protocol {self.name}: drop and drop_end must be at least 0, not {self.drop} and "
                f"{self.drop_end}."
            )
        smoothing(self.smooth)

    @property
    def looks_ahead(self) -> bool:
        """Whether a frame's number depends on later frames or on other test videos."""
        scaled = self.normalise in ("per_video", "global")
        return scaled or self.fill or smoothing(self.smooth).looks_ahead

    @property
    def text(self) -> str:
        """The line printed beside every number made under this protocol."""
        return self.words(self.dropped_text())

    def dropped_text(self) -> str:
        """Which frames are left out, as far as the protocol alone tells."""
        if self.drop is None:
            return "leading frames without a score (NaN) dropped"
        ends = [
            f"{which} {frames} frames"
            for which, frames in (("first", self.drop), ("last", self.drop_end))
            if frames
        ]
        return f"{' and '.join(ends)} of every video dropped" if ends else NO_DROP

    def words(self, dropped: str, averaged: str = "") -> str:
        """The text with what a test set adds: which frames it lost, how many videos averaged."""
        how = smoothing(self.smooth)
        last = self.smooth_last or self.scaled
        smooth = how.text + " after the normalisation" * (last and bool(how.text))
        parts = [
            "" if self.single else SCORE_TEXT[self.score],
            (SCALED_TEXT if self.scaled else NORMALISE_TEXT)[self.normalise],
            dropped.replace("dropped", "filled with the nearest score") if self.fill else dropped,
            (how.text if self.smooth == "none" else smooth)
            + ", across the borders of videos" * self.across,
            averaged or AVERAGE_TEXT[self.average],
            "looks ahead (not causal)" if self.looks_ahead else "causal post-processing",
            f"checkpoint and alpha: {self.select}",
            self.note,
        ]
        return "; ".join(part for part in parts if part)

    @property
    def code(self) -> str:
        """The short printed form, `NAME+field=value+…`, which `parse_protocols` reads back."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name in _FIELDS)
        return "+".join([self.name, *(f"{k}={_plain(v)}" for k, v in values)])


_FIELDS = (
    "score", "normalise", "drop", "drop_end", "fill", "smooth", "smooth_last", "across",
    "average",
)  # fmt: skip


def _plain(value: object) -> str:
    if value is None:
        return "nan"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def changed(base: Protocol, changes: str) -> Protocol:
    """A protocol with some fields changed: `field=value+field=value`.

    drop=nan drops the leading frames without a score; yes and no are true and false.

    Raises:
        ConfigError: an unknown field or a value that does not fit.
    """
    values: dict[str, Any] = {}
    for change in changes.split("+"):
        key, equals, value = (part.strip() for part in change.partition("="))
        if not equals or key not in _FIELDS:
            raise ConfigError(
                f"{change!r} is no change of a protocol; expected field=value with one of "
                f"{', '.join(_FIELDS)}."
            )
        values[key] = _value(key, value)
    name = base.name if all(getattr(base, k) == v for k, v in values.items()) else None
    return replace(base, **values, name=name or f"{base.name}+{changes}")


def _value(key: str, text: str) -> object:
    if key in ("fill", "smooth_last", "across"):
        if text not in ("yes", "no"):
            raise ConfigError(f"{key} is yes or no, found {text!r}.")
        return text == "yes"
    if key in ("drop", "drop_end"):
        if key == "drop" and text == "nan":
            return None
        if not text.isdecimal():
            raise ConfigError(f"{key} is a number of frames, found {text!r}.")
        return int(text)
    return text
