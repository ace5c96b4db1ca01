"""Clips as cameras: `python tests/runtime/live_clips.py RUN DATA OUT` (DATA a labelled data set).

Each test clip is sent over RTSP at its own speed and watched by a calibrated RUN as `oddframe
watch` would, one after another, or --at-once of them. Of each: events, which of the abnormal
stretches have one, seconds from a stretch's first frame to its event, events that touch no
stretch. Labels are of frames; a clip's begin is its first frame's arrival. DATA may also be a
folder of videos without labels: then events are listed alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import threading
import time
from pathlib import Path

import numpy as np

from oddframe.cli.watch import Cameras, Telling, site_of
from oddframe.data import open_dataset
from oddframe.data.labels import frame_labels
from oddframe.events.event import Event
from oddframe.events.store import Store
from oddframe.metrics.events import runs
from oddframe.runtime.watch.at_work import AtWork
from oddframe.sources import open_source

SERVER = Path(__file__).parent / "watch" / "rtsp_files.py"
BEHIND_S = 3.0
"""A clip is over for so long before its camera is taken away."""


def length_of(path: Path) -> tuple[float, float]:
    """Seconds and rate of a video."""
    with open_source(path) as source:
        times = [frame.pts_s for frame in source]
        return times[-1] - times[0], source.info.fps


def seen(run: Path, address: str, seconds: float, out: Path) -> tuple[list[Event], float, int]:
    """Events of a stream, when its first scored frame came, and frames that were not scored."""
    cameras = Cameras(names=["camera"], realtime=False, rules=[])
    site = site_of(run, [address], cameras, Telling(out=out, sinks=[], log="text"))
    stop = threading.Event()
    with AtWork(site) as work:
        thread = threading.Thread(target=work.run, args=(stop,))
        thread.start()
        camera, begin = work.engine.cameras["camera"], None
        until = time.monotonic() + 30
        while begin is None and time.monotonic() < until:
            rows = camera.recent.since(1e9)
            begin = float(rows[0, 0]) if len(rows) else None
            time.sleep(0.02)
        time.sleep(seconds + BEHIND_S)
        lost = sum(camera.reader.status().dropped.values())
        stop.set()
        thread.join()
    if begin is None:
        raise SystemExit(f"{address} sent nothing")
    with Store(out) as store:
        return store.events(limit=1000)[::-1], begin, lost


def judged(events: list[Event], begin: float, fps: float, labels: np.ndarray) -> dict:
    """Events beside the labels of a clip."""
    spans = [((e.start_utc - begin) * fps, ((e.end_utc or 0) - begin) * fps) for e in events]
    rows = []
    for first, stop in runs(labels):
        hits = [a for a, b in spans if a < stop and b >= first]
        rows.append(max(0.0, (min(hits) - first) / fps) if hits else None)
    false = sum(not labels[max(0, int(a)) : int(b) + 2].any() for a, b in spans)
    return {"stretches": len(rows), "found": sum(r is not None for r in rows), "delays_s": rows,
            "false": false}  # fmt: skip


def main() -> None:
    """See the head of this file."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("run", type=Path)
    parse.add_argument("data", type=Path)
    parse.add_argument("out", type=Path)
    args = parse.parse_args()
    dataset = open_dataset(args.data)
    videos = dataset.test or dataset.train
    labels = frame_labels(dataset) if dataset.test else {}
    server = subprocess.Popen(
        ["/usr/bin/python3", SERVER, *(str(v.path) for v in videos)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    port = server.stdout.readline().split()[1]
    rows = []
    try:
        for number, video in enumerate(videos):
            seconds, fps = length_of(video.path)
            address = f"rtsp://127.0.0.1:{port}/{number}"
            events, begin, lost = seen(args.run, address, seconds, args.out / video.name)
            row = {"clip": video.name, "seconds": seconds, "events": len(events), "lost": lost,
                   "levels": [e.peak_level for e in events],
                   "reasons": [e.reasons[0] for e in events],
                   "at_s": [e.start_utc - begin for e in events]}  # fmt: skip
            if video.name in labels:
                row |= judged(events, begin, fps, labels[video.name])
            rows.append(row)
            print(json.dumps(row), flush=True)
    finally:
        server.kill()
    (args.out / "live.json").write_text(json.dumps(rows, indent=1))
    known = [r for r in rows if "found" in r]
    if known:
        delays = [d for r in known for d in r["delays_s"] if d is not None]
        print(f"{sum(r['found'] > 0 for r in known)} of {sum(r['stretches'] > 0 for r in known)} "
              f"clips with something abnormal, {sum(r['found'] for r in known)} of "
              f"{sum(r['stretches'] for r in known)} stretches, median delay "
              f"{np.median(delays) if delays else float('nan'):.1f} s, "
              f"{sum(r['false'] for r in known)} false events")  # fmt: skip


if __name__ == "__main__":
    main()
