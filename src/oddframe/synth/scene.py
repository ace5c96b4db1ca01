"""One street ready to be walked on: the empty picture with its props, and what hides whom."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.synth.backdrop import paint_backdrop
from oddframe.synth.config import SynthConfig
from oddframe.synth.layout import Layout, make_layout
from oddframe.synth.props import Prop, make_props

SHADOW = 0.42
"""Share of the light a full shadow takes away under a clear sky."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The street of one seed."""

    layout: Layout
    background: NDArray[np.float32]
    """(h, w, 3) BGR 0 to 255, before light, blur and noise; all props drawn in."""
    props: tuple[Prop, ...]
    cover: NDArray[np.float32]
    """(h, w), 0 to 1: alpha of all props together, where no shadow of a walker may fall."""
    vignette: NDArray[np.float32]
    """(h, w): the share of light that reaches a pixel."""


def make_scene(config: SynthConfig) -> Scene:
    """Build the street of `config.seed`; takes 0.2 s."""
    layout = make_layout(config)
    rng = np.random.default_rng([config.seed, 2])
    width, height = layout.size
    large = paint_backdrop(layout, rng, 3)
    picture = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    ground = np.zeros((height, width), np.float32)
    props = make_props(layout, rng, ground)
    picture *= (1 - np.float32(SHADOW) * ground)[..., None]
    cover = np.zeros((height, width), np.float32)
    for prop in props:
        x0, y0, x1, y1 = prop.sprite.box
        alpha = prop.sprite.rgba[..., 3:] / np.float32(255)
        texture = 1 + np.float32(0.06) * rng.standard_normal(alpha.shape).astype(np.float32)
        part = picture[y0:y1, x0:x1]
        part[:] = part * (1 - alpha) + prop.sprite.rgba[..., :3] * texture
        cover[y0:y1, x0:x1] = 1 - (1 - cover[y0:y1, x0:x1]) * (1 - alpha[..., 0])
    rows = (np.arange(height, dtype=np.float32)[:, None] - height / 2) / (height / 2)
    columns = (np.arange(width, dtype=np.float32)[None] - width / 2) / (width / 2)
    vignette = 1 - np.float32(0.09) * (rows**2 + columns**2)
    return Scene(layout, np.clip(picture, 4, 250), tuple(props), cover, vignette.astype(np.float32))
