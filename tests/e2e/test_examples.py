"""Every example of the README's tour and of `millrace --help`, run as it stands, with a whole system.

Changed are only the api's address, and the function's image, so that nothing is fetched and nothing of this machine's
replaced.
"""

import asyncio
import os
import re
import secrets
import shlex
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest

from deploy.cli import main
from tests.e2e.system import System
from tests.millrace_command import MILLRACE, run
from tests.shell_image import SHELL_IMAGE

pytestmark = pytest.mark.timeout(240)

README = Path(__file__).parents[2] / "README.md"
SECTIONS = ("## Use it", "## Who may ask")
ADDRESS, BASE, IMAGE = "localhost:8080", "debian:stable-slim", "me/upper:1"
EXAMPLE = re.compile(r"^Examples?:\n((?:  .+\n?)+)", re.MULTILINE)
STAY = {"millrace up --demo --once", "millrace api", "millrace worker"}  # test_up and others run them
# curl: a refusal is a failure; and no answer takes for ever.
SHIMS = """
set -euo pipefail
millrace() { %s "$@"; }
curl() { command curl --fail-with-body --no-progress-meter --max-time 60 "$@"; }
trap 'echo "failed: $BASH_COMMAND"' ERR
set -E
"""
# What the examples of the commands take for granted.
GIVEN = """
millrace routes create mine /hello me/upper:1 > /dev/null
export ID=$(millrace call mine /upper --data x)
millrace call mine /upper --wait --data x > /dev/null
export WAITING=$(millrace call mine /upper --data x --delay 3600)
export MILLRACE_TOKEN=$(millrace tokens create ops --scope admin)
millrace tokens create other --scope admin > /dev/null
export TOKEN_ID=$(millrace tokens list | awk '$2 == "other" {print $1}')
"""


@pytest.fixture
async def image(shell_image: str) -> AsyncIterator[str]:
    """A name for the image of the examples; what has it is removed."""
    name = f"millrace-test/upper:{secrets.token_hex(8)}"
    yield name
    process = await asyncio.create_subprocess_exec("docker", "rmi", name, stdout=PIPE, stderr=STDOUT)
    await process.communicate()


async def shell(system: System, image: str, script: str) -> str:
    """Run the lines of *script*, which must all go well; what they printed."""
    program = SHIMS % shlex.join(MILLRACE) + script
    for old, new in ((ADDRESS, f"127.0.0.1:{system.port}"), (BASE, SHELL_IMAGE), (IMAGE, image)):
        program = program.replace(old, new)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", program),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, "MILLRACE_PORT": str(system.port)},
    )
    async with asyncio.timeout(180):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def tour() -> list[str]:
    """The blocks of code in SECTIONS."""
    text = README.read_text()
    wanted = [
        section for section in re.split(r"^(?=## )", text, flags=re.MULTILINE) if section.startswith(SECTIONS)
    ]
    assert len(wanted) == len(SECTIONS)
    return [
        block
        for section in wanted
        for block in re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    ]


def examples_of(command: click.Command) -> list[str]:
    """Those in its help and in that of its commands."""
    lines = [
        line.strip() for block in EXAMPLE.findall(command.help or "") for line in block.splitlines() if line
    ]
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return lines + [line for one in inner for line in examples_of(one)]


async def test_the_tour_of_the_readme(system: System, image: str) -> None:
    await system.start_worker()
    blocks = tour()
    assert (
        sum(len(re.findall(r"^(?:millrace|curl|\w+=\$\(millrace) ", block, re.MULTILINE)) for block in blocks)
        > 20
    )
    printed = await shell(system, image, "".join(blocks))
    assert printed.count("SOME TEXT") >= 2
    assert '"error":{"message":"Route not found"' in printed


async def test_the_examples_of_the_commands(system: System, image: str) -> None:
    await system.start_worker()
    examples = examples_of(main)
    assert len(examples) > 30
    first, rest = examples[:3], [line for line in examples[3:] if line not in STAY]
    build = next(line for line in tour()[0].splitlines() if line.startswith("printf"))
    printed = await shell(system, image, "\n".join([build, *first, GIVEN, *rest]))
    assert printed.count("SOME TEXT") == 1
    assert "WORLD" in printed


async def test_bash_completes_commands() -> None:
    """The script that completion installs works: bash asks it for what may come next."""
    source = (await run("completion", "bash")).stdout.decode()
    shim = f'millrace() {{ {shlex.join(MILLRACE)} "$@"; }}'
    asked = '_MILLRACE_COMPLETE=bash_complete COMP_WORDS="millrace calls re" COMP_CWORD=2 millrace'
    process = await asyncio.create_subprocess_exec("bash", "-c", f"{source}\n{shim}\n{asked}", stdout=PIPE)
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert set(output.decode().split()) == {"plain,result", "plain,retry"}
