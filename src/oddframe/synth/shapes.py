"""Solid parts in metres and the canvas that draws them.

Everybody and everything that stands on the ground is a list of `Part`s: hulls of spheres (a limb is
a hull of two, a torso of four) or thick lines (wheels). One list serves the figure and its shadow,
which is the same parts pressed flat along the sun's direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.synth.camera import Camera, Points

Colour = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""

SUPERSAMPLE = 3
"""Figures are drawn this much larger without antialiasing and then averaged: with OpenCV's own
antialiasing the alpha of overlapping parts does not add up to opaque."""

_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 12, endpoint=False)),
     np.sin(np.linspace(0, 2 * np.pi, 12, endpoint=False))], axis=1
)  # fmt: skip


@dataclass(slots=True)
class Part:
    """A hull of spheres, or a thick line through their centres; (forward, left, up) in metres."""

    points: Points
    """(k, 3)."""
    radius: float | tuple[float, ...]
    """Of every sphere, or one each; half the thickness of a line."""
    colour: Colour
    bias: float = 0.0
    """Metres by which the part counts as nearer than it is when parts are sorted by depth."""
    line: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a figure stands: ground point and unit heading (x, z)."""

    x: float
    z: float
    heading_x: float
    heading_z: float

    def to_world(self, local: Points) -> Points:
        """Local (forward, left, up) to world (x, y, z), (n, 3) each."""
        forward, left, up = local[:, 0], local[:, 1], local[:, 2]
        x = self.x + forward * self.heading_x - left * self.heading_z
        z = self.z + forward * self.heading_z + left * self.heading_x
        return np.stack([x, up, z], axis=1)


@dataclass(frozen=True, slots=True)
class Sprite:
    """A piece of picture with alpha; `rgba` is (h, w, 4) float32, colour already times alpha."""

    x0: int
    y0: int
    rgba: NDArray[np.float32]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels, ends exclusive."""
        height, width = self.rgba.shape[:2]
        return self.x0, self.y0, self.x0 + width, self.y0 + height


def limb(a: Sequence[float], b: Sequence[float], radius: float | tuple[float, ...],
         colour: Colour, bias: float = 0.0) -> Part:  # fmt: skip
    """A capsule from a to b."""
    return Part(np.array([a, b], dtype=float), radius, colour, bias)


def ball(centre: Sequence[float], radius: float, colour: Colour, bias: float = 0.0) -> Part:
    """A sphere."""
    return Part(np.array([centre], dtype=float), radius, colour, bias)


def hull(points: Sequence[Sequence[float]], radius: float | tuple[float, ...], colour: Colour,
         bias: float = 0.0) -> Part:  # fmt: skip
    """The convex hull of spheres."""
    return Part(np.array(points, dtype=float), radius, colour, bias)


def shade(colour: Colour, factor: float) -> Colour:
    """A lighter or darker version of a colour."""
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _fill(canvas: NDArray[np.uint8], centres: Points, radii: Points, line: bool,
          colour: tuple[float, ...]) -> None:  # fmt: skip
    """Draw one part; lengths in canvas pixels. Four fractional bits keep motion smooth."""
    if line:
        fixed = np.round(centres * 16).astype(np.int32)
        thickness = max(1, round(2 * float(radii[0])))
        cv2.polylines(canvas, [fixed], False, colour, thickness, cv2.LINE_8, 4)
        return
    if len(centres) == 1:
        x, y = np.round(centres[0] * 16).astype(int)
        cv2.circle(
            canvas, (int(x), int(y)), max(8, round(radii[0] * 16)), colour, -1, cv2.LINE_8, 4
        )
        return
    rim = (centres[:, None] + radii[:, None, None] * _CIRCLE[None]).reshape(-1, 2)
    outline = cv2.convexHull(np.round(rim * 16).astype(np.int32))
    cv2.fillConvexPoly(canvas, outline, colour, cv2.LINE_8, 4)


@dataclass(slots=True)
class Figure:
    """Parts of one figure, projected: what both the figure and its shadow are drawn from."""

    parts: list[Part]
    world: Points
    """(n, 3), the points of all parts one after the other."""
    radii: Points
    """(n,) metres."""
    starts: list[int]


def assemble(parts: list[Part], place: Placement) -> Figure:
    """Put parts into the world, farthest first."""
    local = np.concatenate([part.points for part in parts])
    world = place.to_world(local)
    counts = [len(part.points) for part in parts]
    starts = np.concatenate([[0], np.cumsum(counts)])
    depth = np.add.reduceat(world[:, 2], starts[:-1]) / counts - [part.bias for part in parts]
    radii = np.concatenate(
        [np.broadcast_to(np.asarray(p.radius, float), len(p.points)) for p in parts]
    )
    order = np.argsort(-depth, kind="stable")
    index = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order])
    ordered = [parts[i] for i in order]
    ends = np.cumsum([counts[i] for i in order]).tolist()
    return Figure(ordered, world[index], radii[index], [0, *ends])


def _window(pixels: Points, reach: Points, size: tuple[int, int],
            margin: int) -> tuple[int, int, int, int] | None:  # fmt: skip
    """Integer box (x0, y0, x1, y1) around discs, clipped to the picture; None where outside."""
    low = np.floor((pixels - reach[:, None]).min(axis=0)).astype(int) - margin
    high = np.ceil((pixels + reach[:, None]).max(axis=0)).astype(int) + margin
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]), size[0]), min(int(high[1]), size[1])
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def draw_figure(figure: Figure, camera: Camera, size: tuple[int, int]) -> Sprite | None:
    """Render a figure; size is (width, height) of the picture. None where nothing is in view."""
    pixels = camera.project(figure.world)
    reach = figure.radii * camera.focal / np.maximum(figure.world[:, 2], 0.3)
    window = _window(pixels, reach, size, 1)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    factor = SUPERSAMPLE
    canvas = np.zeros(((y1 - y0) * factor, (x1 - x0) * factor, 4), np.uint8)
    centres = (pixels - (x0, y0)) * factor - 0.5
    radii = reach * factor
    for part, a, b in zip(figure.parts, figure.starts, figure.starts[1:], strict=False):
        _fill(canvas, centres[a:b], radii[a:b], part.line, (*part.colour, 255.0))
    small = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return Sprite(x0, y0, small.astype(np.float32))


def draw_shadow(figure: Figure, camera: Camera, size: tuple[int, int],
                sun: tuple[float, float]) -> Sprite | None:  # fmt: skip
    """The shadow on the ground as a one-channel sprite (h, w, 1), 0 to 1.

    `sun` is the offset (x, z) in metres of a shadow per metre of height.
    """
    flat = figure.world.copy()
    flat[:, 0] += figure.world[:, 1] * sun[0]
    flat[:, 2] += figure.world[:, 1] * sun[1]
    flat[:, 1] = 0.0
    pixels = camera.project(flat)
    reach = figure.radii * camera.focal / np.maximum(flat[:, 2], 0.3) * 0.8
    window = _window(pixels, reach, size, 3)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for part, a, b in zip(figure.parts, figure.starts, figure.starts[1:], strict=False):
        _fill(canvas, pixels[a:b] - (x0, y0), reach[a:b], part.line, (255.0,))
    soft = cv2.blur(canvas, (3, 3))
    return Sprite(x0, y0, (soft.astype(np.float32) / 255.0)[..., None])
