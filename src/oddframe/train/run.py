"""`fit`: from a folder of normal video to a RUN.

open data -> keep a part aside -> decode once -> train -> scene range and threshold -> RUN
"""

from __future__ import annotations

import contextlib
import json
import logging
import platform
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
import torch
from pydantic import create_model
from rich.console import Console
from rich.progress import Progress

from oddframe.config import Config, parsed
from oddframe.data import Dataset, open_dataset
from oddframe.data.flow_folder import StoredFlow, VideoFlow, flow_folder, needs_flow
from oddframe.data.frames import FrameStore
from oddframe.data.manifest import footage_hashes
from oddframe.errors import ConfigError, DatasetError, RunError
from oddframe.models import (
    ablated,
    ablation_name,
    build,
    carried,
    default_config,
    entry,
    recipe,
)
from oddframe.models.base import VADModel
from oddframe.process import keep_freed_memory
from oddframe.runs import CURVE, RESUME, Run, load_run, save_run, write_json
from oddframe.scoring.scorer import ScoreConfig
from oddframe.train.finish import finish
from oddframe.train.module import Batches, FitModule, TrainConfig
from oddframe.train.progress import STATE, Budget, Clocks, Watch, stop_on_interrupt
from oddframe.train.split import Span, Split, hold_out

PLAN = "plan.json"
RECIPES = ("size", "paper")
"""What `--recipe` takes: the size's own settings, or how the model's paper trains."""
NAMED = 8
"""Differences of a resumed run that its error names."""
LITERAL = "model.literal"
"""The setting that takes a paper at its word."""


@dataclass(frozen=True, slots=True)
class Configs:
    """The three groups of `--set`."""

    model: Config
    train: TrainConfig
    score: ScoreConfig

    def plain(self) -> dict[str, Any]:
        """Plain values for model.json."""
        groups = {"model": self.model, "train": self.train, "score": self.score}
        return {name: group.model_dump(mode="json") for name, group in groups.items()}


def configs(
    model: str, settings: Sequence[str] = (), *, ablation: str | None = None, how: str = "size"
) -> Configs:
    """A model size, then the recipe, a row of its ablations, `a.b=c` settings: the last one holds.

    But `model.literal`, wherever it stands among the settings, comes before the row, which would
    else be undone: a row is literal in all that it does not change.

    settings: of the groups model, train, score. ablation: a row (`models.ablation_name`).
    how: one of `RECIPES`.

    Raises:
        ConfigError: unknown model, recipe, row or key, value out of range, or one that
            `model.literal` sets otherwise.
    """
    if how not in RECIPES:
        raise ConfigError(f"Unknown recipe {how!r}; expected {' or '.join(RECIPES)}.")
    changes = recipe(model) if how == "paper" else {"model": {}, "train": {}, "score": {}}
    base = default_config(model)
    base = type(base).read({**base.model_dump(), **changes["model"]})
    train = TrainConfig.read({**entry(model).train, **changes["train"]})
    score = ScoreConfig.read(changes["score"])
    whole: Any = create_model(
        "Settings", __base__=Config,
        model=(type(base), base), train=(TrainConfig, train), score=(ScoreConfig, score),
    )  # fmt: skip
    out: Any = whole()
    if ablation is not None:
        first = [s for s in settings if s.partition("=")[0].strip() == LITERAL]
        settings = [s for s in settings if s not in first]
        printed = out.override(first)
        printed.refuse_forced(parsed(settings))  # the row itself may not say `literal` any more
        out = out.model_copy(update={"model": ablated(model, ablation, printed.model)})
    out = out.override(settings)
    return Configs(out.model, out.train, out.score)


