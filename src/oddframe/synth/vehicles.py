"""A cyclist and a golf cart as parts; local metres (forward, left, up)."""

from __future__ import annotations

from math import acos, atan2, cos, hypot, pi, sin

import numpy as np

from oddframe.synth.people import Look
from oddframe.synth.shapes import Colour, Part, ball, hull, limb, shade

WHEEL_RADIUS = 0.35
"""Of a bicycle, in metres."""
CART_WHEEL = 0.26
"""Radius of a cart's wheels in metres."""
_RUBBER: Colour = (28, 28, 28)
_METAL: Colour = (150, 150, 150)

_TURN = np.linspace(0.0, 2 * pi, 19)


def _joint(start: tuple[float, float], end: tuple[float, float], first: float,
           second: float) -> tuple[float, float]:  # fmt: skip
    """The knee of a leg from start to end (forward, up), bent forwards; lengths in metres."""
    dx, dz = end[0] - start[0], end[1] - start[1]
    span = min(max(hypot(dx, dz), 1e-6), first + second - 1e-6)
    bend = acos(max(-1.0, min(1.0, (first**2 + span**2 - second**2) / (2 * first * span))))
    angle = atan2(dz, dx) + bend
    return start[0] + first * cos(angle), start[1] + first * sin(angle)


def _wheel(x: float, left: float, radius: float, turned: float) -> list[Part]:
    """A spoked wheel whose hub is at (x, left, radius), turned by so many radians."""
    rim = np.stack([x + radius * np.cos(_TURN), np.full_like(_TURN, left),
                    radius + radius * np.sin(_TURN)], axis=1)  # fmt: skip
    parts = [Part(rim, 0.024, _RUBBER, 0.0, line=True)]
    for k in range(3):
        angle = -turned + k * pi / 3
        dx, dz = 0.93 * radius * cos(angle), 0.93 * radius * sin(angle)
        spoke = np.array([[x - dx, left, radius - dz], [x + dx, left, radius + dz]])
        parts.append(Part(spoke, 0.006, _METAL, -0.02, line=True))
    return parts


def bicycle_parts(look: Look, colour: Colour, travelled: float) -> list[Part]:
    """A rider on a bicycle after so many metres: wheels, pedals and legs turn with the distance."""
    parts = _wheel(-0.52, 0.0, WHEEL_RADIUS, travelled / WHEEL_RADIUS)
    parts += _wheel(0.52, 0.0, WHEEL_RADIUS, travelled / WHEEL_RADIUS)
    seat, crank, head = (-0.22, 0.0, 0.92), (-0.06, 0.0, 0.3), (0.34, 0.0, 0.82)
    rear, front, bar = (-0.52, 0.0, 0.35), (0.52, 0.0, 0.35), (0.33, 0.0, 1.03)
    tubes = [(seat, crank), (crank, head), (seat, head), (rear, crank), (rear, seat), (head, front),
             (head, bar)]  # fmt: skip
    parts += [limb(a, b, 0.02, colour) for a, b in tubes]
    parts.append(limb((0.36, 0.26, 1.04), (0.36, -0.26, 1.04), 0.016, _RUBBER))
    parts.append(limb((-0.34, 0.0, 0.95), (-0.12, 0.0, 0.95), 0.035, _RUBBER))
    angle = -travelled / 5.0 * 2 * pi  # one turn of the pedals takes a town bicycle about 5 m
    h, w = look.height, look.build
    hip = (-0.2, 1.0)
    for side, phase in ((1, angle), (-1, angle + pi)):
        foot = (crank[0] + 0.17 * cos(phase), crank[2] + 0.17 * sin(phase) + 0.05)
        knee = _joint(hip, foot, 0.245 * h, 0.26 * h)
        left = side * 0.09
        parts.append(limb((*_at(hip, left),), (*_at(knee, left),), (0.05 * h * w, 0.038 * h),
                          shade(look.bottom, 0.96)))  # fmt: skip
        parts.append(limb(_at(knee, left), _at(foot, left), (0.036 * h, 0.025 * h), look.bottom))
        parts.append(limb((foot[0] - 0.05, left, foot[1]), (foot[0] + 0.13, left, foot[1] - 0.02),
                          0.019 * h, look.shoes))  # fmt: skip
    return parts + _rider(look)


def _at(point: tuple[float, float], left: float) -> tuple[float, float, float]:
    return point[0], left, point[1]


