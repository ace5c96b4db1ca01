"""Pictures that stand by themselves, in a README or a page of docs: SVG on white, without scripts
or fonts of its own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK, FAINT, GRID = "#1b1f24", "#5b6570", "#e6e9ed"


def picture(width: int, height: int, parts: Sequence[str]) -> str:
    """The whole file."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def words(
    x: float, y: float, text: str, colour: str, *, anchor: str = "start", weight: int = 400
) -> str:
    """A line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def dot(x: float, y: float, colour: str, *, hollow: bool = False, title: str = "") -> str:
    """A point, with what it says to whoever rests on it."""
    said = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.7" fill="{"#fff" if hollow else colour}" '
        f'stroke="{colour}" stroke-width="1.6">{said}</circle>'
    )


def bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{height:g}" fill="{colour}"/>'
