"""Key names: one hash tag for a queue, no two alike."""

from msgspec.structs import astuple

from common.queue.base import Lane
from common.queue.keys import queue_keys


def test_all_keys_of_a_queue_share_one_hash_tag() -> None:
    names = astuple(queue_keys("default"))
    assert all(name.startswith("{millrace:default}:") for name in names)
    assert len(set(names)) == len(names)


def test_each_lane_has_its_wake_list() -> None:
    keys = queue_keys("default")
    assert keys.wake(Lane.SYNC) == keys.wake_sync != keys.wake(Lane.ASYNC) == keys.wake_async
