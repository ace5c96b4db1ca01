"""What is to be exported of a RUN or of a bare model, and what cannot be.

    plan = plan_run(load_run("RUN"))
    plan.graph, plan.card, plan.inputs()

A graph is torch's own modules, on a copy of the model; what is written of it is `write`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from oddframe import __version__
from oddframe.errors import ConfigError
from oddframe.export.card import Card, FlowSource, Kind, fingerprint
from oddframe.export.judge import Judge
from oddframe.export.step import Clip, Step, scans
from oddframe.models.base import VADModel
from oddframe.models.flow_windowed import FlowWindowed
from oddframe.runs import Run
from oddframe.scoring.fuse import OWN
from oddframe.scoring.scene import StreamScene
from oddframe.scoring.settings import ScoreConfig, alpha_of

Scan = Literal["unrolled", "linear-attention"]
"""A scan as plain operators, or as one node of ONNX (`ops.exported`)."""
SCANS: dict[str, Scan] = {"unrolled": "unrolled", "linear-attention": "linear-attention"}
OF_OPENCV = {
    "flow": "the speed of optical flow",
    "way": "which ways are rare at a place",
    "stay": "what stays",
}
"""Streams that no graph has, since OpenCV computes them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One graph to be made."""

    graph: Step | Clip
    """In eval mode; nothing in it needs a gradient."""
    card: Card

    def inputs(self) -> tuple[Any, ...]:
        """An example, zeros: pictures of another size than the model's, the state, flow."""
        size, many = self.card.size, (self.card.history + 1,) * (self.card.kind == "clip")
        pictures = torch.zeros((*many, size + 16, size + 32, 3), dtype=torch.uint8)
        state = (self.graph.init_state(),) if isinstance(self.graph, Step) else ()
        flow = () if self.card.flow == "none" else (torch.zeros(*many, 2, size, size),)
        return (pictures, *state, *flow)


def plan_run(run: Run, kind: Kind = "step", scan: Scan = "unrolled") -> Plan:
    """The graph of a RUN.

    Raises:
        ConfigError: it cannot be exported, as `plan_model`.
        RunError: its weights are absent or damaged.
    """
    found = plan_model(run.name, run.model(), run.score_config, run.scene, kind, scan)
    config = run.score_config
    otherwise = config.lag_s or (config.smooth and kind == "clip")  # `_about` says which
    threshold = run.threshold if found.card.score == "full" and not otherwise else None
    card = replace(
        found.card, run=fingerprint(run), fps=run.fps, threshold=threshold,
        threshold_of_full=run.threshold,
    )  # fmt: skip
    return Plan(found.graph, card)


def plan_model(
    name: str,
    model: VADModel,
    config: ScoreConfig,
    scene: Mapping[str, StreamScene],
    kind: Kind = "step",
    scan: Scan = "unrolled",
) -> Plan:
    """The graph of a model in a scene, which says what is usual for each of its streams.

    Raises:
        ConfigError: nothing of the score comes out of the model, or it has no scan to write as
            `linear-attention`.
    """
    own = tuple(stream for stream in scene if stream in OWN)
    fused = [stream for stream in config.streams or scene if stream in scene]
    left_out = tuple(stream for stream in fused if stream not in OWN)
    if not set(fused) & set(own):
        raise ConfigError(
            f"The score of this RUN is made of {', '.join(fused)}, which need no network and are "
            "computed by OpenCV: there is nothing to export. Give a RUN whose score.streams has "
            f"{' or '.join(OWN)}."
        )
    copy, flow = ready(name, model, scan)
    judge = Judge(copy.size, alpha_of(config, copy), config, scene)
    graph: Any = {"step": Step, "clip": Clip}[kind](copy, judge)
    card = Card(
        oddframe=__version__, run="", model=name, kind=kind, size=copy.size,
        history=copy.history, fps=None, score="own" if left_out else "full",
        about=_about(config, left_out, kind), streams=own, left_out=left_out, threshold=None,
        threshold_of_full=None, flow=flow, scan=scan if scans(copy) else "none",
    )  # fmt: skip
    return Plan(graph.eval(), card)


def ready(name: str, model: VADModel, scan: Scan) -> tuple[VADModel, FlowSource]:
    """A copy of a model that graphs can be made of, and where it has its flow from.

    Optical flow by OpenCV cannot be in a graph: it becomes channels of the frame, as of models that
    read it from files.
    """
    copy = deepcopy(model).cpu().eval().requires_grad_(False)
    flow: FlowSource = "none"
    if isinstance(copy, FlowWindowed) and copy.flow != "rgbdiff":
        flow = copy.flow
        copy.set_flow("file")
    if scan == "linear-attention" and not scans(copy):
        raise ConfigError(
            f"{name} has no selective scan, so there is none to write as LinearAttention. Leave "
            "--scan out."
        )
    for module in scans(copy):
        module.backend = scan
    return copy, flow


def _about(config: ScoreConfig, left_out: Sequence[str], kind: Kind) -> str:
    """The score in words."""
    text = "deviations from the scene's normal footage, larger = more anomalous"
    if left_out:
        told = ", ".join(f"{OF_OPENCV[name]} ({name})" for name in left_out)
        text += f"; of the model's own streams alone, without {told}: not the score of the RUN"
    if config.smooth and kind == "clip":
        text += f"; not smoothed (score.smooth is {config.smooth:g})"
    if config.lag_s:
        text += f"; without the median over {config.lag_s:g} s before and after (score.lag_s)"
    return text
