"""JSON schemas for people: a type in a few words, and each field of a body by its whole name. HTML, for page.py."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

Json = Mapping[str, Any]

DEPTH_MAX = 5  # of fields in fields; a shape that holds itself ends there
_WORDS = {"string": "text"}


class Field(NamedTuple):
    """One field of a body. ``name``: its whole name, as ``route.retry.on`` or ``calls[].id``; empty for the body."""

    name: str
    is_optional: bool
    type: str
    text: str


class Shapes:
    """The named schemas of a document, by which others are read."""

    def __init__(self, schemas: Json) -> None:
        self._schemas = schemas

    def text(self, schema: Json) -> str:
        """The type and its limits."""
        if "anyOf" in schema:
            return " or ".join(self.text(one) for one in schema["anyOf"] if one.get("type") != "null")
        whole = self._whole(schema)
        return self._named(whole) + _limits(whole)

    def alternatives(self, schema: Json) -> list[Json]:
        """The shapes that a body may have."""
        return [self._whole(one) for one in schema.get("anyOf", [schema])]

    def fields(self, schema: Json, prefix: str = "", depth: int = 0) -> Iterator[Field]:
        """The fields of a body, those in them after each; of one that is no object, a field without a name."""
        whole = self._whole(schema)
        if "properties" not in whole:
            yield Field(prefix, is_optional=False, type=self.text(schema), text=_words_of(schema, whole))
            return
        required = whole.get("required", [])
        for name, member in whole["properties"].items():
            place = f"{prefix}.{name}" if prefix else name
            inner, way = self._inner(member)
            is_optional = name not in required
            if "properties" not in inner or depth >= DEPTH_MAX:
                of = self._whole(member)
                yield Field(place, is_optional, self.text(member), _words_of(member, of))
                continue
            about = member.get("description", "")
            if about or is_optional or _limits(member):
                yield Field(place, is_optional, self._named(member) + _limits(member), about)
            yield from self.fields(inner, place + way, depth + 1)

    def _inner(self, member: Json) -> tuple[Json, str]:
        """What is in a field, and how its name goes on from there: in a list, or in a map."""
        choices = [one for one in member.get("anyOf", [member]) if one.get("type") != "null"]
        whole = self._whole(choices[0]) if len(choices) == 1 else member
        if "items" in whole:
            return self._whole(whole["items"]), "[]"
        if isinstance(whole.get("additionalProperties"), Mapping):
            return self._whole(whole["additionalProperties"]), ".*"
        return whole, ""

    def _whole(self, schema: Json) -> Json:
        if "$ref" not in schema:
            return schema
        named: Json = self._schemas[schema["$ref"].rpartition("/")[2]]
        return named

    def _named(self, schema: Json) -> str:
        if "anyOf" in schema:
            choices = [self._whole(one) for one in schema["anyOf"]]
            return " or ".join(self._named(one) for one in choices if one.get("type") != "null")
        types = schema.get("type", "object" if "$ref" in schema else "anything")
        names = [types] if isinstance(types, str) else [one for one in types if one != "null"]
        return " or ".join(self._one(name, schema) for name in names)

    def _one(self, name: str, schema: Json) -> str:
        if name == "array":
            return f"list of {self._plural(schema.get('items', {}))}"
        if name == "object" and schema.get("additionalProperties"):
            return f"map of text to {self._plural(schema['additionalProperties'])}"
        if name == "string" and "format" in schema:
            return escape(schema["format"])
        return _WORDS.get(name, name)

    def _plural(self, schema: Json) -> str:
        return "objects" if "properties" in self._whole(schema) else self.text(schema)


def _words_of(schema: Json, whole: Json) -> str:
    about = schema.get("description") or ("" if "properties" in whole else whole.get("description", ""))
    return str(about)


def _limits(schema: Json) -> str:
    said = []
    if "enum" in schema:
        said.append(
            ", ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"] if one not in ("", None))
        )
    if "minimum" in schema or "maximum" in schema:
        said.append(_range(schema, "minimum", "maximum"))
    if "minLength" in schema or "maxLength" in schema:
        said.append(_range(schema, "minLength", "maxLength") + " characters")
    if "minItems" in schema or "maxItems" in schema:
        said.append(_range(schema, "minItems", "maxItems") + " of them")
    if schema.get("default") is not None:
        default = schema["default"]
        said.append(
            f"default <code>{escape(default if isinstance(default, str) else json.dumps(default))}</code>"
        )
    return ", ".join(["", *said])


def _range(schema: Json, least: str, most: str) -> str:
    if most not in schema:
        return f"at least {schema[least]}"
    return f"{schema[least]} to {schema[most]}" if least in schema else f"at most {schema[most]}"
