"""The score of a model's own paper over a test set: by which extremes, and what a row says of it.

Some papers rescale one error per frame (M2S2L's weighted PSNR): a protocol's normalisation does
that. Others add terms that are rescaled one by one first (STNMamba, MSTI-Net, MNAD, AMMC-Net,
VADMamba): there the protocol says by which extremes the terms are, and the sum stays as it is. The
extremes are those of all frames that have a score, of the video or of all test videos.

Letters: n frames of one video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oddframe.data.official import OFFICIAL
from oddframe.errors import ProtocolError
from oddframe.judging.protocol import Protocol
from oddframe.models.base import Ranges, Terms, VADModel, extremes
from oddframe.scoring.settings import ScoreConfig, alpha_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PaperScore:
    """How one run's frames score by its model's paper, on one data set."""

    model: VADModel
    """Its weights are not looked at."""
    name: str
    """Of the model, for people."""
    config: ScoreConfig
    data: str | None = None
    """A key of `data.official.OFFICIAL`, None where the data set is none of these."""

    @property
    def alpha(self) -> float:
        """The alpha in force: the run's, or the paper's for this data set."""
        return alpha_of(self.config, self.model, self.data)

    def check(self, protocols: Sequence[Protocol]) -> None:
        """Refuse protocols under which the paper's score is not defined, before anything is scored.

        Raises:
            ProtocolError: terms that the paper min-maxes would not be.
        """
        for protocol in protocols:
            scaled = protocol.normalise in ("per_video", "global")
            if protocol.score == "paper" and self.model.paper_normalised and not scaled:
                raise ProtocolError(
                    f"Protocol {protocol.name} asks for the score of {self.name}'s paper under "
                    f"normalise={protocol.normalise}, but that score adds terms that are min-maxed "
                    "first; it cannot be had without. Use paper (by each video's extremes), "
                    "paper+normalise=global (by those of all test videos), or "
                    f"deploy+normalise={protocol.normalise} for the causal score."
                )

    def scores(
        self, terms: Mapping[str, Terms], frames: Mapping[str, int], protocol: Protocol
    ) -> dict[str, Floats]:
        """The scores (n,) of all test videos that a protocol is applied to (`applied`).

        Args:
            terms: video -> raw terms; {} for one too short for any, which is NaN throughout.
            frames: video -> n.
            protocol: its `normalise` says by whose extremes the terms are min-maxed.

        Raises:
            ProtocolError: as `check`.
        """
        self.check([protocol])
        whole = protocol.normalise == "global" and self.model.paper_normalised
        ranges = self.ranges(terms) if whole else None
        return {
            video: self.model.paper_score(known, ranges, alpha=self.alpha)
            if known
            else np.full(frames[video], np.nan)
            for video, known in terms.items()
        }

    def ranges(self, terms: Mapping[str, Terms]) -> Ranges:
        """Extremes of what the paper min-maxes over all videos, by the names of `paper_terms`."""
        parts = [
            self.model.paper_terms(known, alpha=self.alpha) for known in terms.values() if known
        ]
        names = dict.fromkeys(name for part in parts for name in part)
        joined = {n: np.concatenate([part[n] for part in parts if n in part]) for n in names}
        spans = {name: extremes(values) for name, values in joined.items()}
        return {name: span for name, span in spans.items() if span is not None}

    def applied(self, protocol: Protocol) -> Protocol:
        """The protocol as the judge is to apply it to `scores`: rescaled terms are not again."""
        return replace(protocol, scaled=self.model.paper_normalised)

    def stated(self, protocol: Protocol, weights: str, changed: Sequence[str] = ()) -> Protocol:
        """The protocol as it is applied to a run's scores, with how these were chosen.

        Args:
            protocol: of the paper's score, or of the causal one.
            weights: which of the training's weights the run holds, in words.
            changed: settings changed after training, as typed.
        """
        own = protocol.score == "paper"
        named = (self.weights_text(bool(changed)) if own else "") or "no alpha"
        rest = "nothing chosen on test clips"
        if changed:
            rest = f"set after training, how is not stated: {', '.join(changed)}"
        elif own and self._printed:
            rest = "how the paper chose its alpha is not stated, nothing else chosen on test clips"
        stated = replace(protocol, select=f"{weights}; {named}; {rest}")
        if own:
            return self.applied(stated)
        late = self.config.lag_s
        said = (
            f"each score {late:g} s late: a median of so much before and after it" if late else ""
        )
        return replace(stated, note="; ".join(part for part in (protocol.note, said) if part))

    @property
    def _printed(self) -> bool:
        """Whether the alpha was taken from the paper, one for each data set."""
        return self.config.alpha == "paper" and self.model.paper_alpha(self.data) is not None

    def weights_text(self, changed: bool = False) -> str:
        """The weights in the score, and whether its alpha is the paper's; "" where it has none.

        changed: score settings were changed after training, so nothing says they were fixed before.
        """
        named = self.model.paper_weights(self.alpha)
        if not named:
            return ""
        values = ", ".join(f"{name} {value:g}" for name, value in named.items())
        printed = any(self.model.paper_alpha(key) is not None for key in OFFICIAL)
        given = changed or (printed and self.config.alpha == "paper")
        return values + ("" if given else " fixed beforehand") + (self._origin() if printed else "")

    def _origin(self) -> str:
        """Whether the alpha is the paper's for this data set."""
        known = self.model.paper_alpha(self.data)
        if known is None:
            return " (the paper prints none for this data)"
        title = "" if self.data is None else f" for {OFFICIAL[self.data].title}"
        if self.alpha == known:
            return f" (the paper's{title})"
        return f" (the paper's{title} is {known:g})"
