"""The scripts keep to the keys they declare, so that a Redis Cluster can route them."""

import re
from hashlib import sha1

import pytest

from common.queue import scripts
from common.queue.codec import LEVEL
from common.queue.keys import Keys
from common.queue.scripts import LUA, Script

COMMAND = re.compile(r"redis\.p?call\(([^,)]*)(?:,\s*([^,)]*))?")
CODE = re.compile(r"--.*")
WITHOUT_KEYS = {"'TIME'"}

every_script = pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)


def code(script: Script) -> str:
    return CODE.sub("", script.text)


@every_script
def test_header_and_locals_name_the_declared_keys_in_order(script: Script) -> None:
    header = re.search(r"^-- KEYS: (.*)$", script.text, re.MULTILINE)
    names = re.search(r"^local (.*) = unpack\(KEYS\)$", script.text, re.MULTILINE)
    assert header is not None
    assert names is not None
    assert tuple(header[1].split()) == tuple(names[1].split(", ")) == script.keys
    assert set(script.keys) <= set(Keys.__struct_fields__)


@every_script
def test_commands_use_declared_keys_only_and_all_of_them(script: Script) -> None:
    text, used = code(script), set()
    for command, key in COMMAND.findall(text):
        assert re.fullmatch(r"'[A-Z]+'", command), "a command is written out"
        if command not in WITHOUT_KEYS:
            used.add(key)
    # A function may be given the list it works on.
    for function in re.findall(r"local function (\w+)\(list\b", text):
        used.discard("list")
        used.update(re.findall(rf"(?<!function ){function}\((\w+)", text))
    assert used == set(script.keys)


@every_script
def test_keys_stay_what_they_were_declared_as(script: Script) -> None:
    text = code(script)
    assert text.count("KEYS") == 1
    text = re.sub(r"local .* = unpack\(KEYS\)", "", text)
    for key in script.keys:
        assert not re.search(rf"(?<!['\w.]){key}\s*=(?!=)", text), f"{key} is given another value"


@every_script
def test_numbers_are_not_joined_into_text(script: Script) -> None:
    joined = re.findall(r"\.\.\s*(\w+)", code(script))
    assert set(joined) <= {"holder", "ARGV"}, "`..` rounds numbers beyond 14 digits"


@every_script
def test_what_needs_memory_first_writes_something_that_does_not(script: Script) -> None:
    writes = re.findall(r"redis\.call\('(HSET|ZADD|RPUSH|ZREM|HDEL)'", code(script))
    body = script.text[script.text.index("unpack(KEYS)") :]
    if script is scripts.PUSH:
        assert "ZREM" not in writes, "a full Redis must refuse it"
    elif script is scripts.RESUME:
        assert re.findall(r"redis\.call\('(\w+)'", body[body.index("\nif ") :])[0] == "HDEL"
    elif {"HSET", "ZADD", "RPUSH"} & set(writes):
        harmless = (
            "redis.call('ZREM', lease, '')",
            "redis.call('HDEL', state, '')",
            "redis.call('ZREM', dead, '')",
        )
        assert body.split("\n")[1].startswith(harmless)


@every_script
def test_the_text_is_whole_and_the_sha_is_its_own(script: Script) -> None:
    assert "-- include:" not in script.text
    assert script.sha == sha1(script.text.encode(), usedforsecurity=False).hexdigest()


def test_levels_are_as_high_in_lua_as_in_python() -> None:
    [power] = re.findall(r"local LEVEL = 2\^(\d+)", (LUA / "record.lua").read_text())
    assert 2 ** int(power) == LEVEL


def test_every_lua_file_is_a_script_or_part_of_one() -> None:
    named = {script.name for script in scripts.ALL}
    included = {
        name for path in LUA.glob("*.lua") for name in re.findall(r"-- include: (\w+)\.lua", path.read_text())
    }
    assert {path.stem for path in LUA.glob("*.lua")} == named | included
    assert not named & included
