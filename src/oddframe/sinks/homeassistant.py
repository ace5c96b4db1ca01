"""Home Assistant's MQTT discovery: one retained message makes a device with six entities a camera.

Nothing is set up over there: who has the MQTT integration on the same broker sees the device as
soon as we connect. The message is sent again whenever Home Assistant says that it was started
(`homeassistant/status` = online), since a broker may have forgotten what was retained.

Three things are as they are for a reason. `available` also knows "stopped", which Home Assistant
doesn't: a template makes it offline, or entities would look alive after a clean stop. The entities
that tell of the camera's state go by the program alone, or "not connected" could never be seen.
`default_entity_id` has its domain in front: `object_id` is gone since 2026.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddframe import __version__
from oddframe.sinks.topics import Topics, safe

_ALIVE = "{{ 'online' if value == 'online' else 'offline' }}"
EVENT_TYPE = "anomaly"
"""The one type of the event entity: an automation reads the severity off its attributes."""


def discovery(camera: str, topics: Topics, root: str) -> tuple[str, Mapping[str, Any]]:
    """Topic and payload that make a camera's device; retained.

    Args:
        camera: Its name.
        topics: Where this program publishes.
        root: Home Assistant's prefix, `homeassistant` unless it was told otherwise.
    """
    own = f"{safe(topics.prefix)}_{safe(camera)}"
    program = _available(topics.available)
    payload = {
        "device": {
            "identifiers": [own],
            "name": f"oddframe {camera}",
            "manufacturer": "oddframe",
            "model": "Video anomaly detector",
            "sw_version": __version__,
        },
        "origin": {"name": "oddframe", "sw_version": __version__},
        "availability": [program, _available(topics.status(camera))],
        "availability_mode": "all",
        "qos": 1,
        "components": {
            key: {
                **values,
                "unique_id": f"{own}_{key}",
                "default_entity_id": f"{values['platform']}.{own}_{key}".lower().replace("-", "_"),
            }
            for key, values in _entities(camera, topics, program).items()
        },
    }
    return f"{root}/device/{own}/config", payload


def _available(topic: str) -> dict[str, Any]:
    return {"topic": topic, "value_template": _ALIVE}


def _entities(camera: str, topics: Topics, program: dict[str, Any]) -> dict[str, dict[str, Any]]:
    whatever_the_camera_does = {"availability": [program], "availability_mode": "all"}
    return {
        "anomaly": {
            "platform": "binary_sensor",
            "name": "Anomaly",
            "device_class": "problem",
            "state_topic": topics.anomaly(camera),
            "json_attributes_topic": topics.attributes(camera),
        },
        "level": {
            "platform": "sensor",
            "name": "Anomaly level",
            "icon": "mdi:chart-bell-curve",
            "state_topic": topics.score(camera),
            "value_template": "{{ value_json.level }}",
            "json_attributes_topic": topics.score(camera),
            "state_class": "measurement",
            "suggested_display_precision": 2,
        },
        "event": {
            "platform": "event",
            "name": "Event",
            "icon": "mdi:alert",
            "state_topic": topics.alarm(camera),
            "event_types": [EVENT_TYPE],
        },
        "snapshot": {
            "platform": "image",
            "name": "Snapshot",
            "image_topic": topics.snapshot(camera),
            "content_type": "image/jpeg",
            **whatever_the_camera_does,
        },
        "armed": {
            "platform": "switch",
            "name": "Armed",
            "icon": "mdi:shield",
            "state_topic": topics.armed(camera),
            "command_topic": topics.arm(camera),
            **whatever_the_camera_does,
        },
        "connected": {
            "platform": "binary_sensor",
            "name": "Connected",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.status(camera),
            "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
            **whatever_the_camera_does,
        },
    }
