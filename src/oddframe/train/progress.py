"""What happens beside the steps: the loss curve, the clock, the bar, the state for resuming.

Of several processes each has a `Watch`; rank 0's has the clock, the bar and the files, and what it
decides holds for all from the next step on.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from oddframe.atomic import flush
from oddframe.errors import RunError
from oddframe.train.budget import Budget, Clocks
from oddframe.train.curve import Curve
from oddframe.train.devices import Place
from oddframe.train.module import FitModule
from oddframe.train.ranks import Ranks

STATE = "state.ckpt"
SAVE_EVERY_S = 60.0
"""A killed run loses at most this much time."""
PRINT_EVERY_S = 30.0
"""Where the output is not a terminal, a line takes the place of the bar."""


class Watch(L.Callback):
    """Stops on time or on request, writes the curve, saves the state, shows the progress."""

    def __init__(
        self, out: Path, budget: Budget, max_steps: int | None, started: Clocks, console: Console,
        ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        self.out, self.budget, self.max_steps, self.console = out, budget, max_steps, console
        self.started, self.before = started, Clocks(0.0, 0.0)
        self.ranks = ranks or Ranks(Place())
        self.asked = False
        """A signal asked this process to stop."""
        self.interrupted = False
        """All processes stop because one was asked to."""
        self._over = self._save_now = False
        self._core_elsewhere_s = 0.0
        self._ranks_before: int | None = None
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
        """Seconds of processor time that fitting took in all processes, likewise."""
        return self.before.core_s + self._core_here_s + self._core_elsewhere_s

    @property
    def _core_here_s(self) -> float:
        return time.process_time() - self.started.core_s

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        ranks = self.ranks.place.ranks
        return {"elapsed_s": self.elapsed_s, "core_s": self.core_s, "ranks": ranks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count the time before the resume as well."""
        self.before = Clocks(state["elapsed_s"], state.get("core_s", 0.0))
        self._ranks_before = state.get("ranks", 1)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Open the curve where the state stands."""
        if not self.ranks.alone:
            _listen(self)  # Lightning's own handler broadcasts, whatever the others are at
        if self.ranks.leads:
            if trainer.global_step:
                self.console.print(f"goes on from step {trainer.global_step}", highlight=False)
            self._say_ranks()
            self._curve = Curve(self.out / "train.csv", trainer.global_step)
            self._progress.start()
        self.save(trainer)  # so that a run killed at any moment can be resumed
        # One that was over is not trained on; a new one makes a step, however long decoding took.
        over = bool(trainer.global_step) and self._done(trainer.global_step) >= 1
        if self.ranks.agree([float(self.ranks.leads and over)])[0]:
            trainer.should_stop = True

    def _say_ranks(self) -> None:
        now = self.ranks.place.ranks
        if self._ranks_before not in (None, now):
            self.console.print(
                f"begun by {self._ranks_before} processes, goes on with {now}: the same batches "
                "and steps, but sums are added up in another order, so not the same bits",
                highlight=False,
            )

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        """After each step."""
        assert isinstance(module, FitModule)
        step, elapsed = trainer.global_step - 1, self.elapsed_s
        if self._curve is not None:
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            with self._writing():
                self._curve.write(step, step / module.epoch_steps, elapsed, lr, module.parts)
        if self.ranks.alone:
            self._decide()
        loss = module.parts["loss"]
        self._loss = loss if self._loss != self._loss else 0.98 * self._loss + 0.02 * loss
        if self.ranks.leads:
            self._show(step + 1, self._done(step + 1), elapsed)
        if self._over or self.interrupted or self._by_step(step + 1) >= 1:
            trainer.should_stop = True
        if trainer.should_stop or self._save_now:
            if not module.finite():
                raise self._diverged(module, step)  # the next loss would show it, and this be saved
            self.save(trainer)

    def on_before_backward(self, trainer: L.Trainer, module: Any, loss: Any) -> None:
        """A loss that is not finite spoils the weights with its first step."""
        own = float(loss.detach())
        if not self.ranks.alone:
            self._agree(module)
        if not math.isfinite(own) or not math.isfinite(module.parts["loss"]):
            raise self._diverged(module, trainer.global_step)

    def _decide(self) -> None:
        """What this process would do after the step."""
        self._over = self.budget.used(self.elapsed_s, self.core_s) >= 1
        self.interrupted = self.asked
        self._save_now = time.monotonic() - self._saved > SAVE_EVERY_S

    def _agree(self, module: FitModule) -> None:
        """The same in all processes: rank 0's clock, anyone's signal, the mean of the losses."""
        self._decide()
        leads, here = self.ranks.leads, self._core_here_s
        own = [float(leads and self._over), float(self.asked), float(leads and self._save_now)]
        means = [value / self.ranks.place.ranks for value in module.parts.values()]
        *parts, over, asked, save, core = self.ranks.agree([*means, *own, here])
        module.parts = dict(zip(module.parts, parts, strict=True))
        self._over, self.interrupted, self._save_now = over > 0, asked > 0, save > 0
        self._core_elsewhere_s = core - here

    def _diverged(self, module: FitModule, step: int) -> RunError:
        parts = ", ".join(f"{name} {value:.3g}" for name, value in module.parts.items())
        config = module.config
        return RunError(
            f"Training broke off at step {step}: the loss, or a weight, is not finite ({parts}). "
            f"The state saved before, in {self.out / 'resume'}, is whole, and model.safetensors "
            f"was not written. Most often the learning rate is too high (train.lr={config.lr:g}) "
            f"or gradients are not limited (train.clip_gradient={config.clip_gradient:g}): start a "
            "new run with smaller ones."
        )

    def _done(self, steps: int) -> float:
        """Share of the training that is done after so many steps: 1 once a limit is reached."""
        return min(1.0, max(self.budget.used(self.elapsed_s, self.core_s), self._by_step(steps)))

    def _by_step(self, steps: int) -> float:
        return steps / self.max_steps if self.max_steps else 0.0

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
        """Save everything that a resume needs, atomically; the curve first.

        Rank 0 writes; the others see that theirs are the same bits, and wait for it.
        """
        path = self.out / "resume" / STATE
        temporary = path.with_suffix(".tmp")
        self.ranks.check_alike(trainer.lightning_module)
        with self._writing():
            if self._curve is None:
                trainer.save_checkpoint(temporary)
                return
            self._curve.flush()
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                trainer.save_checkpoint(temporary)
                flush(temporary)
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
    old = _listen(watch)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _listen(watch: Watch) -> dict[int, Any]:
    """Hear signals; what stood there before, where this is the thread that may."""
    if threading.current_thread() is not threading.main_thread():
        return {}

    def ask(number: int, _: Any) -> None:
        if watch.asked:
            raise KeyboardInterrupt
        watch.asked = True
        watch.console.print("stopping after this step (once more to stop at once)")

    return {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)}
