"""Opening the queue: what is wrong with the settings is said at once."""

import pytest

from common.errors import SettingsError
from common.queue.redis import RedisQueue
from common.settings import Settings


@pytest.mark.parametrize("url", ["", "http://127.0.0.1", "redis://127.0.0.1:port"])
def test_an_address_that_is_none_names_its_variable(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RedisQueue.open(Settings(redis_url=url))
    assert caught.value.field == "MILLRACE_REDIS_URL"


@pytest.mark.parametrize(
    "url", ["redis://user:secret@127.0.0.1:1/2", "rediss://127.0.0.1:1", "unix://:secret@/tmp/none.sock?db=1"]
)
async def test_every_kind_of_address_opens_without_connecting(url: str) -> None:
    await RedisQueue.open(Settings(redis_url=url)).aclose()
