"""`oddframe serve`: a site in a process of its own, asked over HTTP, stopped as systemd does."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from stub_run import street

from oddframe.cli import main
from oddframe.cli.systemd import supervised, tell, watchdog_s

PASSWORD = "geheim-im-wort"
TOKEN = "correct-horse-battery"
STOP_S = 20.0
"""More than all that a stop waits for."""


@pytest.fixture(autouse=True)
def _log_as_before():
    """A verb sends the log to stderr; the next test wants it as it was."""
    logger = logging.getLogger("oddframe")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def site(shared_run, tmp_path):
    """`site(**changes)`: writes SITE.yaml with a street that becomes odd, and a dead camera."""
    video = tmp_path / "street.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(1200):
        writer.write(street(index % 60, odd_from=20))
    writer.release()

    def write(**changes):
        values = {
            "store": {"path": "store"},
            "web": {"port": 0},
            "sinks": [{"kind": "jsonl", "path": str(tmp_path / "events.jsonl")}],
            "detect": {"model": str(shared_run), "merge_gap_s": 1},
            "cameras": {
                "gate": {
                    "source": "street.avi", "zones": {"all": [[0, 0], [1, 0], [1, 1], [0, 1]]},
                },
                "yard": {"source": f"rtsp://viewer:{PASSWORD}@127.0.0.1:1/x"},
                "attic": {"source": 0, "enabled": False},
            },
        }  # fmt: skip
        path = tmp_path / "site.yaml"
        path.write_text(yaml.safe_dump({**values, **changes}))
        return path

    return write


class Served:
    """A process that serves, and what it said."""

    def __init__(self, path, *options, **environment):
        self.lines, self.address = [], None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "oddframe", "serve", str(path), "--log", "json", *options],
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )  # fmt: skip
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self):
        for line in self._process.stderr:
            self.lines.append(line)
            with contextlib.suppress(ValueError):
                self.address = json.loads(line).get("addresses", [self.address])[0]

    def wait_for(self, what, text, within_s=60.0):
        until = time.monotonic() + within_s
        while not (found := what()):
            assert self._process.poll() is None, f"it ended: {self.lines}"
            assert time.monotonic() < until, f"no {text} in {within_s} s: {self.lines}"
            time.sleep(0.1)
        return found

    def ask(self, path, method="GET", body=None, **headers):
        """(status, text)."""
        data = None if body is None else json.dumps(body).encode()
        if data:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode("utf-8", "replace")

    def stop(self, within_s=STOP_S):
        """SIGTERM; gives the exit code and how long that took."""
        start = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(within_s)
        self._reading.join(5)
        return code, time.monotonic() - start

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stderr.close()


def metrics_of(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_site_is_served_asked_switched_and_stopped(site, tmp_path):
    """From a video to an event that is asked for over HTTP, and an end in order."""
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(tmp_path / "notify"))
    ear.settimeout(10)
    systemd = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
    with Served(site(), **systemd) as served:
        served.wait_for(lambda: served.address, "address")
        assert ear.recv(100) == b"READY=1"
        assert ear.recv(100) == b"WATCHDOG=1"
        assert served.wait_for(lambda: served.ask("/readyz")[0] == 200, "readiness")
        assert served.ask("/healthz") == (200, '{"ok":true,"why":[]}')

        def events():
            return json.loads(served.ask("/api/events")[1])["events"]

        [event] = served.wait_for(events, "event")[-1:]
        assert (event["camera"], event["severity"], event["zones"]) == ("gate", "alert", ["all"])
        status, picture = served.ask(event["snapshot"])
        assert status == 200
        assert picture

        found = metrics_of(served.ask("/metrics")[1])
        assert found["oddframe_frames_total", "gate"] > 0
        assert found["oddframe_frames_scored_total", "gate"] > 0
        assert found["oddframe_events_total", "alert", "gate"] >= 1
        assert found["oddframe_source_up", "gate"] == 1
        assert found["oddframe_source_up", "yard"] == 0
        assert found["oddframe_source_state", "connection_failed", "down", "yard"] == 1
        assert found["oddframe_end_to_end_latency_seconds_count", "gate"] > 0
        assert found["oddframe_inference_seconds_count",] > 0
        assert found["oddframe_wanted_fps", "gate"] == pytest.approx(10, abs=0.5)
        assert ("oddframe_score", "yard") not in found
        later = metrics_of(served.ask("/metrics")[1])
        assert all(later[k] >= v for k, v in found.items() if k[0].endswith(("_total", "_count")))

        cameras = json.loads(served.ask("/api/cameras")[1])
        assert [c["camera"] for c in cameras] == ["gate", "yard"]
        off = served.ask("/api/cameras/gate/armed", "PUT", {"armed": False})
        assert off == (200, '{"camera":"gate","armed":false}')
        served.wait_for(lambda: events()[0]["state"] == "end", "end of what was open")
        assert events()[0]["ended"] in ("disarmed", "calm")

        everything = "".join(
            served.ask(path)[1]
            for path in ("/metrics", "/api/cameras", "/api/gaps", "/healthz", "/readyz", "/docs")
        )
        code, took_s = served.stop()
        said = "".join(served.lines)
    assert code == 0, said
    assert took_s < 15
    assert PASSWORD not in everything + said
    assert all(json.loads(line)["message"] for line in served.lines)
    with contextlib.suppress(TimeoutError):
        while (last := ear.recv(100)) == b"WATCHDOG=1":
            pass
    ear.close()
    assert last == b"STOPPING=1"
    store = tmp_path / "store"
    assert not (store / "events.db-wal").exists(), "the store was not closed"
    with contextlib.closing(sqlite3.connect(store / "events.db")) as db:
        assert db.execute("SELECT count(*) FROM events WHERE state <> 'end'").fetchone() == (0,)
        assert db.execute("SELECT value_json FROM state WHERE camera = 'gate'").fetchone() == (
            "false",
        )


def test_a_token_is_asked_for_where_others_can_come(site, tmp_path):
    web = {"host": "0.0.0.0", "port": 0, "token_file": "token"}
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    with Served(site(web=web)) as served:
        served.wait_for(lambda: served.address, "address")
        served.address = served.address.replace("0.0.0.0", "127.0.0.1")
        assert {served.ask(p)[0] for p in ("/healthz", "/metrics", "/api/cameras", "/")} == {401}
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for path in ("/healthz", "/metrics", "/api/cameras"):
            assert served.ask(path, **bearer)[0] == 200
        assert served.stop()[0] == 0
    assert TOKEN not in "".join(served.lines)


# ---- what is said at once


def failed(capsys, *args):
    """The error of a command line that ends with 1."""
    code = main(["serve", *map(str, args)])
    err = capsys.readouterr().err
    assert code == 1, err
    assert "Traceback" not in err
    return err.rpartition("error: ")[2]


def test_a_port_that_is_taken_is_said_before_a_camera_is_opened(site, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert "in use by another program" in failed(capsys, site(web={"port": port}))
    assert not (tmp_path / "store").exists()


def test_a_host_for_others_without_a_token_is_said(site, capsys):
    text = failed(capsys, site(web={"host": "0.0.0.0"}))
    assert "needs a token" in text
    assert "secrets.token_urlsafe" in text


def test_the_extra_that_is_missing_is_named(site):
    """In a process that has none of its packages: nothing of them is imported before."""
    lacking = ("fastapi", "uvicorn", "starlette", "prometheus_client")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({lacking!r}));"
        "from oddframe.cli import main; sys.exit(main(['serve', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site())], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "pip install 'oddframe[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_form_of_the_log_is_refused(site, capsys):
    assert "--log is text or json" in failed(capsys, site(), "--log", "xml")


# ---- --check


def test_check_says_what_would_be_watched_and_touches_nothing(site, tmp_path, capsys, shared_run):
    assert main(["serve", str(site()), "--check"]) == 0
    out, _ = capsys.readouterr()
    assert f"store {tmp_path / 'store'}: pictures and clips of 30 days, 10 GB at most" in out
    assert "web 127.0.0.1:0, open to this machine alone" in out
    assert "sink jsonl" in out
    assert f"RUN {shared_run}" in out
    assert re.search(r"camera gate: .*street.avi, scored by .*, zones all", out)
    assert re.search(r"camera yard: rtsp://127.0.0.1:1/…", out)
    assert "camera attic: 0, not watched" in out
    assert PASSWORD not in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["site.yaml", "street.avi"]


def test_check_says_that_a_file_is_not_there(site, tmp_path, capsys):
    path = site()
    (tmp_path / "street.avi").unlink()
    assert main(["serve", str(path), "--check"]) == 0
    assert "which is not there now" in capsys.readouterr().out


def test_check_leaves_a_store_alone_that_somebody_watches(site, tmp_path, capsys):
    from oddframe.events.store import Store

    with Store(tmp_path / "store"):
        assert main(["serve", str(site()), "--check"]) == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"detect": {"model": "no/such/run"}}, "no/such/run"),
        ({"sinks": [{"kind": "webhook"}]}, "webhook needs url"),
        ({"sinks": [{"kind": "webhoook", "url": "http://x"}]}, "Did you mean webhook?"),
        ({"sinks": [{"kind": "jsonl", "path": "a"}, {"kind": "jsonl", "path": "b"}]}, "Two sinks"),
        ({"web": {"prot": 8088}}, "Did you mean web.port?"),
        ({"cameras": {"g": {"source": "gopher://x/y"}}}, "gopher"),
        ({"cameras": {"g": {"source": 0, "enabled": False}}}, "No camera is enabled"),
        (
            {"cameras": {"g": {"source": 0, "zones": {"a": [[0, 0], [2, 0], [1, 1]]}}}},
            "from 0 to 1",
        ),
        (
            {
                "detect": {"raise_level": 1.5, "alert_level": 2},
                "cameras": {
                    "g": {
                        "source": 0,
                        "zones": [
                            {"name": "a", "points": [[0, 0], [1, 0], [1, 1]], "alert_level": 1}
                        ],
                    }
                },
            },
            "below raise_level",
        ),
    ],
    ids=[
        "no RUN", "a sink without its address", "an unknown kind", "two of one name",
        "an unknown key", "no such streams", "nothing to watch", "a zone beyond the picture",
        "a zone at odds with the rules",
    ],
)  # fmt: skip
def test_check_fails_as_the_start_would(site, capsys, shared_run, changes, text):
    if "detect" in changes and "model" not in changes["detect"]:
        changes = {**changes, "detect": {**changes["detect"], "model": str(shared_run)}}
    assert text in failed(capsys, site(**changes), "--check")


def test_check_wants_a_threshold(site, tmp_path, capsys, shared_run):
    run = Path(shutil.copytree(shared_run, tmp_path / "bare"))
    card = json.loads((run / "model.json").read_text())
    card["calibration"] = None
    (run / "model.json").write_text(json.dumps(card))
    text = failed(capsys, site(detect={"model": str(run)}), "--check")
    assert "has no threshold" in text
    assert "oddframe calibrate" in text


# ---- systemd


@pytest.fixture
def ear(tmp_path, monkeypatch):
    """The socket that systemd would listen on."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "ear"))
    listening.settimeout(5)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "ear"))
    yield listening
    listening.close()


def test_systemd_hears_of_a_beginning_and_an_end(ear):
    with supervised(lambda: True):
        assert ear.recv(100) == b"READY=1"
    assert ear.recv(100) == b"STOPPING=1"


def test_a_service_that_hangs_says_nothing(ear, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "90000")
    lives = threading.Event()
    lives.set()
    with supervised(lives.is_set):
        assert ear.recv(100) == b"READY=1"
        assert ear.recv(100) == b"WATCHDOG=1"
        assert ear.recv(100) == b"WATCHDOG=1"
        lives.clear()
        time.sleep(0.1)
        ear.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while ear.recv(100):  # said before
                pass
        ear.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ear.recv(100)
        ear.settimeout(5)


def test_a_watchdog_of_another_process_is_not_ours(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    assert watchdog_s() == 3.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_s() == 3.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_s() is None


def test_where_nobody_listens_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert tell("READY=1") is False
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert tell("READY=1") is False
