"""What is promised and what is counted: `python tests/runtime/promise.py FOLDER OUT`.

FOLDER holds the hours of a camera's days, DD-HH.mp4 (`ODDFRAME_DATA/upcam/training`). A RUN is
fitted on the days of --learn, calibrated on those of --normal for each of --rates alarms a day, and
watches those of --watch by `oddframe watch`, all rates at once. Each step is the command that a
user gives, and is passed over where it was done before; what is killed goes on.

Printed, and in OUT/promise.json: what each RUN says of itself, the events of every day, and every
event's reason. OUT/RATE.png shows all their pictures, numbered, to be looked at and named.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from recordings import joined

from oddframe.calibration.promise import expected_counts
from oddframe.events.event import Event
from oddframe.events.store import Store
from oddframe.runs import load_run
from oddframe.sources import open_source

ODDFRAME = [sys.executable, "-m", "oddframe"]


def hours_of(folder: Path, days: Sequence[str]) -> list[Path]:
    """The files of days, in order."""
    found = sorted(p for day in days for p in folder.glob(f"{day}-*.mp4"))
    if not found:
        raise SystemExit(f"{folder} has no DD-HH.mp4 of {', '.join(days)}")
    return found


def linked(files: Sequence[Path], to: Path) -> Path:
    """A folder of those files alone."""
    to.mkdir(parents=True, exist_ok=True)
    for file in files:
        if not (to / file.name).exists():
            (to / file.name).symlink_to(file.resolve())
    return to


def lengths(files: Sequence[Path]) -> dict[str, float]:
    """Seconds of each day, by what its files say."""
    out = Counter[str]()
    for file in files:
        with open_source(file) as source:
            info = source.info
        out[file.name[:2]] += (info.frames or 0) / info.fps
    return dict(out)


def fitted(out: Path, args: argparse.Namespace) -> Path:
    """The RUN of all rates."""
    run = out / "RUN"
    if not (run / "model.json").exists():
        resume = ["--resume"] if (run / "resume" / "plan.json").exists() else []
        footage = linked(hours_of(args.folder, args.learn), out / "learn")
        subprocess.run(
            [*ODDFRAME, "fit", "--model", "m2s2l-edge", "--set", "model.size=128", "--data",
             footage, "--minutes", str(args.minutes), "--out", run, *resume], check=True,
        )  # fmt: skip
    return run


def calibrated(out: Path, run: Path, rate: float, args: argparse.Namespace) -> Path:
    """A copy of the RUN for a rate; what was scored for the rate before is not scored again."""
    own = out / f"RUN-{rate:g}"
    if not own.exists():
        footage = linked(hours_of(args.folder, args.normal), out / "normal")
        subprocess.run(
            [*ODDFRAME, "calibrate", run, footage, "--alarms-per-day", str(rate), "--minutes",
             str(args.calibrate)], check=True,
        )  # fmt: skip
        shutil.copytree(run, own.with_name("copy"))
        own.with_name("copy").rename(own)
    return own


def watched(out: Path, runs: dict[float, Path], video: Path) -> None:
    """All rates at once, each a process."""
    started = []
    for rate, run in runs.items():
        to = out / f"watched-{rate:g}"
        if (to / "over").exists():
            continue
        shutil.rmtree(to, ignore_errors=True)  # a file cannot be watched from its middle on
        log = (out / f"watched-{rate:g}.log").open("w")
        command = [*ODDFRAME, "watch", run, video, "--name", "camera", "--out", to]
        started.append((to, subprocess.Popen([str(c) for c in command], stdout=log, stderr=log)))
    for to, process in started:
        if process.wait():
            raise SystemExit(f"{to}: ended with {process.returncode}, see its log")
        (to / "over").touch()


def sheet(events: Sequence[Event], store: Path, to: Path) -> None:
    """The pictures of all events, numbered from 0, eight in a row."""
    tiles = []
    for number, event in enumerate(events):
        image = None if event.snapshot is None else cv2.imread(str(store / event.snapshot))
        tile = np.zeros((150, 256, 3), np.uint8)
        if image is not None:
            height = min(128, round(256 * image.shape[0] / image.shape[1]))
            tile[:height] = cv2.resize(image, (256, height))
        text = f"{number}: {event.peak_level:.1f}"
        cv2.putText(tile, text, (2, 145), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
        tiles.append(tile)
    tiles += [np.zeros((150, 256, 3), np.uint8)] * (-len(tiles) % 8)
    if tiles:
        rows = [np.hstack(tiles[i : i + 8]) for i in range(0, len(tiles), 8)]
        cv2.imwrite(str(to), np.vstack(rows))


def counted(out: Path, rate: float, run: Path, days: dict[str, float]) -> dict:
    """What a RUN says of itself, and what there was."""
    promise = load_run(run).calibration
    assert promise is not None
    stated = expected_counts(promise, 1), expected_counts(promise, len(days))
    folder = out / f"watched-{rate:g}"
    with Store(folder) as store:
        events = store.events(limit=10_000)[::-1]
        gaps = store.gaps("camera")
        begin = min((m.t_utc for m in store.minutes("camera", 0, 1e11)), default=0.0)
    sheet(events, folder, out / f"{rate:g}.png")
    bounds = np.cumsum(list(days.values()))
    at = [int(np.searchsorted(bounds, e.start_utc - begin, "right")) for e in events]
    per_day = {day: at.count(i) + (at.count(len(days)) if i == len(days) - 1 else 0)
               for i, day in enumerate(days)}  # fmt: skip
    return {
        "rate": rate, "text": promise["text"], "a_day": stated[0], "in_all": stated[1],
        "hours_watched": sum(days.values()) / 3600, "per_day": per_day, "counted": len(events),
        "gaps": dict(Counter(g.why for g in gaps)),
        "events": [
            {"at_h": (e.start_utc - begin) / 3600, "s": (e.end_utc or 0) - e.start_utc,
             "level": e.peak_level, "threshold": e.threshold, "reasons": e.reasons}
            for e in events
        ],
    }  # fmt: skip


def main() -> None:
    """See the head of this file."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("folder", type=Path)
    parse.add_argument("out", type=Path)
    parse.add_argument("--learn", nargs="+", default=["00"])
    parse.add_argument("--normal", nargs="+", default=["00", "01"])
    parse.add_argument("--watch", nargs="+", default=["02", "03"])
    parse.add_argument("--rates", nargs="+", type=float, default=[1.0, 5.0])
    parse.add_argument("--minutes", type=float, default=25.0, help="of fit")
    parse.add_argument("--calibrate", type=float, default=30.0, help="minutes of calibrate")
    args = parse.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    run = fitted(args.out, args)
    runs = {rate: calibrated(args.out, run, rate, args) for rate in args.rates}
    files = hours_of(args.folder, args.watch)
    watched(args.out, runs, joined(files, args.out / "watch.mkv"))
    found = [counted(args.out, rate, own, lengths(files)) for rate, own in runs.items()]
    (args.out / "promise.json").write_text(json.dumps(found, indent=1))
    for one in found:
        low, _, high = one["in_all"] or (0, 0, None)
        held = "nothing stated"
        if high is not None:
            held = "held" if low <= one["counted"] <= high else "NOT held"
        print(
            f"{one['rate']:g} a day: stated {low} to {high} in {one['hours_watched']:.1f} h, "
            f"counted {one['counted']} ({held}); a day stated {one['a_day']}, counted "
            f"{one['per_day']}; gaps {one['gaps']}\n  {one['text']}"
        )
        for number, event in enumerate(one["events"]):
            print(
                f"  {number}: at {event['at_h']:.2f} h, {event['s']:.0f} s, level "
                f"{event['level']:.2f} of {event['threshold']:.2f}: {event['reasons'][0]}"
            )


if __name__ == "__main__":
    main()
