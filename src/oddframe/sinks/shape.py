"""An event as Frigate publishes its own on MQTT, so that what reads Frigate's reads ours.

Times are seconds since 1970, boxes [x1, y1, x2, y2] in pixels of the source, scores in [0, 1].
"""

from __future__ import annotations

from typing import Any

from oddframe.events.event import Event
from oddframe.sinks.words import reasons, share


def shape(event: Event) -> dict[str, Any]:
    """An event as Frigate tells of its own, and behind that what only we know."""
    boxes = [[b.x, b.y, b.x + b.w, b.y + b.h] for b in event.boxes]
    whole = [0, 0, event.width, event.height]
    x1, y1, x2, y2 = box = boxes[0] if boxes else whole
    score = round(share(event.peak_level), 4)
    area = (x2 - x1) * (y2 - y1)
    has_picture = event.snapshot is not None
    picture = {"frame_time": event.peak_utc, "box": box, "area": area, "region": whole}
    return {
        "id": event.id,
        "camera": event.camera,
        "frame_time": event.peak_utc,
        "snapshot": {**picture, "score": score, "attributes": []} if has_picture else None,
        "label": "anomaly",
        "sub_label": [reasons(event, 100), score] if event.reasons else None,
        "top_score": score,
        "false_positive": False,
        "start_time": event.start_utc,
        "end_time": event.end_utc if event.state == "end" else None,
        "score": score,
        "box": box,
        "area": area,
        "ratio": round((x2 - x1) / max(y2 - y1, 1), 2),
        "region": whole,
        "active": event.state != "end",
        "stationary": False,
        "motionless_count": 0,
        "position_changes": 0,
        "current_zones": list(event.zones) if event.state != "end" else [],
        "entered_zones": list(event.zones),
        "has_clip": event.clip is not None,
        "has_snapshot": has_picture,
        "attributes": {},
        "current_attributes": [],
        "thumbnail": None,
        "severity": event.severity,
        "level": event.peak_level,
        "boxes": boxes,
        "reasons": list(event.reasons),
        "streams": dict(event.streams or {}),
        "ended": event.ended,
    }
