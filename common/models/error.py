"""The uniform error output: ``{"error": {"message": ..., "code": ..., "fields": ...}}``."""

from msgspec import Struct


class ErrorBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``message`` is for people (Fn v1's exact text), ``code`` the stable slug, ``fields`` names the bad field."""

    message: str = ""
    code: str = ""
    fields: str = ""


class Error(Struct, frozen=True, kw_only=True):
    """The body of every reply that is not a success."""

    error: ErrorBody
