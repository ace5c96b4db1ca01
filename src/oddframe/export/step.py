"""What is exported: `Scorer.step` with its state in and out, and the stateless clip.

    out = Step(model, judge)(picture, state, flow)  # {"score", "heat", "term", "local", "state"}

Letters: h w rows and columns of a picture, s of the model, k history, c channels of flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from oddframe.export.judge import Judge, Seen
from oddframe.export.picture import to_frames
from oddframe.export.tree import flatten, rebuild
from oddframe.models.base import Prediction, VADModel
from oddframe.models.temporal import TMB
from oddframe.ops.ss2d import SS2D
from oddframe.scoring.settings import ScoreConfig

State = dict[str, Tensor]
"""A stream's state by name; all zeros before its first picture."""
Out = dict[str, Any]
"""`score` (), `heat` (s, s), `term` {name: ()}, `local` {stream: (s, s)}; of a step `state`."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """A warm stream's memory, as `ScorerState` has it; only what the model needs is there."""

    count: Tensor
    """Pictures seen so far, () int64: below k there is no score."""
    model: Any
    last: Tensor | None
    """V_{t-1}, (1, c, s, s)."""
    expected: Prediction
    moved: Tensor | None
    """M_{t-1}, where the motion is the last one seen."""
    smooth: Tensor | None
    """The score before, where scores are smoothed."""


class Exported(nn.Module):
    """What step and clip share: a model, and the judge of its errors.

    model: ready for export (`plan.ready`); judge: of the same size.
    """

    def __init__(self, model: VADModel, judge: Judge) -> None:
        super().__init__()
        self.model, self.judge = model, judge

    def frames(self, pictures: Tensor, flow: Tensor | None) -> Tensor:
        """(t, h, w, 3) uint8 BGR, and flow (t, 2, s, s) in pixels per frame -> model frames."""
        frames = to_frames(pictures, self.model.size)
        return frames if flow is None else torch.cat((frames, flow), 1)

    def seen(self, expected: Prediction, shown: Tensor, moved: Tensor | None) -> Seen:
        """What was expected against what came: `Scorer._compare`, then the judge."""
        errors = {"frame": (expected.frame[:, 0] - shown[:, :3]).square().mean(1)[0]}
        if expected.motion is not None and moved is not None:
            errors["motion"] = (expected.motion[:, 0] - moved).square().mean(1)[0]
        own = {name: value[0, 0] for name, value in expected.terms.items()}
        found: Seen = self.judge(errors, own)
        return found


class Step(Exported):
    """One new picture of a stream; the first k give NaN, as in `Scorer.step`."""

    def __init__(self, model: VADModel, judge: Judge) -> None:
        super().__init__(model, judge)
        self.like = warm(model, judge.config)

    def init_state(self) -> State:
        """The state of a stream that has seen no picture: zeros."""
        return {name: torch.zeros(x.shape, dtype=x.dtype) for name, x in flatten(self.like).items()}

    def forward(self, picture: Tensor, state: State, flow: Tensor | None = None) -> Out:
        """picture: (h, w, 3) uint8 BGR; flow: (2, s, s), of models that read it."""
        past: StreamState = rebuild(self.like, state)
        frame = self.frames(picture[None], None if flow is None else flow[None])
        known, expected = self.model.step(past.model, frame)
        assert expected is not None  # the state is full, if only with zeros
        shown = past.last if self.model.reconstructs else frame
        assert shown is not None
        moved = past.moved
        if self.model.motion_is_next and past.last is not None:
            moved = self.model.moved(past.last, frame)
        seen = self.seen(past.expected, shown, moved)
        ready = past.count >= self.model.history
        score = seen.score
        if past.smooth is not None:
            before = torch.where(past.count > self.model.history, past.smooth, score)
            config = self.judge.config
            score = config.smooth * before + (1 - config.smooth) * score

        def known_or_nan(x: Tensor) -> Tensor:
            return torch.where(ready, x, torch.nan)

        new = StreamState(
            past.count + 1,
            *remembered(self.model, past.last, frame, known, expected),
            None if past.smooth is None else score,
        )
        return {
            "score": known_or_nan(score), "heat": known_or_nan(seen.heat),
            "term": {name: known_or_nan(x) for name, x in seen.terms.items()},
            "local": {name: known_or_nan(x) for name, x in seen.local.items()},
            "state": flatten(new),
        }  # fmt: skip


def remembered(
    model: VADModel, last: Tensor | None, frame: Tensor, known: Any, expected: Prediction
) -> tuple[Any, Tensor | None, Prediction, Tensor | None]:
    """`StreamState` from model to moved, behind a frame."""
    moving = expected.motion is not None
    moved = None
    if moving and not model.motion_is_next and last is not None:
        moved = model.moved(last, frame)
    keep = moving or model.reconstructs
    return known, frame if keep else None, expected, moved


def warm(model: VADModel, config: ScoreConfig) -> StreamState:
    """A full state, on the meta device: shapes, and no arithmetic."""
    plain = deepcopy(model).to("meta")
    for module in scans(plain):
        module.backend = "auto"
    frame = torch.empty(1, 3 + model.carried, model.size, model.size, device="meta")
    state, expected = plain.init_state(), None
    for _ in range(model.history):
        state, expected = plain.step(state, frame)
    assert expected is not None
    count = torch.empty((), dtype=torch.int64, device="meta")
    smooth = torch.empty((), device="meta") if config.smooth else None
    return StreamState(count, *remembered(plain, frame, frame, state, expected), smooth)


def scans(model: nn.Module) -> Sequence[SS2D | TMB]:
    """The parts of a model that run a selective scan."""
    return [module for module in model.modules() if isinstance(module, SS2D | TMB)]


class Clip(Exported):
    """k + 1 pictures at once: how odd the last is behind those before it. No state."""

    def forward(self, pictures: Tensor, flow: Tensor | None = None) -> Out:
        """pictures: (k + 1, h, w, 3) uint8 BGR; flow: (k + 1, 2, s, s), that to each picture."""
        frames = self.frames(pictures, flow)
        k = self.model.history
        expected = self.model(frames[None, :k])
        shown = frames[k - 1 : k] if self.model.reconstructs else frames[k:]
        moved = None
        if expected.motion is not None:
            at = k if self.model.motion_is_next else k - 1
            moved = self.model.moved(frames[at - 1 : at], frames[at : at + 1])
        seen = self.seen(expected, shown, moved)
        return {"score": seen.score, "heat": seen.heat, "term": seen.terms, "local": seen.local}
