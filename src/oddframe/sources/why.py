"""Why a source gives no pictures: one word for machines, a few for people, no password in either.

The words are labels of metrics and never change; what is said may.
"""

from __future__ import annotations

from typing import Literal

import av.error

from oddframe.errors import SourceError

Why = Literal[
    "connection_failed", "auth_failed", "not_found", "timeout", "codec_unsupported", "ended",
    "silent", "frozen",
]  # fmt: skip
"""The camera cannot be reached, or the connection broke; user or password are wrong; there is no
such file, camera or path; nothing answered in time; what came is no video that is known here; it is
over; no new picture comes; the same picture comes again and again."""


class Trouble(SourceError):
    """A SourceError that also says in one word what it is."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why: Why = why


def as_trouble(error: SourceError) -> Trouble:
    """An error of a source with its word, which it may have already."""
    return error if isinstance(error, Trouble) else Trouble(why_of(error), str(error))


def why_of(error: Exception) -> Why:
    """The word for what FFmpeg, OpenCV, the system or a source says."""
    if isinstance(error, Trouble):
        return error.why
    for kinds, why in KINDS:
        if isinstance(error, kinds):
            return why
    return "connection_failed"


KINDS: tuple[tuple[tuple[type[Exception], ...], Why], ...] = (
    ((av.error.ExitError, TimeoutError), "timeout"),  # the first is how a time limit shows
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, PermissionError), "auth_failed"),
    ((av.error.HTTPNotFoundError, FileNotFoundError), "not_found"),
    ((av.error.EOFError,), "ended"),
    (
        (
            av.error.InvalidDataError, av.error.DecoderNotFoundError,
            av.error.DemuxerNotFoundError, av.error.PatchWelcomeError,
        ),
        "codec_unsupported",
    ),
)  # fmt: skip
"""In this order."""


def said(error: Exception, timeout_s: float) -> str:
    """What went wrong, without the address that FFmpeg puts into its messages."""
    if isinstance(error, av.error.ExitError | TimeoutError):
        return f"nothing answered within {timeout_s:g} s"
    if isinstance(error, SourceError):
        return str(error)
    if why_of(error) == "auth_failed":
        return "user or password are wrong"
    return getattr(error, "strerror", None) or type(error).__name__
