"""What happens beside the steps: the loss curve, the clock, the bar, the state for resuming."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from oddframe.errors import ConfigError, RunError
from oddframe.train.module import FitModule

STATE = "state.ckpt"
SAVE_EVERY_S = 60.0
"""A killed run loses at most this much time."""
PRINT_EVERY_S = 30.0
"""Where the output is not a terminal, a line takes the place of the bar."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Two clocks at one moment."""

    wall_s: float
    core_s: float
    """Processor time of this process, all its threads."""

    @classmethod
    def now(cls) -> Clocks:
        """What they show."""
        return cls(time.monotonic(), time.process_time())


@dataclass(frozen=True, slots=True)
class Budget:
    """When training ends: None sets no limit; of several, what comes first."""

    epochs: int | None = None
    """Passes over the training targets (default: `train.epochs`)."""
    minutes: float | None = None
    """Of the clock for the whole `fit`, the time before a resume included."""
    core_minutes: float | None = None
    """Of processor time: about as many steps whatever else the machine does.

    Not quite as many: what a step takes of it depends on shared caches and on the clock rate."""

    def check(self) -> None:
        """Raise ConfigError for a limit that is not above 0."""
        limits = {
            "--minutes": self.minutes, "--core-minutes": self.core_minutes, "--epochs": self.epochs,
        }  # fmt: skip
        for option, value in limits.items():
            if value is not None and value <= 0:
                raise ConfigError(f"{option} must be above 0, found {value}.")

    def used(self, elapsed_s: float, core_s: float) -> float:
        """Share of the time that is used up; 0 where there is no limit."""
        shares = [
            spent / (60 * limit)
            for spent, limit in ((elapsed_s, self.minutes), (core_s, self.core_minutes))
            if limit is not None
        ]
        return max(shares, default=0.0)

    @property
    def timed(self) -> bool:
        """Whether a clock ends it."""
        return self.minutes is not None or self.core_minutes is not None


