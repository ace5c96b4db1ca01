"""The thread that serves: on what it binds, what it says where that fails, how it ends."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import socket
import threading
import time
import urllib.request

import pytest
from fastapi import APIRouter, WebSocket
from starlette.responses import PlainTextResponse
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from oddframe.errors import ConfigError
from oddframe.runtime.watch.site import WebConfig
from oddframe.web import require
from oddframe.web import server as module
from oddframe.web.app import make_app
from oddframe.web.guard.auth import Access
from oddframe.web.server import MOST_MESSAGE, STOP_S, Server, listening

ANY = WebConfig(port=0)


async def app(scope, receive, send):
    """ "/" answers, "/slow" never."""
    if scope["path"] == "/slow":
        import asyncio

        await asyncio.sleep(60)
    await PlainTextResponse("here")(scope, receive, send)


def test_it_answers_and_is_gone_afterwards():
    with listening(ANY) as sockets, Server(app, sockets) as server:
        [address] = server.addresses
        assert address.startswith("http://127.0.0.1:")
        assert urllib.request.urlopen(address, timeout=5).read() == b"here"
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=5)


def test_who_comes_before_it_serves_waits():
    with listening(ANY) as sockets:
        port, got = sockets[0].getsockname()[1], []

        def ask():
            got.append(urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10).read())

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.2)
        assert got == []
        with Server(app, sockets):
            asking.join(10)
    assert got == [b"here"]


def test_it_takes_no_signals():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with listening(ANY) as sockets, Server(app, sockets):
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_it_ends_though_somebody_stays_on_the_line():
    with listening(ANY) as sockets, Server(app, sockets) as server:
        port = int(server.addresses[0].rpartition(":")[2])
        idle = socket.create_connection(("127.0.0.1", port))
        slow = socket.create_connection(("127.0.0.1", port))
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        time.sleep(0.3)
        start = time.monotonic()
    assert time.monotonic() - start < STOP_S + 1
    idle.close()
    slow.close()
    assert "oddframe-web" not in [t.name for t in threading.enumerate()]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: "], ids=["nothing", "half"])
def test_who_asks_for_nothing_is_hung_up_on(monkeypatch, sent):
    """And makes room: connections that only wait count as well."""
    monkeypatch.setattr(module, "REQUEST_S", 0.1)
    monkeypatch.setattr(module, "AT_ONCE", 4)
    with listening(ANY) as sockets, Server(app, sockets) as server, contextlib.ExitStack() as stack:
        where = sockets[0].getsockname()
        idle = [stack.enter_context(socket.create_connection(where)) for _ in range(4)]
        for link in idle:
            link.settimeout(5)
            link.sendall(sent)
        assert all(link.recv(100) == b"" for link in idle)
        assert urllib.request.urlopen(server.addresses[0], timeout=5).read() == b"here"


@pytest.mark.parametrize(
    "half",
    [b"GET / HTTP", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["head", "body"],
)
def test_half_of_a_later_request_is_not_waited_for(monkeypatch, half):
    monkeypatch.setattr(module, "REQUEST_S", 0.1)
    with (
        listening(ANY) as sockets,
        Server(app, sockets),
        socket.create_connection(sockets[0].getsockname()) as link,
    ):
        link.settimeout(3)  # an idle one is closed after five
        link.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + half)
        data = b""
        while more := link.recv(4096):
            data += more
        assert data.startswith(b"HTTP/1.1 200")


def test_who_has_asked_stays(monkeypatch):
    monkeypatch.setattr(module, "REQUEST_S", 0.25)
    with (
        listening(ANY) as sockets,
        Server(app, sockets),
        socket.create_connection(sockets[0].getsockname()) as link,
    ):
        for wait_s in (0.0, 0.3):
            time.sleep(wait_s)
            link.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            data = b""
            while not data.endswith(b"here"):
                more = link.recv(4096)
                assert more, "it was hung up on"
                data += more


def test_it_is_asked_whether_a_silent_one_is_still_there():
    with listening(ANY) as sockets, socket.create_connection(sockets[0].getsockname()):
        accepted, _ = sockets[0].accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_a_port_that_is_taken_is_said_at_once():
    with listening(ANY) as sockets:
        port = sockets[0].getsockname()[1]
        with (
            pytest.raises(ConfigError, match=rf"web.port {port}.*in use.*another web.port"),
            listening(WebConfig(port=port)),
        ):
            pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "300.1.1.1", "192.0.2.7"])
def test_a_host_that_is_not_this_machine_is_said(host):
    with (
        pytest.raises(ConfigError, match=r"no (name or )?address of this machine"),
        listening(WebConfig(host=host, port=0)),
    ):
        pass


def test_a_name_is_served_on_all_that_it_means():
    with listening(WebConfig(host="localhost", port=0)) as sockets:
        assert sockets
        assert len({s.getsockname()[1] for s in sockets}) == 1
        with Server(app, sockets) as server:
            for address in server.addresses:
                assert urllib.request.urlopen(address, timeout=5).read() == b"here"


# ---- WebSockets, over a line


def echo():
    made = APIRouter()

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text(await websocket.receive_text())

    made.add_api_websocket_route("/test/talk", talk)
    return [made]


@pytest.fixture
def talking(site):
    """The address of a server with a WebSocket, which is stopped at the end."""
    with (
        listening(ANY) as sockets,
        Server(make_app(site, Access(True, "127.0.0.1"), echo()), sockets) as server,
    ):
        yield server.addresses[0].replace("http://", "")


def test_a_websocket_is_opened_and_talks(talking):
    with connect(f"ws://{talking}/test/talk", origin=f"http://{talking}") as link:
        assert "sec-websocket-extensions" not in link.response.headers  # pictures do not shrink
        link.send("hello")
        assert link.recv(timeout=5) == "hello"


@pytest.mark.parametrize(
    ("path", "origin"), [("/test/talk", "http://evil.example"), ("/nothing", None)], ids=str
)
def test_one_that_is_refused_is_told_why_with_the_headers(talking, path, origin):
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://{talking}{path}", origin=origin),
    ):
        pass
    answer = refused.value.response
    assert answer.status_code == 403
    assert b"detail" in answer.body
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_messages_are_bounded(talking):
    with connect(f"ws://{talking}/test/talk") as link:
        link.send("x" * MOST_MESSAGE)
        assert len(link.recv(timeout=5)) == MOST_MESSAGE
        link.send("x" * (MOST_MESSAGE + 1))
        with pytest.raises(ConnectionClosed) as ended:
            link.recv(timeout=5)
    assert ended.value.rcvd.code == 1009


def test_who_does_not_answer_is_hung_up_on(site, monkeypatch):
    monkeypatch.setattr("oddframe.web.server.PING_S", 0.2)
    with (
        listening(ANY) as sockets,
        Server(make_app(site, Access(True, "127.0.0.1"), echo()), sockets),
        socket.create_connection(sockets[0].getsockname()) as deaf,
    ):
        deaf.settimeout(5)
        deaf.sendall(
            b"GET /test/talk HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        assert deaf.recv(4096).startswith(b"HTTP/1.1 101")
        while deaf.recv(4096):
            pass


def test_it_ends_though_a_websocket_is_open(site):
    with listening(ANY) as sockets, contextlib.ExitStack() as stack:
        app = make_app(site, Access(True, "127.0.0.1"), echo())
        with Server(app, sockets) as server:
            address = f"{server.addresses[0].replace('http', 'ws')}/test/talk"
            link = stack.enter_context(connect(address))
            start = time.monotonic()
        assert time.monotonic() - start < STOP_S + 1
        with pytest.raises(ConnectionClosed):
            link.recv(timeout=5)


def test_the_extra_that_is_missing_is_named(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "oddframe.web.find_spec", lambda name: None if name == "uvicorn" else real(name)
    )
    with pytest.raises(ConfigError, match=r"uvicorn.*pip install 'oddframe\[serve\]'"):
        require()
