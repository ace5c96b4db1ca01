"""The page of an archive: its events by level, to look through; its files; what failed.

One file that needs nothing beside itself, as the report (`page`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import takewhile
from pathlib import Path

from oddframe.archive.events import Found
from oddframe.archive.ledger import Entry, read_failed
from oddframe.archive.manifest import Manifest
from oddframe.report.page import document, write_page
from oddframe.report.sections import tile
from oddframe.sources.names import natural_key
from oddframe.sources.stamps import duration

PAGE = "events.html"
MOST_FILES = 500
"""Rows of the table of files; all are in files.csv."""
Names = Mapping[str, str]
"""Path -> what the page calls it, `names_of`."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page is of."""

    title: str
    subtitle: str
    events: Sequence[Found]
    """The first of all, as many as are shown."""
    pictures: Sequence[bytes | None]
    """JPEGs of those."""
    count: int
    """Events in all."""
    entries: Sequence[Entry]
    failed: Sequence[tuple[str, str, str]]
    """File, first frame and why of what failed."""


def write_archive_page(
    out: Path, manifest: Manifest, found: Sequence[Found], names: Sequence[str | None],
    entries: Sequence[Entry],
) -> Path:  # fmt: skip
    """Write `events.html` and give its path.

    Args:
        out: folder of the archive.
        manifest: its own.
        found: all events, the highest first.
        names: of the pictures of the first of them, relative to `out`.
        entries: what there is of every file.

    Raises:
        RunError: it cannot be written.
    """
    run, known = manifest.run, manifest.threshold
    limit = "not calibrated" if known is None else f"threshold {known:.3g}"
    if lights := run.get("lights"):  # none in archives of before
        limit = "threshold " + ", ".join(f"{t:.3g} in {name}" for name, t in lights.items())
    shown = Shown(
        f"Archive {out.resolve().name}", f"{run['model']} of {run['path']}, {limit}",
        found[: len(names)],
        [None if name is None else (out / name).read_bytes() for name in names],
        len(found), entries, read_failed(out),
    )  # fmt: skip
    return write_page(out / PAGE, render_archive(shown))


def render_archive(shown: Shown) -> str:
    """The whole page as HTML."""
    names = names_of([entry.file.shown for entry in shown.entries])
    parts = [
        ("events", "Events", _events(shown, names)),
        ("files", "Files", _files(shown.entries, names)),
        ("failed", "Not scored", _failed(shown.failed, names)),
    ]
    foot = (
        "Scores are causal: none uses a frame after its own. Level 1 is the alarm threshold; times "
        "are those of the file."
    )
    style = f"<style>\n{_asset('archive.css')}</style>"
    script = f"<script>\n{_asset('archive.js')}</script>"
    present = [part for part in parts if part[2]]
    return document(
        shown.title, shown.subtitle, present, foot, style + _tiles(shown, names) + script
    )


def names_of(paths: Sequence[str]) -> dict[str, str]:
    """Path -> what tells it from the others: from the folder on that holds them all. Recorders call
    the files of all cameras alike."""
    parts = [path.split("/") for path in paths]
    folders = zip(*(own[:-1] for own in parts), strict=False)
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, folders))
    return {path: "/".join(own[shared:]) for path, own in zip(paths, parts, strict=True)}


def _asset(name: str) -> str:
    return files("oddframe.report").joinpath(name).read_text("utf-8")


def _tiles(shown: Shown, names: Names) -> str:
    seconds = sum(_seconds(entry) for entry in shown.entries)
    number, _, unit = duration(seconds).partition(" ")
    frames = sum(facts["frames"] for e in shown.entries for facts in e.facts.values())
    whole = sum(entry.whole for entry in shown.entries)
    level = shown.events[0].level if shown.events else None
    tiles = [
        tile("Events", f"{shown.count:,}", "", _rate(shown.count, seconds / 3600)),
        tile("Footage", number, f" {unit}", f"{frames:,} frames scored"),
        tile("Files", f"{whole:,}", f" of {len(shown.entries):,}", "scored from end to end",
             "weak" if whole < len(shown.entries) else ""),
    ]  # fmt: skip
    if level is not None:
        tiles.append(tile("Highest level", f"{level:.2f}", "", names[shown.events[0].file]))
    return f'<section class="tiles" aria-label="Summary">{"".join(tiles)}</section>'


def _rate(count: int, hours: float) -> str:
    """Of less than an hour nothing follows for a day."""
    return f"{24 * count / hours:.3g} for 24 h of footage" if hours >= 1 else ""


