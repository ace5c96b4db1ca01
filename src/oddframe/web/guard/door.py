"""The door: who asks, by what a request brings, and whether he may.

    door = Door(access, Sessions(), Tries(limits))
    found = door.asked(scope)               # a Visit, or the Refusal that is to be answered

What is asked for and why stands in `auth`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from oddframe.web.guard.auth import HERE, Access, Caller, Visit, bare, is_loopback
from oddframe.web.guard.limits import Tries
from oddframe.web.guard.sessions import Sessions, cookie_name
from oddframe.web.guard.tokens import Holder, holder_of

HEALTH = frozenset({"/healthz", "/readyz"})
"""Paths that need no token on this machine, nor where `open_health` says so: they say nothing but
yes or no and why."""
OPEN_HERE = HEALTH | {"/metrics"}
"""Paths that need none where the server is for this machine alone."""
SESSION = "/api/session"
"""Where a token is changed for a session: asked without either."""
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")
"""Headers of which a proxy sends at least one, but for nginx as it is by default."""
LOOKS = ("GET", "HEAD")
"""Methods that change nothing."""
ASK = (
    "Send the header Authorization: Bearer TOKEN, with a token of the site's web.token_file, "
    "web.token or web.tokens."
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not let in, and what is said."""

    status: int
    detail: str
    address: str = ""
    wait_s: float = 0.0
    """Seconds after which it may be tried again; 0: no matter when."""
    wrong: bool = False
    """A token was sent that is nobody's."""


def address_of(scope: Scope) -> str:
    """Where a request comes from.

    A proxy on this machine says in X-Forwarded-For for whom it asks, behind what its caller said:
    the last one is believed, and nobody's who comes from another machine.
    """
    client = scope.get("client")
    peer = str(client[0]) if client else ""
    said = Headers(scope=scope).getlist("x-forwarded-for")
    if not said or not is_loopback(peer):
        return peer
    last = said[-1].rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return peer


class Door:
    """Knows who asks, and whether he may."""

    def __init__(self, access: Access, sessions: Sessions, tries: Tries) -> None:
        self.access, self.sessions, self.tries = access, sessions, tries

    def asked(self, scope: Scope) -> Visit | Refusal:
        """Let a request (or a WebSocket) in, or not."""
        headers, address = Headers(scope=scope), address_of(scope)
        host = headers.get("host", "")
        looks = scope["type"] == "http" and scope["method"] in LOOKS
        if not self.access.guarded:
            found: Visit | Refusal = self._here(headers, address)
        elif self._open(scope, headers, looks):
            found = Visit(None, address)
        else:
            found = self._sent(headers, address)
        if isinstance(found, Refusal):
            return found
        if scope["type"] == "http" and not looks and not _may_change(found, scope):
            return Refusal(403, "Your token is for looking only: it may change nothing.", address)
        if not looks and _of_other_page(headers, host):
            return Refusal(403, "Pages of other origins may not change anything here.", address)
        return found

    def holder(self, token: str, address: str) -> Holder | Refusal:
        """Whose token it is: the only place where one is looked at."""
        wait_s = self.tries.wait_s(address)
        if wait_s:
            return Refusal(
                429, "Too many wrong tokens came from there: wait, and send the right one.",
                address, wait_s,
            )  # fmt: skip
        found = holder_of(self.access.holders, token)
        if found is None:
            self.tries.wrong(address)
            return Refusal(401, "That token is not known here.", address, wrong=True)
        self.tries.right(address)
        return found

    def _here(self, headers: Headers, address: str) -> Visit | Refusal:
        """Without tokens: this machine alone, by its own name; no proxy, whoever it asks for."""
        if not self.access.loopback:
            return Refusal(401, ASK, address)
        if self._meant(headers):
            return Visit(HERE, address)
        by = "by a proxy" if _forwarded(headers) else f"as {headers.get('host', '')[:100]!r}"
        return Refusal(
            403,
            f"This server is for this machine alone, and was asked for {by}: ask for it as "
            "127.0.0.1 or localhost. Behind a proxy: give web.token_file, or web.tokens; then any "
            "name is answered.",
            address,
        )

    def _open(self, scope: Scope, headers: Headers, looks: bool) -> bool:
        """Whether nobody is asked for a token there."""
        if scope["type"] != "http":
            return False
        path, access = scope["path"], self.access
        if path == SESSION and scope["method"] == "POST":
            return True
        if looks and path in HEALTH and access.open_health:
            return True
        return looks and path in OPEN_HERE and access.loopback and self._meant(headers)

    def _sent(self, headers: Headers, address: str) -> Visit | Refusal:
        """Whose token or session a request brings."""
        sent = headers.get("authorization")
        if sent is None:
            session = cookie_of(headers)
            holder = self.sessions.of(session) if session else None
            if holder is None:
                return Refusal(401, ASK, address)
            return Visit(Caller(holder.name, holder.role), address, session)
        scheme, _, token = sent.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return Refusal(401, ASK, address)
        found = self.holder(token.strip(), address)
        if isinstance(found, Refusal):
            return found
        return Visit(Caller(found.name, found.role), address)

    def _meant(self, headers: Headers) -> bool:
        """Whether who asks is on this machine himself: a proxy may ask by its name for others."""
        name = re.sub(r":\d*$", "", headers.get("host", ""))
        own = is_loopback(name) or bare(name) == bare(self.access.host)
        return own and not _forwarded(headers)


def _forwarded(headers: Headers) -> bool:
    return any(name in headers for name in FORWARDED)


def cookie_of(headers: Headers) -> str:
    """Id of the session that a browser says it has, "" for none."""
    name = cookie_name(headers.get("host", ""))
    return cookie_parser(headers.get("cookie", "")).get(name, "")


def _may_change(visit: Visit, scope: Scope) -> bool:
    """Whoever came to where nobody is asked, admins; all may end their session."""
    caller = visit.caller
    return caller is None or caller.role == "admin" or scope["path"] == SESSION


def _of_other_page(headers: Headers, host: str) -> bool:
    """Whether a browser sends it in the name of a page that is not ours."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none"):
        return True
    if origin is None:
        return False
    try:
        of = urlsplit(origin).netloc.lower()
    except ValueError:  # "http://[": no address
        return True
    return not of or of != host.lower()
