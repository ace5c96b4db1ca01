"""Walkers and runners: looks, gait and the parts of a body.

Local metres (forward, left, up). The gait is driven by the distance walked, so feet follow speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, radians, sin

import numpy as np

from oddframe.synth.shapes import Colour, Part, ball, hull, limb, shade

SKIN: tuple[Colour, ...] = ((150, 180, 215), (120, 150, 195), (85, 115, 160), (50, 70, 105))
HAIR: tuple[Colour, ...] = ((25, 28, 32), (30, 45, 70), (60, 100, 140), (110, 115, 120))
TOPS: tuple[Colour, ...] = (
    (45, 42, 40), (190, 190, 192), (110, 60, 40), (60, 55, 140), (90, 105, 70), (70, 120, 165),
    (150, 135, 110), (60, 60, 60), (170, 120, 80), (40, 80, 110), (120, 90, 125), (205, 205, 200),
)  # fmt: skip
BOTTOMS: tuple[Colour, ...] = (
    (35, 32, 32), (95, 65, 45), (60, 48, 40), (100, 115, 130), (75, 75, 78), (45, 45, 55),
)  # fmt: skip
BAGS: tuple[Colour, ...] = ((40, 40, 45), (40, 50, 95), (95, 60, 40), (60, 85, 60), (50, 90, 130))


@dataclass(frozen=True, slots=True)
class Look:
    """What one person looks like."""

    height: float
    """Metres."""
    build: float
    """Width factor, 1 = average."""
    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    skirt: bool
    long_hair: bool
    bag: str
    """none, backpack, shoulder or case (held in the right hand)."""
    bag_colour: Colour


@dataclass(frozen=True, slots=True)
class Gait:
    """The moment of movement in which a body is drawn."""

    phase: float
    """Radians; one cycle is two steps."""
    effort: float = 1.0
    """0 standing to about 1.3 for a brisk walk: the size of the steps."""
    running: bool = False
    bend: float = 0.0
    """0 upright to 1 reaching for the ground."""
    case: bool = True
    """Whether a person whose bag is a case holds it now."""


def _pick(rng: np.random.Generator, table: tuple[Colour, ...]) -> Colour:
    base = table[int(rng.integers(len(table)))]
    return shade(base, float(rng.uniform(0.8, 1.15)))


def random_look(rng: np.random.Generator, bag: str | None = None) -> Look:
    """A person as they come; `bag` fixes what they carry."""
    carried = str(rng.choice(["none", "backpack", "shoulder", "case"], p=[0.5, 0.22, 0.16, 0.12]))
    female = bool(rng.random() < 0.5)
    return Look(
        height=float(np.clip(rng.normal(1.66 if female else 1.78, 0.07), 1.5, 1.98)),
        build=float(np.clip(rng.normal(1.05, 0.1), 0.88, 1.35)),
        skin=_pick(rng, SKIN),
        hair=_pick(rng, HAIR),
        top=_pick(rng, TOPS),
        bottom=_pick(rng, BOTTOMS),
        shoes=(30, 30, 32) if rng.random() < 0.7 else (180, 180, 180),
        skirt=bool(female and rng.random() < 0.3),
        long_hair=bool(female and rng.random() < 0.7),
        bag=carried if bag is None else bag,
        bag_colour=_pick(rng, BAGS),
    )


def cycle_length(look: Look, running: bool) -> float:
    """Metres per gait cycle (two steps) at effort 1."""
    return (1.5 if running else 0.83) * look.height


def _leg(look: Look, phase: float, gait: Gait) -> tuple[list[tuple[float, float]], float]:
    """Hip-relative (forward, up) of knee, ankle and toe, and the lowest point."""
    h = look.height
    reach = radians(40 if gait.running else 23) * gait.effort
    lift = radians(95 if gait.running else 52) * min(gait.effort, 1.1)
    hip = reach * sin(phase) + radians(12 if gait.running else 3) * gait.effort
    swing = max(0.0, cos(phase + 0.5))  # the leg moves forward: bend the knee to clear the ground
    knee = radians(20 if gait.running else 4) + lift * swing**1.5
    hip += radians(55) * gait.bend
    knee += radians(85) * gait.bend
    thigh, shank = 0.245 * h, 0.235 * h
    kx, kz = thigh * sin(hip), -thigh * cos(hip)
    ax, az = kx + shank * sin(hip - knee), kz - shank * cos(hip - knee)
    pitch = 0.55 * (hip - knee) + (0.25 * sin(phase) * gait.effort if cos(phase) > 0 else 0.0)
    pitch *= 1 - gait.bend
    tx, tz = ax + 0.12 * h * cos(pitch), az + 0.12 * h * sin(pitch) - 0.012 * h
    return [(kx, kz), (ax, az), (tx, tz)], min(az - 0.03 * h, tz - 0.012 * h)


def _arm(look: Look, phase: float, gait: Gait, lean: float) -> tuple[tuple[float, float], ...]:
    """Shoulder-relative (forward, up) of elbow and hand; `phase` is of the leg on this side."""
    h = look.height
    angle = -radians(42 if gait.running else 24) * min(gait.effort, 1.2) * sin(phase)
    elbow = radians(95) if gait.running else radians(12) + radians(14) * gait.effort
    angle += 0.3 * lean + radians(20) * gait.bend
    elbow *= 1 - 0.8 * gait.bend
    ex, ez = 0.17 * h * sin(angle), -0.17 * h * cos(angle)
    hand = (ex + 0.16 * h * sin(angle + elbow), ez - 0.16 * h * cos(angle + elbow))
    return (ex, ez), hand


def person_parts(look: Look, gait: Gait) -> list[Part]:
    """All parts of a person in the given moment of walking, running or standing."""
    h, w = look.height, look.build
    legs = [_leg(look, gait.phase, gait), _leg(look, gait.phase + pi, gait)]
    hip_up = -min(low for _, low in legs)
    if gait.running:  # both feet leave the ground twice per cycle
        hip_up += 0.045 * h * max(0.0, cos(2 * gait.phase + 0.6))
    lean = radians(2) + radians(9 if gait.running else 2) * gait.effort + radians(62) * gait.bend
    sway = 0.012 * h * sin(gait.phase) * min(gait.effort, 1.0)
    parts: list[Part] = []
    for side, (joints, _) in zip((1, -1), legs, strict=True):
        parts += _leg_parts(look, side, joints, hip_up, sway)
    chest = (0.29 * h * sin(lean), sway, hip_up + 0.29 * h * cos(lean))
    parts += _trunk_parts(look, gait, chest, hip_up, sway, lean)
    for side, phase in ((1, gait.phase), (-1, gait.phase + pi)):
        shoulder = (chest[0] - side * 0.02 * h * sin(gait.phase) * gait.effort,
                    chest[1] + side * 0.105 * h * w, chest[2] - 0.01 * h)  # fmt: skip
        parts += _arm_parts(look, shoulder, *_arm(look, phase, gait, lean))
        if side < 0 and look.bag == "case" and gait.case:
            parts.append(_held_case(look, shoulder, _arm(look, phase, gait, lean)[1]))
    return parts


def _leg_parts(look: Look, side: int, joints: list[tuple[float, float]], hip_up: float,
               sway: float) -> list[Part]:  # fmt: skip
    h, w = look.height, look.build
    left = side * 0.05 * h * w + sway
    at = [(0.0, left, hip_up), *((x, left * 0.85, hip_up + z) for x, z in joints)]
    bare = look.skirt
    lower = look.skin if bare else look.bottom
    return [
        limb(at[0], at[1], (0.052 * h * w, 0.037 * h * w), shade(lower, 0.96)),
        limb(at[1], at[2], (0.036 * h * w, 0.024 * h * w), lower),
        limb((at[2][0] - 0.02 * h, at[2][1], at[2][2] - 0.005 * h), at[3], 0.019 * h, look.shoes),
    ]


def _trunk_parts(look: Look, gait: Gait, chest: tuple[float, float, float], hip_up: float,
                 sway: float, lean: float) -> list[Part]:  # fmt: skip
    h, w = look.height, look.build
    cx, cy, cz = chest
    hips = [(0.0, sway + s * 0.045 * h * w, hip_up + 0.01 * h) for s in (1, -1)]
    shoulders = [(cx, cy + s * 0.085 * h * w, cz - 0.02 * h) for s in (1, -1)]
    radius = (0.062 * h * w, 0.062 * h * w, 0.052 * h * w, 0.052 * h * w)
    light = [(x + 0.01 * h, y, z + 0.012 * h) for x, y, z in shoulders]
    hx, hz = cx + 0.115 * h * sin(0.6 * lean), cz + 0.115 * h * cos(0.6 * lean)
    parts = [
        hull([*hips, *shoulders], radius, look.top, 0.02),
        hull(light, 0.036 * h * w, shade(look.top, 1.18), 0.03),
        limb((cx, cy, cz), (hx, cy, hz), 0.026 * h, shade(look.skin, 0.85), 0.0),
        ball((hx - 0.008 * h, cy, hz + 0.01 * h), 0.056 * h, look.hair, 0.03),
        ball((hx + 0.022 * h, cy, hz - 0.012 * h), 0.044 * h, look.skin, 0.035),
    ]
    if look.long_hair:
        parts.append(limb((hx - 0.03 * h, cy, hz), (cx - 0.055 * h, cy, cz + 0.01 * h),
                          (0.045 * h, 0.03 * h), look.hair, 0.025))  # fmt: skip
    if look.skirt:
        spread = 0.07 * h + 0.03 * h * abs(sin(gait.phase)) * gait.effort
        hem = [(spread, sway, hip_up - 0.2 * h), (-spread, sway, hip_up - 0.2 * h)]
        parts.append(hull([*hips, *hem], (0.058 * h, 0.058 * h, 0.03 * h, 0.03 * h),
                          look.bottom, 0.015))  # fmt: skip
    if look.bag == "backpack":
        back = (cx - 0.085 * h, cy, cz - 0.03 * h)
        low = (-0.08 * h + 0.4 * cx, cy, hip_up + 0.09 * h)
        parts.append(limb(back, low, (0.05 * h, 0.062 * h), look.bag_colour, 0.0))
    elif look.bag == "shoulder":
        side = cy + 0.13 * h * w
        at = hip_up + 0.04 * h
        parts.append(limb((0.02, side, at), (-0.1, side, at), 0.05 * h, look.bag_colour, 0.04))
        parts.append(limb((-0.04, side, hip_up + 0.05 * h), (cx, cy + 0.06 * h, cz + 0.03 * h),
                          0.011 * h, look.bag_colour, 0.05))  # fmt: skip
    return parts


def _arm_parts(look: Look, shoulder: tuple[float, float, float], elbow: tuple[float, float],
               hand: tuple[float, float]) -> list[Part]:  # fmt: skip
    h, w = look.height, look.build
    x, y, z = shoulder
    e = (x + elbow[0], y * 1.08, z + elbow[1])
    p = (x + hand[0], y * 1.1, z + hand[1])
    sleeve = shade(look.top, 0.88)
    return [
        limb(shoulder, e, (0.033 * h * w, 0.026 * h * w), sleeve, 0.01),
        limb(e, p, (0.025 * h * w, 0.018 * h * w), sleeve, 0.012),
        ball(p, 0.02 * h, look.skin, 0.014),
    ]


CASE_SIZE = (0.52, 0.2, 0.4)
"""Length, width and height in metres of the case people carry and leave behind."""


def case_box(centre: tuple[float, float, float], colour: Colour) -> Part:
    """A small suitcase around its centre."""
    dx, dy, dz = (s / 2 - 0.04 for s in CASE_SIZE)
    x, y, z = centre
    corners = [(x + a * dx, y + b * dy, z + c * dz)
               for a in (1, -1) for b in (1, -1) for c in (1, -1)]  # fmt: skip
    return hull(corners, 0.04, colour, 0.05)


def _held_case(look: Look, shoulder: tuple[float, float, float], hand: tuple[float, float]) -> Part:
    x, y, z = shoulder[0] + hand[0] * 0.5, shoulder[1] * 1.25, shoulder[2] + hand[1]
    return case_box((x, y, max(z - CASE_SIZE[2] / 2 - 0.03, CASE_SIZE[2] / 2)), look.bag_colour)
