"""The dashboard: one page and its modules, small files without a build step, nothing from outside.

GET /                the page; which screen it shows stands behind the # of the address
GET /static/{name}   its modules, style and icon

The files are read once, when the router is made: a name is looked up among theirs and never becomes
a path. They hold nothing of a site, so they may be given to whoever asks; what they show comes from
the API, which is guarded.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

FOLDER = Path(__file__).parent / "static"
PAGE = "index.html"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Suffix -> content type; nothing else is given out."""
HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
"""`no-cache`: kept, but asked for again each time, which costs a 304. A page of yesterday's version
beside a module of today's would be worse."""
_ZIPPED = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is sent."""

    kind: str
    """Content type."""
    body: bytes
    zipped: bytes
    """The same by gzip."""
    tag: str
    """ETag: changes with the body."""


def router(work: AtWork) -> APIRouter:
    """The page of a site and what it loads."""
    del work  # one page for all sites
    files, found = read(FOLDER), APIRouter()

    def front(request: Request) -> Response:
        """The page."""
        return _sent(files[PAGE], request)

    def static(name: str, request: Request) -> Response:
        """What the page loads."""
        file = files.get(name)
        if file is None:
            raise HTTPException(404, f"There is no file {name[:64]!r}.")
        return _sent(file, request)

    for path, answer in (("/", front), ("/static/{name}", static)):
        found.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)
    return found


def read(folder: Path) -> Mapping[str, Page]:
    """The files of a folder that a page may be made of, by name."""
    return {
        path.name: _page(path)
        for path in sorted(folder.iterdir())
        if path.suffix in KINDS and path.is_file()
    }


def _page(path: Path) -> Page:
    body = path.read_bytes()
    # mtime=0: the same bytes whenever it is zipped.
    return Page(
        KINDS[path.suffix], body, gzip.compress(body, mtime=0),
        hashlib.sha256(body).hexdigest()[:20],
    )  # fmt: skip


def _sent(file: Page, request: Request) -> Response:
    """A file, small where the browser takes that, or word that it has it already."""
    zipped = _ZIPPED.search(request.headers.get("accept-encoding", "")) is not None
    tag = f'"{file.tag}-gz"' if zipped else f'"{file.tag}"'
    headers = {**HEADERS, "ETag": tag}
    known = re.findall(r'"[^"]*"|\*', request.headers.get("if-none-match", ""))
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(
        file.zipped if zipped else file.body, media_type=file.kind, headers=headers
    )  # fmt: skip
