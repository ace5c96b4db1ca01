"""Messages to people: what is said, to whom, and that nobody is told twice."""

import base64
import json
import time

import pytest
from overthere import told

from oddframe.errors import ConfigError
from oddframe.sinks import make_sink
from oddframe.sinks.base import Later, Refused

pytest.importorskip("apprise", reason="apprise is not installed: pip install 'oddframe[notify]'")


def notify(*ports, **settings):
    urls = [f"json://me:hunter2@127.0.0.1:{port}/" for port in ports]
    return make_sink({"kind": "notify", "urls": urls, **settings})


def bodies(server):
    return [json.loads(r["body"]) for r in server.requests]


def test_a_start_is_told_in_words_with_its_picture(http_server, tmp_path):
    server = http_server()
    (tmp_path / "p.jpg").write_bytes(b"\xff\xd8jpeg")
    now = time.time()
    receipts = notify(server.port).send(told(at=now, folder=tmp_path, snapshot="p.jpg"))
    assert receipts == {"told": "detection"}
    (body,) = bodies(server)
    assert body["title"] == "Something unusual: gate"
    assert body["message"].startswith("Moves 3 times as fast as anything here. Level 2.0")
    assert body["type"] == "info"
    (attached,) = body["attachments"]
    assert base64.b64decode(attached["base64"]) == b"\xff\xd8jpeg"


def test_only_starts_and_what_becomes_an_alert_are_told(http_server, tmp_path):
    server = http_server()
    sink, now = notify(server.port), time.time()
    receipts = sink.send(told(at=now, folder=tmp_path, snapshot="gone.jpg"))
    assert sink.send(told("update", now, receipts=receipts)) is None
    worse = sink.send(told("update", now, receipts=receipts, severity="alert"))
    assert worse == {"told": "alert"}
    assert sink.send(told("update", now, receipts=worse, severity="alert")) is None
    assert sink.send(told("end", now, receipts=worse, severity="alert")) is None
    assert [b["title"] for b in bodies(server)] == ["Something unusual: gate", "Alert: gate"]
    assert [b["type"] for b in bodies(server)] == ["info", "warning"]


def test_who_was_reached_isnt_told_again(http_server, caplog):
    good, bad = http_server(), http_server(lambda r: (500, b"", {}))
    sink, message = notify(good.port, bad.port), told(at=time.time())
    for _ in range(2):
        with pytest.raises(Later, match=r"address 2 \(json://…\) did not take") as error:
            sink.send(message)
        assert "hunter2" not in str(error.value)
    bad.answer = lambda r: (200, b"", {})
    assert sink.send(message) == {"told": "detection"}
    assert (len(good.requests), len(bad.requests)) == (1, 3)
    assert "hunter2" not in caplog.text


def test_nobody_is_told_of_yesterday(http_server):
    server = http_server()
    with pytest.raises(Refused, match="began 120 min ago"):
        notify(server.port).send(told(at=time.time() - 7200))
    assert not server.requests


def test_addresses_come_from_a_file_too(http_server, tmp_path):
    server = http_server()
    file = tmp_path / "urls"
    file.write_text(f"# who is on duty\n\njson://127.0.0.1:{server.port}/\n")
    make_sink({"kind": "notify", "urls_file": file}).send(told(at=time.time()))
    assert len(server.requests) == 1
    with pytest.raises(ConfigError, match="needs urls"):
        make_sink({"kind": "notify"})
