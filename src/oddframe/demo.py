"""The whole way on a made street scene, from nothing to a report: `oddframe demo`.

scene -> fit -> calibrate -> score -> evaluate -> DIR/report.html, DIR/metrics.json

The table counts all five kinds of anomalies that a made street has, and says each by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from oddframe.atomic import write_json
from oddframe.calibration.calibrate import calibrate
from oddframe.data import open_dataset
from oddframe.errors import RunError
from oddframe.evaluation.evaluate import Evaluation, evaluate
from oddframe.judging.named import parse_protocols
from oddframe.metrics import frame_auc
from oddframe.report.build import Said, build_report
from oddframe.report.page import write_report
from oddframe.runs import load_run, write_calibration
from oddframe.runtime.detector import load
from oddframe.synth import SynthConfig, write_dataset, write_normal
from oddframe.train.fit import Budget, Wanted, fit

SPARE_SEED = 500_000
"""Clip seed of the footage that the threshold rests on: far from those of the scene."""
SETTINGS = ("model.size=128", "train.hold_out=0.2")
"""A quarter of the pixels: four times the training steps in the minutes that a demo has. And two
whole clips to learn the scene's scale from, not one."""
MAKES = ("scene", "spare", "run", "metrics.json", "report.html")
"""What a demo leaves in its folder."""
REPORT, METRICS = "report.html", "metrics.json"
Bar = Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]]
"""Shows progress: of a title, a function of what is done and in all."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a demo."""

    found: Evaluation
    kinds: dict[str, float]
    """AUC (0..1) of each kind of anomaly."""


def demo_scene(seed: int) -> SynthConfig:
    """A quiet street, at the rate of most cameras: what moves oddly is not hidden by a crowd."""
    return SynthConfig(  # its five kinds of anomalies, two clips of each
        seed=seed, fps=25.0, people=2.5, train_clips=10, train_seconds=16.0, test_clips=10,
        test_seconds=12.0,
    )  # fmt: skip


def make_demo(
    out: Path, minutes: float, model: str, seed: int, device: str, console: Console, bar: Bar
) -> Shown:
    """Make a street scene, learn what is normal in it, find what is not, and write the page.

    Args:
        out: the folder to make.
        minutes: of training.
        model: a key of `oddframe.models.MODELS`.
        seed: of the scene and of the training.
        device: cpu, cuda, cuda:N or auto.
        console: where remarks go.
        bar: how progress is shown.

    Raises:
        RunError: the folder holds something else, or a demo that was trained.
    """
    if (out / "run").exists():
        raise RunError(f"{out / 'run'} exists: choose another --out, or delete {out}.")
    check_own(out)
    scene = demo_scene(seed)
    with bar("drawing the scene") as tick:
        write_dataset(out / "scene", scene, tick)
    # One more minute of the same street, which training never sees, for the threshold.
    with bar("drawing spare normal video") as tick:
        write_normal(out / "spare", replace(scene, train_clips=4), SPARE_SEED, tick)
    trained = fit(
        Wanted(model, SETTINGS, seed), out / "scene", out / "run", Budget(minutes=minutes),
        device=device, console=console,
    )  # fmt: skip
    detector = load(trained, device)
    normal = [detector.score(v.path, heat=False) for v in open_dataset(out / "spare").train]
    write_calibration(
        trained, calibrate([r.score for r in normal], [r.time_s for r in normal], 1.0)
    )
    trained = load_run(out / "run")
    detector = load(trained, device)
    console.print(str(trained.calibration and trained.calibration["text"]))
    dataset = open_dataset(out / "scene")
    started = time.monotonic()
    with bar("evaluating") as tick:
        found = evaluate(detector, dataset, parse_protocols("all"), tick)
    speed = sum(len(v.score) for v in found.videos) / (time.monotonic() - started)
    kinds = kind_aucs(found, out / "scene")
    write_json(out / METRICS, {**found.plain(), "kinds": kinds})
    said = Said(
        "A made street scene",
        "cyclists, carts, runners, people who go the wrong way and suitcases left behind, found by "
        "a model that has only ever seen normal video of this street",
        speed, [kinds_text(kinds)], kinds_shown(out / "scene"),
    )  # fmt: skip
    write_report(out / REPORT, build_report(trained, detector, dataset, found, said))
    return Shown(found, kinds)


def check_own(out: Path) -> None:
    """A demo makes its folder, or goes on in one that a demo has begun.

    Raises:
        RunError: something else lies there.
    """
    try:
        foreign = sorted(p.name for p in out.iterdir() if p.name not in MAKES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"{out} is no folder: {error.strerror}. Choose another --out.") from None
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise RunError(
            f"{out} holds {foreign[0]}{more}, which no demo made: expected a folder that is empty "
            "or does not exist. Choose another --out."
        )


def kinds_shown(root: Path) -> dict[str, list[str]]:
    """Video -> per frame which kinds of anomaly are in the picture, in words."""
    boxes = json.loads((root / "boxes.json").read_text(encoding="utf8"))
    return {
        name: [", ".join(sorted({box["kind"] for box in f})).replace("_", " ") for f in frames]
        for name, frames in boxes.items()
    }


def kind_aucs(found: Evaluation, root: Path) -> dict[str, float]:
    """Per kind of anomaly, AUC (0..1) of its frames against all normal frames of the data set.

    Scores of `deploy`, without any normalisation; frames before the first score are left out.
    """
    boxes = json.loads((root / "boxes.json").read_text(encoding="utf8"))
    score = np.concatenate([v.score for v in found.videos])
    label = np.concatenate([v.labels for v in found.videos]) > 0
    kinds = [{box["kind"] for box in frame} for v in found.videos for frame in boxes[v.name]]
    ready = np.isfinite(score)
    aucs = {}
    for kind in sorted(set().union(*kinds)):
        this = np.array([kind in frame for frame in kinds]) & label
        taken = ready & (this | ~label)
        aucs[kind] = frame_auc([score[taken]], [this[taken]])
    return aucs


def kinds_text(kinds: dict[str, float]) -> str:
    """One sentence about each kind."""
    listed = ", ".join(f"{kind} {100 * auc:.1f}" for kind, auc in kinds.items())
    return f"AUC % per kind, deploy: {listed}."
