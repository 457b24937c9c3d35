import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from common import errors
from common.models import App, Call, CallFilter, CallStatus, QueueEntry, Reason, new_id
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import (
    EVERY_BYTE,
    NOW,
    REVISION,
    a_call,
    claim,
    fall_due,
    row_of,
    settle,
    submit,
)


async def test_a_call_comes_back_without_payload_headers_and_environment(store: PostgresStore) -> None:
    call = a_call(priority=2)
    await submit(store, call)
    shown = replace(call, payload=None, headers={}, url="", method="")
    assert await store.get_call("app", call.id) == shown
    assert await store.get_calls() == [shown]


async def test_a_call_needs_an_app_and_a_path(store: PostgresStore) -> None:
    for broken, error in (
        (a_call(app_name="", path=""), errors.DatastoreEmptyAppNameError),
        (a_call(path=""), errors.DatastoreEmptyRoutePathError),
        (a_call(priority=3), errors.InvalidPriorityError),
        (a_call(delay=-1), errors.InvalidDelayError),
        (replace(a_call(), timeout=-1), errors.InvalidTimeoutError),
        (replace(a_call(), timeout=3601), errors.InvalidTimeoutError),
    ):
        with pytest.raises(error):
            await store.insert_calls([a_call(), broken])
    assert await store.get_calls() == []


async def test_entries_tell_the_queue_what_it_needs(store: PostgresStore) -> None:
    now, later = a_call(priority=1), a_call(delay=3600)
    first, second = await submit(store, now, later)
    assert first == QueueEntry(
        id=now.id, order_no=first.order_no, priority=1, delay_ms=0, memory_mb=REVISION.memory
    )
    assert second == QueueEntry(
        id=later.id, order_no=second.order_no, priority=0, delay_ms=3_600_000, memory_mb=REVISION.memory
    )
    assert (await store.insert_call(a_call())).order_no > second.order_no > first.order_no


async def test_the_longest_delay_fits(store: PostgresStore) -> None:
    (entry,) = await submit(store, a_call(delay=30 * 24 * 3600))
    assert entry.delay_ms == 30 * 24 * 3600 * 1000


async def test_no_calls_are_no_work(store: PostgresStore) -> None:
    assert await store.insert_calls([]) == []
    assert await store.get_calls() == []
    assert await store.get_calls(CallFilter(app_name="unknown")) == []


async def test_places_follow_the_list_also_among_concurrent_batches(store: PostgresStore, app: App) -> None:
    batches = [[a_call(priority=number % 3) for number in range(60)] for _ in range(6)]
    for batch in batches:
        batch.sort(key=lambda call: call.id.int % 1000)
    answers = await asyncio.gather(*(store.insert_calls(batch) for batch in batches))
    for batch, entries in zip(batches, answers, strict=True):
        assert [entry.id for entry in entries] == [call.id for call in batch]
        places = [entry.order_no for entry in entries]
        assert places == sorted(set(places))
    assert len({entry.order_no for entries in answers for entry in entries}) == 360


async def test_a_taken_id_stores_nothing_of_its_batch(store: PostgresStore) -> None:
    call, other = a_call(), a_call()
    await submit(store, call)
    with pytest.raises(errors.CallsAlreadyExistError):
        await store.insert_calls([other, replace(call, priority=2)])
    with pytest.raises(errors.CallsAlreadyExistError):
        await store.insert_calls([other, other])
    with pytest.raises(errors.CallNotFoundError):
        await store.get_call("app", other.id)
    with pytest.raises(errors.CallNotFoundError):
        await store.get_payload(other.id)
    assert (await store.get_call("app", call.id)).priority == 0


@pytest.mark.parametrize("payload", [b"", EVERY_BYTE, b"\0", b"x" * 1_000_000], ids=len)
async def test_a_payload_is_kept_byte_by_byte(store: PostgresStore, payload: bytes) -> None:
    call = a_call(payload=payload)
    await submit(store, call)
    assert await store.get_payload(call.id) == payload


async def test_the_payload_of_an_unknown_call_is_not_found(store: PostgresStore) -> None:
    with pytest.raises(errors.CallNotFoundError):
        await store.get_payload(new_id())


