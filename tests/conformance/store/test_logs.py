import pytest

from common import errors
from common.models import new_id
from common.store.postgres import PostgresStore
from tests.conformance.store.samples import EVERY_BYTE


@pytest.mark.parametrize("log", [b"", EVERY_BYTE, b"\0", b"line\n" * 200_000], ids=len)
async def test_a_log_is_kept_byte_by_byte(store: PostgresStore, log: bytes) -> None:
    call_id = new_id()
    await store.insert_log("app", call_id, log)
    assert await store.get_log("app", call_id) == log


async def test_a_log_is_overwritten(store: PostgresStore) -> None:
    call_id = new_id()
    await store.insert_log("app", call_id, b"first, longer")
    await store.insert_log("app", call_id, b"second")
    assert await store.get_log("app", call_id) == b"second"


async def test_a_log_is_found_only_under_its_app_and_call(store: PostgresStore) -> None:
    call_id = new_id()
    await store.insert_log("app", call_id, b"x")
    for app_name, other_id in (("other", call_id), ("app", new_id()), ("app\0", call_id)):
        with pytest.raises(errors.CallLogNotFoundError):
            await store.get_log(app_name, other_id)


async def test_a_log_needs_an_app_name(store: PostgresStore) -> None:
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.insert_log("", new_id(), b"x")
    with pytest.raises(errors.DatastoreEmptyAppNameError):
        await store.get_log("", new_id())
