"""Passwords, tokens and addresses that hold them: out of the environment or a file, never shown.

A field of type `Secret` has a sibling `<field>_file`; one of the two is given:

    password: ${BROKER_PASSWORD}          # put in by `filled`, as what a person wrote is read
    password_file: /etc/oddframe/broker   # its content, without the line end
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr

from oddframe.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _as_text(value: Any) -> Any:
    """Of 0123 or 12:30 YAML makes 83 and 750, so that no number is what was written; and pydantic's
    own refusal would print what it found.
    """
    if isinstance(value, (str, SecretStr)):
        return value
    raise ValueError("text in quotes is expected (what was found isn't shown: it may be a secret)")


Secret = Annotated[SecretStr, BeforeValidator(_as_text)]
"""Text that is shown as ********** wherever its configuration is."""


def opened(value: SecretStr, file: Path | None, field: str) -> str:
    """The secret itself, "" where none is given; `field` names it in messages.

    Raises:
        ConfigError: both are given, or the file can't be read.
    """
    text = value.get_secret_value()
    if file is None:
        return text
    if text:
        raise ConfigError(f"Give {field} or {field}_file, not both.")
    try:
        return file.read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it isn't text"
        raise ConfigError(f"{field}_file {file} cannot be read: {why}.") from None


def filled(values: Any, where: str) -> Any:
    """What a person wrote, with every `${NAME}` replaced by what the environment says: once, so
    that a password may hold what looks like a name.

    values: mappings and lists of whatever YAML holds, or a text; `where` names them in messages.

    Raises:
        ConfigError: a variable that isn't set.
    """
    if isinstance(values, Mapping):
        return {key: filled(value, where) for key, value in values.items()}
    if isinstance(values, list):
        return [filled(value, where) for value in values]
    if not isinstance(values, str):
        return values

    def said(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise ConfigError(
                f"{where} names ${{{match[1]}}}, which isn't set: set it where oddframe is started."
            )
        return found

    return _VARIABLE.sub(said, values)
