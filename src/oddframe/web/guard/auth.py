"""Who may ask: programs of this machine, whoever sends a token, and browsers that have sent one.

    access = access_of(config.web)          # says at the start what is missing
    visit_of(request).who                   # in a route: who asks; `door` has found it

Bound to this machine alone (127.0.0.1, the default) no token is needed. A web page that somebody
on this machine looks at could still ask: its name would have to be made to point here (DNS
rebinding), so a request that is not for localhost by name or number is refused; there is no CORS,
and what changes something is refused where it comes from another page's origin.

Bound to anything else a token is needed, for everything. That a request comes from 127.0.0.1
proves nothing then: behind a proxy all of them do. Where there are tokens a server of this machine
alone may be asked by any name, with one of them: so a proxy in front of it needs no other setting.

A token says who somebody is and what he may do: `read` looks, `admin` changes things as well.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from dataclasses import InitVar, dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from oddframe.errors import ConfigError
from oddframe.runtime.watch.site import WebConfig
from oddframe.web.guard.tokens import PREFIX, Holder, Role, digest_of

log = logging.getLogger("oddframe.web")

SHORT = 16
"""Characters of a token below which it could be guessed."""
MAKE_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(24))"'
VISIT = "oddframe-visit"
"""Key of a request's scope under which its `Visit` is."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a request must bring."""

    loopback: bool
    """The server is for this machine alone."""
    host: str
    """The name that it is bound to."""
    token: InitVar[str] = ""
    """One that may change everything, "": none. It is held as a hash, among `holders`."""
    holders: tuple[Holder, ...] = ()
    """Who has a token; nobody: none is needed."""
    open_health: bool = False
    """Health is told to whoever asks, also to other machines."""

    def __post_init__(self, token: str) -> None:
        if token:
            own = Holder("token", "admin", digest_of(token))
            object.__setattr__(self, "holders", (own, *self.holders))

    @property
    def guarded(self) -> bool:
        """Whether a token is asked for."""
        return bool(self.holders)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    who: str
    """Name of the token; "here" where none is needed."""
    role: Role


HERE = Caller("here", "admin")


@dataclass(slots=True)
class Visit:
    """A request that is let in."""

    caller: Caller | None
    """None: of nobody known, at a path that is open to all."""
    address: str
    """Where it comes from."""
    session: str = field(default="", repr=False)
    """Id of the browser's session, "" where there is none."""
    wrong: bool = False
    """A wrong token was sent."""

    @property
    def who(self) -> str:
        """Name of the caller, "" of nobody known."""
        return "" if self.caller is None else self.caller.who


def visit_of(request: HTTPConnection) -> Visit:
    """Who asks, as the guard found it. A request that came by no guard is of this machine."""
    found: Any = request.scope.get(VISIT)
    return found if isinstance(found, Visit) else Visit(HERE, "")


def only_admin(request: Request) -> None:
    """For routes that show what not everybody who looks may see: a dependency.

    Raises:
        HTTPException: 403, the caller may only look.
    """
    caller = visit_of(request).caller
    if caller is None or caller.role != "admin":
        raise HTTPException(403, "Only a token with the role admin may see that.")


def access_of(config: WebConfig) -> Access:
    """Read the tokens, and see whether one is needed.

    Raises:
        ConfigError: none where one is needed, `token` and `token_file`, one that cannot be read or
            sent.
    """
    loopback = is_loopback(config.host)
    token = _token(config)
    holders = tuple(
        Holder(t.name, t.role, bytes.fromhex(t.hash.removeprefix(PREFIX))) for t in config.tokens
    )
    if not token and not holders and not loopback:
        raise ConfigError(
            f"web.host {config.host} can be reached from other machines, so it needs a token. "
            f"Make one: {MAKE_ONE} > token; chmod 600 token; and give web.token_file: token. Or "
            "leave web.host at 127.0.0.1, where no token is needed."
        )
    if token and len(token) < SHORT:
        log.warning("web's token has %d characters and could be guessed: %s", len(token), MAKE_ONE)
    return Access(loopback, config.host, token, holders, config.open_health)


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone."""
    name = bare(host)
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def bare(host: str) -> str:
    """A host's name to be compared: without brackets and a last dot."""
    return host.strip("[]").rstrip(".").lower()


def _token(config: WebConfig) -> str:
    """The token, "" where none is given."""
    if config.token is not None and config.token_file is not None:
        raise ConfigError("Give web.token or web.token_file, not both.")
    where, text = "web.token", None
    if config.token is not None:
        text = config.token.get_secret_value()
    if config.token_file is not None:
        where = f"web.token_file {config.token_file}"
        try:
            text = config.token_file.read_text("utf-8").strip("\r\n")
            mode = config.token_file.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise ConfigError(f"{where} cannot be read: {why}. Make one: {MAKE_ONE}") from None
        if mode & 0o006:
            log.warning("%s is open to every user of this machine: chmod o-rw it", where)
    if text is None:
        return ""
    if not re.fullmatch(r"[!-~]+", text):
        raise ConfigError(
            f"{where} must hold letters, digits and signs without spaces, one line of them, and "
            f"does not. Make one: {MAKE_ONE}"
        )
    return text
