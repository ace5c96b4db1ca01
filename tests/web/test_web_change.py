"""What a person changes of a camera over HTTP: zones, masks, the threshold, at what cost."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from stub_run import write_stub

from oddframe.calibration.calibrate import calibrate
from oddframe.calibration.rate import by_hand, rate_at
from oddframe.cli.watch import promises
from oddframe.runtime.watch.at_work import AtWork
from oddframe.runtime.watch.site import CameraConfig, SiteConfig
from oddframe.web.app import make_app
from oddframe.web.guard.auth import Access

BASE = "http://127.0.0.1:8088"
TRIANGLE = [[0, 0], [1, 0], [1, 1]]


def scores(seed, hours, level=1.0):
    """One score a second."""
    return level * np.random.default_rng(seed).gamma(2.0, 0.5, int(3600 * hours))


@pytest.fixture(scope="module")
def known():
    """A calibration of 26 hours, with its evidence."""
    return calibrate([scores(1, 26)], 1.0, 1.0)


@pytest.fixture(scope="module")
def lights():
    """One of two lights, of which infrared is louder."""
    day, night = scores(2, 12), scores(3, 12, 3.0)
    modes = [np.full(len(day), "colour"), np.full(len(night), "infrared")]
    return calibrate([day, night], 1.0, 1.0, modes=modes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`run(calibration)`: a RUN that was calibrated so."""
    folder = tmp_path_factory.mktemp("runs")

    def make(name, calibration):
        path = folder / name
        if not path.exists():
            write_stub(path)
            card = json.loads((path / "model.json").read_text())
            card["calibration"] = calibration
            (path / "model.json").write_text(json.dumps(card))
        return str(path)

    return make


@pytest.fixture
def config(tmp_path, run, known):
    zones = {"stairs": TRIANGLE}
    return SiteConfig.read({
        "store": {"path": tmp_path / "store"},
        "cameras": {
            "gate": {"source": 0, "detect": {"model": run("known", known)}, "zones": zones},
            "bare": {"source": 1},
        },
    })  # fmt: skip


@pytest.fixture
def work(config):
    with AtWork(config) as made:
        yield made


@pytest.fixture
def ask(work):
    return TestClient(make_app(work, Access(True, "127.0.0.1")), BASE)


# ---- places


def test_places_are_drawn_anew_and_kept(ask, work, config):
    found = ask.get("/api/cameras/gate/places").json()
    assert found["zones"] == [
        {"name": "stairs", "points": TRIANGLE, "unit": "relative", "severity": "alert",
         "alert_level": None}
    ]  # fmt: skip
    assert found["mask"] == []
    assert (found["width"], found["height"]) == (0, 0)
    drawn = {"name": "path", "points": TRIANGLE, "severity": "detection", "alert_level": 2.5}
    answer = ask.put("/api/cameras/gate/zones", json={"zones": [drawn]})
    assert answer.status_code == 200
    assert [z["name"] for z in answer.json()["zones"]] == ["path"]
    assert work.engine.cameras["gate"].desk.tracker.zones[0].severity == "detection"
    bare = {"points": [[0, 0], [64, 0], [64, 9]], "unit": "pixels"}
    assert ask.put("/api/cameras/gate/mask", json={"mask": [bare]}).status_code == 200
    again = ask.get("/api/cameras/gate/places").json()
    assert [m["unit"] for m in again["mask"]] == ["pixels"]
    assert ask.get("/api/cameras/gate").json()["zones"] == ["path"]
    assert ask.put("/api/cameras/bare/mask", json={"mask": [bare]}).status_code == 200
    work.close()
    with AtWork(config) as later:
        assert [z.name for z in later.config.cameras["gate"].zones] == ["path"]
        assert len(later.config.cameras["bare"].mask) == 1


REFUSED = [
    ({"name": "a", "points": [[0, 0], [2, 0], [1, 1]]}, "from 0 to 1"),
    ({"name": "a", "points": [[0, 0], [0.5, 0.5], [1, 1]]}, "on one line"),
    ({"name": "a", "points": TRIANGLE, "alert_level": 0.5}, "below raise_level"),
    ({"name": "a", "points": TRIANGLE[:2]}, "points"),
    ({"name": "", "points": TRIANGLE}, "name"),
    ({"name": "a\nb", "points": TRIANGLE}, "name"),
    ({"name": "a", "points": TRIANGLE, "severity": "loud"}, "severity"),
    ({"name": "a", "points": TRIANGLE, "colour": "red"}, "colour"),
    ({"name": "a", "points": [[0, 0], [1e308, 0], [1, 1e308]], "unit": "pixels"}, "points"),
    ({"name": "a", "points": [[0, 0], ["x", 0], [1, 1]]}, "points"),
    ({"name": "a", "points": [[0, 0, 0], [1, 0], [1, 1]]}, "points"),
    ({"name": "a", "points": TRIANGLE * 100}, "points"),
]
"""A zone that no site would take, and what is said of it."""


