"""Tokens: random texts that are held as hashes, each with a name and what it may do.

    token = made()                       # 24 random bytes: shown once, kept by nobody here
    line = hashed(token)                 # "sha256:…", which a site's YAML holds
    holder_of(holders, sent)             # whose it is, or None

One round of SHA-256 is enough: a slow hash makes it dear to guess words that people think of, and
nobody guesses 192 random bits at any speed. Only the standard library is needed here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["read", "admin"]
BYTES = 24
"""Random bytes of a token: 32 characters."""
PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a token is."""

    name: str
    role: Role
    digest: bytes = field(repr=False)
    """SHA-256 of the token, 32 bytes."""


def made() -> str:
    """A new token."""
    return secrets.token_urlsafe(BYTES)


def hashed(token: str) -> str:
    """What is kept of a token: "sha256:" and 64 hexadecimal digits."""
    return PREFIX + digest_of(token).hex()


def digest_of(token: str) -> bytes:
    """SHA-256 of a token, 32 bytes; of any text, also one that is no Unicode."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def holder_of(holders: Sequence[Holder], token: str) -> Holder | None:
    """Whose token it is, None where it is nobody's.

    All are compared, each in constant time: how long it takes says neither how much of a token was
    right, nor whose it is.
    """
    sent, found = digest_of(token), None
    for holder in holders:
        if hmac.compare_digest(sent, holder.digest):
            found = holder
    return found