def _rider(look: Look) -> list[Part]:
    """Trunk, arms and head of a rider who leans on the handlebar."""
    h, w = look.height, look.build
    chest = (0.08, 1.0 + 0.265 * h)
    parts = [
        hull([(-0.2, s * 0.05 * h, 1.02) for s in (1, -1)]
             + [(chest[0], s * 0.085 * h * w, chest[1]) for s in (1, -1)],
             (0.06 * h, 0.06 * h, 0.055 * h, 0.055 * h), look.top, 0.02),
        limb((chest[0], 0.0, chest[1]), (0.16, 0.0, chest[1] + 0.1 * h), 0.026 * h, look.skin),
        ball((0.14, 0.0, chest[1] + 0.125 * h), 0.058 * h, look.hair, 0.03),
        ball((0.18, 0.0, chest[1] + 0.105 * h), 0.045 * h, look.skin, 0.035),
    ]  # fmt: skip
    for side in (1, -1):
        elbow = (0.2, side * 0.16 * h, chest[1] - 0.15 * h)
        parts.append(limb((chest[0], side * 0.105 * h * w, chest[1]), elbow, (0.033 * h, 0.026 * h),
                          shade(look.top, 0.88), 0.01))  # fmt: skip
        parts.append(limb(elbow, (0.36, side * 0.24, 1.05), (0.025 * h, 0.018 * h),
                          shade(look.top, 0.85), 0.012))  # fmt: skip
        parts.append(ball((0.37, side * 0.25, 1.05), 0.02 * h, look.skin, 0.012))
    return parts


def _block(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], colour: Colour,
           bias: float = 0.0) -> Part:  # fmt: skip
    corners = [(a, b, c) for a in x for b in y for c in z]
    return hull(corners, 0.015, colour, bias)


def cart_parts(look: Look, colour: Colour, travelled: float) -> list[Part]:
    """A golf cart with a driver after so many metres."""
    parts: list[Part] = []
    for x in (-0.75, 0.8):
        for left in (-0.5, 0.5):
            tyre = np.stack([x + CART_WHEEL * np.cos(_TURN), np.full_like(_TURN, left),
                             CART_WHEEL + CART_WHEEL * np.sin(_TURN)], axis=1)  # fmt: skip
            parts.append(Part(tyre, 0.03, _RUBBER, 0.12))
            angle = -travelled / CART_WHEEL
            for k in range(2):
                dx, dz = 0.16 * cos(angle + k * pi / 2), 0.16 * sin(angle + k * pi / 2)
                hub = [(x - dx, left, CART_WHEEL - dz), (x + dx, left, CART_WHEEL + dz)]
                parts.append(limb(hub[0], hub[1], 0.035, (190, 190, 190), 0.14))
    for side in (-0.52, 0.52):  # two thin sides that sort by depth, so the cabin stays open between
        dark = shade(colour, 0.9)
        edge = (side - 0.03, side + 0.03)
        parts.append(_block((-1.2, -0.25), edge, (0.35, 0.78), dark, 0.05))
        parts.append(_block((-0.3, 0.7), edge, (0.3, 0.42), dark, 0.05))
        parts.append(_block((0.6, 1.2), edge, (0.3, 0.8), dark, 0.05))
        for x0, x1 in ((-0.95, -0.85), (0.75, 0.5)):
            parts.append(limb((x0, side, 0.75), (x1, side, 1.86), 0.022, (60, 60, 60), 0.04))
    parts.append(_block((-1.2, -0.5), (-0.48, 0.48), (0.35, 0.8), shade(colour, 0.8)))
    parts.append(_block((0.75, 1.22), (-0.48, 0.48), (0.3, 0.82), colour, 0.02))
    parts.append(_block((-0.5, 0.02), (-0.45, 0.45), (0.5, 0.72), (120, 140, 150)))
    parts.append(_block((-0.6, -0.48), (-0.45, 0.45), (0.72, 1.15), (120, 140, 150), -0.05))
    parts.append(_block((-1.1, 0.65), (-0.56, 0.56), (1.86, 1.94), (205, 210, 210), 0.6))
    return parts + _driver(look, 0.22)


def _driver(look: Look, left: float) -> list[Part]:
    """Somebody who sits on the cart's seat, the hands on the wheel."""
    h, w = look.height, look.build
    parts = [
        hull([(-0.3, left + s * 0.06, 0.8) for s in (1, -1)]
             + [(-0.34, left + s * 0.085 * h * w, 1.24) for s in (1, -1)], 0.1, look.top, 0.02),
        limb((-0.33, left, 1.3), (-0.28, left, 1.42), 0.05, look.skin, 0.02),
        ball((-0.28, left, 1.53), 0.1, look.hair, 0.03),
        ball((-0.23, left, 1.51), 0.08, look.skin, 0.035),
        limb((0.42, left, 0.75), (0.28, left, 1.1), 0.02, _RUBBER),
    ]  # fmt: skip
    for side in (1, -1):
        y = left + side * 0.14
        parts.append(limb((-0.25, y, 0.8), (0.2, y, 0.82), 0.075, look.bottom))
        parts.append(limb((0.2, y, 0.82), (0.38, y, 0.42), 0.055, look.bottom))
        elbow = (-0.12, left + side * 0.26, 1.02)
        parts.append(
            limb((-0.33, left + side * 0.2, 1.24), elbow, 0.05, shade(look.top, 0.88), 0.01)
        )
        parts.append(limb(elbow, (0.25, y, 1.12), 0.038, shade(look.top, 0.86), 0.01))
    return parts
