"""The schemas of what goes over the wire, from Python's types: one for each named type, referred to by its name."""

from inspect import cleandoc
from typing import Any

import msgspec

from api.fields import SAID

Schema = dict[str, Any]

_NULL = {"type": "null"}


class Components:
    """Schemas by name. Gathers those of every type that it is asked for."""

    def __init__(self) -> None:
        self._schemas: Schema = {}

    def schema(self, of: Any) -> Schema:
        """The schema of a type; for a named one it is a reference. Raises ValueError for a second type of a name."""
        (schema,), found = msgspec.json.schema_components((of,), ref_template="#/components/schemas/{name}")
        for name, component in found.items():
            tidied = _tidied(component)
            if self._schemas.setdefault(name, tidied) != tidied:
                raise ValueError(f"two types are called {name}")
        tidied_schema: Schema = _tidied(schema)
        return tidied_schema

    def all(self) -> Schema:
        """Those gathered so far, by name."""
        return dict(sorted(self._schemas.items()))


def _tidied(schema: Any) -> Any:
    """*schema* with what is said of it instead of what decoding checks, and ``null`` among its types."""
    if isinstance(schema, list):
        return [_tidied(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {
        key: _tidied(value)
        for key, value in schema.items()
        if key != SAID and not (key == "title" and isinstance(value, str))
    }
    tidied |= schema.get(SAID, {})
    if isinstance(tidied.get("description"), str):
        tidied["description"] = cleandoc(tidied["description"]).replace("``", "`")
    if tidied.get("default", 0) is None:
        del tidied["default"]
    one, other = tidied["anyOf"] if len(tidied.get("anyOf", ())) == 2 else ({}, {})
    if other != _NULL or "type" not in one:
        return tidied
    optional = {**one, "type": [one["type"], "null"]}
    return {**optional, "enum": [*one["enum"], None]} if "enum" in one else optional