async def test_text_that_cannot_be_stored_does_not_spoil_the_batch(store: PostgresStore) -> None:
    strange = replace(
        a_call(headers={"X-\0": ["a\0b", "caf\udce9", "\U0001f600"]}),
        url="http://localhost/\0?\ud800",
        method="\0",
    )
    await submit(store, a_call(), strange)
    claimed = await claim(store, strange, 1)
    assert claimed is not None
    assert claimed.call.headers == {"X-\ufffd": ["a\ufffdb", "caf\ufffd", "\U0001f600"]}
    assert claimed.call.url == "http://localhost/\ufffd?\ufffd"


async def test_a_call_without_a_time_gets_the_clock_of_postgres(store: PostgresStore) -> None:
    call = replace(a_call(), created_at=None)
    await submit(store, call)
    created_at = (await store.get_call("app", call.id)).created_at
    assert created_at is not None
    assert abs(datetime.now(UTC) - created_at) < timedelta(minutes=1)


async def test_due_at_is_set_by_postgres(store: PostgresStore) -> None:
    delayed, at_once = replace(a_call(delay=60), due_at=NOW), replace(a_call(), due_at=NOW)
    await submit(store, delayed, at_once)
    due_at = (await store.get_call("app", delayed.id)).due_at
    assert due_at is not None
    assert timedelta(seconds=50) < due_at - datetime.now(UTC) < timedelta(seconds=70)
    assert (await store.get_call("app", at_once.id)).due_at is None


async def test_a_due_delayed_call_is_shown_as_queued(store: PostgresStore) -> None:
    due, early = a_call(delay=60), a_call(delay=60)
    await submit(store, due, early)
    await fall_due(store, [due])
    assert (await row_of(store, due))["status"] == "delayed"
    assert (await store.get_call("app", due.id)).status is CallStatus.QUEUED
    assert (await store.get_call("app", early.id)).status is CallStatus.DELAYED
    for filter in (CallFilter(), CallFilter(app_name="app"), CallFilter(app_name="app", path="/hello")):
        shown = {call.id: call.status for call in await store.get_calls(filter)}
        assert shown == {due.id: CallStatus.QUEUED, early.id: CallStatus.DELAYED}


