"""MQTT at a real broker: nothing acknowledged is lost, order stays, and it comes back by itself."""

import json
import math
import time
from dataclasses import replace

import pytest
from overthere import START, told, until

from oddframe.events.store import Store
from oddframe.runtime import courier as courier_module
from oddframe.runtime.courier import Courier
from oddframe.sinks import broker as broker_module
from oddframe.sinks import make_sink
from oddframe.sinks.base import Later
from oddframe.sinks.mqtt import Around
from oddframe.sinks.shape import shape
from oddframe.sinks.topics import Topics, safe

pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed: pip install 'oddframe[mqtt]'")


@pytest.fixture
def mqtt(request):
    """`mqtt(port, around=None, **settings)`: a sink, closed at the end."""
    made = []

    def make(port, around=None, **settings):
        values = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "timeout_s": 1.0, **settings}
        made.append(make_sink(values, around or Around(("gate", "yard"))))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def quick(monkeypatch):
    """Pauses between tries that a test can wait for."""
    monkeypatch.setattr(broker_module, "RECONNECT_S", (0.05, 0.1))
    monkeypatch.setattr(courier_module, "FIRST_S", 0.05)
    monkeypatch.setattr(courier_module, "LONGEST_S", 0.2)
    monkeypatch.setattr("oddframe.events.store.outbox.FIRST_S", 0.05)
    monkeypatch.setattr("oddframe.events.store.outbox.LONGEST_S", 0.2)


# ---- what is said


def test_an_event_is_told_in_frigates_shape(broker, listen, mqtt, tmp_path):
    (tmp_path / "p.jpg").write_bytes(b"\xff\xd8jpeg")
    port = broker().port
    ear, sink = listen(port), mqtt(port)
    receipts = {}
    for state in ("start", "update", "end"):
        message = told(state, receipts=receipts, folder=tmp_path, snapshot="p.jpg")
        receipts = {**receipts, **sink.send(message)}
    until(lambda: len(ear.of("oddframe/events")) == 3)
    new, update, end = (json.loads(p) for p in ear.of("oddframe/events"))
    assert [m["type"] for m in (new, update, end)] == ["new", "update", "end"]
    assert new["before"] == new["after"]
    assert update["before"] == new["after"]
    assert end["before"] == update["after"]
    assert new["key"] == told().key
    after = new["after"]
    assert (after["id"], after["camera"], after["label"]) == (told().event.id, "gate", "anomaly")
    assert (after["start_time"], after["end_time"]) == (START, None)
    assert (after["score"], after["top_score"], after["severity"]) == (0.75, 0.75, "detection")
    assert after["box"] == [64, 48, 192, 144]
    assert after["current_zones"] == after["entered_zones"] == ["stairs"]
    assert after["has_snapshot"] is True
    assert after["has_clip"] is False
    assert end["after"]["end_time"] == START + 20
    assert end["after"]["active"] is False
    assert (end["after"]["current_zones"], end["after"]["entered_zones"]) == ([], ["stairs"])
    assert ear.of("oddframe/gate/anomaly")[-3:] == ["ON", "ON", "OFF"]
    assert (b"\xff\xd8jpeg") in [p for t, p, _ in ear.heard if t == "oddframe/gate/snapshot"]
    (alarm,) = ear.of("oddframe/gate/event")
    assert json.loads(alarm)["event_type"] == "anomaly"
    assert json.loads(ear.of("oddframe/gate/anomaly/attributes")[-1])["reasons"]


def test_an_event_that_becomes_an_alert_is_one_more_alarm(broker, listen, mqtt):
    port = broker().port
    ear, sink = listen(port), mqtt(port)
    receipts = sink.send(told(severity="detection"))
    receipts = sink.send(told("update", receipts=receipts, severity="detection"))
    louder = told("update", receipts=receipts, severity="alert")
    receipts = sink.send(replace(louder, key=louder.key.replace("/1", "/2")))
    sink.send(told("end", receipts=receipts, severity="alert"))
    until(lambda: len(ear.of("oddframe/events")) == 4)
    loud = [json.loads(p)["severity"] for p in ear.of("oddframe/gate/event")]
    assert loud == ["detection", "alert"]


