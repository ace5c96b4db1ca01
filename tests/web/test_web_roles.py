"""Every route and every method: to nobody, to a token that may look, to one that may change."""

from __future__ import annotations

import asyncio
import json
from itertools import product

import pytest
from fastapi.testclient import TestClient
from known import ADMIN, INSIDE, OUTSIDE, READ, UNLIMITED, bearer
from starlette.testclient import WebSocketDenialResponse
from walk import METHODS, addresses, asked, routes, sockets

from oddframe.web.app import make_app
from oddframe.web.guard.auth import Access

SENT = (
    {}, {"Accept": "text/html"}, {"Authorization": "Bearer"}, {"Cookie": "oddframe_session="},
)  # fmt: skip
ADMINS = ("/api/config", "/api/log", "/api/audit")


@pytest.fixture
def app(site):
    return make_app(site, OUTSIDE, limits=UNLIMITED)


@pytest.fixture
def outside(app):
    return TestClient(app, "http://box.lan", follow_redirects=False)


def test_all_routes_are_walked(app):
    found = addresses(app)
    assert {"/healthz", "/docs", "/metrics", "/api/cameras/gate/armed", "/api/me"} <= set(found)
    assert len(found) == len({r.path for r in routes(app) if r.path not in sockets(app)})


def test_nobody_is_told_anything_but_401(app):
    """Health too; whatever the method, the form of the body and what is asked for."""

    async def sweep():
        for path in [*addresses(app), "/", "/nothing", "/static/app.js", "/api/", "//healthz"]:
            for method, sent in product(METHODS, SENT):
                status, headers, body = await asked(app, method, path, sent)
                assert status == 401, f"{method} {path} {sent}: {status}"
                assert headers["www-authenticate"] == "Bearer"
                assert "set-cookie" not in headers
                if "text/html" not in headers["content-type"]:
                    assert list(json.loads(body)) == ["detail"]

    asyncio.run(sweep())


def test_nobody_is_told_more_by_a_proxys_name_for_this_machine(site):
    app = make_app(site, INSIDE, limits=UNLIMITED)

    async def sweep():
        for path, method in product(addresses(app), METHODS):
            assert (await asked(app, method, path, {}))[0] == 401, f"{method} {path}"

    asyncio.run(sweep())


def test_no_websocket_is_opened_to_nobody(app, outside):
    for path in [*sockets(app), "/api/live", "/nothing"]:
        for headers in ({}, bearer("wrong-by-a-lot")):
            with (
                pytest.raises(WebSocketDenialResponse) as refused,
                outside.websocket_connect(f"ws://box.lan{path}", headers=headers),
            ):
                pass
            assert refused.value.status_code == 401


def test_nothing_changed_for_nobody(app, outside, site):
    before = site.store.audits(1000)
    outside.put("/api/cameras/gate/armed", json={"armed": False})
    outside.put("/api/cameras/gate/armed", json={"armed": False}, headers={"Cookie": "x=y"})
    assert site.armed("gate")
    assert site.store.audits(1000) == before


def test_who_may_look_changes_nothing(app):
    """Whatever the route; what is answered is 403, before a route sees it."""

    async def sweep():
        for path, method in product([*addresses(app), "/nothing"], METHODS):
            if method in ("GET", "HEAD") or path == "/api/session":
                continue
            status, _, body = await asked(app, method, path, bearer(READ))
            assert status == 403, f"{method} {path}"
            assert b"for looking only" in body

    asyncio.run(sweep())


def test_who_may_look_sees_all_but_what_is_the_admins(app, outside):
    asked = set()
    for route in routes(app):
        if "GET" not in (getattr(route, "methods", None) or ()) or "{" in route.path:
            continue
        if "mjpeg" in route.path:  # has no end
            continue
        asked.add(route.path)
        found = outside.get(route.path, headers=bearer(READ))
        assert (found.status_code == 403) == (route.path in ADMINS), route.path
        assert found.status_code != 401
    assert set(ADMINS) <= asked
    for path in ADMINS:
        assert outside.get(path, headers=bearer(ADMIN)).status_code == 200


def test_who_may_look_ends_his_session_and_begins_another(outside):
    assert outside.post("/api/session", json={"token": READ}).status_code == 200
    assert outside.post("/api/session", json={"token": READ}).json()["role"] == "read"
    assert outside.put("/api/cameras/gate/armed", json={"armed": False}).status_code == 403
    assert outside.delete("/api/session").status_code == 204
    assert outside.get("/api/me").status_code == 401


def test_who_may_change_does(outside, site):
    done = outside.put("/api/cameras/gate/armed", json={"armed": False}, headers=bearer(ADMIN))
    assert done.status_code == 200
    assert not site.armed("gate")


def test_a_server_for_others_that_was_given_no_token_is_open_to_nobody(site):
    """`access_of` makes no such thing; who makes one by hand is not punished for it."""
    asked = TestClient(make_app(site, Access(False, "0.0.0.0")), "http://box.lan")
    assert asked.get("/api/cameras").status_code == 401
    assert asked.get("/healthz").status_code == 401
    assert asked.post("/api/session", json={"token": ""}).status_code == 401
