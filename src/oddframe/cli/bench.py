"""`oddframe bench`: timings side by side in one run."""

from __future__ import annotations

from pathlib import Path

import typer

from oddframe.cli.console import JSON


def run(
    what: str = typer.Argument(metavar="scan|stream|train", show_default=False),
    json: Path | None = JSON,
) -> None:
    """Time things against each other on this machine; ratios, not promises."""
    from oddframe.errors import ConfigError
    from oddframe.runs import write_json
    from oddframe.runtime.bench import BENCHES

    if what not in BENCHES:
        raise ConfigError(f"bench knows {', '.join(BENCHES)}, found {what!r}.")
    found = BENCHES[what]()
    print(
        f"{found['title']}: minima of interleaved runs, {found['threads']} threads, "
        f"{found['dtype']}, torch {found['torch']}"
    )
    for row in found["rows"]:
        print(f"  {row['name']:<32}{row['ms']:10.1f} ms{row['ratio']:8.2f}x")
    if json is not None:
        write_json(json, found)
        print(f"written to {json}")
