"""/api: cameras that are added, jobs, RUNs; what is refused, and that no password comes back."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from fastapi.testclient import TestClient
from stub_run import write_stub
from stub_site import StubSite

from encoded import encode
from oddframe.errors import ConfigError, SourceError
from oddframe.runs import load_run
from oddframe.setup import probe
from oddframe.setup.footage import footage_folder
from oddframe.setup.job import Job
from oddframe.setup.known import Runs
from oddframe.web.api import setup
from oddframe.web.app import make_app
from oddframe.web.guard.auth import Access

SECRET = "geheim7"
ADDRESS = f"rtsp://viewer:{SECRET}@127.0.0.1:1/live"
AT = 1_780_000_000.0


class StubJobs:
    """Jobs of which none is done."""

    def __init__(self):
        self.known, self.refuses, self.forgotten, self.ending = {}, "", [], set()

    def list(self):
        return list(reversed(self.known.values()))

    def get(self, job):
        return self.known.get(job)

    def start(self, kind, camera, settings):
        if self.refuses:
            raise ConfigError(self.refuses)
        made = replace(Job.made(kind, camera, settings), created_utc=AT)
        self.known[made.id] = made
        return made

    def _change(self, job, state):
        if self.refuses:
            raise ConfigError(self.refuses)
        self.known[job] = replace(self.known[job], state=state)
        return self.known[job]

    def pause(self, job):
        return self._change(job, "paused")

    def resume(self, job):
        return self._change(job, "waiting")

    def cancel(self, job):
        return self._change(job, "cancelled")

    def forget(self, camera):
        self.forgotten.append(camera)

    def busy(self, camera):
        return camera in self.ending


class SetupSite(StubSite):
    """A site whose cameras come and go: `gate` is of its YAML, `yard` was added."""

    def __init__(self, folder):
        super().__init__(folder)
        for camera in self.engine.cameras.values():
            camera.fitted = camera.name == "gate"
        self.jobs = StubJobs()
        self.added, self.given, self.refuses = {}, [], ""

    def add(self, name, config):
        if self.refuses:
            raise ConfigError(self.refuses)
        self.added[name] = config
        cameras = {**self.config.cameras, name: config}
        self.config = self.config.model_copy(update={"cameras": cameras})

    def arm(self, camera, on):
        if camera not in self.config.cameras:
            raise ConfigError(f"There is no camera {camera!r}.")
        self.store.remember(camera, "armed", on)
        return on

    def remove(self, name):
        if name == "gate":
            raise ConfigError("Camera gate is in SITE.yaml.")
        self.engine.cameras = {n: c for n, c in self.engine.cameras.items() if n != name}

    def reassign(self, name, model):
        if self.refuses:
            raise ConfigError(self.refuses)
        self.given.append((name, model))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_stub(tmp_path_factory.mktemp("stub") / "RUN")


@pytest.fixture
def site(tmp_path, run):
    made = SetupSite(tmp_path)
    made.engine.cameras["gate"].detector = SimpleNamespace(info=SimpleNamespace(run=run))
    yield made
    made.store.close()


@pytest.fixture
def ask(site):
    return TestClient(make_app(site, Access(True, "127.0.0.1")), "http://127.0.0.1:8088")


@pytest.fixture
def film(tmp_path):
    return encode(tmp_path / "film.mp4", 5)


@pytest.fixture
def seen(monkeypatch):
    """Sources that were looked at; what looking at the next one raises."""
    found = SimpleNamespace(sources=[], raises=None)

    def look(source, seconds=0.0):
        found.sources.append(source)
        if found.raises:
            raise SourceError(found.raises)
        return SimpleNamespace(width=640, height=360)

    monkeypatch.setattr(probe, "look", look)
    return found


# ---- cameras


def test_a_camera_is_added_and_its_password_comes_back_nowhere(ask, site, seen, caplog):
    found = ask.post("/api/cameras", json={"name": "door", "source": ADDRESS})
    assert found.status_code == 201
    said = found.json()
    assert (said["camera"], said["stage"], said["width"], said["words"]) == (
        "door", "unfitted", 640, ""
    )  # fmt: skip
    assert said["source"].startswith("rtsp://127.0.0.1:1/…")
    assert seen.sources == [ADDRESS]
    assert site.added["door"].source == ADDRESS
    assert site.added["door"].detect.model is None
    assert not site.armed("door")
    for path in ("/api/cameras/door", "/api/jobs", "/api/runs", "/openapi.json"):
        assert SECRET not in ask.get(path).text
    assert SECRET not in found.text + caplog.text


@pytest.mark.parametrize("source", [0, "0", "/dev/video0"])
def test_a_webcam_is_a_number(ask, site, seen, source):
    assert ask.post("/api/cameras", json={"name": "door", "source": source}).status_code == 201
    assert site.added["door"].source == 0


def test_a_file_is_a_camera_and_relative_paths_begin_where_the_server_was_started(
    ask, site, film, monkeypatch
):
    monkeypatch.chdir(film.parent)
    wanted = {"name": "door", "source": "film.mp4", "realtime": False}
    found = ask.post("/api/cameras", json=wanted)
    assert found.status_code == 201
    assert (found.json()["width"], found.json()["height"]) == (160, 96)
    assert site.added["door"].source == str(film)
    assert site.added["door"].realtime is False
    found = ask.post("/api/cameras", json={**wanted, "name": "b", "source": "no.mp4"})
    assert found.status_code == 422
    assert "folder that the server was started in" in found.json()["detail"]


def test_what_cannot_be_opened_is_refused_in_the_readers_words_or_added_anyway(ask, site, seen):
    seen.raises = "rtsp://127.0.0.1:1/…aaaa cannot be opened: user or password are wrong."
    wanted = {"name": "door", "source": ADDRESS}
    found = ask.post("/api/cameras", json=wanted)
    assert found.status_code == 422
    assert "user or password are wrong" in found.json()["detail"]
    assert "anyway: true" in found.json()["detail"]
    assert not site.added
    found = ask.post("/api/cameras", json={**wanted, "anyway": True})
    assert found.status_code == 201
    assert found.json()["width"] == 0
    assert "password are wrong" in found.json()["words"]


def test_a_file_that_is_no_video_is_never_added(ask, site, tmp_path):
    (tmp_path / "no.mp4").write_text("no film")
    wanted = {"name": "door", "source": str(tmp_path / "no.mp4"), "anyway": True}
    found = ask.post("/api/cameras", json=wanted)
    assert found.status_code == 422
    assert "no.mp4" in found.json()["detail"]
    assert not site.added


@pytest.mark.parametrize(
    "source",
    [
        "", " ", "\x00", "rtsp://a/\nb", "rtsp://", "rtsp:///x", "file:///etc/passwd",
        "concat:a|b", "gopher://a/b", "rtsp://a b/c", "rtsp://a:99999/b", "rtsp://[::1/b",
        "-i /etc/passwd", "x" * 5000, "/dev/zero", "/etc/passwd", "99", -1, 64, 1.5, True, None,
        [], "\ud800", "subfile,,start,0,end,9,,:/etc/passwd", "rtsp:/viewer:geheim7@cam/1",
    ],
)  # fmt: skip
def test_a_source_that_is_none_is_refused(ask, site, source):
    body = json.dumps({"name": "door", "source": source, "anyway": True})
    found = ask.post("/api/cameras", content=body, headers={"content-type": "application/json"})
    assert found.status_code == 422, found.text
    assert not site.added
    assert SECRET not in found.text


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": "a b"}, {"name": "../x"}, {"name": "x" * 65}, {"name": "door\n"},
        {"name": 5}, {"more": 1}, {"anyway": "yes"},
    ],
)  # fmt: skip
def test_a_body_that_is_not_understood_is_refused(ask, site, seen, change):
    body = {"name": "door", "source": ADDRESS, **change}
    assert ask.post("/api/cameras", json=body).status_code == 422
    assert not site.added


def test_a_camera_that_is_there_is_409(ask, site, seen):
    assert ask.post("/api/cameras", json={"name": "gate", "source": 0}).status_code == 409
    assert not seen.sources
    site.refuses = "There is a camera door already."
    found = ask.post("/api/cameras", json={"name": "door", "source": 0})
    assert found.status_code == 409
    assert "already" in found.json()["detail"]


def test_sources_are_looked_at_a_few_at_a_time(ask, site, seen, monkeypatch):
    monkeypatch.setattr(probe, "LOOK_S", 0.05)
    routes = setup.Setup(site)
    for _ in range(setup.AT_ONCE):
        routes._looking.acquire()
    with pytest.raises(Exception, match="409"):
        routes._seen(0, False)
    routes._looking.release()
    assert routes._seen(0, False) == (640, 360, "")


def test_a_source_that_hangs_is_given_up():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, says nothing
        address = f"rtsp://u:{SECRET}@127.0.0.1:{server.getsockname()[1]}/x"
        began = time.monotonic()
        with pytest.raises(SourceError) as found:
            probe.look(address, 0.5)
    assert time.monotonic() - began < 5
    assert SECRET not in str(found.value)


def test_a_camera_is_removed_with_its_jobs_and_its_recordings_where_asked(ask, site):
    assert ask.delete("/api/cameras/attic").status_code == 404
    found = ask.delete("/api/cameras/gate")
    assert found.status_code == 409
    assert "SITE.yaml" in found.json()["detail"]
    folder = footage_folder(site.store.folder, "yard")
    folder.mkdir(parents=True)
    kept = encode(folder / "2026-01-31T18-00-00Z.mp4", 5)
    found = ask.delete("/api/cameras/yard?footage=true")
    assert found.json() == {"camera": "yard", "removed": True}
    assert site.jobs.forgotten == ["yard"]
    assert not kept.exists()


def test_what_is_recorded_is_told_and_deleted(ask, site):
    assert ask.get("/api/cameras/attic/footage").status_code == 404
    folder = footage_folder(site.store.folder, "yard")
    assert ask.get("/api/cameras/yard/footage").json() == {
        "camera": "yard", "minutes": 0, "files": 0, "bytes": 0, "newest": None
    }  # fmt: skip
    folder.mkdir(parents=True)
    encode(folder / "2026-01-31T18-00-00Z.mp4", 75)
    found = ask.get("/api/cameras/yard/footage").json()
    assert (found["minutes"], found["files"]) == (0.05, 1)
    assert found["newest"].endswith("Z")
    job = site.jobs.start("record", "yard", {"minutes": 1.0})
    assert ask.delete("/api/cameras/yard/footage").status_code == 409
    site.jobs.cancel(job.id)
    site.jobs.ending.add("yard")  # it would write its last file behind
    assert "still writes" in ask.delete("/api/cameras/yard/footage").json()["detail"]
    site.jobs.ending.clear()
    assert ask.delete("/api/cameras/yard/footage").json()["files"] == 0
    assert not folder.exists()


# ---- jobs


@pytest.mark.parametrize(
    ("kind", "body", "settings"),
    [
        ("record", {"minutes": 30}, {"minutes": 30}),
        ("fit", {"minutes": 8}, {"minutes": 8, "model": "m2s2l-edge", "settings": []}),
        ("fit", {"minutes": 8, "model": "m2s2l"}, {"model": "m2s2l"}),
        ("calibrate", {"alarms_per_day": 0.5}, {"alarms_per_day": 0.5, "minutes": 30}),
    ],
)
def test_a_job_is_started(ask, site, kind, body, settings):
    found = ask.post(f"/api/cameras/gate/{kind}", json=body)
    assert found.status_code == 202
    said = found.json()
    assert (said["kind"], said["camera"], said["state"]) == (kind, "gate", "waiting")
    assert said["created"] == "2026-05-28T20:26:40Z"
    assert said["alarms_per_day"] == body.get("alarms_per_day")
    known = site.jobs.get(said["id"])
    assert dict(known.settings) == {**known.settings, **settings}
    assert ask.get(f"/api/jobs/{said['id']}").json() == said
    assert ask.get("/api/jobs").json() == [said]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("record", {}), ("record", {"minutes": 0}), ("record", {"minutes": -1}),
        ("record", {"minutes": 1e9}), ("record", {"minutes": "5"}), ("record", {"minutes": True}),
        ("record", {"minutes": 5, "source": "rtsp://x/y"}), ("record", []), ("record", None),
        ("fit", {"minutes": 5, "model": "none"}), ("fit", {"minutes": 5, "model": "../x"}),
        ("fit", {"minutes": 5, "settings": ["a.b=c"]}), ("fit", {"model": "m2s2l"}),
        ("calibrate", {"alarms_per_day": 0}), ("calibrate", {"alarms_per_day": 1e308}),
        ("calibrate", {}),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_422(ask, site, kind, body):
    found = ask.post(f"/api/cameras/gate/{kind}", json=body)
    assert found.status_code == 422
    assert isinstance(found.json()["detail"], str)
    assert not site.jobs.known


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_422(ask, text):
    found = ask.post("/api/cameras/gate/record", content=f'{{"minutes": {text}}}',
                     headers={"content-type": "application/json"})  # fmt: skip
    assert found.status_code == 422


def test_a_job_is_paused_resumed_and_cancelled(ask, site):
    job = site.jobs.start("fit", "gate", {"minutes": 5.0})
    for change, state in (("pause", "paused"), ("resume", "waiting"), ("cancel", "cancelled")):
        found = ask.post(f"/api/jobs/{job.id}/{change}")
        assert (found.status_code, found.json()["state"]) == (200, state)
    site.jobs.refuses = "This fit is cancelled."
    found = ask.post(f"/api/jobs/{job.id}/pause")
    assert (found.status_code, found.json()["detail"]) == (409, site.jobs.refuses)


@pytest.mark.parametrize("job", ["x", "..", "%00", "%ff", "20260528T202640-aaaaaa", "x" * 999])
def test_jobs_cameras_and_runs_that_are_not_there_are_404(ask, job):
    for path in (f"/api/jobs/{job}", f"/api/runs/{job}", f"/api/runs/{job}/selftest.png"):
        assert ask.get(path).status_code in (404, 422), path
    assert ask.post(f"/api/jobs/{job}/pause").status_code in (404, 422)
    body = {"minutes": 5}
    assert ask.post(f"/api/cameras/{job}/record", json=body).status_code in (404, 422)


def test_what_the_jobs_refuse_is_409_and_without_them_it_is_503(ask, site):
    site.jobs.refuses = "Nothing is recorded of gate."
    found = ask.post("/api/cameras/gate/fit", json={"minutes": 5})
    assert (found.status_code, found.json()["detail"]) == (409, site.jobs.refuses)
    site.jobs = None
    assert ask.get("/api/jobs").status_code == 503
    assert ask.post("/api/cameras/gate/record", json={"minutes": 5}).status_code == 503
    assert ask.get("/api/runs").status_code == 200


# ---- RUNs


@pytest.fixture
def made(site, run):
    """A RUN of the store: with a curve, a self-test, a calibration and a table."""
    folder = Path(shutil.copytree(run, site.store.folder / "runs" / "gate-1"))
    rows = "".join(f"{i},1.0,{i},0.1,{1 / (i + 1)}\n" for i in range(1000))
    (folder / "train.csv").write_text(f"step,epoch,elapsed_s,lr,loss\n{rows}999,half a l")
    card = json.loads((folder / "model.json").read_text())
    kinds = {k: {"said": k, "seen": 0.5, "auc": 0.9, "zones": {"near": 0.5}} for k in
             ("fast", "stays", "against", "shape", "falls", "normal")}  # fmt: skip
    from oddframe.scoring.selftest import ODD

    kinds = {k: kinds["fast"] for k in (*ODD, "normal")}
    card["training"] = {
        "frames": 4000, "minutes": 8.0,
        "selftest": {"clips": 24, "frames": 24, "things": 3, "mean_auc": 0.9, "kinds": kinds},
    }  # fmt: skip
    card["calibration"] = {
        "threshold": 6.6, "alarms_per_day": 1.0, "provisional": True, "hours": 0.05,
        "text": "threshold 6.6", "count_high": None, "evidence": {"secret": 1},
        "modes": {"day": {"threshold": 6.0, "hours": 1.0, "share": 1.0, "evidence": 1}},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(card))
    (folder / "selftest.png").write_bytes(b"\x89PNG")
    row = {"method": "m", "protocol": "deploy", "auc": 0.9, "protocol_text": "deploy: causal"}
    (folder / "rows.json").write_text(json.dumps({"rows": [row, {"method": "x"}]}))
    (folder / "other.json").write_text("{")
    return folder


def test_runs_are_told(ask, site, made, run):
    (site.store.folder / "runs" / "unfinished").mkdir()
    (site.store.folder / "runs" / ".hidden").mkdir()
    first, second = ask.get("/api/runs").json()
    assert (first["name"], first["run"], first["model"]) == ("gate-1", "gate-1", "m2s2l-edge")
    assert (first["frames"], first["minutes"], first["threshold"]) == (4000, 8.0, 6.6)
    assert (first["provisional"], first["cameras"], first["finished"]) == (True, [], True)
    assert first["created"].endswith("Z")
    assert (second["name"], second["cameras"]) == ("RUN", ["gate"])
    assert second["threshold"] == load_run(run).threshold
    assert str(site.store.folder) not in json.dumps([first, second])


def test_one_run_has_its_curve_selftest_calibration_and_tables(ask, made):
    found = ask.get("/api/runs/gate-1").json()
    assert len(found["loss"]) == 400
    assert found["loss"][-1][0] == 999
    assert found["loss"][0][1] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3, rel=1e-3)
    assert found["selftest"]["mean_auc"] == 0.9
    assert "made anomalies in 24 clips" in found["selftest"]["text"]
    assert found["calibration"]["threshold"] == 6.6
    assert found["calibration"]["modes"] == {"day": {"threshold": 6.0, "hours": 1.0, "share": 1.0}}
    assert "evidence" not in json.dumps(found)
    assert [row["protocol_text"] for row in found["tables"]] == ["deploy: causal"]
    picture = ask.get(found["selftest_picture"])
    assert (picture.content, picture.headers["content-type"]) == (b"\x89PNG", "image/png")


def test_a_run_that_is_still_learned_has_its_curve(ask, site, made):
    job = site.jobs.start("fit", "gate", {"minutes": 5.0})
    site.jobs.known[job.id] = replace(job, run="gate-2", text="learning: step 7", started_utc=AT)
    folder = site.store.folder / "runs" / "gate-2"
    folder.mkdir()
    (folder / "train.csv").write_text("step,epoch,elapsed_s,lr,loss\n0,0,1,0.1,nan\n1,0,2,0.1,0.5")
    listed = {r["name"]: r for r in ask.get("/api/runs").json()}
    assert listed["gate-2"]["finished"] is False
    assert listed["gate-2"]["text"] == "learning: step 7"
    found = ask.get("/api/runs/gate-2").json()
    assert found["loss"] == [[1, 0.5]]
    assert found["calibration"] is None


def test_a_run_is_given_to_a_camera(ask, site, made, run):
    found = ask.put("/api/cameras/yard/model", json={"run": "gate-1"})
    assert found.json() == {"camera": "yard", "run": "gate-1"}
    assert ask.put("/api/cameras/yard/model", json={"run": "RUN"}).status_code == 200
    assert site.given == [("yard", str(made)), ("yard", str(run))]
    for name in ("..", "../runs/gate-1", str(made), "none", "gate-1/", "\x00"):
        assert ask.put("/api/cameras/yard/model", json={"run": name}).status_code == 404, name
    assert ask.put("/api/cameras/attic/model", json={"run": "gate-1"}).status_code == 404
    site.refuses = "It has no threshold."
    found = ask.put("/api/cameras/yard/model", json={"run": "gate-1"})
    assert (found.status_code, found.json()["detail"]) == (409, "It has no threshold.")
    assert len(site.given) == 2


@pytest.mark.parametrize("called", ["RUN", "R" * 120], ids=["short", "long"])
def test_the_name_of_a_run_is_the_same_whichever_others_there_are(
    site, made, run, tmp_path, called
):
    """Two folders of one name, and one in the store: a page that is open gives the one it shows."""
    for place in ("a", "b"):
        shutil.copytree(run, tmp_path / place / called)
    names = dict[str, set[str]]()
    for order in (("a", "b"), ("b", "a"), ("b", None)):
        for camera, place in zip(site.engine.cameras.values(), order, strict=True):
            info = SimpleNamespace(run=tmp_path / str(place) / called)
            camera.fitted, camera.detector = place is not None, SimpleNamespace(info=info)
        for name, path in Runs(site).all().items():
            names.setdefault(name, set()).add(str(path))
    assert len([name for name in names if re.fullmatch("R[UNR]+-[0-9a-f]{4}", name)]) == 2
    assert all(len(paths) == 1 for paths in names.values())


def test_a_damaged_run_is_not_told(ask, made):
    (made / "model.json").write_text("{")
    assert [r["name"] for r in ask.get("/api/runs").json()] == ["RUN"]
    assert ask.get("/api/runs/gate-1").status_code == 404


def test_every_status_is_described(ask):
    paths = ask.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        if "/jobs" in path or "/runs" in path or path.endswith(("record", "fit", "calibrate")):
            for what in methods.values():
                assert "422" in what["responses"] or not what.get("parameters"), path
    assert "409" in paths["/api/cameras"]["post"]["responses"]
