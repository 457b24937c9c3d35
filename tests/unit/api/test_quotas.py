"""How often what an app has is read."""

import asyncio
import time

import pytest

from api import quotas
from api.quotas import _Quota
from common.errors import AppCallsFullError, StoreUnavailableError

READ_S = 0.05
AT_IT_S = 0.4  # less than the rest after one reading, WORK_SHARE * READ_S


async def test_after_a_reading_that_failed_there_is_a_rest_as_after_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotas, "READ_AGE_S", 0)
    readings = 0

    async def read(_app_name: str) -> int:
        nonlocal readings
        readings += 1
        await asyncio.sleep(READ_S)
        raise StoreUnavailableError

    quota = _Quota(1_000_000, read, lambda _has: AppCallsFullError())
    try:
        ends_at_s = time.monotonic() + AT_IT_S
        while time.monotonic() < ends_at_s:
            await quota.admit("app", 1)
            await asyncio.sleep(0.01)
    finally:
        await quota.aclose()
    assert readings == 1
