"""What a description of an endpoint is made of. Types are Python's: the schemas come from them, and so do the checks.

An example stands for its type: an answer is described by one that the api could give. Nothing here is read by a
handler; a description that says something else than its handler does is found by the tests of the whole document.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from aiohttp.typedefs import Handler
from msgspec import Meta, Struct

from common.errors import (
    BodyTooLargeError,
    CallTimeoutServerBusyError,
    InvalidJSONError,
    InvalidPayloadError,
    MillraceError,
)

JSON = "application/json"
TEXT = "text/plain"
ANY = "*/*"

Seconds = Annotated[int, Meta(description="Unix seconds.", ge=-(2**63), le=2**63 - 1)]


class Parameter(Struct, frozen=True):
    """A part of the path, a member of the query, or a header of the request."""

    name: str
    type: Any
    text: str
    example: Any = None
    is_required: bool = False


class Header(Struct, frozen=True):
    """A header of an answer."""

    name: str
    text: str
    example: str


class Failure(Struct, frozen=True):
    """An error without a class of its own: its status, slug and message."""

    status: int
    code: str
    message: str


class Link(Struct, frozen=True):
    """What can be asked next: an operation, and where in this request or answer its parameters are found."""

    operation: str
    parameters: Mapping[str, str]


class Either(Struct, frozen=True):
    """Examples of bodies that may be of several types, by a word for each."""

    examples: Mapping[str, Struct]


class Content(Struct, frozen=True, kw_only=True):
    """A body, of a request or of an answer: by content type, an example. Of what type it is, so is the body.

    Without examples there is no body.
    """

    examples: Mapping[str, Any] = {}
    text: str = ""
    headers: tuple[Header, ...] = ()
    links: tuple[Link, ...] = ()
    is_required: bool = True


class Description(Struct, frozen=True, kw_only=True):
    """What a client must know of one handler. ``answers`` by status; ``errors`` but for those of every endpoint."""

    text: str = ""
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    body: Content | None = None
    answers: Mapping[str, Content]
    errors: tuple[type[MillraceError] | Failure, ...] = ()


Descriptions = dict[Handler, Description]

UNDESCRIBED = Description(answers={})

BODY_ERRORS: tuple[type[MillraceError] | Failure, ...] = (
    BodyTooLargeError,
    InvalidPayloadError,
    CallTimeoutServerBusyError,
    Failure(408, "body_timeout", "Request body did not arrive in time"),
)
JSON_ERRORS = (
    InvalidJSONError,
    *BODY_ERRORS,
    Failure(415, "content_coding_unsupported", "Content-Encoding is gzip: send the body as it is"),
)

PER_PAGE = Parameter(
    "per_page",
    Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 100, "default": 30})],
    "How many to list: 30 unless it is a positive integer, at most 100. Never an error.",
    20,
)


def json(
    example: Struct, text: str = "", *, headers: tuple[Header, ...] = (), links: tuple[Link, ...] = ()
) -> Content:
    """A JSON body; without *text* it is described as its type is."""
    about = text or type(example).__doc__ or ""
    return Content(examples={JSON: example}, text=about, headers=headers, links=links)
