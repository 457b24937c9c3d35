"""Key names: one hash tag for a queue, no two alike."""

from uuid import UUID

from msgspec.structs import astuple

from common.queue.base import Lane
from common.queue.keys import queue_keys


def test_all_keys_of_a_queue_share_one_hash_tag() -> None:
    names = astuple(queue_keys("default"))
    assert all(name.startswith("{millrace:default}:") for name in names)
    assert len(set(names)) == len(names)


def test_each_listener_has_a_list_of_replies_in_the_same_slot() -> None:
    keys, reply_to = queue_keys("default"), UUID(int=15)
    assert keys.replies_to(reply_to) == "{millrace:default}:replies:" + "f".rjust(32, "0")
    assert keys.replies_to(reply_to) != keys.replies_to(UUID(int=16))


def test_each_lane_has_its_wake_list() -> None:
    keys = queue_keys("default")
    assert keys.wake(Lane.SYNC) == keys.wake_sync != keys.wake(Lane.ASYNC) == keys.wake_async
