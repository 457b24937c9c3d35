"""Clusters for the fault tests: a shared one, whose servers stand behind proxies, and others on the same servers.

``--minutes N`` makes the kill loop last that long; ``--chaos-out FOLDER`` keeps histories, logs and figures.
"""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.local import LocalServerError
from tests.chaos.cluster import Cluster
from tests.chaos.history import History
from tests.chaos.measured import Measured, Note, markdown, measure
from tests.chaos.run import function_image
from tests.chaos.servers import open_servers
from tests.chaos.yard import Yard
from tests.conftest import skip_or_fail

NOTES = pytest.StashKey[list[Measured]]()
TEXTS = pytest.StashKey[list[str]]()
FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--minutes", type=float, default=None, help="how long the kill loop lasts")
    group.addoption("--chaos-out", type=Path, default=None, help="keep histories, logs and figures here")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOTES], config.stash[TEXTS] = [], []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # the report of a failure has the last lines of every process
    report: Any = yield
    if report.failed:
        item.stash[FAILED] = True
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Cluster):
                report.sections += list(value.tails().items())
                if (folder := item.config.getoption("--chaos-out")) is not None:
                    value.keep(folder)
    return report  # type: ignore[no-any-return]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if notes := config.stash[NOTES]:
        terminalreporter.section("what the faults cost")
        terminalreporter.write_line(markdown(notes))
    for text in config.stash[TEXTS]:
        terminalreporter.section("what was measured")
        terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def gcc() -> None:
    if shutil.which("gcc") is None:
        skip_or_fail("gcc is not installed: apt-get install gcc libc6-dev")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def yard(docker: str, gcc: None) -> AsyncIterator[Yard]:
    """At the end everything must agree: rows, queue, containers, files and keys."""
    async with AsyncExitStack() as stack:
        try:
            servers = await stack.enter_async_context(open_servers())
        except LocalServerError as error:
            skip_or_fail(str(error))
        yard = Yard(servers, await function_image())
        yield yard
        assert await yard.close() == []


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(yard: Yard, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """The shared cluster; a test that fails leaves another one to the next."""
    yield await yard.shared()
    if request.node.stash.get(FAILED, False):
        await yard.discard()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Show a text at the end of the run."""
    return request.config.stash[TEXTS].append


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Put what a history shows of a fault into the table at the end of the run, and return it."""

    def note(fault: str, sees: str, history: History) -> Measured:
        measured = measure(fault, sees, history)
        request.config.stash[NOTES].append(measured)
        return measured

    return note
