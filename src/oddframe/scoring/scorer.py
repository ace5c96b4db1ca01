"""From a frame to its score: one `step` for files, evaluation and live cameras alike.

    frame -> preprocess -> model.step -> error maps -> local means -> unusualness per stream
          -> score -> level

`preprocess` is all that needs neither the model nor its state: it can run ahead in another thread.
The score of a frame looks only at that frame and those before it, and at statistics of held-out
normal footage of the scene: nothing of the test video's future, nothing of its other frames.

Letters: h w rows and columns of the working size, c colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, cast, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oddframe.data.frames import to_model
from oddframe.errors import ConfigError
from oddframe.models.base import Prediction, VADModel
from oddframe.pictures import Picture, as_picture
from oddframe.scoring.fuse import own_streams
from oddframe.scoring.local import box_mean
from oddframe.scoring.look import SIZE_PX, Grey, mean_speed
from oddframe.scoring.masks import Mask, blanked, largest, lowered
from oddframe.scoring.scene import StreamScene
from oddframe.scoring.seen import Compared, Observation, Preprocessed, ScorerState
from oddframe.scoring.settings import ScoreConfig, alpha_of, chosen, smoothed, together
from oddframe.scoring.spots import Sight, without
from oddframe.scoring.usual import Past, Usual
from oddframe.types import Image, Map, Score

Precision = Literal["float32", "bfloat16"]
PEAK = 2.0
"""MAX of the PSNR: the span of values in [-1, 1], frames and scaled motion alike."""


def precision_of(name: str) -> Precision:
    """A precision by its name; ConfigError for another."""
    if name not in get_args(Precision):
        raise ConfigError(f"precision is float32 or bfloat16, found {name!r}.")
    return cast("Precision", name)


class Scorer:
    """A trained model with a scene: turns frames into scores.

    scene: {stream: StreamScene}; None while it is being fitted (`observe` works).
    usual: what is usual in the scene; without it (RUNs of before) there is the flow's speed alone.
    threshold: score of the alarm, None before calibration.
    precision: of the model's matrix products and convolutions; everything else stays float32.
    """

    def __init__(
        self,
        model: VADModel,
        config: ScoreConfig | None = None,
        scene: Mapping[str, StreamScene] | None = None,
        threshold: float | None = None,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
        usual: Usual | None = None,
    ) -> None:
        self.usual = usual
        self.model = model.to(device).eval()
        self.config = config or ScoreConfig()
        self.scene, self.threshold = scene, threshold
        self.device, self.precision = torch.device(device), precision

    def knowing(self, usual: Usual) -> Scorer:
        """The same, but for what is usual in the scene."""
        return Scorer(
            self.model, self.config, self.scene, self.threshold, self.device, self.precision, usual
        )

    def init_state(self) -> ScorerState:
        """State of a stream that has seen no frame."""
        return ScorerState(self.model.init_state())

    def restart(self, state: ScorerState) -> ScorerState:
        """The state of a stream behind a gap: its frames are counted on, its past is forgotten."""
        return replace(self.init_state(), index=state.index, pardon=state.pardon, light=state.light)

    def preprocess(
        self,
        image: Image | Picture,
        past: Past | None = None,
        carried: NDArray[np.float32] | None = None,
        steps: float = 1.0,
    ) -> Preprocessed:
        """Everything about a frame (h, w, 3) BGR uint8, any size, that needs no model.

        past: that of the frame before, None for a stream's first. Safe in any thread.
        carried: what the model's frames bring beside RGB, `VADModel.carried` channels (c, h, w) of
            the model's size: flow read from files, in pixels per frame. None for other models.

        Raises:
            ConfigError: nothing carried where it is needed, or of another shape.
        """
        size, picture = self.model.size, as_picture(image)
        small = picture.at(size)
        past, local = past or Past(), dict[str, Map]()
        if self.config.flow:
            # Small models are for small machines; flow on a small picture loses most of its use.
            grey = np.asarray(cv2.cvtColor(picture.at(SIZE_PX), cv2.COLOR_BGR2GRAY), dtype=np.uint8)
            if self.usual is not None:
                past, local = self.usual.step(past, grey, steps)
            else:
                past = past.seen(grey, steps)
                local = self._speed(past.motion)
        return Preprocessed(self._with(to_model(small, size), carried), local, past)

    def _speed(self, motion: tuple[Map, Map] | None) -> dict[str, Map]:
        """The one stream of RUNs that do not know what is usual, at the model's size."""
        if motion is None:
            return {}
        size = (self.model.size, self.model.size)
        fitted = cv2.resize(mean_speed(motion), size, interpolation=cv2.INTER_AREA)
        return {"flow": np.asarray(fitted, dtype=np.float32)}

    def _with(
        self, rgb: NDArray[np.float32], carried: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """The frame with the channels that the model wants behind its colours."""
        if carried is None and not self.model.carried:
            return rgb
        if carried is None:
            raise ConfigError(
                "The model takes optical flow from files beside every picture, and this one came "
                "without: score files whose flow lies in a folder (--flow FOLDER); it cannot score "
                "cameras, or several streams at once."
            )
        wanted = (self.model.carried, *rgb.shape[1:])
        if carried.shape != wanted:
            raise ConfigError(
                f"The model's frames carry channels of shape {wanted} beside RGB, found "
                f"{carried.shape}."
            )
        return np.concatenate((rgb, carried))

    def observe(
        self, state: ScorerState, image: Image | Picture | Preprocessed
    ) -> tuple[ScorerState, Observation | None]:
        """Take the next frame; None until the model has its history.

        image: (h, w, 3) BGR uint8 of any size, a source's picture, or what `preprocess` made of it.
        """
        states, seen = self.observe_batch([state], [image])
        return states[0], seen[0]

    @torch.inference_mode()
    def observe_batch(
        self, states: Sequence[ScorerState], images: Sequence[Image | Picture | Preprocessed]
    ) -> tuple[list[ScorerState], list[Observation | None]]:
        """`observe` for the next frame of each of several streams, in one call of the model."""
        ready = [
            image if isinstance(image, Preprocessed) else self.preprocess(image, state.past)
            for state, image in zip(states, images, strict=True)
        ]
        frames = [torch.from_numpy(r.frame)[None].to(self.device) for r in ready]
        seen = [
            self._compare(state, frame, r.local)
            for state, frame, r in zip(states, frames, ready, strict=True)
        ]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            known, expected = self.model.step_batch([state.model for state in states], frames)
        new = [
            ScorerState(
                model, s.index + 1, frame, prediction, self._moved(s.last, frame, prediction),
                r.past, s.smooth, s.pardon, s.light,
            )
            for s, model, frame, prediction, r in zip(
                states, known, frames, expected, ready, strict=True
            )
        ]  # fmt: skip
        return new, seen

    def _moved(
        self, last: Tensor | None, frame: Tensor, prediction: Prediction | None
    ) -> Tensor | None:
        """The motion to `frame` where the prediction is about it; it may be optical flow."""
        if prediction is None or prediction.motion is None or last is None:
            return None
        return None if self.model.motion_is_next else self.model.moved(last, frame)

    def _compare(
        self, state: ScorerState, frame: Tensor, unlearned: Mapping[str, Map]
    ) -> Observation | None:
        if state.expected is None or state.last is None:
            return None
        shown = state.last if self.model.reconstructs else frame
        error = (state.expected.frame[:, 0] - shown[:, :3]).square().mean(1)[0]  # h w
        block = max(1, round(self.config.block_px * self.model.size / SIZE_PX))
        local = {"frame": box_mean(error.cpu().numpy(), block)}
        psnr_motion, truth = None, state.moved
        if state.expected.motion is not None:
            if truth is None:  # of the motion that was to come
                truth = self.model.moved(state.last, frame)
            missed = (state.expected.motion[:, 0] - truth).square().mean(1)[0]
            local["motion"] = box_mean(missed.cpu().numpy(), block)
            psnr_motion = psnr(missed)
        local |= unlearned
        own = {name: float(value[0, 0]) for name, value in state.expected.terms.items()}
        seen = self._pictures(state.expected, shown, truth)
        return Observation(local, seen, psnr(error), psnr_motion, own)

    def _pictures(self, made: Prediction, shown: Tensor, moved: Tensor | None) -> Compared:
        """References only: nothing is copied for what nobody looks at."""
        return Compared(
            shown[0, :3], made.frame[0, 0],
            None if moved is None else moved[0],
            None if made.motion is None else made.motion[0, 0],
            frame_lag=int(self.model.reconstructs),
            motion_lag=int(not self.model.motion_is_next),
        )  # fmt: skip

    def step(
        self,
        state: ScorerState,
        image: Image | Preprocessed,
        pts_s: float = 0.0,
        hidden: Mask | None = None,
    ) -> tuple[ScorerState, Score]:
        """Score the next frame, as `observe` takes it; the first k frames get NaN.

        hidden: (s, s), places that are never scored (`scoring.masks`).

        Raises:
            ConfigError: the mask is none, or hides everything.
        """
        states, scores = self.step_batch([state], [image], [pts_s], hidden=[hidden])
        return states[0], scores[0]

    def step_batch(
        self,
        states: Sequence[ScorerState],
        images: Sequence[Image | Preprocessed],
        pts_s: Sequence[float],
        *,
        heat: bool = True,
        hidden: Sequence[Mask | None] | None = None,
    ) -> tuple[list[ScorerState], list[Score]]:
        """`step` for the next frame of each of several streams, in one call of the model."""
        known, seen = self.observe_batch(states, images)
        masks = [None] * len(states) if hidden is None else hidden
        found = [
            self.score(state, one, at_s, heat=heat, hidden=mask)
            for state, one, at_s, mask in zip(known, seen, pts_s, masks, strict=True)
        ]
        return [state for state, _ in found], [score for _, score in found]

    def score(
        self,
        state: ScorerState,
        seen: Observation | None,
        pts_s: float,
        *,
        heat: bool = True,
        hidden: Mask | None = None,
    ) -> tuple[ScorerState, Score]:
        """What `observe` saw of the newest frame, as a score: the second half of `step`.

        Near an alarm the state's pardon looks at the frame first: the places that are normal all
        the same are left out, and the score, its terms and the heat are of the rest.

        heat: also make the heat map. hidden: as `step` takes it.
        """
        index = state.index - 1
        if seen is None:
            return state, Score(index, pts_s, float("nan"), float("nan"), False)
        now, terms, fused = self._fused(seen, hidden)
        if state.pardon is not None and now >= state.pardon.limit:
            maps = {name: lowered(m, hidden) for name, m in fused.items()}
            spared = state.pardon.spared(Sight(maps, _grey(state), state.past.cells), now)
            if spared is not None:
                rest = replace(seen, local=without(seen.local, spared))
                now, terms, fused = self._fused(rest, hidden)
        value = smoothed(now, state.smooth, self.config)
        state = replace(state, smooth=value)
        shown = self._heat(fused, hidden) if heat else None
        found = Score(index, pts_s, value, float("nan"), False, terms, shown)
        return state, found.against(self.threshold)

    def _fused(
        self, seen: Observation, hidden: Mask | None
    ) -> tuple[float, dict[str, float], dict[str, Map]]:
        """Score without smoothing, terms, and the maps that both are made of."""
        unusual, terms = self.unusual(seen, hidden)
        worst = {name: largest(m, hidden) for name, m in unusual.items()}
        fused = chosen(unusual, self.config)
        terms |= {f"z_{name}": value for name, value in worst.items()}
        terms["own"] = together(own_streams(worst), self.config)
        return together({name: worst[name] for name in fused}, self.config), terms, fused

    def _heat(self, fused: Mapping[str, Map], hidden: Mask | None) -> Map:
        maps = {name: lowered(m, hidden) for name, m in fused.items()}
        return blanked(fuse_maps(maps, self.model.size, self.config), hidden)

    def mean(self, scores: Sequence[Score]) -> Score:
        """One score of several looks at a frame; NaN where one of them has none yet."""
        if len(scores) == 1:
            return scores[0]
        value = float(np.mean([s.score for s in scores]))
        if math.isnan(value):
            return next(s for s in scores if math.isnan(s.score))
        last = scores[-1]
        terms = {name: float(np.mean([s.terms[name] for s in scores])) for name in last.terms}
        heats = [s.heat for s in scores if s.heat is not None]
        heat = np.asarray(np.mean(heats, axis=0), np.float32) if heats else None
        found = Score(last.index, last.pts_s, value, math.nan, False, terms, heat)
        return found.against(self.threshold)

    def unusual(
        self, seen: Observation, hidden: Mask | None = None
    ) -> tuple[dict[str, Map], dict[str, float]]:
        """Compare with the scene: maps in standard deviations per stream, and the raw terms.

        hidden: left out of the terms `local_STREAM`; the maps are whole.
        """
        if self.scene is None:
            raise ValueError("Scorer.step needs the scene's statistics; fit them with SceneFit")
        alpha = alpha_of(self.config, self.model)
        terms = {"psnr": seen.psnr_frame, "psnr_frame": seen.psnr_frame, **seen.terms}
        if seen.psnr_motion is not None:
            terms["psnr"] = alpha * seen.psnr_frame + (1 - alpha) * seen.psnr_motion
            terms["psnr_motion"] = seen.psnr_motion
        terms |= {f"local_{name}": largest(m, hidden) for name, m in seen.local.items()}
        return {name: self.scene[name].unusual(m) for name, m in seen.local.items()}, terms


def fuse_maps(unusual: Mapping[str, Map], size: int, config: ScoreConfig) -> Map:
    """The heat map (size, size): the streams' unusualness, fused at every place as the score fuses
    frames."""
    fitted = {
        name: m if m.shape == (size, size) else np.asarray(cv2.resize(m, (size, size)), np.float32)
        for name, m in unusual.items()
    }
    return np.asarray(together(fitted, config), dtype=np.float32)


def _grey(state: ScorerState) -> Grey:
    """The newest frame, as the streams without a network see it, else as the model does."""
    if state.past.greys or state.last is None:
        return state.past.greys[-1]
    mean = state.last[0, :3].float().mean(0).cpu().numpy()
    return np.asarray(np.clip(mean * 127.5 + 127.5, 0, 255), np.uint8)


def psnr(error: Tensor) -> float:
    """10 log10(MAX^2 / MSE) in dB, of squared errors of any shape of values in [-1, 1].

    A perfect prediction is capped at 120 dB, not infinite.
    """
    return float(decibels(error))


def decibels(error: Tensor) -> Tensor:
    """`psnr` as a tensor (), which a graph can hold."""
    return 10 * torch.log10(PEAK**2 / error.mean().clamp_min(PEAK**2 * 1e-12))
