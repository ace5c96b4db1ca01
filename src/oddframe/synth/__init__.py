"""A made street scene with anomalies, drawn by code: for the demo, for tests, for trying things."""

from oddframe.synth.config import ANOMALIES, Box, SynthConfig, SynthFrame
from oddframe.synth.render import render_clip
from oddframe.synth.write import write_dataset, write_normal

__all__ = [
    "ANOMALIES",
    "Box",
    "SynthConfig",
    "SynthFrame",
    "render_clip",
    "write_dataset",
    "write_normal",
]
