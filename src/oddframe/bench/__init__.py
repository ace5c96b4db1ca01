"""`oddframe bench`: timings side by side in one run, and their ratios.

One file per bench, one row in `BENCHES`; imported when asked for, since all of them load torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from oddframe.errors import ConfigError
from oddframe.models import MODELS, entry

if TYPE_CHECKING:
    from oddframe.bench.table import Table
    from oddframe.bench.timing import Tick

BENCHES = {
    "scan": "oddframe.bench.scan",
    "stream": "oddframe.bench.stream",
    "train": "oddframe.bench.train",
}
"""What `oddframe bench` takes, and the file whose `run(quick, tick)` gives its tables."""
BUSY = 0.5
"""A load above this is said: something else was running."""
ALL = "all"
"""Every model of the table."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What `bench stream` times; the others take none of it."""

    models: tuple[str, ...] = ()
    """Keys of `MODELS`, or "all"; none: the bench's own selection."""
    device: str = "cpu"
    """cpu, cuda, cuda:N, or auto (cuda where there is one)."""
    clip: bool = False
    """Also the stateless clip of each model, which the bench's own selection has anyway."""
    runtime: str = "torch"
    """`onnx`: each model also in ONNX Runtime, beside torch."""

    @property
    def onnx(self) -> bool:
        """Whether ONNX Runtime is timed too."""
        return self.runtime == "onnx"

    def names(self) -> tuple[str, ...]:
        """The models, each once, in the order asked for.

        Raises:
            ConfigError: unknown name.
        """
        found = [name for m in self.models for name in (MODELS if m == ALL else [m])]
        for name in found:
            entry(name)
        return tuple(dict.fromkeys(found))


def run(
    name: str, quick: bool = False, tick: Tick | None = None, choice: Choice | None = None
) -> dict[str, Any]:
    """Run one bench; what `oddframe bench NAME --json` writes.

    Args:
        name: a key of `BENCHES`.
        quick: tiny shapes and models, to see that everything runs; its numbers mean nothing.
        tick: called with a title, the job runs done and those expected, after every run.
        choice: models and device of `stream`.

    Returns:
        `bench`, `quick`, `machine` (see `timing.machine`), and `tables`: a list of `Table`s.

    Raises:
        ConfigError: unknown name of a bench or a model, no such device, a choice for a bench that
            has none.
    """
    if name not in BENCHES:
        raise ConfigError(f"bench knows {', '.join(BENCHES)}, found {name!r}.")
    chosen = choice or Choice()
    if name != "stream" and chosen != Choice():
        raise ConfigError(
            f"bench {name} takes no choice of models, device, clip or runtime: that is for "
            "bench stream."
        )
    if chosen.runtime not in ("torch", "onnx"):
        raise ConfigError(f"bench stream --runtime is torch or onnx, found {chosen.runtime!r}.")
    chosen.names()  # a name that is wrong is said before torch is loaded
    from oddframe.bench.timing import machine, silent

    here = machine()  # before the bench itself loads the machine
    given = {"choice": chosen} if name == "stream" else {}
    tables: list[Table] = import_module(BENCHES[name]).run(quick, tick or silent, **given)
    return {
        "bench": name, "quick": quick, "machine": here, "tables": [t.plain() for t in tables],
    }  # fmt: skip


def text(found: dict[str, Any]) -> str:
    """What `run` found as lines of at most 100 columns."""
    from oddframe.bench.table import text as table_text

    m = found["machine"]
    load = "unknown" if m["load"] is None else f"{m['load']:.1f}"
    on_cpu = all(table["device"] == "cpu" for table in found["tables"])
    how = "fastest of interleaved turns" if on_cpu else "single calls on the GPU"
    lines = [
        f"{how}, {m['threads']} threads on {m['cores']} cores "
        f"({m['cpu_capability']}), load {load} before, torch {m['torch']}"
    ]
    if m["load"] is not None and m["load"] > BUSY:
        lines.append("other work runs on this machine: trust the ratios more than the times")
    if found["quick"]:
        lines.append("quick: tiny shapes, to see that it runs; these numbers mean nothing")
    legend = None
    for table in found["tables"]:
        # Tables with the same columns explain them once.
        lines += ["", table_text(table, legend=table["columns"] != legend)]
        legend = table["columns"]
    return "\n".join(lines)
