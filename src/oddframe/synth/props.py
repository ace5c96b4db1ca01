"""Trees, lamp posts, benches, bins and the railing: what stands still and hides people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.synth.layout import Layout
from oddframe.synth.shapes import (
    Part,
    Placement,
    Sprite,
    assemble,
    ball,
    draw_figure,
    draw_shadow,
    hull,
    limb,
    shade,
)

Parts = list[Part]


@dataclass(frozen=True, slots=True)
class Prop:
    """Something that stands still: its picture, and whom it hides."""

    sprite: Sprite
    z: float
    """Depth of its foot in metres."""
    rail_v: float | None = None
    """For a railing: its v; it hides those on the other side of it."""

    def hides(self, z: float, v: float, camera_v: float) -> bool:
        """Whether it stands before somebody at depth z and path coordinate v."""
        if self.rail_v is not None:
            return (v > self.rail_v) != (camera_v > self.rail_v)
        return self.z < z


def tree(rng: np.random.Generator, fork: float = 2.6, spread: float = 1.7) -> Parts:
    """A street tree; its crown of radius `spread` begins `fork` metres up."""
    bark = shade((58, 72, 84), float(rng.uniform(0.75, 1.1)))
    leaf = shade((48, 96, 74), float(rng.uniform(0.75, 1.05)))
    fork += float(rng.uniform(0, 0.4))
    parts = [limb((0, 0, 0), (0, 0.05, fork), (0.17, 0.12), bark)]
    for _ in range(4):
        tip = (*rng.uniform(-0.9, 0.9, 2), fork + float(rng.uniform(0.7, 1.4)))
        parts.append(limb((0, 0.05, fork), tip, (0.09, 0.05), bark))
    for _ in range(420):
        a, r = rng.uniform(0, 2 * np.pi), spread * np.sqrt(rng.uniform(0, 1))
        up = float(rng.uniform(fork + 0.1, fork + 3.2))
        r *= 1.0 - 0.13 * abs(up - fork - 1.4)
        light = 0.62 + 0.16 * (up - fork) + 0.2 * float(rng.uniform(-1, 1))
        parts.append(ball((r * np.cos(a), r * np.sin(a), up), float(rng.uniform(0.06, 0.2)),
                          shade(leaf, light)))  # fmt: skip
    return parts


def bush(rng: np.random.Generator) -> Parts:
    """A bush of about a metre."""
    leaf = shade((44, 84, 64), float(rng.uniform(0.7, 1.05)))
    parts = []
    for _ in range(160):
        x, y = rng.uniform(-0.7, 0.7, 2)
        up = float(rng.uniform(0.05, 0.85))
        light = 0.6 + 0.45 * up + 0.2 * float(rng.uniform(-1, 1))
        parts.append(ball((x, y * 0.6, up), float(rng.uniform(0.04, 0.13)), shade(leaf, light)))
    return parts


def lamp(rng: np.random.Generator) -> Parts:
    """A lamp post."""
    grey = shade((70, 72, 72), float(rng.uniform(0.6, 1.5)))
    return [
        limb((0, 0, 0), (0, 0, 0.8), (0.1, 0.08), grey),
        limb((0, 0, 0.8), (0, 0, 4.6), (0.06, 0.045), grey),
        limb((0, 0, 4.6), (0.8, 0, 4.8), 0.035, grey),
        hull([(0.6, -0.06, 4.76), (1.05, -0.06, 4.8), (0.6, 0.06, 4.76), (1.05, 0.06, 4.8)], 0.05,
             shade(grey, 1.4), 0.05),
    ]  # fmt: skip


def bench(rng: np.random.Generator) -> Parts:
    """A wooden bench, its back to the building."""
    wood = shade((62, 92, 128), float(rng.uniform(0.7, 1.1)))
    parts = [
        limb((x, y, 0), (x, y, 0.42), 0.035, (50, 50, 50))
        for x in (-0.7, 0.7)
        for y in (-0.18, 0.2)
    ]
    parts += [
        limb((-0.85, y, 0.44), (0.85, y, 0.44), 0.04, wood, 0.02) for y in (-0.18, -0.04, 0.1)
    ]
    parts += [
        limb((-0.85, 0.24, z), (0.85, 0.24, z), 0.045, shade(wood, 0.9)) for z in (0.66, 0.82)
    ]
    return parts


def bin_(rng: np.random.Generator) -> Parts:
    """A litter bin."""
    colour = shade((70, 90, 60), float(rng.uniform(0.6, 1.2)))
    return [limb((0, 0, 0.2), (0, 0, 0.75), 0.2, colour),
            limb((0, 0, 0.84), (0, 0, 0.88), 0.22, shade(colour, 0.6), 0.05)]  # fmt: skip


def railing(length: float) -> Parts:
    """Posts and two bars along +forward."""
    steel = (118.0, 122.0, 124.0)
    parts = [limb((x, 0, 0), (x, 0, 0.95), 0.028, steel) for x in np.arange(0.0, length, 1.6)]
    for up in (0.5, 0.95):  # in pieces: a bar must not run through the plane of the lens
        parts += [
            limb((x, 0, up), (x + 1.6, 0, up), 0.024, steel) for x in np.arange(0, length, 1.6)
        ]
    return parts


def _stand(layout: Layout, parts: Parts, place: Placement, ground: NDArray[np.float32],
           rail_v: float | None = None) -> Prop | None:  # fmt: skip
    """Draw a prop, and its shadow into `ground` (h, w), 0 to 1."""
    figure = assemble(parts, place)
    if place.z < 1.5 and rail_v is None:
        return None
    shadow = draw_shadow(figure, layout.camera, layout.size, layout.sun)
    if shadow is not None:
        x0, y0, x1, y1 = shadow.box
        soft = cv2.blur(shadow.rgba[..., 0], (3, 3))
        np.maximum(ground[y0:y1, x0:x1], soft, out=ground[y0:y1, x0:x1])
    sprite = draw_figure(figure, layout.camera, layout.size)
    return None if sprite is None else Prop(sprite, place.z, rail_v)


def make_props(layout: Layout, rng: np.random.Generator,
               ground: NDArray[np.float32]) -> list[Prop]:  # fmt: skip
    """Everything that stands on the street, farthest first; shadows are added to `ground`."""
    props: list[Prop | None] = []
    verge = (layout.half_path + 0.5, max(layout.half_path + 0.6, layout.wall_v - 0.9))
    low, high = layout.lanes[1].u_in, layout.lanes[1].u_out
    kinds: list[Callable[[np.random.Generator], Parts]] = [tree, bench, bush, lamp, bush, bin_]
    u, index = low + float(rng.uniform(0, 2)), int(rng.integers(6))
    while u < high:
        index += int(rng.integers(1, 4))
        make = kinds[index % len(kinds)]
        place = layout.place(u, float(rng.uniform(*verge)), 0.0)
        props.append(_stand(layout, make(rng), place, ground))
        u += float(rng.uniform(1.6, 4.2))
    start, end = layout.visible(layout.rail_v, 2.0)
    while layout.ground(start, layout.rail_v)[1] < 3.0:
        start += 0.5
    while layout.ground(end, layout.rail_v)[1] < 3.0:
        end -= 0.5
    place = layout.place(start, layout.rail_v, 0.0)
    props.append(_stand(layout, railing(end - start), place, ground, layout.rail_v))
    # Beside a path that leads away, a trunk close to the lane would hide the whole of its far end.
    near = layout.one_way[0] - (0.7 if abs(layout.angle) < 0.7 else 1.6)
    aloft = layout.camera.height_m - 0.5  # a crown below the camera would hide the path
    low, high = layout.visible(near, 0.0)
    front = [lamp(rng), tree(rng, aloft, 1.2)]
    shares = [float(rng.uniform(0.12, 0.4)), float(rng.uniform(0.6, 0.9))]
    for parts, share in zip(front, shares if rng.random() < 0.5 else shares[::-1], strict=True):
        place = layout.place(low + (high - low) * share, near, 0.0)
        props.append(_stand(layout, parts, place, ground))
    return sorted((prop for prop in props if prop is not None), key=lambda prop: -prop.z)
