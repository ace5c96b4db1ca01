"""Cameras under load: `python tests/runtime/load.py RUN VIDEO OUT --cameras 4 --minutes 60`.

VIDEO, looped and encoded at --size and --fps, is sent over RTSP by as many cameras, and watched by
`oddframe serve`, which is a process of its own and read off by its /metrics. With --viewers there
are as many browsers' worth of WebSockets, all of them looking at all cameras in every other stretch
of --stretch seconds, so that what they cost is told from what the machine does anyway.

Printed, and in OUT/load.json: of each stretch pictures scored a second and camera, the share that
came within half a second, the server's processor seconds a second, its memory; and a line through
memory over time. OUT/memory.png draws it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.request
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from recordings import joined

from oddframe.sources import open_source

SERVER = Path(__file__).parent / "watch" / "rtsp_files.py"
VIEWERS = """
import asyncio, json, sys
import websockets

async def look(url, cameras):
    async with websockets.connect(url, max_size=None) as socket:
        on = False
        async def read():
            async for _ in socket: pass
        reading = asyncio.create_task(read())
        while True:
            line = await queue_of(socket)
            on = line == "on"
            known = {"cameras": cameras if on else [], "width": 640, "fps": 8, "heat": on}
            await socket.send(json.dumps(known))

queues = {}
def queue_of(socket):
    return queues.setdefault(id(socket), asyncio.Queue()).get()

async def main():
    url, count, cameras = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
    for _ in range(count): asyncio.create_task(look(url, cameras))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        for queue in queues.values(): queue.put_nowait(line.strip())

asyncio.run(main())
"""


def looped(video: Path, to: Path, seconds: float, size: tuple[int, int], fps: int) -> Path:
    """The video again and again, encoded once, so that sending it costs next to nothing."""
    if to.exists():
        return to
    once = to.with_name("once.mp4")
    with av.open(str(once), "w") as out, open_source(video) as source:
        stream = out.add_stream("libx264", rate=fps, options={"bf": "0", "g": str(2 * fps)})
        stream.width, stream.height = size
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, fps)
        stream.bit_rate = 2_000_000
        for number, frame in enumerate(source):
            picture = av.VideoFrame.from_ndarray(cv2.resize(frame.image, size), format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            out.mux(stream.encode(picture))
            if number + 1 >= 90 * fps:
                break
        out.mux(stream.encode())
    with open_source(once) as source:
        length = (source.frame_hint or 1) / fps
    return joined([once] * math.ceil(seconds / length), to)


def site_of(out: Path, run: Path, addresses: list[str]) -> Path:
    """A site's file; of a port that is free."""
    cameras = {f"camera{i}": {"source": a} for i, a in enumerate(addresses)}
    site = {"store": {"path": "store"}, "web": {"port": 0}, "detect": {"model": str(run.resolve())},
            "cameras": cameras}  # fmt: skip
    (out / "site.yaml").write_text(json.dumps(site))  # JSON is YAML
    return out / "site.yaml"


