"""`fit`: from a folder of normal video to a RUN.

look at the footage -> plan -> decode -> train -> scene range and threshold -> RUN
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from oddframe.atomic import write_atomic
from oddframe.bars import counting
from oddframe.data import Dataset, open_dataset
from oddframe.data.flow_folder import StoredFlow, VideoFlow, flow_folder, needs_flow
from oddframe.data.frames import FrameStore
from oddframe.data.manifest import footage_hashes
from oddframe.device import pick_device
from oddframe.errors import DatasetError
from oddframe.models import build
from oddframe.models.base import VADModel
from oddframe.process import tune
from oddframe.runs import CARD, RESUME, SELFTEST, Run, load_run, save_run
from oddframe.scoring.selftest import clip_frames
from oddframe.scoring.selftest_picture import png
from oddframe.sources import Reading
from oddframe.train import take
from oddframe.train.budget import Budget, Clocks
from oddframe.train.devices import Devices, find_place, launched_place, leads
from oddframe.train.drive import Job
from oddframe.train.finish import Finished, Spent, finish, frame_seconds
from oddframe.train.follow import follow, lead, led
from oddframe.train.module import Batches
from oddframe.train.ranks import Ranks
from oddframe.train.split import Span, Split, hold_out
from oddframe.train.started import FRAMES, check_out, started
from oddframe.train.take import Footage, Speed, Taken
from oddframe.train.wanted import Configs, Wanted, configs, outlined

__all__ = ["Budget", "Devices", "Footage", "Wanted", "configs", "fit", "leads"]

FINISH = 1.15
"""What the end takes, by what a frame takes."""


def fit(
    model: str | Wanted,
    data: str | Path | Footage,
    out: str | Path,
    budget: Budget | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
    devices: int | str | Devices | None = None,
    console: Console | None = None,
) -> Run:
    """Train a model on normal video and leave a RUN folder.

    Args:
        model: a key of `oddframe.models.MODELS`, or that with settings, seed, row and recipe.
        data: data-set root, folder of videos or frame folders, or one video, or that with how it
            is read; labels are not.
        out: the RUN folder to make.
        budget: when to stop; the whole time, from looking at the footage to the threshold.
        resume: go on where an interrupted run in `out` stopped; the same footage and settings.
        device: auto, cpu, cuda or cuda:N.
        devices: GPUs, or processes on a CPU, that train together: a number, auto (all GPUs), or
            that with a number of machines. Under torchrun, what it has started.
        console: where progress goes (stderr by default).

    Returns:
        The finished run; under torchrun in every process.

    Raises:
        OddframeError: bad data, settings or folder; a loss that is not finite; what was written so
            far can be resumed.
        KeyboardInterrupt: stopped on request, after the state was saved.
    """
    began = Clocks.now()
    tune()
    if not leads():
        follow(launched_place())
        return load_run(out)
    wanted = model if isinstance(model, Wanted) else Wanted(model)
    footage = data if isinstance(data, Footage) else Footage(data)
    asked = devices if isinstance(devices, Devices) else Devices(devices)
    chosen = wanted.configs()
    pick_device(device)  # one that is not there shows before any work
    place = find_place(asked, device, chosen.train.batch)
    if place.rank:  # of a second machine
        follow(place)
        return load_run(out)
    ranks = Ranks(place)
    work = _Work(
        wanted, footage, chosen, Path(out), budget or Budget(), resume, device,
        console or Console(stderr=True), began, ranks,
    )  # fmt: skip
    with led(ranks):
        return work.run()


@dataclass(frozen=True, slots=True)
class _Learned:
    """What a training leaves."""

    net: VADModel
    facts: dict[str, Any]
    split: Split
    taken: Taken
    end: Finished


@dataclass(frozen=True, slots=True)
class _Work:
    """One `fit` at work."""

    wanted: Wanted
    footage: Footage
    chosen: Configs
    out: Path
    budget: Budget
    resume: bool
    device: str
    console: Console
    began: Clocks
    ranks: Ranks

    def run(self) -> Run:
        """All of it; errors as `fit`."""
        wanted, footage = self.wanted, self.footage
        self.budget.check()
        footage.check()
        reading = Reading(fps=footage.fps, allow_short=footage.allow_short)
        carried = outlined(wanted.model, self.chosen).carried
        folder = flow_folder(carried, footage.flow, wanted.model)
        if carried and folder is None:
            raise needs_flow(wanted.model)
        check_out(self.out, self.resume)
        dataset = open_dataset(footage.data, reading=reading)
        if not dataset.train:
            raise DatasetError(f"{footage.data} holds no training video (layout {dataset.layout}).")
        if dataset.left_out_text:
            self.console.print(dataset.left_out_text, highlight=False)
        hashes = footage_hashes(dataset)
        flows = None if folder is None else folder.videos(dataset, "train")
        origin = {} if folder is None else {"flow": folder.origin}
        plan = {
            "model": wanted.model, "config": self.chosen.plain(), "seed": wanted.seed,
            "data": hashes["manifest"], "ablation": wanted.row, "fps": footage.fps,
            "cache": footage.cache_gb, **origin,
        }  # fmt: skip
        if self.chosen.train.schedule == "cosine":
            plan["epochs"] = self.budget.epochs  # the rate falls over them
        with started(self.out, plan, self.resume):
            before = self._finished()
            over = before is not None and before.card.get("budget") == asdict(self.budget)
            learned = None if over else self.learn(dataset, flows, before)
            if learned is None:
                self.console.print(
                    f"{self.out} was finished: nothing left to train, it stays as it is"
                )
            else:
                about = {"name": dataset.name, "layout": dataset.layout, **hashes,
                         "videos": len(dataset.train), **origin}  # fmt: skip
                self._save(learned, about)
            # Large, and quick to make again.
            shutil.rmtree(self.out / RESUME / FRAMES, ignore_errors=True)
        return load_run(self.out)

    def _save(self, learned: _Learned, data: Mapping[str, Any]) -> None:
        """Write the RUN; data: what its card says of the footage."""
        wanted, end = self.wanted, learned.end
        card = {
            "seed": wanted.seed, "ablation": wanted.row, "recipe": wanted.recipe,
            "budget": asdict(self.budget), "fps": learned.taken.fps, "used": learned.taken.used,
            "training": {**learned.facts, **learned.split.frames(), **end.learned()},
            "data": {**data, "taken": learned.taken.text}, "versions": _versions(),
        }  # fmt: skip
        save_run(
            self.out, wanted.model, learned.net, self.chosen.plain(), end.scene, end.calibration,
            card, end.usual,
        )  # fmt: skip
        if end.selftest is not None:
            picture = png(end.selftest)
            write_atomic(self.out / SELFTEST, lambda p: p.write_bytes(picture))

    def _finished(self) -> Run | None:
        """The RUN that is gone on with, where it is one already, and whole."""
        if not self.resume or not (self.out / CARD).exists():
            return None
        run = load_run(self.out)
        return run if run.whole else None

    def learn(
        self, dataset: Dataset, flows: Mapping[str, VideoFlow] | None, before: Run | None
    ) -> _Learned | None:
        """Plan, decode, keep a part aside, train, and look at that part.

        None: there was nothing left to train of a RUN that was finished before.
        """
        if before is not None and before.calibrated:
            rate = before.card["calibration"]["alarms_per_day"]
            self.console.print(
                f"{self.out} was calibrated, for {rate:g} alarms a day. If it is trained on now, "
                "that threshold goes with the weights that it was found for: calibrate it again.",
                highlight=False,
            )
        train = self.chosen.train
        torch.manual_seed(self.wanted.seed)
        net = build(self.wanted.model, self.chosen.model)
        shortest = net.history + train.targets
        timed = self.budget.timed
        frame_s = frame_seconds(net, self.chosen.score, self.device) if timed else None
        # As long as a clip of the self-test: half of it is the history of the other half.
        aside = max(clip_frames(net.history), shortest)
        taken = self._plan(dataset, Speed(net.size, shortest, train.hold_out, frame_s, aside))
        if taken.used is not None:
            dataset = dataset.read_as(replace(dataset.train[0].reading, used=taken.used))
        store = self._store(dataset, taken)
        flow = None if flows is None else StoredFlow(store, flows)
        split = _split(store, train.hold_out, shortest, taken)
        self._say(taken, split, store)
        spans, seed = split.train, self.wanted.seed
        batches = Batches(store, spans, shortest, train.batch, seed, flow)
        net.start_from(_still(batches))
        budget, spent = self._ends(frame_s, split)
        job = Job(
            self.wanted.model, self.chosen.model, train, batches, budget, self.out, self.resume,
            self.device,
        )  # fmt: skip
        facts = lead(job, net, self.ranks, self.began, self.console)
        if before is not None and facts["steps"] == before.card["training"]["steps"]:
            return None
        score = self.chosen.score
        end = finish(net, score, batches, split, self.device, self.console, spent)
        return _Learned(net, facts, split, taken, end)

    def _ends(self, frame_s: float | None, split: Split) -> tuple[Budget, Spent]:
        """What training has of the budget, and what the end after it."""
        minutes, cores = self.budget.minutes, self.budget.core_minutes
        if minutes is not None and frame_s is not None:
            spent = Spent.within(60 * minutes, frame_s)
            end_s = FINISH * spent.seconds(frame_s, split)
            return replace(self.budget, minutes=max(minutes - end_s / 60, minutes / 2)), spent
        if cores is not None and frame_s is not None:
            # What a score is of must not hang on what else the machine does: the self-test may.
            return self.budget, Spent(clips=Spent.within(60 * cores, frame_s).clips)
        return self.budget, Spent()

    def _plan(self, dataset: Dataset, speed: Speed) -> Taken:
        """What is decoded: as an interrupted run had planned it."""
        if self.resume:
            return Taken.read(self.out / RESUME)
        footage = self.footage
        taken = take.plan(
            dataset.train, footage, self.budget, speed, self.wanted.seed, self.console
        )
        taken.write(self.out / RESUME)
        return taken

    def _store(self, dataset: Dataset, taken: Taken) -> FrameStore:
        console, most = self.console, int(take.FOR_FRAMES * self.footage.cache_gb * take.GB)
        with counting("decoding", console) as tick:
            return FrameStore.obtain(
                dataset.train, self.out / RESUME / FRAMES,
                self.chosen.model.size,  # type: ignore[attr-defined]
                tick, taken.take, most,
            )  # fmt: skip

    def _say(self, taken: Taken, split: Split, store: FrameStore) -> None:
        held = f"{sum(map(len, split.held))} kept aside"
        if split.in_training:
            held = (
                f"none kept aside (the scene's range and the threshold come from "
                f"{sum(map(len, split.held))} of the frames that training sees too)"
            )
        clips = len({v.name for v in store.videos})
        self.console.print(
            f"{self.wanted.model}: {sum(map(len, split.train))} frames to train on, {held}, "
            f"{clips} clip{'s' * (clips != 1)}; {taken.text}",
            highlight=False,
        )
        if taken.take.stretches is not None:
            take.write_table(self.out, store)
            self.console.print(f"which stretches of which video: {self.out / take.TABLE}")


def _split(store: FrameStore, share: float, shortest: int, taken: Taken) -> Split:
    """What trains and what is kept aside: as planned, and by `hold_out` where there is no plan."""
    videos = [v for v in store.videos if not v.lead]
    spans = {v: Span(v.start, v.stop) for v in videos if v.stop - v.start >= shortest}
    train = tuple(span for v, span in spans.items() if v.held is False)
    held = tuple(span for v, span in spans.items() if v.held)
    if train and held:
        return Split(train, held)
    return hold_out([Span(v.start, v.stop) for v in videos], share, shortest, taken.most_held)


def _still(batches: Batches) -> torch.Tensor:
    """What stands still: the median of 64 frames spread over the training footage, (3, h, w)."""
    steps = torch.linspace(0, batches.runs - 1, 64).long().tolist()
    return torch.stack([batches.first(i) for i in steps]).median(0).values


def _versions() -> dict[str, str]:
    names = (
        "oddframe", "torch", "numpy", "opencv-python-headless", "av", "lightning",
    )  # fmt: skip
    return {"python": platform.python_version()} | {name: version(name) for name in names}
