"""Webhook: what is posted, how a receiver checks it, and what its answers mean."""

import base64
import contextlib
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from overthere import START, told

from oddframe.errors import ConfigError
from oddframe.events.event import Event
from oddframe.sinks import make_sink
from oddframe.sinks.base import Later, Refused
from oddframe.sinks.http import Answer, retry_after_s
from oddframe.sinks.webhook import TOPIC


def hook(url, **settings):
    return make_sink({"kind": "webhook", "url": url, "timeout_s": 2, **settings})


def verified(request, secret, now):
    """The body of a request, as a receiver reads it that shares a secret."""
    fields = dict(f.split("=", 1) for f in request["headers"]["x-oddframe-signature"].split(","))
    assert abs(now - int(fields["t"])) < 300
    signed = f"{fields['t']}.".encode() + request["body"]
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(expected, fields["v1"])
    return json.loads(request["body"])


def test_a_message_is_posted_signed_and_named(http_server):
    server = http_server()
    message = told("end", zones=("Straße",))
    hook(f"{server.url}/in?x=1", secret="shared", headers={"X-Place": "here"}).send(message)
    (request,) = server.requests
    assert (request["method"], request["path"]) == ("POST", "/in?x=1")
    assert request["headers"]["idempotency-key"] == message.key
    assert request["headers"]["content-type"] == "application/json"
    assert request["headers"]["x-place"] == "here"
    body = verified(request, "shared", time.time())
    assert Event.read(body) == message.event
    assert body["key"] == message.key
    assert body["topic"] == TOPIC == "tns1:RuleEngine/oddframe/Anomaly"
    assert (body["state"], body["active"]) == ("end", False)
    assert body["utc_time"] == "2026-09-10T00:27:00.250Z"
    with pytest.raises(AssertionError):
        verified({**request, "body": request["body"] + b" "}, "shared", time.time())
    with pytest.raises(AssertionError):
        verified(request, "another", time.time())


@pytest.mark.parametrize("path", ["/", "/in", "/in/", "/in/?x=1", "/in//"])
def test_it_is_posted_where_the_address_says(http_server, path):
    server = http_server()
    hook(server.url + path).send(told())
    assert [request["path"] for request in server.requests] == [path]


def test_without_a_secret_nothing_is_signed(http_server):
    server = http_server()
    hook(server.url).send(told())
    assert "x-oddframe-signature" not in server.requests[0]["headers"]
    body = json.loads(server.requests[0]["body"])
    assert body["active"] is True
    assert body["utc_time"] == "2026-09-10T00:26:40.250Z"
    assert "picture" not in body


def test_the_picture_goes_along_where_it_is_there(http_server, tmp_path):
    (tmp_path / "p.jpg").write_bytes(b"\xff\xd8jpeg")
    server = http_server()
    sink = hook(server.url, picture=True)
    sink.send(told(folder=tmp_path, snapshot="p.jpg"))
    sink.send(told(folder=tmp_path, snapshot="gone.jpg"))
    first, second = (json.loads(r["body"])["picture"] for r in server.requests)
    assert base64.b64decode(first) == b"\xff\xd8jpeg"
    assert second is None


def test_user_and_password_of_the_address_are_sent_as_such(http_server):
    server = http_server()
    hook(f"http://me:p%40ss@127.0.0.1:{server.port}/").send(told())
    code = server.requests[0]["headers"]["authorization"].removeprefix("Basic ")
    assert base64.b64decode(code) == b"me:p@ss"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_taken(http_server, status):
    hook(http_server(lambda r: (status, b"", {})).url).send(told())


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_passes_is_tried_later(http_server, status):
    with pytest.raises(Later, match=str(status)):
        hook(http_server(lambda r: (status, b"", {})).url).send(told())


@pytest.mark.parametrize("status", [301, 302, 303, 304, 400, 401, 403, 404, 405, 410, 413, 422])
def test_all_else_is_refused(http_server, status):
    server = http_server(lambda r: (status, b"", {"Location": "/elsewhere"}))
    with pytest.raises(Refused, match=str(status)):
        hook(server.url).send(told())
    assert len(server.requests) == 1


