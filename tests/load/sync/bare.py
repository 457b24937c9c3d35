"""The bare client: hot containers, attached, one exchange after the other with each. Nothing but sockets and callbacks.

No queue, no HTTP, no deadline, no limits, no record: the floor of what any gateway on the same engine could reach.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic_ns
from typing import Any

import msgspec

from tests.load.cpu import Snapshot, family, named
from tests.load.engine import Attachment, Engine
from tests.load.spread import spread
from tests.load.sync.contestant import PAYLOAD, SyncLoadError
from tests.load.sync.figures import Sample

LATE_S = 10.0
ANSWER = b'{"body":' + msgspec.json.encode(PAYLOAD.decode()) + b"}\n"


def request() -> bytes:
    """What a worker writes for a call, in size and shape."""
    call = {
        "call_id": "01936b5e-7c3a-7e07-a7d6-0d9d8e1c2b3a",
        "content_type": "application/json",
        "type": "sync",
        "deadline": "2026-01-01T00:00:00.000Z",
        "body": PAYLOAD.decode(),
        "protocol": {
            "type": "http",
            "method": "POST",
            "request_url": "http://127.0.0.1:8080/r/e2e/0123abcd",
            "headers": {"Content-Type": ["application/json"], "Host": ["127.0.0.1:8080"]},
        },
    }
    return msgspec.json.encode(call) + b"\n"


class Hot:
    """One container that stays."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._request = request()
        self._sent_ns = self._until_ns = 0
        self._took_ns: list[int] = []
        self._done: asyncio.Future[list[int]] | None = None
        attachment.on_output = self._heard

    def run(self, until_ns: int) -> asyncio.Future[list[int]]:
        """Exchange until then; how long each exchange took."""
        self._until_ns, self._took_ns = until_ns, []
        self._done = asyncio.get_running_loop().create_future()
        self._send()
        return self._done

    def _send(self) -> None:
        self._sent_ns = monotonic_ns()
        self._attachment.transport.write(self._request)

    def _heard(self) -> None:
        output, done = self._attachment.output, self._done
        if not output.endswith(b"\n") or done is None or done.done():
            return
        now_ns = monotonic_ns()
        self._took_ns.append(now_ns - self._sent_ns)
        if output != ANSWER:
            done.set_exception(SyncLoadError(f"the function answered {bytes(output)!r}"))
        elif now_ns < self._until_ns:
            self._send()
        else:
            done.set_result(self._took_ns)
        output.clear()


class Bare:
    """See Contestant: *connections* containers at once."""

    def __init__(self, engine: Engine, containers: list[str], attachments: list[Attachment]) -> None:
        self.connections = len(containers)
        self.name = f"bare-{self.connections}"
        self.title = "bare attach client"
        self._engine = engine
        self._containers = containers
        self._hot = [Hot(attachment) for attachment in attachments]

    @classmethod
    @asynccontextmanager
    async def open(cls, engine: Engine, config: dict[str, Any], count: int) -> AsyncIterator["Bare"]:
        """*count* containers of *config*, removed at the end."""
        async with AsyncExitStack() as stack:
            containers, attachments = [], []
            for _ in range(count):
                container = await engine.create(config)
                stack.push_async_callback(engine.remove, container)
                attachment = await engine.attach(container)
                stack.callback(attachment.transport.abort)
                await engine.start(container)
                containers.append(container)
                attachments.append(attachment)
            yield cls(engine, containers, attachments)

    async def ready(self) -> None:
        pass  # its containers are started, and each exchange is waited for

    async def drive(self, seconds: int) -> Sample:
        began_ns = monotonic_ns()
        try:
            async with asyncio.timeout(seconds + LATE_S):
                took_ns = await asyncio.gather(*(hot.run(began_ns + seconds * 10**9) for hot in self._hot))
        except TimeoutError:
            raise SyncLoadError("a function did not answer the bare client") from None
        every_ns = [ns for each in took_ns for ns in each]
        elapsed_s = (monotonic_ns() - began_ns) / 1e9
        return Sample(calls=len(every_ns), elapsed_s=elapsed_s, latency=spread(every_ns))

    async def processes(self, snapshot: Snapshot) -> dict[str, Iterable[int]]:
        return {"client": {os.getpid()}, **await engine_groups(self._engine, self._containers, snapshot)}


async def engine_groups(
    engine: Engine, containers: list[str], snapshot: Snapshot
) -> dict[str, Iterable[int]]:
    """The engine's processes, and those of *containers*: a container's first process is a child of its shim."""
    first = [await engine.pid(container) for container in containers]
    return {
        "dockerd": named(snapshot, "dockerd"),
        "containerd": named(snapshot, "containerd"),
        "containerd-shim": {snapshot[pid].parent for pid in first},
        "functions": family(snapshot, first),
    }
