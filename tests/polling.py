"""Bounded polling: how a test waits for what another process or server does."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T]], timeout_s: float = ..., interval_s: float = ...
) -> T: ...
@overload
async def eventually(predicate: Callable[[], T], timeout_s: float = ..., interval_s: float = ...) -> T: ...


async def eventually(predicate: Callable[[], Any], timeout_s: float = 10.0, interval_s: float = 0.02) -> Any:
    """Return the first truthy answer of *predicate*, plain or async.

    Raises AssertionError with the last answer when there was none within *timeout_s*."""
    answer: Any = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                found = predicate()
                answer = await found if inspect.isawaitable(found) else found
                if answer:
                    return answer
                await asyncio.sleep(interval_s)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s} s; the last answer was {answer!r}") from None
