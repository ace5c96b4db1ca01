"""Damaged videos by the thousand: `python tests/runtime/fuzz.py FOLDER RUN [TRIES SEED [KIND …]]`.

Eight containers and codecs; bytes flipped, cut, inserted, segments swapped. Every variant goes
through `Detector.score` in a child process. Wanted: no crash, none over 20 s, no error that is not
ours, and as many frames as PyAV decodes when it reads past errors. Prints what went wrong, and
counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from encoded import decodable, encode

KINDS = {
    "mp4-h264": ("a.mp4", "libx264", {"b_frames": 2}),
    "mkv-h264": ("a.mkv", "libx264", {}),
    "ts-h264": ("a.ts", "libx264", {}),
    "mp4-h265": ("a.mp4", "libx265", {}),
    "avi-mpeg4": ("a.avi", "mpeg4", {"b_frames": 1}),
    "webm-vp8": ("a.webm", "libvpx", {}),
    "mov-mjpeg": ("a.mov", "mjpeg", {}),
    "mpg-mpeg2": ("a.mpg", "mpeg2video", {}),
}
FRAMES = 60
LIMIT_S = 20.0
STARTS_S = 60.0
"""What the first file of a child may wait for torch besides, on a machine that is busy."""


def base(kind: str, folder: Path) -> bytes:
    """The whole video that variants are made of."""
    name, codec, how = KINDS[kind]
    return encode(folder / f"{kind}-{name}", FRAMES, 25, codec, gop=12, **how).read_bytes()


def variant(data: bytes, rng: np.random.Generator) -> bytes:
    """One damaged copy: one to three mishaps of four kinds."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(out)))
        length = int(rng.integers(1, max(2, len(out) // 10)))
        match rng.integers(0, 4):
            case 0:  # flipped
                for place in rng.integers(0, len(out), rng.integers(1, 40)):
                    out[place] ^= 1 << int(rng.integers(0, 8))
            case 1:  # cut, in the middle or at the end
                del out[at : at + length if rng.random() < 0.7 else len(out)]
            case 2:  # inserted
                out[at:at] = rng.bytes(min(length, 4096))
            case 3:  # two segments swapped
                a, b = sorted(int(x) for x in rng.integers(0, len(out), 2))
                n = min(length, b - a, len(out) - b)
                out[a : a + n], out[b : b + n] = out[b : b + n], out[a : a + n]
        if len(out) < 64:
            return bytes(out) + rng.bytes(64)
    return bytes(out)


def child(folder: str, run: str) -> None:
    """Score files whose names come on stdin; one line of JSON for each."""
    import oddframe

    detector = oddframe.load(run)
    for line in sys.stdin:
        path, found = Path(line.strip()), {}
        try:
            with oddframe.open_source(path, allow_short=True) as source:
                found["frames"] = len(detector.score(source, heat=False))
        except oddframe.OddframeError as error:
            found["refused"] = str(error)[:200]
        except Exception as error:
            found["error"] = f"{type(error).__name__}: {error}"[:300]
        try:
            found["decodable"] = decodable(path)
        except Exception as error:  # PyAV cannot even open it
            found["unopened"] = type(error).__name__
        print(json.dumps(found), flush=True)


class Worker:
    """A child process that is replaced when it crashes or hangs."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.run = folder, run
        self.start()

    def start(self) -> None:
        """A fresh child."""
        self.fresh = True
        command = [sys.executable, __file__, "--child", str(self.folder), self.run]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: Queue[str] = Queue()
        read = threading.Thread(target=self._read, args=(self.process, self.lines), daemon=True)
        read.start()
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def _read(self, process: subprocess.Popen[str], lines: Queue[str]) -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put("")  # of this process, also where another one has taken its place

    def ask(self, path: Path) -> dict[str, object]:
        """What became of one file."""
        limit_s, self.fresh = LIMIT_S + (STARTS_S if self.fresh else 0), False
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        try:
            line = self.lines.get(timeout=limit_s)
        except Empty:
            self.process.kill()
            self.start()
            return {"hang": limit_s}
        if not line:
            code = self.process.wait()
            self.start()
            return {"crash": code}
        return json.loads(line)


def fuzz(folder: Path, run: str, tries: int, seed: int = 0, kinds=tuple(KINDS)) -> list[dict]:
    """All kinds; gives what went wrong, after printing counts."""
    worker, wrong = Worker(folder, run), []
    for kind in kinds:
        data, began = base(kind, folder), time.monotonic()
        counts = {"scored": 0, "refused": 0, "unopened": 0, "far off": 0, "wrong": 0}
        for i in range(tries):
            rng = np.random.default_rng([seed, list(KINDS).index(kind), i])
            path = folder / f"v{KINDS[kind][0][1:]}"
            path.write_bytes(variant(data, rng))
            found = worker.ask(path)
            if {"crash", "hang", "error"} & found.keys():
                wrong.append({"kind": kind, "seed": seed, "try": i, **found})
                counts["wrong"] += 1
            elif "refused" in found:
                counts["refused"] += 1
                if found.get("decodable", 0) > 3:
                    wrong.append({"kind": kind, "seed": seed, "try": i, **found})
            else:
                counts["scored"] += 1
                if abs(found["frames"] - found.get("decodable", 0)) > 2:
                    counts["far off"] += 1
                    wrong.append({"kind": kind, "seed": seed, "try": i, **found})
            counts["unopened"] += "unopened" in found
        print(f"{kind}: {tries} tries, {counts}, {time.monotonic() - began:.0f} s", flush=True)
    worker.process.kill()
    return wrong


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(*sys.argv[2:4])
    else:
        target = Path(sys.argv[1])
        target.mkdir(parents=True, exist_ok=True)
        count, first = (int(x) for x in (*sys.argv[3:5], "200", "0")[:2])
        bad = fuzz(target, sys.argv[2], count, first, sys.argv[5:] or tuple(KINDS))
        for one in bad:
            print(json.dumps(one))
        sys.exit(bool(bad))
