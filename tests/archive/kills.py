"""An archive that nothing leaves alone: `python tests/archive/kills.py RUN FOLDER OUT --kills 20`.

FOLDER's videos are scored twice by `oddframe archive`: left alone (OUT/alone, two processes), and
by two actors of a Ray cluster of this machine (OUT/killed) while --kills times, at random moments,
an actor, the command or Ray's head is killed with -9; each time whoever watches starts again what
is gone, by the same commands. Whatever else Ray runs on this machine is stopped. Then every Parquet
file of both must hold the same rows, bit for bit, and those of the first --scored files what
`oddframe score` says of them in one process. Before that, --timed files are scored by one worker
and by two, in turn, three times: the ratio of the least of each is the gain; the memory of the
workers of `alone` is looked at each second.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from archiving import children_of

from oddframe.archive.parquet import read

ODDFRAME = [sys.executable, "-m", "oddframe"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
ACTOR, HEAD = "ray::_Actor", "gcs_server"


def archive(run: Path, sources: Sequence[Path], out: Path, *more: str) -> subprocess.Popen[str]:
    """The command, begun."""
    words = [*ODDFRAME, "archive", run, *sources, "--out", out, *more]
    log = out.with_suffix(".log").open("a")
    return subprocess.Popen([str(w) for w in words], stdout=log, stderr=log, env=ONE_THREAD)


def done(command: subprocess.Popen[str]) -> None:
    """Wait for it."""
    if command.wait():
        raise SystemExit(f"{command.args} ended with {command.returncode}")


def named(word: str) -> list[int]:
    """Processes whose command line holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_text():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    except OSError:
        return float("nan")


def gain(run: Path, files: Sequence[Path], out: Path) -> dict[str, object]:
    """Seconds of one worker and of two."""
    took: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(3):
        for workers in (1, 2):
            to = out / f"timed-{turn}-{workers}"
            began = time.monotonic()
            done(archive(run, files, to, "--workers", str(workers)))
            took[workers].append(time.monotonic() - began)
            shutil.rmtree(to)
    return {"one_s": min(took[1]), "two_s": min(took[2]), "gain": min(took[1]) / min(took[2]),
            "all": took}  # fmt: skip


def alone(run: Path, folder: Path, out: Path) -> dict[str, object]:
    """Left alone; what its workers weigh."""
    began, weights = time.monotonic(), list[float]()
    command = archive(run, [folder], out / "alone", "--workers", "2")
    while command.poll() is None:
        weights.append(max((rss_mb(pid) for pid in children_of(command.pid)), default=float("nan")))
        time.sleep(1)
    done(command)
    parts = [part for part in np.array_split(weights, 4) if len(part)]
    memory_mb = [float(np.nanmax(part)) for part in parts]  # of each quarter of the time
    return {"seconds": time.monotonic() - began, "memory_mb": memory_mb}


def ray_up() -> None:
    """A cluster of this machine, new."""
    ray = Path(sys.executable).with_name("ray")
    subprocess.run([ray, "stop", "--force"], capture_output=True, check=False)
    subprocess.run(
        [ray, "start", "--head", "--num-cpus", "2", "--include-dashboard", "false"],
        check=True, capture_output=True, env=ONE_THREAD,
    )  # fmt: skip


def killed(run: Path, folder: Path, out: Path, kills: int, seed: int) -> Counter[str]:
    """Scored by Ray, and killed so many times; what was hit."""
    rng, hit = random.Random(seed), Counter[str]()
    ray_up()
    over = threading.Event()
    while not over.is_set():
        command = archive(run, [folder], out / "killed", "--ray", "auto")
        while command.poll() is None:
            if hit.total() >= kills:
                command.wait()
                break
            try:
                command.wait(rng.uniform(5, 45))
            except subprocess.TimeoutExpired:
                kind = rng.choice(("actor", "command", "head"))
                word = {"actor": ACTOR, "head": HEAD}.get(kind)
                pids = [command.pid] if word is None else named(word)
                if pids:
                    os.kill(rng.choice(pids), signal.SIGKILL)
                    hit[kind] += 1
                    print(f"{hit.total()}: {kind} killed", flush=True)
                if kind == "head":
                    command.wait()  # it says so, and ends
                    ray_up()
        if command.returncode == 0:
            over.set()
    subprocess.run([Path(sys.executable).with_name("ray"), "stop", "--force"], capture_output=True)
    return hit


def rows_of(folder: Path) -> dict[str, object]:
    """Every Parquet file by its path."""
    return {str(p.relative_to(folder)): read(p) for p in sorted(folder.rglob("*.parquet"))}


def compared(a: Path, b: Path) -> tuple[int, list[str]]:
    """How many files both have, and which differ."""
    first, second = rows_of(a / "files"), rows_of(b / "files")
    differing = sorted(set(first) ^ set(second))
    differing += [p for p in first if p in second and not first[p].equals(second[p])]  # type: ignore[attr-defined]
    return len(first), differing


def as_scored(run: Path, files: Sequence[Path], out: Path) -> float:
    """The largest difference to `oddframe score` of those files."""
    to, most = out / "scored", 0.0
    words = [*ODDFRAME, "score", run, *files, "--out", to]
    subprocess.run([str(w) for w in words], check=True, capture_output=True, env=ONE_THREAD)
    whole: dict[str, dict[int, float]] = {}
    for table in rows_of(out / "killed" / "files").values():
        columns = (table[c].to_pylist() for c in ("file", "frame", "score"))  # type: ignore[index]
        for name, frame, score in zip(*columns, strict=True):
            own = whole.setdefault(Path(name).stem, {})
            own[frame] = float("nan") if score is None else score
    for file in files:
        with (to / f"{file.stem}.csv").open() as lines:
            wanted = [float(row["score"] or "nan") for row in csv.DictReader(lines)]
        found = np.array([whole[file.stem][i] for i in range(len(wanted))])
        assert np.array_equal(np.isnan(found), np.isnan(wanted)), file
        most = max(most, float(np.nanmax(np.abs(found - wanted) / np.maximum(1, np.abs(wanted)))))
    return most


def main() -> None:
    """See the head of this file."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("run", type=Path)
    parse.add_argument("folder", type=Path)
    parse.add_argument("out", type=Path)
    parse.add_argument("--kills", type=int, default=20)
    parse.add_argument("--timed", type=int, default=4)
    parse.add_argument("--scored", type=int, default=3)
    parse.add_argument("--seed", type=int, default=0)
    args = parse.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in args.folder.iterdir() if p.suffix in (".mp4", ".avi", ".mkv"))
    found = {"gain": gain(args.run, files[: args.timed], args.out)}
    print(json.dumps(found), flush=True)
    found["alone"] = alone(args.run, args.folder, args.out)
    print(json.dumps(found["alone"]), flush=True)
    hit = killed(args.run, args.folder, args.out, args.kills, args.seed)
    count, differing = compared(args.out / "alone", args.out / "killed")
    worst = as_scored(args.run, files[: args.scored], args.out)
    print(f"{hit.total()} kills ({dict(hit)}): {count} files, {len(differing)} differ "
          f"{differing[:5]}; beside `score` at most {worst:.2g}")  # fmt: skip
    (args.out / "kills.json").write_text(
        json.dumps({**found, "hit": dict(hit), "files": count, "differing": differing,
                    "beside_score": worst}, indent=1)
    )  # fmt: skip


if __name__ == "__main__":
    main()
