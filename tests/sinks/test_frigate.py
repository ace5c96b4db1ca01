"""Frigate: one event there for one of ours, whatever gets lost on the way.

The stand-in (`overthere.Frigate`) answers as Frigate's own source does.
"""

import json
import time

import pytest
from overthere import told, until

from oddframe.sinks import frigate as module
from oddframe.sinks import make_sink
from oddframe.sinks.base import Later, Refused
from oddframe.sinks.words import share


def sink(server, **settings):
    values = {"kind": "frigate", "url": server.url, "cameras": {"gate": "front_door"}}
    return make_sink({**values, "timeout_s": 2, **settings})


def only(server):
    (row,) = server.rows.values()
    return row


def calls(server):
    return [f"{r['method']} {r['path'].split('?')[0].rsplit('/', 1)[-1]}" for r in server.requests]


def test_an_event_is_made_open_and_ended(frigate):
    server, now = frigate(), time.time()
    s = sink(server, include_recording=False)
    receipts = s.send(told(at=now))
    row = only(server)
    assert receipts["id"] == row["id"]
    body = json.loads(next(r["body"] for r in server.requests if r["method"] == "POST"))
    assert body == {
        "sub_label": "moves 3 times as fast as anything here", "score": share(2.0),
        "duration": None, "include_recording": False,
        "draw": {"oddframe": told(at=now).event.id, "boxes": [
            {"box": [0.1, 0.1, 0.2, 0.2], "color": [0, 0, 255], "score": 75, "label": "anomaly"}]},
    }  # fmt: skip
    assert (row["camera"], row["label"], row["end_time"]) == ("front_door", "anomaly", None)

    s.send(told("update", now, receipts=receipts, reasons=("z" * 300,), peak_level=4.0))
    assert only(server)["sub_label"] == "z" * 99 + "…"
    s.send(told("end", now, receipts=receipts))
    row = only(server)
    assert row["ends"] == 1
    assert row["end_time"] == pytest.approx(now + 20, abs=0.5)
    assert row["data"]["description"].startswith("Moves 3 times as fast as anything here. Level 2")
    assert calls(server)[-4:] == ["POST create", "POST sub_label", "POST description", "PUT end"]


def test_an_end_whose_start_it_never_got_is_nothing(frigate):
    server = frigate()
    assert sink(server).send(told("end", time.time())) is None
    assert not server.requests


def test_a_camera_that_it_doesnt_have_is_refused_in_words(frigate):
    with pytest.raises(Refused, match=r"no camera 'gate' .*cameras: \{gate: …\}"):
        sink(frigate(), cameras={}).send(told(at=time.time()))


def test_an_event_isnt_in_its_database_at_once(frigate):
    server, now = frigate(settle_s=0.3), time.time()
    s = sink(server)
    receipts = s.send(told(at=now))
    with pytest.raises(Later, match="in its database yet"):
        s.send(told("end", now, receipts=receipts))

    def ended():
        try:
            return s.send(told("end", now, receipts=receipts)) is None
        except Later:
            return False

    until(ended)
    assert only(server)["ends"] == 1


def test_an_event_that_was_deleted_there_is_given_up(frigate, monkeypatch):
    monkeypatch.setattr(module, "SETTLE_S", 0.0)
    server, now = frigate(), time.time()
    s = sink(server)
    receipts = s.send(told(at=now))
    server.rows.clear()
    with pytest.raises(Refused, match="deleted there"):
        s.send(told("end", now, receipts=receipts))


# ---- no event twice


def others(s, now):
    """Events of the same camera that aren't meant."""
    for seconds in (100, 50):
        s.send(told(at=now - seconds, peak_level=2.0 + seconds / 1000))


