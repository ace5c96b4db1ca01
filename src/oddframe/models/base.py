"""What every model offers, so that training, scoring and streaming need to know only this.

Letters: b batch, t frames given, k history (frames a prediction looks at), m = t - k + 1 targets,
c h w colour, rows, columns. Frames are float32 RGB in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Terms = Mapping[str, NDArray[Any]]
"""The raw terms of one video's frames by name, (n,) each, NaN where unscored."""
Ranges = Mapping[str, tuple[float, float]] | None
"""By name of a term, the value that min-max makes 0 and the one that it makes 1; None: the video's
own extremes."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about m moments: the frames that come next, and the last motion."""

    frame: Tensor
    """(b, m, c, h, w): predicted V_{t+1} for the window that ends at t; of a model that
    `reconstructs`, V_t itself."""
    motion: Tensor | None
    """(b, m, c, h, w): the motion that the model reconstructs (or predicts: `motion_is_next`), to
    be held against its `moved`; None where it has none."""
    features: dict[str, Tensor] = field(default_factory=dict)
    """What the model's own losses need, e.g. F_app and F_motion as (b m, n, d)."""
    terms: dict[str, Tensor] = field(default_factory=dict)
    """(b, m) each, larger = more anomalous: what else is odd about the window, e.g. the distance
    of its features to a memory."""


