"""Who moves: tracks along the path and the bodies that follow them."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oddframe.synth.people import Gait, Look, case_box, cycle_length, person_parts
from oddframe.synth.shapes import Colour, Part
from oddframe.synth.vehicles import bicycle_parts, cart_parts

Series = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moment:
    """Where an actor is at one time: metres, metres per second, radians."""

    u: float
    v: float
    yaw: float
    """0 looks along +u, pi along -u."""
    travelled: float
    """Metres walked since the first knot of the track."""
    speed: float


@dataclass(frozen=True, slots=True)
class Track:
    """A way along the path: places at knots in time, straight between them."""

    times: Series
    """Seconds in the clip, rising."""
    places: Series
    """u in metres."""
    v: float
    yaw_times: Series
    yaws: Series
    weave: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """Amplitude (m), wave length (m) and phase (rad) of the wandering across the path."""

    def travelled(self, t: float) -> float:
        """Metres walked until t."""
        walked = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(self.places)))])
        return float(np.interp(t, self.times, walked))

    def at(self, t: float) -> Moment:
        """The moment at t; speed is the mean over 0.3 s, so that nobody starts or stops at once."""
        ahead, back, now = self.travelled(t + 0.15), self.travelled(t - 0.15), self.travelled(t)
        amplitude, length, phase = self.weave
        return Moment(
            u=float(np.interp(t, self.times, self.places)),
            v=self.v + amplitude * sin(2 * pi * now / length + phase),
            yaw=float(np.interp(t, self.yaw_times, self.yaws)),
            travelled=now,
            speed=(ahead - back) / 0.3,
        )


class Body(Protocol):
    """What follows a track."""

    def parts(self, moment: Moment, t: float) -> list[Part]:
        """The parts to draw at time t (seconds)."""
        ...


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody on foot, walking or running."""

    look: Look
    pace: float
    """Metres per second at which the steps are of full size."""
    start: float
    """Phase of the gait at the start of the track, in radians."""
    running: bool = False
    stoops: tuple[float, ...] = ()
    """Times at which the hand reaches the ground, to put something down or take it up."""

    def gait(self, moment: Moment, t: float) -> Gait:
        """The gait at time t."""
        size = 1.0 if self.running else float(np.clip((self.pace / 1.3) ** 0.5, 0.78, 1.15))
        phase = self.start + 2 * pi * moment.travelled / (
            cycle_length(self.look, self.running) * size
        )
        effort = size * min(1.0, moment.speed / self.pace)
        bend = max((1 - abs(t - s) / 0.65 for s in self.stoops), default=0.0)
        idle = 0.02 * (1 - min(1.0, effort)) * (1 + sin(1.3 * t + self.start))
        bend = max(bend, idle)
        # The case is on the ground between an odd stoop and the next even one.
        held = sum(t >= s for s in self.stoops) % 2 == 0
        return Gait(phase, effort, self.running, bend, held)

    def parts(self, moment: Moment, t: float) -> list[Part]:
        """The parts of a person."""
        return person_parts(self.look, self.gait(moment, t))


@dataclass(frozen=True, slots=True)
class Cyclist:
    """Somebody on a bicycle."""

    look: Look
    colour: Colour

    def parts(self, moment: Moment, t: float) -> list[Part]:
        """Bicycle and rider."""
        return bicycle_parts(self.look, self.colour, moment.travelled)


@dataclass(frozen=True, slots=True)
class Cart:
    """Somebody in a golf cart."""

    look: Look
    colour: Colour

    def parts(self, moment: Moment, t: float) -> list[Part]:
        """Cart and driver."""
        return cart_parts(self.look, self.colour, moment.travelled)


@dataclass(frozen=True, slots=True)
class Case:
    """A suitcase on the ground."""

    colour: Colour

    def parts(self, moment: Moment, t: float) -> list[Part]:
        """The case."""
        return [case_box((0.0, 0.0, 0.2), self.colour)]


@dataclass(frozen=True, slots=True)
class Actor:
    """One thing that moves (or was moved here) during a clip."""

    track: Track
    body: Body
    kind: str | None = None
    """The kind of anomaly, None for normal people."""
    abnormal: tuple[float, float] = (0.0, 0.0)
    """From when until when it is one, in seconds."""
    present: tuple[float, float] = (-1e9, 1e9)
    """From when until when it is there at all."""

    def there(self, t: float) -> bool:
        """Whether it is on the street at t."""
        low, high = (
            max(self.present[0], self.track.times[0]),
            min(self.present[1], self.track.times[-1]),
        )
        return bool(low <= t < high)

    def kind_at(self, t: float) -> str | None:
        """The kind of anomaly it is at t, None where it is normal."""
        return self.kind if self.abnormal[0] <= t < self.abnormal[1] else None


def straight(enter_s: float, u_from: float, u_to: float, speed: float, v: float,
             weave: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> Track:  # fmt: skip
    """A track at one speed from one end to the other."""
    return knotted([(enter_s, u_from), (enter_s + abs(u_to - u_from) / speed, u_to)], v, weave)


def knotted(
    knots: list[tuple[float, float]],
    v: float,
    weave: tuple[float, float, float] = (0.0, 1.0, 0.0),
    glance: float = 0.0,
) -> Track:
    """A track through (time, u) knots; who stands still turns by `glance` radians meanwhile."""
    times, places = np.array([k[0] for k in knots]), np.array([k[1] for k in knots])
    yaw_times: list[float] = []
    yaws: list[float] = []
    heading = 0.0 if next((d for d in np.diff(places) if d), 1.0) > 0 else pi
    for t0, t1, step in zip(times[:-1], times[1:], np.diff(places), strict=True):
        if step:
            heading = 0.0 if step > 0 else pi
        yaw = heading + (0.0 if step else glance)
        turn = min(0.3, (t1 - t0) / 3)
        yaw_times += [float(t0 + turn), float(t1 - turn)]
        yaws += [yaw, yaw]
    return Track(times, places, v, np.array(yaw_times), np.array(yaws), weave)
