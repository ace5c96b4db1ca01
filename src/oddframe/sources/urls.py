"""Addresses of streams, and how they may be shown: messages and names go to logs."""

from __future__ import annotations

import hashlib
import re

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtp", "srt", "udp", "tcp", "http", "https")
_MEANT = re.compile(
    rf"\s*({'|'.join(SCHEMES)})[a-z]?\s*(?::\s*[/\\]*|[/\\]{{2,}})(.*)", re.IGNORECASE | re.DOTALL
)
_SECRET = re.compile(r"\s*[/\\]{2}.*@|.*:[^/\\]*@", re.DOTALL)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


def is_address(text: str) -> bool:
    """Whether a text is scheme://…, of any scheme."""
    return _ADDRESS.match(text) is not None


def shown(address: str) -> str:
    """An address without anything that may be a password: scheme and host, and a mark.

    Passwords stand before the host (with @ and / in them), in the path and in the query, by any
    name. What is left out goes into a mark of four digits, so that two streams of one recorder
    can be told apart: rtsp://10.0.0.5:554/…3fa2
    """
    found = _ADDRESS.match(address)
    if found is None:
        return "an address"
    scheme, rest = found[1].lower(), found[2]
    behind = rest.rpartition("@")[2]  # whatever stands before an @ may be a password
    host, _, path = behind.partition("/")
    host = re.split(r"[?#;\\]", host)[0]
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(:[0-9]*)?", host):
        host = ""  # no port: a user and a password without their host
    if not (path or "@" in rest or host != behind.rstrip("/")):
        return f"{scheme}://{host}"
    mark = hashlib.blake2b(address.encode("utf-8", "surrogateescape"), digest_size=2).hexdigest()
    return f"{scheme}://{host}/…{mark}"


def safe(path: object) -> str:
    """What is said of a path that is not there: addresses are mistyped, and paths shorten them.

    `rtsp:/u:p@h/x`, `//u:p@h`, `u:p@h:554/x` are shown as addresses are, and so is whatever else
    has a colon before an @; all other paths as they are.
    """
    text = str(path)
    if is_address(text):
        return shown(text)
    if (meant := _MEANT.match(text)) is not None:
        return shown(f"{meant[1]}://{meant[2]}")
    if _SECRET.match(text):
        return shown(f"address://{text.strip()}").removeprefix("address://")
    return text
