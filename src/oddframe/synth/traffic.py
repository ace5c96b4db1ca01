"""The people who belong on the street."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from oddframe.synth.actors import Actor, Cart, Cyclist, Track, Walker, knotted, straight
from oddframe.synth.layout import Lane, Layout
from oddframe.synth.people import random_look

WALK = 1.3
"""Usual walking speed in metres per second."""


def random_pace(rng: np.random.Generator) -> float:
    """A walking speed in metres per second; people differ by more than a factor of two."""
    return float(np.clip(rng.normal(WALK, 0.24), 0.75, 1.95))


def random_weave(rng: np.random.Generator) -> tuple[float, float, float]:
    """How somebody wanders across a lane (see `Track.weave`)."""
    return float(rng.uniform(0.02, 0.14)), float(rng.uniform(4, 9)), float(rng.uniform(0, 6.28))


def lane_ends(lane: Lane, direction: int) -> tuple[float, float]:
    """First and last u of a way along a lane."""
    return (lane.u_in, lane.u_out) if direction > 0 else (lane.u_out, lane.u_in)


def make_walkers(layout: Layout, people: float, rng: np.random.Generator,
                 seconds: float) -> list[Actor]:  # fmt: skip
    """Normal traffic for one clip: about `people` in view at any time, already there at 0 s."""
    busy = people * float(rng.uniform(0.65, 1.35))
    bias = float(rng.uniform(0.3, 0.7))
    walkers: list[Actor] = []
    for index, lane in enumerate(layout.lanes):
        one_way = index == len(layout.lanes) - 1
        crossing = (lane.u_out - lane.u_in) / WALK
        rate = busy * (0.28 if one_way else 0.18) / crossing / 1.3  # 1.3: mean size of a party
        if rate <= 0:
            continue
        t = -2.0 * crossing
        while t < seconds:
            t += 0.9 + float(rng.exponential(max(0.1, 1 / rate - 0.9)))
            way = lane.direction if one_way else (1 if rng.random() < bias else -1)
            walkers += _party(lane, way, rng, t, one_way)
    return walkers


def _party(lane: Lane, way: int, rng: np.random.Generator, t: float, one_way: bool) -> list[Actor]:
    """One to three people who walk together; now and then they stop for a while."""
    size = int(rng.choice([1, 2, 3], p=[0.75, 0.2, 0.05]))
    pace = random_pace(rng) * (1.0 if size == 1 else 0.88)
    start, end = lane_ends(lane, way)
    middle = lane.v + float(rng.uniform(-0.6, 0.6)) * lane.half_width
    stop = None
    if not one_way and rng.random() < 0.14:
        share = float(rng.uniform(0.2, 0.8))
        stop = (start + share * (end - start), float(rng.uniform(2.0, 6.0)))
    members = []
    for k in range(size):
        v = middle + (k - (size - 1) / 2) * 0.62
        u0 = start - way * 0.25 * float(rng.uniform(0, 1)) * (k > 0)
        glance = float(rng.uniform(-1.6, 1.6))
        track = _way(t, u0, end, pace, v, stop, random_weave(rng), glance)
        look = random_look(rng)
        members.append(Actor(track, Walker(look, pace, float(rng.uniform(0, 6.28)))))
    return members


def _way(
    t: float,
    start: float,
    end: float,
    pace: float,
    v: float,
    stop: tuple[float, float] | None,
    weave: tuple[float, float, float],
    glance: float,
) -> Track:
    if stop is None:
        return straight(t, start, end, pace, v, weave)
    place, wait = stop
    arrive = t + abs(place - start) / pace
    leave = arrive + wait
    knots = [(t, start), (arrive, place), (leave, place), (leave + abs(end - place) / pace, end)]
    return knotted(knots, v, weave, glance)


def make_room(
    layout: Layout, walkers: list[Actor], guests: list[Actor], seconds: float
) -> list[Actor]:
    """Walkers step aside for `guests`, or stay away where there is no room to."""
    kept: list[Actor] = []
    times = np.arange(0.0, seconds, 0.2)
    for walker in walkers:
        v = _aside(layout, walker, guests, times)
        if v is not None:
            kept.append(Actor(replace(walker.track, v=v), walker.body))
    return kept


def _aside(layout: Layout, walker: Actor, guests: list[Actor], times: np.ndarray) -> float | None:
    """Where across the path a walker is beside all guests that he meets; None: nowhere."""
    rooms = [(guest, *_room(guest)) for guest in guests]
    met = [(g.track.v, side) for g, reach, side in rooms if _closest(walker, g, times) < reach]
    v = walker.track.v
    for other, side in met:
        across = v - other
        if abs(across) < side:
            v += (side - abs(across)) * (1 if across >= 0 else -1)
    clear = all(abs(v - other) > side - 1e-6 for other, side in met)
    return v if clear and (v == walker.track.v or _walkable(layout, walker.track.v, v)) else None


def _room(guest: Actor) -> tuple[float, float]:
    """Length and width in metres that somebody needs."""
    if isinstance(guest.body, Cart):
        return 2.2, 1.05
    return (1.5, 0.6) if isinstance(guest.body, Cyclist) else (0.8, 0.5)


def _closest(a: Actor, b: Actor, times: np.ndarray) -> float:
    """Smallest distance along the path while both are there, in metres."""
    low = max(a.track.times[0], b.track.times[0], b.present[0])
    high = min(a.track.times[-1], b.track.times[-1], b.present[1])
    both = times[(times >= low) & (times <= high)]
    if not len(both):
        return np.inf
    gap = np.interp(both, a.track.times, a.track.places) - np.interp(
        both, b.track.times, b.track.places
    )
    return float(np.abs(gap).min())


def _walkable(layout: Layout, before: float, v: float) -> bool:
    """Whether a walker who moved over to v is still on the strip that he belongs to."""
    low, high = layout.one_way if before < layout.one_way[1] else (
        -layout.half_path, layout.half_path,
    )  # fmt: skip
    return low + 0.1 <= v <= high - 0.1
