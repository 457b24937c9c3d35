"""What is old goes by itself, in batches, whoever does it; what has not ended stays."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from api import retention
from api.keys import METRICS
from api.retention import Retention
from common.settings import Settings
from tests.integration.api.served import ServedApi
from tests.polling import eventually

TABLES = ("calls", "call_inputs", "call_results", "call_logs", "idempotency_keys")


async def ended(api: ServedApi, count: int, ago: timedelta) -> None:
    """Calls that ended so long ago, with all that belongs to them, and as many keys of requests."""
    await api.store.get_database().execute(
        "WITH stored AS ("
        "  INSERT INTO calls (id, app_name, path, type, status, priority, delay_s, memory_mb, route_revision,"
        "    created_at, completed_at)"
        "  SELECT gen_random_uuid(), 'app', '/p', 'async', 'success', 0, 0, 1, '', now() - $2::interval,"
        "    now() - $2::interval + n * interval '1 microsecond' FROM generate_series(1, $1) AS n RETURNING id"
        "), inputs AS ("
        "  INSERT INTO call_inputs (call_id, method, url, headers, payload) SELECT id, '', '', '{}', '' FROM stored"
        "), results AS ("
        "  INSERT INTO call_results (call_id, body) SELECT id, '' FROM stored"
        "), keys AS ("
        "  INSERT INTO idempotency_keys (app_name, key, request_hash, call_id, created_at)"
        "  SELECT 'app', id::text, '', id, now() - $2::interval FROM stored"
        ") INSERT INTO call_logs (call_id, app_name, log) SELECT id, 'app', '' FROM stored",
        count,
        ago,
    )


async def left(api: ServedApi) -> list[int]:
    return [await api.rows(table) for table in TABLES]


def pruned(api: ServedApi, kind: str) -> float:
    value: float = api.app[METRICS].pruned.labels(kind)._value.get()
    return value


async def test_what_is_old_goes_by_itself(settings: Settings) -> None:
    async with ServedApi(settings) as api:
        waiting = await api.submit(await api.create_route())

        async def has_had_a_turn() -> bool:
            return (await api.store.look_at_turn(retention.TURN_NAME)).due_in_s > 0

        await eventually(has_had_a_turn)
        await ended(api, 700, timedelta(days=8))
        await ended(api, 3, timedelta(days=6))
        await api.store.get_database().execute("UPDATE turns SET next_at = now()")

    async with ServedApi(settings) as api:

        async def are_gone() -> bool:
            return await left(api) == [4, 4, 3, 3, 0]

        await eventually(are_gone)
        assert (await api.get(f"/v1/apps/app/calls/{waiting}")).json["call"]["status"] == "queued"

        async def are_counted() -> bool:
            return (pruned(api, "call"), pruned(api, "idempotency_key")) == (700, 703)

        await eventually(are_counted)


async def test_it_goes_batch_by_batch_with_a_rest_after_each(
    alone: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_FIRST", 4)
    monkeypatch.setattr(retention, "BATCH_MAX", 4)
    monkeypatch.setattr(retention, "REST_MIN_S", 7)
    settings = replace(settings, results_keep_days=2, logs_keep_days=1)
    async with ServedApi(settings) as api:
        for count, days in ((5, 8), (6, 3), (7, 1.5), (8, 0.5)):
            await ended(api, count, timedelta(days=days))
        steps = Retention(api.store, api.app[METRICS], settings)
        assert await steps.run_round() == 7
        assert await left(api) == [22, 22, 18, 18, 22]
        assert 6 < await steps.run_round() < 7, "it is not due"
        assert (await left(api))[0] == 22
        pauses = []
        for _ in range(10):
            await api.store.get_database().execute("UPDATE turns SET next_at = now()")
            pauses.append(await steps.run_round())
        assert await left(api) == [21, 21, 15, 8, 8]
        assert set(pauses) == {7, retention.PAUSE_S}
        assert pauses[-1] == retention.PAUSE_S


async def test_of_many_processes_one_deletes(alone: None, settings: Settings) -> None:
    async with ServedApi(settings) as api, ServedApi(settings) as other:
        await ended(api, 3, timedelta(days=8))
        mine, others = (Retention(one.store, one.app[METRICS], settings) for one in (api, other))
        async with api.store.take_turn(retention.TURN_NAME):
            assert await others.run_round() == retention.PAUSE_S
        assert (await left(api))[0] == 3
        await others.run_round()
        assert await left(api) == [0] * 5
        await ended(api, 3, timedelta(days=8))
        assert 0 < await mine.run_round() <= retention.PAUSE_S
        assert (await left(api))[0] == 3, "somebody just did"


async def test_a_batch_that_takes_long_makes_the_next_one_smaller(
    alone: None, api: ServedApi, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Retention(api.store, api.app[METRICS], settings)
    monkeypatch.setattr(retention, "BATCH_LONG_S", 0)
    await steps.run_round()
    assert steps._batch == retention.BATCH_FIRST // 2
    monkeypatch.setattr(retention, "BATCH_LONG_S", 100)
    monkeypatch.setattr(retention, "BATCH_SHORT_S", 100)
    for ended_before, batch in ((0, retention.BATCH_FIRST // 2), (50, retention.BATCH_FIRST)):
        await ended(api, ended_before, timedelta(days=8))
        await api.store.get_database().execute("UPDATE turns SET next_at = now()")
        await steps.run_round()
        assert steps._batch == batch
