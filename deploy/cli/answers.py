"""What the api answers, as far as it is used here, and what may be wrong with it."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from common.errors import FatalError
from common.models import Error

T = TypeVar("T")


class ClientError(FatalError):
    """The api refused a request, did not answer, or answered what was not expected. ``status``: 0 without an answer.

    ``is_of_api``: it is the api that refused, for certain, and not the function that was called by way of it; ``code``
    is its own then.
    """

    slug = "client_failed"
    default_message = "The api did not answer as expected"

    def __init__(
        self, message: str = "", *, status: int = 0, is_of_api: bool = False, code: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.is_of_api = is_of_api


class UnreachableError(ClientError):
    """No api answered, or not to the end."""

    slug = "api_unreachable"


class BadAddressError(ClientError):
    """What should be the api's address, or the name of something in it, can be none."""

    slug = "bad_address"


class Sample(msgspec.Struct):
    """One sample of what a call used."""

    metrics: dict[str, int]


class Record(msgspec.Struct):
    """A call as the api tells it."""

    id: str
    status: str
    created_at: datetime
    app_name: str = ""
    path: str = ""
    priority: int = 0
    delay: int = 0
    attempt: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    stats: list[Sample] = []
    reason: str | None = None
    detail: str = ""
    exit_code: int | None = None
    error: str = ""


class Answer(NamedTuple):
    """What the api answered, or a function by way of it. Names of headers are of any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CallAnswer(msgspec.Struct):
    """The answer to a question for one call."""

    call: Record


class Accepted(msgspec.Struct):
    """The answer to an async call."""

    call_id: str


def refusal(what: str, answer: Answer) -> ClientError:
    """The error that says in the api's words why it did not do *what*."""
    hint = " (set MILLRACE_TOKEN to a token that is valid)" if answer.status == 401 else ""
    try:
        error = msgspec.json.decode(answer.body, type=Error).error
    except msgspec.MsgspecError:
        text = answer.body[:500].decode(errors="replace").strip()
        return ClientError(f"{what}: the api answered {answer.status} {text}{hint}", status=answer.status)
    named = f": {error.fields}" if error.fields and error.fields not in error.message else ""
    said = f"{error.message}{named} ({answer.status} {error.code}){hint}"
    return ClientError(said, status=answer.status, is_of_api=True, code=error.code)


class _Warning(msgspec.Struct):
    field: str
    message: str


class _Warned(msgspec.Struct):
    warnings: list[_Warning] = []


def warnings_in(answer: Answer) -> list[str]:
    """What the api says that it ignored of the request, in a sentence each."""
    told = [answer.headers["Millrace-Warning"]] if "Millrace-Warning" in answer.headers else []
    if b'"warnings":' not in answer.body:
        return told
    try:
        found = msgspec.json.decode(answer.body, type=_Warned).warnings
    except msgspec.MsgspecError:  # a function's answer, or a log
        return told
    return told + [f"{one.field}: {one.message}" for one in found]


def decode(body: bytes, shape: type[T]) -> T:
    """An answer of the api as a *shape*. Raises ClientError if it is none."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.MsgspecError as error:
        raise ClientError(f"the api's answer was not understood: {error}") from error
