"""JSON bodies of requests: read strictly, checked for their types, and for members that nobody knows.

A body must be one JSON value without doubled keys. Keys have any case, as in Fn v1. What is wrong is told by its place,
what came and what is wanted. Objects that only Millrace has refuse an unknown member; in those of Fn v1, which ignored
such members, it is ignored too, and told in the answer.
"""

import json
import re
from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from api.answers import FieldWarning
from common.errors import InvalidJSONError, UnknownFieldError
from common.wording import did_you_mean, one_line, shown

FIELD_MAX_CHARS = 100  # of a bad field's name in an answer
WARNINGS_MAX = 20

_PLACE = re.compile(r" - at `\$\.(\w+)")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`(?P<rest>(?:(?! - at )[^,])*)(?:, got `(?P<got>\w+)`)?")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}

Fields = TypeVar("Fields", bound=Struct)


def read_json(body: bytes, name: str) -> object:
    """The one value that *body* is, without doubled keys. Raises InvalidJSONError, naming *name* or the doubled key."""
    try:
        # The first is strict about everything but doubled keys, the second sees those.
        msgspec.json.decode(body)
        return json.loads(body, object_pairs_hook=_without_doubled_keys)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cause = one_line(str(error)) if body.strip() else "the body is empty"
        raise InvalidJSONError(field=name, detail=cause) from error


def named(value: object, names: Collection[str], wrapper: str) -> dict[str, Any]:
    """The members of *value* that are called so in any case. Raises InvalidJSONError unless it has members."""
    if not isinstance(value, dict):
        raise InvalidJSONError(
            field=wrapper, detail=f"{wrapper or 'the body'} must be an object, not {shown(value)}"
        )
    return _without_doubled_keys(
        [(key.lower(), member) for key, member in value.items() if key.lower() in names]
    )


def strict_members(value: object, names: Collection[str]) -> dict[str, Any]:
    """The members of *value*. Raises UnknownFieldError for others than *names*, InvalidJSONError unless it has any."""
    for key in value if isinstance(value, dict) else ():
        if key.lower() not in names:
            raise UnknownFieldError.of(key, names)
    return named(value, names, "")


def decode_members(body: bytes, shape: type[Fields]) -> Fields:
    """The object that *body* is, as *shape*. Raises InvalidJSONError, UnknownFieldError."""
    return converted(strict_members(read_json(body, ""), shape.__struct_fields__), shape)


def refuse_unknown_in(members: dict[str, Any], shape: type[Struct], wrapper: str) -> None:
    """Raise UnknownFieldError for an unknown member of an object in *members*: Fn v1 has no such objects."""
    for name, inner in _objects_of(shape).items():
        value = members.get(name)
        for key in value if isinstance(value, dict) else ():
            if key not in inner.__struct_fields__:
                raise UnknownFieldError.of(key, inner.__struct_fields__, f"{wrapper}.{name}")


def unknown_members(value: object, names: Collection[str], place: str = "") -> list[FieldWarning]:
    """What is told of members of *value* that are ignored, as they are none of *names* in any case."""
    unknown = [key for key in value if key.lower() not in names] if isinstance(value, dict) else []
    return [
        FieldWarning(
            field=one_line(f"{place}.{key}" if place else key),
            message=f"Unknown field, ignored.{did_you_mean(key, names)}",
        )
        for key in unknown[:WARNINGS_MAX]
    ]


def converted(members: dict[str, Any], shape: type[Fields], wrapper: str = "") -> Fields:
    """*members* as *shape*. Raises InvalidJSONError naming the one of a wrong type, by its place in *wrapper*."""
    try:
        return msgspec.convert(members, shape)
    except msgspec.ValidationError as error:
        place = _place(members, shape, error)
        field = ".".join([wrapper, *place] if wrapper else place)[:FIELD_MAX_CHARS]
        value: Any = members
        for name in place:
            value = value[name]
        detail = f"{one_line(field) or 'the body'} must be {_wanted(error, value)}"
        raise InvalidJSONError(field=field, detail=detail) from error


def _wanted(error: msgspec.ValidationError, value: object) -> str:
    """What is wanted instead of *value*, which may be a list that holds what is wrong."""
    said = _EXPECTED.match(str(error))
    if said is None:
        return f"of another form: {one_line(str(error).partition(' - at ')[0])}"
    kinds = [kind for kind in said["wanted"].split(" | ") if kind != "null"]
    wanted = " or ".join(_WORDS.get(kind, kind) for kind in kinds)
    got = shown(value) if not isinstance(value, (dict, list)) else _WORDS.get(said["got"] or "", shown(value))
    return f"{wanted}{said['rest']}, not {got}"


def _objects_of(shape: type[Struct]) -> dict[str, type[Struct]]:
    """The fields of *shape* that hold an object of its own type."""
    info = msgspec.inspect.type_info(shape)
    found: dict[str, type[Struct]] = {}
    for field in info.fields if isinstance(info, msgspec.inspect.StructType) else ():
        for kind in field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,):
            inner = kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind
            if isinstance(inner, msgspec.inspect.StructType):
                found[field.name] = inner.cls
    return found


def _place(members: dict[str, Any], shape: type[Fields], error: msgspec.ValidationError) -> list[str]:
    """Which member is of a wrong type, and which key of it where it is config or headers: msgspec doesn't say."""
    found = _PLACE.search(str(error))
    if found is None:
        return []
    name = found[1]
    if isinstance(members[name], dict) and _fits({name: {}}, shape):
        for key, value in members[name].items():
            if not _fits({name: {key: value}}, shape):
                return [name, key]
    return [name]


def _fits(members: dict[str, Any], shape: type[Fields]) -> bool:
    try:
        msgspec.convert(members, shape)
    except msgspec.ValidationError:
        return False
    return True


def _without_doubled_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidJSONError(field=key[:FIELD_MAX_CHARS], detail=f"the key {shown(key)} comes twice")
        found[key] = value
    return found
