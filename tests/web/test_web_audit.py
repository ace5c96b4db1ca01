"""Who changed what: a row for all that came by the guard to change something, without secrets."""

from __future__ import annotations

import time

import pytest
from fastapi import APIRouter, Request
from fastapi.testclient import TestClient
from known import ADMIN, INSIDE, OUTSIDE, READ, UNLIMITED, bearer
from starlette.websockets import WebSocketDisconnect

from oddframe.errors import OddframeError
from oddframe.web.app import make_app
from oddframe.web.guard.auth import Access
from oddframe.web.guard.trail import SHOWN_BODY, SHOWN_PATH

SECRET = "zq7-geheim"


def taker():
    """A route that takes anything, and one that takes nothing."""
    made = APIRouter()

    async def take(request: Request):
        return {"bytes": len(await request.body())}

    def blind():
        return {}

    def broken():
        raise RuntimeError("x")

    made.add_api_route("/take", take, methods=["POST"])
    made.add_api_route("/blind", blind, methods=["POST"])
    made.add_api_route("/broken", broken, methods=["POST"])
    return [made]


@pytest.fixture
def outside(site):
    app = make_app(site, OUTSIDE, taker(), UNLIMITED)
    return TestClient(app, "http://box.lan", client=("10.0.0.7", 5000))


@pytest.fixture
def here(site):
    return TestClient(make_app(site, Access(True, "127.0.0.1"), taker()), "http://127.0.0.1:8088")


def rows(site):
    return site.store.audits(1000)


def test_a_change_is_written_down(outside, site):
    outside.put("/api/cameras/gate/armed", json={"armed": False}, headers=bearer(ADMIN))
    [row] = rows(site)
    assert (row.who, row.address, row.method) == ("boss", "10.0.0.7", "PUT")
    assert (row.path, row.body, row.status) == ("/api/cameras/gate/armed", '{"armed": false}', 200)
    assert abs(row.t_utc - time.time()) < 60


def test_of_this_machine_it_is_here(here, site):
    here.put("/api/cameras/gate/armed", json={"armed": False})
    assert [row.who for row in rows(site)] == ["here"]


def test_a_session_is_its_tokens(outside, site):
    outside.post("/api/session", json={"token": ADMIN})
    outside.put("/api/cameras/gate/armed", json={"armed": False})
    outside.delete("/api/session")
    found = [(row.who, row.method, row.status, row.body) for row in reversed(rows(site))]
    assert found == [
        ("boss", "POST", 200, ""), ("boss", "PUT", 200, '{"armed": false}'),
        ("boss", "DELETE", 204, ""),
    ]  # fmt: skip


def test_to_look_is_not_written_down(outside, site):
    outside.get("/api/cameras", headers=bearer(ADMIN))
    outside.head("/healthz", headers=bearer(ADMIN))
    assert rows(site) == []


def test_what_did_not_pass_is_not_written_down(outside, site):
    outside.put("/api/cameras/gate/armed", json={"armed": False})
    outside.put("/api/cameras/gate/armed", json={"armed": False}, headers=bearer(READ))
    outside.post("/api/session", json={})
    assert rows(site) == []


@pytest.mark.parametrize("how", ["json", "form", "bearer", "bearer, to look"])
def test_a_wrong_token_is_written_down_without_it(outside, site, how):
    if how == "json":
        outside.post("/api/session", json={"token": SECRET})
    elif how == "form":
        outside.post("/api/session", data={"token": SECRET})
    elif how == "bearer":
        outside.put("/api/cameras/gate/armed", json={"armed": False}, headers=bearer(SECRET))
    else:
        outside.get("/api/cameras", headers=bearer(SECRET))
    [row] = rows(site)
    assert (row.who, row.address, row.status, row.body) == ("", "10.0.0.7", 401, "")
    assert SECRET not in repr(row)


def test_tries_that_are_not_looked_at_are_not_written_down(outside, site):
    for _ in range(30):
        outside.get("/api/me", headers=bearer(SECRET))
    assert len(rows(site)) == 10


def test_a_websocket_with_a_wrong_token_is_written_down(outside, site):
    with (
        pytest.raises(WebSocketDisconnect),
        outside.websocket_connect("ws://box.lan/api/live", headers=bearer(SECRET)),
    ):
        pass
    assert [(row.method, row.status) for row in rows(site)] == [("WEBSOCKET", 401)]


