"""What the stand-in knows: cameras in every state, a day of events, jobs, RUNs. All of it made."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

AT = 1_780_000_000.0
"""Its clock starts at 2026-05-28T20:26:40Z; the browser's is set to the same."""
STARTED = time.monotonic()
NAMES = ("gate", "yard", "dock", "lobby", "lane", "roof")
Json = dict[str, Any]


def now() -> float:
    return AT + time.monotonic() - STARTED


def z(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).isoformat().replace("+00:00", "Z")


def camera(name: str, **more: Any) -> Json:
    known = {
        "camera": name, "source": f"rtsp://{name}.cam.local/stream1", "state": "running",
        "why": None, "words": "", "since": z(AT - 86400 * 3), "unsettled": None, "width": 480,
        "height": 270, "fps": 12.5, "scored_fps": 8.33, "wanted_fps": 8.33, "frames": 3_241_877,
        "dropped": {"newer": 112, "late": 3}, "reconnects": 1, "latency_p95_s": 0.074,
        "score": 1.2, "level": 0.4, "threshold": 3.0, "anomaly": False, "armed": True, "zones": [],
        "model": "m2s2l-edge", "run": "0123456789ab", "stage": "watching", "provisional": False,
        "added": False, "light": None, "run_name": name, "threshold_undoable": False,
        "promise": "about 2 false alarms a day, 1.1 to 3.4 (90 %), from 26 h of footage",
        "threshold_text": "about 2 false alarms a day, 1.1 to 3.4 (90 %), from 26 h of footage",
    }  # fmt: skip
    return {**known, **more}


def cameras() -> dict[str, Json]:
    all_ = [
        camera("gate", score=6.9, level=2.3, anomaly=True, zones=["stairs"]),
        camera("yard", provisional=True, level=0.31, score=0.93),
        camera("dock", level=0.84, score=2.52),
        camera(
            "lobby", state="down", why="timeout", since=z(AT - 1380), level=None, score=None,
            fps=0, scored_fps=0, reconnects=9,
            words="Nothing answered within 10 s. Is the camera on, and is its address right? "
            "Trying again every 30 s.",
        ),
        camera("lane", unsettled="infrared", armed=False, level=None, score=None),
        camera(
            "roof", stage="unfitted", level=None, score=None, model="", run="", promise="",
            threshold_text="", scored_fps=0, wanted_fps=0, threshold=None, added=True,
        ),
    ]  # fmt: skip
    return {c["camera"]: c for c in all_}


WHY = [
    "something moves 2.4 times as fast as the fastest usually does here (left, near)",
    "something stands here that was not there (middle)",
    "something moves a way that hardly anything takes here (right, far)",
    "something looks unlike anything seen here (middle, near)",
]


def event(number: int, start: float, name: str = "gate", **more: Any) -> Json:
    key = f"{start:.6f}-{number:06x}"
    length = 4 + 7 * (number % 9)
    known = {
        "id": key, "camera": name, "state": "end",
        "severity": "detection" if number % 3 == 2 else "alert", "start": z(start),
        "end": z(start + length), "peak": z(start + 2), "peak_level": 1.1 + (number * 37 % 40) / 10,
        "peak_score": 6.6, "threshold": 3.0, "width": 480, "height": 270,
        "boxes": [{"x": 150 + 20 * (number % 5), "y": 90, "w": 70, "h": 90}],
        "zones": ["stairs"] if number % 2 else [], "reasons": [WHY[number % 4]],
        "streams": {"flow": 5.5}, "snapshot": f"/api/events/{key}/snapshot.jpg",
        "clip": f"/api/events/{key}/clip", "ended": "calm", "run": "0123456789ab",
        "verdict": [None, None, "real", None, "false_alarm"][number % 5],
        "verdict_time": z(start + 600) if number % 5 in (2, 4) else None, "note": "",
    }  # fmt: skip
    return {**known, **more}


