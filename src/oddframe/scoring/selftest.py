"""What would this detector see? Made anomalies in the camera's own normal footage.

    found = selftest(scorer, pieces, cut_out(pieces), clips=24)
    print(found.text)               # somebody running: seen in 94 % of 24 clips …

Each clip is shown to the detector as it is, and again with one thing put into it (`data.made`). An
anomaly is *seen* when the alarm is raised while it is there and not by the clip alone. No labels,
no test footage; it says what happens to things that look like the scene's own and behave
otherwise, and nothing about what the scene has never shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oddframe.data.made.cuts import Cuts
from oddframe.data.made.plant import KINDS, ODD, ZONES, Planting
from oddframe.errors import RunError
from oddframe.metrics.frame import frame_auc
from oddframe.pictures import Image
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.seen import ScorerState
from oddframe.scoring.usual import Usual

CLIPS = 24
"""Clips that each kind is put into: a third of them far, in the middle and near."""
LEAD = 6
"""Frames that a thing is there before they count: that it turns up from nowhere is what is seen of
it at first, and no camera shows that."""
FRAMES = 24
"""Frames that show it: about a second."""
STOOD_S = 5.0
"""Seconds for which what stands has stood before: a second of a bag is no bag that was left."""
SHOWN = 3
"""Clips of which a picture is kept: one far, one in the middle, one near."""

Tick = Callable[[int, int], None]


def clip_frames(history: int = 16) -> int:
    """Frames that a clip has: until the history is full, and then those that count."""
    return history + 2 + FRAMES


def frames_of_a_clip(history: int = 16) -> int:
    """Frames that are scored for a clip with all kinds of anomalies."""
    return history + 2 - LEAD + (1 + len(KINDS)) * (LEAD + FRAMES)


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One thing in one clip."""

    kind: str
    zone: int
    clip: int
    seen: bool
    """An alarm while it is there."""
    without: bool
    """The clip alone has one then too."""
    score: NDArray[np.float64]
    """(n,) scores of the frames in which it is there, `FRAMES` or fewer; none where it does not
    fit into the picture."""
    plain: NDArray[np.float64]
    """(n,) scores of the same frames of the clip alone."""
    picture: Image | None
    """A picture with it in the middle of its time, of the first clips alone."""


