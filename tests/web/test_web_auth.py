"""Who is let in: tokens, names of this machine, other pages."""

from __future__ import annotations

import logging

import pytest
from fastapi.testclient import TestClient

from oddframe.errors import ConfigError
from oddframe.runtime.watch.site import WebConfig
from oddframe.web.guard.auth import Access, access_of, is_loopback
from oddframe.web.guard.door import Door
from oddframe.web.guard.guard import Guard
from oddframe.web.guard.limits import Limits, Tries
from oddframe.web.guard.sessions import Sessions
from oddframe.web.guard.tokens import holder_of
from oddframe.web.guard.trail import MOST_BODY

TOKEN = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def outside(asking):
    """A server that other machines reach."""
    return asking(Access(False, "0.0.0.0", TOKEN))


@pytest.fixture
def inside(asking):
    """One of this machine alone that has a token all the same."""
    return asking(Access(True, "127.0.0.1", TOKEN))


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("LOCALHOST.", True),
        ("::1", True), ("[::1]", True), ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.4", False), ("", False),
        ("127.0.0.1.evil.example", False), ("localhost.evil.example", False),
    ],
)  # fmt: skip
def test_what_means_this_machine_alone(host, is_one):
    assert is_loopback(host) is is_one


# ---- at the start


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "box.local"])
def test_a_host_that_others_reach_needs_a_token_and_is_told_how(host):
    with pytest.raises(ConfigError, match=r"needs a token.*secrets.token_urlsafe.*token_file"):
        access_of(WebConfig(host=host))


def test_this_machine_alone_needs_none():
    assert access_of(WebConfig()) == Access(True, "127.0.0.1", "")


def test_a_token_of_a_file_is_taken_without_its_line_end(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    [holder] = access_of(WebConfig(host="0.0.0.0", token_file=file)).holders
    assert holder_of([holder], TOKEN) is holder
    assert (holder.name, holder.role) == ("token", "admin")
    assert holder_of([holder], f"{TOKEN}\n") is None


def test_a_file_that_everybody_may_read_is_warned_of(tmp_path, caplog):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o640)
    with caplog.at_level(logging.WARNING, "oddframe.web"):
        access_of(WebConfig(token_file=file))
        assert not caplog.records
        file.chmod(0o644)
        access_of(WebConfig(token_file=file))
    assert "chmod" in caplog.text
    assert TOKEN not in caplog.text


def test_a_short_token_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING, "oddframe.web"):
        access_of(WebConfig(token="1234"))
    assert "could be guessed" in caplog.text