def events() -> dict[str, Json]:
    """The newest is open; the others go back over two days."""
    opened = event(
        0, AT - 12, state="update", end=None, clip=None, ended=None, peak_level=2.3,
        zones=["stairs"], verdict=None,
    )  # fmt: skip
    others = [
        event(n, AT - 2400 - 4100 * n - 900 * (n % 4), ("gate", "yard", "dock")[n % 3])
        for n in range(1, 26)
    ]
    return {e["id"]: e for e in [opened, *others]}


def scores(name: str, begin: float, end: float, step: float) -> list[Json]:
    """Levels of a day: a wave, noise that is always the same, and what events there were."""
    found: list[Json] = []
    if name == "roof":
        return found
    t = math.ceil(begin / step) * step
    until = AT - 1380 if name == "lobby" else now()
    while t < min(end, until):
        if name == "lobby" and AT - 39000 < t < AT - 30000:
            t += step
            continue
        k = int(t / step) + sum(map(ord, name))
        wave = 0.35 + 0.15 * math.sin(t / 9000) + 0.12 * math.sin(k * 12.9898) * math.cos(k * 3.1)
        over = any(e["camera"] == name and t <= _s(e["start"]) < t + step for e in EVENTS.values())
        top = wave + 0.2 + (1.1 if over else 0.0)
        found.append(
            {"t": z(t), "level_mean": wave, "level_max": top, "frames": 2500, "dropped": 0}
        )
        t += step
    return found


def recent(name: str, seconds: float) -> Json:
    t = [now() - seconds + i for i in range(int(seconds))]
    rise = {"gate": 2.3, "dock": 0.84, "yard": 0.31}.get(name)
    if rise is None:
        return {"t_utc": t, "level": [None] * len(t), "raw": [None] * len(t)}
    level = [
        0.3 + 0.08 * math.sin(i / 3) + 0.05 * math.sin(i * 1.7)
        + (rise - 0.3) / (1 + math.exp((seconds - 14 - i) / 2.0)) for i in range(len(t))
    ]  # fmt: skip
    level = [None if 40 < i < 52 and name == "dock" else x for i, x in enumerate(level)]
    return {"t_utc": t, "level": level, "raw": [None if x is None else 3 * x for x in level]}


def rate(threshold: float) -> Json:
    """Fewer alarms the higher it is."""
    per_day = min(5000.0, 3.1 * (3.0 / threshold) ** 5)
    low, high = 0.45 * per_day, 2.3 * per_day
    return {
        "threshold": threshold, "alarms_per_day": per_day, "low": low, "high": high,
        "provisional": False,
        "text": "from 26 h of footage of 3 days; 90 % of such days lie between",
    }  # fmt: skip


def past(threshold: float, t: float, why: str) -> Json:
    found = rate(threshold)
    return {
        "threshold": threshold, "created": z(t), "why": why, "hours": 26.0, "low": found["low"],
        "high": found["high"], "run": "0123456789ab",
    }  # fmt: skip


def job(number: int, name: str, kind: str, state: str, done: float, **more: Any) -> Json:
    known = {
        "id": f"job{number}", "camera": name, "kind": kind, "state": state, "done": done,
        "text": {"record": "38 of 60 minutes are kept", "fit": "step 840 of 2400, loss 0.021",
                 "calibrate": "scoring hour 3 of 8"}[kind],
        "left_s": 1320.0 if state == "running" else None, "created": z(AT - 5000 + number),
        "started": z(AT - 4900), "ended": None if state in ("waiting", "running") else z(AT - 900),
        "problem": None, "run": None,
    }  # fmt: skip
    return {**known, **more}


def jobs() -> dict[str, Json]:
    all_ = [
        job(1, "roof", "record", "done", 1.0, text="60 minutes are kept"),
        job(2, "roof", "fit", "running", 0.35),
        job(3, "yard", "calibrate", "failed", 0.4, problem="the disk is full: 0.2 GB are free"),
    ]
    return {j["id"]: j for j in all_}


def run(name: str, **more: Any) -> Json:
    known = {
        "name": name, "model": "m2s2l-edge", "created": z(AT - 86400 * 4), "frames": 43200,
        "minutes": 20.0, "threshold": 3.0, "alarms_per_day": 2.0, "provisional": False,
        "cameras": ["gate"], "finished": True, "text": "about 2 false alarms a day",
    }  # fmt: skip
    return {**known, **more}


