"""The empty street: paving, lane, verge and building, painted flat and laid into perspective."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.synth.layout import Layout
from oddframe.synth.shapes import Colour, shade

Paint = NDArray[np.float32]
"""(rows, columns, 3) BGR, 0 to 255, not yet rounded."""

GROUND_PPM = 40
"""Texels per metre of ground: about the scale of the nearest paving at 240 rows."""
WALL_PPM = 32
"""Texels per metre of wall."""
WALL_HEIGHT = 9.0
"""Metres: above the top of the picture for every camera made here."""


def cloud(rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 3) -> Paint:
    """Smooth random field (rows, columns), about -1 to 1, coarsest grain `cell` texels."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        grain = max(cell / 2**octave, 1.0)
        grid = rng.standard_normal((int(shape[0] / grain) + 3, int(shape[1] / grain) + 3))
        size = (int(grid.shape[1] * grain) + 1, int(grid.shape[0] * grain) + 1)
        wide = cv2.resize(grid.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        total += wide[: shape[0], : shape[1]] * 0.5**octave
    return total * np.float32(0.6)


def _plain(rng: np.random.Generator, shape: tuple[int, int], colour: Colour, rough: float,
           grain: float) -> Paint:  # fmt: skip
    """A surface of one colour with stains (`rough`) and grit (`grain`), in grey levels."""
    stain = cloud(rng, shape, 3.0 * GROUND_PPM) * rough
    grit = rng.standard_normal(shape).astype(np.float32) * grain
    return np.asarray(colour, np.float32) + (stain + cv2.blur(grit, (2, 2)) * 1.6)[..., None]


def _grass(rng: np.random.Generator, shape: tuple[int, int], colour: Colour) -> Paint:
    patches = cloud(rng, shape, 1.6 * GROUND_PPM, 5) * 14
    blades = cv2.blur(rng.standard_normal(shape).astype(np.float32), (2, 4)) * 26
    tone = (1 + (patches + blades) / 130).astype(np.float32)
    return np.asarray(colour, np.float32) * tone[..., None]


def _joints(paint: Paint, rng: np.random.Generator, along: float, across: float, depth: float,
            ppm: int, spread: float, shifted: bool) -> None:  # fmt: skip
    """Cut joints into a paved or bricked surface; lengths in metres, `depth` in grey levels."""
    rows, columns = paint.shape[:2]
    a, b = max(2, round(along * ppm)), max(2, round(across * ppm))
    tint = rng.standard_normal((rows // b + 2, columns // a + 2)).astype(np.float32) * spread
    row, column = np.arange(rows) // b, np.arange(columns)
    shift = (row % 2) * (a // 2) if shifted else np.zeros_like(row)
    tile = (column[None, :] + shift[:, None]) // a
    paint += tint[row[:, None], np.minimum(tile, tint.shape[1] - 1)][..., None]
    cut = ((column[None, :] + shift[:, None]) % a == 0) | (np.arange(rows)[:, None] % b == 0)
    paint[cut] -= depth


def _bounds(layout: Layout) -> tuple[float, float, float, float]:
    """u and v range of the ground in the picture, in metres."""
    width, height = layout.size
    low_row = max(layout.camera.horizon + 0.09 * height, 0.0)
    corners = [layout.camera.ground(c, r) for c in (0, width) for r in (low_row, height)]
    uv = np.array([layout.path_coordinates(x, z) for x, z in corners])
    u0, v0 = uv.min(axis=0) - 1.0
    u1, v1 = uv.max(axis=0) + 1.0
    return max(u0, -40.0), min(u1, 40.0), max(v0, -22.0), min(v1, layout.wall_v + 1.0, 22.0)


def paint_ground(layout: Layout, rng: np.random.Generator) -> tuple[Paint, float, float]:
    """The plan of the ground and the (u, v) of its first texel, in metres."""
    u0, u1, v0, v1 = _bounds(layout)
    palette, ppm = layout.palette, GROUND_PPM
    columns = round((u1 - u0) * ppm)
    plan = np.zeros((round((v1 - v0) * ppm), columns, 3), np.float32)

    def rows(low: float, high: float) -> slice:
        return slice(max(0, round((low - v0) * ppm)), max(0, round((high - v0) * ppm)))

    green = palette.verge[1] > palette.verge[2] + 6
    if green:
        plan[:] = _grass(rng, plan.shape[:2], palette.verge)
    else:
        plan[:] = _plain(rng, plan.shape[:2], palette.verge, 7, 6)
        _joints(plan, rng, 0.6, 0.6, 16, ppm, 4, False)
    near, far = layout.one_way
    path = plan[rows(far, layout.half_path)]
    path[:] = _plain(rng, path.shape[:2], palette.paving, 8, 7)
    if palette.surface == "tiles":
        _joints(path, rng, 0.8, 0.4, 24, ppm, 5, True)
    elif palette.surface == "slabs":
        _joints(path, rng, 2.4, 1.6, 40, ppm, 4, False)
    lane = plan[rows(near, far)]
    lane[:] = _plain(rng, lane.shape[:2], palette.lane, 7, 8)
    _arrows(lane, layout.lanes[-1].direction, rng)
    for v in (near, layout.half_path):  # kerbs: light stone with a dark foot
        plan[rows(v - 0.1, v + 0.1)] = np.asarray(shade(palette.paving, 1.12), np.float32)
        plan[rows(v - 0.14, v - 0.1)] *= 0.6
    plan[rows(far - 0.03, far + 0.03)] = (215, 215, 210)
    return plan, u0, v0


def _arrows(lane: Paint, direction: int, rng: np.random.Generator) -> None:
    """Worn painted arrows that tell which way the lane goes."""
    rows, columns = lane.shape[:2]
    ppm, middle = GROUND_PPM, rows / 2
    layer = np.zeros((rows, columns), np.uint8)
    for start in np.arange(1.5 * ppm, columns, 4.5 * ppm):
        back, neck, tip = (start - direction * d * ppm for d in (0.8, -0.2, -0.9))
        half = 0.07 * ppm
        shaft = [(back, middle - half), (back, middle + half), (neck, middle + half),
                 (neck, middle - half)]  # fmt: skip
        head = [(neck, middle - 0.3 * ppm), (neck, middle + 0.3 * ppm), (tip, middle)]
        for outline in (shaft, head):
            cv2.fillPoly(layer, [np.round(outline).astype(np.int32)], 255)
    worn = np.clip(0.62 + 0.3 * cloud(rng, (rows, columns), 10), 0, 1)
    alpha = (layer.astype(np.float32) / 255 * worn)[..., None]
    lane[:] = lane * (1 - alpha) + np.float32(215) * alpha


def paint_wall(layout: Layout, rng: np.random.Generator, length: float) -> Paint:
    """The front of the building, row 0 at the ground: plinth, doors, windows, cornice."""
    palette, ppm = layout.palette, WALL_PPM
    wall = _plain(rng, (round(WALL_HEIGHT * ppm), round(length * ppm)), palette.wall, 6, 4)
    if palette.wall_style == "brick":
        _joints(wall, rng, 0.5, 0.16, 16, ppm, 7, True)
    elif palette.wall_style == "concrete":
        _joints(wall, rng, 2.4, 1.4, 18, ppm, 4, False)
    wall[: round(0.5 * ppm)] = np.asarray(shade(palette.wall, 0.68), np.float32)
    wall[round(0.5 * ppm) : round(0.56 * ppm)] *= 1.2
    wall[round(3.5 * ppm) : round(3.68 * ppm)] = np.asarray(palette.trim, np.float32)
    wall[round(3.42 * ppm) : round(3.5 * ppm)] *= 0.7
    bay = float(rng.uniform(2.3, 3.6))
    wide = bay * float(rng.uniform(0.4, 0.62))
    door = int(rng.integers(3, 6))
    for index, left in enumerate(np.arange(0.5, length - bay, bay)):
        if index % door == 1:
            _opening(wall, palette.trim, rng, (left, left + max(wide, 1.4)), (0.0, 2.5), True)
        else:
            _opening(wall, palette.trim, rng, (left, left + wide), (0.95, 2.75), False)
        _opening(wall, palette.trim, rng, (left, left + wide), (4.4, 6.2), False)
    return wall


def _opening(wall: Paint, trim: Colour, rng: np.random.Generator, across: tuple[float, float],
             up: tuple[float, float], door: bool) -> None:  # fmt: skip
    """A window or door; extents in metres along and up the wall."""
    ppm = WALL_PPM
    x0, x1 = (round(a * ppm) for a in across)
    y0, y1 = (round(a * ppm) for a in up)
    wall[y0:y1, x0:x1] = np.asarray(trim, np.float32)
    frame = 3
    pane = wall[y0 + (0 if door else frame) : y1 - frame, x0 + frame : x1 - frame]
    dark = float(rng.uniform(38, 74))
    glow = np.linspace(0.8, 1.5, pane.shape[0], dtype=np.float32)[:, None, None]  # mirrors the sky
    pane[:] = np.array([dark * 1.2, dark * 1.08, dark], np.float32) * glow
    middle = pane.shape[1] // 2
    pane[:, middle - 1 : middle + 1] = np.asarray(trim, np.float32) * np.float32(0.8)
    if not door:
        bar = round(pane.shape[0] * 0.66)
        pane[bar : bar + 2] = np.asarray(trim, np.float32) * np.float32(0.8)
        wall[max(0, y0 - 4) : y0, max(0, x0 - 3) : x1 + 3] = np.asarray(trim, np.float32)
        wall[max(0, y0 - 8) : max(0, y0 - 4), max(0, x0 - 3) : x1 + 3] *= 0.62
    elif rng.random() < 0.7:  # a shop's blind
        colour = (60.0, 70.0, 140.0) if rng.random() < 0.5 else (110.0, 90.0, 60.0)
        wall[y1 - 2 : y1 + 14, x0 - 8 : x1 + 8] = np.asarray(colour, np.float32)
        wall[y1 - 2 : y1 + 2, x0 - 8 : x1 + 8] *= 0.6


def paint_backdrop(layout: Layout, rng: np.random.Generator, factor: int) -> Paint:
    """Ground and building in perspective at `factor` times the picture's size."""
    width, height = layout.size
    size = (width * factor, height * factor)
    camera = layout.camera
    zoom = np.diag([factor, factor, 1.0])
    plan, u0, v0 = paint_ground(layout, rng)
    x, z = layout.ground(u0, v0)
    ux, uz = np.cos(layout.angle), np.sin(layout.angle)
    along, across = np.array([ux, 0, uz]), np.array([-uz, 0, ux])
    matrix = camera.plane_matrix(np.array([x, 0, z]), along / GROUND_PPM, across / GROUND_PPM)
    picture = cv2.warpPerspective(plan, zoom @ matrix, size, flags=cv2.INTER_LINEAR,
                                  borderMode=cv2.BORDER_REPLICATE).astype(np.float32)  # fmt: skip
    start, end = _wall_range(layout)
    if end - start > 1.0:
        wall = paint_wall(layout, rng, end - start)
        x, z = layout.ground(start, layout.wall_v)
        matrix = camera.plane_matrix(
            np.array([x, 0, z]), along / WALL_PPM, np.array([0, 1.0 / WALL_PPM, 0])
        )
        front = cv2.warpPerspective(wall, zoom @ matrix, size, flags=cv2.INTER_LINEAR)
        solid = np.full(wall.shape[:2], 255, np.uint8)
        shown = cv2.warpPerspective(solid, zoom @ matrix, size) > 127
        picture[shown] = front[shown]
    return picture


def _wall_range(layout: Layout) -> tuple[float, float]:
    """The u range of the building in front of the camera, in metres."""
    u = np.arange(-45.0, 45.0, 0.5)
    z = np.array([layout.ground(float(a), layout.wall_v)[1] for a in u])
    inside = u[z > 2.0]
    return (float(inside[0]), float(inside[-1])) if len(inside) else (0.0, 0.0)
