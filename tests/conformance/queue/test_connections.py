"""Connections: demoted masters, dead network paths, TLS, users; Redis killed amid writes."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from common.errors import QueueUnavailableError
from common.models import QueueEntry, new_id
from common.queue.base import Acked, Lane
from common.queue.redis import RedisQueue
from common.settings import Settings
from deploy.local import LocalRedis, LocalServerError, RedisChoice
from tests.conformance.queue.entries import ROOMY, entry, ids, is_conserved
from tests.conformance.queue.servers import Proxy, TcpRedis
from tests.conftest import skip_or_fail
from tests.polling import eventually


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisQueue]:
    queue = RedisQueue.open(Settings(redis_url=url))
    try:
        yield queue
    finally:
        await queue.aclose()


async def cycle(queue: RedisQueue) -> bool:
    """Whether a call goes through the queue now."""
    try:
        await queue.push([call := entry(10**6)])
        reserved = await queue.reserve(ROOMY, new_id())
        return call.id in ids(reserved) and set(await queue.ack(reserved.reservations)) == {Acked.ACKED}
    except QueueUnavailableError:
        return False


async def test_a_master_that_was_demoted_ends_waits_and_is_used_again_once_it_may_be_written_to(
    own_queue: RedisQueue, own_admin: Redis
) -> None:
    assert await cycle(own_queue)
    waiter = asyncio.create_task(own_queue.wait([Lane.ASYNC], 5))

    async def blocked() -> int:
        return int((await own_admin.info("clients"))["blocked_clients"])

    await eventually(blocked)
    await own_admin.replicaof("127.0.0.1", "1")
    async with asyncio.timeout(3):
        await waiter
    assert not await cycle(own_queue)
    idle = own_queue._link.commands.connection_pool._available_connections
    assert len(idle) <= 1, "connections from before the failover are not kept"
    await own_admin.replicaof("NO", "ONE")
    assert await cycle(own_queue)


@pytest.fixture
async def proxied(own_redis: LocalRedis) -> AsyncIterator[tuple[Proxy, str]]:
    parts = urlsplit(own_redis.url)
    proxy = Proxy(unquote(parts.path))
    port = await proxy.start()
    yield proxy, f"redis://:{parts.password}@127.0.0.1:{port}"
    await proxy.stop()


async def test_after_one_late_answer_every_half_open_connection_is_replaced(
    proxied: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = proxied
    async with opened(url) as queue:
        await asyncio.gather(*(queue.depth() for _ in range(8)))
        monkeypatch.setattr("common.queue.connection.REPLY_S", 0.3)
        assert proxy.go_deaf() >= 2
        async with asyncio.timeout(0.3 + 2):
            with pytest.raises(QueueUnavailableError):
                await queue.reserve(ROOMY, new_id())
        async with asyncio.timeout(2):
            assert await cycle(queue)


async def test_a_wait_and_a_listener_on_half_open_connections_recover(
    proxied: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = proxied
    monkeypatch.setattr("common.queue.redis.REPLY_S", 0.3)
    monkeypatch.setattr("common.queue.channels.REPLY_S", 0.3)
    monkeypatch.setattr("common.queue.channels.QUIET_S", 0.1)
    monkeypatch.setattr("common.queue.replies.REPLY_S", 0.3)
    monkeypatch.setattr("common.queue.replies.BLOCK_S", 0.1)
    async with opened(url) as queue:
        call, heard = entry(1), asyncio.Queue[UUID]()
        await queue.push([call])
        await queue.reserve(ROOMY, new_id())

        async def listen() -> None:
            async for call_id in queue.cancellations():
                heard.put_nowait(call_id)

        listener = asyncio.create_task(listen())
        waiter = asyncio.create_task(queue.wait([Lane.ASYNC], 0.2))
        try:
            await asyncio.wait_for(waiter, 5)
            waiter = asyncio.create_task(queue.wait([Lane.ASYNC], 0.2))
            proxy.go_deaf()
            await asyncio.wait_for(waiter, 5)

            async def is_heard() -> bool:
                await queue.cancel([call.id])
                return not heard.empty()

            await eventually(is_heard)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)


async def test_user_and_password_of_the_address_are_used(own_redis: LocalRedis, own_admin: Redis) -> None:
    await own_admin.acl_setuser(
        "worker",
        enabled=True,
        passwords=["+s:e/cret"],
        keys=["{millrace:*"],
        reset_channels=True,
        channels=["{millrace:*"],
        categories=["+@all"],
    )
    parts = urlsplit(own_redis.url)
    async with opened(f"unix://worker:s%3Ae%2Fcret@{parts.path}") as queue:
        assert await cycle(queue)
    async with opened(f"unix://worker:wrong@{parts.path}") as queue:
        assert not await cycle(queue)


async def test_tls_is_spoken_and_the_certificate_checked(
    choice: RedisChoice, program: Path, tmp_path: Path
) -> None:
    if choice == "6.2":
        pytest.skip("the embedded 6.2 is built without TLS")
    openssl = shutil.which("openssl")
    if openssl is None:
        skip_or_fail("the openssl command is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=30)
    tls_port = TcpRedis(program, tmp_path).port
    server = TcpRedis(
        program,
        tmp_path / "server",
        f"tls-port {tls_port}",
        f'tls-cert-file "{certificate}"',
        f'tls-key-file "{key}"',
        "tls-auth-clients no",
    )
    await server.start()
    try:
        async with opened(f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={certificate}") as queue:
            assert await cycle(queue)
        async with opened(f"rediss://127.0.0.1:{tls_port}/0") as queue:
            assert not await cycle(queue), "nobody knows this certificate"
    finally:
        await server.kill()


async def test_a_kill_with_appendfsync_always_loses_no_acknowledged_push(
    choice: RedisChoice, servers_directory: Path
) -> None:
    server = LocalRedis(servers_directory / uuid4().hex[:8], choice, appendfsync="always")
    try:
        await server.start()
    except LocalServerError as error:
        skip_or_fail(str(error))
    acknowledged: list[QueueEntry] = []

    async def push(queue: RedisQueue, lane: int) -> None:
        for number in range(10_000):
            calls = [entry(lane * 10**6 + 2 * number + i, delay_ms=9**9 * i) for i in range(2)]
            try:
                await queue.push(calls)
            except QueueUnavailableError:
                return
            acknowledged.extend(calls)

    try:
        async with opened(server.url) as queue:
            pushers = [asyncio.create_task(push(queue, lane)) for lane in range(4)]
            await eventually(lambda: len(acknowledged) > 200)
            os.kill(server.child.pid, signal.SIGKILL)
            await server.child.wait()
            await asyncio.gather(*pushers)
            await server.start()
            depth = await queue.depth()
            assert is_conserved(depth)
            assert await queue.push(acknowledged) == 0, "every one of them is there"
            assert depth.calls <= len(acknowledged) + 2 * len(pushers)
    finally:
        await server.stop()
