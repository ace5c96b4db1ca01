"""Models that read a window of k frames as a whole: common clips, streams and losses.

Such a model writes one method, `window`; a stream keeps its last k frames and runs it on them. One
that also reads the flow between frames is a `flow_windowed.FlowWindowed`.

Letters: b clips or frames, t frames given, k history, m = t - k + 1 windows, n = b m windows or one
of each stream, c h w colour, rows, columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from oddframe import losses
from oddframe.models.base import Floats, Prediction, Ranges, Terms, VADModel, join, shares

WindowState = tuple[Tensor, ...]
"""One stream's last frames, at most k, oldest first, (b, c, h, w) each."""


class Windowed(VADModel):
    """A model whose every prediction is a function of one window."""

    heavy = ("window",)

    def window(self, frames: Tensor) -> Prediction:
        """(n, k, c, h, w) -> a prediction without the axis of moments.

        Frame and motion (n, c, h, w), terms (n,) each, features (n, ...).
        """
        raise NotImplementedError

    def take(self, clip: Tensor) -> Tensor:
        """What windows are made of: the frames (b, t, c, h, w), with more channels if need be."""
        return clip

    def take_next(self, last: Tensor | None, frame: Tensor) -> Tensor:
        """`take` for one new frame (b, c, h, w); last: what came of the one before."""
        return frame

    def windows(self, clip: Tensor) -> Tensor:
        """Every window of a clip: (b, t, c, h, w) -> (b m, k, c, h, w)."""
        return clip.unfold(1, self.history, 1).movedim(-1, 2).flatten(0, 1)

    def forward(self, clip: Tensor, detach_context: bool = False) -> Prediction:
        """(b, t >= k, c, h, w) -> predictions for the m windows.

        detach_context: nothing to do, no frame is encoded apart from its window.
        """
        self.check(clip)
        b, t = clip.shape[:2]
        if t < self.history:
            raise ValueError(
                f"{type(self).__name__} needs clips of at least {self.history} frames, got {t}"
            )
        out = self.window(self.windows(self.take(clip)))
        terms = {name: value.unflatten(0, (b, -1)) for name, value in out.terms.items()}
        moved = None if out.motion is None else out.motion.unflatten(0, (b, -1))
        return Prediction(out.frame.unflatten(0, (b, -1)), moved, out.features, terms)

    def init_state(self) -> WindowState:
        """State of a stream that has seen no frame."""
        return ()

    def step(self, state: WindowState, frame: Tensor) -> tuple[WindowState, Prediction | None]:
        """One new frame (b, c, h, w) of one stream, or of b that began together."""
        states, predictions = self.step_batch([state], [frame])
        return states[0], predictions[0]

    def step_batch(
        self, states: Sequence[WindowState], frames: Sequence[Tensor]
    ) -> tuple[list[WindowState], list[Prediction | None]]:
        """One new frame of each stream; one call of `window` for all that have k frames.

        The features, which only training needs, are left out.
        """
        for frame in frames:
            self.check(frame)
        new = [
            (*s, self.take_next(s[-1] if s else None, f))[-self.history :]
            for s, f in zip(states, frames, strict=True)
        ]
        found: list[Prediction | None] = [None] * len(new)
        ready = [i for i, s in enumerate(new) if len(s) == self.history]
        if ready:
            out = self.window(join([torch.stack(new[i], 1) for i in ready]))
            for i, own in zip(ready, shares(out, [frames[i] for i in ready]), strict=True):
                found[i] = own
        return new, found

    def paper_weights(self, alpha: float) -> dict[str, float]:
        """None: the score is one error."""
        return {}

    def to_come(self, prediction: Prediction, clip: Tensor) -> tuple[Tensor, Tensor]:
        """The predicted frames and the true ones, (b m, c, h, w) both; clip (b, t + 1, c, h, w)."""
        m = prediction.frame.shape[1]
        target = clip[:, self.history : self.history + m, :3]
        return prediction.frame.flatten(0, 1), target.flatten(0, 1)


class Reconstructing(Windowed):
    """An autoencoder of windows: what it cannot draw again is odd.

    Its papers score the error of the whole window, which is the term `clip_error`; the heat map
    needs one picture, which is the newest.
    """

    reconstructs = True

    def rebuild(self, frames: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(n, k, c, h, w) -> the same again, and features for the model's own losses."""
        raise NotImplementedError

    def window(self, frames: Tensor) -> Prediction:
        """Reconstruct windows; `clip_error` is the mean square over all that one shows."""
        again, features = self.rebuild(frames)
        again = again.float()
        error = (again - frames).square().flatten(1).mean(1)
        return Prediction(again[:, -1], None, {"clip": again, **features}, {"clip_error": error})

    def losses(self, prediction: Prediction, clip: Tensor) -> dict[str, Tensor]:
        """Mean square of all that the windows show; clip (b, t + 1, c, h, w)."""
        shown = self.windows(clip[:, :-1])
        return {"clip": losses.intensity(prediction.features["clip"], shown)}

    def paper_score(self, terms: Terms, ranges: Ranges = None, *, alpha: float = 0.5) -> Floats:
        """The error of the whole window; a protocol's min-max makes it the regularity score."""
        return np.asarray(terms["clip_error"], np.float64)
