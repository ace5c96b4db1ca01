"""One job in a process of its own: `python -m oddframe.reproduce.job FILE`.

fit (or go on with it) -> evaluate under every protocol -> the result, written whole

Exit codes: 0 done; 1 failed, why lies beside FILE; 130 stopped on request, the state is saved.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from oddframe import __version__, process
from oddframe.atomic import write_json
from oddframe.data import Dataset, footage_hashes, label_source, open_dataset
from oddframe.data.dataset import video_fps
from oddframe.data.official import benchmark_of
from oddframe.errors import OddframeError, RunError
from oddframe.evaluation.evaluate import Evaluation, evaluate, score_all
from oddframe.evaluation.judged import JudgedMethod, judge_methods
from oddframe.evaluation.memories import watching
from oddframe.evaluation.scored import VideoScores, paced
from oddframe.judging.floors import BEST
from oddframe.judging.judge import Judged, row_of
from oddframe.judging.named import PROTOCOLS
from oddframe.judging.paper import PaperScore
from oddframe.metrics.pairs import Wins
from oddframe.models import ablation_name, build
from oddframe.models.info import cost
from oddframe.reproduce.plan import Job, Variant
from oddframe.reproduce.results import (
    FORMAT,
    Result,
    commit,
    differing,
    hardware,
    in_words,
)
from oddframe.runs import CARD, RESUME, Run, load_run
from oddframe.runtime.detector import Detector, load
from oddframe.scoring.fuse import FUSING
from oddframe.scoring.settings import ScoreConfig, score_again
from oddframe.sources import Reading
from oddframe.train.fit import Budget, Wanted, configs, fit
from oddframe.train.progress import STATE

FAILED, STOPPED = 1, 130
CAUSAL = tuple(f"score.{name}" for name in ("streams", *FUSING))
"""Settings that change the causal score after training."""


def perform(job: Job, work: Path, console: Console | None = None) -> Result:
    """Train (where `work` holds no finished RUN) and evaluate.

    Raises:
        OddframeError: as `fit` and `evaluate`; the finished RUN in `work` is not this job's.
        KeyboardInterrupt: stopped on request; what was trained is kept in `work`.
    """
    started = time.monotonic()
    if (work / CARD).exists():
        run = load_run(work)
        _check_run(job, run, open_dataset(job.path))
    else:
        resume = (work / RESUME / STATE).exists()
        wanted = Wanted(job.model, job.settings, job.seed, job.ablation, job.recipe)
        cpu = job.device == "cpu"
        budget = Budget(core_minutes=job.minutes) if cpu else Budget(minutes=job.minutes)
        run = fit(wanted, job.path, work, budget, resume=resume, device=job.device, console=console)
    dataset = open_dataset(job.path, reading=Reading(used=run.used))
    detector = load(run, job.device)
    protocols = [PROTOCOLS[name] for name in job.protocols]
    watched = watching(detector, dataset) if job.memory else contextlib.nullcontext()
    with watched as effect:
        found = evaluate(detector, dataset, protocols, regions=False)
    result = measured(job, run, detector, dataset, found, time.monotonic() - started)
    return result if effect is None else {**result, "memory": effect.result(found.videos)}


def _check_run(job: Job, run: Run, dataset: Dataset) -> None:
    """A finished RUN that lies where the job's belongs must be what the job would train."""
    row = None if job.ablation is None else ablation_name(job.model, job.ablation)
    asked = {
        "model": job.model, "seed": job.seed, "ablation": row, "device": job.device,
        "data": {"manifest": footage_hashes(dataset)["manifest"]}, "config": job.config,
    }  # fmt: skip
    card = run.card
    found = {
        "model": run.name, "seed": card.get("seed"), "ablation": card.get("ablation"),
        "device": str(card.get("training", {}).get("device")).partition(":")[0],
        "data": {"manifest": card.get("data", {}).get("manifest")}, "config": card["config"],
    }  # fmt: skip
    differences = differing(found, asked)
    if differences:
        raise RunError(
            f"{run.path} holds a finished RUN that is not of this run of {job.table}: "
            f"{in_words(differences)}. Delete that folder, and it is trained again."
        )


def measured(
    job: Job, run: Run, detector: Detector, dataset: Dataset, found: Evaluation, seconds: float
) -> Result:
    """What goes into the file: configuration, circumstances, rows, and pairs of frames by video.

    `pairs`: per protocol the videos, their `abnormal` and `normal` frames, and per method `wins`
    (`metrics.pairs.Wins`), from which AUC, intervals and paired differences follow. `seconds`: of
    this process; a resumed training's whole time is in `training`.
    """
    name = detector.info.model
    pairs = {p: _pairs(name, _under(p, found.judged), p) for p in job.protocols}
    variants = {v.row: _variant(job, detector, v, dataset, found.videos) for v in job.variants}
    return {
        "format": FORMAT, "table": job.table, "run": job.name, "rows_of": list(job.rows),
        "model": job.model, "ablation": job.ablation, "settings": list(job.settings),
        "recipe": job.recipe, "seed": job.seed, "data": {**run.card["data"], "name": job.data},
        "budget": {job.clock: job.minutes}, "config": run.card["config"],
        "oddframe": __version__, "commit": commit(), "hardware": hardware(),
        "seconds": round(seconds, 1), "training": run.card["training"],
        "cost": cost(run.name, run.model_config), "rows": found.rows,
        "videos": _videos(name, pairs), "pairs": pairs, "variants": variants,
        "alarms": None if found.events is None else asdict(found.events),
    }  # fmt: skip


