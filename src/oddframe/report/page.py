"""The report: one HTML file that needs nothing beside itself, not even a network.

    write_report("report.html", ReportData(title="m2s2l-edge on Ped2", rows=rows, ...))

Styles, script, plots and pictures are inside the file, and its content policy forbids any loading,
so it can be mailed, archived and opened on a phone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from oddframe.atomic import write_atomic
from oddframe.report import sections
from oddframe.report.content import Curve, Kind, Moment, ReportData, VideoTimeline
from oddframe.report.roc import roc_charts
from oddframe.report.table import results_table
from oddframe.report.timeline import timelines
from oddframe.report.words import glossary

__all__ = ["Curve", "Kind", "Moment", "ReportData", "VideoTimeline", "render", "write_report"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
# An empty icon keeps browsers from asking the server for /favicon.ico.
_HEAD = f"""<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">"""


def _asset(name: str) -> str:
    return files("oddframe.report").joinpath(name).read_text("utf-8")


def _parts(data: ReportData) -> list[tuple[str, str, str]]:
    """The sections that have content: anchor, title, HTML."""
    training = sections.facts(data.facts) if data.facts else ""
    training += sections.loss_chart(data.curves) if data.curves else ""
    parts = [
        ("moments", "Best and worst moments", sections.moments(data) if data.moments else ""),
        (
            "scores",
            "Score over time",
            timelines(data.timelines, data.moments, data.paper_curve) if data.timelines else "",
        ),
        ("results", "Results", results_table(data.rows) if data.rows else ""),
        ("roc", "ROC curves", roc_charts(data.rocs)),
        ("weak", "What is weak", sections.notes(data)),
        ("training", "Training", training),
        ("words", "What the words mean", glossary(data.rows) if data.rows else ""),
    ]
    return [part for part in parts if part[2]]


def render(data: ReportData) -> str:
    """The whole page as HTML; the same data gives the same text."""
    foot = (
        "Causal scores use no frame after the scored one; a row says where its protocol does. "
        "A larger score is more anomalous; level 1 is the alarm threshold."
    )
    return document(data.title, data.subtitle, _parts(data), foot, sections.tiles(data))


def document(
    title: str, subtitle: str, parts: Sequence[tuple[str, str, str]], foot: str, head: str = ""
) -> str:
    """A page of its own: parts are anchor, title and HTML of each section; `head` goes above."""
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name, _ in parts)
    body = "".join(
        f'<section id="{anchor}"><h2>{escape(name)}</h2>{html}</section>'
        for anchor, name, html in parts
    )
    if not parts:
        body = '<p class="empty">Nothing was recorded for this report.</p>'
    below = f"<p>{escape(subtitle)}</p>" if subtitle else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{_HEAD}\n<title>{escape(title)}</title>\n'
        f"<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>{below}<nav>{links}</nav></header>\n"
        f"<main>{head}{body}</main>\n"
        f"<footer>Made by oddframe. {escape(foot)}</footer>\n"
        f"<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


def write_report(path: str | os.PathLike[str], data: ReportData) -> Path:
    """Write the page to `path`, whole or not at all, and give the path back.

    Raises RunError where the file cannot be written; what stood there before stays.
    """
    return write_page(path, render(data))


def write_page(path: str | os.PathLike[str], text: str) -> Path:
    """Write a page's text as `write_report` does."""
    target = Path(path)
    # "replace": a file name that is no valid UTF-8 must not cost the report.
    write_atomic(target, lambda p: p.write_text(text, "utf8", errors="replace"))
    return target