@pytest.mark.parametrize("version", [18, 17], ids=["0.18 keeps our mark", "0.17 doesn't"])
def test_a_lost_answer_makes_no_second_event(frigate, version):
    server, now = frigate(version=version), time.time()
    s = sink(server)
    others(s, now)
    server.lose_answer = True
    s._began -= 3600  # it has been running for long: only what was tried is looked for
    with pytest.raises(Later):
        s.send(told(at=now))
    assert len(server.rows) == 3
    receipts = s.send(told(at=now))
    assert len(server.rows) == 3
    s.send(told("end", now, receipts=receipts))
    ended = [row for row in server.rows.values() if row["ends"]]
    assert [row["data"]["score"] for row in ended] == [share(2.0)]


@pytest.mark.parametrize("version", [18, 17], ids=["0.18 keeps our mark", "0.17 doesn't"])
def test_a_kill_between_post_and_receipt_makes_no_second_event(frigate, version):
    server, now = frigate(version=version), time.time()
    killed = sink(server)
    others(killed, now)
    lost = killed.send(told(at=now))
    receipts = sink(server).send(told(at=now))  # of the process after the kill
    assert receipts["id"] == lost["id"]
    assert len(server.rows) == 3


def test_two_events_alike_stay_two(frigate):
    server, now = frigate(), time.time()
    s = sink(server)
    first, second = s.send(told(at=now - 5)), s.send(told(at=now))
    assert first["id"] != second["id"]
    assert len(server.rows) == 2


def test_a_new_event_of_a_sink_that_runs_isnt_looked_for(frigate):
    server = frigate()
    s = sink(server)
    s._began -= 3600
    s.send(told(at=time.time()))
    assert calls(server) == ["POST create"]


# ---- late ones, and clocks


@pytest.mark.parametrize(("version", "start"), [(18, -105), (17, -5)])
def test_a_late_start_says_so_and_stands_where_it_was_if_that_can_be(frigate, version, start):
    server, now = frigate(version=version), time.time()
    s = sink(server)
    receipts = s.send(told(at=now - 100))
    s.send(told("end", now - 100, receipts=receipts))
    row = only(server)
    assert (
        "Told 100 s after it began: the picture is of that moment." in (row["data"]["description"])
    )
    assert row["start_time"] == pytest.approx(now + start, abs=1)
    assert row["ends"] == 1
    assert row["end_time"] >= row["start_time"]
    if version == 18:
        assert row["end_time"] == pytest.approx(now - 80, abs=1)


def test_a_start_of_long_ago_isnt_posted_and_its_end_neither(frigate):
    server, long_ago = frigate(), time.time() - 7200
    s = sink(server)
    with pytest.raises(Refused, match="began 120 min ago"):
        s.send(told(at=long_ago))
    assert s.send(told("end", long_ago)) is None
    assert not server.rows


@pytest.mark.parametrize("skew_s", [-900, 900])
def test_its_clock_may_differ(frigate, skew_s):
    server, now = frigate(skew_s=skew_s), time.time()
    s = sink(server)
    receipts = s.send(told(at=now))
    s.send(told("end", now, receipts=receipts))
    row = only(server)
    assert row["end_time"] - row["start_time"] == pytest.approx(25, abs=0.5)  # 5 s before it


# ---- let in or not


def test_who_isnt_let_in_is_told_of_ports_and_roles(frigate, tmp_path):
    server = frigate(token="right")
    file = tmp_path / "token"
    file.write_text("wrong\n")
    s, message = sink(server, token_file=file), told(at=time.time())
    with pytest.raises(Later, match=r"401.*role admin.*5000") as error:
        s.send(message)
    assert "wrong" not in str(error.value)
    file.write_text("right\n")  # tokens run out: it is read again
    s.send(message)
    assert only(server)["end_time"] is None


def test_a_server_that_is_something_else_is_said(http_server):
    server = http_server(lambda r: (200, b"<html>", {}))
    with pytest.raises(Later, match="Frigate itself"):
        make_sink({"kind": "frigate", "url": server.url}).send(told(at=time.time()))


def test_an_address_that_ends_in_api_is_taken_too(frigate):
    server = frigate()
    sink(server, url=f"{server.url}/api/").send(told(at=time.time()))
    assert len(server.rows) == 1