def _under(protocol: str, found: Sequence[JudgedMethod]) -> dict[str, Judged]:
    """What was judged under a protocol, by method."""
    return {m.method: m.judged for m in found if m.protocol == protocol}


def _pairs(name: str, judged: Mapping[str, Judged], protocol: str) -> dict[str, Any]:
    """The won pairs of a model's own scores under a protocol."""
    told = {name: name, f"{name}:own": f"{name}:own"}
    if protocol == "deploy":
        told[BEST] = f"{name}:{BEST}"
    wins = {told[m]: j.wins for m, j in judged.items() if m in told}
    return {"videos": list(judged[name].names), **_counts(wins[name]),
            "wins": {m: w.wins.tolist() for m, w in wins.items()}}  # fmt: skip


def _counts(wins: Wins) -> dict[str, list[int]]:
    return {"abnormal": wins.abnormal.tolist(), "normal": wins.normal.tolist()}


def _videos(model: str, pairs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per test video: frames and abnormal frames judged, own AUC by protocol (None: one class)."""
    first = next(iter(pairs.values()))
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(first["videos"]):
        aucs = {}
        for protocol, found in pairs.items():
            both = found["abnormal"][i] * found["normal"][i]
            aucs[protocol] = found["wins"][model][i][i] / both if both else None
        abnormal, normal = first["abnormal"][i], first["normal"][i]
        rows.append({"video": name, "frames": abnormal + normal, "abnormal": abnormal, "auc": aucs})
    return rows


def _variant(
    job: Job, detector: Detector, variant: Variant, dataset: Dataset, videos: Sequence[VideoScores]
) -> dict[str, Any]:
    """Another score of the same trained model: its row and pairs. Under `deploy` where a setting
    of the causal score is another, else under the papers' protocol; on the frames of the main rows.
    """
    chosen = configs(
        job.model, [*job.settings, *variant.settings], ablation=variant.ablation, how=job.recipe
    )
    labels = {v.name: v.labels for v in videos}
    data = benchmark_of(dataset, {name: len(y) for name, y in labels.items()})
    if any(s.partition("=")[0].strip() in CAUSAL for s in variant.settings):
        protocol, paper = "deploy", detector.paper_of(data)
        videos = _again(videos, detector, variant, chosen.score, dataset)
    else:
        with torch.device("meta"):  # a score needs no weights
            net = build(job.model, chosen.model)
        protocol, paper = "paper", PaperScore(net, job.model, chosen.score, data)
    source = label_source(dataset, labels)
    found = judge_methods(detector, paper, videos, [PROTOCOLS[protocol]], source)
    judged = _under(protocol, found)[paper.name]
    wins = judged.wins
    pairs = {protocol: {**_counts(wins), "wins": wins.wins.tolist()}}
    return {"rows": [row_of(variant.row, judged)], "pairs": pairs}


def _again(
    videos: Sequence[VideoScores], detector: Detector, variant: Variant, config: ScoreConfig,
    dataset: Dataset,
) -> list[VideoScores]:  # fmt: skip
    """The videos with the causal score of other settings."""
    if paced(detector.info.fps, dataset):  # the terms do not tell each look
        run = load_run(detector.info.run).with_settings(variant.settings)
        scored = score_all(load(run, detector.info.device), dataset, floors=())
        known = {v.name for v in videos}  # without those that have no score at all
        return [v for v in scored if v.name in known]
    fps = {video.name: video_fps(video) for video in dataset.test if config.lag_s}
    return [
        replace(v, score=score_again(v.terms, config, fps.get(v.name))) if v.terms else v
        for v in videos
    ]


# ---- the process


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two processes never train in one folder."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"Another process is at work on {path.with_suffix('').name}: wait for it, or stop "
                "it, and run the command again."
            ) from None
        yield


def _end_with_parent() -> None:
    """Stop as on Ctrl-C when the parent is gone: its end of our stdin closes."""

    def wait() -> None:
        os.read(0, 1)  # unbuffered: a lock on sys.stdin would abort the interpreter's end
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def main(args: Sequence[str]) -> int:
    """Perform the job of a file {"job", "work", "result"}; the error goes to FILE.error."""
    spec = Path(args[0])
    _end_with_parent()
    try:
        told = json.loads(spec.read_text("utf8"))
        work = Path(told["work"])
        with _alone(work.with_suffix(work.suffix + ".lock")):
            write_json(Path(told["result"]), perform(Job.read(told["job"]), work))
    except KeyboardInterrupt:
        return STOPPED
    except OddframeError as error:
        text = str(error)
    except Exception as error:
        traceback.print_exc()
        text = f"something unexpected went wrong: {type(error).__name__}: {error}"
    else:
        return 0
    spec.with_suffix(".error").write_text(text, "utf8")
    return FAILED


if __name__ == "__main__":
    process.tune()
    sys.exit(main(sys.argv[1:]))
