"""The commands on the page: curl, with the examples of the document."""

import json
from collections.abc import Mapping
from typing import Any

ADDRESS = "http://localhost:8080"  # in its place the reader is shown the address that was asked

_CREDENTIALS = "Authorization: Bearer $MILLRACE_TOKEN"
# As an option of a command; it is taken out again where no token is needed.
TOKEN_OPTION = f' \\\n     -H "{_CREDENTIALS}"'

Json = Mapping[str, Any]


def curl(method: str, path: str, operation: Json) -> str:
    """A command that asks for *operation*, with its examples."""
    options = [f'-H "{_CREDENTIALS}"'] if operation.get("security") else []
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        elif parameter["in"] == "header" and "example" in parameter:
            options.append(f"-H '{parameter['name']}: {parameter['example']}'")
    body = body_of(operation)
    if body is not None:
        options.append("-d '{}'".format(body.replace("'", "'\\''")))
    verb = "" if method == "get" else " -X POST" if method == "any" else f" -X {method.upper()}"
    return " \\\n     ".join([f"curl{verb} {ADDRESS}{path}", *options])


def body_of(operation: Json) -> str | None:
    """The body that its example sends."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        example = examples_of(media)[0]
        return example if isinstance(example, str) else json.dumps(example, ensure_ascii=False)
    return None


def examples_of(media: Json) -> list[Any]:
    """The examples of a body of one content type."""
    return [media["example"]] if "example" in media else [one["value"] for one in media["examples"].values()]
