"""/metrics, read as Prometheus reads it."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_families,
)
from prometheus_client.parser import text_string_to_metric_families
from stub_site import NAN, detector, status

from oddframe import __version__
from oddframe.events.store import StoreError
from oddframe.runtime.courier import Courier
from oddframe.runtime.watch.parts import weights_hash
from oddframe.runtime.watch.status import State
from oddframe.web.health import HANGS_S
from oddframe.web.metrics import registry_of, rendered

COUNTERS = {
    "oddframe_frames": {"camera"},
    "oddframe_frames_scored": {"camera"},
    "oddframe_frames_dropped": {"camera", "reason"},
    "oddframe_events": {"camera", "severity"},
    "oddframe_reconnects": {"camera"},
    "oddframe_sink_sent": {"sink"},
    "oddframe_sink_failed": {"sink"},
    "oddframe_sink_refused": {"sink"},
    "oddframe_clips": set(),
    "oddframe_clips_dropped": set(),
    "oddframe_clips_failed": set(),
    "oddframe_faults": {"where"},
}
GAUGES = {
    "oddframe_score": {"camera"},
    "oddframe_level": {"camera"},
    "oddframe_anomaly": {"camera"},
    "oddframe_source_up": {"camera"},
    "oddframe_source_state": {"camera", "state", "why"},
    "oddframe_scored_fps": {"camera"},
    "oddframe_wanted_fps": {"camera"},
    "oddframe_load_ratio": set(),
    "oddframe_outbox_messages": {"sink"},
    "oddframe_sink_up": {"sink"},
    "oddframe_store_bytes": set(),
    "oddframe_store_limit_bytes": set(),
    "oddframe_uptime_seconds": set(),
    "oddframe_build_info": {"version", "model", "run"},
}
HISTOGRAMS = {
    "oddframe_inference_seconds": set(),
    "oddframe_end_to_end_latency_seconds": {"camera"},
}


@pytest.fixture
def scrape(ask):
    """{(sample name, frozenset of labels): value} of one scrape."""

    def read():
        answer = ask.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return samples(answer.text)

    return read


def samples(text):
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def key(name, **labels):
    return f"oddframe_{name}", frozenset(labels.items())


def test_every_metric_is_there_with_its_kind_and_labels(ask, site):
    site.measured()
    families = {f.name: f for f in text_string_to_metric_families(ask.get("/metrics").text)}
    for kind, wanted in (("counter", COUNTERS), ("gauge", GAUGES), ("histogram", HISTOGRAMS)):
        for name, labels in wanted.items():
            family = families.pop(name)
            assert family.type == kind, name
            assert family.documentation
            assert family.samples, name
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == labels, name
                if kind == "counter":
                    assert sample.name == f"{name}_total"
    assert not [name for name in families if name.startswith("oddframe")]
    assert {"process_resident_memory_bytes", "process_start_time_seconds"} <= set(families)


def test_the_numbers_are_those_of_the_site(scrape, site):
    site.measured()
    found = scrape()
    assert found[key("frames_total", camera="gate")] == 100
    assert found[key("frames_scored_total", camera="yard")] == 91
    assert found[key("frames_dropped_total", camera="gate", reason="newer")] == 9
    assert found[key("frames_dropped_total", camera="gate", reason="frozen")] == 0
    assert found[key("events_total", camera="gate", severity="alert")] == 2
    assert found[key("events_total", camera="gate", severity="detection")] == 0
    assert found[key("score", camera="gate")] == 4.5
    assert found[key("level", camera="gate")] == 1.5
    assert found[key("wanted_fps", camera="gate")] == 10
    assert found[key("wanted_fps", camera="yard")] == 5
    assert found[key("scored_fps", camera="gate")] > 0
    assert found[key("outbox_messages", sink="mqtt")] == 3
    assert found[key("sink_sent_total", sink="mqtt")] == 5
    assert found[key("clips_dropped_total")] == 2
    assert found[key("store_bytes")] == 123_456
    assert found[key("faults_total", where="store")] == 0
    [build] = [dict(labels) for (name, labels) in found if name == "oddframe_build_info"]
    assert build["version"] == __version__
    assert build["model"] == "m2s2l-edge"
    assert len(build["run"]) == 12


def test_a_histogram_adds_up(scrape, site):
    site.measured()
    found = scrape()
    latency = "end_to_end_latency_seconds"
    assert found[key(f"{latency}_bucket", camera="gate", le="0.05")] == 0
    assert found[key(f"{latency}_bucket", camera="gate", le="0.1")] == 1
    assert found[key(f"{latency}_bucket", camera="gate", le="+Inf")] == 2
    assert found[key(f"{latency}_count", camera="gate")] == 2
    assert found[key(f"{latency}_sum", camera="gate")] == pytest.approx(0.37)
    assert found[key("inference_seconds_count")] == 1


def test_what_is_not_known_has_no_sample(scrape, site):
    site.measured()
    site.meters.cameras["gate"].score = site.meters.cameras["gate"].level = NAN
    site.kept = None
    found = scrape()
    assert key("score", camera="gate") not in found
    assert key("level", camera="gate") not in found
    assert key("score", camera="yard") in found
    assert key("store_bytes") not in found
    assert not any(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("state", "more", "why"),
    [
        (State.DOWN, {"why": "frozen"}, "frozen"),
        (State.RUNNING, {"unsettled": "moved"}, "moved"),
        (State.ENDED, {}, ""),
    ],
    ids=["it is down", "it was moved", "its files are over"],
)
def test_the_last_score_of_a_camera_that_sees_nothing_is_not_its_score(
    scrape, site, state, more, why
):
    site.measured()
    site.meters.cameras["gate"].anomaly = True
    assert scrape()[key("anomaly", camera="gate")] == 1
    site.statuses["gate"] = replace(status("gate", state), **more)
    found = scrape()
    assert key("score", camera="gate") not in found
    assert found[key("anomaly", camera="gate")] == 0
    assert found[key("source_up", camera="gate")] == (state is State.RUNNING)
    assert found[key("source_state", camera="gate", state=state.value, why=why)] == 1
    assert key("score", camera="yard") in found


def test_the_last_score_before_the_engine_hung_is_no_score(scrape, site):
    site.measured()
    site.engine.turned_s -= HANGS_S + 1
    found = scrape()
    assert key("score", camera="gate") not in found
    assert key("level", camera="yard") not in found
    assert found[key("source_up", camera="gate")] == 1


def test_a_camera_is_in_one_state(scrape):
    states = [labels for name, labels in scrape() if name == "oddframe_source_state"]
    assert len(states) == 2


def test_a_sink_in_trouble_is_not_up(scrape, site):
    site.couriers = [
        site._courier("fine"),
        site._courier("down", error="cannot be reached", failing_s=3.0),
        site._courier("hangs", busy_s=31.0),
        site._courier("new"),
    ]
    site.couriers[3].sink = None
    up = {n: scrape()[key("sink_up", sink=n)] for n in ("fine", "down", "hangs", "new")}
    assert up == {"fine": 1, "down": 0, "hangs": 0, "new": 0}


def test_a_store_that_cannot_be_read_costs_the_outbox_and_no_more(scrape, site):
    class Broken:
        name, sink = "mqtt", object()

        @property
        def stats(self):
            raise StoreError("the disk is broken")

    site.measured()
    site.couriers = [Broken(), site._courier("jsonl")]
    found = scrape()
    assert key("outbox_messages", sink="mqtt") not in found
    assert found[key("outbox_messages", sink="jsonl")] == 3
    assert found[key("frames_total", camera="gate")] == 100


def test_two_folders_of_the_same_weights_are_one_build(tmp_path, site):
    made = [detector(tmp_path / n, w) for n, w in (("A", b"one"), ("B", b"one"), ("C", b"other"))]
    site.engine.cameras = {
        str(i): SimpleNamespace(fitted=True, detector=d, run=weights_hash(d))
        for i, d in enumerate(made)
    }
    text = rendered(registry_of(site))[0].decode()
    assert len([name for name, _ in samples(text) if name == "oddframe_build_info"]) == 2


def test_an_openmetrics_scraper_gets_its_own_form(ask, site):
    site.measured()
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = ask.get("/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {f.name: f for f in open_families(answer.text)}
    assert families["oddframe_frames"].type == "counter"
    assert families["oddframe_build"].type == "info"


def test_a_scrape_takes_less_than_fifty_milliseconds(site):
    site.measured()
    registry = registry_of(site)
    rendered(registry)
    took = []
    for _ in range(5):
        start = time.thread_time()
        rendered(registry)
        took.append(time.thread_time() - start)
    assert min(took) < 0.05


def test_a_scrape_waits_for_no_write(ask, site):
    """The engine may hold the store's lock for as long as a slow disk takes."""
    held, over = threading.Event(), threading.Event()
    site.couriers = [Courier(lambda: pytest.fail("not started"), site.store, "mqtt")]

    def write():
        with site.store.database.write():
            held.set()
            over.wait(20)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert held.wait(5)
        start = time.monotonic()
        assert ask.get("/metrics").status_code == 200
        assert time.monotonic() - start < 5
    finally:
        over.set()
        writer.join()
