"""Home Assistant's discovery: a payload that its schema takes, at the right moments.

The schema is homeassistant/components/mqtt/schemas.py (DEVICE_DISCOVERY_SCHEMA) in plain checks.
"""

import json
import re

import pytest
from overthere import until

from oddframe.sinks import make_sink
from oddframe.sinks.homeassistant import discovery
from oddframe.sinks.mqtt import Around
from oddframe.sinks.topics import Topics

NEEDED = {  # by platform: what its own schema requires
    "binary_sensor": {"state_topic"}, "sensor": {"state_topic"}, "image": {"image_topic"},
    "event": {"state_topic", "event_types"}, "switch": {"command_topic"},
}  # fmt: skip
ROOT = {"device", "origin", "components", "availability", "availability_mode", "qos"}


@pytest.mark.parametrize("camera", ["gate", "front door/1"])
def test_the_payload_is_what_the_schema_takes(camera):
    topic, payload = discovery(camera, Topics("oddframe"), "homeassistant")
    payload = json.loads(json.dumps(payload))
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
    assert set(payload) == ROOT
    assert payload["device"]["identifiers"]
    assert payload["origin"]["name"]
    assert payload["availability_mode"] == "all"
    for one in [payload, *payload["components"].values()]:
        for entry in one.get("availability", []):
            assert {"topic"} <= set(entry) <= {"topic", "value_template"}
            assert "stopped" not in entry["value_template"]
    components = payload["components"]
    assert sorted(c["platform"] for c in components.values()) == [
        "binary_sensor", "binary_sensor", "event", "image", "sensor", "switch",
    ]  # fmt: skip
    for one in components.values():
        assert NEEDED[one["platform"]] <= set(one)
        assert "object_id" not in one
        assert re.fullmatch(rf"{one['platform']}\.[a-z0-9_]+", one["default_entity_id"])
        for key, value in one.items():
            if key.endswith("_topic"):
                assert not set(value) & set("+# ")
    assert len({c["unique_id"] for c in components.values()}) == 6
    assert len({c["default_entity_id"] for c in components.values()}) == 6


def test_a_camera_that_is_off_is_seen_as_such_and_not_as_unknown():
    t = Topics("oddframe")
    _, payload = discovery("gate", t, "homeassistant")
    assert {a["topic"] for a in payload["availability"]} == {t.available, t.status("gate")}
    for key in ("connected", "armed", "snapshot"):
        topics = [a["topic"] for a in payload["components"][key]["availability"]]
        assert topics == [t.available]


def test_two_programs_on_one_broker_make_two_devices():
    one, two = (discovery("gate", Topics(p), "homeassistant") for p in ("oddframe", "site/2"))
    assert one[0] != two[0]
    assert one[1]["device"]["identifiers"] != two[1]["device"]["identifiers"]


def test_it_is_retained_and_said_again_when_home_assistant_starts(broker, listen):
    pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed")
    port = broker().port
    ear = listen(port)
    sink = make_sink(
        {"kind": "mqtt", "host": "127.0.0.1", "port": port, "homeassistant": True},
        Around(("gate", "yard")),
    )
    topic = "homeassistant/device/oddframe_gate/config"
    try:
        sink.start()
        until(lambda: len(ear.of(topic)) == 1)
        late = listen(port)
        until(lambda: late.of(topic) == ear.of(topic))
        assert json.loads(ear.of(topic)[0])["components"]["anomaly"]["platform"] == "binary_sensor"
        ear.client.publish("homeassistant/status", "offline", 1)
        ear.client.publish("homeassistant/status", "online", 1)
        until(lambda: len(ear.of(topic)) == 2)
        until(lambda: len(ear.of("homeassistant/device/oddframe_yard/config")) == 2)
    finally:
        sink.close()


def test_nothing_is_said_to_it_unless_it_is_asked_for(broker, listen):
    pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed")
    port = broker().port
    ear = listen(port)
    sink = make_sink({"kind": "mqtt", "host": "127.0.0.1", "port": port}, Around(("gate",)))
    sink.start()
    until(lambda: ear.of("oddframe/gate/anomaly"))
    sink.close()
    assert not [t for t, _, _ in ear.heard if t.startswith("homeassistant")]
