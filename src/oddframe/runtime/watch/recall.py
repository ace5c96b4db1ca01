"""Whether a camera's own real events would still ring: a test of what was learned.

Nothing is scored again. What is kept of an event (`scoring.spots`) is held against the exemplars
and the threshold of now; of what was real, it itself does not count, or nothing would ever fail.
"""

from __future__ import annotations

from dataclasses import dataclass

from oddframe.events.store import Store
from oddframe.events.store.exemplars import MOST_REAL
from oddframe.runtime.watch.camera import Camera
from oddframe.runtime.watch.pardons import QUIET, spots_of
from oddframe.scoring.exemplars import Exemplars, rings


@dataclass(frozen=True, slots=True)
class Recall:
    """Of one camera, or of several together."""

    kept: int
    """Real events that would ring."""
    of: int
    """Real events that are described, and were scored by the weights of now."""

    def __add__(self, other: Recall) -> Recall:
        return Recall(self.kept + other.kept, self.of + other.of)


def recall_of(camera: Camera, store: Store) -> Recall:
    """Hold a camera's real events, the newest `MOST_REAL`, against what is known now.

    Raises:
        ConfigError: it has no RUN.
        StoreError: the store cannot be read.
    """
    config, rules = camera.detector.score_config, camera.desk.tracker.rules
    threshold = camera.threshold_now
    described = store.judged(camera.name, camera.run, "real", MOST_REAL)
    real = [spots_of(d.spots) for d in described]
    exemplars = store.exemplars(camera.name, camera.run) if real else []
    known = Exemplars([spots_of(e.spots) for e in exemplars], real)
    kept = 0
    for number, (event, spots) in enumerate(zip(described, real, strict=True)):
        record = store.record(event.event_id)
        score = record.event.peak_score if record else 0.0
        like = known.like(spots, QUIET * rules.keep_level * threshold, number)
        kept += rings(spots, score, like, rules.raise_level * threshold, config)
    return Recall(kept, len(real))
