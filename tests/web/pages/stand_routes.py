"""The routes of the stand-in: the API of a site, from what `stand_site` makes up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stand_site as made
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from stand_pictures import jpeg
from stand_site import Json, z

if TYPE_CHECKING:
    from stand import Stand


def add_routes(app: FastAPI, stand: Stand) -> None:
    """All but the socket."""
    for routes in (_cameras, _events, _setup, _system):
        routes(app, stand)


def problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)


def _cameras(app: FastAPI, stand: Stand) -> None:
    @app.get("/api/cameras")
    def cameras() -> Any:
        return list(stand.cameras.values())

    @app.get("/api/cameras/{name}")
    def camera(name: str) -> Any:
        return stand.cameras.get(name) or problem(404, "There is no such camera.")

    @app.put("/api/cameras/{name}/armed")
    def arm(name: str, body: Json) -> Any:
        stand.cameras[name]["armed"] = body["armed"]
        return {"camera": name, "armed": body["armed"]}

    @app.get("/api/cameras/{name}/recent")
    def recent(name: str, seconds: float = 120) -> Any:
        return made.recent(name, seconds)

    @app.get("/api/cameras/{name}/places")
    def places(name: str) -> Any:
        own = name == "gate"
        return {"width": 480, "height": 270, "zones": stand.zones if own else [],
                "mask": stand.mask if own else []}  # fmt: skip

    @app.put("/api/cameras/{name}/zones")
    def zones(name: str, body: Json) -> Any:
        stand.asked.append({"zones": body["zones"]})
        stand.zones = body["zones"]
        return body

    @app.put("/api/cameras/{name}/mask")
    def mask(name: str, body: Json) -> Any:
        stand.asked.append({"mask": body["mask"]})
        stand.mask = body["mask"]
        return body

    @app.get("/api/cameras/{name}/rate")
    def rate(threshold: float) -> Any:
        return made.rate(threshold)

    @app.put("/api/cameras/{name}/threshold")
    def threshold(name: str, body: Json) -> Any:
        stand.asked.append({"threshold": body["threshold"]})
        row = made.past(body["threshold"], made.now(), "set by hand")
        stand.history.insert(0, row)
        stand.cameras[name] |= {"threshold": body["threshold"], "threshold_undoable": True}
        return {"threshold": body["threshold"], "undoable": True}

    @app.post("/api/cameras/{name}/threshold/undo")
    def undo(name: str) -> Any:
        stand.history.pop(0)
        again, more = stand.history[0]["threshold"], len(stand.history) > 1
        stand.cameras[name] |= {"threshold": again, "threshold_undoable": more}
        return {"threshold": again, "undoable": more}

    @app.get("/api/cameras/{name}/thresholds")
    def thresholds(name: str) -> Any:
        return stand.history

    @app.get("/api/scores")
    def scores(request: Request) -> Any:
        q = request.query_params
        begin, end, step = made._s(q["from"]), made._s(q["to"]), float(q["step"])
        points = made.scores(q["camera"], begin, end, step)
        return {"camera": q["camera"], "step_s": step, "points": points}

    @app.get("/api/gaps")
    def gaps(camera: str = "") -> Any:
        if camera not in ("", "lobby"):
            return []
        end = made.AT - 30000
        return [
            {"camera": "lobby", "start": z(end - 9000), "end": z(end), "why": "down: timeout"},
            {"camera": "lobby", "start": z(made.AT - 1380), "end": None, "why": "down: timeout"},
        ]


def _events(app: FastAPI, stand: Stand) -> None:
    @app.get("/api/events")
    def events(request: Request) -> Any:
        q = request.query_params
        found = sorted(stand.events.values(), key=lambda e: e["start"], reverse=True)
        for key in ("camera", "verdict", "severity"):
            if q.get(key):
                wanted = None if q[key] == "none" else q[key]
                found = [e for e in found if e[key] == wanted]
        if q.get("since"):
            found = [e for e in found if (e["end"] or e["start"]) >= z(made._s(q["since"]))]
        if q.get("until"):
            found = [e for e in found if e["start"] < z(made._s(q["until"]))]
        if q.get("cursor"):
            found = found[[e["id"] for e in found].index(q["cursor"]) + 1 :]
        page = found[: int(q.get("limit", 100))]
        return {"events": page, "cursor": page[-1]["id"] if len(found) > len(page) else None}

    @app.get("/api/events/{key}")
    def event(key: str) -> Any:
        return stand.events.get(key) or problem(404, "There is no such event.")

    def shot(key: str) -> tuple[Json, Any]:
        found = stand.events[key]
        images = stand.images[found["camera"]]
        return found, images[int(key[-6:], 16) % len(images)]

    @app.get("/api/events/{key}/snapshot.jpg")
    def snapshot(key: str, plain: bool = False) -> Response:
        found, image = shot(key)
        scale = image.shape[1] / 480
        boxes = [{k: round(v * scale) for k, v in b.items()} for b in found["boxes"]]
        return Response(jpeg(image, boxes=None if plain else boxes), media_type="image/jpeg")

    @app.get("/api/events/{key}/nearest.jpg")
    def nearest(key: str) -> Response:
        return Response(jpeg(shot(key)[1]), media_type="image/jpeg")

    @app.get("/api/events/{key}/clip")
    def clip(key: str) -> Response:
        return Response(stand.film, media_type="video/webm")

    @app.get("/api/events/{key}/why")
    def why(key: str) -> Any:
        found = stand.events[key]
        t = made._s(found["peak"])
        level = [[t + i / 2, 0.3 + 2.0 * 2.7 ** -(((i - 2) / 9) ** 2)] for i in range(-60, 60)]
        streams = [
            {"name": "flow", "z": 5.5, "words": found["reasons"][0]},
            {"name": "way", "z": 2.1, "words": "a way that hardly anything takes here"},
            {"name": "frame", "z": 0.6, "words": "looks like what is seen here"},
        ]
        near = {
            "snapshot": f"/api/events/{key}/nearest.jpg", "t": z(t - 70000), "level": 0.62,
            "words": "looks alike, at the same place", "kind": "no_alarm", "same_place": True,
        }  # fmt: skip
        return {"streams": streams, "level": level, "nearest": near}

    @app.post("/api/events/{key}/verdict")
    def verdict(key: str, body: Json) -> Any:
        stand.asked.append({"event": key, **body})
        found = stand.events[key]
        found.update(verdict=body["verdict"], note=body.get("note", ""))
        found["verdict_time"] = z(made.now()) if body["verdict"] else None
        learned = "What is like it raises no alarm from now on."
        return {**found, "exemplar": None, "learned": learned if body["verdict"] else ""}

    @app.get("/api/cameras/{name}/exemplars")
    def exemplars(name: str) -> Any:
        return stand.exemplars

    @app.delete("/api/exemplars/{key}")
    def forget(key: int) -> Any:
        stand.exemplars = [e for e in stand.exemplars if e["id"] != key]
        return Response(status_code=204)

    @app.get("/api/judged")
    def judged() -> Any:
        weeks = [
            {"week": f"2026-W{w}", "real": r, "false_alarm": f, "precision": r / (r + f)}
            for w, r, f in ((19, 4, 7), (20, 6, 5), (21, 7, 2))
        ]
        recall = {"kept": 16, "of": 17, "text": "16 of the 17 real events would ring again."}
        return {"real": 17, "false_alarm": 14, "open": 9, "by_week": weeks, "recall": recall}


def _setup(app: FastAPI, stand: Stand) -> None:
    @app.post("/api/cameras", status_code=201)
    def add(body: Json) -> Any:
        if body["name"] in stand.cameras:
            return problem(409, f"There is a camera {body['name']!r} already: give another name.")
        stand.asked.append(body)
        stand.images.setdefault(body["name"], stand.images["roof"])
        if "down" in str(body["source"]) and not body.get("anyway"):
            return problem(422, "source: nothing answered. To add it though, give anyway: true.")
        stand.cameras[body["name"]] = made.camera(
            body["name"], stage="unfitted", level=None, score=None, model="", run="", promise="",
            source=body["source"], threshold_text="", threshold=None, added=True,
        )  # fmt: skip
        return {"camera": body["name"], "source": body["source"], "stage": "unfitted",
                "width": 480, "height": 270, "words": ""}  # fmt: skip

    @app.delete("/api/cameras/{name}")
    def remove(name: str) -> Any:
        if name in made.NAMES:
            return problem(409, f"{name} stands in the site's YAML: take it out there.")
        del stand.cameras[name]
        return {"camera": name, "removed": True}

    @app.get("/api/cameras/{name}/footage")
    def footage(name: str) -> Any:
        minutes = 61.4 if name in ("roof", "gate") else 0.0
        return {"camera": name, "minutes": minutes, "files": round(minutes), "newest": None,
                "bytes": round(minutes * 2e6)}  # fmt: skip

    @app.put("/api/cameras/{name}/model")
    def model(name: str, body: Json) -> Any:
        stand.asked.append(body)
        return stand.cameras[name]

    @app.post("/api/cameras/{name}/{kind}", status_code=202)
    def start(name: str, kind: str, body: Json) -> Any:
        if kind not in ("record", "fit", "calibrate"):
            return problem(404, "No such job.")
        stand.asked.append({"kind": kind, **body})
        job = made.job(len(stand.jobs) + 1, name, kind, "running", 0.02)
        stand.jobs[job["id"]] = job
        return job

    @app.get("/api/jobs")
    def jobs() -> Any:
        return list(stand.jobs.values())

    @app.post("/api/jobs/{key}/{verb}")
    def verb(key: str, verb: str) -> Any:
        state = {"pause": "paused", "resume": "running", "cancel": "cancelled"}[verb]
        stand.jobs[key].update(state=state, left_s=None)
        return stand.jobs[key]

    @app.get("/api/runs")
    def runs() -> Any:
        return list(stand.runs.values())

    @app.get("/api/runs/{name}")
    def run(name: str) -> Any:
        found = stand.runs.get(name)
        return made.run_page(found) if found else problem(404, "There is no such RUN.")


def _system(app: FastAPI, stand: Stand) -> None:
    @app.get("/api/me")
    def me() -> Any:
        return {"who": "here", "role": stand.role, "loopback": True, "session": False}

    @app.post("/api/session")
    def session(body: Json) -> Any:
        if body["token"] != "letmein":
            return problem(401, "That is not the token of this site.")
        stand.locked = False
        return me()

    @app.get("/api/system")
    def system() -> Any:
        return made.system()

    @app.get("/api/config")
    def config() -> Any:
        camera = {"source": "rtsp://gate.cam.local/…", "zones": [], "detect": {"merge_gap_s": 10}}
        return {
            "store": {"path": "watched", "keep_days": 30}, "web": {"token": "(hidden)"},
            "sinks": [{"kind": "mqtt", "host": "broker"}], "cameras": {"gate": camera},
        }  # fmt: skip

    @app.get("/api/log")
    def log() -> Any:
        words = ("lobby is down: nothing answered within 10 s", "gate: an event began")
        return {"lines": [
            {"time": z(made.AT - 60 * i), "level": ("warning", "info")[i % 2],
             "logger": "oddframe.watch", "message": words[i % 2]} for i in range(30, 0, -1)
        ]}  # fmt: skip

    @app.get("/api/audit")
    def audit() -> Any:
        row = {
            "id": 1, "time": z(made.AT - 700), "who": "here", "address": "127.0.0.1",
            "method": "PUT", "path": "/api/cameras/gate/threshold", "body": '{"threshold": 3.0}',
            "status": 200,
        }  # fmt: skip
        return [row]

    @app.get("/stand/asked")
    def asked() -> Any:
        return stand.asked

    @app.get("/stand/now")
    def now() -> Any:
        return made.now()

    @app.post("/stand/{what}")
    def state(what: str) -> Any:
        stand.state(what)
        return {}
