"""A store on a database of the test's own."""

from collections.abc import AsyncIterator

import pytest

from common.models import App
from common.settings import Settings
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import APP


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(Settings(database_url=database_url))
    yield store
    await store.aclose()


@pytest.fixture
async def app(store: PostgresStore) -> App:
    """The app of the samples, stored."""
    return await store.insert_app(APP)
