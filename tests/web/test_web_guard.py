"""What stands before all routes: headers of every answer, sizes, rates, WebSockets, errors."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from fastapi import APIRouter, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.testclient import TestClient
from known import ADMIN, OUTSIDE, READ, UNLIMITED, Clock, bearer
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from walk import asked

from oddframe.web.app import make_app
from oddframe.web.guard import guard, trail
from oddframe.web.guard.auth import Access, visit_of
from oddframe.web.guard.headers import HEADERS
from oddframe.web.guard.limits import Limits

TOKEN = b'{"token": "%s"}' % READ.encode()
SECRET = "rtsp://u:geheim@cam.local/1"


def more():
    """Routes that go wrong, and WebSockets."""
    made = APIRouter()

    def broken():
        raise RuntimeError(f"cannot open {SECRET}")

    async def halves():
        async def parts():
            yield b"half"
            raise RuntimeError("gone")

        return StreamingResponse(parts())

    async def endless():
        async def parts():
            while True:
                yield b"more"
                await asyncio.sleep(0.01)

        return StreamingResponse(parts())

    def own():
        return HTMLResponse(
            "x", headers={"Cache-Control": "max-age=60", "Referrer-Policy": "origin"}
        )

    async def talk(socket: WebSocket):
        await socket.accept()
        await socket.send_json({"who": visit_of(socket).who})
        while True:
            await socket.send_text(await socket.receive_text())

    async def falls(socket: WebSocket):
        await socket.accept()
        raise RuntimeError(SECRET)

    async def never(socket: WebSocket):
        raise RuntimeError(SECRET)

    for method in ("GET", "POST"):
        made.add_api_route("/broken", broken, methods=[method])
    made.add_api_route("/halves", halves)
    made.add_api_route("/endless", endless)
    made.add_api_route("/own", own)
    for name, answer in (("talk", talk), ("falls", falls), ("never", never)):
        made.add_api_websocket_route(f"/test/{name}", answer)
    return [made]


@pytest.fixture
def here(site):
    app = make_app(site, Access(True, "127.0.0.1"), more())
    return TestClient(app, "http://127.0.0.1:8088", follow_redirects=False)


@pytest.fixture
def outside(site):
    return TestClient(make_app(site, OUTSIDE, more(), UNLIMITED), "http://box.lan")


def connect(client, path, **more):
    """A WebSocket at the address that the client asks at."""
    return client.websocket_connect(f"{client.base_url}".replace("http", "ws") + path, **more)


# ---- headers


def dressed(answer, *but):
    for name, value in HEADERS.items():
        assert name.lower() in answer.headers, name
        if name not in but:
            assert answer.headers[name] == value


def test_every_answer_has_the_headers(here, outside):
    for found, status in (
        (here.get("/api/cameras"), 200), (here.get("/nothing"), 404), (here.get("/metrics"), 200),
        (here.get("/broken"), 500), (here.put("/api/cameras/gate/armed", json={}), 422),
        (here.patch("/api/cameras"), 405), (here.get("/healthz"), 200),
        (here.get("/api/cameras", headers={"Host": "evil.example"}), 403),
        (outside.get("/api/cameras"), 401), (outside.delete("/api/cameras"), 401),
        (here.delete("/api/session"), 204), (here.get("/openapi.json"), 200),
        (here.get("/" + "x" * 5000), 414), (here.get("/", headers={"X": "y" * 17000}), 431),
    ):  # fmt: skip
        assert found.status_code == status
        dressed(found)
    dressed(outside.get("/", headers={"Accept": "text/html"}), "Content-Security-Policy")
    dressed(here.get("/docs"), "Content-Security-Policy")


def test_the_policy_lets_nothing_of_others_in(here):
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"unsafe|http|\*", HEADERS["Content-Security-Policy"])


def test_what_a_route_says_itself_stays(here):
    found = here.get("/own")
    assert found.headers["cache-control"] == "max-age=60"
    assert found.headers["referrer-policy"] == "origin"
    dressed(found, "Cache-Control", "Referrer-Policy")
    assert len(found.headers.get_list("cache-control")) == 1


# ---- sizes


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": "65537"}, 413), ({"Content-Length": "-1"}, 413),
        ({"Content-Length": "1e3"}, 413), ({"Content-Length": "9" * 5000}, 413),
        ({"Content-Length": "²"}, 413), ({"Transfer-Encoding": "chunked"}, 411),
    ],
    ids=["one more", "negative", "no number", "huge", "of another script", "without end"],
)  # fmt: skip
def test_bodies_are_bounded(here, headers, status):
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    assert here.put("/api/cameras/gate/armed", headers=sent).status_code == status


def test_the_largest_that_is_allowed_is(here):
    body = b'{"armed": true' + b" " * (trail.MOST_BODY - 15) + b"}"
    assert len(body) == trail.MOST_BODY
    headers = {"Content-Type": "application/json"}
    assert here.put("/api/cameras/gate/armed", content=body, headers=headers).status_code == 200
    assert here.get("/nothing?" + "x" * (guard.MOST_TARGET - 8)).status_code == 404
    assert here.get("/nothing?" + "x" * (guard.MOST_TARGET - 7)).status_code == 414


def test_a_body_that_does_not_come_is_given_up(site, monkeypatch):
    monkeypatch.setattr(trail, "BODY_S", 0.05)
    app = make_app(site, Access(True, "127.0.0.1"))
    said = []

    async def never():
        await asyncio.sleep(60)

    async def send(message):
        said.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-length", b"9")]
    headers.append((b"content-type", b"application/json"))
    scope = {
        "type": "http", "method": "PUT", "path": "/api/cameras/gate/armed", "headers": headers,
        "query_string": b"", "client": ("127.0.0.1", 1), "root_path": "", "scheme": "http",
        "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, never, send), 5))
    assert site.armed("gate")
    assert [m["status"] for m in said if m["type"] == "http.response.start"] in ([], [400])


# ---- rates


def test_who_asks_too_often_waits(site):
    clock = Clock()
    app = make_app(site, OUTSIDE, limits=Limits(per_s=10, burst=20, clock=clock))
    ask = TestClient(app, "http://box.lan", headers=bearer(READ), client=("10.0.0.1", 1))
    codes = [ask.get("/api/me").status_code for _ in range(21)]
    assert codes == [200] * 20 + [429]
    refused = ask.get("/api/me")
    dressed(refused)
    assert refused.headers["retry-after"] == "1"
    assert "ask less often" in refused.json()["detail"]
    clock.sleep(0.1)
    assert [ask.get("/api/me").status_code for _ in range(2)] == [200, 429]
    clock.sleep(1000)
    assert [ask.get("/api/me").status_code for _ in range(21)].count(429) == 1


def test_callers_do_not_use_up_each_others(site):
    limits = Limits(per_s=10, burst=5, clock=Clock())
    app = make_app(site, OUTSIDE, limits=limits)
    near = TestClient(app, "http://box.lan", client=("10.0.0.1", 1))
    for _ in range(6):
        assert near.get("/api/me").status_code in (401, 429)
    assert near.get("/api/me").status_code == 429
    assert near.get("/api/me", headers=bearer(READ)).status_code == 200
    far = TestClient(app, "http://box.lan", client=("10.0.0.2", 1))
    assert far.get("/api/me").status_code == 401


def test_websockets_count_as_requests(site):
    limits = Limits(per_s=10, burst=2, clock=Clock())
    app = make_app(site, Access(True, "127.0.0.1"), more(), limits)
    ask = TestClient(app, "http://127.0.0.1:8088")
    for _ in range(2):
        with connect(ask, "/test/talk"):
            pass
    with pytest.raises(WebSocketDenialResponse) as refused, connect(ask, "/test/talk"):
        pass
    assert refused.value.status_code == 429


# ---- WebSockets


def test_a_websocket_is_opened_by_a_token_and_by_a_session(outside):
    for who, headers in (("wall", bearer(READ)), ("boss", bearer(ADMIN))):
        with connect(outside, "/test/talk", headers=headers) as socket:
            assert socket.receive_json() == {"who": who}
            socket.send_text("x")
            assert socket.receive_text() == "x"
    outside.post("/api/session", json={"token": READ})
    origin = {"Origin": "http://box.lan", "Sec-Fetch-Site": "same-origin"}
    with connect(outside, "/test/talk", headers=origin) as socket:
        assert socket.receive_json() == {"who": "wall"}


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=str,
)
def test_no_other_page_opens_one_in_somebodys_name(here, outside, headers):
    """A browser sends the cookie along, and SameSite keeps no sub-domain away."""
    outside.post("/api/session", json={"token": ADMIN})
    for ask in (here, outside):
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            connect(ask, "/test/talk", headers=headers),
        ):
            pass
        assert refused.value.status_code == 403
        dressed(refused.value)


def test_one_that_is_refused_has_the_headers_and_words(here, outside):
    cases = [
        (outside, "/test/talk", {}, 401), (here, "/nothing", {}, 403),
        (here, "/test/talk", {"Host": "evil.example"}, 403), (here, "/test/never", {}, 403),
    ]  # fmt: skip
    for ask, path, headers, status in cases:
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            connect(ask, path, headers=headers),
        ):
            pass
        assert refused.value.status_code == status
        assert refused.value.json()["detail"]
        dressed(refused.value)


def test_a_server_that_cannot_say_why_closes_it(site):
    app = make_app(site, OUTSIDE)
    said = []

    async def run():
        async def send(message):
            said.append(message)

        scope = {"type": "websocket", "path": "/api/live", "headers": [], "query_string": b""}
        await app(scope, None, send)

    asyncio.run(run())
    assert said == [{"type": "websocket.close", "code": 1008}]


def test_one_ends_with_its_session(outside):
    outside.post("/api/session", json={"token": READ})
    with connect(outside, "/test/talk") as socket:
        socket.receive_json()
        outside.delete("/api/session")
        socket.send_text("still there?")
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_text()
    assert ended.value.code == 1008


def test_a_stream_without_end_ends_with_its_session(site):
    app = make_app(site, OUTSIDE, more(), UNLIMITED)
    said = []

    async def run():
        sent = [(b"host", b"box.lan"), (b"content-type", b"application/json")]
        _, headers, _ = await asked(app, "POST", "/api/session", {}, body=TOKEN)
        cookie = headers["set-cookie"].partition(";")[0].encode()
        seen = asyncio.Event()

        async def send(message):
            said.append(message)
            if len(said) > 5:
                seen.set()

        scope = {
            "type": "http", "method": "GET", "path": "/endless", "query_string": b"",
            "headers": [*sent, (b"cookie", cookie)], "client": ("10.0.0.1", 1), "root_path": "",
            "scheme": "http", "http_version": "1.1",
        }  # fmt: skip
        looking = asyncio.create_task(app(scope, asyncio.Event().wait, send))
        await asyncio.wait_for(seen.wait(), 5)
        assert not looking.done()
        await asked(app, "DELETE", "/api/session", {"Cookie": cookie.decode()})
        await asyncio.wait_for(looking, 5)

    asyncio.run(run())
    assert said[0]["status"] == 200
    assert all(message.get("more_body") for message in said[1:])


def test_one_that_fails_is_closed_and_logged(here, caplog):
    with (
        caplog.at_level(logging.ERROR, "oddframe.web"),
        connect(here, "/test/falls") as socket,
        pytest.raises(WebSocketDisconnect) as ended,
    ):
        socket.receive_text()
    assert ended.value.code == 1011
    assert "geheim" not in ended.value.reason
    assert ended.value.reason.removeprefix("error ") in caplog.text


# ---- what nobody thought of


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_error_is_told_by_a_mark_alone(here, caplog, method):
    with caplog.at_level(logging.ERROR, "oddframe.web"):
        found = here.request(method, "/broken")
    assert found.status_code == 500
    [mark] = re.findall(r"error ([0-9a-f]{8})", found.json()["detail"])
    assert not re.search(r"RuntimeError|Traceback|geheim|\.py", found.text)
    [record] = [r for r in caplog.records if mark in r.getMessage()]
    assert record.exc_info
    assert record.exc_info[0] is RuntimeError


def test_an_answer_that_breaks_off_is_broken_off(here, caplog):
    with caplog.at_level(logging.ERROR, "oddframe.web"):
        found = here.get("/halves")
    assert found.content == b"half"
    assert "/halves failed" in caplog.text


def test_problems_are_told_in_one_form(here, outside):
    for found in (
        here.get("/nothing"), here.patch("/api/cameras"), here.get("/api/events?limit=x"),
        here.put("/api/cameras/gate/armed", content=b"{", headers={"Content-Type": "text/plain"}),
        here.get("/broken"), outside.get("/api/me"), here.get("/x" * 3000),
    ):  # fmt: skip
        assert found.status_code >= 400
        assert list(found.json()) == ["detail"]
        assert isinstance(found.json()["detail"], str)


def test_the_description_tells_them_in_one_form_too(here):
    schema = here.get("/openapi.json").json()
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    for path, methods in schema["paths"].items():
        for method, what in methods.items():
            assert {"401", "403", "422", "429", "503"} <= set(what["responses"]), f"{method} {path}"
            for status, answer in what["responses"].items():
                if status >= "400" and path not in ("/healthz", "/readyz"):
                    content = answer["content"]["application/json"]["schema"]
                    assert content == {"$ref": "#/components/schemas/Problem"}, f"{path} {status}"
