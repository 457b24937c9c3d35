"""Every order that is listed comes from an index: no list is sorted, however long it gets."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from common.models import Call, CallFilter, CallStatus, new_id
from common.store.postgres import PostgresStore
from common.store.queries import query
from tests.conformance.store.samples import a_call, submit

PAGE = (UUID(int=0), UUID(int=2**128 - 1), None, None, 30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OF_PARTS = ("call_inputs_pkey", "call_results_pkey", "call_logs_pkey")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan] + [node for child in plan.get("Plans", []) for node in nodes(child)]


@pytest.mark.parametrize(
    ("name", "arguments", "index"),
    [
        ("get_apps", ("", "", [], 30), "apps_pkey"),
        ("get_routes_by_app", ("app", "", "", 30), "routes_pkey"),
        ("get_calls", (*PAGE, "", []), "calls_pkey"),
        ("get_calls_by_app", (*PAGE, "app"), "calls_by_app"),
        ("get_calls_by_path", (*PAGE, "app", "/hello"), "calls_by_path"),
        ("unfinished", (2, 0, 20.0, 1000), "calls_unfinished"),
        ("prune_idempotency_keys", (86400.0, 100), "idempotency_keys_by_age"),
        ("get_dead", ("", UUID(int=2**128 - 1), 30), "calls_dead"),
    ],
)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_list_takes_its_order_from_its_index(
    store: PostgresStore, name: str, arguments: tuple[Any, ...], index: str, mode: str
) -> None:
    async with store.get_database().acquire() as connection, connection.transaction():
        for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            await connection.execute(f"SET LOCAL {setting} = off")
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query(name)}", *arguments)
    found = nodes(json.loads(text)[0]["Plan"])
    assert index in {node.get("Index Name") for node in found}
    assert not [node for node in found if "Sort" in node["Node Type"]]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_pages_of_the_queue_begin_in_the_middle_of_the_index(store: PostgresStore, mode: str) -> None:
    async with store.get_database().acquire() as connection, connection.transaction():
        for setting in ("enable_seqscan", "enable_bitmapscan"):
            await connection.execute(f"SET LOCAL {setting} = off")
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query('unfinished')}", 1, 5000, 20.0, 1000)
    (scan,) = [
        node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Index Name") == "calls_unfinished"
    ]
    assert "order_no >" in scan["Index Cond"]
    assert "priority" in scan["Index Cond"]


@pytest.mark.parametrize("path", ["", "/hello"])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_list_by_status_reads_a_page_of_each_status_and_sorts_no_more(
    store: PostgresStore, path: str, mode: str
) -> None:
    by_status = ("app", path, ["queued", "error"], ["queued", "delayed", "error"])
    async with store.get_database().acquire() as connection, connection.transaction():
        for setting in ("enable_seqscan", "enable_bitmapscan"):
            await connection.execute(f"SET LOCAL {setting} = off")
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        text = await connection.fetchval(
            f"EXPLAIN (FORMAT JSON) {query('get_calls_by_status')}", *PAGE, *by_status
        )
    found = nodes(json.loads(text)[0]["Plan"])
    (scan,) = [node for node in found if node.get("Index Name") == "calls_by_status"]
    assert scan["Scan Direction"] == "Backward"
    assert all(column in scan["Index Cond"] for column in ("app_name", "status", "id >=", "id <"))
    (page,) = [node for node in found if node["Node Type"] == "Limit" and scan in node["Plans"]]
    assert page["Parent Relationship"] == "Inner", "each status has a page of its own, unsorted"


async def rows_read(store: PostgresStore) -> int:
    """How many rows of calls were read so far."""
    async with store.get_database().acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        read: int = await connection.fetchval(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'calls'"
        )
    return read


def calls_at(instant: datetime, count: int, app_name: str = "app") -> list[Call]:
    first = int(instant.timestamp() * 1000) << 80 | new_id().int % 2**72
    calls = [a_call(app_name=app_name, created_at=instant) for _ in range(count)]
    return [replace(call, id=UUID(int=first + number)) for number, call in enumerate(calls)]


@pytest.mark.parametrize("of_app", [{}, {"path": "/hello"}, {"statuses": (CallStatus.QUEUED,)}], ids=str)
async def test_a_list_reads_little_more_than_it_shows(store: PostgresStore, of_app: dict[str, Any]) -> None:
    """By the plans that Postgres makes by itself, also when it has seen the statement often."""
    now, hour, day = datetime.now(UTC), timedelta(hours=1), timedelta(days=1)
    oldest, newest = calls_at(now - 2 * day, 1)[0], calls_at(now, 1)[0]
    only = calls_at(now - day, 1, "small")[0]
    await submit(store, oldest, *calls_at(now - day, 3000), only, newest)
    async with store.get_database().acquire() as connection:
        await connection.execute("VACUUM ANALYZE calls")
    for wanted, expected in (
        (CallFilter(app_name="app", from_time=now - hour, **of_app), newest),
        (CallFilter(app_name="app", to_time=now - 2 * day + hour, **of_app), oldest),
        (CallFilter(app_name="small", **of_app), only),
        (CallFilter(to_time=now - 2 * day + hour), oldest),
    ):
        before = await rows_read(store)
        for _ in range(10):
            assert [call.id for call in await store.get_calls(wanted)] == [expected.id]
        assert await rows_read(store) - before <= 10 * 4, wanted


@pytest.mark.parametrize(
    ("name", "arguments", "index", "column"),
    [
        ("lock_page_of_app", ("app", EPOCH, UUID(int=0), 200), "calls_by_app", "id"),
        ("remove_page_of_keys", ("app", "", 200), "idempotency_keys_pkey", "key"),
    ],
)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_of_what_goes_with_an_app_is_read_and_no_more(
    store: PostgresStore, name: str, arguments: tuple[Any, ...], index: str, column: str, mode: str
) -> None:
    async with store.get_database().acquire() as connection, connection.transaction():
        for setting in ("enable_seqscan", "enable_bitmapscan"):
            await connection.execute(f"SET LOCAL {setting} = off")
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query(name)}", *arguments)
    found = nodes(json.loads(text)[0]["Plan"])
    (page,) = [node for node in found if node["Node Type"] == "Limit"]
    (scan,) = page["Plans"]
    assert scan["Index Name"] == index
    assert all(part in scan["Index Cond"] for part in ("app_name =", f"{column} >"))


@pytest.mark.parametrize(
    ("name", "arguments", "index"),
    [
        ("settle_no_capacity", (1024, 20.0, 300.0, 500), "calls_waiting_by_memory"),
        ("largest_token", (), "calls_unfinished"),
        ("count_waiting", (), "calls_waiting_by_memory"),
        ("running", (10,), "calls_running"),
        ("unleased", ([], 20.0, 3, 0, 500), "calls_running"),
        ("prune_calls", (60.0, 100), "calls_by_end"),
        ("prune_results", (60.0, EPOCH, 100), "calls_by_end"),
        ("prune_logs", (60.0, EPOCH, 100), "calls_by_end"),
    ],
)
async def test_what_maintenance_looks_at_is_found_by_an_index(
    store: PostgresStore, name: str, arguments: tuple[Any, ...], index: str
) -> None:
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query(name)}", *arguments)
    scanned = [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Relation Name") == "calls"]
    indexes = {node.get("Index Name") for node in nodes(json.loads(text)[0]["Plan"])}
    assert index in indexes
    assert indexes <= {index, "calls_pkey", "workers_pkey", *OF_PARTS, None}
    assert not [node for node in scanned if "Seq" in node["Node Type"]]


@pytest.mark.parametrize(
    ("name", "arguments"), [("settle_cancelled", (20.0, 500)), ("get_running", ([UUID(int=1)], 100))]
)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_what_runs_is_found_without_reading_what_waits_or_has_ended(
    store: PostgresStore, name: str, arguments: tuple[Any, ...], mode: str
) -> None:
    async with store.get_database().acquire() as connection, connection.transaction():
        for setting in ("enable_seqscan", "enable_bitmapscan"):
            await connection.execute(f"SET LOCAL {setting} = off")
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query(name)}", *arguments)
    scanned = [node for node in nodes(json.loads(text)[0]["Plan"]) if "Index Cond" in node]
    by_index = {node["Index Name"]: node["Index Cond"] for node in scanned}
    assert set(by_index) <= {"calls_by_status", "calls_pkey", "workers_pkey"}
    assert "app_name = apps.name" in by_index["calls_by_status"]


async def test_calls_are_claimed_by_their_ids(store: PostgresStore) -> None:
    async with store.get_database().acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        text = await connection.fetchval(
            f"EXPLAIN (FORMAT JSON) {query('claim')}", [new_id()], [1], new_id(), 5, 1
        )
    scanned = {
        node.get("Relation Name") for node in nodes(json.loads(text)[0]["Plan"]) if "Seq" in node["Node Type"]
    }
    assert "calls" not in scanned