class VADModel(nn.Module):
    """A model that learns normal video: stateless `forward`, streaming `step`, its own losses.

    `step` in a loop over the frames of a video gives what `forward` gives for the clips of it
    (to 1e-5); a state belongs to one stream, so any number of streams can be interleaved.
    """

    history: int
    """k: frames that one prediction looks at; the first k frames of a video have no score."""
    size: int
    """Rows and columns of the frames that the model takes."""
    carried: int = 0
    """Channels that its frames bring beside RGB, e.g. 2 of optical flow read from files."""
    motion_is_next: bool = False
    """The motion is that to the frame to come, not the last one seen."""
    reconstructs: bool = False
    """`Prediction.frame` is the newest frame of the window, not the one to come: like the motion it
    is held against what had been given, and counts for the frame that follows."""

    heavy: ClassVar[tuple[str, ...]] = ()
    """Methods of `step` that `torch.compile` may take: all its arithmetic, none of its cache."""
    paper_normalised: ClassVar[bool] = False
    """`paper_score` adds terms that are min-maxed already, so a protocol rescales no more."""
    paper_alphas: ClassVar[Mapping[str, float]] = {}
    """Weight of the frame's PSNR in `paper_score` as the paper prints it, by data set."""
    curve_name: ClassVar[str] = "anomaly score"
    """What `paper_curve` is called in the paper's plots."""

    def forward(self, clip: Tensor, detach_context: bool = False) -> Prediction:
        """Predict from every window of k frames: (b, t >= k, c, h, w) -> m = t - k + 1 targets.

        detach_context: frames that are only ever the past of a window may be encoded without
        gradient, where the model encodes each frame once for all windows; the numbers are the same.

        Raises:
            ValueError: fewer than k frames, or of another size (`check`).
        """
        raise NotImplementedError

    def init_state(self) -> Any:
        """State of a stream that has seen no frame."""
        raise NotImplementedError

    def step(self, state: Any, frame: Tensor) -> tuple[Any, Prediction | None]:
        """Take one new frame (b, c, h, w); None until k frames are in. The state is not changed."""
        raise NotImplementedError

    def step_batch(
        self, states: Sequence[Any], frames: Sequence[Tensor]
    ) -> tuple[list[Any], list[Prediction | None]]:
        """`step` for one new frame (b, c, h, w) of each of several streams, in one call.

        What one step gives for each stream, to rounding; models that can work them off together
        do. Streams may be of any age, and none touches another.
        """
        results = [self.step(s, f) for s, f in zip(states, frames, strict=True)]
        return [state for state, _ in results], [prediction for _, prediction in results]

    def paper_score(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """The paper's score of one whole video (n,), larger = more anomalous; NaN where unscored.

        terms: the raw terms of its frames, (n,) each: `psnr` and those of `Prediction.terms`.
        ranges: of a score that is `paper_normalised`, what each of `paper_terms` is min-maxed by;
            None: its extremes in this video, which looks ahead.
        alpha: weight of the frame's PSNR where the paper joins it with the motion's.
        """
        return -np.asarray(terms["psnr"], np.float64)

    def paper_terms(self, terms: Terms, *, alpha: float = 0.5) -> dict[str, Floats]:
        """What the paper min-maxes, by the names of `ranges`: (n,) each, as measured.

        The terms that a `paper_normalised` score adds; of any other the `score` itself.
        """
        return {"score": self.paper_score(terms, alpha=alpha)}

    def paper_curve(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """The curve of one video (n,) as the paper plots it, `curve_name`; NaN where unscored.

        The paper's score min-maxed, 0 ... 1, unless a model's paper plots regularity (larger =
        more normal). Arguments as of `paper_score`; a score that is not `paper_normalised` has the
        one range `score`.
        """
        score = self.paper_score(terms, ranges, alpha=alpha)
        return score if self.paper_normalised else minmax(score, (ranges or {}).get("score"))

    def paper_alpha(self, data: str | None) -> float | None:
        """The alpha that the paper prints for a data set; None where it prints none.

        data: a key of `data.official.OFFICIAL`, or None.
        """
        return None if data is None else self.paper_alphas.get(data)

    def paper_weights(self, alpha: float) -> dict[str, float]:
        """The weights in `paper_score` by name, which every figure states.

        alpha: that of the run, between the PSNR of frame and motion.
        """
        return {"alpha": alpha}

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Named losses, weighted, whose sum is minimised; clip (b, t + 1, c, h, w)."""
        raise NotImplementedError

    def moved(self, previous: Tensor, current: Tensor) -> Tensor:
        """What `Prediction.motion` is held against: M_t of two neighbouring frames (b, c, h, w).

        M2S2L's RGB difference, unless a model says otherwise.
        """
        return motion(previous, current)

    @classmethod
    def size_of(cls, config: Any) -> int:
        """Parameters of a configuration; makes no weights."""
        with torch.device("meta"):
            return sum(p.numel() for p in cls(config).parameters())

    def check(self, frames: Tensor) -> None:
        """Refuse frames (..., c, h, w) of another size than the model's.

        Raises:
            ValueError: says both sizes.
        """
        channels = 3 + self.carried
        if frames.shape[-3:] != (channels, self.size, self.size):
            c, h, w = frames.shape[-3:]
            raise ValueError(
                f"{type(self).__name__} takes {channels} x {self.size} x {self.size} px, found "
                f"{c} x {h} x {w}: resize the frames, or build the model with another `size`"
            )

    def start_from(self, still: Tensor) -> None:
        """Take what is known before training: what stands still in its frames, (c, h, w)."""

    def scan_flops(self, frames: int = 1) -> int:
        """Operations of the selective scans (9 L D N each) for one prediction.

        frames: how many frames are encoded for it: 1 in a warm stream, k for a stateless clip.
        """
        return 0


def motion(previous: Tensor, current: Tensor) -> Tensor:
    """M_t = (V_t - V_{t-1}) / 2: the RGB difference, scaled to [-1, 1]."""
    return (current - previous).mul_(0.5)


def extremes(values: NDArray[Any]) -> tuple[float, float] | None:
    """Smallest and largest of the values (n,) that are not NaN; None where there are none."""
    x = np.asarray(values, np.float64)
    known = x[~np.isnan(x)]
    return (float(known.min()), float(known.max())) if known.size else None


def minmax(values: NDArray[Any], span: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """Rescale one video's terms (n,) to 0 ... 1, as papers do; NaN stays.

    span: what becomes 0 and what 1; None: the video's own extremes. Terms that never change say
    nothing: 0 throughout.
    """
    x = np.asarray(values, np.float64)
    low, high = span or extremes(x) or (0.0, 0.0)
    return (x - low) / (high - low) if high > low else np.where(np.isnan(x), x, 0.0)


def minmax_falling(
    values: NDArray[Any], span: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """`minmax` of what is large where all is well, as a PSNR: 1 at the smallest."""
    x = -np.asarray(values, np.float64)
    return minmax(x, None if span is None else (-span[1], -span[0]))


def join(parts: Sequence[Tensor]) -> Tensor:
    """Batches of several streams as one; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def shares(out: Prediction, like: Sequence[Tensor]) -> list[Prediction]:
    """Each stream's own of a prediction for several, with an axis of one moment.

    out: frame and motion (n, c, h, w), terms (n,), of streams that are as long as those of `like`.
    The features, which only training needs, are left out.
    """
    found, at = [], 0
    for stream in like:
        own = slice(at, at := at + len(stream))
        terms = {name: value[own, None] for name, value in out.terms.items()}
        moved = None if out.motion is None else out.motion[own, None]
        found.append(Prediction(out.frame[own, None], moved, terms=terms))
    return found


def split(joined: Sequence[Tensor], like: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Each stream's share of every joined batch; streams are as long as those of `like`.

    Copies, where there are several: a stream that stays away would keep the batches of all."""
    if len(like) == 1:
        return [tuple(joined)]
    sizes = [len(x) for x in like]
    return list(zip(*([own.clone() for own in x.split(sizes)] for x in joined), strict=True))


def last_of(x: Tensor, length: int, end: int, m: int, at: int = 1) -> Tensor:
    """What m windows see: the last `length` entries before end, end + 1, ... of a clip.

    x (b, t, ...) -> (b m, ...), the entries as dimension `at`.
    """
    x = x.movedim(1, at)
    return torch.stack([x.narrow(at, end + i - length, length) for i in range(m)], 1).flatten(0, 1)
