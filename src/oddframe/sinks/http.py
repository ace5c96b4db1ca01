"""One HTTP request and what its answer means; the standard library's client, nothing beside it.

A connection lasts for one request: after minutes without an event a kept one is dead more often
than not, and one that died is seen only when a message is already lost in it. Redirects are
followed within the same host only, since the body and the tokens are meant for no other. Proxies
of the environment are not used.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from oddframe.errors import ConfigError
from oddframe.sinks.base import Later, Refused
from oddframe.sources.urls import shown

PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that are answered by patience: timeout, too early, too many requests."""
MOST_BYTES = 4 << 20
"""Of an answer; no answer that is asked for here is longer."""
LONGEST_WAIT_S = 3600.0
"""A `Retry-After` beyond it is taken for it: a wrong clock over there must not silence a sink."""
_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def fine(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


class Server:
    """Where requests go: an address, how long to wait, whom to trust."""

    def __init__(self, address: str, timeout_s: float, ca_file: Path | None = None) -> None:
        """Nothing is sent yet.

        Args:
            address: http(s)://host…, with user and password before the host where it asks so.
            timeout_s: For a whole request.
            ca_file: PEM of whom to trust instead of the system's authorities.

        Raises:
            ConfigError: not such an address, or no such file.
        """
        self.where = shown(address)
        """The address as it may be shown."""
        self._timeout_s = timeout_s
        try:
            parts = urlsplit(address.strip())
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            parts, self._host = urlsplit(""), ""
        if parts.scheme not in ("http", "https") or not self._host:
            raise ConfigError(f"An address http://… or https://… is expected, found {self.where}.")
        self._tls = trust(ca_file) if parts.scheme == "https" else None
        self._origin = (parts.scheme, self._host, self._port)
        self.path = _ascii(parts.path.rstrip("/"))
        """Of the address, without a slash at its end: for what is asked for below it."""
        self._own = _target(parts)
        self._headers = {"User-Agent": "oddframe", "Connection": "close"}
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            code = base64.b64encode(pair.encode()).decode()
            self._headers["Authorization"] = f"Basic {code}"

    def call(
        self,
        method: str,
        path: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; `path` begins with a slash, by default the address's own.

        Raises:
            Later: no answer within `timeout_s`, or none that is HTTP.
        """
        target = self._own if path is None else path
        sent = {**self._headers, **(headers or {})}
        until = time.monotonic() + self._timeout_s
        for _ in range(_REDIRECTS):
            answer = self._once(method, target, body, sent, until - time.monotonic())
            moved = self._moved(target, answer)
            if moved is None:
                break
            target = moved
        return answer

    def _once(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        left_s: float,
    ) -> Answer:
        if left_s <= 0:
            raise Later(f"{self.where} gave no answer within {self._timeout_s:g} s.")
        link = self._link(left_s)
        # Each read has its time limit; together they have this one, for a server that trickles.
        late = threading.Event()
        watch = threading.Timer(left_s, _cut, (link, late))
        watch.daemon = True
        watch.start()
        try:
            link.request(method, target, body, dict(headers))
            got = link.getresponse()
            content = b""
            with contextlib.suppress(OSError, http.client.HTTPException):
                content = got.read(MOST_BYTES)  # with a status it is answered, whatever follows
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, content)
        except (OSError, http.client.HTTPException) as error:
            why = f"gave no answer within {self._timeout_s:g} s"
            raise Later(f"{self.where} {why if late.is_set() else _said(error, why)}.") from None
        finally:
            watch.cancel()
            link.close()

    def _link(self, left_s: float) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=left_s)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=left_s, context=self._tls
        )

    def _moved(self, target: str, answer: Answer) -> str | None:
        """Where on the same host the same request is to be sent again, None for nowhere."""
        if answer.status not in (307, 308) or "location" not in answer.headers:
            return None
        scheme, host, port = self._origin
        netloc = f"[{host}]" if ":" in host else host
        netloc += f":{port}" if port else ""
        try:
            parts = urlsplit(urljoin(f"{scheme}://{netloc}{target}", answer.headers["location"]))
            if (parts.scheme, parts.hostname, parts.port) != self._origin:
                return None
        except ValueError:
            return None
        return _target(parts)

    def expect_fine(self, answer: Answer, what: str) -> None:
        """Raise what a status other than 2xx means; `what` was sent, for the message.

        Raises:
            Later: it passes: 408, 425, 429, 5xx.
            Refused: it doesn't.
        """
        if answer.fine:
            return
        said = f"{self.where} answered {answer.status} {_phrase(answer.status)}".rstrip()
        if answer.status in PASSING or answer.status >= 500:
            raise Later(f"{said} to {what}.", retry_after_s(answer))
        if 300 <= answer.status < 400:
            to = shown(answer.headers.get("location", ""))
            raise Refused(
                f"{said} to {what}: it points to {to}. Messages aren't sent on to another host; "
                "put the address where it wants them into the configuration."
            )
        raise Refused(f"{said} to {what}. Check the address and its token or password.")


def retry_after_s(answer: Answer, now_utc: float | None = None) -> float | None:
    """Seconds of a `Retry-After` (a number or a date), between 0 and an hour; None without one."""
    text = answer.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        if text.replace(".", "", 1).isdigit():
            wait_s = float(text)
        else:
            wait_s = parsedate_to_datetime(text).timestamp() - (now_utc or time.time())
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)


def header(name: str, value: str) -> str:
    """A value that may stand in a header.

    Raises:
        ConfigError: it has a line end, or letters that no header can hold.
    """
    if value.isascii() and value.isprintable():
        return value
    raise ConfigError(f"The header {name} may hold printable ASCII only, in one line.")


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Whose certificates are taken: the system's authorities, or those in a PEM file alone.

    Raises:
        ConfigError: no such file, or none that holds certificates.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"ca_file {ca_file} cannot be read: {why}.") from None


def _cut(link: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()
    if link.sock is not None:
        with contextlib.suppress(OSError):
            link.sock.shutdown(socket.SHUT_RDWR)


def _target(parts: SplitResult) -> str:
    """Path and query of an address as they stand in a request: a slash at the end is meant."""
    return _ascii(parts.path or "/") + (f"?{_ascii(parts.query)}" if parts.query else "")


def _ascii(text: str) -> str:
    return quote(text, safe="/%:=&?~#+!$,;'@()*[]-._")


def _phrase(status: int) -> str:
    return http.client.responses.get(status, "")


def _said(error: Exception, slow: str) -> str:
    """What went wrong, without anything that could hold the address."""
    if isinstance(error, TimeoutError):
        return slow
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that isn't trusted ({error.verify_message}): give ca_file, the "
            "PEM of who signed it"
        )
    if isinstance(error, ssl.SSLError):
        return f"speaks no TLS that is understood here ({error.reason or 'handshake failed'})"
    if isinstance(error, socket.gaierror):
        return "cannot be found: check the host's name"
    if isinstance(error, http.client.HTTPException):
        return "closed the connection, or speaks no HTTP"
    return f"cannot be reached: {getattr(error, 'strerror', None) or type(error).__name__}"
