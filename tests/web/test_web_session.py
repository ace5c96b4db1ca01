"""Logging in: the form, the cookie, how long it holds, and who tries too often."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from http.cookies import SimpleCookie

import pytest
from fastapi.testclient import TestClient
from known import ADMIN, INSIDE, OUTSIDE, READ, Clock, bearer

from oddframe.web.app import make_app
from oddframe.web.guard import sessions as module
from oddframe.web.guard.limits import Limits
from oddframe.web.guard.login import inside
from oddframe.web.guard.sessions import AGE_S, IDLE_S, MOST, Sessions, cookie_name
from oddframe.web.guard.tokens import Holder

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
WALL = Holder("wall", "read", b"x" * 32)


@pytest.fixture
def clock():
    return Clock()


COOKIE = cookie_name("box:8088")
"""Of the address that is asked here."""


@pytest.fixture
def outside(asking, clock):
    return asking(OUTSIDE, limits=Limits(clock=clock), follow_redirects=False)


def login(client, token=ADMIN, **headers):
    return client.post("/api/session", json={"token": token}, headers=headers)


def cookie_of(answer):
    [text] = answer.headers.get_list("set-cookie")
    [found] = SimpleCookie(text).values()
    return found


# ---- the page


@pytest.mark.parametrize("path", ["/", "/docs", "/nothing/at/all", "/healthz"])
def test_a_browser_without_a_token_gets_a_form(outside, path):
    found = outside.get(path, headers=HTML)
    assert found.status_code == 401
    assert found.headers["content-type"].startswith("text/html")
    assert found.headers["www-authenticate"] == "Bearer"
    assert found.headers["cache-control"] == "no-store"
    assert '<form method="post" action="/api/session">' in found.text
    assert f'name="next" value="{path}"' in found.text


def test_who_asks_for_no_page_gets_no_form(outside):
    for path in ("/api/cameras", "/api/nothing"):
        assert outside.get(path, headers=HTML).headers["content-type"] == "application/json"
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        assert outside.get("/", headers=headers).headers["content-type"] == "application/json"
    assert outside.post("/", headers=HTML).headers["content-type"] == "application/json"


def test_the_form_needs_nobody_else_and_no_script(outside):
    page = outside.get("/", headers=HTML)
    policy = page.headers["content-security-policy"]
    [style] = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert not re.search(r"<script|https?://|src=|style=|\son\w+=", page.text)
    assert "<label for=" in page.text


def test_where_the_form_leads_is_written_so_that_nothing_breaks_out(outside):
    page = outside.get('/a"><script>?x=\'"><b>', headers=HTML)
    assert page.status_code == 401
    assert not re.search(r"<script|<b>", page.text)


@pytest.mark.parametrize(
    "address",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "", "x", "/\nx",
     "/ü", "/\tx", "/" + "x" * 5000, "javascript:alert(1)", "/ /x"],
)  # fmt: skip
def test_the_form_leads_to_no_other_host(outside, address):
    assert inside(address) == "/"
    done = outside.post("/api/session", data={"token": ADMIN, "next": address})
    assert (done.status_code, done.headers["location"]) == (303, "/")


# ---- the cookie


def test_a_form_sets_the_cookie_and_leads_back(outside):
    done = outside.post("/api/session", data={"token": READ, "next": "/wall?day=2#x"})
    assert (done.status_code, done.headers["location"]) == (303, "/wall?day=2#x")
    assert outside.get("/api/me").json() == {
        "who": "wall", "role": "read", "loopback": False, "session": True
    }  # fmt: skip


def test_json_sets_the_cookie_and_says_who(outside):
    done = login(outside)
    assert (done.status_code, done.json()["who"], done.json()["role"]) == (200, "boss", "admin")
    assert outside.get("/api/cameras").status_code == 200
    off = outside.put("/api/cameras/gate/armed", json={"armed": False})
    assert off.status_code == 200


def test_the_cookie_is_no_scripts_and_no_other_pages(outside):
    cookie = cookie_of(login(outside))
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/"
    assert not cookie["secure"]
    assert not cookie["domain"]
    assert len(cookie.value) >= 43


@pytest.mark.parametrize("headers", [{"X-Forwarded-Proto": "https"}, {}], ids=["a proxy", "TLS"])
def test_behind_https_the_cookie_goes_by_nothing_else(site, headers):
    base = "http://box.lan" if headers else "https://box.lan"
    client = TestClient(make_app(site, INSIDE), base)
    assert cookie_of(login(client, **headers))["secure"]


def test_the_id_is_held_as_a_hash(monkeypatch):
    kept = Sessions()
    session_id = kept.begin(WALL)
    assert session_id not in repr(kept.__dict__)
    assert hashlib.sha256(session_id.encode()).digest() in kept._open


def test_a_wrong_token_begins_nothing(outside):
    found = login(outside, "wrong")
    assert found.status_code == 401
    assert "set-cookie" not in found.headers
    form = outside.post("/api/session", data={"token": "wrong", "next": "/wall"})
    assert form.status_code == 401
    assert "not known" in form.text
    assert 'value="/wall"' in form.text
    assert "wrong" not in re.sub(r'class="wrong"|p.wrong', "", form.text)
    assert outside.get("/api/cameras").status_code == 401


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"token": 1}', b'{"token": ""}', b'"x"', b"\xff\xfe", b"[" * 60000]
)
def test_what_is_no_token_is_401_whatever_it_is(outside, body):
    for kind in ("application/json", "application/x-www-form-urlencoded", "image/png", ""):
        found = outside.post("/api/session", content=body, headers={"Content-Type": kind})
        assert found.status_code == 401, kind


def test_the_end_of_a_session_is_the_end_of_its_cookie(outside):
    value = cookie_of(login(outside)).value
    done = outside.delete("/api/session")
    assert done.status_code == 204
    assert f'{COOKIE}=""' in done.headers["set-cookie"]
    assert "Max-Age=0" in done.headers["set-cookie"]
    assert outside.get("/api/cameras", headers={"Cookie": f"{COOKIE}={value}"}).status_code == 401


def test_logging_in_anew_ends_the_session_before(outside):
    first = cookie_of(login(outside)).value
    second = cookie_of(login(outside)).value
    assert first != second
    outside.cookies.clear()
    assert outside.get("/api/me", headers={"Cookie": f"{COOKIE}={first}"}).status_code == 401
    assert outside.get("/api/me", headers={"Cookie": f"{COOKIE}={second}"}).status_code == 200


def test_a_session_that_is_used_goes_on_and_one_that_is_not_ends(outside, clock):
    login(outside)
    for _ in range(5):
        clock.sleep(IDLE_S - 1)
        assert outside.get("/api/me").status_code == 200
    clock.sleep(IDLE_S)
    assert outside.get("/api/me").status_code == 401


def test_no_session_is_for_ever(clock):
    kept = Sessions(clock)
    session_id = kept.begin(WALL)
    for _ in range(int(AGE_S / 3600) - 1):
        clock.sleep(3600)
        assert kept.of(session_id) is WALL
    clock.sleep(3600)
    assert kept.of(session_id) is None
    assert len(kept) == 0


def test_two_sites_of_one_machine_log_nobody_out_of_the_other(outside):
    """Browsers send a cookie to every port of its host."""
    jar = dict[str, str]()
    for host in ("box:8088", "box:8089"):
        answer = login(outside, Host=host)
        [text] = answer.headers.get_list("set-cookie")
        jar |= {name: found.value for name, found in SimpleCookie(text).items()}
    outside.cookies.clear()
    sent = "; ".join(f"{name}={value}" for name, value in jar.items())
    for host in ("box:8088", "box:8089"):
        asked = outside.get("/api/me", headers={"Host": host, "Cookie": sent})
        assert asked.status_code == 200
    ended = outside.delete("/api/session", headers={"Host": "box:8089", "Cookie": sent})
    assert 'oddframe_session_8089=""' in ended.headers["set-cookie"]
    assert outside.get("/api/me", headers={"Host": "box:8088", "Cookie": sent}).status_code == 200


def test_sessions_of_one_token_are_bounded_and_push_out_nobody_else(clock):
    kept = Sessions(clock)
    boss = Holder("boss", "admin", b"y" * 32)
    own = kept.begin(boss)
    ids = []
    for _ in range(3 * MOST):
        clock.sleep(1)
        ids.append(kept.begin(WALL))
    assert len(kept) == MOST + 1
    assert kept.of(own) is boss
    assert kept.of(ids[-MOST]) is WALL
    assert kept.of(ids[-MOST - 1]) is None
    clock.sleep(module.IDLE_S)
    kept.begin(boss)
    assert len(kept) == 1


def test_without_tokens_there_is_nothing_to_log_in_to(ask):
    assert ask.get("/api/me").json() == {
        "who": "here", "role": "admin", "loopback": True, "session": False
    }  # fmt: skip
    assert login(ask).status_code == 401


# ---- other pages


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""},
        {"Origin": "http://["}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)  # fmt: skip
def test_no_other_page_logs_anybody_in_or_out(outside, headers):
    assert login(outside, **headers).status_code == 403
    login(outside)
    assert outside.delete("/api/session", headers=headers).status_code == 403
    assert outside.get("/api/me").status_code == 200


def test_our_own_page_does(outside):
    headers = {"Origin": "http://127.0.0.1:8088", "Sec-Fetch-Site": "same-origin"}
    assert login(outside, **headers).status_code == 200


def test_a_proxy_with_another_name_needs_no_setting_but_the_tokens(site):
    """Bound to this machine, asked as the proxy was asked."""
    client = TestClient(make_app(site, INSIDE), "https://box.lan")
    headers = {"Origin": "https://box.lan", "X-Forwarded-Proto": "https"}
    assert client.get("/", headers=HTML).status_code == 401
    assert client.get("/metrics").status_code == 401
    assert login(client, **headers).status_code == 200
    done = client.put("/api/cameras/gate/armed", json={"armed": False}, headers=headers)
    assert done.status_code == 200


# ---- too many tries


def test_wrong_tokens_are_counted_and_then_not_looked_at(outside, clock):
    for _ in range(10):
        assert login(outside, "wrong").status_code == 401
    late = login(outside)  # the right one: who guesses must not learn that it is
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) >= 1
    assert outside.get("/api/cameras", headers=bearer(ADMIN)).status_code == 429
    clock.sleep(int(late.headers["retry-after"]))
    assert login(outside).status_code == 200


def test_wrong_tokens_in_headers_count_too(outside):
    for _ in range(10):
        assert outside.get("/api/cameras", headers=bearer("wrong")).status_code == 401
    found = outside.get("/api/cameras", headers=bearer("wrong"))
    assert found.status_code == 429
    assert "retry-after" in found.headers
    form = outside.post("/api/session", data={"token": "wrong"})
    assert form.status_code == 429
    assert "retry-after" in form.headers
    assert "Too many wrong tokens" in form.text


def test_a_session_outlives_the_tries_of_others_at_its_address(outside):
    login(outside)
    cookie = {"Cookie": f"{COOKIE}={outside.cookies[COOKIE]}"}
    for _ in range(12):
        outside.get("/api/me", headers=bearer("wrong"))
    assert outside.get("/api/me", headers=cookie).status_code == 200


def test_no_token_and_an_old_cookie_are_no_tries(outside):
    for _ in range(50):
        assert outside.get("/api/me").status_code == 401
        assert outside.get("/api/me", headers={"Cookie": f"{COOKIE}=old"}).status_code == 401
        assert outside.get("/api/me", headers={"Authorization": "Basic x"}).status_code == 401
    assert login(outside).status_code == 200


def test_each_address_has_its_own_tries_and_all_have_some_together(site, clock):
    app = make_app(site, OUTSIDE, limits=replace(Limits(clock=clock), tries_of_all=25))

    def of(address):
        return TestClient(app, "http://box", client=(address, 5000))

    known = of("10.0.0.99")
    assert login(known).status_code == 200
    for n in (1, 2):
        assert {login(of(f"10.0.0.{n}"), "wrong").status_code for _ in range(10)} == {401}
        assert login(of(f"10.0.0.{n}"), "wrong").status_code == 429
    assert {login(of("10.0.0.3"), "wrong").status_code for _ in range(5)} == {401}
    assert login(of("10.0.0.4"), "wrong").status_code == 429
    # Who sent a right one before is not kept out by strangers.
    assert login(known).status_code == 200


def test_an_ipv6_network_is_one_address(site, clock):
    app = make_app(site, OUTSIDE, limits=Limits(clock=clock))
    codes = [
        login(TestClient(app, "http://box", client=(f"2001:db8::{n:x}", 5000)), "wrong").status_code
        for n in range(11)
    ]
    assert codes == [401] * 10 + [429]


def test_behind_a_proxy_of_this_machine_its_callers_are_told_apart(site, clock):
    app = make_app(site, INSIDE, limits=Limits(clock=clock))
    proxy = TestClient(app, "http://box", client=("127.0.0.1", 5000))
    for _ in range(10):
        assert login(proxy, "wrong", **{"X-Forwarded-For": "8.8.8.8, 10.0.0.1"}).status_code == 401
    # What a caller says of himself stands first, and counts for nothing.
    assert login(proxy, **{"X-Forwarded-For": "9.9.9.9, 10.0.0.1"}).status_code == 429
    assert login(proxy, **{"X-Forwarded-For": "10.0.0.1, 10.0.0.2"}).status_code == 200


def test_who_comes_from_another_machine_is_not_believed_who_he_is(site, clock):
    app = make_app(site, OUTSIDE, limits=Limits(clock=clock))
    far = TestClient(app, "http://box", client=("10.0.0.1", 5000))
    codes = [
        login(far, "wrong", **{"X-Forwarded-For": f"10.1.1.{n}"}).status_code for n in range(11)
    ]
    assert codes == [401] * 10 + [429]