def test_alarms_that_are_off_are_told_so_at_the_start(broker, listen, mqtt):
    port = broker().port
    ear = listen(port)
    mqtt(port, Around(("gate", "yard"), armed=lambda camera: camera == "yard")).start()
    t = Topics("oddframe")
    until(lambda: ear.of(t.armed("gate")) == ["OFF"])
    until(lambda: ear.of(t.armed("yard")) == ["ON"])


def test_what_holds_is_there_for_who_comes_later(broker, listen, mqtt):
    port = broker().port
    sink = mqtt(port)
    sink.send(told())
    sink.observe("gate", 0.1, 0.5, True)
    before = listen(port)
    until(lambda: before.of("oddframe/gate/status"))  # it was on its way
    ear = listen(port)
    expected = {"oddframe/available": "online", "oddframe/gate/anomaly": "ON",
                "oddframe/yard/anomaly": "OFF", "oddframe/gate/status": "online",
                "oddframe/gate/armed/state": "ON"}  # fmt: skip
    for topic, payload in expected.items():
        until(lambda t=topic, p=payload: ear.of(t)[-1:] == [p], what=topic)
    assert not ear.of("oddframe/events")
    assert all(retained for topic, _, retained in ear.heard if topic in expected)


@pytest.mark.parametrize("later_s", [30, -3600], ids=["in order", "the clock is set back"])
def test_an_old_events_end_doesnt_switch_a_newer_one_off(broker, listen, mqtt, later_s):
    port = broker().port
    ear, sink = listen(port), mqtt(port)
    receipts = sink.send(replace(told(at=START), number=1))
    sink.send(replace(told(at=START + later_s), number=2))
    sink.send(replace(told("end", at=START, receipts=receipts), number=3))
    until(lambda: len(ear.of("oddframe/events")) == 3)
    assert ear.of("oddframe/gate/anomaly")[-1] == "ON"
    assert len(ear.of("oddframe/gate/event")) == 2


@pytest.mark.parametrize("later_s", [30, -3600], ids=["in order", "the clock is set back"])
def test_the_newest_event_is_the_one_that_began_last_whatever_the_clock(mqtt, later_s):
    sink = mqtt(1)
    first = replace(told(at=START), number=1)
    second = replace(told(at=START + later_s), number=2)
    receipts = {"told": shape(first.event), "first": 1}
    end = replace(told("end", at=START, receipts=receipts), number=3)
    said = [{s.topic for s in sink._told(m, shape(m.event))} for m in (first, second, end)]
    assert all({"oddframe/gate/anomaly", "oddframe/gate/event"} <= s for s in said[:2])
    assert said[2] == {"oddframe/events"}


def test_a_clean_exit_says_stopped_and_a_dead_wire_offline(broker, listen, mqtt, gate):
    port = broker().port
    ear, wire = listen(port), gate(port)
    sink = mqtt(wire.port)
    sink.start()
    until(lambda: ear.of("oddframe/available") == ["online"])
    wire.open = False
    wire.cut()
    until(lambda: ear.of("oddframe/available") == ["online", "offline"])
    wire.open = True
    until(lambda: ear.of("oddframe/available") == ["online", "offline", "online"])
    sink.close()
    until(lambda: ear.of("oddframe/available")[-1] == "stopped")
    time.sleep(0.2)
    assert ear.of("oddframe/available")[-1] == "stopped"


