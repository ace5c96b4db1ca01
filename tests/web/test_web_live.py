"""What can be seen of a site: pictures, heat, events as they come, and how it went."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import socket
import struct
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from stub_site import AT, NAMES, StubSite, event, status
from websockets.sync.client import connect

from oddframe.events.store import StoreError
from oddframe.pictures import Plain
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.runtime.watch.site import WebConfig
from oddframe.runtime.watch.status import State
from oddframe.runtime.watch.view import View
from oddframe.setup.job import Job
from oddframe.types import Score
from oddframe.web.api import live as live_module
from oddframe.web.app import make_app
from oddframe.web.guard.auth import Access
from oddframe.web.live import hub as hub_module
from oddframe.web.live.encode import Encoder, grey_of, width_of
from oddframe.web.live.hub import Hub
from oddframe.web.live.viewer import Subscription, Viewer, read
from oddframe.web.server import Server, listening

BASE, LIVE = "http://127.0.0.1:8088", "ws://127.0.0.1:8088/api/live"
HEAT = np.tile(np.linspace(0, 7.5, 32, dtype=np.float32), (32, 1))
"""In units of score; the threshold is 3."""


def view(index=0, score=4.5, event_id=None, size=(480, 640), heat=HEAT):
    """A frame of which nothing but its shade says which it is."""
    image = np.full((*size, 3), 10 * (index % 20), np.uint8)
    frame = LiveFrame(index, index / 10, Plain(image), t_utc=AT + index / 10)
    if score is None:
        return View(frame)
    return View(frame, Score(index, index / 10, score, score / 3, score >= 3, heat=heat), 3.0,
                event_id)  # fmt: skip


@pytest.fixture
def encoders(monkeypatch):
    """What encodes, of each application."""
    made = []

    def make():
        made.append(Encoder())
        return made[-1]

    monkeypatch.setattr(hub_module, "Encoder", make)
    return made


@pytest.fixture
def client(encoders, site: StubSite, monkeypatch):
    """A program of this machine; all that it opens is in one loop, as at a server."""
    monkeypatch.setattr(hub_module, "STATUS_S", 0.2)
    with TestClient(make_app(site, Access(True, "127.0.0.1")), BASE) as client:
        yield client


@pytest.fixture
def looks(client):
    """`looks(cameras=["gate"], …)`: a WebSocket that has said what it wants."""

    @contextlib.contextmanager
    def look(**wants):
        with client.websocket_connect(LIVE) as opened:
            opened.send_text(json.dumps(wants))
            yield opened

    return look


def parsed(message):
    """Header and payload of a picture."""
    (length,) = struct.unpack_from("<I", message)
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def received(opened, kind, most=20):
    """The next message of a kind: words, or a header and its payload."""
    for _ in range(most):
        message = opened.receive()
        if message.get("bytes") is not None:
            header, payload = parsed(message["bytes"])
            if header["kind"] == kind:
                return header, payload
        elif (found := json.loads(message["text"]))["kind"] == kind:
            return found
    raise AssertionError(f"no {kind} in {most} messages")


def image_of(data, how=cv2.IMREAD_COLOR):
    return cv2.imdecode(np.frombuffer(data, np.uint8), how)


# ---- pictures


def test_a_viewer_gets_pictures_with_what_is_known_of_them(site, looks):
    site.engine.cameras["gate"].view = view(3, event_id="1-a")
    with looks(cameras=["gate"], width=320) as opened:
        header, jpeg = received(opened, "picture")
        assert header == {
            "kind": "picture", "camera": "gate", "pts_s": 0.3, "t_utc": AT + 0.3, "level": 1.5,
            "raw": 4.5, "threshold": 3.0, "event": "1-a", "width": 320, "height": 240,
        }  # fmt: skip
        image = image_of(jpeg)
        assert image.shape == (240, 320, 3)
        assert abs(int(image.mean()) - 30) <= 1
        site.engine.cameras["gate"].view = view(9)
        header, jpeg = received(opened, "picture")
        assert header["pts_s"] == 0.9
        assert abs(int(image_of(jpeg).mean()) - 90) <= 1


def test_heat_follows_its_picture_in_shades_of_the_threshold(site, looks):
    site.engine.cameras["gate"].view = view(3)
    with looks(cameras=["gate"], heat=True) as opened:
        header, _ = received(opened, "picture")
        second, png = parsed(opened.receive()["bytes"])
    assert second["kind"] == "heat"
    assert second["pts_s"] == header["pts_s"]
    assert (second["width"], second["height"]) == (32, 32)
    grey = image_of(png, cv2.IMREAD_UNCHANGED)
    assert grey.dtype == np.uint8
    assert (grey == np.clip(HEAT / 6 * 255, 0, 255).round()).all()
    assert grey[0, 0] == 0
    assert grey[0, -1] == 255, "twice the threshold and more"


def test_grey_is_0_where_nothing_is_known():
    heat = np.array([[np.nan, -1, np.inf, 3]], np.float32)
    assert grey_of(heat, 3.0).tolist() == [[0, 0, 255, 128]]


def test_what_has_no_score_says_null(site, looks):
    site.engine.cameras["gate"].view = view(score=None)
    site.engine.cameras["yard"].view = view(score=math.nan)
    with looks(cameras=["gate", "yard"], heat=True) as opened:
        for _ in NAMES:
            header, _ = received(opened, "picture")
            assert header["level"] is header["raw"] is None
            assert "NaN" not in json.dumps(header)
        assert header["threshold"] == 3.0
        received(opened, "cameras")
        site.engine.cameras["gate"].view = view(score=3.0)
        header, _ = received(opened, "heat")
        assert header["camera"] == "gate"


def test_pictures_are_never_larger_than_the_cameras_and_widths_are_few():
    assert width_of(view(), 320) == 320
    assert width_of(view(), 321) == 480
    assert width_of(view(), 3000) == 640
    assert width_of(view(size=(50, 71)), 640) == 71
    assert width_of(view(size=(2160, 3840)), 3840) == 3840
    assert width_of(view(size=(2160, 4096)), 1921) == 2560
    encoder = Encoder()
    for width, shape in ((640, (480, 640, 3)), (160, (120, 160, 3)), (33, (120, 160, 3))):
        assert image_of(encoder.picture("a", view(), width).result().data).shape == shape
    with pytest.raises(ValueError, match="no frame"):
        encoder.picture("a", View(), 640)
    assert encoder.heat("a", view(score=None)) is None


def test_a_frame_is_encoded_once_however_many_look(site, looks, encoders):
    site.engine.cameras["gate"].view = view(1)
    with contextlib.ExitStack() as stack:
        viewers = [
            stack.enter_context(looks(cameras=["gate"], width=w, heat=True))
            for w in (600, 640, 320)
        ]
        for opened in viewers:
            received(opened, "heat")
        # Two widths and one map of heat.
        assert encoders[0].made == 3
        site.engine.cameras["gate"].view = view(2)
        for opened in viewers:
            received(opened, "heat")
        assert encoders[0].made == 6


def test_nothing_is_encoded_where_nobody_looks(site, looks, encoders):
    with looks(cameras=["yard"]) as opened:
        site.engine.cameras["gate"].view = view(1)
        received(opened, "cameras")
    site.engine.cameras["yard"].view = view(1)
    time.sleep(0.1)
    assert encoders[0].made == 0


def test_a_camera_that_is_down_shows_no_old_picture(site, looks, client):
    site.engine.cameras["gate"].view = view(1)
    site.statuses["gate"] = replace(
        status("gate", State.DOWN), words="it gave no new picture for 10 s."
    )
    with looks(cameras=["gate"]) as opened:
        found = received(opened, "cameras")
        assert next(c for c in found["cameras"] if c["camera"] == "gate")["state"] == "down"
    answer = client.get("/api/cameras/gate/snapshot.jpg")
    assert answer.status_code == 404
    assert "no new picture for 10 s" in answer.json()["detail"]


# ---- what viewers say


HOSTILE = {
    "no JSON": "{",
    "another form": "[1, 2]",
    "a key that is none": '{"camera": "gate"}',
    "too many cameras": json.dumps({"cameras": ["gate"] * 65}),
    "a name that is too long": json.dumps({"cameras": ["g" * 65]}),
    "a name that is a number": '{"cameras": [7]}',
    "no width": '{"width": 0}',
    "a huge number": '{"width": 1e400}',
    "no number": '{"fps": NaN}',
    "without end": '{"fps": Infinity}',
    "more than there is": '{"fps": 1e300}',
    "half a yes": '{"heat": "yes"}',
    "deep": "[" * 5000,
    "long": '{"cameras": ["' + "x" * 17_000 + '"]}',
    "half a character": '{"cameras": ["\\ud800"]}',
}


def test_what_is_not_understood_is_said_and_the_last_wish_holds(site, looks):
    site.engine.cameras["gate"].view = view(1)
    with looks(cameras=["gate"]) as opened:
        received(opened, "picture")
        for what, text in HOSTILE.items():
            opened.send_text(text)
            detail = received(opened, "problem")["detail"]
            assert len(detail) < 800, what
            assert "xxxx" not in detail, what
        site.engine.cameras["gate"].view = view(2)
        assert received(opened, "picture")[0]["pts_s"] == 0.2


def test_bytes_and_unknown_cameras_are_said(site, looks):
    site.engine.cameras["gate"].view = view(1)
    with looks(cameras=["gate", "no\x00such\n"]) as opened:
        assert "no\\x00such\\n" in received(opened, "problem")["detail"]
        received(opened, "picture")
        opened.send_bytes(b"\x00\xff")
        assert received(opened, "problem")["detail"].startswith("Bytes came")


def test_a_wish_replaces_the_one_before(site, looks):
    for name in NAMES:
        site.engine.cameras[name].view = view(1)
    with looks(cameras=["gate"]) as opened:
        assert received(opened, "picture")[0]["camera"] == "gate"
        opened.send_text('{"cameras": ["yard"], "width": 160}')
        header, _ = received(opened, "picture")
        assert (header["camera"], header["width"]) == ("yard", 160)
        opened.send_text("{}")
        received(opened, "cameras")
        site.engine.cameras["yard"].view = view(2)
        assert "text" in opened.receive(), "words alone"


def test_limits_of_a_wish_are_stated():
    assert read("{}") == Subscription()
    assert read('{"cameras": [], "fps": 0.1}').fps == 0.1
    with pytest.raises(ValueError, match="fps"):
        read('{"fps": 31}')


# ---- who is slow


def test_of_each_camera_the_newest_frame_waits():
    async def scene():
        viewer = Viewer()
        viewer.subscribe(Subscription(cameras=("gate", "yard"), fps=30))
        frames = [view(i) for i in range(3)]
        for i, frame in enumerate(frames):
            viewer.offer("gate", frame, float(i), 30)
        viewer.offer("yard", frames[0], 0.0, 30)
        viewer.tell("event 1", "started")
        viewer.tell("event 1", "over")
        found = [await viewer.next() for _ in range(3)]
        assert found == ["over", ("gate", frames[2]), ("yard", frames[0])]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(viewer.next(), 0.01)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("fps", "limit", "sent"), [(8, 100, 80), (30, 100, 100), (1, 100, 10), (8, 4, 40)]
)
def test_of_ten_frames_a_second_as_many_are_sent_as_are_wanted(fps, limit, sent):
    async def scene():
        viewer, count = Viewer(), 0
        viewer.subscribe(Subscription(cameras=("gate",), fps=fps))
        for i in range(100):
            viewer.offer("gate", view(), 1000 + i / 10, limit)
            while viewer._views:
                viewer._views.clear()
                count += 1
        return count

    assert asyncio.run(scene()) == pytest.approx(sent, abs=1)


def test_words_that_wait_are_bounded():
    viewer = Viewer()
    for number in range(2000):
        viewer.tell(f"event {number}", str(number))
    assert len(viewer._texts) == 500
    assert "1999" in viewer._texts.values()


def test_all_viewers_together_get_no_more_than_is_stated(site, client):
    async def scene():
        hub = Hub(site)
        viewers = [Viewer() for _ in range(64)]
        hub._viewers.update(viewers)
        assert hub.fps == hub_module.SENT_PER_S
        for viewer in viewers:
            viewer.subscribe(Subscription(cameras=NAMES, heat=True))
        assert 64 * 2 * len(NAMES) * hub.fps == pytest.approx(hub_module.SENT_PER_S)

    asyncio.run(scene())


def test_cameras_that_are_named_twice_or_not_there_take_nothing_from_others(site, client):
    greedy, hub = Viewer(), Hub(site)
    greedy.subscribe(read(json.dumps({"cameras": ["gate"] * 60 + ["attic"]})))
    hub._viewers.add(greedy)
    assert greedy.wants.cameras == ("gate", "attic")
    assert hub.fps == hub_module.SENT_PER_S


def test_no_more_look_than_there_is_room_for(site, looks, client, monkeypatch):
    monkeypatch.setattr(hub_module, "MOST_VIEWERS", 1)
    with looks(cameras=["gate"]) as first, client.websocket_connect(LIVE) as second:
        received(first, "cameras")
        assert second.receive()["code"] == live_module.AGAIN
        assert client.get("/api/cameras/gate/mjpeg").status_code == 503


# ---- words


def test_events_are_told_as_they_come(site, looks):
    with looks(cameras=[]) as opened:
        received(opened, "cameras")
        for state, more in (("start", {"end_utc": None, "ended": None}), ("end", {})):
            told = event(1, state=state, **more)
            site.store.put(told)
            site.told.add(told)
            found = received(opened, "event")["event"]
            assert (found["id"], found["state"]) == (told.id, state)
        assert found["start"].endswith("Z")
        assert found["end"] is not None
    site.told.add(event(2))  # of before somebody came
    with looks() as opened:
        received(opened, "cameras")
        with pytest.raises(AssertionError):
            received(opened, "event", most=1)


def test_what_was_read_of_an_event_later_is_told_later(site, client, monkeypatch):
    """Many events are read at once, and one of them ends meanwhile."""

    async def scene():
        hub, viewer, reads = Hub(site), Viewer(), []
        hub._viewers.add(viewer)
        hub._number, real = site.told.number, hub._read

        def slow(ids):
            found = real(ids)
            reads.append(found)
            if len(reads) == 1:
                time.sleep(0.2)
            return found

        monkeypatch.setattr(hub, "_read", slow)
        for state in ("start", "end"):
            told = started if state == "start" else event(1)
            site.store.put(told)
            site.told.add(told)
            hub._news()
            await asyncio.sleep(0.05)
        while hub._tasks:
            await asyncio.sleep(0.01)
        [text] = viewer._texts.values()
        return json.loads(text)["event"]["state"]

    started = event(1, state="start", end_utc=None, ended=None)
    assert asyncio.run(scene()) == "end"


def test_an_event_is_told_as_soon_as_the_store_can_be_read_again(site, looks, monkeypatch):
    monkeypatch.setattr(hub_module, "STATUS_S", 0.05)
    real, tries = site.store.record, []

    def busy(number):
        tries.append(number)
        if len(tries) < 3:
            raise StoreError("The store is locked.")
        return real(number)

    monkeypatch.setattr(site.store, "record", busy)
    with looks() as opened:
        received(opened, "cameras")
        site.store.put(event(1))
        site.told.add(event(1))
        assert received(opened, "event")["event"]["id"] == event(1).id
    assert len(tries) == 3


def test_cameras_are_told_every_second(site, looks, monkeypatch):
    monkeypatch.setattr(hub_module, "STATUS_S", 1.0)
    with looks() as opened:
        first = received(opened, "cameras")["cameras"]
        assert [c["camera"] for c in first] == list(NAMES)
        assert first[0]["stage"] == "watching"
        assert first[0]["threshold"] == 3.0
        assert first[0]["score"] is None
        began = time.monotonic()
        found = received(opened, "cameras")
        assert 0.5 < time.monotonic() - began < 3
        assert abs(found["t_utc"] - time.time()) < 3, "the clock that a page goes by"


def test_where_the_cameras_cannot_be_told_that_is_told(site, looks):
    with looks() as opened:
        received(opened, "cameras")
        site.store.close()
        assert "is closed" in received(opened, "problem")["detail"]


def test_jobs_are_told_when_they_change(site, looks):
    job = Job("1", "gate", "record", {"minutes": 5}, created_utc=AT)
    site.jobs = SimpleNamespace(list=lambda: [job])
    with looks() as opened:
        found = received(opened, "job")["job"]
        assert (found["id"], found["kind"]) == ("1", "record")
        assert received(opened, "cameras", most=1)
        assert received(opened, "cameras", most=1), "the same is not told again"


# ---- pictures one by one


def test_a_snapshot_with_and_without_heat(site, client):
    assert client.get("/api/cameras/gate/snapshot.jpg").status_code == 404
    assert client.get("/api/cameras/none/snapshot.jpg").status_code == 404
    site.engine.cameras["gate"].view = view(5)
    plain = client.get("/api/cameras/gate/snapshot.jpg?width=320")
    assert plain.headers["content-type"] == "image/jpeg"
    assert "no-store" in plain.headers["cache-control"]
    image = image_of(plain.content)
    assert image.shape == (240, 320, 3)
    hot = image_of(client.get("/api/cameras/gate/snapshot.jpg?width=320&heat=1").content)
    change = np.abs(hot.astype(int) - image).mean(axis=(0, 2))
    assert change[:20].max() < 5
    assert change[-20:].min() > 40
    assert client.get("/api/cameras/gate/snapshot.jpg?width=1").status_code == 422


# ---- scores


def test_recent_scores_are_few_and_say_where_there_was_none(site, client):
    recent = site.engine.cameras["gate"].recent
    for i in range(3000):
        recent.add(AT + i / 25, 9.0 if i == 2777 else 0.5, 1.5)
    recent.blind(AT + 120)
    found = client.get("/api/cameras/gate/recent?seconds=60").json()
    assert len(found["t_utc"]) == len(found["level"]) == len(found["raw"]) <= 600
    assert found["t_utc"] == sorted(found["t_utc"])
    assert found["t_utc"][0] >= AT + 60 - 0.1
    assert max(x for x in found["level"] if x is not None) == 9.0, "a peak is not passed over"
    assert client.get("/api/cameras/yard/recent").json()["t_utc"] == []
    recent.add(AT + 300, math.nan, math.nan)
    assert client.get("/api/cameras/gate/recent?seconds=1").json()["level"] == [None]
    for wrong in ("0", "601", "nan", "inf", "x"):
        assert client.get(f"/api/cameras/gate/recent?seconds={wrong}").status_code == 422


def test_scores_of_hours(site, client):
    for minute in range(180):
        site.store.minute("gate", AT + 60 * minute, 0.5 + (minute == 70), dropped=1)
    site.store.flush()
    between = {"camera": "gate", "from": "2026-05-28T20:00:00Z", "to": "2026-05-29T00:00:00Z"}
    found = client.get("/api/scores", params=between).json()
    assert found["step_s"] == 60
    assert len(found["points"]) == 180
    hourly = client.get("/api/scores", params={**between, "step": 3600}).json()
    assert hourly["step_s"] == 3600
    assert max(p["level_max"] for p in hourly["points"]) == 1.5
    assert sum(p["frames"] for p in hourly["points"]) == 180
    year = {**between, "from": "2020-01-01T00:00:00Z"}
    long = client.get("/api/scores", params=year).json()
    assert long["step_s"] > 3600
    assert len(long["points"]) <= 2000
    for wrong in ({"from": "yesterday"}, {"step": 0}, {"step": 10**12}, {"camera": "x" * 65}):
        assert client.get("/api/scores", params={**between, **wrong}).status_code == 422
    odd = {"camera": "\x00", "from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:59:59-14:00"}
    assert client.get("/api/scores", params=odd).json()["points"] == []


# ---- a real server


@pytest.fixture
def served(site, encoders):
    """A server of its own, and its port."""
    with listening(WebConfig(port=0)) as sockets:
        port = sockets[0].getsockname()[1]
        with Server(make_app(site, Access(True, "127.0.0.1")), sockets):
            yield port


def playing(site, stop, big=False):
    """A camera at twenty frames a second."""
    index, rng = 0, np.random.default_rng(0)
    noise = rng.integers(0, 255, (1080, 1920, 3), np.uint8) if big else None
    while not stop.wait(0.05):
        index += 1
        made = view(index)
        if noise is not None:
            frame = LiveFrame(index, index / 20, Plain(noise), t_utc=AT)
            made = View(frame, made.score, 3.0)
        site.engine.cameras["gate"].view = made


@contextlib.contextmanager
def played(site, **how):
    stop = threading.Event()
    thread = threading.Thread(target=playing, args=(site, stop), kwargs=how)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_real_client_sees_a_camera_and_hangs_up(site, served, encoders):
    with played(site):
        with connect(f"ws://127.0.0.1:{served}/api/live") as opened:
            opened.send(json.dumps({"cameras": ["gate"], "width": 320, "fps": 30}))
            times = []
            while len(times) < 10:
                message = opened.recv(timeout=5)
                if isinstance(message, bytes):
                    header, payload = parsed(message)
                    assert image_of(payload).shape == (240, 320, 3)
                    times.append(header["pts_s"])
            assert times == sorted(set(times))
        time.sleep(0.2)
        made = encoders[0].made
        time.sleep(0.3)
        assert encoders[0].made == made, "nobody looks any more"


def test_who_does_not_read_is_closed_and_costs_the_others_nothing(
    site, served, encoders, monkeypatch, caplog
):
    monkeypatch.setattr(live_module, "STALLED_S", 0.7)
    caplog.set_level(logging.INFO, "oddframe.web")
    lazy = socket.create_connection(("127.0.0.1", served))
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.sendall(
        f"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1:{served}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    wish = json.dumps({"cameras": ["gate"], "width": 1920, "fps": 30}).encode()
    mask = b"\0\0\0\0"
    with lazy, played(site, big=True), connect(f"ws://127.0.0.1:{served}/api/live") as opened:
        lazy.sendall(bytes([0x81, 0x80 | len(wish)]) + mask + wish)
        opened.send(json.dumps({"cameras": ["gate"], "width": 160, "fps": 30}))
        until = time.monotonic() + 10
        arrived = []
        while "took nothing" not in caplog.text:
            assert time.monotonic() < until
            if isinstance(opened.recv(timeout=5), bytes):
                arrived.append(time.monotonic())
        assert len(arrived) > 5
        assert max(np.diff(arrived)) < 0.6
        # Of what it did not take the newest frame waited, and no queue.
        assert encoders[0].made < 3 * len(arrived) + 10


def test_mjpeg_is_what_players_take(site, served):
    with played(site), socket.create_connection(("127.0.0.1", served), 5) as opened:
        path = "/api/cameras/gate/mjpeg?width=160&fps=30&heat=1"
        opened.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{served}\r\n\r\n".encode())
        data = b""
        while data.count(b"\xff\xd9") < 4:
            data += opened.recv(65536)
        head, _, _ = data.partition(b"\r\n\r\n")
        assert b"multipart/x-mixed-replace" in head
        assert b"no-store" in head
        start = data.index(b"\xff\xd8")
        assert image_of(data[start : data.index(b"\xff\xd9", start) + 2]).shape == (120, 160, 3)


def test_one_broken_frame_ends_no_stream(site, served, caplog):
    site.engine.cameras["gate"].view = view(1, size=(0, 0))
    with socket.create_connection(("127.0.0.1", served), 5) as opened:
        path = "/api/cameras/gate/mjpeg?width=160&fps=30"
        opened.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{served}\r\n\r\n".encode())
        until = time.monotonic() + 5
        while "a picture of gate cannot be shown" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.01)
        site.engine.cameras["gate"].view = view(2)
        data = b""
        while b"\xff\xd9" not in data:
            data += opened.recv(65536)