def fit(
    *,
    model: str,
    data: str | Path,
    out: str | Path,
    epochs: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    settings: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    console: Console | None = None,
    flow: str | Path | None = None,
    core_minutes: float | None = None,
    ablation: str | None = None,
    recipe: str = "size",
) -> Run:
    """Train a model on normal video and leave a RUN folder.

    Args:
        model: a key of `oddframe.models.MODELS`.
        data: data-set root, folder of videos or frame folders, or one video; labels are not read.
        out: the RUN folder to make.
        epochs: passes over the training targets (default: `train.epochs`).
        minutes: stop after this time, decoding and the time before a resume included; with
            `epochs` too, or with `train.schedule=cosine`, whichever comes first.
        resume: go on where an interrupted run in `out` stopped; the same data and settings.
        settings: `group.key=value` overrides, groups model, train, score.
        seed: of the weights and of the order of the footage.
        device: auto, cpu or cuda.
        console: where progress goes (stderr by default).
        flow: folder of flow files (`data/flow_folder.py`), for a model that takes its flow from
            them; to be given again with `resume`.
        core_minutes: stop after this much processor time of this process, counted as `minutes`.
        ablation: a row of the model's ablations (`models.ablation_name`), kept in the card.
        recipe: size, the size's own settings, or paper (`models.recipe`).

    Returns:
        The finished run.

    Raises:
        OddframeError: bad data, settings or folder; what was written so far can be resumed.
        KeyboardInterrupt: stopped on request, after the state was saved.
    """
    started = Clocks.now()
    keep_freed_memory()
    console = console or Console(stderr=True)
    row = None if ablation is None else ablation_name(model, ablation)
    chosen, out = configs(model, settings, ablation=row, how=recipe), Path(out)
    budget = _budget(epochs, minutes, core_minutes)
    folder = flow_folder(carries := carried(model, chosen.model), flow, model)
    if carries and folder is None:
        raise needs_flow(model)
    _check_out(out, resume)
    dataset = open_dataset(data)
    if not dataset.train:
        raise DatasetError(f"{data} holds no training video (layout {dataset.layout}).")
    footage = footage_hashes(dataset)
    flows = None if folder is None else folder.videos(dataset, "train")
    origin = {} if folder is None else {"flow": folder.origin}
    plan = {
        "model": model, "config": chosen.plain(), "seed": seed, "data": footage["manifest"],
        "ablation": row, **origin,
    }  # fmt: skip
    if chosen.train.schedule == "cosine":
        plan["epochs"] = epochs  # the rate falls over them
    with _started(out, plan, resume):
        facts, net, batches, split = _learn(
            model, chosen, dataset, flows, out, budget, resume, seed, started, device, console,
        )  # fmt: skip
    found = finish(net, chosen.score, batches, split.held, device, console)
    card = {
        "seed": seed, "ablation": row, "recipe": recipe,
        "training": {**facts, **split.frames(), **found.learned()},
        "data": {"name": dataset.name, "layout": dataset.layout, **footage,
                 "videos": len(dataset.train), **origin},
        "versions": _versions(),
    }  # fmt: skip
    save_run(out, model, net, chosen.plain(), found.scene, found.calibration, card)
    shutil.rmtree(out / RESUME / "frames", ignore_errors=True)  # large, and quick to make again
    return load_run(out)


