"""/api: what people say of events, what is learned from it, and why an event rang."""

from __future__ import annotations

import math

import numpy as np
import pytest
from stub_site import AT, event
from test_web_api import ISO, JPEG

from oddframe.events.store import Normal
from oddframe.events.store.files import plain_of
from oddframe.scoring.fuse import STREAMS
from oddframe.scoring.spots import LOOK, Spots

WEEK = 7 * 86400


def spots(left=0.3, top=0.3, flow=6.0, look=0.0):
    """Something fast, of an eighth of the picture."""
    streams = np.zeros((1, len(STREAMS)), np.float32)
    streams[0, STREAMS.index("flow")] = flow
    place = np.array([[left, top, left + 0.125, top + 0.125]], np.float32)
    return Spots(place, streams, np.full((1, LOOK), look, np.float32))


@pytest.fixture
def run(site):
    """Hash of the weights that score now."""
    return site.engine.cameras["gate"].run


@pytest.fixture
def described(site, run):
    """Puts the n-th event, described and with a picture, and gives it."""

    def put(number=0, looks=None, **more):
        name = f"snapshots/gate/{number}.jpg"
        made = event(number, **{"run": run, "snapshot": name, **more})
        for path in (name, plain_of(name)):
            (site.store.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (site.store.folder / path).write_bytes(JPEG + path.encode())
        site.store.put(made)
        data = (spots() if looks is None else looks).to_bytes()
        site.store.describe(made.id, data, [(AT - 1, 0.5), (AT, 2.0)])
        return made

    return put


def say(ask, made, verdict, **more):
    return ask.post(f"/api/events/{made.id}/verdict", json={"verdict": verdict, **more})


# ---- verdicts


def test_a_false_alarm_is_learned_and_taken_back(ask, site, described):
    made = described()
    answer = say(ask, made, "false_alarm", note="the postman")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["id"], found["verdict"], found["note"]) == (made.id, "false_alarm", "the postman")
    assert ISO.fullmatch(found["verdict_time"])
    assert "raises no alarm from now on" in found["learned"]
    (exemplar,) = ask.get("/api/cameras/gate/exemplars").json()
    assert exemplar.pop("created")
    assert exemplar == {
        "id": found["exemplar"], "event": made.id, "what": ["something moves fast"],
        "place": {"x": 10, "y": 20, "w": 30, "h": 40}, "silenced": 0, "last_silenced": None,
        "snapshot": f"/api/events/{made.id}/snapshot.jpg", "in_force": True,
    }  # fmt: skip
    found = say(ask, made, None).json()
    assert (found["verdict"], found["exemplar"], found["note"]) == (None, None, "the postman")
    assert "nothing is learned" in found["learned"]
    assert ask.get("/api/cameras/gate/exemplars").json() == []
    assert site.store.record(made.id).verdict is None


def test_a_real_one_is_held_against_what_is_learned(ask, described):
    found = say(ask, described(), "real").json()
    assert (found["verdict"], found["exemplar"]) == ("real", None)
    assert "has to ring" in found["learned"]


def test_what_was_not_described_silences_nothing_and_it_is_said(ask, site):
    site.store.put(event())
    found = say(ask, event(), "false_alarm").json()
    assert found["exemplar"] is None
    assert "Nothing is silenced" in found["learned"]


def test_an_exemplar_of_another_run_is_set_aside_and_it_is_said(ask, described):
    made = described(run="another")
    found = say(ask, made, "false_alarm").json()
    assert "not with this one" in found["learned"]
    assert [e["in_force"] for e in ask.get("/api/cameras/gate/exemplars").json()] == [False]


def test_what_was_silenced_is_told(ask, site, described):
    number = say(ask, described(), "false_alarm").json()["exemplar"]
    site.store.silenced({number: (3, AT)})
    (exemplar,) = ask.get("/api/cameras/gate/exemplars").json()
    assert (exemplar["silenced"], exemplar["last_silenced"]) == (3, "2026-05-28T20:26:40Z")


def test_an_exemplar_is_taken_back_by_itself(ask, site, described):
    made = described()
    number = say(ask, made, "false_alarm").json()["exemplar"]
    assert site.heard_of == ["gate"], "who scores is told"
    assert ask.delete(f"/api/exemplars/{number}").status_code == 204
    assert ask.delete(f"/api/exemplars/{number}").status_code == 404
    assert site.heard_of == ["gate", "gate"]
    assert ask.get("/api/cameras/gate/exemplars").json() == []
    assert ask.get(f"/api/events/{made.id}").json()["verdict"] == "false_alarm"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"verdict": "maybe"}, {"verdict": 1}, {"verdict": "real", "more": 1}, [], None,
        {"verdict": "real", "note": "x" * 2001}, {"verdict": "real", "note": "a\0b"},
        {"verdict": "real", "note": 5},
    ],
)  # fmt: skip
def test_what_is_no_verdict_is_refused(ask, site, described, body):
    made = described()
    assert ask.post(f"/api/events/{made.id}/verdict", json=body).status_code == 422
    assert site.store.record(made.id).verdict is None


