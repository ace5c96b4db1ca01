"""What is told of the system, its settings and its log; and that no secret is ever told."""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from known import ADMIN, OUTSIDE, UNLIMITED, Clock, bearer
from stub_site import AT, SETTINGS, event

from oddframe import __version__
from oddframe.events.store import StoreError
from oddframe.events.store.keep import Kept
from oddframe.runtime.watch.meters import Histogram
from oddframe.runtime.watch.site import SiteConfig
from oddframe.web.api import ring
from oddframe.web.api.machine import Machine
from oddframe.web.api.ring import Ring, attached
from oddframe.web.api.system import shown
from oddframe.web.app import make_app
from oddframe.web.guard.auth import access_of
from oddframe.web.guard.hidden import HIDDEN, within
from oddframe.web.guard.tokens import hashed


@pytest.fixture(autouse=True)
def log_lines():
    """The ring of this test alone."""
    logger = logging.getLogger("oddframe")
    before, level = logger.handlers[:], logger.level
    logger.handlers[:] = [h for h in before if not isinstance(h, Ring)]
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)


# ---- /api/system


def test_the_system_is_told_in_numbers(ask, site):
    site.measured()
    site.meters.faults["store"] += 2
    found = ask.get("/api/system").json()
    assert found["version"] == __version__
    assert found["uptime_s"] > 0
    assert re.fullmatch(r"\d{4}-.*Z", found["started"])
    gate, yard = found["cameras"]
    assert (gate["camera"], gate["frames"], gate["scored"]) == ("gate", 100, 90)
    assert gate["dropped"] == {"newer": 9, "late": 1}
    assert (gate["wanted_fps"], yard["wanted_fps"]) == (10, 5)
    quantiles = [gate[f"latency_{p}_s"] for p in ("p50", "p95", "p99")]
    assert quantiles == [0.1, 0.5, 0.5]
    assert found["inference"]["count"] == 1
    assert found["inference"]["mean_s"] == pytest.approx(0.02)
    assert found["inference"]["buckets"][-1] == {"le_s": None, "count": 1}
    [sink] = found["sinks"]
    assert (sink["sink"], sink["up"], sink["waiting"], sink["sent"]) == ("mqtt", True, 3, 5)
    assert found["clips"] == {"done": 7, "dropped": 2, "failed": 1}
    assert found["disk"]["store_bytes"] == 123_456
    assert found["disk"]["free_bytes"] <= found["disk"]["total_bytes"]
    assert found["faults"] == {"store": 2}
    assert found["pace"] == {"load": 0.0, "share": 1.0, "look_s": 0.0}


def test_latencies_are_of_the_last_minutes(ask, site):
    clock = Clock()
    age = site.meters.cameras["gate"].age = Histogram(clock)

    def told():
        camera = ask.get("/api/system").json()["cameras"][0]
        assert camera["latency_p95_s"] == ask.get("/api/cameras/gate").json()["latency_p95_s"]
        return camera["latency_p50_s"], camera["latency_p99_s"]

    def goes_on(minutes, seconds, each=100):
        for _ in range(minutes):
            clock.sleep(60)
            for _ in range(each):
                age.add(seconds)

    goes_on(120, 0.04, 300)
    assert told() == (0.05, 0.05)
    goes_on(11, 4.0)
    assert told() == (5.0, 5.0), "however long all was well before"
    goes_on(5, 0.04)
    assert told()[1] == 5.0, "five minutes at least"
    goes_on(6, 0.04)
    assert told() == (0.05, 0.05)
    clock.sleep(601)
    assert told() == (None, None), "nothing was scored"
    age.add(0.2)
    assert told() == (0.25, 0.25)
    assert age.read()[0][-1] == 120 * 300 + 22 * 100 + 1, "of all for /metrics"


def test_what_is_not_known_is_null(ask, site):
    found = ask.get("/api/system").json()
    assert found["cameras"][0]["latency_p95_s"] is None
    assert found["inference"]["mean_s"] is None
    assert found["disk"]["store_bytes"] is None
    assert found["disk"]["words"] == ""
    site.meters.cameras["gate"].age.add(99.0)
    assert ask.get("/api/system").json()["cameras"][0]["latency_p50_s"] is None


def test_a_sink_in_trouble_says_so_without_its_password(ask, site):
    [courier] = site.couriers
    words = "http://u:geheim@hook.lan/x does not answer"
    courier.stats = replace(courier.stats, error=words, failing_s=12.0)
    [sink] = ask.get("/api/system").json()["sinks"]
    assert (sink["up"], sink["failing_s"]) == (False, 12.0)
    assert "geheim" not in sink["words"]
    assert "does not answer" in sink["words"]
    courier.stats = replace(courier.stats, error="", failing_s=None, busy_s=31.0)
    assert ask.get("/api/system").json()["sinks"][0]["up"] is False


def test_a_store_that_cannot_be_read_hides_nothing_else(ask, site):
    class Broken:
        name, sink = "mqtt", object()

        @property
        def stats(self):
            raise StoreError("it is closed")

    site.couriers = [Broken()]
    [sink] = ask.get("/api/system").json()["sinks"]
    assert (sink["waiting"], sink["words"]) == (None, "it is closed")


