"""Pause: the queue does what the store says. The store is told first, by whoever pauses or resumes; this brings the
queue in line, at once from the request and in every round of the reconciler. Decides nothing.
"""

from common.queue.base import Depth, MessageQueue
from common.store.base import Datastore
from common.telemetry.logs import get_logger

_log = get_logger("pause")


async def follow_pause(store: Datastore, queue: MessageQueue, queue_name: str) -> Depth:
    """Pause or resume *queue* until it is as the store has it; return its depth then. Safe to cancel and to repeat.

    Raises QueueUnavailableError, StoreUnavailableError.
    """
    while True:
        # Looked at again after each change: somebody may have changed the store meanwhile, and been first at the queue.
        depth = await queue.depth()
        is_paused = await store.is_queue_paused(queue_name)
        if depth.is_paused == is_paused:
            return depth
        await (queue.pause() if is_paused else queue.resume())
        _log.info("queue paused" if is_paused else "queue resumed", queue=queue_name)
