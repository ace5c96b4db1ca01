"""`oddframe fit`: from a folder of normal video to a RUN."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from oddframe.cli.options import many


@dataclass(frozen=True, slots=True)
class Time:
    """When a training ends."""

    epochs: int | None = typer.Option(None, "--epochs", help="Passes over the footage.")
    steps: int | None = typer.Option(
        None, "--steps",
        help="Steps of training: model.json says how many a RUN had, so that it can be repeated.",
    )  # fmt: skip
    minutes: float | None = typer.Option(None, "--minutes", help="Time for all of it.")
    core_minutes: float | None = typer.Option(
        None, "--core-minutes",
        help="Stop after this processor time: about as many steps beside other work.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a model is trained, and how."""

    ablation: str | None = typer.Option(
        None, "--ablation", metavar="ROW",
        help="A row of the paper's ablations, e.g. M1: oddframe info MODEL lists them.",
    )  # fmt: skip
    recipe: str = typer.Option(
        "size", "--recipe", help="size (what suits it), or paper: trained as its paper says."
    )
    settings: list[str] = many(
        "--set", metavar="A.B=C", help="Change a setting (model., train., score.); repeatable."
    )
    seed: int = typer.Option(0, "--seed", help="Of the weights and the order of the footage.")


@dataclass(frozen=True, slots=True)
class Taken:
    """What is read of the footage."""

    flow: Path | None = typer.Option(
        None, "--flow", metavar="FOLDER",
        help="Flow files, for a model that reads them (`oddframe data flow`).",
    )  # fmt: skip
    fps: float | None = typer.Option(
        None, "--fps",
        help="Frames per second to learn at, and of folders of frames (default: the footage's "
        "own, up to 30).",
    )  # fmt: skip
    cache: float = typer.Option(4.0, "--cache", help="Disk for decoded frames, in GB.")
    allow_short: bool = typer.Option(
        False, "--allow-short", help="Accept video files that are cut short."
    )


@dataclass(frozen=True, slots=True)
class On:
    """What it is trained on."""

    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda or cuda:N.")
    devices: str | None = typer.Option(
        None, "--devices", metavar="N",
        help="GPUs, or processes on a CPU, that train together (default: 1); auto: all GPUs. "
        "train.batch is shared among them.",
    )  # fmt: skip
    nodes: int | None = typer.Option(
        None, "--nodes", help="Machines with --devices each; see docs/training.md, or use torchrun."
    )


def command(
    model: str = typer.Option(
        ..., "--model", help="m2s2l-edge (for a CPU), m2s2l (the paper's), …: oddframe models."
    ),
    data: Path = typer.Option(
        ..., "--data", help="Data-set root, folder of videos or of frame folders, or one video."
    ),
    out: Path = typer.Option(..., "--out", help="RUN folder to make."),
    resume: bool = typer.Option(False, "--resume", help="Go on with an interrupted run in --out."),
    *,
    time: Time,
    asked: Asked,
    taken: Taken,
    on: On,
) -> None:
    """Learn what is normal from unlabelled footage; labels are not read."""
    from oddframe.cli.console import stderr
    from oddframe.models.in_use import in_use_text
    from oddframe.runs import SELFTEST
    from oddframe.scoring.selftest import words
    from oddframe.train.fit import Budget, Devices, Footage, Wanted, fit, leads

    wanted = Wanted(model, asked.settings, asked.seed, asked.ablation, asked.recipe)
    footage = Footage(data, taken.flow, taken.fps, taken.cache, taken.allow_short)
    budget = Budget(time.epochs, time.steps, time.minutes, time.core_minutes)
    devices = Devices(on.devices, on.nodes)
    run = fit(
        wanted, footage, out, budget, resume=resume, device=on.device, devices=devices,
        console=stderr(),
    )  # fmt: skip
    if not leads():
        return
    facts = run.card.get("training", {})
    row = run.card.get("ablation")
    named = run.name + (f" {row}" if row else "")
    print(f"{run.path}: {named}, {facts.get('steps')} steps in {facts.get('minutes')} min")
    print(_learned(facts))
    if "memory" in facts:
        print(f"items in use: {in_use_text(facts['memory'])}")
    if run.calibration is not None:
        print(run.calibration["text"])
    if "selftest" in facts:
        print(words(facts["selftest"]))
        print(f"examples: {run.path / SELFTEST}")
    more = "" if taken.flow is None else " --flow FOLDER"
    print(f"next: oddframe score {shlex.quote(str(run.path))} VIDEO --out DIR{more}")


def _learned(facts: dict[str, Any]) -> str:
    """Whether the model knows more of frames than that they repeat."""
    drawn, copied = facts["psnr_db"], facts["copied_psnr_db"]
    which = "that training saw too" if facts.get("held_out_in_training") else "kept aside"
    said = f"frames {which}: drawn to {drawn:.1f} dB, their predecessors would be {copied:.1f}"
    return said if drawn > copied else f"{said}: no better than copying yet, train longer"
