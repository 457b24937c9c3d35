"""What a hot container's slot keeps of an exchange that has ended: what may still come, and nothing of the answer."""

import asyncio
import gc
import tracemalloc

import pytest

from common.models import Call, new_id
from worker.containers.attach import Stream
from worker.containers.hot import Slot
from worker.formats import HOT
from worker.logcapture import CallLog

BODY_BYTES = 5 * 2**20
ANSWERS = {
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (BODY_BYTES, b"x" * BODY_BYTES),
    "json": b'{"body": "%s"}' % (b"x" * BODY_BYTES),
}


@pytest.mark.parametrize(("wire_format", "allowed"), [("http", b""), ("json", b"\r\n")])
async def test_an_idle_slot_keeps_no_answer_and_still_knows_what_may_follow_it(
    wire_format: str, allowed: bytes
) -> None:
    doubted: list[Slot] = []
    slot = Slot("one", None, doubted.append)  # type: ignore[arg-type]
    reader = HOT[wire_format].reader(Call(id=new_id(), method="POST"), 2 * BODY_BYTES)
    tracemalloc.start()
    try:
        exchanging = asyncio.create_task(slot.exchange([b"request"], reader, CallLog(10)))
        await asyncio.sleep(0)
        slot.on_output(Stream.STDOUT, memoryview(ANSWERS[wire_format]))
        body_bytes = len((await exchanging).body)
        slot.end_log(slot.end_call())
        del exchanging, reader
        await asyncio.sleep(0)  # the loop itself still has the task that it has just told us of
        gc.collect()
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (body_bytes, kept_bytes < 2**20) == (BODY_BYTES, True)
    slot.on_output(Stream.STDOUT, memoryview(allowed))
    assert (slot.is_reusable, doubted) == (True, [])
    slot.on_output(Stream.STDOUT, memoryview(b"x"))
    assert (slot.is_reusable, doubted) == (False, [slot])
