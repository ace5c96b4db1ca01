"""`oddframe archive events`: what an archive's scores found, ranked and with pictures."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    folder: Path = typer.Argument(
        metavar="DIR", show_default=False, help="Folder that `oddframe archive --out` wrote."
    ),
    top: int = typer.Option(100, "--top", min=1, help="Events on the page, each with a picture."),
    rules: list[str] = typer.Option(
        [], "--set", metavar="A=B",
        help="A rule of events: raise_level=1.2, min_duration_s=2, merge_gap_s=30 …; repeatable.",
    ),
) -> None:  # fmt: skip
    """Rank the events of an archive: events.csv, events.json, and events.html to look through."""
    from oddframe.archive.events import TABLE, find_events, write_events
    from oddframe.archive.manifest import read_manifest
    from oddframe.archive.pictures import reading_of, write_pictures
    from oddframe.cli.console import frame_bar
    from oddframe.events.rules import Rules
    from oddframe.report.archive import write_archive_page
    from oddframe.runs import locked

    chosen = Rules().override(rules)
    manifest = read_manifest(folder)
    with locked(folder, "ranking its events"):
        with frame_bar("reading", "files") as tick:
            found, entries = find_events(folder, manifest, chosen, tick)
        with frame_bar("drawing", "pictures") as tick:
            names = write_pictures(folder, manifest, found[:top], reading_of(manifest), tick)
        write_events(folder, found, names)
        page = write_archive_page(folder, manifest, found, names, entries)
    missing = sum(not entry.whole for entry in entries)
    if missing:
        print(f"{missing} of {len(entries)} files are not scored to their end")
    what = "events" if manifest.threshold is not None else "peaks (the RUN is not calibrated)"
    print(f"{len(found)} {what} -> {folder / TABLE}, {page}")