def test_a_store_that_is_full_says_what_to_do(ask, site):
    site.kept = Kept(0, 0, 0, 3, 11 * 10**9, 10 * 10**9)
    assert "raise disk_gb" in ask.get("/api/system").json()["disk"]["words"]


def test_a_camera_that_left_meanwhile_is_left_out(ask, site):
    del site.meters.cameras["yard"]
    assert [c["camera"] for c in ask.get("/api/system").json()["cameras"]] == ["gate"]


# ---- the machine


def proc(folder, busy, idle):
    (folder / "self" / "task").mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"cpu {busy} 0 0 {idle} 0 0 0 0 7 7\ncpu0 1 1\n")
    (folder / "meminfo").write_text("MemTotal: 2000 kB\nMemAvailable: 500 kB\nHugePages: 3\n\n")
    (folder / "self" / "statm").write_text("100 25 5 1 0 9 0\n")


def test_the_machine_is_read_between_two_looks(tmp_path):
    now = [100.0]
    proc(tmp_path, 1000, 1000)
    machine = Machine(tmp_path, lambda: now[0])
    now[0] += 2
    proc(tmp_path, 1300, 1100)
    load = machine.now()
    assert load.cpu == pytest.approx(0.75)
    assert (load.memory_bytes, load.free_bytes) == (2_048_000, 512_000)
    assert load.process_bytes == 25 * os.sysconf("SC_PAGE_SIZE")
    assert (load.threads, load.open_files) == (0, None)
    now[0] += 0.5
    proc(tmp_path, 9000, 1100)
    assert machine.now() is load
    now[0] += 0.5
    assert machine.now().cpu == 1.0


def test_a_machine_without_proc_is_not_known(tmp_path):
    load = Machine(tmp_path / "none").now()
    assert (load.cpu, load.process_bytes, load.memory_bytes, load.threads) == (None,) * 4
    assert load.cores >= 1
    for name in ("stat", "meminfo"):
        (tmp_path / name).write_text("cpu x y z\nMemTotal: many\n")
    assert Machine(tmp_path).now().cpu is None


def test_this_machine_is_known(ask):
    found = ask.get("/api/system").json()
    assert found["process"]["memory_bytes"] > 10**7
    assert found["machine"]["memory_bytes"] > found["machine"]["free_bytes"] > 0


# ---- /api/log


def test_the_log_is_told_the_newest_last(ask, log_lines):
    for n in range(5):
        logging.getLogger("oddframe.runtime.watch").info("line %d", n)
    log_lines.debug("nothing")
    found = ask.get("/api/log?limit=3").json()["lines"]
    assert [line["message"] for line in found] == ["line 2", "line 3", "line 4"]
    assert (found[0]["level"], found[0]["logger"]) == ("info", "oddframe.runtime.watch")
    assert found[0]["time"].endswith("Z")
    for odd in ("0", "501", "x"):
        assert ask.get(f"/api/log?limit={odd}").status_code == 422


def test_the_log_is_bounded_and_there_is_one(site, log_lines):
    own = attached()
    assert attached() is own
    for n in range(ring.LINES + 50):
        log_lines.info("line %d", n)
    assert len(own.lines()) == ring.LINES
    assert own.lines()[0].message == "line 50"
    assert own.lines(0) == []
    assert log_lines.handlers.count(own) == 1


def test_lines_are_cut_and_errors_are_their_kind(log_lines, monkeypatch):
    # pytest would send half a character on to its other process, which takes none.
    monkeypatch.setattr(logging.getLogger("oddframe"), "propagate", False)
    own = attached()
    try:
        raise ValueError("rtsp://u:geheim@cam/1")
    except ValueError:
        log_lines.exception("it failed")
    log_lines.info("x" * 5000)
    log_lines.info("half \ud800 and\nmore")
    first, second, third = own.lines()
    assert first.message == "it failed (ValueError)"
    assert len(second.message) == ring.LONG
    assert third.message.encode()