def read_off(url: str) -> dict[str, float]:
    """Sums over all cameras, of what is counted; each sample by its name."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    out: dict[str, float] = {}
    for line in lines:
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        key = re.sub(r"\{.*\}", "", name)
        if key.endswith("_bucket"):
            key += "<" + re.search(r'le="([^"]+)"', name).group(1)  # type: ignore[union-attr]
        out[key] = out.get(key, 0.0) + float(value)
    return {**out, "t": time.monotonic()}


def stretch_of(a: dict[str, float], b: dict[str, float], cameras: int) -> dict[str, float]:
    """What happened between two readings."""
    passed = b["t"] - a["t"]
    age = "oddframe_end_to_end_latency_seconds"
    came = b[f"{age}_count"] - a[f"{age}_count"]
    within = b[f"{age}_bucket<0.5"] - a[f"{age}_bucket<0.5"]
    per_s = (b["oddframe_frames_scored_total"] - a["oddframe_frames_scored_total"]) / passed
    cpu = (b["process_cpu_seconds_total"] - a["process_cpu_seconds_total"]) / passed
    return {
        "seconds": passed, "scored_a_camera": per_s / cameras, "in_half_a_second": within / came,
        "cpu": cpu, "cpu_ms_a_frame": 1e3 * cpu / per_s,
        "memory_mb": b["process_resident_memory_bytes"] / 1e6,
        "dropped": b.get("oddframe_frames_dropped_total", 0.0)
        - a.get("oddframe_frames_dropped_total", 0.0),
        "events": b.get("oddframe_events_total", 0.0) - a.get("oddframe_events_total", 0.0),
        "load": os.getloadavg()[0],
    }  # fmt: skip


def drawn(rows: list[dict], to: Path) -> None:
    """Memory over time."""
    values = np.array([row["memory_mb"] for row in rows])
    picture = np.full((240, 640, 3), 255, np.uint8)
    top = float(values.max()) * 1.1
    x = np.linspace(50, 630, len(values)).astype(int)
    y = (220 - 200 * values / top).astype(int)
    cv2.polylines(picture, [np.stack([x, y], 1)], False, (160, 80, 0), 2)
    for share in (0, 0.5, 1):
        place = (4, int(220 - 200 * share))
        cv2.putText(picture, f"{share * top:.0f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0))
    cv2.putText(picture, "MB of memory, first minute to last", (200, 236),
                cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0))  # fmt: skip
    cv2.imwrite(str(to), picture)


def main() -> None:
    """See the head of this file."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("run", type=Path)
    parse.add_argument("video", type=Path)
    parse.add_argument("out", type=Path)
    parse.add_argument("--cameras", type=int, default=4)
    parse.add_argument("--minutes", type=float, default=60)
    parse.add_argument("--size", type=int, nargs=2, default=(1280, 720))
    parse.add_argument("--fps", type=int, default=15)
    parse.add_argument("--viewers", type=int, default=0)
    parse.add_argument("--stretch", type=float, default=60)
    args = parse.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    length = 60 * args.minutes + 120
    video = looped(args.video, args.out / "long.mp4", length, tuple(args.size), args.fps)
    sender = subprocess.Popen(
        ["/usr/bin/python3", SERVER, "--as-is", *[video] * args.cameras],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    port = sender.stdout.readline().split()[1]  # type: ignore[union-attr]
    site = site_of(
        args.out, args.run, [f"rtsp://127.0.0.1:{port}/{i}" for i in range(args.cameras)]
    )
    log = (args.out / "serve.log").open("w")
    server = subprocess.Popen([sys.executable, "-m", "oddframe", "serve", site], stderr=log)
    viewers, rows = None, []
    try:
        url = None
        while url is None:
            time.sleep(0.5)
            found = re.search(r"http://127\.0\.0\.1:\d+", (args.out / "serve.log").read_text())
            url = found.group() if found else None
            assert server.poll() is None, "the server ended, see serve.log"
        if args.viewers:
            names = ",".join(f"camera{i}" for i in range(args.cameras))
            viewers = subprocess.Popen(
                [sys.executable, "-c", VIEWERS, url.replace("http", "ws") + "/api/live",
                 str(args.viewers), names], stdin=subprocess.PIPE, text=True,
            )  # fmt: skip
        time.sleep(30)  # readers have settled, histories are full
        for number in range(round(60 * args.minutes / args.stretch)):
            looking = bool(viewers) and number % 2 == 1
            if viewers:
                print("on" if looking else "off", file=viewers.stdin, flush=True)
                time.sleep(2)
            before = read_off(url)
            time.sleep(args.stretch)
            row = {"looking": looking, **stretch_of(before, read_off(url), args.cameras)}
            rows.append(row)
            print(json.dumps({k: round(v, 3) for k, v in row.items()}), flush=True)
    finally:
        for process in (viewers, server, sender):
            if process is not None:
                process.terminate()
        server.wait(60)
        (args.out / "load.json").write_text(json.dumps(rows, indent=1))
    drawn(rows, args.out / "memory.png")
    minutes = np.cumsum([r["seconds"] for r in rows]) / 60
    if len(rows) > 2:
        slope = np.polyfit(minutes, [r["memory_mb"] for r in rows], 1)[0]
        print(f"memory {60 * slope:+.1f} MB an hour")
    for looking in (False, True):
        own = [r for r in rows if r["looking"] == looking]
        if own:
            print(f"{'with' if looking else 'without'} viewers: "
                  f"{np.mean([r['scored_a_camera'] for r in own]):.2f} scored a second and camera "
                  f"(least {min(r['scored_a_camera'] for r in own):.2f}), "
                  f"{np.mean([r['cpu'] for r in own]):.2f} cores, "
                  f"{np.mean([r['cpu_ms_a_frame'] for r in own]):.1f} ms a scored frame, "
                  f"{100 * min(r['in_half_a_second'] for r in own):.1f} % at least within .5 s, "
                  f"{sum(r['dropped'] for r in own):.0f} dropped")  # fmt: skip


if __name__ == "__main__":
    main()