def _learn(
    model: str, chosen: Configs, dataset: Dataset, flows: Mapping[str, VideoFlow] | None, out: Path,
    budget: Budget, resume: bool, seed: int, started: Clocks, device: str, console: Console,
) -> tuple[dict[str, Any], VADModel, Batches, Split]:  # fmt: skip
    """Decode, keep a part aside, train: all that can be stopped and resumed."""
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("decoding", total=None)
        store = FrameStore.obtain(
            dataset.train, out / RESUME / "frames", chosen.model.size,  # type: ignore[attr-defined]
            lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    flow = None if flows is None else StoredFlow(store, flows)
    torch.manual_seed(seed)
    net = build(model, chosen.model)
    train = chosen.train
    split = hold_out(
        [Span(v.start, v.stop) for v in store.videos], train.hold_out, net.history + train.targets
    )
    held = f"{sum(map(len, split.held))} kept aside"
    if split.in_training:
        held = (
            f"none kept aside (the scene's range and the threshold come from "
            f"{sum(map(len, split.held))} of the frames that training sees too)"
        )
    console.print(
        f"{model}: {sum(map(len, split.train))} frames to train on, {held}, "
        f"{len(store.videos)} clips"
    )
    batches = Batches(store, split.train, net.history + train.targets, train.batch, seed, flow)
    net.prepare(_mean_frame(batches))
    facts = _train(net, batches, train, out, budget, resume, started, device, console)
    return facts, net, batches, split


def _budget(epochs: int | None, minutes: float | None, core_minutes: float | None) -> Budget:
    """The limits that a user gave; each above 0."""
    limits = {"--minutes": minutes, "--core-minutes": core_minutes, "--epochs": epochs}
    for option, value in limits.items():
        if value is not None and value <= 0:
            raise ConfigError(f"{option} must be above 0, found {value}.")
    return Budget(epochs, minutes, core_minutes)


def _check_out(out: Path, resume: bool) -> None:
    """A new run needs an empty folder, a resumed one its state."""
    state = out / RESUME / STATE
    if resume and not state.exists():
        raise RunError(
            f"{out} cannot be resumed: expected {state}, found none. "
            "Start it without --resume, or give the folder of an interrupted run."
        )
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        todo = "add --resume to go on with it, or " if state.exists() else ""
        raise RunError(f"{out} exists and is not empty: {todo}choose another --out folder.")


@contextlib.contextmanager
def _started(out: Path, plan: dict[str, Any], resume: bool) -> Iterator[None]:
    """The folder of a run that begins; an error before the first state leaves nothing of it."""
    existed = out.exists()
    try:
        _check_plan(out, plan, resume)
        yield
    except BaseException:
        if not resume and not (out / RESUME / STATE).exists():
            shutil.rmtree(out / RESUME, ignore_errors=True)
            (out / CURVE).unlink(missing_ok=True)
            if not existed:
                with contextlib.suppress(OSError):
                    out.rmdir()
        raise


def _check_plan(out: Path, plan: dict[str, Any], resume: bool) -> None:
    """A resumed run must be the one that was interrupted."""
    path = out / RESUME / PLAN
    if not resume:
        write_json(path, plan)
        return
    try:
        before = json.loads(path.read_text("utf8"))
    except (OSError, json.JSONDecodeError):
        raise RunError(f"{path} is missing or damaged: this run cannot be resumed.") from None
    changed = _differences(before, json.loads(json.dumps(plan)))
    if changed:
        more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        raise RunError(
            f"{out} was started otherwise: {'; '.join(changed[:NAMED])}{more}. A resumed run must "
            "have the same --model, --data, --flow, --seed, --ablation, --recipe and --set as "
            "before, with a cosine the same --epochs too: repeat these, or start a new run."
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs of two plans, options before settings: "--seed 0, now 5"."""
    if before.get("model") != now["model"]:  # whose settings have other names
        return [f"--model {before.get('model')}, now {now['model']}"]
    options, settings = [], []
    for key in now:
        old, new = before.get(key), now[key]
        if key == "config":
            old, new = _leaves(old or {}), _leaves(new)
            settings = [
                f"{name} {_said(old.get(name))}, now {_said(new.get(name))}"
                for name in dict.fromkeys([*new, *old])
                if old.get(name) != new.get(name)
            ]
        elif old != new and key == "data":  # both are hashes
            options.append(f"footage of --data {str(old)[:12]}, now {new[:12]}")
        elif old != new:
            options.append(f"--{key} {_said(old)}, now {_said(new)}")
    return options + settings


def _leaves(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings by the names that `--set` takes."""
    return {f"{g}.{name}": value for g, group in groups.items() for name, value in group.items()}


def _said(value: Any) -> str:
    """A value of a plan, as YAML would have it."""
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _mean_frame(batches: Batches) -> torch.Tensor:
    """Mean of 64 frames spread over the training footage: (3, h, w)."""
    steps = torch.linspace(0, batches.runs - 1, 64).long().tolist()
    return torch.stack([batches._run(i)[0, :3] for i in steps]).mean(0)


def _train(
    net: VADModel, batches: Batches, config: TrainConfig, out: Path, budget: Budget, resume: bool,
    started: Clocks, device: str, console: Console,
) -> dict[str, Any]:  # fmt: skip
    """Train in place; afterwards `net` holds the averaged weights."""
    module = FitModule(net, config, batches, budget.epochs)
    # Past the last of its epochs a cosine's rate is 0, whatever time is left.
    endless = budget.timed and config.schedule != "cosine"
    wanted = budget.epochs or (None if endless else config.epochs)
    steps = None if wanted is None else wanted * module.epoch_steps
    watch = Watch(out, budget, steps, started, console)
    with _quiet_lightning(), stop_on_interrupt(watch):
        trainer = L.Trainer(
            accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}.get(device, device),
            devices=1, precision=config.precision, max_epochs=-1, logger=False,
            gradient_clip_val=config.clip_gradient, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, callbacks=[watch],
        )  # fmt: skip
        state = out / RESUME / STATE
        trainer.fit(module, ckpt_path=state if resume else None)
    if watch.interrupted:
        console.print(f"stopped at step {trainer.global_step}; go on with --resume")
        raise KeyboardInterrupt
    net.load_state_dict(module.averaged.module.state_dict())
    net.requires_grad_(True)
    return {
        "steps": trainer.global_step,
        "epochs": round(trainer.global_step / module.epoch_steps, 3),
        "targets_seen": trainer.global_step * config.batch * config.targets,
        "minutes": round(watch.elapsed_s / 60, 2),
        "core_minutes": round(watch.core_s / 60, 3),
        "device": str(trainer.strategy.root_device),
        "threads": torch.get_num_threads(),
    }


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's banners and hints are not for our users."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*dataloader.*")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


def _versions() -> dict[str, str]:
    names = ("oddframe", "torch", "numpy", "opencv-python-headless", "lightning")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
