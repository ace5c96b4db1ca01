"""Where things are on one street: camera, direction and bands of the path, lanes, sun, colours.

Path coordinates: u along the path, v across it (growing away from the near side), metres; v = 0 is
the middle of the two-way path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from oddframe.synth.camera import Camera
from oddframe.synth.config import SynthConfig
from oddframe.synth.shapes import Colour, Placement, shade


@dataclass(frozen=True, slots=True)
class Lane:
    """A strip of the path; `direction` is +1 or -1 along u, 0 where people go both ways."""

    v: float
    half_width: float
    direction: int
    u_in: float
    u_out: float
    """First and last place along u at which somebody on this lane can be seen."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one street (BGR)."""

    paving: Colour
    lane: Colour
    verge: Colour
    wall: Colour
    trim: Colour
    surface: str
    """tiles, slabs or asphalt."""
    wall_style: str
    """brick, plaster or concrete."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The plan of one street."""

    camera: Camera
    size: tuple[int, int]
    """Width and height of the picture in pixels."""
    origin: tuple[float, float]
    """Ground point (x, z) of u = v = 0."""
    angle: float
    """Direction of u in radians, 0 = to the right, towards positive = away from the camera."""
    half_path: float
    """Half the width of the two-way path in metres."""
    one_way: tuple[float, float]
    """The v of both edges of the one-way lane."""
    rail_v: float
    """The v of the railing between the path and the one-way lane."""
    wall_v: float
    """The v of the building's front."""
    lanes: tuple[Lane, ...]
    """The last one is the one-way lane."""
    sun: tuple[float, float]
    """Offset (x, z) of a shadow in metres per metre of height."""
    palette: Palette

    def ground(self, u: float, v: float) -> tuple[float, float]:
        """Ground point (x, z) of path coordinates."""
        c, s = cos(self.angle), sin(self.angle)
        return self.origin[0] + u * c - v * s, self.origin[1] + u * s + v * c

    def path_coordinates(self, x: float, z: float) -> tuple[float, float]:
        """Path coordinates (u, v) of a ground point."""
        c, s = cos(self.angle), sin(self.angle)
        dx, dz = x - self.origin[0], z - self.origin[1]
        return dx * c + dz * s, -dx * s + dz * c

    def place(self, u: float, v: float, yaw: float) -> Placement:
        """A figure at (u, v) that looks along +u turned left by yaw radians."""
        x, z = self.ground(u, v)
        return Placement(x, z, cos(self.angle + yaw), sin(self.angle + yaw))

    @property
    def camera_v(self) -> float:
        """The v of the point below the camera: tells which side of a railing faces us."""
        return self.path_coordinates(0.0, 0.0)[1]

    def column_row(self, u: float, v: float, up: float = 0.0) -> tuple[float, float]:
        """Where a point `up` metres above path coordinates lies in the picture."""
        x, z = self.ground(u, v)
        pixel = self.camera.project(np.array([[x, up, z]]))[0]
        return float(pixel[0]), float(pixel[1])

    def visible(self, v: float, margin: float) -> tuple[float, float]:
        """First and last u at which a person on this v touches the picture; margin in metres."""
        u = np.arange(-45.0, 45.0, 0.1)
        ground = np.array([self.ground(float(a), v) for a in u])
        z = ground[:, 1]
        foot = self.camera.project(np.stack([ground[:, 0], np.zeros_like(u), z], axis=1))
        head = self.camera.project(np.stack([ground[:, 0], np.full_like(u, 1.9), z], axis=1))
        reach = margin * self.camera.focal / np.maximum(z, 0.3)
        width, height = self.size
        seen: NDArray[np.bool_] = (
            (z > 2.5) & (foot[:, 0] > -reach) & (foot[:, 0] < width + reach)
            & (foot[:, 1] > 0) & (head[:, 1] < height)
        )  # fmt: skip
        inside = u[seen]
        return (float(inside[0]), float(inside[-1])) if len(inside) else (-1.0, 1.0)


def _palette(rng: np.random.Generator) -> Palette:
    paving: list[Colour] = [(150, 158, 162), (128, 140, 152), (120, 124, 126), (140, 152, 172)]
    lane: list[Colour] = [(118, 122, 124), (104, 112, 128), (132, 128, 120), (98, 100, 102)]
    verge: list[Colour] = [(58, 98, 82), (50, 88, 76), (70, 108, 96), (120, 128, 130)]
    wall: list[Colour] = [(96, 112, 150), (150, 172, 184), (138, 142, 144), (120, 150, 176)]
    trim: list[Colour] = [(200, 205, 205), (70, 72, 74), (160, 170, 180)]

    def take(table: list[Colour]) -> Colour:
        return shade(table[int(rng.integers(len(table)))], float(rng.uniform(0.88, 1.08)))

    return Palette(
        take(paving), take(lane), take(verge), take(wall), take(trim),
        surface=str(rng.choice(["tiles", "slabs", "asphalt"])),
        wall_style=str(rng.choice(["brick", "plaster", "concrete"])),
    )  # fmt: skip


def make_layout(config: SynthConfig) -> Layout:
    """The street of a seed: a path across the picture (2 of 3) or one that leads away."""
    rng = np.random.default_rng([config.seed, 1])
    k = config.height / 240.0
    across = bool(rng.random() < 0.67)
    if across:
        camera_m, horizon = float(rng.uniform(3.9, 4.9)), float(rng.uniform(0, 24))
        angle = float(rng.uniform(4, 15)) * (1 if rng.random() < 0.5 else -1)
        row, half_path = float(rng.uniform(134, 146)), float(rng.uniform(2.5, 3.2))
        column = float(rng.uniform(-40, 40))
    else:
        camera_m, horizon = float(rng.uniform(5.8, 6.8)), float(rng.uniform(-110, -80))
        angle = float(rng.uniform(60, 72)) * (1 if rng.random() < 0.5 else -1)
        row, half_path = float(rng.uniform(120, 132)), float(rng.uniform(2.2, 2.7))
        column = -math.copysign(float(rng.uniform(22, 42)), angle)  # the one-way lane in full view
    camera = Camera(430.0 * k, config.width / 2, horizon * k, camera_m)
    origin = camera.ground(config.width / 2 + column * k, row * k)
    near = -half_path - 0.7  # the one-way lane lies on the near side, beyond a railing
    lane_width = float(rng.uniform(1.6, 2.0))
    wall_v = half_path + float(rng.uniform(2.0, 3.6) if across else rng.uniform(3.5, 5.0))
    bare = Layout(
        camera, (config.width, config.height), origin, radians(angle), half_path,
        (near - lane_width, near), -half_path - 0.35, wall_v, (),
        (float(rng.uniform(0.35, 0.8)) * (1 if rng.random() < 0.5 else -1),
         float(rng.uniform(-0.45, 0.35))), _palette(rng),
    )  # fmt: skip
    return _with_lanes(bare, 1 if rng.random() < 0.5 else -1)


def _with_lanes(layout: Layout, one_way: int) -> Layout:
    """Four two-way lanes on the path and the one-way lane."""
    step = layout.half_path / 4
    places = [(step * offset, step, 0) for offset in (-3, -1, 1, 3)]
    low, high = layout.one_way
    places.append(((low + high) / 2, (high - low) / 2, one_way))
    lanes = tuple(Lane(v, half, way, *layout.visible(v, 0.7)) for v, half, way in places)
    return Layout(
        layout.camera, layout.size, layout.origin, layout.angle, layout.half_path, layout.one_way,
        layout.rail_v, layout.wall_v, lanes, layout.sun, layout.palette,
    )  # fmt: skip