def runs() -> dict[str, Json]:
    all_ = [
        run("gate-2026-05-24", cameras=["gate", "lane"]),
        run("yard-2026-05-26", cameras=["yard"], provisional=True, threshold=2.4),
        run("street", cameras=[], alarms_per_day=None, threshold=None, minutes=None),
    ]
    return {r["name"]: r for r in all_}


def system() -> Json:
    load = [
        {"camera": c["camera"], "state": c["state"], "fps": c["fps"], "reconnects": c["reconnects"],
         "scored_fps": c["scored_fps"], "wanted_fps": c["wanted_fps"] or None, "scored": 990_000,
         "frames": c["frames"], "dropped": c["dropped"], "latency_p50_s": 0.041,
         "latency_p95_s": 0.074, "latency_p99_s": 0.13}
        for c in cameras().values()
    ]  # fmt: skip
    sinks = [
        {"sink": "mqtt", "up": True, "waiting": 0, "sent": 512, "failed": 3, "refused": 0,
         "words": "", "failing_s": None, "busy_s": None},
        {"sink": "webhook", "up": False, "waiting": 7, "sent": 88, "failed": 41, "refused": 1,
         "words": "connection refused", "failing_s": 844.0, "busy_s": None},
    ]  # fmt: skip
    times = {"count": 9, "mean_s": 0.02, "p50_s": 0.021, "p95_s": 0.03, "p99_s": 0.05}
    return {
        "version": "0.1.0", "started": z(AT - 266_400), "uptime_s": 266_400.0,
        "process": {"cpu": 0.9, "memory_bytes": 812_000_000, "threads": 31, "open_files": 64},
        "machine": {"cores": 2, "cpu": 0.61, "waiting": 1.4, "memory_bytes": 8_201_000_000,
                    "free_bytes": 4_100_000_000},
        "disk": {"total_bytes": 252 * 10**9, "free_bytes": 74 * 10**9, "words": "",
                 "store_bytes": 3_400_000_000, "limit_bytes": 10 * 10**9},
        "pace": {"load": 0.61, "share": 1.0, "look_s": 0.024},
        "inference": {**times, "buckets": []}, "cameras": load, "sinks": sinks,
        "clips": {"done": 88, "dropped": 1, "failed": 0}, "events_waiting": 0, "faults": {},
    }  # fmt: skip


SELFTEST = {
    "clips": 24, "frames": 24, "things": 11, "mean_auc": 0.94,
    "kinds": {
        "fast": {"said": "somebody running", "seen": 0.94, "auc": 0.98,
                 "zones": {"far": 0.88, "middle": 1.0, "near": 0.94}},
        "way": {"said": "somebody going the wrong way", "seen": 0.71, "auc": 0.9,
                "zones": {"far": 0.5, "middle": 0.75, "near": 0.88}},
        "stays": {"said": "a thing left behind", "seen": 0.5, "auc": 0.86,
                  "zones": {"far": 0.25, "middle": 0.5, "near": None}},
        "normal": {"said": "the same things, normal", "seen": 0.04, "auc": 0.52,
                   "zones": {"far": 0.0, "middle": 0.0, "near": 0.12}},
    },
}  # fmt: skip


def run_page(found: Json) -> Json:
    loss = [[10 * i, 0.4 * math.exp(-i / 40) + 0.02 + 0.004 * math.sin(i)] for i in range(200)]
    protocol = "micro AUC, no normalisation, causal smoothing, last checkpoint"
    rows = [
        {"method": m, "protocol": "deploy", "protocol_text": protocol, "auc": a, "eer": e}
        for m, a, e in (("this RUN", 0.946, 0.11), ("flowspeed (floor)", 0.898, 0.17))
    ]
    calibration = {"threshold": 3.0, "hours": 26.0, "text": "about 2 false alarms a day"}
    known = found["threshold"] is not None
    return {
        **found, "loss": loss, "selftest": SELFTEST if known else None,
        "calibration": calibration if known else None, "tables": rows if known else [],
    }  # fmt: skip


def _s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


EVENTS = events()