@pytest.mark.parametrize("note", ['"\\ud800"', '"\\u0000"', '"' + "é" * 2000 + '"', '"\\n 🦊 \'"'])
def test_any_note_is_kept_or_refused(ask, site, described, note):
    made = described()
    body = f'{{"verdict": "real", "note": {note}}}'
    answer = ask.post(
        f"/api/events/{made.id}/verdict", content=body.encode(),
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert site.store.record(made.id).note == answer.json()["note"]


@pytest.mark.parametrize("id", ["1-a", "%00", "..%2F..%2Fetc", "%F0%9F%A6%8A", "x" * 300])
def test_an_event_that_is_not_there(ask, id):
    for method, path in (("POST", "verdict"), ("GET", "why"), ("GET", "nearest.jpg")):
        body = {"json": {"verdict": "real"}} if method == "POST" else {}
        answer = ask.request(method, f"/api/events/{id}/{path}", **body)
        assert answer.status_code == 404
        assert answer.json()["detail"]


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 30, "1.5"])
def test_what_is_no_exemplar(ask, number):
    assert ask.delete(f"/api/exemplars/{number}").status_code == 422


def test_a_camera_that_is_not_there(ask):
    assert ask.get("/api/cameras/door/exemplars").status_code == 404


# ---- events by their verdict


def test_events_are_listed_by_verdict(ask, described):
    real, wrong, open = (described(i) for i in range(3))
    say(ask, real, "real")
    say(ask, wrong, "false_alarm")

    def listed(verdict):
        found = ask.get("/api/events", params={"verdict": verdict}).json()["events"]
        return [e["id"] for e in found]

    assert (listed("real"), listed("false_alarm"), listed("none")) == (
        [real.id], [wrong.id], [open.id]
    )  # fmt: skip
    assert ask.get("/api/events?verdict=maybe").status_code == 422


# ---- how good it is


def test_nothing_was_judged(ask):
    found = ask.get("/api/judged").json()
    assert found == {
        "real": 0, "false_alarm": 0, "open": 0, "by_week": [],
        "recall": {"kept": 0, "of": 0, "text": "No real event is kept that could be held against "
                   "what is known now."},
    }  # fmt: skip


