"""Every Redis key name of the queue. No other module spells one; protocol.md says what each key holds.

All keys of a queue share one hash tag, so that they live in one slot of a Redis Cluster.
"""

from uuid import UUID

from msgspec import Struct

from common.queue.base import Lane


class Keys(Struct, frozen=True, kw_only=True):
    """The keys of one queue, by the names that the scripts' headers use. ``cancelled`` and ``announced`` are channels.

    Of ``replies`` this is the beginning: each api that waits for replies has a list of its own.
    """

    ready: str
    delay: str
    lease: str
    meta: str
    dead: str
    state: str
    wake_sync: str
    wake_async: str
    cancelled: str
    announced: str
    sync: str
    message: str
    ended: str
    replies: str

    def wake(self, lane: Lane) -> str:
        """The list of wake tokens of *lane*."""
        return self.wake_sync if lane is Lane.SYNC else self.wake_async

    def replies_to(self, reply_to: UUID) -> str:
        """The list of the replies addressed to *reply_to*."""
        return f"{self.replies}:{reply_to.hex}"


def queue_keys(queue_name: str) -> Keys:
    """The keys of the queue *queue_name* (characters as the setting allows them: no braces)."""
    return Keys(**{field: f"{{millrace:{queue_name}}}:{field}" for field in Keys.__struct_fields__})