async def test_a_call_is_found_only_in_its_app(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.get_call("", call.id)
    for name, call_id in (("other", call.id), ("app\0", call.id), ("app", new_id())):
        with pytest.raises(errors.CallNotFoundError):
            await store.get_call(name, call_id)


async def test_calls_are_listed_newest_first_page_by_page(store: PostgresStore) -> None:
    calls = [a_call() for _ in range(7)]
    await submit(store, *calls)
    newest_first = [call.id for call in sorted(calls, key=lambda call: call.id, reverse=True)]
    pages: list[Call] = []
    for size in (3, 3, 3):
        cursor = pages[-1].id if pages else None
        pages += await store.get_calls(CallFilter(app_name="app", cursor=cursor, per_page=size))
    assert [call.id for call in pages] == newest_first
    assert [call.id for call in await store.get_calls()] == newest_first


async def test_calls_are_filtered_by_app_and_path(store: PostgresStore) -> None:
    here, there, elsewhere = a_call(), a_call(path="/other"), a_call(app_name="second")
    await submit(store, here, there, elsewhere)
    for filter, expected in (
        (CallFilter(), {here.id, there.id, elsewhere.id}),
        (CallFilter(app_name="app"), {here.id, there.id}),
        (CallFilter(app_name="app", path="/other"), {there.id}),
        (CallFilter(path="/hello"), {here.id, elsewhere.id}),
        (CallFilter(app_name="app", path="/unknown"), set()),
        (CallFilter(app_name="APP"), set()),
        (CallFilter(app_name="app", path="\0"), set()),
    ):
        assert {call.id for call in await store.get_calls(filter)} == expected


async def test_calls_are_filtered_by_the_status_that_is_shown(store: PostgresStore) -> None:
    queued, due, delayed, running, done, elsewhere = calls = [
        a_call(),
        a_call(delay=3600),
        a_call(delay=3600),
        a_call(),
        a_call(),
        a_call(path="/other"),
    ]
    await submit(store, *calls, a_call(app_name="second"))
    await fall_due(store, [due])
    for call in (running, done):
        await claim(store, call, 1)
    await settle(store, done, 1)

    async def listed(*statuses: CallStatus, **fields: Any) -> list[Call]:
        wanted = CallFilter(**{"app_name": "app", "statuses": statuses, **fields})
        found = [call.id for call in await store.get_calls(wanted)]
        return [call for id_ in found for call in calls if call.id == id_]

    status = CallStatus
    assert await listed() == calls[::-1]
    assert await listed(status.QUEUED) == [elsewhere, due, queued]
    assert await listed(status.DELAYED) == [delayed]
    assert await listed(status.QUEUED, status.DELAYED) == [elsewhere, delayed, due, queued]
    assert await listed(status.RUNNING, status.SUCCESS) == [done, running]
    assert await listed(status.ERROR) == []
    assert await listed(*CallStatus) == calls[::-1]
    assert await listed(status.QUEUED, path="/hello") == [due, queued]
    assert await listed(status.QUEUED, per_page=2) == [elsewhere, due]
    assert await listed(status.QUEUED, cursor=due.id) == [queued]
    assert await listed(status.RUNNING, app_name="") == [running]
    assert await listed(status.RUNNING, from_time=NOW) == []
    due_call = next(call for call in await store.get_calls(CallFilter(app_name="app")) if call.id == due.id)
    assert due_call.status is status.QUEUED


async def test_calls_are_read_by_their_ids(store: PostgresStore) -> None:
    calls = [a_call(), a_call(delay=3600), a_call(app_name="second")]
    await submit(store, *calls)
    await fall_due(store, calls[1:2])
    found = await store.get_calls_by_id([*[call.id for call in calls], new_id(), calls[0].id])
    assert found == {call.id: await store.get_call(call.app_name, call.id) for call in calls}
    assert await store.get_calls_by_id([]) == {}


async def test_time_bounds_are_exclusive(store: PostgresStore) -> None:
    times = [datetime.now(UTC) + timedelta(microseconds=number) for number in range(3)]
    calls = [a_call(created_at=time) for time in times]
    await submit(store, *calls)
    for filter, expected in (
        (CallFilter(from_time=times[0]), calls[1:]),
        (CallFilter(to_time=times[2]), calls[:2]),
        (CallFilter(from_time=times[0], to_time=times[2]), calls[1:2]),
        (CallFilter(from_time=times[2]), []),
    ):
        for app_name, path in (("", ""), ("app", ""), ("app", "/hello")):
            found = await store.get_calls(replace(filter, app_name=app_name, path=path))
            assert {call.id for call in found} == {call.id for call in expected}


@pytest.mark.parametrize("late_s", [100, -100], ids=["body-read-slowly", "another-clock"])
async def test_a_call_is_found_by_its_time_though_its_id_is_of_another(
    store: PostgresStore, late_s: int
) -> None:
    created_at = datetime.now(UTC) + timedelta(seconds=late_s)
    call = a_call(created_at=created_at)
    await submit(store, call)
    before, after = created_at - timedelta(microseconds=1), created_at + timedelta(microseconds=1)
    for wanted in (
        CallFilter(),
        CallFilter(app_name="app"),
        CallFilter(app_name="app", path="/hello"),
        CallFilter(app_name="app", statuses=(CallStatus.QUEUED,)),
    ):
        for from_time, to_time, expected in (
            (before, None, [call.id]),
            (None, after, [call.id]),
            (before, after, [call.id]),
            (created_at, None, []),
            (None, created_at, []),
        ):
            found = await store.get_calls(replace(wanted, from_time=from_time, to_time=to_time))
            assert [one.id for one in found] == expected


async def test_a_page_of_a_time_goes_on_at_its_cursor(store: PostgresStore) -> None:
    calls = [a_call(created_at=datetime.now(UTC)) for _ in range(3)]
    await submit(store, *calls)
    for to_time in (None, datetime.now(UTC) + timedelta(minutes=1)):
        page = CallFilter(app_name="app", from_time=NOW, to_time=to_time, cursor=calls[2].id, per_page=1)
        assert [call.id for call in await store.get_calls(page)] == [calls[1].id]


async def test_there_is_no_result_before_the_end(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.get_result("", call.id)
    await claim(store, call, 1)
    for name, call_id in (("app", call.id), ("app", new_id())):
        with pytest.raises(errors.CallResultNotFoundError):
            await store.get_result(name, call_id)


async def test_a_result_is_found_only_in_its_app(store: PostgresStore) -> None:
    call = a_call()
    await submit(store, call)
    await claim(store, call, 1)
    await settle(store, call, 1)
    assert (await store.get_result("app", call.id)).body == b""
    with pytest.raises(errors.CallResultNotFoundError):
        await store.get_result("other", call.id)


async def test_a_reason_must_go_with_the_status(store: PostgresStore) -> None:
    with pytest.raises(errors.DatastoreCannotUpdateCallError):
        await store.insert_calls([replace(a_call(), reason=Reason.TIMEOUT)])
