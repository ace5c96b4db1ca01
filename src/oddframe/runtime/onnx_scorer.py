"""A RUN whose model is an exported ONNX file: only the arithmetic of the network is another's.

    detector = oddframe.load("RUN", onnx="model.onnx")

Pictures are resized, streams without a network are seen, and all are fused by `Scorer`, with the
same code for both runtimes. The graph gives what the model makes of a frame: local means of its
errors, and raw terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from oddframe.data.frames import to_picture
from oddframe.errors import ConfigError, RunError
from oddframe.export.card import NEXT, STATE, Card, fingerprint
from oddframe.models.base import VADModel
from oddframe.models.flow_windowed import dis_pixels
from oddframe.pictures import Picture
from oddframe.runs import Run
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.seen import Compared, Observation, Preprocessed, ScorerState
from oddframe.scoring.usual import Usual
from oddframe.types import Image

Arrays = dict[str, NDArray[Any]]
KINDS = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
OUTER = ("psnr", "psnr_frame", "psnr_motion", "own")
"""Terms that are not the model's own, with those that begin with local_ or z_."""


class OnnxStep:
    """An exported streaming step in ONNX Runtime.

    threads: of one call.
    """

    def __init__(self, file: Path, threads: int = 1) -> None:
        """Load the file.

        Raises:
            ConfigError: the extra `[onnx]` is not installed.
            RunError: no such file, or not one that `oddframe export` wrote.
        """
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        try:
            self._session = runtime.InferenceSession(
                file.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except OSError as error:
            raise RunError(
                f"{file} cannot be read: {error.strerror or error}. Give a file that "
                "`oddframe export --to onnx` wrote."
            ) from None
        except Exception as error:  # its classes are private
            told = str(error).strip().splitlines()[0]
            raise RunError(
                f"{file} cannot be loaded by ONNX Runtime {runtime.__version__}: {told} Export the "
                "RUN again, or install a newer onnxruntime."
            ) from None
        said = self._session.get_modelmeta().custom_metadata_map
        self.card = Card.read(said, str(file))
        self._outputs = [out.name for out in self._session.get_outputs()]

    def init_state(self) -> Arrays:
        """The state of a stream that has seen no picture."""
        return {
            i.name: np.zeros(i.shape, KINDS[i.type])
            for i in self._session.get_inputs()
            if i.name.startswith(STATE)
        }

    def __call__(self, state: Arrays, inputs: Arrays) -> tuple[Arrays, Arrays]:
        """The next state, and everything else that comes out, by name.

        inputs: `picture`, and `flow` where the card says so.
        """
        found = self._session.run(None, {**inputs, **state})
        out = dict(zip(self._outputs, found, strict=True))
        new = {
            STATE + name.removeprefix(NEXT): out.pop(name)
            for name in self._outputs
            if name.startswith(NEXT)
        }
        return new, out


def onnxruntime() -> Any:
    """The package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import onnxruntime as found
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs the package onnxruntime ({error}). Install it: "
            "pip install 'oddframe[onnx]'"
        ) from None
    return found


def step_of(file: Path, run: Run) -> OnnxStep:
    """The step of a file, if it was exported from this RUN.

    Raises:
        ConfigError: as `OnnxStep`.
        RunError: as `OnnxStep`; a clip, or of another RUN.
    """
    step = OnnxStep(file, torch.get_num_threads())
    if step.card.kind != "step":
        raise RunError(
            f"{file} holds the stateless clip; scoring needs the streaming step. Export without "
            "--clip."
        )
    if step.card.run != fingerprint(run):
        raise RunError(
            f"{file} was exported from another RUN than {run.path} as it is now: the fingerprint "
            f"of its weights, configuration and scene is {step.card.run[:12]}…, expected "
            f"{fingerprint(run)[:12]}…. Export this one: oddframe export {run.path} --to onnx"
        )
    return step


class OnnxScorer(Scorer):
    """A `Scorer` that asks ONNX Runtime in place of its model; streams are worked off in turn.

    outline: the RUN's model without weights (`Run.outline`).
    """

    def __init__(self, run: Run, outline: VADModel, usual: Usual | None, step: OnnxStep) -> None:
        # The model says what it is and is never run: it has no weights.
        super().__init__(outline, run.score_config, run.scene, run.threshold, "meta", usual=usual)
        self.run = step

    def init_state(self) -> ScorerState:
        """State of a stream that has seen no frame."""
        return ScorerState(self.run.init_state())

    def observe_batch(
        self, states: Sequence[ScorerState], images: Sequence[Image | Picture | Preprocessed]
    ) -> tuple[list[ScorerState], list[Observation | None]]:
        """The next frame of each of several streams, one after the other."""
        found = [
            self._one(state, x if isinstance(x, Preprocessed) else self.preprocess(x, state.past))
            for state, x in zip(states, images, strict=True)
        ]
        return [state for state, _ in found], [seen for _, seen in found]

    def _one(
        self, state: ScorerState, ready: Preprocessed
    ) -> tuple[ScorerState, Observation | None]:
        frame = torch.from_numpy(ready.frame)[None]
        inputs: Arrays = {"picture": to_picture(ready.frame[:3])}
        if (flow := self._flow(state, frame)) is not None:
            inputs["flow"] = flow
        known, out = self.run(state.model, inputs)
        new = ScorerState(
            known, state.index + 1, frame, None, None, ready.past, state.smooth, state.pardon,
            state.light,
        )  # fmt: skip
        # Behind a gap the index goes on, and the graph's own count starts anew.
        if np.isnan(out["score"]):
            return new, None
        local = {name: out[f"local.{name}"] for name in self.run.card.streams}
        terms = {
            name.removeprefix("term."): float(value)
            for name, value in out.items()
            if name.startswith("term.")
        }
        own = {
            name: value
            for name, value in terms.items()
            if name not in OUTER and not name.startswith(("local_", "z_"))
        }
        seen = Observation(
            local | ready.local, self._compared(state, frame), terms["psnr_frame"],
            terms.get("psnr_motion"), own,
        )  # fmt: skip
        return new, seen

    def _compared(self, state: ScorerState, frame: torch.Tensor) -> Compared:
        """The pictures behind it; what was expected lies in the state of before."""
        model, past = self.model, state.model
        assert state.last is not None
        shown = state.last if model.reconstructs else frame
        motion = past.get(f"{STATE}expected.motion")
        moved = None
        if motion is not None:
            known = past.get(f"{STATE}moved")
            moved = model.moved(state.last, frame) if known is None else torch.from_numpy(known)
        return Compared(
            shown[0, :3], torch.from_numpy(past[f"{STATE}expected.frame"])[0, 0],
            None if moved is None else moved[0],
            None if motion is None else torch.from_numpy(motion)[0, 0],
            frame_lag=int(model.reconstructs), motion_lag=int(not model.motion_is_next),
        )  # fmt: skip

    def _flow(self, state: ScorerState, frame: torch.Tensor) -> NDArray[np.float32] | None:
        """(2, s, s) px per frame; zeros before there is a frame to compare with."""
        if self.run.card.flow == "none":
            return None
        if self.run.card.flow == "file":
            return np.asarray(frame[0, 3:].numpy(), np.float32)
        if state.last is None:
            return np.zeros((2, *frame.shape[2:]), np.float32)
        return np.ascontiguousarray(dis_pixels(state.last, frame)[0].numpy(), np.float32)
