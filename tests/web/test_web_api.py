"""/api: cameras, events, files of a store and of nothing else, gaps; and its description."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
from stub_site import AT, NAN, event, status

from oddframe.events.store.files import plain_of
from oddframe.runtime.watch.status import State
from oddframe.web.health import HANGS_S

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
JPEG = b"\xff\xd8" + bytes(2000) + b"\xff\xd9"
FILM = bytes(range(256)) * 40


@pytest.fixture
def filmed(site):
    """An event with files, as (id, path of its snapshot, path of its clip)."""
    made = event(snapshot="snapshots/gate/e.jpg", clip="clips/gate/e.webm")
    folder = site.store.folder
    for name, data in (
        (made.snapshot, JPEG), (plain_of(made.snapshot), JPEG[::-1]), (made.clip, FILM)
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    site.store.put(made)
    return made.id, folder / made.snapshot, folder / made.clip


# ---- cameras


def test_cameras_are_told_as_they_are(ask, site):
    site.measured()
    gate, yard = ask.get("/api/cameras").json()
    assert (gate["camera"], yard["camera"]) == ("gate", "yard")
    assert gate["state"] == "running"
    assert gate["source"] == "rtsp://cam.local/…3fa2"
    assert ISO.fullmatch(gate["since"])
    assert gate["since"] == "2026-05-28T20:26:40Z"
    assert (gate["score"], gate["level"], gate["threshold"]) == (4.5, 1.5, 3.0)
    assert (gate["wanted_fps"], yard["wanted_fps"]) == (10, 5)
    assert (gate["frames"], gate["dropped"]) == (100, {"newer": 9, "late": 1})
    assert gate["latency_p95_s"] == 0.5
    assert gate["promise"] == "1 alarm a day"
    assert (gate["zones"], yard["zones"]) == (["stairs"], [])
    assert gate["armed"] is True
    assert gate.pop("scored_fps") > 0
    alone = ask.get("/api/cameras/gate").json()
    assert alone.pop("scored_fps") > 0
    assert alone == gate


def test_a_camera_that_sees_nothing_has_no_score_and_says_why(ask, site):
    site.measured()
    down = {"why": "auth_failed", "words": "user or password are wrong"}
    site.statuses["gate"] = replace(status("gate", State.DOWN), **down)
    site.meters.cameras["yard"].score = NAN
    gate, yard = ask.get("/api/cameras").json()
    assert (gate["state"], gate["why"], gate["words"]) == ("down", *down.values())
    assert gate["score"] is None
    assert gate["level"] is None
    assert yard["score"] is None


def test_a_camera_that_cannot_be_scored_says_so(ask, site):
    site.engine.cameras["gate"].fault = "Zone 'x' has the point [800, 2] …"
    assert ask.get("/api/cameras/gate").json()["words"].startswith("Zone 'x'")


def test_where_the_engine_hangs_no_camera_has_a_score_and_each_says_why(ask, site):
    site.measured()
    site.engine.turned_s -= HANGS_S + 1  # readers go on, and meters keep their last values
    for camera in ask.get("/api/cameras").json():
        assert camera["state"] == "running"
        assert (camera["score"], camera["level"], camera["anomaly"]) == (None, None, False)
        assert "the engine hangs" in camera["words"]


def test_an_unknown_camera_is_404_and_names_the_known(ask):
    for found in (
        ask.get("/api/cameras/attic"),
        ask.put("/api/cameras/attic/armed", json={"armed": True}),
    ):
        assert found.status_code == 404
        assert "gate, yard" in found.json()["detail"]


def test_alarms_are_switched_and_stay_so(ask, site):
    off = ask.put("/api/cameras/gate/armed", json={"armed": False})
    assert (off.status_code, off.json()) == (200, {"camera": "gate", "armed": False})
    assert site.store.recall("gate", "armed") is False
    assert [c["armed"] for c in ask.get("/api/cameras").json()] == [False, True]
    assert ask.put("/api/cameras/gate/armed", json={"armed": True}).json()["armed"] is True


@pytest.mark.parametrize("body", [{}, {"armed": "yes"}, {"armed": 1}, {"armed": True, "x": 1}, []])
def test_a_wish_that_is_none_changes_nothing(ask, site, body):
    found = ask.put("/api/cameras/gate/armed", json=body)
    assert found.status_code == 422
    assert isinstance(found.json()["detail"], str)
    assert site.store.recall("gate", "armed") is None


# ---- events


def test_an_event_is_told_whole(ask, site):
    site.store.put(event(snapshot="snapshots/gate/e.jpg"))
    site.store.verdict(event().id, "false_alarm", "a cat")
    found = ask.get(f"/api/events/{event().id}").json()
    assert found["start"] == "2026-05-28T20:26:40Z"
    assert found["end"] == "2026-05-28T20:26:45Z"
    assert found["boxes"] == [{"x": 10, "y": 20, "w": 30, "h": 40}]
    assert found["snapshot"] == f"/api/events/{event().id}/snapshot.jpg"
    assert found["clip"] is None
    assert (found["verdict"], found["note"]) == ("false_alarm", "a cat")
    assert ISO.fullmatch(found["verdict_time"])
    assert found["streams"] == {"flow": 5.5}
    assert found["reasons"] == ["something moves fast"]


def test_an_open_event_has_no_end(ask, site):
    site.store.put(event(state="start", end_utc=None, ended=None))
    assert ask.get(f"/api/events/{event().id}").json()["end"] is None


def test_pages_give_every_event_once_the_newest_first(ask, site):
    for number in range(7):
        site.store.put(event(number))
    seen, cursor = [], None
    for _ in range(9):
        more = {} if cursor is None else {"cursor": cursor}
        page = ask.get("/api/events", params={"limit": 3, **more}).json()
        seen += [e["id"] for e in page["events"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == [event(number).id for number in reversed(range(7))]


def test_a_page_that_is_full_and_the_last_says_so(ask, site):
    for number in range(3):
        site.store.put(event(number))
    assert ask.get("/api/events?limit=3").json()["cursor"] is None


def test_events_are_chosen_by_camera_and_time(ask, site):
    for number in range(4):
        site.store.put(event(number, "yard" if number == 2 else "gate"))

    def ids(**wanted):
        return [e["id"] for e in ask.get("/api/events", params=wanted).json()["events"]]

    assert ids(camera="yard") == [event(2).id]
    assert ids(camera="attic") == []
    assert ids(since="2026-05-28T20:28:00Z") == [event(3).id, event(2).id]
    assert ids(until="2026-05-28T20:27:40Z") == [event(0).id]
    assert ids(since="2026-05-28T22:28:00+02:00", until="2026-05-28T20:29:00Z") == [event(2).id]


def test_events_of_one_severity_are_found_behind_a_page_of_the_other(ask, site):
    site.store.put(event(0))
    for number in range(1, 5):
        site.store.put(event(number, severity="detection"))
    page = ask.get("/api/events?severity=alert&limit=3").json()
    assert ([e["id"] for e in page["events"]], page["cursor"]) == ([event(0).id], None)
    assert len(ask.get("/api/events?severity=detection&limit=3").json()["events"]) == 3
    assert ask.get("/api/events?severity=loud").status_code == 422


@pytest.mark.parametrize(
    "wanted",
    [
        {"since": "2026-05-28T20:28:00"}, {"since": "yesterday"}, {"limit": 0}, {"limit": 100_000},
        {"until": "2026-05-28 20:28"},
    ],
    ids=["no zone", "no time", "none", "too many", "no zone either"],
)  # fmt: skip
def test_what_cannot_be_read_is_named(ask, wanted):
    found = ask.get("/api/events", params=wanted)
    assert found.status_code == 422
    assert next(iter(wanted)) in found.json()["detail"]


def test_an_unknown_event_is_404(ask):
    for path in ("", "/snapshot.jpg", "/clip"):
        assert ask.get(f"/api/events/1.0-nothing{path}").status_code == 404


# ---- files


def test_a_snapshot_is_given_with_and_without_boxes(ask, filmed):
    event_id = filmed[0]
    found = ask.get(f"/api/events/{event_id}/snapshot.jpg")
    assert (found.status_code, found.content) == (200, JPEG)
    assert found.headers["content-type"] == "image/jpeg"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert ask.get(f"/api/events/{event_id}/snapshot.jpg?plain=true").content == JPEG[::-1]


def test_a_clip_can_be_sought_in(ask, filmed):
    address = f"/api/events/{filmed[0]}/clip"
    whole = ask.get(address)
    assert (whole.status_code, whole.content) == (200, FILM)
    assert whole.headers["content-type"] == "video/webm"
    assert whole.headers["accept-ranges"] == "bytes"
    assert ask.get(f"{address}.webm").content == FILM
    part = ask.get(address, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, FILM[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(FILM)}"
    rest = ask.get(address, headers={"Range": f"bytes={len(FILM) - 10}-"})
    assert rest.content == FILM[-10:]
    beyond = ask.get(address, headers={"Range": f"bytes={len(FILM)}-"})
    assert beyond.status_code == 416


def test_a_clip_in_mp4_is_said_to_be_one(ask, site, filmed):
    filmed[2].rename(filmed[2].with_suffix(".mp4"))
    site.store.attach(filmed[0], clip="clips/gate/e.mp4")
    assert ask.get(f"/api/events/{filmed[0]}/clip").headers["content-type"] == "video/mp4"


def test_a_file_that_is_not_there_any_more_is_404(ask, filmed):
    filmed[2].unlink()
    found = ask.get(f"/api/events/{filmed[0]}/clip")
    assert found.status_code == 404
    assert "deleted" in found.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "../secret.webm", "clips/../../secret.webm", "{outside}/secret.webm", "clips/link.webm",
        "events.db", "clips", "", "clips/gate/e.webm\0.webm",
        "clips/circle.webm", f"clips/{'x' * 5000}.webm",
    ],
)  # fmt: skip
def test_nothing_but_films_of_the_store_is_given_out(ask, site, filmed, path):
    """Whatever a row says that somebody wrote by hand."""
    outside = site.store.folder.parent
    (outside / "secret.webm").write_bytes(b"secret")
    os.symlink(outside / "secret.webm", site.store.folder / "clips" / "link.webm")
    os.symlink("circle.webm", site.store.folder / "clips" / "circle.webm")
    site.store.attach(filmed[0], clip=path.format(outside=outside))
    found = ask.get(f"/api/events/{filmed[0]}/clip")
    assert found.status_code == 404
    assert b"secret" not in found.content


@pytest.mark.parametrize(
    "path",
    [
        "/api/events/../../secret/clip", "/api/events/..%2F..%2Fsecret/clip",
        "/api/events/%2e%2e/snapshot.jpg", "/api/../../etc/passwd", "//etc/passwd",
        "/api/events/%00/clip",
    ],
)  # fmt: skip
def test_no_address_leads_out(ask, path):
    assert ask.get(path).status_code == 404


# ---- gaps


def test_gaps_are_told_with_their_reason(ask, site):
    import time

    now = time.time()
    site.store.gap_begins("gate", now - 3600, "frozen")
    site.store.gap_ends("gate", now - 3500)
    site.store.gap_begins("yard", now - 60, "moved")
    old, new = ask.get("/api/gaps").json()
    assert (old["camera"], old["why"]) == ("gate", "frozen")
    assert ISO.fullmatch(old["start"])
    assert ISO.fullmatch(old["end"])
    assert (new["camera"], new["end"]) == ("yard", None)
    assert [g["camera"] for g in ask.get("/api/gaps?camera=yard").json()] == ["yard"]


def test_gaps_of_long_ago_have_to_be_asked_for(ask, site):
    site.store.gap_begins("gate", AT - 1e6, "lost")
    site.store.gap_ends("gate", AT - 1e6 + 10)
    assert ask.get("/api/gaps").json() == []
    found = ask.get("/api/gaps?since=2026-01-01T00:00:00Z&until=2026-05-20T00:00:00Z").json()
    assert [g["why"] for g in found] == ["lost"]


# ---- all of it


def test_a_store_that_cannot_be_read_is_503_with_words(ask, site):
    site.store.close()
    for path in ("/api/events", "/api/gaps", "/api/cameras"):
        found = ask.get(path)
        assert found.status_code == 503
        assert "is closed" in found.json()["detail"]


def test_every_answer_is_described(ask):
    schema = ask.get("/openapi.json").json()
    assert {
        "/api/cameras", "/api/cameras/{camera}", "/api/cameras/{camera}/armed", "/api/events",
        "/api/events/{event_id}", "/api/events/{event_id}/snapshot.jpg",
        "/api/events/{event_id}/clip", "/api/gaps", "/healthz", "/readyz", "/metrics",
    } <= set(schema["paths"])  # fmt: skip
    for path, methods in schema["paths"].items():
        for method, what in methods.items():
            assert what.get("description"), f"{method} {path}"
            [good] = [
                answer for status, answer in what["responses"].items() if status == "200"
            ] or [answer for status, answer in what["responses"].items() if status.startswith("2")]
            for kind, answer in good.get("content", {}).items():
                assert kind != "application/json" or answer["schema"], f"{method} {path}"


def test_the_description_is_a_page_that_needs_nobody_else(ask):
    page = ask.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for text in ("PUT /api/cameras/{camera}/armed", "peak_level", "cursor", "list of EventAnswer"):
        assert text in page.text
    assert not re.search(r"""<script|src=|url\(|(href|action)=["']?(https?:|//)""", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_pages_of_other_parts_are_behind_the_same_door(site):
    from fastapi import APIRouter
    from fastapi.testclient import TestClient

    from oddframe.web.app import make_app
    from oddframe.web.guard.auth import Access

    more = APIRouter()
    more.add_api_route("/wall", lambda: "wall")
    ask = TestClient(make_app(site, Access(False, "0.0.0.0", "x" * 20), [more]), "http://127.0.0.1")
    assert ask.get("/wall").status_code == 401
    assert ask.get("/wall", headers={"Authorization": f"Bearer {'x' * 20}"}).json() == "wall"
