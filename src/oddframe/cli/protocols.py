"""`oddframe protocols`: every named way from scores to an AUC, in words."""

from __future__ import annotations

import typer


def command(
    names: str = typer.Argument("every", help="Names, sets, changes; as --protocol takes them."),
) -> None:
    """List the evaluation protocols: ours and the peers'."""
    from textwrap import fill

    from oddframe.judging.named import parse_protocols

    for protocol in parse_protocols(names):
        print(fill(protocol.text, 96, initial_indent="    ", subsequent_indent="    ").join(
            (f"{protocol.name}\n", f"\n    {protocol.code}\n")
        ))  # fmt: skip
