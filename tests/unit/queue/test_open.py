"""Opening the queue: what is wrong with the settings is said at once."""

from typing import Any

import pytest

from common.errors import SettingsError
from common.queue.redis import RedisQueue
from common.settings import Settings


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://127.0.0.1", "redis://127.0.0.1:port"),
        *("redis+sentinel://127.0.0.1", "redis+sentinel:///main", "redis+sentinel://127.0.0.1:port/main"),
        *("redis+sentinel://127.0.0.1,/main", "redis+sentinel://127.0.0.1/main?db=one"),
        "redis+sentinel://127.0.0.1/main?timeout=3",
    ],
)
def test_an_address_that_is_none_names_its_variable(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RedisQueue.open(Settings(redis_url=url))
    assert caught.value.field == "MILLRACE_REDIS_URL"
    assert "MILLRACE_REDIS_URL" in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        *("redis://user:secret@127.0.0.1:1/2", "rediss://127.0.0.1:1", "unix://:secret@/tmp/none.sock?db=1"),
        *("redis+sentinel://127.0.0.1/main", "redis+sentinel://user:s%2Fc@a:1,[::1]:2,c/main?db=3"),
    ],
)
async def test_every_kind_of_address_opens_without_connecting(url: str) -> None:
    await RedisQueue.open(Settings(redis_url=url)).aclose()


async def test_a_sentinel_address_says_who_to_ask_and_how_to_log_in() -> None:
    queue = RedisQueue.open(Settings(redis_url="redis+sentinel://user:s%2Fc@a:1,[::1]:2,c/main?db=3"))
    pool: Any = queue._link.commands.connection_pool
    asked = [client.connection_pool.connection_kwargs for client in pool._sentinels._clients]
    assert [(each["host"], each["port"]) for each in asked] == [("a", 1), ("::1", 2), ("c", 26379)]
    assert not any(each.get("password") for each in asked)
    login = pool.connection_kwargs
    assert (login["username"], login["password"], login["db"]) == ("user", "s/c", 3)
    await queue.aclose()
