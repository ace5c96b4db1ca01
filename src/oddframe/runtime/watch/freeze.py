"""Notices a frozen picture: stamps go on, and what is shown is the same again and again.

    state = step(state, points, now_s, frozen_s)    # points: single pixels, see `points_of`
    state.frozen

A sensor has noise, so that a living picture is never the same twice; but strong compression takes
the noise of a room where nothing happens away, for minutes. So a camera is judged by itself: the
picture stands still where a fifth or less of what changes in its quietest seconds does, and it is
frozen where it stands still for `frozen_s`, or twice as long as it ever did and came back by
itself. Nothing is said of a camera that has not been seen to change for `FEWEST` looks, nor of one
whose quietest seconds are without any change: that may be how it is. A clock that is written into
the picture by the camera goes on over a dead sensor: where there is noise elsewhere, up to `MOST`
may change and it stands still all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oddframe.pictures import Picture
from oddframe.sources.convert import Decoded, points_of

Points = NDArray[np.uint8]

ROWS, COLUMNS = 48, 64
"""Single pixels that are looked at: noise is everywhere, and digits are met by some."""
LOOKS = 30
"""Looks in `frozen_s`; at most one a second."""
SOONEST_S = 0.1
FEWEST = 30
"""Looks at which the picture changed, before which nothing is said."""
RECENT = 600
"""Looks that say what is usual: ten minutes."""
QUIETEST = 0.05
"""Share of those looks that are the quietest."""
FIFTH = 0.2
MOST = 0.05
"""Share of the pixels that may change, at most, while the picture stands still."""
TIMES = 2.0
"""How much longer than any stillness that passed by itself."""
PROOF = 10
"""Looks after which a picture that lives again since the connection is new is believed."""
WARM = 10
"""Looks at a new connection that prove nothing: an encoder that begins refines a still picture."""
FORGET_S = 86400.0
"""In how long a stillness that passed is forgotten to a third."""


@dataclass(frozen=True, slots=True)
class State:
    """Of one camera, over all its connections. `State()` has seen nothing."""

    points: Points | None = None
    """At the last look."""
    at_s: float = 0.0
    changes: tuple[float, ...] = ()
    """Shares of the pixels that changed, of recent looks at which the picture did not stand
    still."""
    still_s: float = 0.0
    """How long the picture has stood still."""
    frozen: bool = False
    borne_s: float = 0.0
    """The longest stillness that passed by itself."""
    warming: int = 0
    """Looks for which a connection is new yet."""
    doubt_s: float = 0.0
    """A freeze that a new connection ended, if it was one; 0 where there is none."""
    lived: int = 0
    """Looks since then."""


def sample(picture: Picture) -> Points:
    """(48, 64) single pixels of a picture."""
    if isinstance(picture, Decoded):
        return picture.points(ROWS, COLUMNS)
    return points_of(picture.whole(), ROWS, COLUMNS)


def every_s(frozen_s: float) -> float:
    """Seconds between looks."""
    return min(max(frozen_s / LOOKS, SOONEST_S), 1.0)


def trial_s(frozen_s: float) -> float:
    """Seconds that a new connection is given to show another picture than the frozen one."""
    return max(frozen_s, 2 * WARM * every_s(frozen_s))


def reconnected(state: State) -> State:
    """The connection is a new one: what was frozen may be cured by that."""
    return replace(state, warming=WARM + 1)


def changed_picture(state: State) -> State:
    """The picture became another (infrared has other noise): learn anew what is usual."""
    return State(borne_s=state.borne_s)


def step(state: State, points: Points, now_s: float, frozen_s: float) -> State:
    """The next look, at least `every_s` after the one before.

    Args:
        state: as the step before gave it.
        points: what `sample` gives.
        now_s: seconds, of any clock that grows.
        frozen_s: how long a picture must stand still to be frozen.
    """
    if state.points is None or state.points.shape != points.shape:
        return replace(state, points=points, at_s=now_s)
    passed_s = now_s - state.at_s
    change = float((points != state.points).mean())
    known = replace(
        state, points=points, at_s=now_s, warming=max(state.warming - 1, 0),
        borne_s=state.borne_s * float(np.exp(-passed_s / FORGET_S)),
    )  # fmt: skip
    if state.frozen and known.warming:
        return known
    if change <= still_below(state.changes):
        # A look that comes late, after a pause, proves no more than others.
        still_s = state.still_s + min(passed_s, 3 * every_s(frozen_s))
        borne_s = max(known.borne_s, state.doubt_s)  # the connection did not cure it
        frozen = state.frozen or still_s >= max(frozen_s, TIMES * borne_s)
        return replace(known, still_s=still_s, frozen=frozen, borne_s=borne_s, doubt_s=0.0)
    return _lives(known, change, cured=state.frozen and state.warming > 0)


def still_below(changes: tuple[float, ...]) -> float:
    """Share of changed pixels up to which the picture stands still; below 0: it cannot be said."""
    if len(changes) < FEWEST:
        return -1.0
    quiet = float(np.quantile(changes, QUIETEST, method="lower"))
    return min(FIFTH * quiet, MOST) if quiet > 0 else -1.0


def _lives(state: State, change: float, cured: bool) -> State:
    """The picture changed."""
    changes = (*state.changes, change)[-RECENT:]
    if cured:
        return replace(
            state, changes=changes, still_s=0.0, frozen=False, doubt_s=state.still_s, lived=1
        )
    lived = state.lived + 1
    return replace(
        state, changes=changes, still_s=0.0, frozen=False, lived=lived,
        borne_s=max(state.borne_s, state.still_s),
        doubt_s=state.doubt_s if lived < PROOF else 0.0,
    )  # fmt: skip
