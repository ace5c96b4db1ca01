"""When a training ends."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from oddframe.errors import ConfigError


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
    steps: int | None = None
    """Of the optimiser, those before a resume included: the same training on any machine."""
    minutes: float | None = None
    """Of the clock for the whole `fit`, the time before a resume included."""
    core_minutes: float | None = None
    """Of processor time: about as many steps whatever else the machine does.

    Not quite as many: what a step takes of it depends on shared caches and on the clock rate."""

    def check(self) -> None:
        """Raise ConfigError for a limit that is no number above 0."""
        limits = {
            "--minutes": self.minutes, "--core-minutes": self.core_minutes, "--epochs": self.epochs,
            "--steps": self.steps,
        }  # fmt: skip
        for option, value in limits.items():
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{option} must be a number above 0, found {value}.")

    def steps_at_most(self, epochs: int | None, epoch_steps: int) -> int | None:
        """Steps after which it is over, by passes and by steps; None: only a clock ends it."""
        limits = [self.steps, None if epochs is None else epochs * epoch_steps]
        return min((limit for limit in limits if limit is not None), default=None)

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