def test_what_no_site_would_take_is_refused_and_changes_nothing(ask, work):
    for zone, said in REFUSED:
        answer = ask.put("/api/cameras/gate/zones", json={"zones": [zone]})
        assert answer.status_code == 422, said
        assert said in answer.json()["detail"]
    assert [z.name for z in work.config.cameras["gate"].zones] == ["stairs"]
    assert not work.edits.path.exists()


def test_two_zones_of_one_name_and_too_many_are_refused(ask):
    zone = {"name": "a", "points": TRIANGLE}
    for zones in ([zone, zone], [{**zone, "name": str(i)} for i in range(65)]):
        answer = ask.put("/api/cameras/gate/zones", json={"zones": zones})
        assert answer.status_code == 422


# ---- what it would cost


def test_the_rate_at_the_threshold_is_the_one_it_was_found_for(ask, known):
    found = ask.get("/api/cameras/gate/rate", params={"threshold": known["threshold"]}).json()
    assert found["alarms_per_day"] == pytest.approx(1.0, rel=0.5)
    assert found["low"] < found["alarms_per_day"] < found["high"]
    assert not found["provisional"]
    assert "alarms a day" in found["text"]


def test_a_lower_threshold_costs_more_and_out_of_range_there_are_bounds_in_words(ask):
    found = [
        ask.get("/api/cameras/gate/rate", params={"threshold": x}).json()
        for x in (0.01, 2, 5, 6, 7, 8, 12, 100, 1e6)
    ]
    rates = [f["alarms_per_day"] for f in found]
    assert rates == sorted(rates, reverse=True)
    assert all(f["low"] <= f["alarms_per_day"] <= f["high"] for f in found)
    assert found[0]["text"].startswith("more than ")
    assert found[-1]["text"].startswith("fewer than 0.01 alarms a day")
    assert "above all peaks of 26.0 h" in found[-1]["text"]
    assert max(f["high"] for f in found) <= 8640, "alarms are ten seconds apart"
    for wrong in ("0", "-1", "nan", "inf", "1e7", "x", ""):
        assert ask.get(f"/api/cameras/gate/rate?threshold={wrong}").status_code == 422


def test_the_rate_is_what_is_counted_on_other_days(known):
    """Of the same kind of days, at several thresholds: within the interval, mostly."""
    later = scores(9, 24 * 6)
    held = []
    for threshold in (4.5, 5.0, 5.5, 6.0, 6.5, 7.0):
        above = np.flatnonzero(later > threshold)
        counted = 1 + np.count_nonzero(np.diff(above) > 10) if above.size else 0
        rate = rate_at(known, threshold)
        held.append(rate.low <= counted / 6 <= rate.high)
    assert sum(held) >= 5


def test_little_footage_is_provisional_and_none_says_nothing():
    short = rate_at(calibrate([scores(4, 1)], 1.0, 1.0), 6.0)
    assert short.provisional
    assert "provisional, from 1.0 h" in short.text
    deep = rate_at(calibrate([scores(4, 1)], 1.0, 1.0), 50.0)
    assert deep.per_day < 0.01 < deep.high, "an hour does not say that it never happens"
    for nothing in ({"threshold": 3.0}, calibrate([scores(5, 0.01)], 1.0, 1.0)):
        found = rate_at(nothing, 5.0)
        assert found.per_day is found.low is found.high is None
        assert "calibrate on hours" in found.text


def test_each_light_has_its_rate(lights):
    day, night = (rate_at(lights, 9.0, light) for light in ("colour", "infrared"))
    assert day.per_day < 0.1 < 10 < night.per_day
    assert night.text.count("in 24 hours of infrared") == 1
    assert rate_at(lights, 9.0, "moonlight").light is None


# ---- another threshold


def test_a_threshold_is_set_and_undone(ask, work, known, config):
    before = ask.get("/api/cameras/gate").json()
    assert before["threshold"] == pytest.approx(known["threshold"])
    assert "half and twice the RUN's" in before["threshold_text"]
    assert not before["threshold_undoable"]
    answer = ask.put("/api/cameras/gate/threshold", json={"threshold": 5.0})
    assert answer.status_code == 200
    assert answer.json()["threshold"] == 5.0
    assert answer.json()["undoable"]
    assert ask.get("/api/cameras/gate").json()["threshold_undoable"]
    text = answer.json()["text"]
    assert text.startswith("threshold 5, set by hand")
    assert "never beyond 2.5 to 10: half and twice what was set by hand" in text
    assert ask.get("/api/cameras/gate").json()["threshold"] == 5.0
    (row,) = ask.get("/api/cameras/gate/thresholds").json()
    assert row["threshold"] == 5.0
    assert "set by hand" in row["why"]
    assert row["low"] < row["high"]
    assert row["created"].endswith("Z")
    work.close()
    with AtWork(config) as later:
        asked = TestClient(make_app(later, Access(True, "127.0.0.1")), BASE)
        assert asked.get("/api/cameras/gate").json()["threshold"] == 5.0
        (said,) = (line for line in promises(later) if line.startswith("gate: "))
        assert "threshold 5, set by hand" in said, "what is said at the start is of now"
        back = asked.post("/api/cameras/gate/threshold/undo")
        assert back.json()["threshold"] == pytest.approx(known["threshold"])
        assert not back.json()["undoable"]
        assert len(asked.get("/api/cameras/gate/thresholds").json()) == 2
        nothing = asked.post("/api/cameras/gate/threshold/undo")
        assert nothing.status_code == 409
        assert "nothing to undo" in nothing.json()["detail"]


