"""Token: who may ask, and how much. Its secret is shown once and kept nowhere: only the secret's hash is.

A secret is 32 random bytes. Nobody guesses one, however fast they hash, so a plain SHA-256 keeps it as safe as a slow
hash keeps a password, and costs a request next to nothing.
"""

import hashlib
import secrets
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from common.errors import InvalidTokenError

PREFIX = "mr_"
SECRET_BYTES = 32
MAX_NAME_CHARS = 100
MAX_TOKENS = 1000  # of an installation: every api process holds them all


class Scope(StrEnum):
    """How much a token may do: everything; everything inside one app; call one app's functions and follow the calls."""

    ADMIN = "admin"
    APP = "app"
    INVOKE = "invoke"


class Token(Struct, frozen=True, kw_only=True):
    """What is kept of a token. ``hash`` is the SHA-256 of its secret; ``app_name`` is None exactly for an admin's."""

    id: UUID
    name: str
    scope: Scope
    app_name: str | None = None
    hash: bytes
    created_at: datetime | None = None

    def validate(self) -> None:
        """Raise InvalidTokenError for a bad name, or for an app that is missing or not asked for."""
        if not 1 <= len(self.name) <= MAX_NAME_CHARS or not self.name.isprintable():
            raise InvalidTokenError(
                f"A token's name has 1 to {MAX_NAME_CHARS} printable characters", field="name"
            )
        if self.scope is Scope.ADMIN and self.app_name is not None:
            raise InvalidTokenError("A token of scope admin is for no app alone", field="app")
        if self.scope is not Scope.ADMIN and not self.app_name:
            raise InvalidTokenError(f"A token of scope {self.scope} needs an app", field="app")


def new_secret() -> str:
    """A fresh secret: what its bearer sends."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def hash_secret(secret: str) -> bytes:
    """The hash under which *secret*, which is ASCII, is kept."""
    return hashlib.sha256(secret.encode()).digest()
