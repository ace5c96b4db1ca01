"""What may be a secret, hidden: in settings that are shown, in bodies and lines that are kept.

    hidden({"source": "rtsp://u:p@cam/1", "password": "x"})
    # {"source": "rtsp://cam/…3fa2", "password": "**********"}
    within("opening rtsp://u:p@cam/1 failed")

Keys say what a value is; addresses are found wherever they stand. Rather too much is hidden than
too little.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from oddframe.sources.urls import SCHEMES, is_address, safe

HIDDEN = "**********"
"""As pydantic shows a `SecretStr`."""
DEEP = 20
"""Levels of a value beyond which nothing is shown."""
LONG = 2000
"""Characters of a text beyond which it is not looked through, and not shown where it could hold an
address."""
_SECRET = re.compile(
    r"token|passw|passphrase|secret|hash|credential|authori[sz]ation|cookie|session"
    r"|api_?key|private|(^|[_-])(key|pin|pwd|pass)$",
    re.IGNORECASE,
)
_FILE = re.compile(r"_file$")
_SOURCE = re.compile(r"(^|_)(source|sources|url|urls|address|uri)$", re.IGNORECASE)
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*:[/\\]+")
_STREAM = re.compile(rf"(?i)\b(?:{'|'.join(SCHEMES)})://\S*[?=]\S*")


def hidden(value: Any, key: str = "", depth: int = 0) -> Any:
    """A value of JSON without what may be a secret; what JSON cannot hold becomes text.

    key: under which it stands.
    """
    if depth > DEEP:
        return "…"
    if value is None or isinstance(value, bool):
        return value
    if key and _SECRET.search(key) and not _FILE.search(key):
        return HIDDEN if str(value) else ""
    if isinstance(value, Mapping):
        return {within(str(k)): hidden(v, str(k), depth + 1) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [hidden(one, key, depth + 1) for one in value]
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = str(value)
    if _SOURCE.search(key) or is_address(text.strip()):
        return safe(text) if len(text) <= LONG else "…"
    return within(text)


def within(text: str) -> str:
    """A text with the addresses in it shown as they may be."""
    last = text.rfind("@")
    if len(text) > LONG and (last >= 0 or "://" in text):
        return "…"
    if last >= 0:
        # A password may hold spaces, / and @: from the first scheme to the last @ it is one.
        found = _SCHEME.search(text, 0, last)
        if found is not None:
            end = _end(text, last)
            text = text[: found.start()] + safe(text[found.start() : end]) + within(text[end:])
        else:
            text = " ".join(_word(word) for word in text.split(" "))
    return _STREAM.sub(lambda match: safe(match[0]), text)


def body_shown(body: bytes, kind: str) -> str:
    """The body of a request, on one line.

    Args:
        body: as it came.
        kind: its content type. Only JSON and forms are shown: of anything else nobody knows what
            in it is a secret.
    """
    if not body:
        return ""
    try:
        if kind.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            value: Any = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True))
        else:
            value = json.loads(body)
        shown = json.dumps(hidden(value), ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"({len(body)} bytes that are no JSON)"
    return shown.encode("utf-8", "replace").decode("utf-8")


def _word(word: str) -> str:
    """`user:password@host`, which is no address and may have been meant as one."""
    at = word.rfind("@")
    return safe(word) if at > 0 and ":" in word[:at] else word


def _end(text: str, start: int) -> int:
    """Of the word that goes on at `start`."""
    found = re.compile(r"\s").search(text, start)
    return len(text) if found is None else found.start()
