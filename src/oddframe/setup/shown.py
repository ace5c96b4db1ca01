"""What there is to see of a RUN: loss curve, self-test, threshold, tables that lie in it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oddframe.runs import CARD, CURVE, SELFTEST, Run
from oddframe.scoring.selftest import words

POINTS = 400
"""Of a loss curve, at most."""
MOST_BYTES = 2_000_000
"""Of a file of tables; a longer one is passed over."""
MOST_ROWS = 200
_VALUES = ("threshold", "low", "high", "alarms_per_day", "hours", "days", "peaks", "method",
           "provisional", "count_low", "count_high", "text")  # fmt: skip
"""Of a calibration, what is shown."""


def loss(run: Path) -> list[tuple[int, float]]:
    """Step and loss, means over equal parts of the training where it has more than `POINTS` steps.

    Empty where there is no curve yet, or it is damaged.
    """
    try:
        with (run / CURVE).open(encoding="utf8", newline="") as file:
            found = np.array([*_rows(file)], np.float64).reshape(-1, 2)
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    parts = np.array_split(found, min(POINTS, len(found))) if len(found) else []
    return [(int(part[-1, 0]), float(f"{part[:, 1].mean():.6g}")) for part in parts]


def _rows(file: Iterator[str]) -> Iterator[tuple[float, float]]:
    for row in csv.DictReader(file):
        try:
            step, value = float(row["step"]), float(row["loss"])
        except (KeyError, TypeError, ValueError):  # half a line, of a training that goes on
            continue
        if math.isfinite(step) and math.isfinite(value):
            yield step, value


def selftest(run: Run) -> dict[str, Any] | None:
    """The self-test in words and numbers, and whether its picture is there; None without one."""
    found = (run.card.get("training") or {}).get("selftest")
    if not isinstance(found, Mapping):
        return None
    try:
        text = words(found)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return {"text": text, **plain(found), "picture": (run.path / SELFTEST).is_file()}


def calibration(run: Run) -> dict[str, Any] | None:
    """What its threshold is and rests on; by light, where it knows several."""
    known = run.calibration
    if known is None:
        return None
    found = {key: known.get(key) for key in _VALUES if key in known}
    modes = known.get("modes")
    if isinstance(modes, Mapping):
        found["modes"] = {
            str(name): {key: mode.get(key) for key in ("threshold", "hours", "share")}
            for name, mode in modes.items()
        }
    return dict(plain(found))


def tables(run: Path) -> list[dict[str, Any]]:
    """Rows of `evaluate --json` files that lie in a RUN, each with its protocol in words."""
    found = list[dict[str, Any]]()
    for path in sorted(run.glob("*.json")):
        if path.name == CARD or not path.is_file() or path.stat().st_size > MOST_BYTES:
            continue
        try:
            rows = json.loads(path.read_text("utf8"))["rows"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if isinstance(rows, Sequence) and not isinstance(rows, str):
            said = [r for r in rows if isinstance(r, Mapping) and "protocol_text" in r]
            found += [{key: plain(value) for key, value in row.items()} for row in said]
    return found[:MOST_ROWS]


def plain(value: Any) -> Any:
    """A value as JSON takes it: what is no finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
