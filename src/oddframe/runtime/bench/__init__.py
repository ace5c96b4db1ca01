"""`oddframe bench`: timings side by side in one run, and their ratios.

One file per bench, one row in `BENCHES`; imported when asked for, since all of them load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oddframe.errors import ConfigError

if TYPE_CHECKING:
    from oddframe.runtime.bench.table import Table
    from oddframe.runtime.bench.timing import Tick

BENCHES = {
    "scan": "oddframe.runtime.bench.scan",
    "stream": "oddframe.runtime.bench.stream",
    "train": "oddframe.runtime.bench.train",
}
"""What `oddframe bench` takes, and the file whose `run(quick, tick)` gives its tables."""
BUSY = 0.5
"""A load above this is said: something else was running."""


def run(name: str, quick: bool = False, tick: Tick | None = None) -> dict[str, Any]:
    """Run one bench; what `oddframe bench NAME --json` writes.

    Args:
        name: a key of `BENCHES`.
        quick: tiny shapes and models, to see that everything runs; its numbers mean nothing.
        tick: called with a title, the job runs done and those expected, after every run.

    Returns:
        `bench`, `quick`, `machine` (see `timing.machine`), and `tables`: a list of `Table`s.

    Raises:
        ConfigError: unknown name.
    """
    if name not in BENCHES:
        raise ConfigError(f"bench knows {', '.join(BENCHES)}, found {name!r}.")
    from oddframe.runtime.bench.timing import machine, silent

    here = machine()  # before the bench itself loads the machine
    tables: list[Table] = import_module(BENCHES[name]).run(quick, tick or silent)
    return {
        "bench": name, "quick": quick, "machine": here, "tables": [t.plain() for t in tables],
    }  # fmt: skip


def text(found: dict[str, Any]) -> str:
    """What `run` found as lines of at most 100 columns."""
    from oddframe.runtime.bench.table import text as table_text

    m = found["machine"]
    load = "unknown" if m["load"] is None else f"{m['load']:.1f}"
    lines = [
        f"fastest of interleaved turns, {m['threads']} threads on {m['cores']} cores "
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
