"""Notices that the picture became another one, so that no score and no alarm comes of that.

    state, found = step(state, picture, pts_s)      # a few times a second, picture (64, 64, 3) BGR
    state.settled                                   # False: nothing may be scored

A camera that is knocked, a lens that is covered, infrared that goes on, a light that is switched
change all of the picture at once; a person or a bus changes a part of it. So the picture is cut
into 8 x 8 places, and what counts is how many of them changed: their structure (correlation of
high-passed grey, which gain and offset do not touch), their brightness, their colour. A change
counts where it holds for `HOLD_S` against the picture of a second before and, of structure,
against a background of half a minute, so that a flash and a crowd that comes slowly are none.
Structure is asked only of places that look like the background as a rule: not of noise in the
dark, nor of a tree in the wind.

Measured on what is normal in Ped2's and Avenue's clips, a motorway, a campus, two offices and a
car park: at most 0.32 of the reliable structure changed (lorries on the motorway), and 0.39 of the
brightness (clouds). Moved by 5 % of the width, all of these are noticed after 0.4 s.

Letters: p places (8 x 8 of them), q pixels of one place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.pictures import Image

Kind = Literal["moved", "infrared", "colour", "dark", "light"]
"""The camera moved or shows something else; colour went (infrared on); colour came; nothing is to
be seen any more (covered, or dark); the light was switched."""
Floats = NDArray[np.float32]

SIZE = 64
"""Rows and columns of the pictures."""
GRID = 8
PLACES = GRID * GRID
EVERY_S = 0.1
"""Pictures that follow sooner are passed over."""
BACK_S = 1.0
"""How far back the picture lies that a picture is held against."""
HOLD_S = 0.3
"""A change that is shorter is a flash."""
SETTLE_S = 2.0
"""The picture must keep still for so long: exposure needs one to two seconds to follow a light."""
PATIENCE_S = 30.0
"""Behind that it is taken as it is, still or not."""
BACKGROUND_S = 30.0
"""In how long the background follows what stays."""
RENEW_S = 1.0
"""How often what is known of the background is worked out anew."""
TEXTURED = 2.0
"""Deviation, in levels, above which a place has structure to compare."""
FEWEST = 12
"""Places with structure that can be relied on; of fewer nothing is concluded."""
ALIKE = 0.5
"""Correlation below which a place shows something else."""
RELIABLE = 0.5
"""Mean correlation with the background, from which a place can be relied on."""
RELY_S = 20.0
"""Over which that mean is taken: a bus that passes takes little from it."""
KNOWN = 5
"""Looks after which it is known."""
MOVED = 0.55
"""Share of the reliable places that show something else, from which the picture does."""
STILL = 0.3
"""A share of the places, whose brightness changes, below which the picture keeps still."""
GAIN = 0.2
"""Natural logarithm of a ratio of brightness: 22 %."""
LIT = 0.7
"""Share of the places that became brighter, or darker, from which a light was switched."""
BLANK = 0.85
"""Share of the structure that is gone, from which there is nothing to be seen; or that came."""
TINTED = 6.0
"""Levels of colour beside the picture's own tint, from which a place is coloured."""
GREY, COLOURED = 0.05, 0.3
"""Share of coloured places of a picture without and with colour."""


@dataclass(frozen=True, slots=True)
class Upheaval:
    """The picture became another."""

    kind: Kind
    pts_s: float
    """When it was certain: `HOLD_S` after it began, or a frame later."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is kept of a picture."""

    pts_s: float
    structure_pq: Floats
    contrast_p: Floats
    """Deviation of the structure."""
    light_p: Floats
    coloured_p: NDArray[np.bool_]
    """Whether a place has colour."""

    @property
    def coloured(self) -> float:
        """Share of the places that have."""
        return float(self.coloured_p.mean())


@dataclass(frozen=True, slots=True)
class State:
    """Of one camera. `State()` has seen nothing."""

    recent: tuple[Look, ...] = ()
    """Of the last second, the oldest first."""
    background: Floats | None = None
    """(64, 64, 3), slow."""
    behind: Look | None = None
    """Of the background."""
    suspect: Look | None = None
    """The picture before a change that may be one."""
    since_s: float = 0.0
    """When that change was first seen; while unsettled, since when the picture keeps still."""
    fired_s: float | None = None
    """When the upheaval was whose end is waited for."""
    alike_p: Floats | None = None
    """Mean correlation of each place with the background."""
    looks: int = 0
    """In that mean."""

    @property
    def settled(self) -> bool:
        """Whether scores count."""
        return self.fired_s is None


def step(state: State, picture: Image, pts_s: float) -> tuple[State, Upheaval | None]:
    """Look at the next picture of a camera.

    Args:
        state: as the step before gave it; `State()` at the start and after a gap.
        picture: (64, 64, 3) BGR, uint8.
        pts_s: seconds on the stream's clock, growing.
    """
    if state.recent and pts_s - state.recent[-1].pts_s < EVERY_S:
        return state, None
    now = look(picture, pts_s)
    if state.background is None or not state.recent:
        return replace(
            state, recent=(now,), background=picture.astype(np.float32), behind=now
        ), None
    if state.fired_s is not None:
        return _settling(state, state.fired_s, picture, now), None
    before, behind = state.suspect or state.recent[0], state.behind or state.recent[0]
    kind = change(now, before) or moved(state, now, before, behind)
    if kind is None:
        return _calm(state, state.background, picture, now), None
    if state.suspect is None:  # what may be a flash is no picture to hold others against
        return replace(state, suspect=before, since_s=pts_s), None
    if pts_s - state.since_s < HOLD_S:
        return state, None
    fired = State((now,), state.background, state.behind, None, pts_s, pts_s)
    return fired, Upheaval(kind, pts_s)


