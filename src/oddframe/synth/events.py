"""The things that do not belong: who does them, when and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oddframe.synth.actors import (
    Actor,
    Body,
    Cart,
    Case,
    Cyclist,
    Track,
    Walker,
    knotted,
    straight,
)
from oddframe.synth.layout import Lane
from oddframe.synth.people import random_look
from oddframe.synth.scene import Scene
from oddframe.synth.shapes import Colour
from oddframe.synth.traffic import WALK, lane_ends, random_pace, random_weave

Window = tuple[float, float]
"""From when until when something should be wrong, in seconds."""

SPEEDS: dict[str, tuple[float, float]] = {"cyclist": (3.2, 4.8), "cart": (2.6, 3.6),
                                          "runner": (2.5 * WALK, 3.0 * WALK)}  # fmt: skip
"""Metres per second, from and to."""

_CARTS: tuple[Colour, ...] = ((225, 228, 230), (60, 110, 60), (150, 90, 40), (70, 170, 200))
_FRAMES: tuple[Colour, ...] = (
    (40, 40, 160),
    (140, 70, 30),
    (30, 30, 30),
    (180, 180, 180),
    (50, 120, 60),
)


def windows(count: int, seconds: float, rng: np.random.Generator) -> list[Window]:
    """When the events of a clip take place: normal footage before, between and after them."""
    if count == 1:
        middle, half = 0.5 + float(rng.uniform(-0.06, 0.06)), 0.25
        return [((middle - half) * seconds, (middle + half) * seconds)]
    return [((k + 0.22) / count * seconds, (k + 0.72) / count * seconds) for k in range(count)]


def make_events(scene: Scene, kinds: Sequence[str], rng: np.random.Generator,
                seconds: float) -> list[Actor]:  # fmt: skip
    """The actors of the given kinds of anomaly, one event each."""
    guests: list[Actor] = []
    for kind, window in zip(kinds, windows(len(kinds), seconds, rng), strict=True):
        if kind == "wrong_way":
            guests += _wrong_way(scene, rng, window)
        elif kind == "left_object":
            guests += _left_object(scene, rng, window)
        else:
            guests += _passes(scene, kind, rng, window)
    return guests


def _passes(scene: Scene, kind: str, rng: np.random.Generator, window: Window) -> list[Actor]:
    """One after the other crosses the picture: as many as fit, around the middle of the window."""
    length = window[1] - window[0]
    ways: list[tuple[Lane, int, float, float]] = []
    total = 0.0
    while True:
        lane = scene.layout.lanes[int(rng.integers(1, 3) if kind == "cart" else rng.integers(0, 4))]
        way = 1 if rng.random() < 0.5 else -1
        speed = float(rng.uniform(*SPEEDS[kind]))
        crossing = (lane.u_out - lane.u_in + 2 * _edge(kind)) / speed
        if ways and total + 0.5 * crossing > length:
            break
        ways.append((lane, way, speed, crossing))
        total += crossing
    guests: list[Actor] = []
    start = (window[0] + window[1] - total) / 2
    for lane, way, speed, crossing in ways:
        u_from, u_to = lane_ends(lane, way)
        edge = _edge(kind) * way
        track = straight(start, u_from - edge, u_to + edge, speed, lane.v)
        guests.append(Actor(track, _body(kind, speed, rng), kind, (-1e9, 1e9)))
        start += crossing * float(rng.uniform(0.92, 1.0))
    return guests


def _edge(kind: str) -> float:
    """Metres by which a way starts farther outside than a walker's: vehicles are longer."""
    return {"cart": 0.8, "cyclist": 0.5}.get(kind, 0.0)


def _body(kind: str, speed: float, rng: np.random.Generator) -> Body:
    if kind == "cart":
        return Cart(random_look(rng), _CARTS[int(rng.integers(len(_CARTS)))])
    if kind == "cyclist":
        return Cyclist(random_look(rng), _FRAMES[int(rng.integers(len(_FRAMES)))])
    look = random_look(rng, bag="backpack" if rng.random() < 0.2 else "none")
    return Walker(look, speed, float(rng.uniform(0, 6.28)), running=True)


