"""Passwords, tokens and addresses that hold them: out of the environment or a file, never shown.

A field of type `Secret` has a sibling `<field>_file`; one of the two is given:

    password: ${BROKER_PASSWORD}          # put in when the sink is made
    password_file: /etc/oddframe/broker   # its content, without the line end
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr

from oddframe.errors import ConfigError

_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _as_text(value: Any) -> Any:
    """YAML reads a PIN as a number; pydantic's own refusal would print what it found."""
    if isinstance(value, (str, SecretStr)):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("text in quotes is expected (what was found isn't shown: it may be a secret)")


Secret = Annotated[SecretStr, BeforeValidator(_as_text)]
"""Text that is shown as ********** wherever its configuration is; `${NAME}` in it is put in."""


def opened(value: SecretStr, file: Path | None, field: str) -> str:
    """The secret itself, "" where none is given; `field` names it in messages.

    Raises:
        ConfigError: both are given, an environment variable isn't set, or the file can't be read.
    """
    text = value.get_secret_value()
    if file is None:
        return put_in(text, field)
    if text:
        raise ConfigError(f"Give {field} or {field}_file, not both.")
    try:
        return file.read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it isn't text"
        raise ConfigError(f"{field}_file {file} cannot be read: {why}.") from None


def put_in(text: str, field: str) -> str:
    """A text with `${NAME}` replaced by the environment.

    Raises:
        ConfigError: such a variable isn't set.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigError(
                f"{field} names the environment variable {found[1]}, which isn't set: set it where "
                f"oddframe is started, or give {field}_file."
            )
        return os.environ[found[1]]

    return _ENV.sub(value, text)