def _seconds(entry: Entry) -> float:
    """Footage that was scored, pauses left out."""
    return float(sum(facts["frames"] / facts["fps"] for facts in entry.facts.values()))


def clock(time_s: float) -> str:
    """1:02:03.4 of a file."""
    minutes, tenths = divmod(max(0, round(time_s * 10)), 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def _events(shown: Shown, names: Names) -> str:
    if not shown.events:
        return '<p class="empty">No event: no level reached the alarm threshold.</p>'
    cards = [
        _card(event, picture, names[event.file])
        for event, picture in zip(shown.events, shown.pictures, strict=True)
    ]  # fmt: skip
    more = shown.count - len(shown.events)
    rest = f" {more:,} more are in events.csv." if more else ""
    own = sorted({names[event.file] for event in shown.events}, key=natural_key)
    options = "".join(f"<option>{escape(name)}</option>" for name in own)
    return (
        '<form class="sift"><label>file <select name="file"><option value="">all</option>'
        f'{options}</select></label><label>order <select name="order">'
        '<option value="rank">highest first</option><option value="time">by file and time</option>'
        "</select></label><output></output></form>"
        '<p class="hint">The box is the hottest place of the frame with the highest score.'
        f"{rest}</p>"
        f'<div class="cards">{"".join(cards)}</div>'
    )


def _card(event: Found, picture: bytes | None, name: str) -> str:
    value = f"level {event.level:.2f}" if event.level is not None else f"score {event.score:.2f}"
    lasts = event.end_s - event.start_s
    span = clock(event.start_s) + (f" – {clock(event.end_s)}" if lasts >= 0.05 else "")
    alt = f"{name} at {clock(event.peak_s)}"
    if picture is None:
        image = '<div class="none">no picture: the footage cannot be read any more</div>'
    else:
        data = base64.b64encode(picture).decode("ascii")
        image = f'<img src="data:image/jpeg;base64,{data}" alt="{escape(alt)}" loading="lazy">'
    why = f'<p class="why">{escape(event.reasons[0])}</p>' if event.reasons else ""
    return (
        f'<article class="card" id="event-{event.rank}" data-file="{escape(name)}" '
        f'data-rank="{event.rank}" data-at="{event.start_s:.3f}">{image}'
        f'<h3><span class="flag">{event.rank}</span> {value}</h3>'
        f'<p class="at" title="{escape(event.file)}">{escape(name)}<br>{span}</p>{why}</article>'
    )


def _files(entries: Sequence[Entry], names: Names) -> str:
    def height(entry: Entry) -> float:
        return float("-inf") if entry.top is None else float(entry.top["score"])

    ranked = sorted(entries, key=height, reverse=True)[:MOST_FILES]
    rows = "".join(_file(entry, names[entry.file.shown]) for entry in ranked)
    more = len(entries) - len(ranked)
    note = f'<p class="hint">{more:,} more are in files.csv.</p>' if more else ""
    head = "".join(
        f'<th scope="col">{t}</th>'
        for t in ("file", "frames", "highest level", "score", "at", "remarks")
    )
    return (
        f'{note}<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _file(entry: Entry, name: str) -> str:
    top = entry.top or {}
    frames = sum(facts["frames"] for facts in entry.facts.values())
    level, score, at_s = (top.get(name) for name in ("level", "score", "time_s"))
    lost = [facts["lost"] for facts in entry.facts.values() if facts["lost"]]
    remarks = ", ".join([*([] if entry.whole else ["not all of it is scored"]), *lost])
    cells = (
        f"{frames:,}", "–" if level is None else f"{level:.2f}",
        "–" if score is None else f"{score:.2f}", "–" if at_s is None else clock(at_s),
    )  # fmt: skip
    path = entry.file.shown
    return (
        f'<tr><th scope="row" title="{escape(path)}">{escape(name)}</th>'
        f"{''.join(f'<td>{cell}</td>' for cell in cells)}"
        f'<td class="remark">{escape(remarks)}</td></tr>'
    )


def _failed(failed: Sequence[tuple[str, str, str]], names: Names) -> str:
    if not failed:
        return ""
    rows = "".join(
        f"<li><b>{escape(names.get(file, file))}</b>"
        f"{f' from frame {escape(start)}' if start else ''}: {escape(why)}</li>"
        for file, start, why in failed
    )
    return f'<ul class="failed">{rows}</ul>'
