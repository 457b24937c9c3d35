"""The parts of paths: what stands for ``{app}``, ``{route}`` and the like, wherever they occur."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from api.descriptions.parts import Parameter
from api.fields import APP_NAME

PATH = {
    part.name: part
    for part in (
        Parameter(
            "app",
            Annotated[str, Meta(extra_json_schema={"pattern": APP_NAME})],
            "The name of an app: 1 to 30 letters, digits, `_` and `-`.",
            "mine",
        ),
        Parameter(
            "route",
            Annotated[str, Meta(max_length=255)],
            "The path of a route without its first slash. May hold slashes; empty names the root route, `/`.",
            "upper",
        ),
        Parameter("token", UUID, "The id of a token.", "0193c0de-5eed-7000-8000-000000000004"),
        Parameter("call", UUID, "The id of a call.", "0193c0de-5eed-7000-8000-000000000001"),
    )
}
