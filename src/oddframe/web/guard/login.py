"""The page on which a browser sends a token: plain HTML that needs no script and nothing else.

It is what a browser gets where a page needs a token, instead of it, with status 401; the token goes
to `/api/session`, and its cookie opens the page that was asked for.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import Scope

from oddframe.web.guard.door import LOOKS, SESSION

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 22rem; margin: 20vh auto 0; padding: 0 1rem }
h1 { font-size: 1.2rem }
input, button { font: inherit; padding: .5rem; width: 100%; margin: .3rem 0 }
* { box-sizing: border-box }
p.wrong { border-left: 3px solid #c33; padding-left: .6rem }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
}
LONGEST = 2000
"""Characters of the address that the form leads back to."""


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks for a page, and not for data or a part of one."""
    return (
        scope["type"] == "http"
        and scope["method"] in LOOKS
        and not scope["path"].startswith("/api/")
        and "text/html" in Headers(scope=scope).get("accept", "")
    )


def page_for(scope: Scope, headers: Mapping[str, str]) -> HTMLResponse:
    """The page, in place of the one that was asked for, whose address its form leads back to."""
    query = scope.get("query_string", b"").decode("latin-1")
    back = quote(scope["path"], safe="/:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")
    return form_page(401, back, headers=headers)


def form_page(
    status: int, back: str, words: str = "", headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """The page.

    Args:
        status: of the answer.
        back: address of this server that its form leads to.
        words: what was wrong with the last try, "" where there was none.
        headers: more of them.
    """
    said = f'<p class="wrong" role="alert">{escape(words)}</p>' if words else ""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>oddframe: log in</title><style>{STYLE}</style><main><h1>oddframe</h1>{said}"
        f'<form method="post" action="{SESSION}">'
        f'<input type="hidden" name="next" value="{escape(inside(back))}">'
        '<label for="token">Token of this site</label>'
        '<input id="token" name="token" type="password" autocomplete="current-password" required '
        'autofocus spellcheck="false"><button>Log in</button></form></main></html>'
    )
    return HTMLResponse(text, status, {**POLICY, **(headers or {})})


def inside(address: str) -> str:
    """An address of this server that may be led to, "/" where it is none: no other host is."""
    plain = address.isascii() and address.isprintable() and " " not in address
    local = address.startswith("/") and not address.startswith("//") and "\\" not in address
    return address if plain and local and len(address) <= LONGEST else "/"