def _wrong_way(scene: Scene, rng: np.random.Generator, window: Window) -> list[Actor]:
    """Somebody on the one-way lane who walks against it, or turns round on it."""
    lane = scene.layout.lanes[-1]
    start, end = window
    pace = random_pace(rng)
    v = lane.v + float(rng.uniform(-0.5, 0.5)) * lane.half_width
    exit_u, entry_u = lane_ends(lane, -lane.direction)
    crossing = abs(entry_u - exit_u) / pace
    if crossing <= 1.25 * (end - start):
        track = straight(start, exit_u, entry_u, pace, v, random_weave(rng))
        until = 1e9
    else:  # comes as one should, walks back for a while in full view, thinks better of it
        low, high = scene.layout.visible(v, -0.5)
        half = lane.direction * min(pace * (end - start), high - low) / 2
        turn, again = (low + high) / 2 + half, (low + high) / 2 - half
        until = start + abs(turn - again) / pace
        knots = [
            (start - abs(turn - entry_u) / pace, entry_u), (start, turn), (until, again),
            (until + abs(exit_u - again) / pace, exit_u),
        ]  # fmt: skip
        track = knotted(knots, v, random_weave(rng))
    body = Walker(random_look(rng), pace, float(rng.uniform(0, 6.28)))
    return [Actor(track, body, "wrong_way", (start, until))]


def _left_object(scene: Scene, rng: np.random.Generator, window: Window) -> list[Actor]:
    """Somebody puts a suitcase down, walks off without it, and comes back for it at the end."""
    put, take = window
    lane, place = _clear_place(scene, rng)
    way = 1 if rng.random() < 0.5 else -1
    pace = random_pace(rng)
    start, end = lane_ends(lane, way)
    pause = 0.7
    away = max(0.5, (take - put) / 2 - pause)
    far = place + way * min(abs(end - place) + 1.0, pace * away)
    knots = [
        (put - pause - abs(place - start) / pace, start),
        (put - pause, place), (put + pause, place),
        (put + pause + abs(far - place) / pace, far), (take - pause - abs(far - place) / pace, far),
        (take - pause, place), (take + pause, place),
        (take + pause + abs(place - start) / pace, start),
    ]  # fmt: skip
    for index in range(1, len(knots)):  # short events leave no time to wait out of sight
        knots[index] = (max(knots[index][0], knots[index - 1][0] + 1e-3), knots[index][1])
    track = knotted(knots, lane.v)
    look = random_look(rng, bag="case")
    owner = Actor(track, Walker(look, pace, float(rng.uniform(0, 6.28)), stoops=(put, take)))
    still = Track(np.array([put, take]), np.array([place + way * 0.3] * 2), lane.v - way * 0.25,
                  np.array([0.0]), np.array([0.0]))  # fmt: skip
    case = Actor(still, Case(look.bag_colour), "left_object", (put, take), (put, take))
    return [owner, case]


def _clear_place(scene: Scene, rng: np.random.Generator) -> tuple[Lane, float]:
    """A lane and a u where a suitcase is large enough and little of it is hidden by props."""
    layout = scene.layout
    best, choice = np.inf, (layout.lanes[1], 0.0)
    for _ in range(24):
        lane = layout.lanes[int(rng.integers(0, 4))]
        u = float(rng.uniform(0.2, 0.8)) * (lane.u_out - lane.u_in) + lane.u_in
        column, row = (round(c) for c in layout.column_row(u, lane.v, 0.2))
        scale = layout.camera.scale(layout.ground(u, lane.v)[1])
        half = max(2, round(0.5 * scale))
        patch = scene.cover[max(0, row - half) : row + half, max(0, column - half) : column + half]
        small = max(0.0, 26 * layout.size[1] / 240 - scale) / 5
        cost = (float(patch.mean()) if patch.size else 1.0) + small
        if cost < best:
            best, choice = cost, (lane, u)
    return choice
