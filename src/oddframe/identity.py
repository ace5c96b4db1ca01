"""What makes a RUN give the scores that it gives, and whether two give the same.

Results that are kept (an archive's segments, a test set's scores) are held against it: those of
another RUN, or of the same after a change, are never mixed.
"""

from __future__ import annotations

import hashlib
import json

from oddframe.calibration.light import modes_of
from oddframe.errors import RunError
from oddframe.runs import USUAL, WEIGHTS, Run

WORDS = {
    "weights": "its weights", "usual": "what is usual in its scene", "model": "its model",
    "scene": "its scene", "score": "its score's settings (--set)", "threshold": "its threshold",
    "fps": "its rate", "used": "its range of 16-bit pictures",
}  # fmt: skip
"""Parts of a RUN's identity, for people."""


def parts_of(run: Run) -> dict[str, str]:
    """What makes a RUN give the scores that it gives: a hash for each part.

    Raises:
        RunError: a file of it cannot be read.
    """
    try:
        known = {
            "weights": (run.path / WEIGHTS).read_bytes(),
            "usual": (run.path / USUAL).read_bytes() if "way" in run.scene else b"",
        }
    except OSError as error:
        raise RunError(f"{error.filename} cannot be read: {error.strerror}.") from None
    lights = light_thresholds(run)
    plain = {
        "model": [run.name, run.model_config.model_dump(mode="json")],
        "scene": run.card["scene"],
        "score": run.score_config.model_dump(mode="json"),
        "threshold": [run.threshold, lights] if lights else run.threshold,
        "fps": run.fps,
        "used": run.used,
    }
    texts = {name: json.dumps(value, sort_keys=True).encode() for name, value in plain.items()}
    return {name: short_hash(data) for name, data in {**known, **texts}.items()}


def light_thresholds(run: Run) -> dict[str, float]:
    """The threshold of each light; {} where one holds for all."""
    return {n: float(m["threshold"]) for n, m in modes_of(run.calibration or {}).items()}


def short_hash(data: bytes) -> str:
    """Eight bytes of BLAKE2, as hex."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