def test_how_long_to_wait_is_taken_from_the_answer(http_server):
    with pytest.raises(Later) as error:
        hook(http_server(lambda r: (503, b"", {"Retry-After": "17"})).url).send(told())
    assert error.value.after_s == 17


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("120", 120), ("999999999", 3600), ("-5", None), ("soon", None), ("", None),
        (format_datetime(datetime.fromtimestamp(START, UTC) + timedelta(seconds=90)), 90),
        (format_datetime(datetime.fromtimestamp(START, UTC) - timedelta(days=9)), 0),
        (format_datetime(datetime.fromtimestamp(START, UTC) + timedelta(days=900)), 3600),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date_and_has_an_end(text, seconds):
    found = retry_after_s(Answer(503, {"retry-after": text}, b""), START)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1))


@pytest.mark.parametrize("status", [307, 308])
def test_redirects_stay_within_the_host(http_server, status):
    def answer(request):
        to = {"/old": "/new?y=1", "/far": other.url, "/round": "/round"}.get(request["path"])
        return (status, b"", {"Location": to}) if to else (200, b"", {})

    other, server = http_server(), http_server(answer)
    hook(f"{server.url}/old").send(told())
    assert [r["path"] for r in server.requests] == ["/old", "/new?y=1"]
    assert server.requests[0]["body"] == server.requests[1]["body"]
    with pytest.raises(Refused, match="aren't sent on to another host"):
        hook(f"{server.url}/far").send(told())
    assert not other.requests
    with pytest.raises(Refused):
        hook(f"{server.url}/round").send(told())
    assert len(server.requests) < 10


def test_a_server_that_isnt_there_is_tried_later(http_server):
    server = http_server()
    server.close()
    with pytest.raises(Later, match="cannot be reached"):
        hook(server.url).send(told())
    with pytest.raises(Later, match="cannot be found"):
        hook("http://no-such-host.invalid/").send(told())


def test_a_server_that_goes_without_a_word_is_tried_later(http_server):
    with pytest.raises(Later, match="closed the connection"):
        hook(http_server(lambda r: (None, b"", {})).url).send(told())


@pytest.fixture
def trickle():
    """`trickle(says)`: the address of a server that says that, and then a byte now and then."""
    servers = []

    def run(server, says):
        peer, _ = server.accept()
        with peer, contextlib.suppress(OSError):
            peer.sendall(says)
            for _ in range(30):
                time.sleep(0.1)
                peer.sendall(b"x" if says else b"")

    def start(says):
        servers.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=run, args=(servers[-1], says), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].getsockname()[1]}/"

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 2"], ids=["hangs", "trickles"])
def test_a_server_without_an_answer_is_given_up(trickle, says):
    began = time.monotonic()
    with pytest.raises(Later, match=r"no answer within 0\.5 s"):
        hook(trickle(says), timeout_s=0.5).send(told())
    assert time.monotonic() - began < 1.5


def test_a_status_is_an_answer_though_its_body_never_ends(trickle):
    began = time.monotonic()
    hook(trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"), timeout_s=0.5).send(told())
    assert time.monotonic() - began < 1.5


def test_certificates_are_checked(http_server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = http_server(context=context)
    with pytest.raises(Later, match=r"isn't trusted.*ca_file"):
        hook(server.url).send(told())
    assert not server.requests
    hook(server.url, ca_file=certificate).send(told())
    assert len(server.requests) == 1
    with pytest.raises(ConfigError, match="ca_file"):
        hook(server.url, ca_file=certificate.with_name("none.pem"))


def test_messages_about_the_address_hold_no_password(http_server):
    server = http_server(lambda r: (404, b"", {}))
    with pytest.raises(Refused) as error:
        hook(f"http://me:hunter2@127.0.0.1:{server.port}/hunter2?k=hunter2").send(told())
    assert "hunter2" not in str(error.value)
    assert f"127.0.0.1:{server.port}" in str(error.value)
