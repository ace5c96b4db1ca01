"""Errors for the person who typed: what was expected, what was found, what to do.

Every error that oddframe raises on purpose is an `OddframeError`; the command line prints its text
as one paragraph and ends with exit code 1. Programming mistakes stay ordinary exceptions.
"""

from __future__ import annotations


class OddframeError(Exception):
    """Base of all deliberate errors; its text is one clear paragraph."""


class SourceError(OddframeError):
    """A video, frame folder or camera cannot be opened or read."""


class DatasetError(OddframeError):
    """A data-set folder or its labels are not what they should be."""


class ConfigError(OddframeError):
    """A setting has an unknown name or a value out of range."""


class RunError(OddframeError):
    """A RUN folder is missing, incomplete, of another version, or cannot be written."""


class ProtocolError(OddframeError):
    """Scores and labels cannot be evaluated together (lengths, keys, values)."""


class OddframeWarning(UserWarning):
    """Something that a user should know of, though the work goes on."""