@pytest.mark.parametrize("text", ["", "two words of it", "zwölf-zeichen-und-mehr", "a\nb"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(tmp_path, text):
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ConfigError, match="must hold letters") as caught:
        access_of(WebConfig(token_file=file))
    assert not text or text not in str(caught.value)


def test_a_token_that_is_not_there_or_there_twice_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        access_of(WebConfig(token_file=tmp_path / "token"))
    with pytest.raises(ConfigError, match="not both"):
        access_of(WebConfig(token=TOKEN, token_file=tmp_path / "token"))


def test_a_token_is_in_no_text_of_its_settings():
    assert TOKEN not in repr(Access(True, "127.0.0.1", TOKEN))
    assert TOKEN not in repr(WebConfig(token=TOKEN))


# ---- at the door


PATHS = ("/api/cameras", "/api/events", "/api/gaps", "/docs", "/openapi.json", "/", "/nothing")


@pytest.mark.parametrize("path", [*PATHS, "/metrics", "/healthz", "/readyz"])
def test_outside_nothing_is_told_without_the_token(outside, path):
    refused = outside.get(path)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer TOKEN" in refused.json()["detail"]
    assert outside.get(path, headers=BEARER).status_code in (200, 404)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_open_on_this_machine_and_where_it_is_said(inside, asking, path):
    assert inside.get(path).status_code == 200
    assert inside.head(path).status_code == 200
    assert inside.get(path, headers={"Host": "evil.example"}).status_code == 401
    said = access_of(WebConfig(host="0.0.0.0", token=TOKEN, open_health=True))
    outside = asking(said)
    assert outside.get(path).status_code == 200
    assert outside.get("/metrics").status_code == 401
    assert outside.get("/api/cameras").status_code == 401


def test_metrics_are_open_on_this_machine_alone(inside):
    assert inside.get("/metrics").status_code == 200
    assert inside.get("/api/cameras").status_code == 401
    assert inside.get("/metrics/").status_code == 401


@pytest.mark.parametrize(
    "sent",
    [
        "", TOKEN, "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}", "Bearer \xe9\xe9\xe9",
    ],
)  # fmt: skip
def test_what_is_not_quite_the_token_is_refused(outside, sent):
    headers = {"Authorization": sent.encode("latin-1")}
    assert outside.get("/api/cameras", headers=headers).status_code == 401


def test_the_scheme_is_read_as_http_has_it(outside):
    headers = {"Authorization": f"bearer {TOKEN}"}
    assert outside.get("/api/cameras", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8088", "127.0.0.1.evil.example", ""]
)
@pytest.mark.parametrize("path", ["/api/cameras", "/metrics", "/healthz"])
def test_this_machine_is_not_asked_under_other_names(ask, host, path):
    refused = ask.get(path, headers={"Host": host})
    assert refused.status_code == 403
    assert "127.0.0.1 or localhost" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via"])
def test_without_a_token_nobody_comes_by_a_proxy(ask, inside, name, site):
    """It asks by its own name for this machine, for whoever asked it."""
    headers = {"Host": "127.0.0.1:8088", name: "203.0.113.9"}
    refused = ask.put("/api/cameras/gate/armed", json={"armed": False}, headers=headers)
    assert refused.status_code == 403
    assert "by a proxy" in refused.json()["detail"]
    assert site.armed("gate")
    assert ask.get("/healthz", headers=headers).status_code == 403
    assert inside.get("/metrics", headers=headers).status_code == 401
    assert inside.get("/api/cameras", headers={**BEARER, **headers}).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8088", "127.0.0.1", "[::1]:8088", "LocalHost"])
def test_this_machine_is_asked_under_its_own(ask, host):
    assert ask.get("/api/cameras", headers={"Host": host}).status_code == 200


def test_a_server_for_others_is_asked_under_any_name(outside):
    assert outside.get("/api/gaps", headers={**BEARER, "Host": "box.lan"}).status_code == 200


def test_no_other_page_is_let_in(ask, site):
    origin = {"Origin": "https://evil.example"}
    read = ask.get("/api/cameras", headers=origin)
    assert not [h for h in read.headers if h.startswith("access-control")]
    wish = {**origin, "Access-Control-Request-Method": "PUT"}
    asked = ask.options("/api/cameras/gate/armed", headers=wish)
    assert asked.status_code == 403
    assert not [h for h in asked.headers if h.startswith("access-control")]
    changed = ask.put("/api/cameras/gate/armed", json={"armed": False}, headers=origin)
    assert changed.status_code == 403
    assert site.armed("gate")


def test_its_own_page_may_change_things(ask, site):
    origin = {"Origin": "http://127.0.0.1:8088"}
    done = ask.put("/api/cameras/gate/armed", json={"armed": False}, headers=origin)
    assert done.status_code == 200
    assert not site.armed("gate")


def test_a_body_without_end_is_refused_before_it_is_read(ask):
    long = {"Content-Length": str(MOST_BODY + 1), "Content-Type": "application/json"}
    assert ask.put("/api/cameras/gate/armed", headers=long).status_code == 413
    chunks = ask.put("/api/cameras/gate/armed", content=iter([b"{}"] * 3))
    assert chunks.status_code == 411


def test_a_websocket_of_nobody_is_closed_before_it_is_one():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    door = Door(Access(False, "0.0.0.0", TOKEN), Sessions(), Tries(Limits()))
    guarded = TestClient(Guard(app, door), "http://127.0.0.1:8088")
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), guarded.websocket_connect("/api/live"):
        pass
    assert "websocket" not in seen