def test_scores_come_once_a_second_at_most_and_the_loudest(broker, listen, mqtt):
    port = broker().port
    ear, sink = listen(port), mqtt(port)
    sink.start()
    for i in range(300):  # a hundred frames of each of three seconds, half of one here
        sink.observe("gate", 0.01 * (i % 50), 0.1 * (i % 50), True)
    until(lambda: len(ear.of("oddframe/gate/score")) == 1)
    sink.observe("gate", math.nan, math.nan, True)
    time.sleep(1.0)
    sink.observe("gate", 0.0, 0.0, True)
    sink.observe("gate", 0.0, 0.0, False)
    until(lambda: len(ear.of("oddframe/gate/score")) == 2)
    assert json.loads(ear.of("oddframe/gate/score")[1]) == {"level": 4.9, "score": 0.49}
    sink.observe("yard", math.nan, math.nan, False)
    until(lambda: ear.of("oddframe/yard/score"))
    assert json.loads(ear.of("oddframe/yard/score")[0]) == {"level": None, "score": None}
    assert ear.of("oddframe/gate/status") == ["online", "offline"]
    assert ear.of("oddframe/yard/status") == ["offline"]


def test_observing_blocks_nobody_while_there_is_no_broker(mqtt):
    sink = mqtt(1)
    began = time.monotonic()
    for _ in range(2000):
        sink.observe("gate", 0.1, 0.5, True)
    assert time.monotonic() - began < 0.5


def test_arming_is_heard_and_its_state_told(broker, listen, mqtt):
    port = broker().port
    wanted = []
    around = Around(("gate", "front door/1"), lambda camera, on: wanted.append((camera, on)) or on)
    ear, sink = listen(port), mqtt(port, around)
    sink.start()
    t = Topics("oddframe")
    until(lambda: ear.of(t.armed("gate")) == ["ON"])
    ear.client.publish(t.arm("front door/1"), "OFF", 1)
    ear.client.publish(t.arm("gate"), "off", 1)
    ear.client.publish(t.arm("gate"), "perhaps", 1)
    ear.client.publish("oddframe/nobody/armed/set", "OFF", 1)
    until(lambda: ear.of(t.armed("gate")) == ["ON", "OFF"])
    until(lambda: ear.of(t.armed("front door/1")) == ["ON", "OFF"])
    assert wanted == [("front door/1", False), ("gate", False)]
    sink.armed("gate", True)
    until(lambda: ear.of(t.armed("gate")) == ["ON", "OFF", "ON"])


def test_a_command_that_was_retained_is_of_another_day(broker, listen, mqtt):
    port = broker().port
    listen(port).client.publish("oddframe/gate/armed/set", "OFF", 1, retain=True)
    wanted = []
    ear = listen(port)
    until(lambda: ear.of("oddframe/gate/armed/set"))
    mqtt(port, Around(("gate",), lambda camera, on: wanted.append(on) or on)).start()
    until(lambda: ear.of("oddframe/gate/armed/state"))
    time.sleep(0.2)
    assert not wanted


def test_a_mistake_of_whoever_arms_ends_nothing(broker, listen, mqtt):
    port = broker().port
    ear = listen(port)
    sink = mqtt(port, Around(("gate",), lambda camera, on: 1 / 0))
    sink.start()
    until(lambda: ear.of("oddframe/available"))
    ear.client.publish("oddframe/gate/armed/set", "OFF", 1)
    time.sleep(0.2)
    sink.send(told())
    until(lambda: ear.of("oddframe/events"))


def test_cameras_join_and_leave_while_it_is_connected(broker, listen, mqtt):
    port = broker().port
    wanted = []
    around = Around(("gate",), lambda camera, on: wanted.append(camera) or on)
    ear, sink = listen(port), mqtt(port, around, homeassistant=True)
    sink.start()
    t, config = Topics("oddframe"), "homeassistant/device/oddframe_yard/config"
    until(lambda: ear.of(t.armed("gate")))
    sink.follow(("gate", "yard"))
    until(lambda: ear.of(t.armed("yard")) == ["ON"])
    assert json.loads(ear.of(config)[0])["device"]["name"] == "oddframe yard"
    assert ear.of(t.anomaly("yard")) == ["OFF"]
    ear.client.publish(t.arm("yard"), "OFF", 1)
    until(lambda: wanted == ["yard"])
    sink.follow(("gate", "yard"))  # the same again is no news
    sink.follow(("gate",))
    until(lambda: ear.of(config)[1:] == [""])
    sink.send(told(camera="yard"))  # what still waited of it
    until(lambda: ear.of("oddframe/events"))
    late = listen(port)
    until(lambda: late.of(t.armed("gate")) == ["ON"])
    assert not [topic for topic, _, _ in late.heard if "yard" in topic]
    ear.client.publish(t.arm("yard"), "ON", 1)
    ear.client.publish(t.arm("gate"), "OFF", 1)
    until(lambda: "gate" in wanted)
    assert wanted == ["yard", "gate"]
    sink.follow(("gate", "yard"))
    until(lambda: ear.of(config)[2:])