def test_what_fails_is_written_down_as_well(here, site):
    for path, status in (("/broken", 500), ("/nothing", 404), ("/api/me", 405)):
        assert here.post(path, json={"a": 1}).status_code == status
    assert here.put("/api/cameras/attic/armed", json={"armed": True}).status_code == 404
    assert here.put("/api/cameras/gate/armed", json={"armed": 3}).status_code == 422
    assert [row.status for row in reversed(rows(site))] == [500, 404, 405, 404, 422]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"password": SECRET, "a": 1}, '{"password": "**********", "a": 1}'),
        ({"token": {"deep": [SECRET]}}, '{"token": "**********"}'),
        ({"API-Key": SECRET, "x_pin": SECRET}, '{"API-Key": "**********", "x_pin": "**********"}'),
        ({"source": f"rtsp://u:{SECRET}@cam/1?x={SECRET}"}, '{"source": "rtsp://cam/…'),
        ({"source": f"cam/{SECRET}:x@y"}, '{"source": "'),
        ({"note": f"is rtsp://u:{SECRET}@cam/1 ok?"}, '{"note": "is rtsp://cam/…'),
        ({"note": f"u:{SECRET}@cam"}, '{"note": "'),
        ([{"url": f"http://{SECRET}@x"}], '[{"url": "http://x/…'),
        ({f"rtsp://u:{SECRET}@cam": 1}, '{"rtsp://cam/…'),
        ({"armed": None, "x": [True, 1.5, "ü"]}, '{"armed": null, "x": [true, 1.5, "ü"]}'),
    ],
)  # fmt: skip
def test_bodies_are_shown_without_secrets(here, site, body, shown):
    assert here.post("/take", json=body).status_code == 200
    [row] = rows(site)
    assert row.body.startswith(shown), row.body
    assert SECRET not in row.body


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (f'{{"password": "{SECRET}"'.encode(), "application/json"),
        (f"password={SECRET}&x=1".encode(), "application/x-www-form-urlencoded"),
        (f"password={SECRET}".encode(), "text/plain"), (SECRET.encode("utf-16"), "image/png"),
        (b"\xff\x00" + SECRET.encode(), ""), (b"[" * 60_000, "application/json"),
        (b'{"a": ' + b"9" * 6000 + b"}", "application/json"),
        (b'{"a": "\\ud800\\u0000"}', "application/json"), (b'{"a": NaN}', "application/json"),
    ],
    ids=["half", "form", "text", "binary", "no kind", "deep", "huge", "half a letter", "nan"],
)  # fmt: skip
def test_bodies_that_are_odd_are_kept_short_and_safe(here, site, body, kind):
    assert here.post("/take", content=body, headers={"Content-Type": kind}).status_code == 200
    [row] = rows(site)
    assert SECRET not in row.body
    assert 0 < len(row.body) <= SHOWN_BODY


def test_what_is_long_is_cut(here, site):
    here.post("/take", json={"a": "x" * 5000})
    here.post("/" + "y" * 3000, json={})
    second, first = rows(site)
    assert len(first.body) == SHOWN_BODY
    assert len(second.path) == SHOWN_PATH


def test_a_path_holds_no_password_and_no_query(here, site):
    here.post(f"/rtsp://u:{SECRET}@cam/1?token={SECRET}")
    assert SECRET not in repr(rows(site))


def test_a_body_that_nobody_read_is_empty(here, site):
    assert here.post("/blind", json={"a": 1}).status_code == 200
    assert rows(site)[0].body == ""


@pytest.mark.parametrize("error", [OddframeError("full"), RuntimeError("bug")], ids=repr)
def test_what_cannot_be_written_down_is_done_all_the_same(site, caplog, error):
    def fails(row):
        raise error

    site.store.audit = fails
    here = TestClient(make_app(site, Access(True, "127.0.0.1")), "http://127.0.0.1:8088")
    assert here.put("/api/cameras/gate/armed", json={"armed": False}).status_code == 200
    assert "could not be written down" in caplog.text
    inside = TestClient(make_app(site, INSIDE), "http://127.0.0.1:8088")
    assert inside.post("/api/session", json={"token": "wrong"}).status_code == 401


def test_rows_are_told_a_page_at_a_time(outside, site):
    for on in (True, False, True):
        outside.put("/api/cameras/gate/armed", json={"armed": on}, headers=bearer(ADMIN))
    first = outside.get("/api/audit?limit=2", headers=bearer(ADMIN)).json()
    assert [row["body"] for row in first] == ['{"armed": true}', '{"armed": false}']
    assert first[0]["time"].endswith("Z")
    last = first[-1]["id"]
    rest = outside.get(f"/api/audit?limit=2&before={last}", headers=bearer(ADMIN)).json()
    assert [(row["who"], row["status"]) for row in rest] == [("boss", 200)]
    for odd in ("limit=0", "limit=1001", "before=-1", f"before={2**63}", "before=x"):
        assert outside.get(f"/api/audit?{odd}", headers=bearer(ADMIN)).status_code == 422
