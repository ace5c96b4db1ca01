"""From a street and its people to frames with truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.errors import ConfigError
from oddframe.synth.actors import Actor, Moment
from oddframe.synth.config import ANOMALIES, Box, SynthConfig, SynthFrame
from oddframe.synth.events import make_events
from oddframe.synth.light import Light, Noise
from oddframe.synth.scene import SHADOW, Scene, make_scene
from oddframe.synth.shapes import Figure, Sprite, assemble, draw_figure, draw_shadow
from oddframe.synth.traffic import make_room, make_walkers

Floats = NDArray[np.float32]

# The street of a seed is the same for every clip and takes 0.2 s; it is never written to.
_scene = lru_cache(maxsize=4)(make_scene)


def frame_count(config: SynthConfig, seconds: float) -> int:
    """Frames in a clip of so many seconds, at least one."""
    return max(1, round(seconds * config.fps))


def render_clip(config: SynthConfig, clip_seed: int, kind: str | Sequence[str] | None,
                seconds: float) -> Iterator[SynthFrame]:  # fmt: skip
    """Render one clip of the street of `config.seed`.

    Args:
        config: the street.
        clip_seed: which people and which weather.
        kind: the anomaly that happens, several to happen one after the other, None for normal.
        seconds: length of the clip.

    Examples:
        >>> frames = list(render_clip(SynthConfig(seed=3), 0, "cyclist", 2.0))
        >>> len(frames), frames[0].image.shape
        (30, (240, 360, 3))
    """
    kinds = () if kind is None else (kind,) if isinstance(kind, str) else tuple(kind)
    unknown = [k for k in kinds if k not in ANOMALIES]
    if unknown:
        raise ConfigError(f"Unknown anomaly {unknown[0]!r}: expected {', '.join(ANOMALIES)}.")
    return _frames(config, clip_seed, kinds, seconds)


def _frames(config: SynthConfig, clip_seed: int, kinds: tuple[str, ...],
            seconds: float) -> Iterator[SynthFrame]:  # fmt: skip
    scene = _scene(config)
    rng = np.random.default_rng([config.seed, 3, clip_seed])
    walkers = make_walkers(scene.layout, config.people, rng, seconds)
    guests = make_events(scene, kinds, rng, seconds)
    actors = make_room(scene.layout, walkers, guests, seconds) + guests
    light = Light(rng, scene.layout.size)
    noise = Noise(rng, scene.layout.size, config.noise)
    for index in range(frame_count(config, seconds)):
        t = index / config.fps
        stage = _Stage(scene, t, light.sun(t))
        stage.enter(actors)
        picture = stage.picture * (light.gain(t) * scene.vignette)[..., None]
        # A lens and a cheap sensor: half a pixel of blur before the noise.
        picture = cv2.GaussianBlur(picture, (3, 3), 0.55)
        image = cv2.add(picture, np.ascontiguousarray(noise.next()), dtype=cv2.CV_8U)
        yield _with_truth(config, np.asarray(image, np.uint8), stage.marks)


class _Stage:
    """One frame under construction: the picture and the visible share of every anomaly."""

    def __init__(self, scene: Scene, t: float, sun: float) -> None:
        self.picture = scene.background.copy()
        self.marks: list[tuple[str, Floats]] = []
        self._scene = scene
        self._t = t
        self._sun = sun

    def enter(self, actors: list[Actor]) -> None:
        """Draw everybody: shadows first, then figures from far to near."""
        layout = self._scene.layout
        cast: list[tuple[Figure, Actor, Moment, float]] = []
        for actor in actors:
            if not actor.there(self._t):
                continue
            moment = actor.track.at(self._t)
            place = layout.place(moment.u, moment.v, moment.yaw)
            if place.z < 1.5:
                continue
            cast.append(
                (assemble(actor.body.parts(moment, self._t), place), actor, moment, place.z)
            )
        cast.sort(key=lambda entry: -entry[3])
        self._shadows([figure for figure, *_ in cast])
        for figure, actor, moment, z in cast:
            sprite = draw_figure(figure, layout.camera, layout.size)
            if sprite is not None:
                self._paste(sprite, z, moment.v, actor.kind_at(self._t))

    def _shadows(self, figures: list[Figure]) -> None:
        layout = self._scene.layout
        dark = np.zeros(self.picture.shape[:2], np.float32)
        for figure in figures:
            sprite = draw_shadow(figure, layout.camera, layout.size, layout.sun)
            if sprite is not None:
                x0, y0, x1, y1 = sprite.box
                area = dark[y0:y1, x0:x1]
                np.maximum(area, sprite.rgba[..., 0], out=area)
        strength = np.float32(SHADOW * self._sun)
        self.picture *= (1 - strength * dark * (1 - self._scene.cover))[..., None]

    def _paste(self, sprite: Sprite, z: float, v: float, kind: str | None) -> None:
        """Lay a figure over the picture, behind the props that stand before it."""
        x0, y0, x1, y1 = sprite.box
        alpha = sprite.rgba[..., 3] / np.float32(255)
        colour = sprite.rgba[..., :3]
        seen = self._seen(sprite, z, v)
        if seen is not None:
            alpha = alpha * seen
            colour = colour * seen[..., None]
        area = self.picture[y0:y1, x0:x1]
        area *= (1 - alpha)[..., None]
        area += colour
        for _, mark in self.marks:  # who comes later stands nearer and hides
            mark[y0:y1, x0:x1] *= 1 - alpha
        if kind is not None:
            mark = np.zeros(self.picture.shape[:2], np.float32)
            mark[y0:y1, x0:x1] = alpha
            self.marks.append((kind, mark))

    def _seen(self, sprite: Sprite, z: float, v: float) -> Floats | None:
        """The share of each pixel of a figure that no prop hides; None where all are free."""
        x0, y0, x1, y1 = sprite.box
        camera_v = self._scene.layout.camera_v
        seen: Floats | None = None
        for prop in self._scene.props:
            a0, b0, a1, b1 = prop.sprite.box
            left, top, right, low = max(x0, a0), max(y0, b0), min(x1, a1), min(y1, b1)
            if left >= right or top >= low or not prop.hides(z, v, camera_v):
                continue
            if seen is None:
                seen = np.ones(sprite.rgba.shape[:2], np.float32)
            alpha = prop.sprite.rgba[top - b0 : low - b0, left - a0 : right - a0, 3]
            seen[top - y0 : low - y0, left - x0 : right - x0] *= 1 - alpha / np.float32(255)
        return seen


def _with_truth(config: SynthConfig, image: NDArray[np.uint8],
                marks: list[tuple[str, Floats]]) -> SynthFrame:  # fmt: skip
    """Keep the anomalies that are large enough; label, boxes and mask come from the same pixels."""
    total = np.zeros(image.shape[:2], np.bool_)
    boxes: list[Box] = []
    for kind, mark in marks:
        mask = mark > 0.5
        if int(mask.sum()) < config.min_area_px:
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append(
            Box(kind, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        )
        total |= mask
    return SynthFrame(image, int(bool(boxes)), tuple(boxes), total)