class Curve:
    """train.csv: one row per step. After a kill the rows past the saved state are cut off."""

    def __init__(self, path: Path, resume_step: int) -> None:
        kept = _rows_before(path, resume_step)
        with path.open("w", newline="") as file:
            file.write(kept)
        self._file = path.open("a", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._header = bool(kept)

    def write(self, step: int, epoch: float, elapsed_s: float, lr: float, parts: Any) -> None:
        """Append one step."""
        if not self._header:
            self._writer.writerow(["step", "epoch", "elapsed_s", "lr", *parts])
            self._header = True
        values = [f"{v:.7g}" for v in parts.values()]
        self._writer.writerow([step, f"{epoch:.3f}", f"{elapsed_s:.1f}", f"{lr:.6g}", *values])

    def flush(self) -> None:
        """Bring everything to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close; on a full disk what cannot be written is lost, and was reported."""
        with contextlib.suppress(OSError):
            self._file.close()


def _rows_before(path: Path, step: int) -> str:
    """Header and rows of the steps below `step`; a half-written last line is dropped."""
    if not step or not path.exists():
        return ""
    lines = path.read_text("utf8").splitlines(keepends=True)
    kept = io.StringIO()
    for i, line in enumerate(lines):
        if not line.endswith("\n") or (i and int(line.split(",", 1)[0]) >= step):
            break
        kept.write(line)
    return kept.getvalue()


class Watch(L.Callback):
    """Stops on time or on request, writes the curve, saves the state, shows the progress."""

    def __init__(
        self, out: Path, budget: Budget, max_steps: int | None, started: Clocks, console: Console
    ) -> None:
        self.out, self.budget, self.max_steps, self.console = out, budget, max_steps, console
        self.started, self.before = started, Clocks(0.0, 0.0)
        self.interrupted = False
        self._saved = self._printed = time.monotonic()
        self._curve: Curve | None = None
        self._progress = Progress(
            TextColumn("training"), BarColumn(), TextColumn("{task.percentage:3.0f}%"),
            TextColumn("step {task.fields[step]}  loss {task.fields[loss]:.5f}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=1.0, step=0, loss=float("nan"))
        self._loss = float("nan")

    @property
    def elapsed_s(self) -> float:
        """Seconds of fitting, those before a resume included."""
        return self.before.wall_s + time.monotonic() - self.started.wall_s

    @property
    def core_s(self) -> float:
        """Seconds of processor time that fitting took, likewise."""
        return self.before.core_s + time.process_time() - self.started.core_s

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {"elapsed_s": self.elapsed_s, "core_s": self.core_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count the time before the resume as well."""
        self.before = Clocks(state["elapsed_s"], state.get("core_s", 0.0))

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Open the curve where the state stands."""
        self._curve = Curve(self.out / "train.csv", trainer.global_step)
        self._progress.start()
        self.save(trainer)  # so that a run killed at any moment can be resumed
        # One that was over is not trained on; a new one makes a step, however long decoding took.
        if trainer.global_step and self._done(trainer.global_step) >= 1:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        """After each step."""
        assert isinstance(module, FitModule)
        assert self._curve is not None
        step, elapsed = trainer.global_step - 1, self.elapsed_s
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        with self._writing():
            self._curve.write(step, step / module.epoch_steps, elapsed, lr, module.parts)
        if time.monotonic() - self._saved > SAVE_EVERY_S and not module.finite():
            raise self._diverged(module, step)  # the next loss would show it, and this be saved
        loss = module.parts["loss"]
        self._loss = loss if self._loss != self._loss else 0.98 * self._loss + 0.02 * loss
        done = self._done(step + 1)
        self._show(step + 1, done, elapsed)
        if done >= 1 or self.interrupted:
            trainer.should_stop = True
        if trainer.should_stop or time.monotonic() - self._saved > SAVE_EVERY_S:
            self.save(trainer)

    def on_before_backward(self, trainer: L.Trainer, module: Any, loss: Any) -> None:
        """A loss that is not finite spoils the weights with its first step."""
        if not math.isfinite(float(loss.detach())):
            raise self._diverged(module, trainer.global_step)

    def _diverged(self, module: FitModule, step: int) -> RunError:
        parts = ", ".join(f"{name} {value:.3g}" for name, value in module.parts.items())
        config = module.config
        return RunError(
            f"Training broke off at step {step}: the loss is not finite ({parts}). The state saved "
            f"before, in {self.out / 'resume'}, is whole, and model.safetensors was not written. "
            f"Most often the learning rate is too high (train.lr={config.lr:g}) or gradients are "
            f"not limited (train.clip_gradient={config.clip_gradient:g}): start a new run with "
            "smaller ones."
        )

    def _done(self, steps: int) -> float:
        """Share of the training that is done after so many steps: 1 once a limit is reached."""
        by_step = steps / self.max_steps if self.max_steps else 0.0
        return min(1.0, max(self.budget.used(self.elapsed_s, self.core_s), by_step))

    def _show(self, step: int, done: float, elapsed: float) -> None:
        self._progress.update(self._task, completed=done, step=step, loss=self._loss)
        if self._progress.disable and time.monotonic() - self._printed > PRINT_EVERY_S:
            self._printed = time.monotonic()
            left = elapsed / max(done, 1e-6) - elapsed
            self.console.print(
                f"training {100 * done:.0f} %  step {step}  loss {self._loss:.5f}  "
                f"{elapsed / 60:.1f} min, about {left / 60:.1f} min left"
            )

    def save(self, trainer: L.Trainer) -> None:
        """Save everything that a resume needs, atomically; the curve first."""
        assert self._curve is not None
        path = self.out / "resume" / STATE
        temporary = path.with_suffix(".tmp")
        with self._writing():
            self._curve.flush()
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                trainer.save_checkpoint(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        self._saved = time.monotonic()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"Cannot write to {self.out}: {error.strerror or error}. The state saved last is "
                "whole: free some space and go on with --resume."
            ) from None

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Close the bar and the curve, whatever happened."""
        self._progress.stop()
        if self._curve is not None:
            self._curve.close()
            self._curve = None


@contextlib.contextmanager
def stop_on_interrupt(watch: Watch) -> Iterator[None]:
    """First Ctrl-C (or SIGTERM): finish the step, save, stop. Second: at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _: Any) -> None:
        if watch.interrupted:
            raise KeyboardInterrupt
        watch.interrupted = True
        watch.console.print("stopping after this step (once more to stop at once)")

    old = {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
