"""An event in words and in the units that other systems show: what several sinks say alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from oddframe.events.event import Event


def iso(t_utc: float) -> str:
    """2026-11-29T21:55:14.250Z: JSON's time, milliseconds and Z."""
    moment = datetime.fromtimestamp(t_utc, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def share(level: float) -> float:
    """A level as a confidence in [0, 1], for systems that show per cent: 1 - 1 / (2 level).

    The alarm threshold is 0.5, twice that 0.75, ten times that 0.95: it rises with the level and
    never reaches 1, so that no two events look the same.
    """
    return 1 - 0.5 / level if level >= 1 else max(0.0, 0.5 * level)


def title(event: Event) -> str:
    """One line: what, and where."""
    if event.away:
        return f"No picture: {event.camera}"
    what = "Alert" if event.severity == "alert" else "Something unusual"
    return f"{what}: {event.camera}"


def reasons(event: Event, most: int | None = None) -> str:
    """Which streams spoke, in one line of at most `most` characters."""
    text = "; ".join(event.reasons) or "unlike anything it has learnt"
    return text if most is None or len(text) <= most else text[: most - 1].rstrip() + "…"


def sentence(event: Event) -> str:
    """Reasons, level, place and time, as one would tell somebody."""
    parts = [f"{reasons(event)}."]
    parts.append("Since" if event.away else f"Level {event.peak_level:.1f} (1 is the threshold)")
    if event.zones:
        parts.append(f"in {', '.join(event.zones)}")
    parts.append(iso(event.start_utc) if event.away else f"at {iso(event.start_utc)}")
    if event.end_utc is not None:
        parts.append(f"for {event.end_utc - event.start_utc:.0f} s")
    return f"{parts[0][:1].upper()}{parts[0][1:]} {' '.join(parts[1:])}."


def as_json(values: Mapping[str, Any]) -> str:
    """JSON that every reader takes: what isn't finite is null, numpy's numbers are plain."""
    try:
        return json.dumps(values, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_finite(values), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return value.item()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