def test_precision_goes_by_week(ask, described):
    for i in range(4):
        made = described(i, start_utc=AT + (i // 2) * WEEK, end_utc=AT + (i // 2) * WEEK + 5)
        say(ask, made, ("real", "false_alarm", "real", None)[i])
    described(9, camera="yard")
    found = ask.get("/api/judged").json()
    assert (found["real"], found["false_alarm"], found["open"]) == (2, 1, 2)
    assert [(w["week"], w["precision"], w["open"]) for w in found["by_week"]] == [
        ("2026-W22", 0.5, 1), ("2026-W23", 1.0, 1)
    ]  # fmt: skip
    yard = ask.get("/api/judged?camera=yard").json()
    assert (yard["real"], yard["open"]) == (0, 1)
    assert yard["by_week"][0]["precision"] is None
    assert ask.get("/api/judged?camera=" + "x" * 201).status_code == 422


def test_real_events_are_the_test_of_what_was_learned(ask, site, described):
    thief, other = described(0), described(1, spots(top=0.7))
    for made in (thief, other):
        say(ask, made, "real")
    recall = ask.get("/api/judged").json()["recall"]
    assert (recall["kept"], recall["of"]) == (2, 2)
    assert "2 of 2 real events would ring" in recall["text"]
    say(ask, described(2, spots(look=0.01)), "false_alarm")  # just like the thief
    recall = ask.get("/api/judged").json()["recall"]
    assert (recall["kept"], recall["of"]) == (1, 2)
    site.engine.cameras["gate"].threshold_now = 7.0  # above their scores, of 6
    assert ask.get("/api/judged").json()["recall"]["kept"] == 0


def test_it_is_said_of_which_it_cannot_be_told(ask, site, described):
    say(ask, described(0), "real")
    say(ask, described(1, run="another"), "real")
    site.engine.cameras["yard"].fitted = False
    recall = ask.get("/api/judged").json()["recall"]
    assert recall["of"] == 1
    assert "of 1 more it cannot be told" in recall["text"]


# ---- why


def test_why_it_rang(ask, described):
    made = described(streams={"flow": 6.0, "way": 2.0, "stay": 0.4, "frame": math.nan})
    found = ask.get(f"/api/events/{made.id}/why").json()
    assert found["level"] == [[AT - 1, 0.5], [AT, 2.0]]
    assert found["nearest"] is None
    assert [(s["name"], s["z"]) for s in found["streams"]] == [
        ("flow", 6.0), ("way", 2.0), ("stay", 0.4)
    ]  # fmt: skip
    words = [s["words"] for s in found["streams"]]
    assert words[0] == "something moves faster than things do here"
    assert words[1].startswith("a little: ")
    assert words[2] == "as usual"


def test_of_an_event_of_before_the_minutes_tell(ask, site):
    site.store.put(event())
    for minute in range(120):
        site.store.minute("gate", AT + 60 * (minute - 60), 0.5)
    site.store.flush()
    found = ask.get(f"/api/events/{event().id}/why").json()
    assert 58 <= len(found["level"]) <= 62
    assert found["nearest"] is None
    assert ask.get(f"/api/events/{event().id}/nearest.jpg").status_code == 404


def test_the_nearest_that_was_normal(ask, site, described, run):
    made = described()
    elsewhere, there = spots(top=0.7), spots(look=0.05)
    for number, odd in enumerate((elsewhere, there)):
        normal = Normal("gate", run, AT - 3600 * number, 0.75, odd.to_bytes())
        site.store.keep_normal(normal, JPEG + b"%d" % number)
    site.store.keep_normal(Normal("gate", "another", AT, 0.9, spots().to_bytes()), JPEG)
    found = ask.get(f"/api/events/{made.id}/why").json()["nearest"]
    assert (found["level"], found["kind"], found["same_place"]) == (0.75, "no_alarm", True)
    assert found["t"] == "2026-05-28T19:26:40Z"
    assert found["words"] == "looks the same, at the same place"
    picture = ask.get(found["snapshot"])
    assert (picture.content, picture.headers["content-type"]) == (JPEG + b"1", "image/jpeg")
    assert "no-cache" in picture.headers["cache-control"]


def test_what_somebody_said_to_be_normal_is_normal(ask, site, described):
    made, normal = described(0), described(1, spots(look=0.3))
    say(ask, normal, "false_alarm")
    found = ask.get(f"/api/events/{made.id}/why").json()["nearest"]
    assert (found["kind"], found["level"]) == ("false_alarm", 2.0)
    assert found["words"].endswith("at the same place")
    plain = site.store.folder / plain_of(normal.snapshot)
    assert ask.get(found["snapshot"]).content == plain.read_bytes()
    assert ask.get(f"/api/events/{normal.id}/why").json()["nearest"] is None, "not by itself"
    plain.unlink()
    drawn = site.store.folder / normal.snapshot
    assert ask.get(found["snapshot"]).content == drawn.read_bytes()
    drawn.unlink()
    assert ask.get(found["snapshot"]).status_code == 404


def test_the_most_alike_is_looked_for_once(ask, site, described, run, monkeypatch):
    """For the reasons and for their picture; and again after something was said."""
    made, looked, normals = described(), [], site.store.normals
    monkeypatch.setattr(site.store, "normals", lambda *of: looked.append(of) or normals(*of))
    site.store.keep_normal(Normal("gate", run, AT, 0.75, spots().to_bytes()), JPEG)
    for _ in range(2):
        found = ask.get(f"/api/events/{made.id}/why").json()["nearest"]
        assert ask.get(found["snapshot"]).content == JPEG
    assert len(looked) == 1
    say(ask, described(1), "false_alarm")
    ask.get(f"/api/events/{made.id}/why")
    assert len(looked) == 2


def test_a_picture_outside_the_store_is_none(ask, site, described, tmp_path):
    made = described()
    site.store.keep_normal(Normal("gate", made.run, AT, 0.9, spots().to_bytes()), JPEG)
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    with site.store.database.write() as con:
        con.execute("UPDATE normals SET picture = '../secret.jpg'")
    assert ask.get(f"/api/events/{made.id}/why").json()["nearest"] is None
    with site.store.database.write() as con:
        con.execute("UPDATE normals SET picture = ?", ("a\0b.jpg",))
    assert ask.get(f"/api/events/{made.id}/why").json()["nearest"] is None


def test_the_description_names_every_answer(ask):
    paths = ask.get("/openapi.json").json()["paths"]
    for path, method in (
        ("/api/events/{event_id}/verdict", "post"), ("/api/events/{event_id}/why", "get"),
        ("/api/events/{event_id}/nearest.jpg", "get"), ("/api/cameras/{camera}/exemplars", "get"),
        ("/api/exemplars/{exemplar}", "delete"), ("/api/judged", "get"),
    ):  # fmt: skip
        answers = paths[path][method]["responses"]
        assert {"422"} <= set(answers)
        assert ("404" in answers) == (path != "/api/judged")
    done = paths["/api/exemplars/{exemplar}"]["delete"]["responses"]
    assert "204" in done
    assert "200" not in done