def test_thresholds_that_are_none_are_refused(ask, work, known):
    for wrong in (
        {"threshold": 0.4}, {"threshold": 0}, {"threshold": 1e9}, {"threshold": None},
        {"threshold": "x"}, {}, {"threshold": 5, "more": 1}, {"threshold": 5, "light": "colour"},
        {"threshold": 5, "light": "dusk"},
    ):  # fmt: skip
        assert ask.put("/api/cameras/gate/threshold", json=wrong).status_code == 422, wrong
    for text in ('{"threshold": NaN}', '{"threshold": Infinity}', "[" * 10_000, "\x00"):
        answer = ask.put("/api/cameras/gate/threshold", content=text.encode(),
                         headers={"Content-Type": "application/json"})  # fmt: skip
        assert answer.status_code in (400, 422), text[:20]
    assert work.engine.cameras["gate"].threshold_now == pytest.approx(known["threshold"])


def test_without_a_run_there_is_no_threshold_and_no_such_camera_is_404(ask):
    for method, path, body in (
        ("GET", "rate?threshold=3", None),
        ("PUT", "threshold", {"threshold": 3}),
        ("POST", "threshold/undo", None),
    ):
        answer = ask.request(method, f"/api/cameras/bare/{path}", json=body)
        assert answer.status_code == 409
        assert "no RUN yet" in answer.json()["detail"]
        assert ask.request(method, f"/api/cameras/none/{path}", json=body).status_code == 404
    assert ask.get("/api/cameras/bare/thresholds").json() == []
    bare = ask.get("/api/cameras/bare").json()
    assert bare["stage"] == "unfitted"
    assert bare["threshold"] is bare["light"] is None
    assert bare["model"] == bare["run"] == bare["run_name"] == bare["threshold_text"] == ""
    for path in ("places", "thresholds"):
        assert ask.get(f"/api/cameras/none/{path}").status_code == 404
    for path, body in (("zones", {"zones": []}), ("mask", {"mask": []})):
        assert ask.put(f"/api/cameras/none/{path}", json=body).status_code == 404


def test_metrics_know_cameras_that_come_and_go(ask, work, run, known):
    assert 'oddframe_source_up{camera="bare"}' in ask.get("/metrics").text
    work.add("late", CameraConfig(source=2))
    assert 'oddframe_source_up{camera="late"}' in ask.get("/metrics").text
    late = next(c for c in ask.get("/api/cameras").json() if c["camera"] == "late")
    assert late["added"]
    work.reassign("late", run("known", known))
    assert ask.get("/api/cameras/late").json()["model"] == "m2s2l-edge"
    work.remove("late")
    assert 'camera="late"' not in ask.get("/metrics").text
    assert ask.get("/api/cameras/late").status_code == 404


def test_a_light_has_a_threshold_by_hand(tmp_path, run, lights):
    config = SiteConfig.read({
        "store": {"path": tmp_path / "lit"},
        "cameras": {"gate": {"source": 0, "detect": {"model": run("lights", lights)}}},
    })  # fmt: skip
    with AtWork(config) as work:
        ask = TestClient(make_app(work, Access(True, "127.0.0.1")), BASE)
        unseen = ask.put("/api/cameras/gate/threshold", json={"threshold": 9})
        assert unseen.status_code == 422
        assert "not been seen yet" in unseen.json()["detail"]
        night = {"threshold": 19.0, "light": "infrared"}
        answer = ask.put("/api/cameras/gate/threshold", json=night).json()
        assert (answer["threshold"], answer["light"]) == (19.0, "infrared")
        own = work.engine.cameras["gate"].threshold
        assert own.at("infrared") == 19.0
        assert own.at("colour") == pytest.approx(lights["modes"]["colour"]["threshold"])
        assert "19 in infrared (by hand)" in own.text
        row = ask.get("/api/cameras/gate/thresholds").json()[0]
        assert (row["threshold"], row["light"]) == (19.0, "infrared")
        assert row["hours"] == pytest.approx(lights["modes"]["infrared"]["hours"])
        rate = ask.get("/api/cameras/gate/rate?threshold=19&light=infrared").json()
        assert rate["light"] == "infrared"


def test_a_light_that_was_not_seen_may_be_given_one(lights):
    one = {**lights, "modes": dict.fromkeys(("colour", "dusk"), lights["modes"]["colour"])}
    found = by_hand(one, 7.0, "infrared")
    assert found["modes"]["infrared"]["threshold"] == 7.0
    assert found["modes"]["infrared"]["share"] == 0
    assert "7 in infrared (by hand)" in found["text"]
    assert found["count_high"] is not None