def test_a_line_that_cannot_be_put_into_words_is_left_out(log_lines, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    own = attached()
    log_lines.info("%d", "no number")
    assert own.lines() == []


# ---- /api/config


WORDS = "zq7"
"""Begins and ends every planted secret: no part of one is told."""


def planted(secret):
    """Settings that hold a secret wherever one can stand."""
    path = secret.replace("@", "")
    return SiteConfig.read({
        **SETTINGS,
        "web": {
            "token": "a-token-of-zq7-that-is-long",
            "tokens": [{"name": "wall", "hash": hashed(secret)}],
        },
        "sinks": [
            {"kind": "webhook", "url": f"https://u:{secret}@hook.lan/{secret}", "secret": secret,
             "headers": {"Authorization": f"Bearer {secret}", "X-Harmless": secret}},
            {"kind": "frigate", "url": f"http://u:{secret}@frigate:5000", "token": secret},
            {"kind": "mqtt", "host": "broker", "user": "oddframe", "password": secret},
            {"kind": "notify", "urls": [f"ntfy://{secret}@ntfy.sh/gate"]},
        ],
        "cameras": {
            # What stands behind an @ is taken for a host, also in a path.
            "gate": {"source": f"rtsp://viewer:{secret}@cam.local/{path}?pw={path}"},
            "yard": {"source": f"//u:{secret}@cam"},
        },
    })  # fmt: skip


def test_the_settings_are_told_as_they_are_written():
    found = shown(planted("zq7-secret"))
    assert found["store"]["keep_days"] == 30
    assert found["web"]["port"] == 8088
    assert found["web"]["token"] == HIDDEN
    assert found["web"]["token_file"] is None
    assert found["web"]["tokens"] == [{"name": "wall", "role": "read", "hash": HIDDEN}]
    webhook, frigate, mqtt, _ = found["sinks"]
    assert (webhook["kind"], webhook["secret"], webhook["url"]) == ("webhook", HIDDEN, HIDDEN)
    assert webhook["headers"] == {"Authorization": HIDDEN, "X-Harmless": HIDDEN}
    assert (mqtt["host"], mqtt["user"], mqtt["password"]) == ("broker", "oddframe", HIDDEN)
    assert frigate["timeout_s"] == 10
    assert found["cameras"]["gate"]["source"].startswith("rtsp://cam.local/…")
    json.dumps(found, allow_nan=False)


def test_what_is_not_set_is_seen_to_be_so():
    found = shown(SiteConfig.read({**SETTINGS, "sinks": [{"kind": "mqtt", "host": "broker"}]}))
    assert found["web"]["token"] is None
    assert found["sinks"][0]["password"] == ""
    assert found["cameras"]["gate"]["zones"][0]["name"] == "stairs"


def test_a_sink_whose_package_is_missing_is_only_named(monkeypatch):
    monkeypatch.setattr("oddframe.sinks._installed", lambda package: False)
    config = planted("zq7-secret")
    assert shown(config)["sinks"][2] == {"kind": "mqtt"}


def test_the_settings_are_told_over_http(ask):
    assert ask.get("/api/config").json()["cameras"]["yard"]["source"].startswith("rtsp://cam.local")


# ---- no secret is told


INNER = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def test_planted_secrets_are_in_no_answer(site, log_lines):
    """In settings, in what is logged, in what is sent, in names of what there is not."""
    limits = replace(UNLIMITED, tries=1e9, tries_of_all=1e9)
    app = make_app(site, OUTSIDE, limits=limits)
    ask = TestClient(app, "http://box.lan", headers=bearer(ADMIN))

    @settings(max_examples=8, deadline=None)
    @given(inner=INNER)
    def check(inner):
        secret = f"{WORDS}{inner}{WORDS}"
        address = f"rtsp://viewer:{secret}@cam.local/1"
        site.config = planted(secret)
        log_lines.info("%s gives nothing", address)
        log_lines.warning("%s failed: user viewer:%s@cam.local refused", address, secret)
        ask.post("/api/session", json={"token": secret})
        ask.put("/api/cameras/gate/armed", json={"source": address, "password": secret})
        ask.post("/api/me", json={"x": {"url": address, "api_key": secret}, "y": f"is {address}"})
        ask.post("/api/me", data={"token": secret, "source": address})
        for path in ("/api/config", "/api/log?limit=2", "/api/audit?limit=4", "/api/cameras"):
            answer = ask.get(path)
            assert answer.status_code == 200
            assert WORDS not in answer.text, path

    check()
    for path in ("/api/log", "/api/audit?limit=1000", "/api/system", "/metrics", "/openapi.json"):
        assert WORDS not in ask.get(path).text, path
    assert "gives nothing" in ask.get("/api/log").text


@given(text=st.text(max_size=60), inner=INNER, behind=st.text(max_size=20))
def test_a_password_in_any_line_is_hidden(text, inner, behind):
    line = f"{text} rtsp://u:{WORDS}{inner}{WORDS}@cam.local/1 {behind}"
    assert WORDS not in within(line)


@given(text=st.text(max_size=200))
def test_a_line_without_addresses_stays_as_it_is(text):
    if "@" not in text and "://" not in text:
        assert within(text) == text


def test_lines_that_are_made_to_be_slow_are_not():
    for text in ("a://" * 20_000, ":" * 60_000 + "/@", "a" * 60_000 + "@", "udp://x" * 9_000):
        assert within(text) == "…"
    for text in ("a://" * 400 + "@", ":" * 1900 + "/@", "udp://" * 300):
        within(text)


# ---- tokens of its settings


def test_the_tokens_of_the_settings_open_it(site):
    app = make_app(site, access_of(planted("zq7-x").web))
    ask = TestClient(app, "http://127.0.0.1:8088")
    assert ask.get("/api/me", headers=bearer("zq7-x")).json()["role"] == "read"
    found = ask.get("/api/me", headers=bearer("a-token-of-zq7-that-is-long")).json()
    assert (found["who"], found["role"]) == ("token", "admin")
    assert ask.get("/api/me", headers=bearer(hashed("zq7-x"))).status_code == 401


def test_events_go_on_being_told(ask, site):
    site.store.put(event())
    assert ask.get("/api/events").json()["events"][0]["id"].startswith(f"{AT:.0f}")