def test_a_camera_that_left_while_nobody_ran_is_forgotten(broker, listen, mqtt):
    """It was taken out of SITE.yaml: the broker kept it, and Home Assistant its device."""
    port = broker().port
    first = mqtt(port, Around(("gate", "yard")), homeassistant=True)
    first.start()
    t, config = Topics("oddframe"), "homeassistant/device/oddframe_yard/config"
    ear = listen(port)
    until(lambda: ear.of(config) and ear.of(t.armed("yard")))
    first.close()
    second = mqtt(port, Around(("gate",), gone=("yard",)), homeassistant=True)
    second.start()
    until(lambda: ear.of(config)[-1] == "" and ear.of(t.armed("yard"))[-1] == "")
    late = listen(port)
    until(lambda: late.of(t.armed("gate")) == ["ON"])
    assert not [topic for topic, _, _ in late.heard if "yard" in topic]
    second.follow(("gate", "yard"))  # it is back
    until(lambda: ear.of(t.armed("yard"))[-1] == "ON")


@pytest.mark.parametrize("name", ["gate", "front door", "a/b", "a_b", "#", "+", "Straße", "", "$x"])
def test_names_are_safe_and_stay_apart(name):
    import re

    assert re.fullmatch("[a-zA-Z0-9_-]+", safe(name))
    others = {"gate", "front door", "front_door", "a/b", "a_b", "#", "+", "Straße", "", "$x"} - {
        name
    }
    assert safe(name) not in {safe(o) for o in others}


def test_an_event_without_boxes_is_of_the_whole_picture():
    assert shape(told(boxes=()).event)["box"] == [0, 0, 640, 480]


# ---- what gets lost


def test_a_broker_that_isnt_there_is_tried_later(mqtt):
    sink = mqtt(1)
    with pytest.raises(Later, match=r"127\.0\.0\.1:1 cannot be reached"):
        sink.send(told())


def test_a_broker_that_lets_us_in_with_a_password_only(broker, mqtt, tmp_path):
    import subprocess

    file = tmp_path / "passwords"
    made = subprocess.run(["mosquitto_passwd", "-c", "-b", file, "me", "hunter2"], check=False)
    if made.returncode:
        pytest.skip("mosquitto_passwd is not installed")
    port = broker(f"allow_anonymous false\npassword_file {file}\n").port
    with pytest.raises(Later, match="check user and password") as error:
        mqtt(port, user="me", password="wrong").send(told())
    assert "wrong" not in str(error.value)
    mqtt(port, user="me", password="hunter2").send(told())


def test_a_broker_is_checked_where_it_speaks_tls(broker, mqtt, certificate):
    port = broker(f"certfile {certificate}\nkeyfile {certificate}\n").port
    mqtt(port, tls=True, ca_file=certificate).send(told())
    with pytest.raises(Later):
        mqtt(port, tls=True).send(told())