@dataclass(frozen=True, slots=True, eq=False)
class SelfTest:
    """All that were tried."""

    tried: tuple[Tried, ...]
    things: int
    """Different ones that were cut out of the footage."""

    def of(self, kind: str, zone: int | None = None) -> list[Tried]:
        """Those of a kind, and of a zone."""
        return [t for t in self.tried if t.kind == kind and zone in (None, t.zone)]

    def seen(self, kind: str, zone: int | None = None) -> float:
        """Share that is seen, 0..1, of the clips that show it and have no alarm by themselves; NaN
        of none."""
        clean = [t.seen for t in self.of(kind, zone) if t.score.size and not t.without]
        return float(np.mean(clean)) if clean else math.nan

    def auc(self, kind: str) -> float:
        """AUC (0..1) of frames with the thing against the same frames without it: no threshold.
        NaN where no clip shows it: what is twice as large may not fit into the picture."""
        tried = [t for t in self.of(kind) if t.score.size]
        if not tried:
            return math.nan
        scores = [x for t in tried for x in (t.score, t.plain)]
        return frame_auc(scores, [np.full(len(x), i % 2 == 0) for i, x in enumerate(scores)])

    @property
    def mean_auc(self) -> float:
        """Mean of the kinds that are odd and shown: what orders RUNs and settings; NaN of none."""
        known = [x for x in (self.auc(kind) for kind in ODD) if not math.isnan(x)]
        return float(np.mean(known)) if known else math.nan

    @property
    def text(self) -> str:
        """In plain words, a line for each kind."""
        return words(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Plain values for the RUN and for `--json`."""
        return {
            "clips": len(self.of("normal")), "frames": FRAMES, "things": self.things,
            "mean_auc": _known(self.mean_auc),
            "kinds": {
                kind: {
                    "said": KINDS[kind].said, "seen": _known(self.seen(kind)),
                    "auc": _known(self.auc(kind)),
                    "zones": {name: _known(self.seen(kind, i)) for i, name in enumerate(ZONES)},
                }
                for kind in KINDS
            },
        }  # fmt: skip


def words(values: Mapping[str, Any]) -> str:
    """What `SelfTest.to_json` gave, in plain words."""
    lines = [
        f"made anomalies in {values['clips']} clips of normal footage, seen at the RUN's threshold:"
    ]
    for kind in (*ODD, "normal"):
        found = values["kinds"][kind]
        zones = ", ".join(f"{z} {x:.0%}" for z, x in found["zones"].items() if x is not None)
        share = found["seen"]
        none = "no clip shows it without an alarm of its own"
        seen = none if share is None else f"{share:.0%} ({zones})"
        lines.append(f"  {found['said']}: {seen}")
    return "\n".join(lines)


def selftest(
    scorer: Scorer,
    pieces: Sequence[Sequence[Image]],
    cuts: Cuts,
    *,
    clips: int = CLIPS,
    seed: int = 0,
    tick: Tick | None = None,
    threshold: Callable[[Image], float | None] | None = None,
    others: Sequence[Usual] | None = None,
) -> SelfTest:
    """Show a detector made anomalies.

    Args:
        scorer: with its scene; without a threshold nothing is seen, and `auc` counts.
        pieces: normal footage that the model was not trained on: consecutive pictures
            (256, 256, 3) BGR uint8, each piece at least as long as the history and `FRAMES`.
        cuts: what is put in.
        clips: how many clips, each with every kind.
        tick: called with frames done and frames in all.
        threshold: of the alarm, in the light of a picture; None: the scorer's.
        others: per piece what the rest of the footage says is usual; None: what the scorer knows,
            the piece itself among it.

    Raises:
        RunError: no piece is long enough.
    """
    warm = scorer.model.history + 2
    enough = [i for i, p in enumerate(pieces) if len(p) >= warm + FRAMES]
    long = [pieces[i] for i in enough]
    if not long:
        raise RunError(
            f"The self-test needs stretches of {warm + FRAMES} frames of normal footage without a "
            f"gap, the longest has {max((len(p) for p in pieces), default=0)}."
        )
    places = np.cumsum([0] + [len(p) - warm - FRAMES + 1 for p in long])
    starts = np.linspace(0, places[-1] - 1, clips).round().astype(int)
    total = clips * (warm + FRAMES)
    tried = []
    for clip, at in enumerate(starts):
        i = int(np.searchsorted(places, at, side="right")) - 1
        start = int(at - places[i])
        images = long[i][start : start + warm + FRAMES]
        plans = [
            Planting(kind, clip % 3, cuts, LEAD + FRAMES, np.random.default_rng([seed, clip, j]))
            for j, kind in enumerate(KINDS)
        ]
        told = scorer if others is None else scorer.knowing(others[enough[i]])
        scores = _shown(told, images, warm, plans)
        least = scorer.threshold if threshold is None else threshold(images[0])
        alarms = scores >= (math.inf if least is None else least)
        for j, kind in enumerate(KINDS, 1):
            at = LEAD + FRAMES // 2
            shown = plans[j - 1].shown(images[warm - LEAD + at], at) if clip < SHOWN else None
            there = np.array([plans[j - 1].there(LEAD + k, images[0]) for k in range(FRAMES)])
            seen, without = bool(alarms[j][there].any()), bool(alarms[0][there].any())
            with_it, alone = scores[j][there], scores[0][there]
            tried.append(Tried(kind, clip % 3, clip, seen, without, with_it, alone, shown))
        if tick is not None:
            tick((clip + 1) * (warm + FRAMES), total)
    return SelfTest(tuple(tried), len(cuts.things))


def _stood(state: ScorerState, image: Image, plan: Planting) -> ScorerState:
    """The state of a scorer that has seen a thing at its place for `STOOD_S`, where it stands."""
    stayed = state.past.stayed
    if stayed is None or not plan.kind.quiet:
        return state
    there = cv2.absdiff(plan.into(image, 0), image).max(2).astype(np.float32)
    cells = cv2.resize(there, stayed.shape[::-1], interpolation=cv2.INTER_AREA)
    # A window reaches beyond the cell in its middle.
    near = cv2.dilate((cells > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    longer = np.where(near, stayed + np.float32(STOOD_S), stayed)
    return replace(state, past=replace(state.past, stayed=longer))


def _known(share: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(share) else share


def _shown(
    scorer: Scorer, images: Sequence[Image], warm: int, plans: Sequence[Planting]
) -> NDArray[np.float64]:
    """Scores (1 + plans, FRAMES): of the clip as it is, then with each thing.

    The frames before are the same for all, so they are looked at once; then all clips go side by
    side."""
    state = scorer.init_state()
    for image in images[: warm - LEAD]:
        state, _ = scorer.observe(state, image)
    first = images[warm - LEAD]
    states = [state, *(_stood(state, first, plan) for plan in plans)]
    scores = []
    for k, image in enumerate(images[warm - LEAD :]):
        shown = [image, *(plan.into(image, k) for plan in plans)]
        states, found = scorer.step_batch(states, shown, [0.0] * len(shown), heat=False)
        scores.append([s.score for s in found])
    return np.array(scores[LEAD:]).T