def sudden(state: State, picture: Image, pts_s: float) -> bool:
    """Whether a picture between two looks may be the first of a change: it is not to be scored
    before that is known."""
    if not state.recent or not state.settled:
        return False
    now, before = look(picture, pts_s), state.recent[-1]
    kind = change(now, before) or moved(state, now, before, state.behind or before)
    return kind is not None


def look(picture: Image | Floats, pts_s: float) -> Look:
    """What a picture is compared by."""
    bgr = picture.astype(np.float32)
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    # The mean over 9 pixels goes: what is broader than a place looks alike wherever it moves.
    fine = grey - cv2.blur(grey, (9, 9))
    side = SIZE // GRID
    structure = fine.reshape(GRID, side, GRID, side).swapaxes(1, 2).reshape(PLACES, side * side)
    structure = structure - structure.mean(axis=1, keepdims=True)
    contrast = np.sqrt(np.einsum("pq,pq->p", structure, structure) / (side * side))
    places = cv2.resize(bgr, (GRID, GRID), interpolation=cv2.INTER_AREA).reshape(PLACES, 3)
    tint = places[:, ::2] - places[:, 1:2]  # p, blue and red against green
    # Infrared pictures of some cameras have a tint: the same in all places.
    beside = np.abs(tint - np.median(tint, axis=0)).sum(axis=1)
    light = places.mean(axis=1)
    return Look(pts_s, structure, contrast, light, beside > TINTED)


def change(now: Look, before: Look) -> Kind | None:
    """What became of a picture since one before it, but for where it looks."""
    gain = np.log((now.light_p + 4) / (before.light_p + 4))  # 4: noise in the dark is no light
    textured = before.contrast_p > TEXTURED
    if textured.sum() >= FEWEST and (now.contrast_p[textured] <= TEXTURED).mean() >= BLANK:
        return "dark" if np.median(gain) < GAIN else "light"
    seen = now.contrast_p > TEXTURED
    if seen.sum() >= FEWEST and (before.contrast_p[seen] <= TEXTURED).mean() >= BLANK:
        return "light"
    if before.coloured >= COLOURED and now.coloured <= GREY:
        return "infrared" if _no_bus(before, now, gain) else None
    if before.coloured <= GREY and now.coloured >= COLOURED:
        return "colour" if _no_bus(now, before, gain) else None
    if max((gain > GAIN).mean(), (gain < -GAIN).mean()) >= LIT:
        return "light"
    return None


def moved(state: State, now: Look, before: Look, behind: Look) -> Kind | None:
    """Whether a picture shows another place than the one before it and the background."""
    if state.alike_p is None or state.looks < KNOWN:
        return None
    rely = (state.alike_p >= RELIABLE) & (behind.contrast_p > TEXTURED)
    if rely.sum() < FEWEST:
        return None
    shares = [float((alike(now, other)[rely] < ALIKE).mean()) for other in (before, behind)]
    return "moved" if min(shares) >= MOVED else None


def alike(a: Look, b: Look) -> Floats:
    """(p,) correlation of the structure of two pictures, place by place."""
    product = np.einsum("pq,pq->p", a.structure_pq, b.structure_pq) / a.structure_pq.shape[1]
    return np.asarray(product / np.maximum(a.contrast_p * b.contrast_p, 1e-3), np.float32)


def _no_bus(coloured: Look, grey: Look, gain: Floats) -> bool:
    """Whether the colour between two pictures is of most places, of another light, or of what is
    in both of them; it is not where a red bus came or went."""
    if max((np.abs(gain) > GAIN / 2).mean(), coloured.coloured) >= 0.5:
        return True
    return float((alike(coloured, grey)[coloured.coloured_p] >= ALIKE).mean()) >= 0.5


def _calm(state: State, background: Floats, picture: Image, now: Look) -> State:
    """The picture is what it was; the background follows it."""
    share = min((now.pts_s - state.recent[-1].pts_s) / BACKGROUND_S, 0.25)
    background = background + np.float32(share) * (picture - background)
    behind, passed_s = state.behind or now, now.pts_s - state.recent[-1].pts_s
    found, looks = alike(now, behind), state.looks + 1
    if state.alike_p is not None:
        weight = np.float32(max(min(passed_s / RELY_S, 0.25), 1 / looks))
        found = state.alike_p + weight * (found - state.alike_p)
    if now.pts_s - behind.pts_s >= RENEW_S:
        behind = look(background, now.pts_s)
    return State(_kept(state.recent, now), background, behind, alike_p=found, looks=looks)


def _settling(state: State, fired_s: float, picture: Image, now: Look) -> State:
    """After an upheaval: wait until the picture keeps still, then begin anew."""
    gain = np.abs(np.log((now.light_p + 4) / (state.recent[0].light_p + 4)))
    still = float((gain > GAIN / 2).mean()) < STILL
    since_s = state.since_s if still else now.pts_s
    if now.pts_s - since_s >= SETTLE_S or now.pts_s - fired_s >= PATIENCE_S:
        return State((now,), picture.astype(np.float32), now)
    return replace(state, recent=_kept(state.recent, now), since_s=since_s)


def _kept(recent: Iterable[Look], now: Look) -> tuple[Look, ...]:
    """The looks of the last second, and at least one."""
    kept = deque([*recent, now])
    while len(kept) > 2 and now.pts_s - kept[1].pts_s >= BACK_S:
        kept.popleft()
    return tuple(kept)
