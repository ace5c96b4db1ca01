"""The other sides of sinks: stand-ins that answer as the real ones are documented to."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
from dataclasses import replace
from pathlib import Path

from oddframe.events.event import Box, Event
from oddframe.sinks.base import Message

START = 1_789_000_000.25
EVENT = Event(
    id=f"{START:.6f}-a1b2c3", camera="gate", state="start", severity="detection",
    start_utc=START, end_utc=None, peak_utc=START + 1.5, peak_level=2.0, peak_score=0.3,
    threshold=0.15, width=640, height=480, zones=("stairs",), boxes=(Box(64, 48, 128, 96),),
    reasons=("moves 3 times as fast as anything here",), streams={"motion": 9.1},
)  # fmt: skip


def told(state="start", at=START, folder=Path("/nowhere"), receipts=None, **changes):
    """A message about an event that begins at `at`, and lasts for 20 s once it has ended."""
    values = {"id": f"{at:.6f}-a1b2c3", "state": state, "start_utc": at, "peak_utc": at + 1.5}
    if state == "end":
        values |= {"end_utc": at + 20.0, "ended": "calm"}
    event = replace(EVENT, **{**values, **changes})
    key = f"{event.id}/{state}" + ("/1" if state == "update" else "")
    return Message(key, event, folder, receipts or {})


def until(true, seconds=10.0, what="it"):
    """Wait until `true()` is, and give that."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)
    return found


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Http:
    """An HTTP server; `answer(request)` gives status, body and headers."""

    def __init__(self, answer=None, context=None):
        self.requests = []
        self.answer = answer or (lambda request: (200, b"", {}))
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                size = int(self.headers.get("Content-Length") or 0)
                request = {
                    "method": self.command, "path": self.path, "body": self.rfile.read(size),
                    "headers": {k.lower(): v for k, v in self.headers.items()},
                }  # fmt: skip
                outer.requests.append(request)
                status, body, headers = outer.answer(request)
                if status is None:  # gone without a word
                    self.close_connection = True
                    return
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Frigate(Http):
    """Frigate's API for manual events, by frigate/api/event.py and track/object_processing.py.

    An event is in the database `settle_s` after its id was given out; its start is the receipt
    less `pre_capture` (before 0.18: less 5 s whatever is asked for, and `draw` isn't kept).
    """

    def __init__(self, cameras=("front_door",), settle_s=0.0, version=18, token=None, skew_s=0.0):
        self.cameras, self.settle_s, self.version, self.token = cameras, settle_s, version, token
        self.skew_s = skew_s
        self.rows = {}
        self.lose_answer = False
        super().__init__(self._answer)

    def _answer(self, request):
        status, values = self._route(request)
        if self.lose_answer:
            self.lose_answer = False
            return None, b"", {}
        return status, json.dumps(values).encode(), {"Content-Type": "application/json"}

    def _route(self, request):
        url = urllib.parse.urlsplit(request["path"])
        parts = [urllib.parse.unquote(p) for p in url.path.strip("/").split("/")]
        if self.token and request["headers"].get("authorization") != f"Bearer {self.token}":
            return 401, {"detail": "Unauthorized"}
        body = json.loads(request["body"] or b"{}")
        if parts == ["api", "events"]:
            return 200, self._list(dict(urllib.parse.parse_qsl(url.query)))
        if parts[:2] != ["api", "events"]:
            return 404, {"detail": "Not Found"}
        if parts[-1] == "create":
            return self._create(parts[2], parts[3], body)
        row = self.rows.get(parts[2])
        if row is None or time.monotonic() < row["there"]:
            return 404, {"success": False, "message": f"Event {parts[2]} not found."}
        return self._about(row, parts[3], body)

    def _create(self, camera, label, body):
        if camera not in self.cameras:
            return 404, {"success": False, "message": f"{camera} is not a valid camera."}
        now = time.time() + self.skew_s
        before = body.get("pre_capture") if self.version >= 18 else None
        there = f"{now}-{len(self.rows):06d}"
        data = {"type": "api", "score": body["score"], "top_score": body["score"]}
        if self.version >= 18:
            data["draw"] = body["draw"]
        self.rows[there] = {
            "id": there, "camera": camera, "label": label, "sub_label": body["sub_label"],
            "start_time": now - (5 if before is None else before), "end_time": None, "data": data,
            "duration": body["duration"], "there": time.monotonic() + self.settle_s, "ends": 0,
        }  # fmt: skip
        if body["duration"] is not None:
            self.rows[there]["end_time"] = now + body["duration"]
        return 200, {"success": True, "message": "Successfully created event.", "event_id": there}

    def _about(self, row, what, body):
        if what == "description":
            row["data"]["description"] = body["description"]
        elif what == "sub_label":
            if len(body["subLabel"]) > 100 or not 0 < body["subLabelScore"] <= 1:
                return 422, {"detail": "validation"}
            row["sub_label"] = body["subLabel"]
        elif what == "end":
            end = body["end_time"]
            if end is not None and end < row["start_time"]:
                return 400, {"success": False, "message": "end_time cannot be before start_time."}
            if row["duration"] is None:  # any other is answered so, and left as it is
                row["end_time"] = end or time.time() + self.skew_s
                row["ends"] += 1
        return 200, {"success": True, "message": "done"}

    def _list(self, query):
        now = time.monotonic()
        return [
            {k: v for k, v in row.items() if k not in ("there", "duration", "ends")}
            for row in reversed(self.rows.values())
            if row["camera"] in query["cameras"].split(",")
            and row["label"] in query["labels"].split(",")
            and row["start_time"] > float(query["after"])
            and now >= row["there"]
        ][: int(query["limit"])]


class Gate:
    """A wire between a client and a server that can be cut, closed, or made deaf on one side."""

    def __init__(self, port):
        self.target = port
        self.open = True
        self.deaf = False
        """What the server says doesn't arrive."""
        self._links = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                if not self.open:
                    raise OSError
                server = socket.create_connection(("127.0.0.1", self.target), timeout=2)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            self._links += [client, server]
            for one, other, answers in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._carry, args=(one, other, answers), daemon=True
                ).start()

    def _carry(self, one, other, answers):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if not (answers and self.deaf):
                    other.sendall(data)
        for link in (one, other):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def cut(self):
        """All connections die; new ones are taken while `open`."""
        links, self._links = self._links, []
        for link in links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def close(self):
        self._server.close()
        self.cut()


def mosquitto():
    """The broker's program, None where it isn't installed."""
    return shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


class Mosquitto:
    """A real broker of one's own."""

    def __init__(self, folder, settings=""):
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""  # or it may not read the folder
        anonymous = "" if "allow_anonymous" in settings else "allow_anonymous true\n"
        self._file.write_text(f"listener {self.port} 127.0.0.1\n{anonymous}{user}{settings}")
        self._process = None
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            [mosquitto(), "-c", str(self._file)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._answers, what="the broker's start")

    def _answers(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def hang(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        self._process.kill()
        self._process.wait()


class Listener:
    """A client of the broker that writes down what it hears."""

    def __init__(self, port, topics=("#",), user=None):
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard = []
        self.client = Client(CallbackAPIVersion.VERSION2)
        if user:
            self.client.username_pw_set(*user)
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda c, u, m: self.heard.append((m.topic, m.payload, m.retain))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe([(t, 1) for t in topics])
        assert subscribed.wait(5)

    def of(self, topic):
        """Payloads of a topic, as they came."""
        return [p.decode() for t, p, _ in self.heard if t == topic]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