def test_a_message_counts_once_the_broker_has_acknowledged_it(broker, mqtt, gate, listen, quick):
    port = broker().port
    wire, ear = gate(port), listen(port)
    sink = mqtt(wire.port, timeout_s=0.3)
    sink.start()
    until(lambda: ear.of("oddframe/available"))
    wire.deaf = True  # the broker gets it, and its acknowledgement gets lost
    with pytest.raises(Later, match=r"didn't take the message within 0\.3 s"):
        sink.send(told())
    with pytest.raises(Later):
        sink.send(told())
    until(lambda: len(ear.of("oddframe/events")) == 1)  # waited for, not said again
    wire.deaf = False
    wire.cut()

    def taken(state="start"):
        try:
            return sink.send(told(state))
        except Later:
            return None

    assert until(taken)["told"]["id"] == told().event.id
    until(lambda: len(ear.of("oddframe/events")) == 2)
    until(lambda: taken("end"))
    until(lambda: json.loads(ear.of("oddframe/events")[-1])["type"] == "end")
    keys = [json.loads(p)["key"] for p in ear.of("oddframe/events")]
    assert keys[:2] == [told().key] * 2  # said again by the library, and by nobody else
    assert set(keys[2:]) == {told("end").key}


def test_a_broker_killed_with_messages_in_flight_loses_none(
    broker, mqtt, gate, listen, quick, tmp_path
):
    real = broker()
    wire = gate(real.port)
    store = Store(tmp_path / "store")
    ears, expected = [listen(real.port)], []
    courier = Courier(lambda: mqtt(wire.port), store, "mqtt")
    courier.start()

    def put(at, states=("start", "update", "end")):
        for state in states:
            event = told(state, at=at).event
            store.put(event, ["mqtt"])
            if state != "update":
                expected.append(f"{event.id}/{state}")

    put(START)
    until(lambda: store.count("mqtt", "waiting") == 0)
    for kill in range(1, 4):
        real.hang()  # what is sent now lies in its socket
        put(START + 10 * kill)
        until(lambda: courier.stats.busy_s is not None)
        time.sleep(0.1)
        wire.open = False
        real.kill()
        wire.cut()
        put(START + 10 * kill + 5)
        real.start()  # it knows nothing of before
        ears.append(listen(real.port))
        wire.open = True
        until(lambda: store.count("mqtt", "waiting") == 0, 15)
    assert store.count("mqtt", "refused") == store.count("mqtt", "dropped") == 0
    time.sleep(0.2)
    heard = [json.loads(p)["key"] for ear in ears for p in ear.of("oddframe/events")]
    first = list(dict.fromkeys(heard))
    assert set(expected) <= set(first)
    for event in {key.split("/")[0] for key in first}:
        states = [key.split("/")[1] for key in first if key.startswith(event)]
        assert states == sorted(states, key=["start", "update", "end"].index)
    until(lambda: ears[-1].of("oddframe/gate/anomaly")[-1] == "OFF")
    assert courier.stop()
    store.close()


def test_what_a_broker_forgot_is_said_again(broker, mqtt, listen, quick):
    real = broker()
    sink = mqtt(real.port)
    sink.send(told())
    sink.observe("gate", 0.1, 0.5, True)
    real.kill()
    sink.observe("gate", 0.1, 0.5, False)  # meanwhile
    real.start()
    ear = listen(real.port)
    for topic, payload in {"available": "online", "gate/anomaly": "ON", "yard/anomaly": "OFF",
                           "gate/status": "offline"}.items():  # fmt: skip
        until(lambda t=topic, p=payload: ear.of(f"oddframe/{t}")[-1:] == [p], what=topic)


def test_a_broker_that_hangs_delays_its_own_sink_only_until_the_stop(broker, mqtt, tmp_path):
    real = broker()
    store = Store(tmp_path / "store")
    courier = Courier(lambda: mqtt(real.port, timeout_s=30), store, "mqtt")
    courier.start()
    until(lambda: courier.sink is not None and not courier.stats.error)
    store.put(told(at=START).event, ["mqtt"])
    until(lambda: store.count("mqtt", "done") == 1)
    real.hang()
    store.put(told(at=START + 10).event, ["mqtt"])
    until(lambda: courier.stats.busy_s is not None)
    began = time.monotonic()
    assert courier.stop(1.0) is False
    assert time.monotonic() - began < 1.5
    real.go_on()
    time.sleep(0.3)
    assert store.count("mqtt", "waiting") == 1  # left to the next start
    store.close()
