"""A later version migrates the database while this one runs: what was prepared before is prepared anew."""

import asyncio

import asyncpg
from msgspec.structs import replace

from common.errors import StoreUnavailableError
from common.models import App, Route
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import ROUTE, a_call, claim, submit

TABLES = ("apps", "routes", "calls", "workers")
CONNECTIONS = 8


async def test_statements_outlive_columns_that_are_added(
    store: PostgresStore, app: App, database_url: str
) -> None:
    await store.insert_route(ROUTE)
    call = a_call()
    await submit(store, call)
    for number in range(3):
        await asyncio.gather(*(change(store, f"before:{number}") for _ in range(CONNECTIONS)))
    await add_columns(database_url)
    try:  # the first statement that meets the change, and it is in a transaction, which can't go on
        await change(store, "after:0")
    except StoreUnavailableError:
        assert (await change(store, "after:0")).image == "after:0"
    for number in range(3):
        await asyncio.gather(*(change(store, f"after:{number}") for _ in range(CONNECTIONS)))
    assert (await store.get_route("app", ROUTE.path)).image == "after:2"
    assert (await store.get_call("app", call.id)).id == call.id
    assert await claim(store, call, 1) is not None


async def change(store: PostgresStore, image: str) -> Route:
    return await store.update_route(replace(ROUTE, image=image))


async def add_columns(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} ADD COLUMN of_a_later_version text")
    finally:
        await connection.close()
