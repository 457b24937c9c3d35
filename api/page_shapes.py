"""JSON schemas for people: a type in a few words, and the members of a shape one by one. HTML, for page.py."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]

_WORDS = {"string": "text", "object": "object", "null": "null", "array": "list"}


def schema_text(schema: Json) -> str:
    """The type and its limits. A named type is a link to its shape."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(schema_text(one) for one in schema["anyOf"])
    return _named(schema) + _limits(schema)


def shape_table(schema: Json) -> Iterator[tuple[str, str, str, str]]:
    """Name, a note, type and description of each member; of a type that is no object, one row without a name."""
    if "properties" not in schema:
        yield "", "", schema_text(schema), ""
        return
    required = schema.get("required", [])
    for name, member in schema["properties"].items():
        note = "" if name in required else " <small>optional</small>"
        yield name, note, schema_text(member), member.get("description", "")


def _named(schema: Json) -> str:
    types = schema.get("type", "anything")
    names = [types] if isinstance(types, str) else types
    return " or ".join(_one(name, schema) for name in names)


def _one(name: str, schema: Json) -> str:
    if name == "array":
        return f"list of {schema_text(schema.get('items', {}))}"
    if name == "object" and schema.get("additionalProperties"):
        return f"map of text to {schema_text(schema['additionalProperties'])}"
    if name == "string" and "format" in schema:
        return escape(schema["format"])
    return _WORDS.get(name, name)


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
        said.append(f"default <code>{escape(str(schema['default']))}</code>")
    return ", ".join(["", *said])


def _range(schema: Json, least: str, most: str) -> str:
    if most not in schema:
        return f"at least {schema[least]}"
    return f"{schema[least]} to {schema[most]}" if least in schema else f"at most {schema[most]}"
