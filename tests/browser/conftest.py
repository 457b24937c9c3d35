"""One browser for the tier, and an api per test whose functions are Python functions."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from common.settings import Settings
from tests.browser.chromium import Chromium, Tab, chromium
from tests.browser.functions import Functions
from tests.integration.api.served import ServedApi


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Chromium]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        async with chromium(Path(directory)) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Chromium) -> AsyncIterator[Tab]:
    async with browser.tab() as tab:
        yield tab


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, queue_name=f"test-{uuid4().hex}")


@pytest_asyncio.fixture(loop_scope="session")
async def api(settings: Settings) -> AsyncIterator[ServedApi]:
    async with ServedApi(settings) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="session")
async def functions(api: ServedApi) -> AsyncIterator[Functions]:
    """A worker in name: what a route answers is set by the test."""
    functions = Functions(api)
    serving = asyncio.create_task(functions.serve())
    yield functions
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving
